//! One dialog against messages written by hand: routing, forks, and everything a far side may send in a call.

#[path = "support/letters.rs"]
mod letters;

use std::time::Duration;

use bytes::Bytes;
use letters::{OFFER, address, endpoint, invite, receive, request, udp};
use sip_core::dialog::{
    Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, DialogSeed, OutboundCall,
};
use sip_core::endpoint::{EndpointConfig, EndpointEffect};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Framing, Message, Request, Response, parse};
use sip_core::offer_answer::{CodecCapability, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy};
use sip_core::tokens::TokenSource;
use sip_core::value::{NameAddr, Reason, Uri};

const PEER: &str = "192.0.2.7:5060";

fn config() -> DialogConfig {
    let policy = MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: Some(101),
        negotiation: Negotiation::Offerer,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp: SrtpPolicy::Off,
    };
    DialogConfig::new("192.0.2.200", 5060, policy)
}

fn media() -> MediaAddress {
    MediaAddress {
        ip: "192.0.2.200".parse().expect("ip"),
        port: 20_000,
    }
}

#[derive(Default)]
struct Said {
    sent: Vec<(Flow, Message)>,
    events: Vec<DialogEvent>,
}

impl Said {
    fn of(dialog: &mut Dialog) -> Self {
        let mut said = Self::default();
        while let Some(effect) = dialog.poll_effect() {
            match effect {
                DialogEffect::Transmit { flow, bytes } => {
                    let message = parse(&bytes, Framing::Stream).expect("sound");
                    said.sent.push((flow, message));
                }
                DialogEffect::Event(event) => said.events.push(event),
                DialogEffect::WantTarget => panic!("it has one target"),
            }
        }
        said
    }

    fn requests(&self) -> Vec<(Flow, &Request)> {
        let requests = self
            .sent
            .iter()
            .filter_map(|(flow, message)| match message {
                Message::Request(request) => Some((*flow, request)),
                Message::Response(_) => None,
            });
        requests.collect()
    }

    fn methods(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        requests
            .map(|(_, request)| request.method().to_string())
            .collect()
    }

    fn response(&self) -> &Response {
        let found = self.sent.iter().find_map(|(_, message)| match message {
            Message::Response(response) => Some(response),
            Message::Request(_) => None,
        });
        found.expect("a response")
    }
}

fn new_call(extra: &[&str], source: &str) -> Dialog {
    let mut endpoint = endpoint(EndpointConfig::default());
    match receive(&mut endpoint, 0, udp(source), invite(extra)).pop() {
        Some(EndpointEffect::NewInvite(invite)) => {
            Dialog::uas(Duration::ZERO, config(), TokenSource::new([3; 32]), *invite)
        }
        other => panic!("no call: {other:?}"),
    }
}

/// A called dialog, answered and acknowledged.
fn answered(extra: &[&str], source: &str) -> Dialog {
    let mut dialog = new_call(extra, source);
    dialog.handle(Duration::ZERO, DialogInput::Answer { media: media() });
    far(&mut dialog, 0, "ACK", &["CSeq: 1 ACK"], "");
    Said::of(&mut dialog);
    dialog
}

/// A request of the far side inside the dialog.
fn far(dialog: &mut Dialog, at_ms: u64, method: &str, extra: &[&str], body: &str) -> Said {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let to = format!(
        "To: <sip:1000@192.0.2.200>;tag={}",
        text(&dialog.id().local_tag)
    );
    let via = format!("Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{method}{at_ms}");
    let mut lines = vec![to.as_str(), via.as_str()];
    lines.extend(extra);
    let bytes = request(method, "sip:1000@192.0.2.200:5060", &lines, body);
    let message = Box::new(parse(&bytes, Framing::Datagram).expect("sound"));
    let flow = udp(PEER);
    let input = DialogInput::Received { flow, message };
    dialog.handle(Duration::from_millis(at_ms), input);
    Said::of(dialog)
}

fn hang_up(dialog: &mut Dialog) -> Said {
    let reason = Some(Reason::q850(16, "Normal call clearing"));
    dialog.handle(Duration::from_secs(1), DialogInput::Hangup { reason });
    Said::of(dialog)
}

