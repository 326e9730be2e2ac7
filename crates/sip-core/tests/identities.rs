//! Identities as carriers send them, and as we write them to carriers.

use bytes::Bytes;
use sip_core::{
    identity::{Caller, Forwarded, Identities, Naming, Source, has_secret},
    message::{Framing, Message, Request, parse},
};

fn invite(extra: &str) -> Request {
    let text = format!(
        "INVITE sip:+15550100002@203.0.113.7 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: \"Shown\" <sip:+15550100001@carrier.example>;tag=1\r\n\
         To: <sip:+15550100002@203.0.113.7>\r\n\
         Call-ID: 1@x\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:192.0.2.1>\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    match parse(&Bytes::from(text), Framing::Datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn read(extra: &str) -> Identities {
    let request = invite(extra);
    Identities::read(request.from(), request.headers())
}

const ORDER: [Source; 3] = [Source::Asserted, Source::RemoteParty, Source::From];

#[test]
fn the_caller_is_taken_from_the_first_header_of_the_order_that_is_there() {
    let user = |extra: &str| read(extra).caller(&ORDER).user.clone();
    assert_eq!(user(""), "+15550100001");
    assert_eq!(
        user("Remote-Party-ID: <sip:+15550100003@c>;party=called\r\n"),
        "+15550100001"
    );
    assert_eq!(
        user("Remote-Party-ID: <sip:+15550100003@c>;party=calling\r\n"),
        "+15550100003"
    );
    let both = "Remote-Party-ID: <sip:+15550100003@c>\r\nP-Asserted-Identity: \"A\" <sip:+15550100004;npdi@c>, <tel:+15550100005>\r\n";
    assert_eq!(user(both), "+15550100004");
    assert_eq!(read(both).asserted.len(), 2);
    assert_eq!(read(both).asserted[1].host, "");
    assert_eq!(read(both).caller(&[Source::From]).user, "+15550100001");
}

#[test]
fn a_hidden_caller_is_hidden_and_still_known_to_us() {
    for extra in [
        "Privacy: id\r\n",
        "Privacy: header;user; critical\r\n",
        "Remote-Party-ID: <sip:+15550100003@c>;privacy=full\r\n",
    ] {
        assert!(read(extra).is_hidden(), "{extra}");
    }
    assert!(!read("Privacy: none\r\n").is_hidden());
    assert!(read("Privacy: id;critical\r\n").privacy.critical);
    let hidden = read("P-Asserted-Identity: <tel:+15550100004>\r\nPrivacy: id\r\n");
    assert_eq!(hidden.caller(&ORDER).user, "+15550100004");
}

#[test]
fn forwarding_is_read_from_diversion_and_from_history_info() {
    let diverted = read(
        "Diversion: <sip:+15550100002@twilio.example>;reason=unconditional\r\nDiversion: <sip:+15550100009@x>;reason=\"user-busy\"\r\n",
    );
    let reasons: Vec<_> = diverted
        .diversions
        .iter()
        .map(|d| d.reason.as_deref())
        .collect();
    assert_eq!(reasons, [Some("unconditional"), Some("user-busy")]);
    assert_eq!(
        diverted.forwarded_by().map(|f| f.by.user.as_str()),
        Some("+15550100002")
    );
    let history = read(
        "History-Info: <sip:+15550100008@x;cause=302>;index=1, <sip:+15550100002@x>;index=1.1\r\n",
    );
    let first: &Forwarded = history.forwarded_by().unwrap();
    assert_eq!(
        (first.by.user.as_str(), first.reason.as_deref()),
        ("+15550100008", Some("302"))
    );
    assert!(
        read("History-Info: <sip:+15550100002@x>;index=1\r\n")
            .forwarded_by()
            .is_none()
    );
}

#[test]
fn a_header_that_cannot_be_read_costs_nothing() {
    let broken = read(
        "P-Asserted-Identity: <<<\r\nDiversion: nonsense\r\nRemote-Party-ID: \"\r\nHistory-Info: ,,,\r\nPrivacy: ;;\r\n",
    );
    assert_eq!(broken.caller(&ORDER).user, "+15550100001");
    let many = "Diversion: <sip:1@x>\r\n".repeat(60);
    assert!(read(&many).diversions.len() <= 16);
}

fn caller() -> Caller {
    Caller {
        display: Some("Front \"desk\"".into()),
        user: "+15550100001".into(),
        host: "203.0.113.7".into(),
        hidden: false,
        user_phone: false,
    }
}

#[test]
fn our_caller_is_named_as_the_trunk_wants_it() {
    let own = "\"Front \\\"desk\\\"\" <sip:+15550100001@203.0.113.7>";
    let named = caller().named(Naming::Asserted).unwrap();
    assert_eq!(named.from.to_string(), own);
    assert_eq!(named.headers, [("P-Asserted-Identity".into(), own.into())]);
    let named = caller().named(Naming::RemoteParty).unwrap();
    assert_eq!(
        named.headers[0].1,
        format!("{own};party=calling;privacy=off;screen=no")
    );
    assert!(
        caller()
            .named(Naming::FromAlone)
            .unwrap()
            .headers
            .is_empty()
    );
    let phone = Caller {
        user_phone: true,
        display: None,
        ..caller()
    }
    .named(Naming::FromAlone)
    .unwrap();
    assert_eq!(
        phone.from.to_string(),
        "<sip:+15550100001@203.0.113.7;user=phone>"
    );
}

#[test]
fn a_hidden_caller_of_ours_is_told_to_the_carrier_alone() {
    let named = Caller {
        hidden: true,
        ..caller()
    }
    .named(Naming::Asserted)
    .unwrap();
    assert_eq!(
        named.from.to_string(),
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
    );
    assert!(named.headers[0].1.contains("+15550100001"));
    assert_eq!(named.headers[1], ("Privacy".into(), "id".into()));
}

#[test]
fn nothing_in_a_name_or_number_can_break_out_of_its_header() {
    let evil = Caller {
        display: Some("x\r\nContact: <sip:evil@x>".into()),
        user: "1\r\nX: y@evil>;a=\"".into(),
        ..caller()
    };
    let named = evil.named(Naming::Asserted).unwrap();
    for text in [named.from.to_string(), named.headers[0].1.clone()] {
        assert!(!text.contains(['\r', '\n']), "{text}");
        assert_eq!(
            text.matches('>').count(),
            1 + text.matches("evil@x>").count(),
            "{text}"
        );
    }
    assert!(
        Caller {
            host: "a b".into(),
            ..caller()
        }
        .named(Naming::Asserted)
        .is_none()
    );
}

#[test]
fn a_key_in_a_uri_is_seen() {
    let uri = |text: &str| text.parse().unwrap();
    assert!(has_secret(&uri("sip:agent:sk_live_1@host")));
    assert!(!has_secret(&uri("sip:agent@host:5060")));
    assert!(!has_secret(&uri("sip:agent:@host")));
    assert!(!has_secret(&uri("tel:+15550100001")));
}
