//! Rows of `docs/failures.md` that no other story tells: what other stacks got wrong on live carriers.

#[path = "support/letters.rs"]
mod letters;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::time::Duration;

use letters::{OFFER, answered, endpoint, header, invite, receive, request, udp};
use sip_core::dialog::{DialogEvent, DialogInput, Refusal, SessionTimer};
use sip_core::endpoint::{EndpointConfig, EndpointEffect, EndpointInput};
use sip_core::flow::Transport;
use sip_core::message::Request;
use sip_core::offer_answer::Direction;
use stage::{HasHeaders, PEER, Said, Stage, text_of};
use virtual_wire::{CLEAN, Callee, Pair};

const ROUTES: [&str; 3] = [
    "<sip:192.0.2.50:5070;lr;r2=on;ftag=far>",
    "\"Edge, outer\" <sip:edge.example.com;transport=tls;lr;twnat=sip:198.51.100.7:40001>;x=1",
    "<sip:[2001:db8::5];lr;whatever>",
];

fn all(message: &impl HasHeaders, name: &str) -> Vec<String> {
    let values = message.fields().all(name);
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// A call that came over [`ROUTES`], answered and acknowledged; and what was said to it.
fn called_over_routes() -> (Stage, Said) {
    // Two on one line, one on its own: as proxies write them.
    let text = String::from_utf8(invite(&[]).to_vec()).expect("text");
    let [first, second, third] = ROUTES;
    let lines = format!("Record-Route: {first}, {second}\r\nRecord-Route: {third}\r\nFrom:");
    let text = text.replacen("From:", &lines, 1);
    let reliable = sip_core::dialog::Reliable::default();
    let mut stage = Stage::called_with(SessionTimer::default(), reliable, text.into());
    let mut said = stage.said();
    for more in [stage.tell(DialogInput::Ring), stage.answer()] {
        said.sent.extend(more.sent);
    }
    stage.ack(1);
    (stage, said)
}

/// Row 3.
#[test]
fn the_answer_repeats_every_record_route_as_it_came() {
    let (_, said) = called_over_routes();
    for status in [180, 200] {
        let shown = all(&said.response(status), "Record-Route").join(", ");
        assert_eq!(shown, ROUTES.join(", "), "{status}");
    }
    assert!(all(&said.response(100), "Record-Route").is_empty());
}

/// Row 4.
#[test]
fn a_bye_takes_the_route_set_whoever_called() {
    let (mut stage, _) = called_over_routes();
    let bye = stage.tell(DialogInput::Hangup { reason: None });
    assert_eq!(all(&bye.request("BYE"), "Route"), ROUTES);
    assert_eq!(bye.sent[0].0.remote.to_string(), "192.0.2.50:5070");

    let mut stage = calling_over_routes();
    let bye = stage.tell(DialogInput::Hangup { reason: None });
    let mut reversed = ROUTES;
    reversed.reverse();
    assert_eq!(all(&bye.request("BYE"), "Route"), reversed);
}

/// A call of ours that was answered over [`ROUTES`].
fn calling_over_routes() -> Stage {
    let mut stage = Stage::calling(SessionTimer::default());
    let [first, second, third] = ROUTES;
    let lines = format!(
        "Contact: <sip:x@192.0.2.7>\r\nAllow: INVITE, UPDATE\r\nRecord-Route: {first}\r\nRecord-Route: {second}, {third}\r\n"
    );
    assert_eq!(stage.reply(200, "far", &lines, OFFER).methods(), ["ACK"]);
    stage
}

/// Row 5: the edge writes the connection of the moment into its Record-Route.
#[test]
fn a_2xx_within_the_call_moves_the_target_and_never_the_routes() {
    let (mut stage, _) = called_over_routes();
    let other = "Contact: <sip:moved@192.0.2.9>\r\n\
         Record-Route: <sip:edge.example.com;lr;twnat=sip:198.51.100.7:50002>\r\n";
    let hold = stage.tell(DialogInput::Reoffer {
        direction: Direction::SendOnly,
        media: None,
    });
    let hold = hold.request("INVITE");
    let said = stage.reply_to(&hold, 200, "far", other, OFFER);
    assert_eq!(all(&said.request("ACK"), "Route"), ROUTES);
    assert_eq!(said.request("ACK").uri().to_string(), "sip:moved@192.0.2.9");
    let bye = stage.tell(DialogInput::Hangup { reason: None });
    assert_eq!(all(&bye.request("BYE"), "Route"), ROUTES);

    // The same when the session is kept alive by UPDATE.
    let timer = SessionTimer {
        expires_s: 90,
        min_s: 90,
    };
    let mut stage = Stage::calling(timer);
    let lines = "Contact: <sip:x@192.0.2.7>\r\nAllow: INVITE, UPDATE\r\nSupported: timer\r\n\
         Session-Expires: 90;refresher=uac\r\nRecord-Route: <sip:192.0.2.50;lr>\r\n";
    stage.reply(200, "far", lines, OFFER);
    let update = stage.at(46_000).request("UPDATE");
    let lines = format!("{other}Session-Expires: 90;refresher=uac\r\n");
    stage.reply_to(&update, 200, "far", &lines, "");
    let bye = stage.tell(DialogInput::Hangup { reason: None });
    assert_eq!(all(&bye.request("BYE"), "Route"), ["<sip:192.0.2.50;lr>"]);
}

/// Row 13.
#[test]
fn a_bye_finds_its_call_whoever_placed_it() {
    for ender in [0, 1] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut pair = Pair::over(CLEAN, transport);
            pair.call();
            pair.run_ms(1_000);
            pair.hangup(ender);
            pair.run_ms(100);
            let ladder = pair.ladder_text();
            assert!(ladder.contains("200 OK (BYE)"), "{ladder}");
            assert!(!ladder.contains("481"), "{ladder}");
            pair.assert_ended_once();
        }
    }
}

