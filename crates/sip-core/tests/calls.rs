//! Calls between two endpoints on a virtual wire: what must happen, message by message.

#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::time::Duration;

use sip_core::dialog::{DialogEvent, DialogInput, EndCause, EndedBy};
use sip_core::flow::Transport;
use sip_core::offer_answer::Direction;
use virtual_wire::{CLEAN, Callee, Pair, Wire, media};

const CLEAR: Duration = Duration::from_secs(100);

#[test]
fn a_call_that_rings_is_answered_and_hung_up_by_the_caller() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(2_000);
    pair.hangup(0);
    pair.run(CLEAR);
    insta::assert_snapshot!(pair.ladder_text());
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn a_call_hung_up_by_the_called_side_over_tcp() {
    let mut pair = Pair::over(CLEAN, Transport::Tcp);
    pair.call();
    pair.run_ms(2_000);
    pair.hangup(1);
    pair.run(CLEAR);
    insta::assert_snapshot!(pair.ladder_text());
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn a_retransmitted_invite_makes_one_dialog() {
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Waits;
    // No provisional response reaches Alice: she repeats her INVITE.
    pair.lose = Box::new(|from, _| from == 1);
    pair.call();
    pair.run_ms(5_000);
    assert!(pair.ladder_text().matches("alice -> INVITE").count() >= 3);
    assert_eq!(pair.bob().dialogs.len(), 1);
    assert_eq!(pair.bob().count("Invited { offer: true }"), 1);
}

#[test]
fn cancel_before_and_after_ringing_ends_with_487() {
    for callee in [Callee::Waits, Callee::Rings] {
        let mut pair = Pair::new(CLEAN);
        pair.sides[1].callee = callee;
        pair.call();
        pair.run_ms(500);
        pair.hangup(0);
        pair.run(CLEAR);
        assert!(
            pair.ladder_text()
                .contains("487 Request Terminated (INVITE)")
        );
        assert_eq!(pair.bob().count("Ended Remote Cancelled"), 1);
        assert_eq!(pair.alice().count("Ended Local Cancelled"), 1);
        pair.assert_clean();
    }
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Rings;
    pair.call();
    pair.hangup(0);
    assert!(!pair.ladder_text().contains("CANCEL"));
    pair.run(CLEAR);
    assert!(pair.ladder_text().contains("CANCEL"));
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn a_cancel_that_crosses_the_200_ends_with_ack_and_bye() {
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Rings;
    pair.call();
    pair.run_ms(500);
    pair.tell(1, DialogInput::Answer { media: media(5000) });
    pair.hangup(0);
    pair.run(CLEAR);
    insta::assert_snapshot!(pair.ladder_text());
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn without_an_ack_the_called_side_sends_bye_after_32_seconds() {
    let mut pair = Pair::new(CLEAN);
    pair.lose = Box::new(|from, first| from == 0 && first.starts_with("ACK"));
    pair.call();
    pair.run(CLEAR);
    let (at, _) = pair
        .bob()
        .events
        .iter()
        .find(|(_, event)| *event == DialogEvent::AckTimeout)
        .expect("AckTimeout");
    assert_eq!(*at, Duration::from_millis(32_010));
    assert_eq!(pair.bob().count("Ended Timeout NoAck"), 1);
    assert_eq!(pair.alice().count("Ended Remote Bye"), 1);
    let repeats = pair
        .ladder_text()
        .matches("bob -> SIP/2.0 200 OK (INVITE)")
        .count();
    // T1 doubling to T2 for 32 s: 0, .5, 1.5, 3.5, 7.5, 11.5, … 31.5.
    assert_eq!(repeats, 11);
    pair.assert_clean();
}

#[test]
fn a_late_ack_confirms_and_a_hangup_waits_for_it() {
    let mut pair = Pair::new(CLEAN);
    let mut lost = 0;
    pair.lose = Box::new(move |from, first| {
        let lose = from == 0 && first.starts_with("ACK") && lost < 3;
        lost += u32::from(lose);
        lose
    });
    pair.call();
    pair.run_ms(100);
    pair.hangup(1);
    pair.run_ms(1_000);
    assert!(!pair.ladder_text().contains("BYE"), "no BYE before the ACK");
    pair.run(CLEAR);
    assert_eq!(pair.bob().count("Confirmed"), 1);
    assert_eq!(pair.bob().count("Ended Local Bye"), 1);
    assert_eq!(pair.alice().count("Ended Remote Bye"), 1);
    pair.assert_clean();
}

#[test]
fn hold_and_resume_by_reinvite() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(1_000);
    let reoffer = |direction| DialogInput::Reoffer {
        direction,
        media: None,
    };
    pair.tell(0, reoffer(Direction::SendOnly));
    pair.run_ms(1_000);
    pair.tell(0, reoffer(Direction::SendRecv));
    pair.run_ms(1_000);
    pair.hangup(1);
    pair.run(CLEAR);
    let media = |names: Vec<String>| -> Vec<String> {
        let media = names.into_iter();
        media.filter(|name| name.starts_with("Media")).collect()
    };
    let bob = media(pair.bob().names());
    assert_eq!(bob, ["Media sendrecv", "Media recvonly", "Media sendrecv"]);
    let alice = media(pair.alice().names());
    assert_eq!(
        alice,
        ["Media sendrecv", "Media sendonly", "Media sendrecv"]
    );
    assert_eq!(pair.alice().count("ReofferDone"), 2);
    insta::assert_snapshot!(pair.ladder_text());
    pair.assert_clean();
}

#[test]
fn an_identical_reinvite_changes_nothing() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(1_000);
    pair.tell(
        0,
        DialogInput::Reoffer {
            direction: Direction::SendRecv,
            media: None,
        },
    );
    pair.run_ms(1_000);
    assert_eq!(pair.alice().count("ReofferDone"), 1);
    assert_eq!(pair.bob().count("Media sendrecv"), 1);
    assert_eq!(pair.alice().count("Media sendrecv"), 1);
}

#[test]
fn glare_is_answered_491_and_retried_until_both_are_done() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(1_000);
    for (side, direction) in [(0, Direction::SendOnly), (1, Direction::SendRecv)] {
        pair.tell(
            side,
            DialogInput::Reoffer {
                direction,
                media: Some(media(6000 + side as u16 * 10)),
            },
        );
    }
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.ladder_text().matches("491 Request Pending").count(), 2);
    assert_eq!(
        pair.alice().count("ReofferDone"),
        1,
        "{}",
        pair.ladder_text()
    );
    assert_eq!(pair.bob().count("ReofferDone"), 1, "{}", pair.ladder_text());
    pair.hangup(0);
    pair.run(CLEAR);
    pair.assert_clean();
}

