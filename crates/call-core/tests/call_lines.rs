//! What the caller's line does to a call: hold, causes, a session that ran out.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{Call, CallFact, CallState, Effect, Ending, Input, LineNews, Party};
use model::EndReason;
use story::drain;

const NOW: Duration = Duration::from_secs(100);

/// A call on `answer, echo`, up to the ACK.
fn answered() -> Call {
    let mut call = ringing();
    call.handle(NOW, Input::Journaled);
    call.handle(NOW, Input::Acknowledged);
    drain(&mut call);
    assert_eq!(call.state(), CallState::InProgress);
    call
}

fn ringing() -> Call {
    let mut call = story::call(story::plan("internal", "\"answer\", \"echo\"", ""));
    call.handle(NOW, Input::Incoming(Box::new(story::caller("internal"))));
    drain(&mut call);
    call
}

fn line(call: &mut Call, news: LineNews) -> Vec<Effect> {
    call.handle(NOW, Input::Line(news));
    drain(call)
}

fn ending(call: &mut Call) -> Ending {
    call.handle(NOW, Input::MediaClosed);
    match drain(call).pop() {
        Some(Effect::Ended(ending)) => *ending,
        other => panic!("no record but {other:?}"),
    }
}

#[test]
fn hold_and_resume_are_facts_once_each_and_put_the_call_to_rest() {
    let mut call = answered();
    assert_eq!(line(&mut call, LineNews::Resumed), [], "it was not held");
    let held = [Effect::Journal(CallFact::Held), Effect::Hold(true)];
    assert_eq!(line(&mut call, LineNews::Held), held);
    assert_eq!(call.state(), CallState::OnHold);
    assert_eq!(
        line(&mut call, LineNews::Held),
        [],
        "sendonly, then inactive"
    );
    let resumed = [Effect::Journal(CallFact::Resumed), Effect::Hold(false)];
    assert_eq!(line(&mut call, LineNews::Resumed), resumed);
    assert_eq!(call.state(), CallState::InProgress);
}

#[test]
fn the_cause_a_caller_gives_for_the_end_is_the_records() {
    let mut call = answered();
    line(&mut call, LineNews::Cause { q850: 31 });
    call.handle(NOW, Input::RemoteBye);
    let end = ending(&mut call);
    assert_eq!((end.reason, end.q850), (EndReason::CallerHangup, 31));

    let mut call = ringing();
    line(&mut call, LineNews::Cause { q850: 102 });
    call.handle(NOW, Input::Cancelled);
    let end = match drain(&mut call).pop() {
        Some(Effect::Ended(ending)) => ending,
        other => panic!("no record but {other:?}"),
    };
    assert_eq!((end.reason, end.q850), (EndReason::Cancelled, 102));
    assert_eq!(end.sip_status, Some(487));
}

#[test]
fn a_session_that_nobody_refreshed_ends_the_call_without_another_bye() {
    let mut call = answered();
    let effects = line(&mut call, LineNews::Expired);
    assert!(
        !effects.iter().any(|e| matches!(e, Effect::Hangup { .. })),
        "{effects:?}"
    );
    let end = ending(&mut call);
    assert_eq!(
        (end.reason, end.by),
        (EndReason::SessionExpired, Party::Server)
    );
    assert_eq!(end.q850, 102);
}
