//! What the endpoint answers by itself, where the answers go, and what it remembers.

#[path = "support/letters.rs"]
mod letters;

use std::time::Duration;

use bytes::Bytes;
use letters::{answered, endpoint, header, invite, receive, request, response, tcp, udp};
use sip_core::dialog::Refusal;
use sip_core::endpoint::{
    Admission, DropReason, EndpointConfig, EndpointEffect, EndpointInput, NewInvite,
};
use sip_core::flow::Network;

const PEER: &str = "192.0.2.7:5060";

fn status_of(bytes: Bytes) -> u16 {
    let mut endpoint = endpoint(EndpointConfig::default());
    answered(&receive(&mut endpoint, 0, udp(PEER), bytes))
        .1
        .status()
}

fn new_invite(effects: &[EndpointEffect]) -> NewInvite {
    match effects {
        [EndpointEffect::NewInvite(invite)] => (**invite).clone(),
        other => panic!("no new call: {other:?}"),
    }
}

#[test]
fn options_says_what_we_can_do() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = request("OPTIONS", "sip:192.0.2.200", &[], "");
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "Allow"),
        "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"
    );
    assert_eq!(header(&answer, "Accept"), "application/sdp");
    assert_eq!(header(&answer, "Supported"), "timer, replaces, 100rel");
    assert!(answer.to().tag().is_some());
}

#[test]
fn refusals_carry_the_right_status_and_the_headers_they_owe() {
    let sip = "sip:1000@192.0.2.200";
    assert_eq!(status_of(request("REGISTER", sip, &[], "")), 405);
    // What Allow lists is never 405: outside of a call there is nothing to it.
    assert_eq!(status_of(request("PRACK", sip, &[], "")), 481);
    assert_eq!(status_of(request("NOTIFY", sip, &[], "")), 481);
    assert_eq!(status_of(request("REFER", sip, &[], "")), 603);
    assert_eq!(status_of(invite(&["Replaces: only-a-call-id"])), 400);
    assert_eq!(status_of(request("FROBNICATE", sip, &[], "")), 501);
    assert_eq!(
        status_of(request("INVITE", "mailto:a@b", &[], letters::OFFER)),
        416
    );
    assert_eq!(status_of(invite(&["Require: precondition"])), 420);
    assert_eq!(status_of(invite(&["Max-Forwards: 0"])), 483);
    assert_eq!(status_of(invite(&["Content-Type: application/isup"])), 415);
    assert_eq!(status_of(invite(&["Content-Encoding: gzip"])), 415);
    assert_eq!(status_of(invite(&["Accept: text/plain"])), 406);
    assert_eq!(status_of(invite(&["Contact: -"])), 400);
    assert_eq!(status_of(invite(&["CSeq: 1 BYE"])), 400);
    assert_eq!(
        status_of(request("BYE", sip, &["To: <sip:1@x>;tag=gone"], "")),
        481
    );
    assert_eq!(status_of(request("BYE", sip, &[], "")), 481);
    assert_eq!(status_of(request("CANCEL", sip, &[], "")), 481);
    assert_eq!(
        status_of(request("INFO", sip, &["To: <sip:1@x>;tag=gone"], "")),
        481
    );

    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = invite(&["Require: 100rel, precondition, timer"]);
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
    assert_eq!(header(&answer, "Unsupported"), "precondition");
    let bytes = request("REGISTER", sip, &[], "");
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
    assert!(header(&answer, "Allow").contains("INVITE"));
    let bytes = invite(&[
        "Content-Type: text/plain",
        "Via: SIP/2.0/UDP a;branch=z9hG4bK9",
    ]);
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
    assert_eq!(header(&answer, "Accept"), "application/sdp");
}

#[test]
fn an_option_ping_with_no_hops_left_is_answered() {
    let bytes = request("OPTIONS", "sip:192.0.2.200", &["Max-Forwards: 0"], "");
    assert_eq!(status_of(bytes), 200);
}

#[test]
fn a_retransmission_gets_the_same_answer() {
    let mut endpoint = endpoint(EndpointConfig::default());
    for bytes in [
        request("OPTIONS", "sip:192.0.2.200", &[], ""),
        request("REGISTER", "sip:192.0.2.200", &[], ""),
        invite(&["Require: x"]),
    ] {
        let first = receive(&mut endpoint, 0, udp(PEER), bytes.clone());
        let again = receive(&mut endpoint, 400, udp(PEER), bytes);
        assert_eq!(first, again);
    }
}

