//! What an Identity header says, and what is made of it before any certificate is asked for
//! (RFC 8224, RFC 8225, RFC 8588).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use sip_core::{
    message::{Framing, Headers, Message, parse},
    shaken::{Attest, Failure, Parties, Passport, Verdict, canonical, passports},
};

const URL: &str = "https://cert.example.org/passport.cer";
/// `iat` of the example in RFC 8588 §6.
const IAT: i64 = 1_443_208_345;

fn jose(alg: &str) -> String {
    format!(r#"{{"alg":"{alg}","ppt":"shaken","typ":"passport","x5u":"{URL}"}}"#)
}

/// The claims of RFC 8588 §6.
fn claims() -> String {
    format!(
        r#"{{"attest":"A","dest":{{"tn":["12125551213"]}},"iat":{IAT},"orig":{{"tn":"12155551212"}},"origid":"123e4567-e89b-12d3-a456-426655440000"}}"#
    )
}

fn token(jose: &str, claims: &str) -> String {
    let [jose, claims, signature] =
        [jose.as_bytes(), claims.as_bytes(), &[7; 64]].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{jose}.{claims}.{signature}")
}

fn header(jose: &str, claims: &str) -> String {
    format!(
        "{};info=<{URL}>;alg=ES256;ppt=\"shaken\"",
        token(jose, claims)
    )
}

fn read(value: &str) -> Result<Passport, Failure> {
    Passport::read(&Bytes::from(value.to_owned()))
}

fn headers(lines: &[String]) -> Headers {
    let text = format!(
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{}\r\n",
        lines.concat()
    );
    match parse(&Bytes::from(text), Framing::Datagram) {
        Ok(Message::Request(request)) => request.headers().clone(),
        other => panic!("{other:?}"),
    }
}

fn parties(caller: &str, called: &str) -> Parties {
    Parties {
        caller: caller.to_owned(),
        called: vec!["reception".to_owned(), called.to_owned()],
    }
}

#[test]
fn the_example_of_the_rfc_is_read_and_holds_for_its_own_call_alone() {
    let passport = read(&header(&jose("ES256"), &claims())).unwrap();
    assert_eq!(passport.certificate_url(), URL);
    assert_eq!(passport.signature(), &[7; 64]);
    let judged = |now_s, caller, called| passport.judge(now_s, &parties(caller, called));
    assert_eq!(judged(IAT, "+12155551212", "+1 (212) 555-1213"), Ok(()));
    assert_eq!(
        judged(IAT, "+12155551299", "+12125551213"),
        Err(Failure::Caller)
    );
    assert_eq!(
        judged(IAT, "anonymous", "+12125551213"),
        Err(Failure::Caller)
    );
    assert_eq!(
        judged(IAT, "+12155551212", "+12125551214"),
        Err(Failure::Called)
    );
    for (away, fresh) in [(60, true), (61, false), (-60, true), (-61, false)] {
        let judged = judged(IAT + away, "12155551212", "12125551213");
        let expected = if fresh { Ok(()) } else { Err(Failure::Stale) };
        assert_eq!(judged, expected, "{away} s after it was made");
    }
    assert_eq!(
        passport.verified(),
        Verdict::Verified {
            attest: Attest::Full,
            orig: "12155551212".to_owned(),
            origid: "123e4567-e89b-12d3-a456-426655440000".to_owned(),
        }
    );
}

#[test]
fn what_is_signed_is_what_stood_in_the_header() {
    let token = token(&jose("ES256"), &claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    let passport = read(&header(&jose("ES256"), &claims())).unwrap();
    assert_eq!(passport.signed(), signed.as_bytes());
}

#[test]
fn nothing_but_es256_is_a_signature() {
    for alg in ["none", "None", "HS256", "RS256", "es256", ""] {
        let value = header(&jose(alg), &claims());
        assert_eq!(read(&value), Err(Failure::Algorithm), "{alg}");
    }
    let value = header(&jose("ES256"), &claims()).replace("alg=ES256", "alg=none");
    assert_eq!(read(&value), Err(Failure::Algorithm));
}

#[test]
fn what_cannot_be_read_is_malformed_and_never_a_panic() {
    let good = header(&jose("ES256"), &claims());
    let unsigned = token(&jose("ES256"), &claims());
    let unsigned = unsigned.rsplit_once('.').unwrap().0;
    let bad = [
        String::new(),
        format!("..{};info=<{URL}>;ppt=shaken", "A".repeat(86)),
        format!("{unsigned}.;info=<{URL}>;ppt=shaken"),
        format!("{unsigned}.AAAA;info=<{URL}>;ppt=shaken"),
        good.replacen('.', "!", 1),
        format!("{good};{}", "x=1;".repeat(2_000)),
        header(&jose("ES256"), "[]"),
        header(&jose("ES256"), &claims().replace("\"A\"", "\"D\"")),
        header(&jose("ES256"), &claims().replace("iat", "tai")),
        header(&jose("ES256"), &claims().replace("origid", "other")),
        header(
            &jose("ES256"),
            &claims().replace("123e4567", &"9".repeat(60)),
        ),
        header(&jose("ES256").replace("shaken", "div"), &claims()),
        header(
            &jose("ES256"),
            &"[".repeat(1_000).replace('[', "{\"attest\":["),
        ),
    ];
    for value in &bad {
        assert_eq!(read(value), Err(Failure::Malformed), "{value}");
    }
    for end in 0..good.len() {
        let _ = read(&good[..end]);
    }
}

#[test]
fn a_certificate_is_asked_for_over_https_at_the_one_place_both_name() {
    let plain = |value: String| value.replace("https://", "http://");
    let elsewhere = header(&jose("ES256"), &claims()).replace("info=<https", "info=<HTTPS");
    let no_info = format!("{};ppt=shaken", token(&jose("ES256"), &claims()));
    let nowhere = jose("ES256").replace("x5u", "x5t");
    let long = jose("ES256").replace("passport.cer", &"p".repeat(600));
    for value in [
        plain(header(&plain(jose("ES256")), &claims())),
        elsewhere,
        no_info,
        header(&nowhere, &claims()),
        header(&long, &claims()),
    ] {
        assert_eq!(read(&value), Err(Failure::Reference), "{value}");
    }
}

#[test]
fn of_many_identity_headers_the_shaken_ones_are_read_and_no_more_than_four() {
    let line = |value: &str| format!("Identity: {value}\r\n");
    let shaken = header(&jose("ES256"), &claims());
    let div = shaken.replace("ppt=\"shaken\"", "ppt=\"div\"");
    let unnamed = shaken.replace(";ppt=\"shaken\"", "");
    assert_eq!(passports(&headers(&[])), []);
    assert_eq!(passports(&headers(&[line(&div), line(&unnamed)])), []);
    let compact = format!("y: {}\r\n", shaken.replace("\"shaken\"", "shaken"));
    let found = passports(&headers(&[line(&div), compact]));
    assert_eq!(found, [read(&shaken)]);
    let many: Vec<String> = (0..40).map(|_| line(&shaken)).collect();
    assert_eq!(passports(&headers(&many)).len(), 4);
    let huge = line(&format!("{shaken};x={}", "y".repeat(5_000)));
    assert_eq!(passports(&headers(&[huge])), [Err(Failure::Malformed)]);
}

#[test]
fn numbers_are_compared_without_what_people_put_between_digits() {
    assert_eq!(canonical("+1 (215) 555-12.12").unwrap(), "12155551212");
    assert_eq!(canonical("*67#").unwrap(), "*67#");
    for no in ["", "+", "alice", "1215555x", "１２", &"1".repeat(33)] {
        assert_eq!(canonical(no), None, "{no}");
    }
}

#[test]
fn each_failure_has_the_refusal_of_the_rfc() {
    let refusals: Vec<(&str, u16)> = Failure::ALL
        .iter()
        .map(|failure| (failure.as_str(), failure.refusal().0))
        .collect();
    let expected = [
        ("malformed", 438),
        ("algorithm", 438),
        ("stale", 403),
        ("caller", 438),
        ("called", 438),
        ("reference", 436),
        ("unreachable", 436),
        ("untrusted", 437),
        ("signature", 438),
    ];
    assert_eq!(refusals, expected);
    let absent = Verdict::NoSignature.refusal();
    assert_eq!(absent, Some((428, "Use Identity Header")));
}
