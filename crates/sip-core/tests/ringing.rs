//! Ringing that is acknowledged (RFC 3262), and what early dialogs make possible.

#[path = "support/letters.rs"]
mod letters;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use letters::{OFFER, request};
use sip_core::dialog::{DialogEvent, DialogInput, Reliable, SessionTimer};
use stage::{Stage, media, text_of};
use virtual_wire::{Callee, Pair, Wire};

fn called(extra: &[&str], body: &str) -> Stage {
    let mut lines = vec!["Require: 100rel"];
    lines.extend(extra);
    let invite = request("INVITE", "sip:1000@192.0.2.200", &lines, body);
    let mut stage = Stage::called_with(SessionTimer::default(), Reliable::WhenAsked, invite);
    stage.said();
    stage
}

fn prack(stage: &mut Stage, cseq: u32, rack: &str, body: &str) -> stage::Said {
    let lines = [format!("CSeq: {cseq} PRACK"), format!("RAck: {rack}")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let ms = stage.now.as_millis() as u64;
    stage.far(ms, "PRACK", &lines, body)
}

#[test]
fn on_a_bad_wire_each_ringing_is_acknowledged_once_and_the_call_comes_about() {
    for seed in 1..30 {
        let wire = Wire {
            seed,
            loss: 20,
            delay_ms: 20,
            jitter_ms: 150,
        };
        let mut pair = Pair::new(wire);
        for side in &mut pair.sides {
            side.reliable = Reliable::Always;
        }
        pair.sides[1].callee = Callee::Rings;
        pair.call();
        pair.run_ms(6_000);
        pair.tell(
            1,
            DialogInput::Progress {
                media: virtual_wire::media(5000),
            },
        );
        pair.run_ms(6_000);
        pair.tell(
            1,
            DialogInput::Answer {
                media: virtual_wire::media(5000),
            },
        );
        pair.run_ms(20_000);
        assert_eq!(
            pair.alice().count("Ringing 180"),
            1,
            "{}",
            pair.ladder_text()
        );
        assert_eq!(
            pair.alice().count("Ringing 183"),
            1,
            "{}",
            pair.ladder_text()
        );
        assert_eq!(pair.alice().count("Answered"), 1, "{}", pair.ladder_text());
        assert_eq!(pair.bob().count("Confirmed"), 1, "{}", pair.ladder_text());
        pair.hangup(0);
        pair.run_ms(100_000);
        pair.assert_ended_once();
        pair.assert_clean();
    }
}

#[test]
fn the_200_waits_for_the_prack_of_what_it_would_contradict_and_says_no_sdp_again() {
    let mut stage = called(&[], OFFER);
    let said = stage.tell(DialogInput::Progress { media: media() });
    let ringing = said.response(183);
    assert!(ringing.has_sdp());
    assert_eq!(text_of(&ringing, "Require"), "100rel");
    assert!(stage.answer().sent.is_empty(), "no 200 before the PRACK");
    let rseq = text_of(&ringing, "RSeq");
    assert_eq!(
        prack(&mut stage, 2, &format!("{rseq} 9 INVITE"), "").statuses(),
        [481]
    );
    let said = prack(&mut stage, 3, &format!("{rseq} 1 INVITE"), "");
    assert_eq!(said.statuses(), [200, 200]);
    assert!(
        said.sent
            .iter()
            .all(|(_, m)| !format!("{m:?}").contains("v=0")),
        "said once"
    );
    let again = prack(&mut stage, 4, &format!("{rseq} 1 INVITE"), "");
    assert_eq!(again.statuses(), [481], "it acknowledges nothing any more");
}

#[test]
fn ringing_that_nobody_acknowledges_is_repeated_and_given_up_with_504() {
    let mut stage = called(&[], OFFER);
    assert_eq!(stage.tell(DialogInput::Ring).statuses(), [180]);
    // T1 doubling: 0.5, 1.5, 3.5, 7.5, 15.5, 31.5.
    let said = stage.at(31_900);
    assert_eq!(said.statuses(), [180; 6]);
    let said = stage.at(32_000);
    assert_eq!(said.statuses(), [504]);
    assert!(said.ended().is_some());
}

#[test]
fn an_offer_in_our_ringing_is_answered_in_the_prack() {
    let mut stage = called(&[], "");
    assert!(
        stage.tell(DialogInput::Ring).sent.is_empty(),
        "no ringing without an offer (RFC 3261 §13.2.1)"
    );
    let said = stage.tell(DialogInput::Progress { media: media() });
    let ringing = said.response(183);
    assert!(ringing.has_sdp());
    let rack = format!("{} 1 INVITE", text_of(&ringing, "RSeq"));
    let said = prack(&mut stage, 2, &rack, OFFER);
    assert_eq!(said.statuses(), [200]);
    assert!(matches!(said.events[..], [DialogEvent::Media(_)]));
    let said = stage.answer();
    assert!(said.response(200).body().is_empty());
    assert!(stage.ack(1).events.contains(&DialogEvent::Confirmed));
}

#[test]
fn an_update_before_the_answer_is_taken_once_the_first_offer_is_settled() {
    let mut stage = called(&[], OFFER);
    let held = OFFER.replace("a=fmtp", "a=inactive\r\na=fmtp");
    let said = stage.far(0, "UPDATE", &["CSeq: 2 UPDATE"], &held);
    assert_eq!(
        text_of(&said.response(500), "Retry-After")
            .parse::<u32>()
            .map(|s| s <= 10),
        Ok(true)
    );
    let said = stage.tell(DialogInput::Progress { media: media() });
    let rack = format!("{} 1 INVITE", text_of(&said.response(183), "RSeq"));
    prack(&mut stage, 3, &rack, "");
    let said = stage.far(0, "UPDATE", &["CSeq: 4 UPDATE"], &held);
    assert!(said.response(200).has_sdp());
    assert!(matches!(&said.events[..], [DialogEvent::Media(agreed)] if agreed.on_hold));
}

fn reliable(rseq: u32, contact: &str) -> String {
    format!(
        "Require: 100rel\r\nRSeq: {rseq}\r\nContact: <sip:x@{contact}>\r\nRecord-Route: <sip:{contact};lr>\r\n"
    )
}

#[test]
fn each_fork_has_its_own_numbers_and_route_and_the_loser_is_ended_beyond_its_prack() {
    let mut stage = Stage::calling(SessionTimer::default());
    let invite = stage.invite.clone();
    let first = stage
        .reply(183, "one", &reliable(7, "192.0.2.11"), OFFER)
        .request("PRACK");
    let second = stage
        .reply(180, "two", &reliable(90, "192.0.2.12"), "")
        .request("PRACK");
    assert_eq!(
        text_of(&first, "RAck"),
        format!("7 {} INVITE", invite.cseq())
    );
    assert_eq!(text_of(&second, "Route"), "<sip:192.0.2.12;lr>");
    assert_eq!(
        (first.cseq(), second.cseq()),
        (invite.cseq() + 1, invite.cseq() + 1)
    );
    // A copy, and one that came too early, are not acknowledged (RFC 3262 §4).
    for rseq in [7, 9] {
        let said = stage.reply(183, "one", &reliable(rseq, "192.0.2.11"), OFFER);
        assert!(said.sent.is_empty() && said.events.is_empty(), "{said:?}");
    }
    let said = stage.reply(200, "two", "Contact: <sip:x@192.0.2.12>\r\n", OFFER);
    assert_eq!(said.methods(), ["ACK"]);
    assert!(said.events.contains(&DialogEvent::Answered));
    let said = stage.reply(200, "one", "Contact: <sip:x@192.0.2.11>\r\n", "");
    assert_eq!(said.methods(), ["ACK", "BYE"]);
    assert!(said.request("BYE").cseq() > first.cseq());
    let said = stage.tell(DialogInput::Hangup { reason: None });
    assert!(said.request("BYE").cseq() > second.cseq());
}

#[test]
fn an_offer_in_their_ringing_is_answered_in_our_prack_and_not_again() {
    let mut stage = Stage::calling_with(SessionTimer::default(), true);
    let said = stage.reply(183, "one", &reliable(1, "192.0.2.11"), OFFER);
    assert!(said.request("PRACK").has_sdp());
    assert!(
        said.events
            .iter()
            .any(|event| matches!(event, DialogEvent::EarlyMedia(_)))
    );
    let said = stage.reply(200, "one", "Contact: <sip:x@192.0.2.11>\r\n", "");
    assert!(!said.request("ACK").has_sdp());
    assert!(matches!(
        said.events[..],
        [DialogEvent::Answered, DialogEvent::Media(_)]
    ));
}