fn header(request: &Request, name: &str) -> Vec<String> {
    let values = request.headers().all(name);
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn the_route_set_is_kept_verbatim_and_used() {
    let record = "Record-Route: <sip:192.0.2.50;lr;r2=on>, <sip:edge.example.com;lr;twnat=sip:a:1>";
    let mut dialog = answered(&[record], PEER);
    let said = hang_up(&mut dialog);
    let (flow, bye) = said.requests()[0];
    assert_eq!(
        flow.remote,
        address("192.0.2.50:5060"),
        "the first route is the next hop"
    );
    assert_eq!(bye.uri().to_string(), "sip:caller@192.0.2.7:5060");
    let routes = [
        "<sip:192.0.2.50;lr;r2=on>",
        "<sip:edge.example.com;lr;twnat=sip:a:1>",
    ];
    assert_eq!(header(bye, "Route"), routes);
    assert_eq!(
        header(bye, "Reason"),
        ["Q.850;cause=16;text=\"Normal call clearing\""]
    );
    assert_eq!(bye.from().tag(), Some(dialog.id().local_tag.as_ref()));
    assert_eq!(bye.to().tag(), Some(b"far".as_ref()));
}

#[test]
fn a_strict_router_takes_the_request_uri() {
    let mut dialog = answered(
        &["Record-Route: <sip:192.0.2.50>, <sip:192.0.2.51;lr>"],
        PEER,
    );
    let said = hang_up(&mut dialog);
    let (_, bye) = said.requests()[0];
    assert_eq!(bye.uri().to_string(), "sip:192.0.2.50");
    assert_eq!(
        header(bye, "Route"),
        ["<sip:192.0.2.51;lr>", "<sip:caller@192.0.2.7:5060>"]
    );
}

#[test]
fn a_private_contact_behind_a_public_peer_is_not_sent_to() {
    let contact = "Contact: <sip:caller@172.25.1.9:5090>";
    let mut dialog = answered(&[contact], "198.51.100.9:1025");
    let said = hang_up(&mut dialog);
    let (flow, bye) = said.requests()[0];
    assert_eq!(flow.remote, address("198.51.100.9:1025"));
    assert_eq!(bye.uri().to_string(), "sip:caller@172.25.1.9:5090");
    let mut dialog = answered(&["Contact: <sip:caller@203.0.113.4:5090>"], PEER);
    let said = hang_up(&mut dialog);
    assert_eq!(said.requests()[0].0.remote, address("203.0.113.4:5090"));
}

#[test]
fn a_target_refresh_moves_the_target_and_never_the_routes() {
    let mut dialog = answered(&["Record-Route: <sip:192.0.2.50;lr>"], PEER);
    let moved = [
        "CSeq: 2 INVITE",
        "Contact: <sip:moved@192.0.2.8>",
        "Record-Route: <sip:other;lr>",
    ];
    let said = far(&mut dialog, 10, "INVITE", &moved, OFFER);
    assert_eq!(said.response().status(), 200);
    assert!(
        said.events.is_empty(),
        "an identical offer is no news: {:?}",
        said.events
    );
    far(&mut dialog, 20, "ACK", &["CSeq: 2 ACK"], "");
    let said = hang_up(&mut dialog);
    let (_, bye) = said.requests()[0];
    assert_eq!(bye.uri().to_string(), "sip:moved@192.0.2.8");
    assert_eq!(header(bye, "Route"), ["<sip:192.0.2.50;lr>"]);
}

#[test]
fn what_a_far_side_may_send_gets_the_right_answer() {
    let mut dialog = answered(&[], PEER);
    let t38 = OFFER.replace("m=audio 40000 RTP/AVP 0 8 101", "m=image 40000 udptl t38");
    let cases: [(&str, &[&str], &str, u16); 12] = [
        ("OPTIONS", &["CSeq: 10 OPTIONS"], "", 200),
        ("UPDATE", &["CSeq: 11 UPDATE"], "", 200),
        ("UPDATE", &["CSeq: 12 UPDATE"], OFFER, 200),
        ("PRACK", &["CSeq: 13 PRACK", "RAck: 1 1 INVITE"], "", 481),
        ("NOTIFY", &["CSeq: 14 NOTIFY", "Event: refer"], "", 481),
        ("WHATEVER", &["CSeq: 15 WHATEVER"], "", 501),
        (
            "INFO",
            &["CSeq: 16 INFO", "Content-Type: text/plain"],
            "hello",
            415,
        ),
        ("INFO", &["CSeq: 17 INFO"], "", 200),
        ("INVITE", &["CSeq: 18 INVITE"], &t38, 488),
        (
            "INVITE",
            &["CSeq: 19 INVITE", "Require: precondition"],
            OFFER,
            420,
        ),
        ("INFO", &["CSeq: 5 INFO"], "", 500),
        (
            "INFO",
            &["CSeq: 30 INFO", "From: <sip:caller@192.0.2.7>;tag=stranger"],
            "",
            481,
        ),
    ];
    for (at, (method, extra, body, status)) in cases.into_iter().enumerate() {
        let said = far(&mut dialog, 100 + at as u64, method, extra, body);
        assert_eq!(said.response().status(), status, "{method} {extra:?}");
        assert!(said.events.is_empty(), "{:?}", said.events);
    }
    assert!(
        dialog.agreed().is_some(),
        "a refused T.38 offer keeps the audio"
    );
    let said = far(
        &mut dialog,
        900,
        "INFO",
        &["CSeq: 40 INFO", "Content-Type: application/dtmf-relay"],
        "Signal=5\r\n",
    );
    assert!(matches!(said.events[..], [DialogEvent::Info { .. }]));
    let said = far(
        &mut dialog,
        900,
        "INFO",
        &["CSeq: 40 INFO", "Content-Type: application/dtmf-relay"],
        "Signal=5\r\n",
    );
    assert_eq!(
        (said.response().status(), said.events.len()),
        (200, 0),
        "a copy is answered, not heard twice"
    );
}

#[test]
fn a_reinvite_without_an_offer_gets_one_and_a_second_meanwhile_491() {
    let mut dialog = answered(&[], PEER);
    let said = far(&mut dialog, 10, "INVITE", &["CSeq: 2 INVITE"], "");
    assert!(said.response().has_sdp());
    let said = far(&mut dialog, 20, "INVITE", &["CSeq: 3 INVITE"], OFFER);
    assert_eq!(said.response().status(), 491);
    let said = far(&mut dialog, 30, "UPDATE", &["CSeq: 4 UPDATE"], OFFER);
    assert_eq!(said.response().status(), 491);
    let held = OFFER.replace("a=fmtp", "a=sendonly\r\na=fmtp");
    let said = far(&mut dialog, 40, "ACK", &["CSeq: 2 ACK"], &held);
    assert!(matches!(&said.events[..], [DialogEvent::Media(agreed)] if agreed.on_hold));
}

#[test]
fn a_bye_before_the_answer_ends_the_invite_with_487() {
    let mut dialog = new_call(&[], PEER);
    dialog.handle(Duration::ZERO, DialogInput::Ring);
    Said::of(&mut dialog);
    let said = far(&mut dialog, 10, "BYE", &["CSeq: 2 BYE"], "");
    let statuses: Vec<u16> = said
        .sent
        .iter()
        .map(|(_, message)| match message {
            Message::Response(response) => response.status(),
            Message::Request(_) => 0,
        })
        .collect();
    assert_eq!(statuses, [200, 487]);
}

#[test]
fn a_useless_offer_is_refused_at_once() {
    for (body, status) in [
        (
            OFFER.replace(" 0 8 101", " 18").replace("a=rtpmap", "a=x"),
            488,
        ),
        ("v=0\r\nm=audio\r\n".to_owned(), 400),
    ] {
        let mut endpoint = endpoint(EndpointConfig::default());
        let bytes = request("INVITE", "sip:1@192.0.2.200", &[], &body);
        let Some(EndpointEffect::NewInvite(new)) =
            receive(&mut endpoint, 0, udp(PEER), bytes).pop()
        else {
            panic!("no call");
        };
        let mut dialog = Dialog::uas(Duration::ZERO, config(), TokenSource::new([3; 32]), *new);
        let said = Said::of(&mut dialog);
        let statuses = said.sent.iter().map(|(_, message)| match message {
            Message::Response(response) => response.status(),
            Message::Request(_) => 0,
        });
        assert_eq!(statuses.collect::<Vec<_>>(), [100, status]);
    }
}

#[test]
fn ringing_is_repeated_each_minute() {
    let mut dialog = new_call(&[], PEER);
    dialog.handle(Duration::ZERO, DialogInput::Ring);
    Said::of(&mut dialog);
    assert_eq!(dialog.poll_timeout(), Some(Duration::from_secs(60)));
    dialog.handle_timeout(Duration::from_secs(60));
    assert_eq!(Said::of(&mut dialog).response().status(), 180);
}

/// A placed call and its INVITE.
fn placed() -> (Dialog, Request) {
    let uri = |text: &str| text.parse::<Uri>().expect("uri");
    let call = OutboundCall {
        target: uri("sip:+15550100@192.0.2.7"),
        from: NameAddr::new(None, &uri("sip:us@192.0.2.200")).expect("from"),
        to: None,
        flow: udp(PEER),
        route: vec!["<sip:192.0.2.7;lr>".into()],
        media: media(),
        delayed_offer: false,
        headers: vec![("X-Note".into(), "a\r\nEvil: 1".into())],
        ring_timeout: None,
        max_forwards: 69,
    };
    let mut dialog = Dialog::uac(Duration::ZERO, config(), TokenSource::new([4; 32]), &call);
    let said = Said::of(&mut dialog);
    let invite = said.requests()[0].1.clone();
    (dialog, invite)
}

fn reply(
    dialog: &mut Dialog,
    invite: &Request,
    status: u16,
    tag: &str,
    more: &str,
    body: &str,
) -> Said {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    let bytes = Bytes::from(format!(
        "SIP/2.0 {status} x\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag={tag}\r\nCall-ID: {}\r\nCSeq: {} INVITE\r\n\
         {more}{kind}Content-Length: {}\r\n\r\n{body}",
        text(invite.via().raw()),
        text(invite.from().raw()),
        text(invite.to().raw()),
        text(invite.call_id()),
        invite.cseq(),
        body.len(),
    ));
    let message = Box::new(parse(&bytes, Framing::Datagram).expect("sound"));
    let flow = udp(PEER);
    dialog.handle(
        Duration::from_millis(10),
        DialogInput::Received { flow, message },
    );
    Said::of(dialog)
}

#[test]
fn an_invite_of_ours_carries_what_it_must_and_nothing_smuggled() {
    let (_, invite) = placed();
    assert_eq!(header(&invite, "X-Note"), ["a  Evil: 1"]);
    assert!(invite.headers().get("Evil").is_none());
    assert_eq!(header(&invite, "Route"), ["<sip:192.0.2.7;lr>"]);
    assert_eq!(header(&invite, "Contact"), ["<sip:us@192.0.2.200:5060>"]);
    assert_eq!(
        (invite.max_forwards(), invite.via().wants_rport()),
        (Some(69), true)
    );
    assert!(invite.has_sdp() && invite.to().tag().is_none());
}

#[test]
fn the_first_fork_wins_and_the_others_are_acknowledged_and_ended() {
    let (mut dialog, invite) = placed();
    let contact = |host: &str| {
        format!("Contact: <sip:x@{host}>\r\nRecord-Route: <sip:r2-{host};lr>, <sip:{host};lr>\r\n")
    };
    reply(&mut dialog, &invite, 180, "one", &contact("192.0.2.11"), "");
    let said = reply(
        &mut dialog,
        &invite,
        200,
        "two",
        &contact("192.0.2.12"),
        OFFER,
    );
    assert_eq!(said.methods(), ["ACK"]);
    let (flow, ack) = said.requests()[0];
    assert_eq!(flow.remote, address("192.0.2.12:5060"));
    assert_eq!(
        header(ack, "Route"),
        ["<sip:192.0.2.12;lr>", "<sip:r2-192.0.2.12;lr>"],
        "reversed"
    );
    assert_eq!(ack.cseq(), invite.cseq());
    assert!(said.events.contains(&DialogEvent::Answered));

    let said = reply(
        &mut dialog,
        &invite,
        200,
        "one",
        &contact("192.0.2.11"),
        OFFER,
    );
    assert_eq!(said.methods(), ["ACK", "BYE"]);
    assert!(
        said.requests()
            .iter()
            .all(|(_, sent)| sent.to().tag() == Some(b"one".as_ref()))
    );
    assert_eq!(said.requests()[1].1.cseq(), invite.cseq() + 1);
    assert!(said.events.is_empty());

    let said = reply(
        &mut dialog,
        &invite,
        200,
        "one",
        &contact("192.0.2.11"),
        OFFER,
    );
    assert_eq!(
        said.methods(),
        ["ACK"],
        "a copy of a loser's 2xx is acknowledged again, no second BYE"
    );
    let said = reply(
        &mut dialog,
        &invite,
        200,
        "two",
        &contact("192.0.2.12"),
        OFFER,
    );
    assert_eq!(said.methods(), ["ACK"]);
    assert_eq!(
        said.requests()[0].1.to_bytes(),
        ack_of(&mut dialog, &invite, &contact("192.0.2.12"))
    );
}

fn ack_of(dialog: &mut Dialog, invite: &Request, more: &str) -> Bytes {
    let said = reply(dialog, invite, 200, "two", more, OFFER);
    said.requests()[0].1.to_bytes()
}

#[test]
fn a_refusal_is_acknowledged_as_the_rfc_says_and_reported_whole() {
    let (mut dialog, invite) = placed();
    let said = reply(
        &mut dialog,
        &invite,
        503,
        "t",
        "Retry-After: 7\r\nReason: Q.850;cause=34\r\n",
        "",
    );
    let (_, ack) = said.requests()[0];
    assert_eq!(
        ack.via().branch(),
        invite.via().branch(),
        "the INVITE's own branch"
    );
    assert_eq!(header(ack, "Route"), header(&invite, "Route"));
    assert_eq!(ack.to().tag(), Some(b"t".as_ref()));
    let [DialogEvent::Ended(ended)] = &said.events[..] else {
        panic!("{:?}", said.events);
    };
    assert_eq!(ended.status, Some(503));
    assert_eq!(
        ended.reason.as_ref().and_then(|reason| reason.cause),
        Some(34)
    );
    let response = ended.response.as_ref().expect("response");
    assert_eq!(
        response.headers().get("Retry-After").map(Bytes::as_ref),
        Some(b"7".as_ref())
    );
    let again = reply(&mut dialog, &invite, 503, "t", "", "");
    assert_eq!(
        (again.methods(), again.events.len()),
        (vec!["ACK".into()], 0)
    );
}

#[test]
fn an_answer_without_media_is_acknowledged_and_ended() {
    let (mut dialog, invite) = placed();
    let contact = "Contact: <sip:x@192.0.2.7>\r\n";
    let said = reply(&mut dialog, &invite, 200, "t", contact, "");
    assert_eq!(said.methods(), ["ACK", "BYE"]);
    let [DialogEvent::Ended(ended)] = &said.events[..] else {
        panic!("{:?}", said.events);
    };
    assert_eq!(format!("{:?}", ended.cause), "NoMedia");
}

#[test]
fn sdp_of_a_183_stands_for_a_200_without_any() {
    let (mut dialog, invite) = placed();
    let contact = "Contact: <sip:x@192.0.2.7>\r\n";
    let said = reply(&mut dialog, &invite, 183, "t", contact, OFFER);
    assert!(matches!(
        said.events[..],
        [
            DialogEvent::Ringing { status: 183 },
            DialogEvent::EarlyMedia(_)
        ]
    ));
    let said = reply(&mut dialog, &invite, 200, "t", contact, "");
    assert_eq!(said.methods(), ["ACK"]);
    assert!(matches!(
        said.events[..],
        [DialogEvent::Answered, DialogEvent::Media(_)]
    ));
}

fn over(transport: Transport) -> Flow {
    Flow {
        transport,
        connection: 7,
        ..udp(PEER)
    }
}

/// The Contact of a call that we place; it outlives a crash.
fn placed_contact(transport: Transport, target: &str, route: &[&str]) -> String {
    let uri = |text: &str| text.parse::<Uri>().expect("uri");
    let call = OutboundCall {
        target: uri(target),
        from: NameAddr::new(None, &uri("sip:us@192.0.2.200")).expect("from"),
        to: None,
        flow: over(transport),
        route: route.iter().map(|route| (*route).to_owned()).collect(),
        media: media(),
        delayed_offer: false,
        headers: Vec::new(),
        ring_timeout: None,
        max_forwards: 69,
    };
    let mut dialog = Dialog::uac(Duration::ZERO, config(), TokenSource::new([4; 32]), &call);
    let said = Said::of(&mut dialog);
    let seed = dialog.seed();
    let text = serde_json::to_string(&seed).expect("a seed");
    let read: DialogSeed = serde_json::from_str(&text).expect("a seed");
    assert_eq!(read, seed);
    header(said.requests()[0].1, "Contact").join("")
}

/// RFC 3261 §8.1.1.8: who calls by `sips` says `sips` in its Contact, where there is TLS.
#[test]
fn a_call_that_we_place_by_sips_has_a_contact_by_sips() {
    let (tls, tcp) = (Transport::Tls, Transport::Tcp);
    let cases: [(Transport, &str, &[&str], &str); 6] = [
        (tls, "sips:x@192.0.2.7", &[], "<sips:us@192.0.2.200:5060>"),
        (
            Transport::Wss,
            "sips:x@192.0.2.7",
            &[],
            "<sips:us@192.0.2.200:5060;transport=ws>",
        ),
        (
            tls,
            "sip:x@192.0.2.7",
            &["<sips:192.0.2.7;lr>"],
            "<sips:us@192.0.2.200:5060>",
        ),
        (
            tls,
            "sip:x@192.0.2.7",
            &[],
            "<sip:us@192.0.2.200:5060;transport=tls>",
        ),
        (
            tcp,
            "sip:x@192.0.2.7",
            &[],
            "<sip:us@192.0.2.200:5060;transport=tcp>",
        ),
        // Nobody could reach us there by TLS.
        (
            tcp,
            "sips:x@192.0.2.7",
            &[],
            "<sip:us@192.0.2.200:5060;transport=tcp>",
        ),
    ];
    for (transport, target, route, expected) in cases {
        let shown = placed_contact(transport, target, route);
        assert_eq!(shown, expected, "{target} {route:?}");
    }
}

/// RFC 3261 §12.1.1.
#[test]
fn a_call_that_came_by_sips_gets_a_contact_by_sips() {
    let plain = "sip:1000@192.0.2.200";
    for (uri, extra, sips) in [
        ("sips:1000@192.0.2.200", "X: y", true),
        (plain, "Contact: <sips:caller@192.0.2.7>", true),
        (plain, "Record-Route: <sips:192.0.2.50;lr>", true),
        (plain, "X: y", false),
    ] {
        let mut endpoint = endpoint(EndpointConfig::default());
        let bytes = request("INVITE", uri, &[extra], OFFER);
        let effects = receive(&mut endpoint, 0, over(Transport::Tls), bytes);
        let [EndpointEffect::NewInvite(new)] = &effects[..] else {
            panic!("no call: {effects:?}");
        };
        let tokens = TokenSource::new([3; 32]);
        let mut dialog = Dialog::uas(Duration::ZERO, config(), tokens, (**new).clone());
        Said::of(&mut dialog);
        dialog.handle(Duration::ZERO, DialogInput::Answer { media: media() });
        let said = Said::of(&mut dialog);
        let shown = said.response().headers().get("Contact").expect("Contact");
        let is = shown.starts_with(b"<sips:");
        assert_eq!(is, sips, "{uri} {extra} {shown:?}");
    }
}