#[test]
fn a_refused_invite_is_repeated_until_its_ack_and_then_forgotten() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = invite(&["Require: x"]);
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes.clone()));
    assert_eq!(endpoint.poll_timeout(), Some(Duration::from_millis(500)));
    endpoint.handle_timeout(Duration::from_millis(500));
    assert!(matches!(
        endpoint.poll_effect(),
        Some(EndpointEffect::Transmit { .. })
    ));
    let to = format!("To: {}", header(&answer, "To"));
    let ack = request("ACK", "sip:1000@192.0.2.200", &[&to], "");
    assert!(receive(&mut endpoint, 600, udp(PEER), ack).is_empty());
    assert_eq!(endpoint.poll_timeout(), Some(Duration::from_millis(5_600)));
    endpoint.handle_timeout(Duration::from_millis(5_600));
    assert_eq!((endpoint.poll_timeout(), endpoint.remembered()), (None, 0));
}

#[test]
fn a_second_path_is_merged_a_second_call_is_not() {
    let mut endpoint = endpoint(EndpointConfig::default());
    new_invite(&receive(&mut endpoint, 0, udp(PEER), invite(&[])));
    let merged = invite(&["Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKtwo"]);
    let (_, answer) = answered(&receive(&mut endpoint, 1, udp(PEER), merged));
    assert_eq!(answer.status(), 482);
    let lost = invite(&[
        "To: <sip:1000@x>;tag=lost",
        "Via: SIP/2.0/UDP a;branch=z9hG4bKthree",
    ]);
    let (_, answer) = answered(&receive(&mut endpoint, 2, udp(PEER), lost));
    assert_eq!(answer.status(), 481);
    let other = invite(&[
        "From: <sip:caller@192.0.2.7>;tag=other",
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKfour",
    ]);
    new_invite(&receive(&mut endpoint, 3, udp(PEER), other));
    assert_eq!(endpoint.dialogs(), 2);
}

#[test]
fn copies_and_cancel_of_a_new_invite_go_to_its_dialog() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let new = new_invite(&receive(&mut endpoint, 0, udp(PEER), invite(&[])));
    for bytes in [
        invite(&[]),
        request("CANCEL", "sip:1000@192.0.2.200", &[], ""),
    ] {
        match receive(&mut endpoint, 1, udp(PEER), bytes).as_slice() {
            [EndpointEffect::Deliver { dialog_id, .. }] => assert_eq!(*dialog_id, new.dialog_id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_new_invite_can_be_refused_without_a_dialog() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let new = new_invite(&receive(&mut endpoint, 0, udp(PEER), invite(&[])));
    let input = EndpointInput::Refuse {
        invite: Box::new(new.clone()),
        refusal: Refusal::overload(9),
    };
    endpoint.handle(Duration::from_millis(1), input);
    let effects: Vec<_> = std::iter::from_fn(|| endpoint.poll_effect()).collect();
    let (_, answer) = answered(&effects);
    assert_eq!(
        (answer.status(), header(&answer, "Retry-After")),
        (503, "9".into())
    );
    assert_eq!(answer.to().tag(), Some(new.dialog_id.local_tag.as_ref()));
    assert_eq!(endpoint.dialogs(), 0);
    let again = answered(&receive(&mut endpoint, 2, udp(PEER), invite(&[]))).1;
    assert_eq!(
        again.status(),
        503,
        "a copy gets the refusal, not a new dialog"
    );
}

#[test]
fn closed_admission_and_a_full_table_refuse_with_retry_after() {
    let config = EndpointConfig {
        max_dialogs: 1,
        ..EndpointConfig::default()
    };
    let mut endpoint = endpoint(config);
    new_invite(&receive(&mut endpoint, 0, udp(PEER), invite(&[])));
    let second = || invite(&["Call-ID: two", "Via: SIP/2.0/UDP a;branch=z9hG4bKtwo"]);
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), second()));
    assert_eq!(
        (answer.status(), header(&answer, "Retry-After")),
        (503, "5".into())
    );
    assert_eq!(endpoint.counters().refused_full, 1);

    let closed = Admission::Closed { retry_after_s: 30 };
    endpoint.handle(Duration::ZERO, EndpointInput::Admission(closed));
    let ping = request("OPTIONS", "sip:192.0.2.200", &["Call-ID: ping"], "");
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), ping));
    assert_eq!(
        (answer.status(), header(&answer, "Retry-After")),
        (503, "30".into())
    );
    let bye = receive(&mut endpoint, 0, udp(PEER), invite(&[]));
    assert!(
        matches!(bye[..], [EndpointEffect::Deliver { .. }]),
        "live calls are not shed"
    );
}

