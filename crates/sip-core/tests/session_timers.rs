//! Session timers (RFC 4028): who refreshes and when, what is too short, and who notices that the other one is gone.

#[path = "support/letters.rs"]
mod letters;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::time::Duration;

use sip_core::dialog::{DialogEvent, DialogInput, EndCause, SessionTimer};
use sip_core::offer_answer::Direction;
use stage::{Stage, text_of};
use virtual_wire::{CLEAN, Pair};

const CLEAR: Duration = Duration::from_secs(100);

fn timer(expires_s: u32, min_s: u32) -> SessionTimer {
    SessionTimer { expires_s, min_s }
}

fn pair(alice: SessionTimer, bob: SessionTimer) -> Pair {
    let mut pair = Pair::new(CLEAN);
    pair.sides[0].session_timer = alice;
    pair.sides[1].session_timer = bob;
    pair
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_caller_refreshes_at_half_of_the_interval_for_as_long_as_the_call_lasts() {
    let mut pair = pair(timer(100, 90), timer(0, 90));
    pair.call();
    pair.run(seconds(49));
    assert!(!pair.ladder_text().contains("UPDATE"));
    pair.run(seconds(2));
    assert_eq!(pair.ladder_text().matches("alice -> UPDATE").count(), 1);
    pair.run(seconds(950));
    assert_eq!(pair.ladder_text().matches("alice -> UPDATE").count(), 20);
    assert!(!pair.ladder_text().contains("bob -> UPDATE"));
    let media = |names: &[String]| names.iter().filter(|n| n.starts_with("Media")).count();
    assert_eq!(
        (media(&pair.alice().names()), media(&pair.bob().names())),
        (1, 1)
    );
    pair.hangup(0);
    pair.run(CLEAR);
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn the_called_side_refreshes_when_only_it_asks_for_a_timer() {
    let mut pair = pair(timer(0, 90), timer(100, 90));
    pair.call();
    pair.run(seconds(500));
    assert!(pair.ladder_text().matches("bob -> UPDATE").count() >= 9);
    assert!(!pair.ladder_text().contains("alice -> UPDATE"));
    assert_eq!(pair.alice().count("Ended Remote Bye"), 0);
}

#[test]
fn who_falls_silent_is_noticed_by_the_other_before_the_interval_is_over() {
    let mut pair = pair(timer(120, 90), timer(0, 90));
    pair.call();
    pair.run(seconds(10));
    // Alice goes away without a word; what Bob says is lost as well.
    pair.lose = Box::new(|_, _| true);
    pair.run(seconds(200));
    let end = |at: usize| {
        let mut events = pair.sides[at].events.iter();
        events.find_map(|(at, event)| match event {
            DialogEvent::Ended(ended) => Some((*at, ended.clone())),
            _ => None,
        })
    };
    // RFC 4028 §10: 32 s, or a third, before the end.
    let (at, bob) = end(1).expect("bob noticed");
    assert_eq!(at.as_secs(), 88);
    assert_eq!(bob.cause, EndCause::SessionExpired);
    let reason = bob.reason.expect("a reason");
    assert_eq!((reason.protocol.as_str(), reason.cause), ("SIP", Some(408)));
    // The refresher's UPDATE found nobody: 60 s and 64·T1, but no longer than the interval.
    let (at, alice) = end(0).expect("alice noticed");
    assert_eq!(at.as_secs(), 88);
    assert_eq!(alice.cause, EndCause::SessionExpired);
    assert_eq!(
        pair.ladder_text().matches("BYE sip:").count() % 2,
        0,
        "both say BYE"
    );
    pair.run(CLEAR);
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn an_interval_that_is_too_short_is_made_longer_once_and_the_call_goes_on() {
    let mut pair = pair(timer(100, 90), timer(0, 300));
    pair.call();
    pair.run_ms(1_000);
    let ladder = pair.ladder_text();
    assert!(
        ladder.contains("422 Session Interval Too Small (INVITE)"),
        "{ladder}"
    );
    assert_eq!(ladder.matches("alice -> INVITE").count(), 2);
    assert_eq!(pair.alice().count("Answered"), 1);
    // What was refused made a dialog, and that one ended before it was a call.
    assert_eq!(pair.bob().count("Invited { offer: true }"), 1);
    pair.run(seconds(151));
    assert_eq!(
        pair.ladder_text().matches("alice -> UPDATE").count(),
        1,
        "half of 300"
    );
    assert_eq!(pair.alice().dialogs.len(), 1);
}

#[test]
fn a_far_side_that_never_has_enough_is_given_up() {
    let mut stage = Stage::calling(timer(100, 90));
    for more in [200, 300, 400] {
        let min = format!("Min-SE: {more}\r\n");
        let said = stage.reply(422, "t", &min, "");
        let invite = said.request("INVITE");
        assert_eq!(text_of(&invite, "Session-Expires"), more.to_string());
        assert_eq!(text_of(&invite, "Min-SE"), more.to_string());
        stage.invite = invite;
    }
    let said = stage.reply(422, "t", "Min-SE: 500\r\n", "");
    assert!(said.ended().is_some_and(|ended| ended.status == Some(422)));
}

#[test]
fn our_2xx_names_the_refresher_that_the_caller_wants() {
    let asked = |value: &str| {
        let expires = format!("Session-Expires: {value}");
        let mut stage = Stage::called(timer(1800, 90), &[&expires, "Supported: timer"]);
        let said = stage.answer();
        let answer = said.response(200);
        let require = answer.headers().get("Require").is_some();
        (text_of(&answer, "Session-Expires"), require)
    };
    assert_eq!(
        asked("1800;refresher=uas"),
        ("1800;refresher=uas".into(), false)
    );
    assert_eq!(
        asked("1800;refresher=uac"),
        ("1800;refresher=uac".into(), true)
    );
    assert_eq!(asked("900"), ("900;refresher=uac".into(), true));
    // It may be made shorter, never longer.
    assert_eq!(asked("7200"), ("1800;refresher=uac".into(), true));
}

#[test]
fn a_caller_without_timers_gets_none_and_a_proxys_interval_is_ours_to_refresh() {
    let mut stage = Stage::called(timer(1800, 90), &[]);
    let said = stage.answer();
    assert!(
        said.response(200)
            .headers()
            .get("Session-Expires")
            .is_none()
    );

    // RFC 4028 §8.1: a proxy put it in; nobody but us can refresh.
    let mut stage = Stage::called(timer(1800, 90), &["x: 600"]);
    let said = stage.answer();
    let answer = said.response(200);
    assert_eq!(text_of(&answer, "Session-Expires"), "600;refresher=uas");
    assert!(answer.headers().get("Require").is_none());
    stage.ack(1);
    let said = stage.at(300_000);
    // Its INVITE said nothing of UPDATE: the refresh is the description as it was.
    let refresh = said.request("INVITE");
    assert_eq!(text_of(&refresh, "Session-Expires"), "600;refresher=uac");
    let version = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).into_owned();
        text.lines()
            .find(|line| line.starts_with("o="))
            .map(str::to_owned)
    };
    assert_eq!(version(refresh.body()), version(answer.body()));
}

#[test]
fn an_interval_below_ours_is_422_with_min_se_and_makes_no_call() {
    let short = ["Session-Expires: 60", "Supported: timer"];
    let mut stage = Stage::called(timer(0, 90), &short);
    let said = stage.said();
    assert_eq!(text_of(&said.response(422), "Min-SE"), "90");
    assert!(
        !said
            .events
            .iter()
            .any(|e| matches!(e, DialogEvent::Invited { .. }))
    );
    // One who would not understand 422 is let in.
    let mut stage = Stage::called(timer(0, 90), &["Session-Expires: 60"]);
    let said = stage.said();
    assert!(
        said.events
            .iter()
            .any(|e| matches!(e, DialogEvent::Invited { .. }))
    );
}

#[test]
fn a_refresh_of_the_far_side_is_answered_without_touching_the_media() {
    let mut stage = Stage::called(
        timer(1800, 90),
        &["Session-Expires: 1800;refresher=uac", "Supported: timer"],
    );
    let first = stage.answer().response(200);
    stage.ack(1);
    for (cseq, method, body) in [(2, "INVITE", letters::OFFER), (3, "UPDATE", "")] {
        let cseq_line = format!("CSeq: {cseq} {method}");
        let lines = [
            cseq_line.as_str(),
            "Session-Expires: 1800;refresher=uac",
            "Supported: timer",
        ];
        let said = stage.far(900_000 * cseq, method, &lines, body);
        let answer = said.response(200);
        assert_eq!(text_of(&answer, "Session-Expires"), "1800;refresher=uac");
        assert!(said.events.is_empty(), "{:?}", said.events);
        if method == "INVITE" {
            assert_eq!(answer.body(), first.body(), "the very same description");
            stage.ack(2);
        }
    }
    // 1,800 s less 32 after the last one.
    assert!(stage.at(2_700_000 + 1_767_000).sent.is_empty());
    let said = stage.at(2_700_000 + 1_768_000);
    assert_eq!(
        text_of(&said.request("BYE"), "Reason"),
        "SIP;cause=408;text=\"Session timer expired\""
    );
}

/// A call of ours with `refresher=uac` at 100 s, one refresh due, answered by `status`.
fn refreshed(status: u16, more: &str) -> (Stage, stage::Said) {
    let mut stage = Stage::calling(timer(100, 90));
    let contact = "Contact: <sip:x@192.0.2.7>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\nSession-Expires: 100;refresher=uac\r\n";
    stage.reply(200, "t", contact, letters::OFFER);
    let said = stage.at(50_020);
    stage.invite = said.request("UPDATE");
    let said = stage.reply(status, "t", more, "");
    (stage, said)
}

#[test]
fn a_refresh_that_finds_no_dialog_ends_the_call() {
    let (_, said) = refreshed(481, "");
    assert_eq!(said.methods(), ["BYE"]);
    assert_eq!(
        said.ended().map(|ended| ended.cause),
        Some(EndCause::SessionExpired)
    );
}

#[test]
fn a_refresh_that_meets_another_offer_is_tried_again_soon() {
    let (mut stage, said) = refreshed(491, "");
    assert!(said.ended().is_none() && said.methods().is_empty());
    // §14.1: the owner of the Call-ID waits 2.1 to 4 s.
    assert!(stage.at(52_000).methods().is_empty());
    // Over UDP it is repeated: one request, however often.
    let mut again = stage.at(54_200).methods();
    again.dedup();
    assert_eq!(again, ["UPDATE"]);
}

#[test]
fn a_refresh_that_fails_otherwise_is_tried_again_and_the_session_ends_in_time() {
    let (mut stage, said) = refreshed(500, "");
    assert!(said.ended().is_none());
    let again = stage.at(60_000);
    assert!(again.methods().iter().all(|method| method == "UPDATE"));
    let numbers = [stage.invite.cseq(), again.request("UPDATE").cseq()];
    assert!(numbers[0] < numbers[1], "{numbers:?}");
    let said = stage.at(68_100);
    assert!(said.methods().contains(&"BYE".to_owned()));
    assert_eq!(
        said.ended().map(|ended| ended.cause),
        Some(EndCause::SessionExpired)
    );
}

#[test]
fn a_far_side_that_refuses_update_is_refreshed_by_invite() {
    let (_, said) = refreshed(405, "Allow: INVITE, ACK, BYE\r\n");
    let refresh = said.request("INVITE");
    assert!(refresh.has_sdp());
    assert_eq!(text_of(&refresh, "Session-Expires"), "100;refresher=uac");
}

#[test]
fn a_hold_meanwhile_is_a_refresh_too_and_no_number_is_used_twice() {
    let mut pair = pair(timer(100, 90), timer(0, 90));
    pair.call();
    pair.run(seconds(40));
    let held = DialogInput::Reoffer {
        direction: Direction::SendOnly,
        media: None,
    };
    pair.tell(0, held);
    pair.run(seconds(40));
    assert!(
        !pair.ladder_text().contains("UPDATE"),
        "the re-INVITE began the interval anew"
    );
    pair.run(seconds(20));
    assert_eq!(pair.ladder_text().matches("alice -> UPDATE").count(), 1);
    let mut numbers: Vec<u32> = pair
        .requests
        .iter()
        .filter(|sent| sent.side == 0)
        .map(|sent| sent.cseq)
        .collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all);
}

#[test]
fn the_timer_outlives_a_crash_of_its_dialog() {
    let mut pair = pair(timer(100, 90), timer(0, 90));
    pair.call();
    pair.run(seconds(40));
    let id = pair.sides[0].only();
    let now = pair.now;
    let side = &mut pair.sides[0];
    let seed = side.dialogs[&id].seed();
    let text = serde_json::to_string(&seed).expect("JSON");
    let seed = serde_json::from_str(&text).expect("a seed");
    let resumed = sip_core::dialog::Dialog::resume(now, side.config(), side.tokens.fork(), &seed);
    side.dialogs.insert(id, resumed.expect("resumed"));
    // How much of the interval had passed is not known any more: it is refreshed at once.
    pair.run(seconds(1));
    assert_eq!(
        pair.ladder_text().matches("alice -> UPDATE").count(),
        1,
        "{}",
        pair.ladder_text()
    );
    pair.run(seconds(300));
    assert_eq!(pair.alice().dialogs.len(), 1);
}
