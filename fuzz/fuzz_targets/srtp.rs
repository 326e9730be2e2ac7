//! The SRTP reader: any bytes, and true packets with anything changed in them. What was sealed opens once; what was changed
//! never does, and does no harm to what comes after it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media_core::{
    rtp::{self, Packet},
    srtp::{Keys, Srtp, Suite},
};

/// With the bytes of its master key and salt.
const SUITES: [(Suite, usize); 5] = [
    (Suite::AeadAes256Gcm, 44),
    (Suite::Aes256CmSha1Tag80, 46),
    (Suite::AeadAes128Gcm, 28),
    (Suite::Aes128CmSha1Tag80, 30),
    (Suite::Aes128CmSha1Tag32, 30),
];

fn pair(choice: u8, mki_len: u8) -> (Srtp, Srtp) {
    let (suite, len) = SUITES[usize::from(choice) % SUITES.len()];
    let (ours, theirs) = (vec![1; len], vec![2; len]);
    let keys = |send: &[u8], receive: &[u8]| {
        let keys = Keys::new(suite, send, receive, mki_len).expect("their length");
        Srtp::new(keys).expect("their length")
    };
    (keys(&ours, &theirs), keys(&theirs, &ours))
}

fn packet(seq: u16, payload: &[u8]) -> Vec<u8> {
    let packet = Packet {
        payload_type: 0,
        marker: false,
        seq,
        timestamp: u32::from(seq) * 160,
        ssrc: 7,
        payload,
    };
    let mut out = vec![0; rtp::HEADER_LEN + payload.len()];
    rtp::build(&packet, &mut out).expect("room");
    out
}

fuzz_target!(|data: &[u8]| {
    let [choice, at, change, rest @ ..] = data else {
        return;
    };
    let (mut sender, mut receiver) = pair(*choice, 0);
    let _ = receiver.open(rest);
    let plain = packet(1, &rest[..rest.len().min(1_000)]);
    let sealed = sender.protect(&plain).expect("sealed").to_vec();
    let mut changed = sealed.clone();
    let at = usize::from(*at) % changed.len();
    changed[at] ^= change;
    if *change != 0 {
        assert!(receiver.open(&changed).is_err(), "byte {at} of {changed:?}");
    }
    assert_eq!(receiver.open(&sealed), Ok(&plain[..]));
    assert!(receiver.open(&sealed).is_err(), "twice");
    let next = packet(2, b"next");
    let sealed = sender.protect(&next).expect("sealed").to_vec();
    assert_eq!(receiver.open(&sealed), Ok(&next[..]));
    // With key identifiers, and as RTCP: whatever is cut off it.
    let (_, mut marked) = pair(*choice, at as u8 % 8 + 1);
    let _ = marked.open(rest);
    let _ = marked.open(&changed);
});
