//! SRTP in offer and answer (RFC 4568): who gets which suite, what is refused, which key stays.

use std::net::IpAddr;

use sip_core::offer_answer::{
    AgreedMedia, AgreedSrtp, CodecCapability, CryptoLine, CryptoSuite, Direction, MediaAddress,
    MediaPolicy, Negotiation, OfferAnswerError, Session, SrtpPolicy,
};

/// 30 bytes: key and salt of the suites with AES-128 in counter mode.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_KEY: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";
/// 28 and 44 bytes: with GCM.
const KEY_GCM: &str = "k4x3YXkTD1TWlNL3BZpESzOFuxkBZmTo0vGa1w==";
const KEY_GCM_256: &str = "t8kXaXvWvmCOU3j8PqX0ZZ8S2yA5yoWgWvN1D3eDbv0LzMnU4CBv3p1Tb1I=";

fn policy(srtp: SrtpPolicy) -> MediaPolicy {
    MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8_000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: None,
        negotiation: Negotiation::Offerer,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp,
    }
}

fn session(srtp: SrtpPolicy) -> Session {
    Session::new(policy(srtp), 1_000).keyed([9; 32])
}

fn here() -> MediaAddress {
    MediaAddress {
        ip: IpAddr::from([203, 0, 113, 7]),
        port: 16_384,
    }
}

/// An SDP with this audio line and these `a=` lines.
fn sdp(lines: &[&str]) -> String {
    let head = "v=0\r\no=- 5 5 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";
    lines
        .iter()
        .fold(head.to_owned(), |text, line| text + line + "\r\n")
}

fn crypto(tag: u32, suite: &str, key: &str) -> String {
    format!("a=crypto:{tag} {suite} inline:{key}")
}

const SAVP: &str = "m=audio 4000 RTP/SAVP 0";
const AVP: &str = "m=audio 4000 RTP/AVP 0";
const TAG_80: &str = "AES_CM_128_HMAC_SHA1_80";
const TAG_32: &str = "AES_CM_128_HMAC_SHA1_32";

fn answered(
    srtp: SrtpPolicy,
    lines: &[&str],
) -> Result<(String, Option<AgreedSrtp>), OfferAnswerError> {
    let (text, agreed) = session(srtp).answer(sdp(lines).as_bytes(), here())?;
    let text = String::from_utf8(text.to_vec()).expect("text");
    Ok((text, agreed.expect("new").srtp))
}

/// The value of the only `a=crypto` of a description.
fn only_line(text: &str) -> CryptoLine {
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("a=crypto:"));
    let line = CryptoLine::parse(lines.next().expect("a line")).expect("one that we can read");
    assert_eq!(lines.next(), None, "one line only");
    line
}

#[test]
fn the_answer_repeats_the_tag_and_the_suite_with_a_key_of_our_own() {
    let line = crypto(3, TAG_80, KEY);
    let (text, srtp) = answered(SrtpPolicy::Optional, &[SAVP, &line]).expect("agreed");
    let srtp = srtp.expect("encrypted");
    let ours = only_line(&text);
    assert_eq!((ours.tag, ours.suite.name()), (3, TAG_80));
    assert_eq!((&srtp.send, srtp.suite), (&ours.key, ours.suite));
    let theirs = CryptoLine::parse(&line["a=crypto:".len()..]).expect("line");
    assert_eq!(srtp.receive, theirs.key);
    assert_ne!(srtp.receive, srtp.send);
    assert!(text.contains("m=audio 16384 RTP/SAVP 0\r\n"), "{text}");
}

#[test]
fn each_policy_does_what_it_says() {
    use SrtpPolicy::{Off, Optional, Required};
    let line = crypto(1, TAG_80, KEY);
    let plain: &[&str] = &[AVP];
    let secure: &[&str] = &[SAVP, &line];
    let either: &[&str] = &[AVP, &line];
    let encrypted = |policy, offer: &[&str]| answered(policy, offer).map(|(_, s)| s.is_some());
    assert_eq!(encrypted(Off, plain), Ok(false));
    assert_eq!(encrypted(Off, secure), Err(OfferAnswerError::NoAudio));
    assert_eq!(encrypted(Off, either), Ok(false));
    assert_eq!(encrypted(Optional, plain), Ok(false));
    assert_eq!(encrypted(Optional, secure), Ok(true));
    assert_eq!(encrypted(Optional, either), Ok(true));
    assert_eq!(
        encrypted(Required, plain),
        Err(OfferAnswerError::NoEncryption)
    );
    assert_eq!(encrypted(Required, secure), Ok(true));
    assert_eq!(encrypted(Required, either), Ok(true));
    assert_eq!(OfferAnswerError::NoEncryption.status(), 488);
    let unusable = crypto(1, "F8_128_HMAC_SHA1_80", KEY);
    for policy in [Off, Optional, Required] {
        assert!(encrypted(policy, &[SAVP, &unusable]).is_err(), "{policy:?}");
        assert!(encrypted(policy, &[SAVP]).is_err(), "{policy:?}: no keys");
    }
    assert_eq!(encrypted(Optional, &[AVP, &unusable]), Ok(false));
}

