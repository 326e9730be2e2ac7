//! A session description as offer and as answer: an answer of ours can be read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_core::{
    offer_answer::{
        CodecCapability, Direction, MediaAddress, MediaPolicy, Negotiation, Session,
    },
    sdp::Sdp,
};

fn policy() -> MediaPolicy {
    MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8_000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: Some(101),
        negotiation: Negotiation::Local,
        ptime_ms: 20,
        rtcp_mux: true,
        srtp: Default::default(),
    }
}

fn media() -> MediaAddress {
    MediaAddress {
        ip: [192, 0, 2, 200].into(),
        port: 20_000,
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok((answer, _)) = Session::new(policy(), 1).answer(data, media()) {
        Sdp::parse(&answer).expect("our answer is sound");
    }
    let mut session = Session::new(policy(), 1);
    session.offer(media(), Direction::SendRecv);
    let _ = session.accept(data);
});
