//! The published examples, and both sides against each other.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::message::{Framing, Headers, Message, Method, parse};

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::from_secs(7);
const BOTH: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

/// RFC 7616 §3.9.1.
const NONCE: &[u8] = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const CNONCE: &[u8] = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

fn example(algorithm: Algorithm) -> String {
    let ha1 = Ha1::of(
        algorithm,
        "Mufasa",
        "http-auth@example.org",
        "Circle of Life",
    );
    ha1.response(&Said {
        method: b"GET",
        uri: b"/dir/index.html",
        nonce: NONCE,
        counted: Some(("00000001", CNONCE)),
    })
}

#[test]
fn the_examples_of_rfc_7616_come_out() {
    assert_eq!(example(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
    assert_eq!(example(Algorithm::Sha256), sha256);
}

#[test]
fn the_example_of_rfc_2617_comes_out() {
    let ha1 = Ha1::of(
        Algorithm::Md5,
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
    );
    let said = Said {
        method: b"GET",
        uri: b"/dir/index.html",
        nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
        counted: Some(("00000001", b"0a4f113b")),
    };
    assert_eq!(ha1.response(&said), "6629fae49393a05397450978507c4ef1");
    let old = Said {
        counted: None,
        ..said
    };
    assert_eq!(ha1.response(&old), "670fd8c2df070c60b045671b8b24ff02");
}

/// A message with these headers.
fn headers(lines: &[(&str, String)]) -> Headers {
    let mut text = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n".to_owned();
    for (name, value) in lines {
        text += &format!("{name}: {value}\r\n");
    }
    text += "Content-Length: 0\r\n\r\n";
    match parse(&Bytes::from(text), Framing::Datagram).unwrap() {
        Message::Request(request) => request.headers().clone(),
        Message::Response(response) => response.headers().clone(),
    }
}

fn challenge(values: &[String]) -> Headers {
    let lines: Vec<_> = values
        .iter()
        .map(|value| ("WWW-Authenticate", value.clone()))
        .collect();
    headers(&lines)
}

fn server(algorithms: &[Algorithm]) -> DigestServer {
    DigestServer::new([9; 32], MINUTE, 100, algorithms.to_vec())
}

fn login(password: &str) -> Login {
    Login {
        user: "1001".into(),
        password: Zeroizing::new(password.into()),
        realms: vec!["pbx.example".into()],
    }
}

fn answer(asker: &mut Asker, method: &Method, cnonce: &str) -> Credentials {
    let cnonce = Bytes::copy_from_slice(cnonce.as_bytes());
    let lines = asker.headers(method, b"sip:pbx.example", &cnonce);
    Credentials::find(&headers(&lines), "Authorization", "pbx.example").expect("credentials")
}

fn secret(credentials: &Credentials, password: &str) -> Ha1 {
    Ha1::of(
        credentials.algorithm,
        &credentials.user,
        "pbx.example",
        password,
    )
}

#[test]
fn a_client_and_a_server_agree_once_for_each_count() {
    for algorithms in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        let mut server = server(algorithms);
        let mut asker = Asker::new(login("secret"));
        let values = server.challenges(NOW, "pbx.example", false);
        assert_eq!(values.len(), algorithms.len());
        let mut answered = Answered::default();
        asker
            .challenged(401, &challenge(&values), &mut answered)
            .unwrap();
        for round in 0..3 {
            let given = answer(&mut asker, &Method::Register, "cn");
            assert_eq!(given.algorithm, algorithms[0], "the strongest");
            let secret = secret(&given, "secret");
            let mut judge = |method| server.judge(NOW, &method, &given, Some(&secret));
            assert_eq!(judge(Method::Invite), Verdict::Bad, "another method");
            assert_eq!(judge(Method::Register), Verdict::Good, "round {round}");
            assert_eq!(judge(Method::Register), Verdict::Stale, "a replay");
        }
        assert_eq!(server.remembered(), 1);
    }
}

#[test]
fn no_user_and_a_wrong_password_are_the_same_answer() {
    let mut server = server(&BOTH);
    let mut asker = Asker::new(login("guess"));
    let values = server.challenges(NOW, "pbx.example", false);
    asker
        .challenged(401, &challenge(&values), &mut Answered::default())
        .unwrap();
    let given = answer(&mut asker, &Method::Register, "cn");
    let right = secret(&given, "secret");
    assert_eq!(
        server.judge(NOW, &Method::Register, &given, Some(&right)),
        Verdict::Bad
    );
    assert_eq!(
        server.judge(NOW, &Method::Register, &given, None),
        Verdict::Bad
    );
    // Not even the decoy's own response opens anything.
    let decoy = Ha1::of(given.algorithm, &given.user, "", "");
    let forged = given.forged(&decoy, &Method::Register);
    assert_eq!(
        server.judge(NOW, &Method::Register, &forged, None),
        Verdict::Bad
    );
    assert_eq!(
        server.remembered(),
        0,
        "what is wrong leaves nothing behind"
    );
}

#[test]
fn an_old_nonce_is_stale_and_the_client_tries_again_by_itself() {
    let mut server = server(&BOTH);
    let mut asker = Asker::new(login("secret"));
    let mut answered = Answered::default();
    let first = server.challenges(NOW, "pbx.example", false);
    asker
        .challenged(401, &challenge(&first), &mut answered)
        .unwrap();
    let given = answer(&mut asker, &Method::Invite, "cn");
    let secret = secret(&given, "secret");
    let later = NOW + MINUTE + MINUTE;
    assert_eq!(
        server.judge(later, &Method::Invite, &given, Some(&secret)),
        Verdict::Stale
    );
    let again = server.challenges(later, "pbx.example", true);
    asker
        .challenged(401, &challenge(&again), &mut answered)
        .unwrap();
    let given = answer(&mut asker, &Method::Invite, "cn");
    assert_eq!(
        server.judge(later, &Method::Invite, &given, Some(&secret)),
        Verdict::Good
    );
}

#[test]
fn a_request_is_not_sent_again_for_ever() {
    let mut server = server(&BOTH);
    let mut asker = Asker::new(login("secret"));
    let plain = challenge(&server.challenges(NOW, "pbx.example", false));
    let stale = challenge(&server.challenges(NOW, "pbx.example", true));
    let wrong = Refused::WrongPassword {
        realm: "pbx.example".into(),
    };
    let mut answered = Answered::default();
    asker.challenged(401, &plain, &mut answered).unwrap();
    assert_eq!(
        asker.challenged(401, &plain, &mut answered),
        Err(wrong.clone())
    );
    let mut answered = Answered::default();
    let rounds = (0..10).take_while(|_| asker.challenged(401, &stale, &mut answered).is_ok());
    assert!(rounds.count() <= 3);
    assert_eq!(asker.challenged(401, &stale, &mut answered), Err(wrong));
}

#[test]
fn a_challenge_that_is_not_ours_gets_nothing() {
    let other = |realm: &str| {
        challenge(&[format!(
            "Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\""
        )])
    };
    let mut asker = Asker::new(login("secret"));
    let answered = &mut Answered::default();
    let realm = "evil.example".to_owned();
    let refused = asker.challenged(401, &other("evil.example"), answered);
    assert_eq!(refused, Err(Refused::OtherRealm { realm }));
    let cnonce = Bytes::from_static(b"cn");
    assert_eq!(asker.headers(&Method::Invite, b"sip:x", &cnonce), vec![]);
    for value in [
        "Basic realm=\"pbx.example\"",
        "Digest realm=\"pbx.example\", nonce=\"n\", algorithm=SHA-512-256, qop=\"auth\"",
        "Digest realm=\"pbx.example\", nonce=\"n\", algorithm=MD5-sess, qop=\"auth\"",
        "Digest realm=\"pbx.example\", nonce=\"n\", qop=\"auth-int\"",
        "Digest realm=\"pbx.example\", qop=\"auth\"",
        "Digest nonce=\"n\", qop=\"auth\"",
        "nonsense",
    ] {
        let refused = asker.challenged(401, &challenge(&[value.to_owned()]), answered);
        assert_eq!(refused, Err(Refused::Unknown), "{value}");
    }
    // Without a name of its own it answers the first realm and sticks to it.
    let mut open = Asker::new(Login {
        realms: vec![],
        ..login("secret")
    });
    open.challenged(401, &other("first.example"), answered)
        .unwrap();
    assert!(
        open.challenged(401, &other("evil.example"), answered)
            .is_err()
    );
    assert_eq!(open.realms(), ["first.example"]);
}

#[test]
fn a_proxy_and_the_far_side_are_answered_each_in_its_header() {
    let mut asker = Asker::new(Login {
        realms: vec!["a".into(), "b".into()],
        ..login("secret")
    });
    let answered = &mut Answered::default();
    let ask = |name, realm: &str| {
        headers(&[(
            name,
            format!("Digest realm=\"{realm}\", nonce=\"n\\\"\", opaque=\"o\""),
        )])
    };
    asker
        .challenged(407, &ask("Proxy-Authenticate", "a"), answered)
        .unwrap();
    asker
        .challenged(401, &ask("WWW-Authenticate", "b"), answered)
        .unwrap();
    let lines = asker.headers(&Method::Invite, b"sip:x", &Bytes::from_static(b"cn"));
    let names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["Proxy-Authorization", "Authorization"]);
    assert!(lines[0].1.contains("realm=\"a\"") && lines[0].1.contains("opaque=\"o\""));
    assert!(
        lines[0].1.contains("nonce=\"n\\\"\"") && !lines[0].1.contains("qop"),
        "{}",
        lines[0].1
    );
}