#[test]
fn the_strongest_suite_wins_wherever_it_stands() {
    let lines = [
        crypto(1, TAG_32, KEY),
        crypto(2, TAG_80, OTHER_KEY),
        crypto(4, "AEAD_AES_128_GCM", KEY_GCM),
        crypto(5, "AEAD_AES_256_GCM", KEY_GCM_256),
        crypto(6, "F8_128_HMAC_SHA1_80", KEY),
    ];
    let chosen = |upto: usize| {
        let offer: Vec<&str> = [SAVP]
            .into_iter()
            .chain(lines[..upto].iter().map(String::as_str))
            .collect();
        let (text, _) = answered(SrtpPolicy::Required, &offer).expect("agreed");
        (only_line(&text).tag, only_line(&text).suite)
    };
    assert_eq!(chosen(1), (1, CryptoSuite::Aes128CmSha1Tag32));
    assert_eq!(chosen(2), (2, CryptoSuite::Aes128CmSha1Tag80));
    assert_eq!(chosen(3), (4, CryptoSuite::AeadAes128Gcm));
    assert_eq!(chosen(5), (5, CryptoSuite::AeadAes256Gcm));
}

#[test]
fn lines_are_read_in_any_case_with_lifetime_and_key_identifier() {
    let read = |text: &str| CryptoLine::parse(text).map(|line| (line.tag, line.mki_len));
    let good = [
        (format!("1 {TAG_80} inline:{KEY}"), 0),
        (format!("1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}"), 0),
        (format!("1 {TAG_80} inline:{KEY}|2^20"), 0),
        (format!("1 {TAG_80} inline:{KEY}|1048576"), 0),
        (format!("1 {TAG_80} inline:{KEY}|2^20|1:4"), 4),
        (format!("1 {TAG_80} inline:{KEY}|1:4"), 4),
        (format!("1  {TAG_80}  inline:{KEY}  WSH=64"), 0),
        (format!("1 {TAG_80} inline:{KEY} KDR=0 -X-NEW=1"), 0),
    ];
    for (text, mki_len) in good {
        assert_eq!(read(&text), Some((1, mki_len)), "{text}");
    }
    let bad = [
        format!("x {TAG_80} inline:{KEY}"),
        format!("1 {TAG_80}"),
        format!("1 {TAG_80} uri:{KEY}"),
        format!("1 {TAG_80} inline:{}", &KEY[4..]),
        format!("1 {TAG_80} inline:not*base64"),
        format!("1 {TAG_80} inline:{KEY}|2^64"),
        format!("1 {TAG_80} inline:{KEY}|1:129"),
        format!("1 {TAG_80} inline:{KEY}|1:4;inline:{OTHER_KEY}|2:4"),
        format!("1 {TAG_80} inline:{KEY} UNENCRYPTED_SRTP"),
        format!("1 {TAG_80} inline:{KEY} UNAUTHENTICATED_SRTP"),
        format!("1 {TAG_80} inline:{KEY} KDR=5"),
        String::new(),
    ];
    for text in bad {
        assert_eq!(read(&text), None, "{text}");
    }
}

#[test]
fn a_repeated_description_keeps_both_keys_and_another_key_changes_one() {
    let mut session = session(SrtpPolicy::Required);
    let mut answer = |key: &str| {
        let offer = sdp(&[SAVP, &crypto(1, TAG_80, key)]);
        session.answer(offer.as_bytes(), here()).expect("agreed")
    };
    let (first_text, first) = answer(KEY);
    let first = first.expect("new").srtp.expect("encrypted");
    let (again_text, again) = answer(KEY);
    assert_eq!(again, None, "nothing changed");
    assert_eq!(again_text, first_text, "not even the version");
    let (_, rekeyed) = answer(OTHER_KEY);
    let rekeyed = rekeyed.expect("new").srtp.expect("encrypted");
    assert_eq!(rekeyed.send, first.send);
    assert_ne!(rekeyed.receive, first.receive);
}

#[test]
fn another_suite_gets_another_key_of_ours() {
    let mut session = session(SrtpPolicy::Optional);
    let mut answer = |suite: &str| {
        let offer = sdp(&[SAVP, &crypto(1, suite, KEY)]);
        let (_, agreed) = session.answer(offer.as_bytes(), here()).expect("agreed");
        agreed.expect("new").srtp.expect("encrypted").send
    };
    assert_ne!(answer(TAG_80), answer(TAG_32));
}

