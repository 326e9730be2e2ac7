//! An SRTP session: what is refused, what counters survive, and that no bytes break it.

use media_core::srtp::{DtlsRole, Keys, Srtp, Suite};

const SUITES: [(Suite, usize); 5] = [
    (Suite::AeadAes256Gcm, 44),
    (Suite::Aes256CmSha1Tag80, 46),
    (Suite::AeadAes128Gcm, 28),
    (Suite::Aes128CmSha1Tag80, 30),
    (Suite::Aes128CmSha1Tag32, 30),
];

fn key(len: usize, first: u8) -> Vec<u8> {
    (0..len).map(|n| first.wrapping_add(n as u8)).collect()
}

/// Two ends, the first sends under `a` and receives under `b`.
fn pair(suite: Suite, len: usize, mki_len: u8) -> (Srtp, Srtp) {
    let (a, b) = (key(len, 1), key(len, 101));
    let here = Keys::new(suite, &a, &b, 0).unwrap();
    let there = Keys::new(suite, &b, &a, mki_len).unwrap();
    (Srtp::new(here).unwrap(), Srtp::new(there).unwrap())
}

fn rtp(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(seq.to_be_bytes());
    packet.extend((u32::from(seq) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(key(160, seq as u8));
    packet
}

fn bye(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 203, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet
}

#[test]
fn every_suite_carries_sound_and_reports_once_each() {
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, 0);
        for seq in [10, 11, 13, 12] {
            let sealed = here.protect(&rtp(7, seq)).unwrap().to_vec();
            assert_ne!(sealed[12..172], rtp(7, seq)[12..], "{suite:?} hides it");
            assert_eq!(there.open(&sealed), Ok(rtp(7, seq).as_slice()), "{suite:?}");
            assert!(there.open(&sealed).is_err(), "{suite:?}: twice");
        }
        let sealed = here.protect_rtcp(&bye(7)).unwrap().to_vec();
        assert_eq!(there.open(&sealed), Ok(bye(7).as_slice()), "{suite:?}");
        assert!(there.open(&sealed).is_err(), "{suite:?}: a report twice");
        assert_eq!(there.refused(), 5);
    }
}

#[test]
fn headers_with_contributors_and_extensions_pass_whole() {
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, 0);
        let mut packet = rtp(7, 1);
        packet[0] = 0x92;
        // Two contributors, then an extension whose one-byte elements make no sense.
        let inserted = [
            1, 2, 3, 4, 5, 6, 7, 8, 0xbe, 0xde, 0, 2, 0xff, 0, 0x3f, 1, 0xf0, 0, 9, 9,
        ];
        packet.splice(12..12, inserted);
        let sealed = here.protect(&packet).unwrap().to_vec();
        assert_eq!(there.open(&sealed), Ok(packet.as_slice()), "{suite:?}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, 0);
        let sealed = here.protect(&rtp(7, 1)).unwrap().to_vec();
        let report = here.protect_rtcp(&bye(7)).unwrap().to_vec();
        for packet in [&sealed, &report] {
            for at in 0..packet.len() {
                let mut forged = packet.clone();
                forged[at] ^= 0x10;
                assert!(there.open(&forged).is_err(), "{suite:?}, byte {at}");
            }
        }
        assert!(there.open(&sealed).is_ok() && there.open(&report).is_ok());
    }
}

/// Without the E bit a packet is not encrypted; that would not make it true.
#[test]
fn a_report_in_clear_is_refused() {
    for (suite, len) in SUITES {
        let (_, mut there) = pair(suite, len, 0);
        let mut forged = bye(7);
        forged.extend([0, 0, 0, 1]);
        forged.extend([0; 10]);
        assert!(there.open(&forged).is_err(), "{suite:?}");
        assert!(there.open(&bye(7)).is_err(), "{suite:?}: plain RTCP");
        assert!(there.open(&rtp(7, 1)).is_err(), "{suite:?}: plain RTP");
    }
}

