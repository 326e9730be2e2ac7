//! URIs, names, Vias, CSeqs and reasons: what is taken, what is refused, and where the fault is.

use bytes::Bytes;
use sip_core::message::{Draft, Fault, Framing, MAX_HEADERS, Method, parse};
use sip_core::value::uri::Scheme;
use sip_core::value::{CSeq, Host, NameAddr, Reason, Uri, Via};

fn raw(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn uris_are_taken_apart() {
    let uri: Uri = "sip:%2B1555;x=1:secret@[2001:db8::7]:5061;transport=tcp;lr?Subject=hi"
        .parse()
        .expect("uri");
    assert_eq!(uri.scheme(), Scheme::Sip);
    assert_eq!(uri.user().as_deref(), Some("+1555;x=1"));
    assert_eq!(uri.password().map(Bytes::as_ref), Some(b"secret".as_ref()));
    assert_eq!(
        uri.host().and_then(Host::ip),
        Some("2001:db8::7".parse().expect("ip"))
    );
    assert_eq!(
        (uri.port(), uri.param("Transport"), uri.has_param("LR")),
        (Some(5061), Some(b"tcp".as_ref()), true)
    );
    assert_eq!(
        uri.headers().map(Bytes::as_ref),
        Some(b"Subject=hi".as_ref())
    );
    let tel: Uri = "tel:+1-201-555-0123;phone-context=x".parse().expect("tel");
    assert_eq!(
        (tel.scheme(), tel.user().as_deref(), tel.host()),
        (Scheme::Tel, Some("+1-201-555-0123"), None)
    );
    let other: Uri = "urn:service:sos".parse().expect("urn");
    assert_eq!(other.scheme(), Scheme::Other(raw("urn")));
    let made = Uri::sip(Some("a b@c"), "2001:db8::1", Some(5080)).expect("made");
    assert_eq!(made.to_string(), "sip:a%20b%40c@[2001:db8::1]:5080");
    assert_eq!(made.user().as_deref(), Some("a b@c"));
}

#[test]
fn broken_uris_are_refused() {
    for bad in [
        "",
        "sip:",
        "noscheme",
        "sip:@host",
        "sip:a@b@c",
        "sip:a@",
        "sip:a b@c",
        "sip:a@[::1",
        "sip:a@[nonsense]",
        "sip:a@b:65536",
        "sip:a@b:-1",
        "sip:a@b:",
        "sip:a%4@b",
        "sip:a@b;;lr",
        "sip:a@b;=x",
        "sip:a@ho st",
        "<sip:a@b>",
        "tel:",
        "tel:;x",
        "1x:y",
        "sip:a@b\r\nEvil: 1",
    ] {
        assert!(bad.parse::<Uri>().is_err(), "{bad:?}");
    }
}

#[test]
fn names_keep_what_carriers_send() {
    let name = NameAddr::parse(&raw(
        "\"Smith \\\"Bob\\\", Jr\" <sip:b@x;user=phone>;tag=1;x=\"a;b\"",
    ))
    .expect("name");
    assert_eq!(name.display().as_deref(), Some("Smith \"Bob\", Jr"));
    assert_eq!(
        (name.tag(), name.param("x")),
        (Some(b"1".as_ref()), Some(b"a;b".as_ref()))
    );
    assert_eq!(name.uri().param("user"), Some(b"phone".as_ref()));
    let latin = NameAddr::parse(&Bytes::from_static(b"M\xfcller <sip:m@x>")).expect("Latin-1");
    assert_eq!(latin.display().as_deref(), Some("M\u{fffd}ller"));
    let list =
        NameAddr::parse_list(&raw("<sip:a;lr>, \"x, y\" <sip:b;lr> ,<sip:c>")).expect("list");
    assert_eq!(list.len(), 3);
    for bad in [
        "\"open <sip:a@b>",
        "<sip:a@b",
        "a,b <sip:a@b>",
        "< sip:a@b>",
        "sip:a@b?x=y",
        "",
        "<>",
        "x@y <sip:a@b>",
    ] {
        assert!(NameAddr::parse(&raw(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn vias_cseqs_and_reasons() {
    let via = Via::parse(&raw(
        "SIP / 2.0 / UDP  [::1] : 5070 ;rport; branch = z9hG4bKx;received=2001:db8::9",
    ))
    .expect("via");
    assert_eq!((via.port(), via.wants_rport()), (Some(5070), true));
    assert_eq!(via.param("received"), Some(b"2001:db8::9".as_ref()));
    for bad in [
        "SIP/2.0/UDP",
        "SIP/2.0 host",
        "SIP/2.0/UDP host;;x",
        "SIP/2.0/UDP ho st",
        "",
    ] {
        assert!(Via::parse(&raw(bad)).is_err(), "{bad:?}");
    }
    assert_eq!(
        CSeq::parse(&raw("2147483647 INVITE")).expect("cseq").method,
        Method::Invite
    );
    for bad in [
        "2147483648 INVITE",
        "-1 INVITE",
        "1",
        "1 INV ITE",
        "x INVITE",
        "",
    ] {
        assert!(CSeq::parse(&raw(bad)).is_err(), "{bad:?}");
    }
    let reasons = Reason::parse_list(&raw(
        "SIP;cause=200;text=\"Call completed, elsewhere\", Q.850;cause=16",
    ));
    assert_eq!(reasons.len(), 2);
    assert_eq!(
        reasons[0].text.as_deref(),
        Some("Call completed, elsewhere")
    );
    assert_eq!(reasons[1].cause, Some(16));
    assert_eq!(
        Reason::q850(16, "a\"\r\nb").to_string(),
        "Q.850;cause=16;text=\"ab\""
    );
}

fn message(headers: &str) -> Bytes {
    raw(&format!(
        "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
         Call-ID: i\r\nCSeq: 1 OPTIONS\r\n{headers}\r\n"
    ))
}

fn fault(bytes: &Bytes) -> Fault {
    parse(bytes, Framing::Datagram).expect_err("refused").fault
}

#[test]
fn the_readers_limits_hold_and_are_named() {
    assert!(
        parse(
            &message(&"X: y\r\n".repeat(MAX_HEADERS - 5)),
            Framing::Datagram
        )
        .is_ok()
    );
    assert_eq!(
        fault(&message(&"X: y\r\n".repeat(MAX_HEADERS - 4))),
        Fault::TooManyHeaders
    );
    assert_eq!(
        fault(&message(&format!("X: {}\r\n", "y".repeat(8_200)))),
        Fault::HeaderTooLong
    );
    assert!(
        parse(
            &message(&format!("X: y\r\n{}", " z\r\n".repeat(32))),
            Framing::Datagram
        )
        .is_ok()
    );
    assert_eq!(
        fault(&message(&format!("X: y\r\n{}", " z\r\n".repeat(33)))),
        Fault::TooManyFolds
    );
    assert_eq!(fault(&message("X: a\nY: b\r\n")), Fault::BareLineEnd);
    assert_eq!(fault(&message("X: a\rY: b\r\n")), Fault::BareLineEnd);
    assert_eq!(
        fault(&message("no colon here\r\n")),
        Fault::Value("a line that is no header")
    );
    let long = Draft::request(&Method::Options, b"sip:x").finish(&vec![b'x'; 70_000]);
    assert_eq!(fault(&long), Fault::TooLong);
}

#[test]
fn one_consistent_length_or_none_over_datagrams() {
    let body = |headers: &str, body: &str| {
        let text = [message(headers).as_ref(), body.as_bytes()].concat();
        parse(&Bytes::from(text), Framing::Datagram)
    };
    let length = |parsed: Result<sip_core::message::Message, _>| match parsed {
        Ok(sip_core::message::Message::Request(request)) => Some(request.body().len()),
        _ => None,
    };
    assert_eq!(
        length(body("", "hello")),
        Some(5),
        "the rest of the datagram"
    );
    assert_eq!(length(body("l: 2\r\n", "hello")), Some(2));
    assert_eq!(
        length(body("l: 2\r\nContent-Length: 2\r\n", "hello")),
        Some(2)
    );
    for bad in [
        "l: 2\r\nl: 3\r\n",
        "l: 6\r\n",
        "l: 0x2\r\n",
        "l: +2\r\n",
        "l: 2, 2\r\n",
        "l:\r\n",
    ] {
        assert_eq!(length(body(bad, "hello")), None, "{bad:?}");
    }
}