#[test]
fn what_is_not_offered_or_malformed_is_no_credential() {
    let mut server = server(&BOTH[..1]);
    let nonce = server.challenges(NOW, "r", false)[0].clone();
    let nonce = nonce
        .split("nonce=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let ha1 = Ha1::of(Algorithm::Md5, "u", "r", "p");
    let said = Said {
        method: b"REGISTER",
        uri: b"sip:r",
        nonce: nonce.as_bytes(),
        counted: None,
    };
    let response = ha1.response(&said);
    let line = format!(
        "Digest username=\"u\", realm=\"r\", nonce=\"{nonce}\", uri=\"sip:r\", response=\"{response}\""
    );
    let find = |text: &str, realm| {
        Credentials::find(
            &headers(&[("Authorization", text.to_owned())]),
            "Authorization",
            realm,
        )
    };
    let given = find(&line, "r").unwrap();
    let verdict = server.judge(NOW, &Method::Register, &given, Some(&ha1));
    assert_eq!(verdict, Verdict::Bad, "MD5 was not offered");
    assert_eq!(find(&line, "other"), None);
    for change in [
        ", qop=auth",
        ", qop=auth-int",
        ", qop=auth, nc=1, cnonce=\"c\"",
        ", qop=auth, nc=+0000001, cnonce=\"c\"",
        ", algorithm=MD5-sess",
        ", username=\"v\"",
    ] {
        assert_eq!(find(&format!("{line}{change}"), "r"), None, "{change}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let asker = Asker::new(login("correct horse"));
    let ha1 = Ha1::of(Algorithm::Md5, "u", "r", "p");
    let shown = format!("{asker:?} {ha1:?} {:?}", login("correct horse"));
    assert!(
        !shown.contains("horse") && !shown.contains(ha1.hex.as_str()),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_user_realm_and_password_authenticate_and_no_other_password_does(
        user in "[^\\p{C}]{1,20}", realm in "[^\\p{C}]{1,20}", password in ".{0,20}", guess in ".{0,20}",
        strong in any::<bool>(),
    ) {
        prop_assume!(user.trim() == user && realm.trim() == realm);
        let algorithm = if strong { Algorithm::Sha256 } else { Algorithm::Md5 };
        let mut server = server(&[algorithm]);
        let login = Login { user: user.clone(), password: Zeroizing::new(password.clone()), realms: vec![realm.clone()] };
        let mut asker = Asker::new(login);
        let values = server.challenges(NOW, &realm, false);
        asker.challenged(401, &challenge(&values), &mut Answered::default()).unwrap();
        let lines = asker.headers(&Method::Register, b"sip:x", &Bytes::from_static(b"cn"));
        let given = Credentials::find(&headers(&lines), "Authorization", &realm).unwrap();
        prop_assert_eq!(&given.user, &user);
        let wrong = Ha1::of(algorithm, &user, &realm, &guess);
        if guess != password {
            prop_assert_eq!(server.judge(NOW, &Method::Register, &given, Some(&wrong)), Verdict::Bad);
        }
        let right = Ha1::of(algorithm, &user, &realm, &password);
        prop_assert_eq!(server.judge(NOW, &Method::Register, &given, Some(&right)), Verdict::Good);
    }

    #[test]
    fn no_header_panics_or_opens(text in "(Digest )?[ -~\\t]{0,120}") {
        let found = Credentials::find(&headers(&[("Authorization", text.clone())]), "Authorization", "r");
        if let Some(given) = found {
            let secret = Ha1::of(given.algorithm, &given.user, "r", "p");
            prop_assert_eq!(server(&BOTH).judge(NOW, &Method::Register, &given, Some(&secret)), Verdict::Bad);
        }
        let mut asker = Asker::new(login("secret"));
        let _ = asker.challenged(401, &challenge(&[text]), &mut Answered::default());
    }
}