/// Our offer's lines.
fn offered(text: &[u8]) -> Vec<CryptoLine> {
    let text = std::str::from_utf8(text).expect("text");
    let lines = text.lines().filter_map(|l| l.strip_prefix("a=crypto:"));
    lines
        .map(|l| CryptoLine::parse(l).expect("our own"))
        .collect()
}

fn accepted(session: &mut Session, lines: &[&str]) -> Result<AgreedMedia, OfferAnswerError> {
    session
        .accept(sdp(lines).as_bytes())
        .map(|agreed| agreed.expect("new"))
}

#[test]
fn our_offer_has_the_best_and_the_commonest_suite_and_takes_the_answers_choice() {
    let mut session = session(SrtpPolicy::Required);
    let offer = session.offer(here(), Direction::SendRecv);
    let lines = offered(&offer);
    assert!(std::str::from_utf8(&offer).is_ok_and(|text| text.contains("RTP/SAVP 0")));
    let suites: Vec<_> = lines.iter().map(|line| line.suite.name()).collect();
    assert_eq!(suites, ["AEAD_AES_256_GCM", TAG_80]);
    assert_ne!(lines[0].key.bytes()[..16], lines[1].key.bytes()[..16]);
    let srtp = accepted(&mut session, &[SAVP, &crypto(2, TAG_80, KEY)])
        .expect("agreed")
        .srtp
        .expect("encrypted");
    assert_eq!(srtp.send, lines[1].key);
    // Later offers hold to it, under the same key.
    let again = offered(&session.offer(here(), Direction::SendRecv));
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].key, again[0].suite), (&srtp.send, srtp.suite));
}

#[test]
fn an_optional_offer_is_plain_with_keys_beside_it() {
    let answers: [(&[&str], bool); 2] = [(&[AVP], false), (&[AVP, &crypto(2, TAG_80, KEY)], true)];
    for (answer, encrypted) in answers {
        let mut session = session(SrtpPolicy::Optional);
        let offer = session.offer(here(), Direction::SendRecv);
        assert!(std::str::from_utf8(&offer).is_ok_and(|text| text.contains("RTP/AVP 0")));
        assert_eq!(offered(&offer).len(), 2);
        let agreed = accepted(&mut session, answer).expect("agreed");
        assert_eq!(agreed.srtp.is_some(), encrypted);
        let later = offered(&session.offer(here(), Direction::SendRecv));
        assert_eq!(later.len(), usize::from(encrypted), "it stays as agreed");
    }
}

#[test]
fn an_answer_that_takes_less_or_other_than_we_offered_agrees_on_nothing() {
    let answers: [&[&str]; 4] = [
        &[AVP],
        &[SAVP],
        &[SAVP, &crypto(1, TAG_80, KEY)],
        &[SAVP, &crypto(7, TAG_80, KEY)],
    ];
    for answer in answers {
        let mut session = session(SrtpPolicy::Required);
        session.offer(here(), Direction::SendRecv);
        let agreed = accepted(&mut session, answer);
        assert_eq!(agreed, Err(OfferAnswerError::NoEncryption), "{answer:?}");
    }
}

#[test]
fn a_session_resumed_from_its_seed_keeps_its_keys_and_shows_them_nowhere() {
    let mut first = session(SrtpPolicy::Required);
    let offer = sdp(&[SAVP, &crypto(1, TAG_80, KEY)]);
    let (text, agreed) = first.answer(offer.as_bytes(), here()).expect("agreed");
    let seed = serde_json::to_string(&first.seed()).expect("json");
    let seed = serde_json::from_str(&seed).expect("a seed");
    let mut second = Session::resume(policy(SrtpPolicy::Required), seed).keyed([1; 32]);
    let (again, changed) = second.answer(offer.as_bytes(), here()).expect("agreed");
    assert_eq!((again, changed), (text.clone(), None));
    let ours = only_line(std::str::from_utf8(&text).expect("text")).to_text();
    let (_, ours) = ours.split_once("inline:").expect("a key");
    let shown = format!("{agreed:?} {first:?}");
    assert!(!shown.contains(KEY) && !shown.contains(ours), "{shown}");
}

#[test]
fn without_a_secret_there_is_no_encryption_rather_than_a_guessable_one() {
    let mut session = Session::new(policy(SrtpPolicy::Optional), 1);
    let offer = sdp(&[SAVP, &crypto(1, TAG_80, KEY)]);
    let answer = session.answer(offer.as_bytes(), here());
    assert_eq!(answer.err(), Some(OfferAnswerError::NoEncryption));
}