#[test]
fn refusals_beyond_the_table_are_stateless_and_counted() {
    let config = EndpointConfig {
        max_refusals: 1,
        ..EndpointConfig::default()
    };
    let mut endpoint = endpoint(config);
    for branch in ["one", "two", "three"] {
        let via = format!("Via: SIP/2.0/UDP a;branch=z9hG4bK{branch}");
        let id = format!("Call-ID: {branch}");
        let bytes = invite(&["Require: x", &via, &id]);
        let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
        assert_eq!(answer.status(), 420);
    }
    assert_eq!(endpoint.remembered(), 1);
    assert_eq!(endpoint.counters().refused_stateless, 2);
}

#[test]
fn responses_go_where_via_and_rport_say() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let mut ask = |via: &str, from: &str| {
        let via = format!("Via: {via};branch=z9hG4bKx{from}");
        let bytes = request("OPTIONS", "sip:192.0.2.200", &[&via], "");
        let (flow, answer) = answered(&receive(&mut endpoint, 0, udp(from), bytes));
        (flow.remote.to_string(), header(&answer, "Via"))
    };
    let (to, via) = ask("SIP/2.0/UDP 10.1.1.1:5066;rport", "198.51.100.9:1025");
    assert_eq!(to, "198.51.100.9:1025");
    assert!(via.ends_with(";received=198.51.100.9;rport=1025"), "{via}");
    let (to, via) = ask("SIP/2.0/UDP 10.1.1.1:5066", "198.51.100.9:1025");
    assert_eq!(to, "198.51.100.9:5066");
    assert!(via.ends_with(";received=198.51.100.9"), "{via}");
    let (to, via) = ask("SIP/2.0/UDP 198.51.100.9", "198.51.100.9:1025");
    assert_eq!(to, "198.51.100.9:5060");
    assert!(!via.contains("received"), "{via}");
}

#[test]
fn maddr_is_obeyed_only_from_trusted_networks() {
    let trusted = Network {
        address: [198, 51, 100, 0].into(),
        bits: 24,
    };
    let config = EndpointConfig {
        maddr_from: [trusted].into(),
        ..EndpointConfig::default()
    };
    let mut endpoint = endpoint(config);
    let mut ask = |from: &str| {
        let via = format!("Via: SIP/2.0/UDP 10.1.1.1;rport;maddr=192.0.2.99;branch=z9hG4bK{from}");
        let bytes = request("OPTIONS", "sip:192.0.2.200", &[&via], "");
        let (flow, _) = answered(&receive(&mut endpoint, 0, udp(from), bytes));
        flow.remote.to_string()
    };
    assert_eq!(ask("198.51.100.9:1025"), "192.0.2.99:5060");
    assert_eq!(ask("203.0.113.9:1025"), "203.0.113.9:1025");
}

#[test]
fn a_stranger_is_turned_away_once_and_nothing_is_kept() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let effects = receive(&mut endpoint, 0, udp(PEER), invite(&[]));
    let [EndpointEffect::NewInvite(new)] = &effects[..] else {
        panic!("{effects:?}");
    };
    let turned_away = EndpointInput::TurnAway {
        invite: new.clone(),
        refusal: Refusal::new(403),
    };
    endpoint.handle(Duration::ZERO, turned_away);
    let mut effects = Vec::new();
    while let Some(effect) = endpoint.poll_effect() {
        effects.push(effect);
    }
    assert_eq!(answered(&effects).1.status(), 403);
    assert_eq!((endpoint.dialogs(), endpoint.remembered()), (0, 0));
    assert_eq!(endpoint.poll_timeout(), None, "and nothing is repeated");
}

