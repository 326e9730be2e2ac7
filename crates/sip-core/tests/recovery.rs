//! Seeds: after a crash a dialog, or a whole listener, carries on from what was kept.

#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::time::Duration;

use sip_core::dialog::{Dialog, DialogId, DialogInput, DialogSeed};
use sip_core::endpoint::{Endpoint, EndpointConfig, EndpointInput};
use sip_core::offer_answer::Direction;
use sip_core::tokens::TokenSource;
use virtual_wire::{CLEAN, Callee, Pair, media};

/// Kills a side's only dialog and makes another from its seed, which went through JSON.
fn crash_dialog(pair: &mut Pair, side: usize) -> DialogId {
    let id = pair.sides[side].only();
    let now = pair.now;
    let side = &mut pair.sides[side];
    let seed = side.dialogs.remove(&id).expect("dialog").seed();
    let json = serde_json::to_string(&seed).expect("json");
    let kept: DialogSeed = serde_json::from_str(&json).expect("seed");
    assert_eq!(kept, seed);
    let dialog = Dialog::resume(now, side.config(), side.tokens.fork(), &kept).expect("resumed");
    side.dialogs.insert(id.clone(), dialog);
    id
}

/// Kills a side's endpoint and rebuilds it from the seeds of its dialogs.
fn crash_endpoint(pair: &mut Pair, side: usize) {
    let now = pair.now;
    let side = &mut pair.sides[side];
    let tokens = TokenSource::new([77; 32]);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), tokens);
    for dialog in side.dialogs.values() {
        let seed = Box::new(dialog.seed());
        endpoint.handle(now, EndpointInput::AdoptSeed(seed));
    }
    side.endpoint = endpoint;
}

#[test]
fn a_dialog_lost_in_a_call_goes_on_holding_and_hanging_up() {
    for side in [0, 1] {
        let mut pair = Pair::new(CLEAN);
        pair.call();
        pair.run_ms(2_000);
        crash_dialog(&mut pair, side);
        pair.tell(
            side,
            DialogInput::Reoffer {
                direction: Direction::SendOnly,
                media: None,
            },
        );
        pair.run_ms(1_000);
        assert_eq!(
            pair.sides[side].count("ReofferDone"),
            1,
            "{}",
            pair.ladder_text()
        );
        assert_eq!(pair.sides[1 - side].count("Media recvonly"), 1);
        pair.hangup(side);
        pair.run(Duration::from_secs(100));
        assert_eq!(
            pair.sides[1 - side].count("Ended Remote Bye"),
            1,
            "{}",
            pair.ladder_text()
        );
        pair.assert_clean();
    }
}

#[test]
fn a_dialog_lost_in_a_call_still_answers_a_bye() {
    for side in [0, 1] {
        let mut pair = Pair::new(CLEAN);
        pair.call();
        pair.run_ms(2_000);
        crash_dialog(&mut pair, side);
        pair.hangup(1 - side);
        pair.run(Duration::from_secs(100));
        assert_eq!(pair.sides[side].count("Ended Remote Bye"), 1);
        assert!(pair.ladder_text().contains("200 OK (BYE)"));
        pair.assert_clean();
    }
}

#[test]
fn a_dialog_lost_while_ringing_can_still_be_answered() {
    let mut pair = Pair::new(CLEAN);
    pair.sides[1].callee = Callee::Rings;
    pair.call();
    pair.run_ms(1_000);
    crash_dialog(&mut pair, 1);
    pair.tell(1, DialogInput::Answer { media: media(5000) });
    pair.run_ms(1_000);
    assert_eq!(pair.alice().count("Answered"), 1, "{}", pair.ladder_text());
    assert_eq!(pair.bob().count("Confirmed"), 1);
}

#[test]
fn dialogs_lost_while_ringing_end_with_what_the_wire_is_owed() {
    for (side, word) in [(0, "CANCEL"), (1, "480 Temporarily Unavailable")] {
        let mut pair = Pair::new(CLEAN);
        pair.sides[1].callee = Callee::Rings;
        pair.call();
        pair.run_ms(1_000);
        crash_dialog(&mut pair, side);
        pair.hangup(side);
        pair.run(Duration::from_secs(100));
        assert!(pair.ladder_text().contains(word), "{}", pair.ladder_text());
        pair.assert_clean();
    }
}

#[test]
fn an_unacknowledged_answer_is_sent_again_after_the_crash() {
    let mut pair = Pair::new(CLEAN);
    let mut first = true;
    pair.lose = Box::new(move |from, line| {
        from == 1 && line.contains("200 OK") && std::mem::replace(&mut first, false)
    });
    pair.call();
    pair.run_ms(100);
    crash_dialog(&mut pair, 1);
    pair.run_ms(5_000);
    assert_eq!(pair.alice().count("Answered"), 1, "{}", pair.ladder_text());
    assert_eq!(pair.bob().count("Confirmed"), 1);
}

#[test]
fn a_listener_rebuilt_from_seeds_keeps_its_calls() {
    for (ringing, side) in [(true, 1), (false, 1), (false, 0)] {
        let mut pair = Pair::new(CLEAN);
        pair.sides[1].callee = if ringing {
            Callee::Rings
        } else {
            Callee::Answers
        };
        pair.call();
        pair.run_ms(1_000);
        crash_endpoint(&mut pair, side);
        pair.hangup(0);
        pair.run(Duration::from_secs(100));
        pair.assert_ended_once();
        let expected = if ringing { "487" } else { "200 OK (BYE)" };
        assert!(
            pair.ladder_text().contains(expected),
            "{}",
            pair.ladder_text()
        );
        pair.assert_clean();
    }
}

#[test]
fn after_forgetting_a_copy_of_the_bye_is_answered_and_a_copy_of_the_invite_absorbed() {
    let mut pair = Pair::new(CLEAN);
    // Every 200 to the BYE is lost at first; Bob's dialog is gone by then.
    let mut lost = 0;
    pair.lose = Box::new(move |from, line| {
        let bye = from == 1 && line.contains("200 OK") && lost < 5;
        lost += u32::from(bye);
        bye && lost > 1
    });
    pair.sides[1].callee = Callee::Answers;
    pair.call();
    pair.run_ms(2_000);
    pair.hangup(0);
    pair.run_ms(100);
    assert_eq!(pair.bob().endpoint.dialogs(), 0, "{}", pair.ladder_text());
    assert!(pair.bob().endpoint.remembered() > 0);
    pair.run(Duration::from_secs(100));
    assert!(
        pair.bob().endpoint.counters().retransmissions >= 2,
        "{}",
        pair.ladder_text()
    );
    assert_eq!(pair.bob().endpoint.counters().new_invites, 1);
    pair.assert_clean();
}

#[test]
fn a_finished_transaction_weighs_less_than_a_kilobyte() {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(2_000);
    let bob = pair.sides[1].only();
    pair.tell(
        0,
        DialogInput::SendInfo {
            content_type: "application/dtmf".into(),
            body: "5".into(),
        },
    );
    pair.run_ms(20);
    let finished = pair.sides[1].dialogs[&bob].finished();
    assert_eq!(finished.len(), 2);
    for transaction in finished {
        let response = transaction.response.map_or(0, |response| response.len());
        assert!(response + size_of::<sip_core::dialog::FinishedTransaction>() < 1024);
    }
}