#[test]
fn a_delayed_offer_is_made_in_the_200_and_answered_in_the_ack() {
    let mut pair = Pair::new(CLEAN);
    let mut call = pair.outbound();
    call.delayed_offer = true;
    pair.place(&call);
    pair.run_ms(1_000);
    assert_eq!(pair.alice().count("Media sendrecv"), 1);
    assert_eq!(pair.bob().count("Media sendrecv"), 1);
    pair.hangup(1);
    pair.run(CLEAR);
    insta::assert_snapshot!(pair.ladder_text());
    pair.assert_clean();
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Rings;
    pair.call();
    pair.run_ms(100);
    pair.tell(1, DialogInput::Progress { media: media(5000) });
    pair.run_ms(100);
    assert_eq!(pair.alice().count("EarlyMedia"), 1);
    pair.tell(1, DialogInput::Answer { media: media(5000) });
    pair.run_ms(100);
    assert_eq!(pair.alice().count("Answered"), 1);
    assert_eq!(
        pair.bob().count("Media sendrecv"),
        1,
        "the answer repeats the 183's"
    );
}

#[test]
fn a_refusal_by_endpoint_or_dialog_reaches_the_caller() {
    for through_dialog in [false, true] {
        let mut pair = Pair::new(CLEAN);
        pair.sides[1].callee = Callee::Waits;
        pair.sides[1].refuse = (!through_dialog).then_some(486);
        pair.call();
        pair.run_ms(100);
        if through_dialog {
            let refusal = sip_core::dialog::Refusal::new(486);
            pair.tell(1, DialogInput::Reject(refusal));
        }
        pair.run(CLEAR);
        assert_eq!(pair.alice().count("Ended Remote Refused(486)"), 1);
        pair.assert_clean();
    }
}