/// Row 14.
#[test]
fn each_call_has_a_tag_and_an_id_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    let mut tokens = sip_core::tokens::TokenSource::new([9; 32]);
    let mut endpoint = sip_core::endpoint::Endpoint::new(EndpointConfig::default(), tokens.fork());
    for n in 0..1_000 {
        let id = format!("Call-ID: {n}");
        let via = format!("Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{n}");
        let effects = receive(&mut endpoint, 0, udp(PEER), invite(&[&id, &via]));
        let [EndpointEffect::NewInvite(new)] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert!(names.insert(new.dialog_id.local_tag.clone()), "{n}");
        // A call that we place has its tokens from the same source.
        let mut own = tokens.fork();
        assert!(names.insert(own.tag()), "{n}");
        assert!(names.insert(own.call_id()), "{n}");
    }
}

/// Row 15: no call, no event, no line in a log.
#[test]
fn the_ack_of_a_refusal_ends_with_the_transaction() {
    // Refused by the listener.
    let mut endpoint = endpoint(EndpointConfig::default());
    let bytes = invite(&["Require: x"]);
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), bytes));
    let to = format!("To: {}", header(&answer, "To"));
    for at in [1, 2, 3] {
        let ack = request("ACK", "sip:1000@192.0.2.200", &[&to], "");
        let effects = receive(&mut endpoint, at, udp(PEER), ack);
        assert!(effects.is_empty(), "{effects:?}");
    }
    assert_eq!(endpoint.counters().dropped_acks, 0);

    // Refused by the call.
    let mut stage = Stage::called(SessionTimer::default(), &[]);
    stage.said();
    let refused = stage.tell(DialogInput::Reject(Refusal::new(486)));
    assert_eq!(refused.statuses(), [486]);
    let to = format!("To: {}", header(&refused.response(486), "To"));
    let ack = request("ACK", "sip:1000@192.0.2.200", &[&to], "");
    let said = stage.deliver(&ack);
    assert!(said.sent.is_empty(), "{said:?}");
    assert!(
        matches!(said.events[..], [DialogEvent::Finished]),
        "{said:?}"
    );

    // And once the call is forgotten, a copy of that ACK.
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Waits;
    pair.call();
    pair.run_ms(100);
    pair.tell(1, DialogInput::Reject(Refusal::new(486)));
    let mut ladder = pair.ladder.len();
    pair.run_ms(1_000);
    ladder = pair.ladder.len() - ladder;
    assert!(ladder > 0 && pair.bob().dialogs.is_empty());
    assert_eq!(pair.bob().endpoint.counters().dropped_acks, 0);
    assert_eq!(pair.bob().count("Confirmed"), 0);
}

/// Row 17: also when all goes well.
#[test]
fn hundreds_of_calls_that_end_well_leave_no_transaction_behind() {
    let mut pair = Pair::new(CLEAN);
    let (mut most, mut ladder) = (0, 0);
    for n in 0..300 {
        let alice = pair.call();
        pair.run_ms(100);
        let mut bobs = pair.bob().dialogs.keys();
        let bob = bobs.find(|id| id.call_id == alice.call_id).cloned();
        let bob = bob.expect("his side of the call");
        let content_type = "application/dtmf-relay".to_owned();
        let body = "Signal=5\r\n".into();
        let press = DialogInput::SendInfo { content_type, body };
        pair.tell_dialog(0, &alice, press);
        let hold = DialogInput::Reoffer {
            direction: Direction::SendOnly,
            media: None,
        };
        pair.tell_dialog(1, &bob, hold);
        pair.run_ms(100);
        let (ender, id) = [(0, &alice), (1, &bob)][n % 2];
        pair.tell_dialog(ender, id, DialogInput::Hangup { reason: None });
        pair.run_ms(800);
        let open = pair.sides.iter().map(|side| side.dialogs.len());
        most = most.max(open.max().unwrap_or(0));
        let kept = pair.sides.iter().map(|side| side.endpoint.remembered());
        // One call a second, and nothing is remembered for longer than 64·T1 and a bit.
        assert!(kept.max().unwrap_or(0) < 40 * 6, "call {n}");
        ladder += std::mem::take(&mut pair.ladder).len();
    }
    assert!(most <= 40, "{most} dialogs at once");
    assert!(ladder > 3_000);
    pair.run(Duration::from_secs(100));
    pair.assert_clean();
    for side in &pair.sides {
        assert_eq!(side.endpoint.poll_timeout(), None, "{}", side.name);
    }
}