#[test]
fn a_key_identifier_is_stepped_over() {
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, 4);
        let tag_len = match suite {
            Suite::AeadAes256Gcm | Suite::AeadAes128Gcm => 0,
            Suite::Aes128CmSha1Tag32 => 4,
            Suite::Aes256CmSha1Tag80 | Suite::Aes128CmSha1Tag80 => 10,
        };
        let mut sealed = here.protect(&rtp(7, 1)).unwrap().to_vec();
        let at = sealed.len() - tag_len;
        sealed.splice(at..at, [0, 0, 0, 1]);
        assert_eq!(there.open(&sealed), Ok(rtp(7, 1).as_slice()), "{suite:?}");
        let rtcp_tag = if tag_len == 0 { 0 } else { 10 };
        let mut report = here.protect_rtcp(&bye(7)).unwrap().to_vec();
        let at = report.len() - rtcp_tag;
        report.splice(at..at, [0, 0, 0, 1]);
        assert_eq!(there.open(&report), Ok(bye(7).as_slice()), "{suite:?}");
    }
}

/// RFC 3711 §3.3.1: the counter belongs to the key. Here 70,000 packets take it into its second round.
#[test]
fn the_rollover_counter_goes_on_with_the_same_key_and_begins_anew_with_another() {
    let (suite, len) = (Suite::Aes128CmSha1Tag80, 30);
    let (a, b, c) = (key(len, 1), key(len, 101), key(len, 201));
    let keys = |send: &[u8], receive: &[u8]| Keys::new(suite, send, receive, 0).unwrap();
    let mut here = Srtp::new(keys(&a, &b)).unwrap();
    let mut there = Srtp::new(keys(&b, &a)).unwrap();
    for n in 0..70_000_u32 {
        let sealed = here.protect(&rtp(7, n as u16)).unwrap().to_vec();
        assert!(there.open(&sealed).is_ok(), "packet {n}");
    }
    // A re-INVITE that only repeats itself.
    here.rekey(keys(&a, &b)).unwrap();
    there.rekey(keys(&b, &a)).unwrap();
    let next = 70_000_u32 as u16;
    let sealed = here.protect(&rtp(7, next)).unwrap().to_vec();
    assert!(there.open(&sealed).is_ok(), "the counters went on together");
    let mut fresh = Srtp::new(keys(&b, &a)).unwrap();
    let sealed = here.protect(&rtp(7, next + 1)).unwrap().to_vec();
    assert!(
        fresh.open(&sealed).is_err(),
        "it is the second round indeed"
    );
    // One side gets a new key: its counter is zero again, the other direction goes on.
    here.rekey(keys(&c, &b)).unwrap();
    there.rekey(keys(&b, &c)).unwrap();
    let sealed = here.protect(&rtp(7, next + 2)).unwrap().to_vec();
    assert!(there.open(&sealed).is_ok());
    let mut fresh = Srtp::new(keys(&b, &c)).unwrap();
    let sealed = here.protect(&rtp(7, next + 3)).unwrap().to_vec();
    assert!(
        fresh.open(&sealed).is_ok(),
        "the first round of the new key"
    );
}