#[test]
fn a_sender_behind_a_nat_is_answered_where_it_sends_from_and_nobody_else() {
    let config = EndpointConfig {
        force_rport: true,
        ..EndpointConfig::default()
    };
    let mut endpoint = endpoint(config);
    let mut ask = |via: &str| {
        let via = format!("Via: {via};branch=z9hG4bKx");
        let bytes = request("OPTIONS", "sip:192.0.2.200", &[&via], "");
        let from = udp("198.51.100.9:1025");
        let (flow, answer) = answered(&receive(&mut endpoint, 0, from, bytes));
        (flow.remote.to_string(), header(&answer, "Via"))
    };
    let (to, via) = ask("SIP/2.0/UDP 10.1.1.1:5066");
    assert_eq!(to, "198.51.100.9:1025");
    assert!(via.ends_with(";received=198.51.100.9;rport=1025"), "{via}");
    // A gateway that sends from a throw-away port and listens at its sent-by.
    let (to, via) = ask("SIP/2.0/UDP 198.51.100.9:5060");
    assert_eq!(to, "198.51.100.9:5060");
    assert!(!via.contains("rport"), "{via}");
    let (to, _) = ask("SIP/2.0/UDP gateway.example.com:5062");
    assert_eq!(to, "198.51.100.9:5062");
}

#[test]
fn over_tcp_the_answer_takes_the_connection_and_a_torn_stream_is_closed() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = request("OPTIONS", "sip:192.0.2.200", &[], "");
    let (flow, _) = answered(&receive(&mut endpoint, 0, tcp("198.51.100.9:4000"), bytes));
    assert_eq!(flow, tcp("198.51.100.9:4000"));
    let text = String::from_utf8(request("OPTIONS", "sip:x", &[], "").to_vec()).expect("text");
    let torn = text.replace("Content-Length: 0", "Content-Length: zero");
    let effects = receive(&mut endpoint, 0, tcp(PEER), Bytes::from(torn));
    let (_, answer) = answered(&effects);
    assert_eq!(answer.status(), 400);
    assert!(String::from_utf8_lossy(answer.reason()).contains("Content-Length"));
    assert!(matches!(effects[1], EndpointEffect::Close { .. }));
}

#[test]
fn what_is_not_sip_is_dropped_and_counted() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    let cases: [(&[u8], DropReason); 6] = [
        (b"\r\n\r\n", DropReason::KeepAlive),
        (b"", DropReason::KeepAlive),
        (stun, DropReason::Stun),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", DropReason::Http),
        (b"\x16\x03\x01\x02\x00", DropReason::NotSip),
        (b"\x80\x00\x01", DropReason::NotSip),
    ];
    for (bytes, why) in cases {
        match receive(&mut endpoint, 0, udp(PEER), Bytes::copy_from_slice(bytes)).as_slice() {
            [EndpointEffect::Dropped { why: got, .. }] => assert_eq!(*got, why),
            other => panic!("{other:?}"),
        }
    }
    let counters = endpoint.counters();
    assert_eq!((counters.dropped_keep_alive, counters.dropped_stun), (2, 1));
}

#[test]
fn strays_are_dropped_without_an_answer() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let ack = request(
        "ACK",
        "sip:1000@192.0.2.200",
        &["To: <sip:1@x>;tag=gone"],
        "",
    );
    let stray = Bytes::from(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=t\r\n\
         To: <sip:c@d>;tag=u\r\nCall-ID: stray\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
    );
    for (bytes, why) in [
        (ack, DropReason::StrayAck),
        (stray, DropReason::StrayResponse),
    ] {
        match receive(&mut endpoint, 0, udp(PEER), bytes).as_slice() {
            [EndpointEffect::Dropped { why: got, .. }] => assert_eq!(*got, why),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_header_cannot_smuggle_another_into_the_answer() {
    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = request("OPTIONS", "sip:x", &["To: <sip:1000@x>\r\n  ;x=1"], "");
    let effects = receive(&mut endpoint, 0, udp(PEER), bytes);
    let [EndpointEffect::Transmit { bytes, .. }] = effects.as_slice() else {
        panic!("no answer");
    };
    let to = String::from_utf8_lossy(response(bytes).to().raw()).into_owned();
    assert!(to.starts_with("<sip:1000@x> ;x=1;tag="), "{to}");
}