fn methods(allow: &str) -> Vec<String> {
    allow.split(", ").map(str::to_owned).collect()
}

/// What a method needs to be sound at all.
fn lines_of(method: &str) -> &'static [&'static str] {
    match method {
        "PRACK" => &["RAck: 1 1 INVITE"],
        "REFER" => &["Refer-To: <sip:x@192.0.2.9>"],
        "NOTIFY" => &["Event: refer", "Subscription-State: active"],
        _ => &[],
    }
}

/// Row 18.
#[test]
fn what_allow_names_is_never_refused_as_a_method() {
    for registrar in [false, true] {
        let config = EndpointConfig {
            registrar,
            ..EndpointConfig::default()
        };
        let mut endpoint = endpoint(config);
        let ping = request("OPTIONS", "sip:192.0.2.200", &[], "");
        let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), ping));
        let allowed = methods(&header(&answer, "Allow"));
        let refused = |status: u16| matches!(status, 405 | 501);
        for (n, method) in allowed.iter().enumerate() {
            let id = format!("Call-ID: {n}");
            let via = format!("Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{n}");
            let mut lines = vec![id.as_str(), via.as_str()];
            lines.extend(lines_of(method));
            let body = if method == "INVITE" { OFFER } else { "" };
            let bytes = request(method, "sip:1000@192.0.2.200", &lines, body);
            match &receive(&mut endpoint, 0, udp(PEER), bytes)[..] {
                [EndpointEffect::Transmit { bytes, .. }] => {
                    let status = letters::response(bytes).status();
                    assert!(!refused(status), "{method} outside a call: {status}");
                }
                [EndpointEffect::NewInvite(_) | EndpointEffect::Register(_)] => {}
                [EndpointEffect::Dropped { .. }] => assert_eq!(method, "ACK"),
                other => panic!("{method}: {other:?}"),
            }
        }
    }
    // Within a call, where Allow stands too.
    let (mut stage, said) = called_over_routes();
    let allowed = methods(&text_of(&said.response(200), "Allow"));
    for (n, method) in allowed.iter().enumerate() {
        if matches!(method.as_str(), "ACK" | "BYE") {
            continue;
        }
        let cseq = format!("CSeq: {} {method}", 10 + n);
        let mut lines = vec![cseq.as_str()];
        lines.extend(lines_of(method));
        let body = if method == "INVITE" { OFFER } else { "" };
        let said = stage.far(1_000 + n as u64, method, &lines, body);
        let refused = said.statuses().contains(&405) || said.statuses().contains(&501);
        assert!(!refused, "{method}: {said:?}");
        if method == "INVITE" {
            stage.ack(10 + n as u32);
        }
    }
    // The transfer that nobody decided on is over with the call.
    let said = stage.far(2_000, "BYE", &["CSeq: 90 BYE"], "");
    assert_eq!(said.statuses(), [603, 200]);
    // What it does not name is refused with the list.
    let (mut stage, _) = called_over_routes();
    let said = stage.far(10, "SUBSCRIBE", &["CSeq: 10 SUBSCRIBE"], "");
    assert_eq!(methods(&text_of(&said.response(405), "Allow")), allowed);
}

/// Row 18.
#[test]
fn answers_say_server_and_requests_say_user_agent() {
    let (mut stage, said) = called_over_routes();
    let info = stage.tell(DialogInput::SendInfo {
        content_type: "application/dtmf-relay".into(),
        body: "Signal=5\r\n".into(),
    });
    let update = stage.far(50, "UPDATE", &["CSeq: 5 UPDATE"], "");
    let bye = stage.tell(DialogInput::Hangup { reason: None });
    let calling = Stage::calling(SessionTimer::default()).invite;
    let requests: Vec<Request> = [info.requests(), bye.requests(), vec![calling]].concat();
    assert_eq!(requests.len(), 3);
    for sent in &requests {
        assert_eq!(all(sent, "User-Agent").len(), 1, "{}", sent.method());
        assert!(all(sent, "Server").is_empty(), "{}", sent.method());
    }
    for (said, status) in [(&said, 100), (&said, 180), (&said, 200), (&update, 200)] {
        assert_eq!(all(&said.response(status), "Server").len(), 1, "{status}");
        assert!(
            all(&said.response(status), "User-Agent").is_empty(),
            "{status}"
        );
    }
    let mut endpoint = endpoint(EndpointConfig::default());
    let refused = receive(&mut endpoint, 0, udp(PEER), invite(&["Require: x"]));
    let (_, answer) = answered(&refused);
    assert_eq!(all(&answer, "Server").len(), 1);
    let closed = sip_core::endpoint::Admission::Closed { retry_after_s: 1 };
    endpoint.handle(Duration::ZERO, EndpointInput::Admission(closed));
    let ping = request("OPTIONS", "sip:192.0.2.200", &["Call-ID: p"], "");
    let (_, answer) = answered(&receive(&mut endpoint, 0, udp(PEER), ping));
    assert!(all(&answer, "User-Agent").is_empty());
}