#[test]
fn a_new_source_under_the_key_is_taken_and_forgers_leave_nothing_behind() {
    let (mut here, mut there) = pair(Suite::Aes128CmSha1Tag80, 30, 0);
    for ssrc in 0..10_000 {
        assert!(there.open(&[rtp(ssrc, 1), vec![0; 10]].concat()).is_err());
    }
    for ssrc in [7, 8, 9] {
        let sealed = here.protect(&rtp(ssrc, 1)).unwrap().to_vec();
        assert!(there.open(&sealed).is_ok());
        assert!(there.open(&sealed).is_err(), "not twice from anyone");
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused_and_nothing_is_shown_of_the_right_ones() {
    for (suite, len) in SUITES {
        assert!(Keys::new(suite, &key(len - 1, 0), &key(len, 0), 0).is_err());
        assert!(Keys::new(suite, &key(len, 0), &key(len + 1, 0), 0).is_err());
    }
    let keys = Keys::new(Suite::Aes128CmSha1Tag80, &key(30, 7), &key(30, 7), 0).unwrap();
    assert_eq!(format!("{keys:?}"), "Keys(Aes128CmSha1Tag80)");
}

/// 100,000 datagrams, random and bent ones, none of which may panic or pass.
#[test]
fn no_bytes_break_it() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, (random() % 3) as u8);
        for n in 0..20_000_u32 {
            let mut packet = match random() % 3 {
                0 => here.protect(&rtp(7, n as u16)).unwrap().to_vec(),
                1 => here.protect_rtcp(&bye(7)).unwrap().to_vec(),
                _ => (0..random() % 90).map(|_| random() as u8).collect(),
            };
            packet.truncate((random() % 200) as usize);
            for _ in 0..=random() % 3 {
                let at = (random() as usize) % packet.len().max(1);
                if let Some(byte) = packet.get_mut(at) {
                    *byte ^= 1 << (random() % 8);
                }
            }
            let _ = there.open(&packet);
        }
    }
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
#[test]
fn what_dtls_exports_becomes_the_keys_of_both_ends() {
    for (number, salt_len) in [(1, 14), (2, 14), (7, 12), (8, 12)] {
        let suite = Suite::of_dtls(number).unwrap();
        let exported = key(suite.exported_len(), 1);
        let key_len = exported.len() / 2 - salt_len;
        let at = |from: usize, len: usize| exported[from..from + len].to_vec();
        let client = [at(0, key_len), at(2 * key_len, salt_len)].concat();
        let server = [at(key_len, key_len), at(2 * key_len + salt_len, salt_len)].concat();
        let ours = Keys::of_dtls(suite, DtlsRole::Client, &exported).unwrap();
        assert_eq!(ours, Keys::new(suite, &client, &server, 0).unwrap());
        let theirs = Keys::of_dtls(suite, DtlsRole::Server, &exported).unwrap();
        let (mut here, mut there) = (Srtp::new(ours).unwrap(), Srtp::new(theirs).unwrap());
        let sealed = here.protect(&rtp(7, 1)).unwrap().to_vec();
        assert_eq!(there.open(&sealed), Ok(rtp(7, 1).as_slice()));
        let sealed = there.protect_rtcp(&bye(8)).unwrap().to_vec();
        assert_eq!(here.open(&sealed), Ok(bye(8).as_slice()));
        assert!(Keys::of_dtls(suite, DtlsRole::Client, &exported[1..]).is_err());
    }
    assert_eq!(Suite::of_dtls(3), None);
}

/// The window of the replay check lies around what is true: a forged number far ahead, in RTP or RTCP, before a source is known
/// by that kind or after, costs nobody anything.
#[test]
fn a_forged_number_does_not_move_the_window() {
    for (suite, len) in SUITES {
        let (mut here, mut there) = pair(suite, len, 0);
        let sealed = here.protect(&rtp(7, 1)).unwrap().to_vec();
        let report = here.protect_rtcp(&bye(7)).unwrap().to_vec();
        let mut forged = sealed.clone();
        forged[2] ^= 0x40;
        // Behind the sealed report: E bit and index, then the tag that follows it in counter mode.
        let index = report.len() - if suite_has_a_tag_behind(suite) { 14 } else { 4 };
        let mut forged_report = report.clone();
        forged_report[index] ^= 0x40;
        for _ in 0..2 {
            assert!(there.open(&forged).is_err(), "{suite:?}");
            assert!(there.open(&forged_report).is_err(), "{suite:?}");
        }
        assert_eq!(there.open(&sealed), Ok(rtp(7, 1).as_slice()), "{suite:?}");
        assert!(there.open(&forged_report).is_err(), "{suite:?}");
        assert_eq!(there.open(&report), Ok(bye(7).as_slice()), "{suite:?}");
        assert!(there.open(&forged).is_err() && there.open(&sealed).is_err());
        let next = here.protect(&rtp(7, 2)).unwrap().to_vec();
        assert_eq!(there.open(&next), Ok(rtp(7, 2).as_slice()), "{suite:?}");
    }
}

const fn suite_has_a_tag_behind(suite: Suite) -> bool {
    !matches!(suite, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
}