#[test]
fn no_answer_at_all_ends_after_32_seconds_and_a_ring_timeout_cancels() {
    let mut pair = Pair::new(CLEAN);
    pair.lose = Box::new(|from, _| from == 0);
    pair.call();
    pair.run(CLEAR);
    assert_eq!(pair.alice().count("Ended Timeout NoResponse"), 1);
    pair.assert_clean();

    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Rings;
    let mut call = pair.outbound();
    call.ring_timeout = Some(Duration::from_secs(20));
    pair.place(&call);
    pair.run(CLEAR);
    assert_eq!(pair.alice().count("Ended Timeout NoResponse"), 1);
    assert_eq!(pair.bob().count("Ended Remote Cancelled"), 1);
    pair.assert_clean();
}

#[test]
fn digits_by_info_arrive_once_each_and_in_order() {
    let mut pair = Pair::new(Wire { loss: 20, ..CLEAN });
    pair.call();
    pair.run_ms(40_000);
    for digit in 0..9 {
        pair.tell(
            0,
            DialogInput::SendInfo {
                content_type: "application/dtmf-relay".into(),
                body: format!("Signal={digit}\r\nDuration=160\r\n").into(),
            },
        );
        pair.run_ms(33_000);
    }
    let digits: Vec<u8> = pair
        .bob()
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            DialogEvent::Info { body, .. } => Some(body[7]),
            _ => None,
        })
        .collect();
    assert_eq!(digits, b"012345678");
    assert_eq!(pair.alice().count("InfoDone { status: 200 }"), 9);
}

#[test]
fn crossing_byes_are_both_answered() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(1_000);
    pair.hangup(0);
    pair.hangup(1);
    pair.run(CLEAR);
    assert_eq!(pair.ladder_text().matches("200 OK (BYE)").count(), 2);
    for side in &pair.sides {
        let ended = side.events.iter().filter_map(|(_, event)| match event {
            DialogEvent::Ended(ended) => Some((ended.by, ended.cause)),
            _ => None,
        });
        assert_eq!(ended.collect::<Vec<_>>(), [(EndedBy::Local, EndCause::Bye)]);
    }
    pair.assert_clean();
}

#[test]
fn on_a_bad_wire_every_call_ends_once_and_leaves_nothing() {
    for seed in 1..=150 {
        let mut pair = Pair::new(Wire {
            seed,
            loss: seed % 45,
            delay_ms: 5 + seed % 60,
            jitter_ms: seed * 7 % 300,
        });
        pair.call();
        pair.run_ms(300 + seed * 37 % 4_000);
        let ender = (seed % 2) as usize;
        if pair.sides[ender].dialogs.len() == 1 {
            pair.hangup(ender);
        }
        pair.run_ms(200_000);
        if pair.sides[0].dialogs.len() == 1 {
            // The far side's BYE got lost for good: this side still talks.
            pair.hangup(0);
        }
        if pair.sides[1].dialogs.len() == 1 {
            pair.hangup(1);
        }
        pair.run_ms(200_000);
        for side in &pair.sides {
            let ended = side
                .names()
                .iter()
                .filter(|name| name.starts_with("Ended"))
                .count();
            let begun = side.names().iter().any(|name| name.starts_with("Invited"));
            let expected = usize::from(side.name == "alice" || begun);
            assert_eq!(ended, expected, "seed {seed}\n{}", pair.ladder_text());
        }
        pair.assert_clean();
    }
}
