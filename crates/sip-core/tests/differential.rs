//! Our reader beside rsip, a published one: where both take a message, they must see the same values.

#[path = "support/letters.rs"]
mod letters;

use bytes::Bytes;
use letters::{invite, request};
use rsip::prelude::{HeadersExt, UntypedHeader};
use sip_core::message::{Framing, Message, Request, parse};
use sip_core::value::{Host, Uri};

fn ours(bytes: &Bytes) -> Request {
    match parse(bytes, Framing::Datagram).expect("sound") {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// But for case: rsip writes `transport=tcp` back as `TCP`, we as it came.
fn same_text(mine: &Uri, theirs: &rsip::Uri) -> bool {
    mine.to_string().eq_ignore_ascii_case(&theirs.to_string())
}

#[test]
fn both_see_the_same_headers() {
    let cases = [
        invite(&[]),
        invite(&["From: \"Carol, the Caller\" <sip:+4930123@192.0.2.7;user=phone>;tag=abc"]),
        request(
            "OPTIONS",
            "sip:192.0.2.200:5080;transport=tcp",
            &["CSeq: 77 OPTIONS"],
            "",
        ),
        request(
            "BYE",
            "sips:1000@example.com",
            &["To: Bob <sip:b@c>;tag=x;y=z"],
            "",
        ),
    ];
    for bytes in cases {
        let mine = ours(&bytes);
        let theirs = rsip::Request::try_from(bytes.to_vec()).expect("rsip takes it too");
        assert_eq!(mine.method().to_string(), theirs.method.to_string());
        assert!(same_text(mine.uri(), &theirs.uri));
        assert_eq!(
            text(mine.call_id()),
            theirs.call_id_header().expect("id").value()
        );
        assert_eq!(
            text(mine.from().raw()),
            theirs.from_header().expect("from").value()
        );
        assert_eq!(
            text(mine.to().raw()),
            theirs.to_header().expect("to").value()
        );
        assert_eq!(
            text(mine.via().raw()),
            theirs.via_header().expect("via").value()
        );
        let tag = theirs.from_header().expect("from").tag().expect("tag");
        assert_eq!(
            mine.from().tag().map(text),
            tag.map(|tag| tag.value().to_owned())
        );
        let cseq = theirs.cseq_header().expect("cseq").seq().expect("seq");
        assert_eq!(mine.cseq(), cseq);
        assert_eq!(mine.body().to_vec(), theirs.body);
    }
}

#[test]
fn both_take_plain_uris_apart_alike() {
    for uri in [
        "sip:alice@example.com",
        "sip:+15550100@192.0.2.1:5070",
        "sips:bob@example.com;transport=tcp",
        "sip:example.com:5080;lr",
        "sip:carol@example.com;user=phone;x=y",
    ] {
        let mine: Uri = uri.parse().expect(uri);
        let theirs = rsip::Uri::try_from(uri).expect(uri);
        assert_eq!(
            mine.user(),
            theirs.auth.as_ref().map(|auth| auth.user.clone()),
            "{uri}"
        );
        let host = mine.host().map(Host::to_string);
        assert_eq!(host, Some(theirs.host_with_port.host.to_string()), "{uri}");
        let port = theirs
            .host_with_port
            .port
            .as_ref()
            .map(|port| *port.value());
        assert_eq!(mine.port(), port, "{uri}");
        assert!(same_text(&mine, &theirs), "{mine} and {theirs}");
    }
}

/// What rsip loses or refuses, and why it does not read our wire. When one of these fails, rsip has learnt something.
#[test]
fn what_the_other_reader_cannot_do() {
    let long = text(&invite(&[]));
    let compact = long
        .replace("Via:", "v:")
        .replace("From:", "f:")
        .replace("Call-ID:", "i:");
    let compact = Bytes::from(compact);
    assert_eq!(ours(&compact).call_id(), ours(&invite(&[])).call_id());
    let theirs = rsip::Request::try_from(compact.to_vec()).expect("rsip reads lines");
    assert!(theirs.via_header().is_err(), "rsip finds no compact Via");

    let lying = Bytes::from(long.replace("Content-Length: 1", "Content-Length: 999991"));
    assert!(parse(&lying, Framing::Datagram).is_err());
    assert!(
        rsip::Request::try_from(lying.to_vec()).is_ok(),
        "rsip ignores Content-Length"
    );

    let v6: Uri = "sip:a@[2001:db8::1]:5070".parse().expect("ours");
    assert_eq!(
        v6.host().and_then(Host::ip),
        Some("2001:db8::1".parse().expect("ip"))
    );
    let tel: Uri = "tel:+4930123456;phone-context=x".parse().expect("ours");
    assert_eq!(tel.user().as_deref(), Some("+4930123456"));
}
