//! The proof of who calls, beside a call: ringing never waits for it, the answer only where a call
//! without proof is refused, and nobody waits longer than the limit.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{Attested, Attesting, Call, CallFact, Effect, Incoming, Input, LineNews};
use model::EndReason;
use model::fact::{Attestation, AttestationLevel, Verstat};
use story::drain;

const NOW: Duration = Duration::from_secs(100);
const LIMIT: Duration = Duration::from_millis(500);

fn call(attesting: Attesting, actions: &str) -> (Call, Vec<Effect>) {
    let mut call = story::call(story::plan("public", actions, ""));
    let incoming = Incoming {
        attesting,
        ..story::caller("public")
    };
    call.handle(NOW, Input::Incoming(Box::new(incoming)));
    let first = drain(&mut call);
    (call, first)
}

fn after(call: &mut Call, input: Input) -> Vec<Effect> {
    call.handle(NOW, input);
    drain(call)
}

fn attestation(verstat: Verstat) -> Attestation {
    let passed = verstat == Verstat::Passed;
    Attestation {
        verstat,
        level: passed.then_some(AttestationLevel::B),
        origid: passed.then(|| "here".to_owned()),
        reason: None,
    }
}

fn found(verstat: Verstat, refusal: Option<(u16, &'static str)>) -> Input {
    let attested = Attested {
        attestation: attestation(verstat),
        refusal,
    };
    Input::Line(LineNews::Attested(Box::new(attested)))
}

fn fact(verstat: Verstat) -> Effect {
    Effect::Journal(CallFact::Attested(attestation(verstat)))
}

fn is_late(effect: &Effect) -> bool {
    matches!(effect, Effect::Journal(CallFact::Attested(attestation))
        if attestation.verstat == Verstat::Failed && attestation.reason.as_deref() == Some("late"))
}

#[test]
fn nobody_looks_where_nobody_asks() {
    let (mut call, first) = call(Attesting::Off, "\"ring\", \"answer\", \"echo\"");
    assert!(!first.contains(&Effect::Attest));
    let rest = after(&mut call, Input::Journaled);
    assert!(rest.contains(&Effect::Answer), "{rest:?}");
    let told = after(&mut call, found(Verstat::Passed, None));
    assert_eq!(told, [], "an answer to no question");
}

#[test]
fn ringing_waits_for_nothing_and_a_noted_proof_holds_up_no_answer() {
    let (mut call, first) = call(Attesting::Note, "\"ring\", \"answer\", \"echo\"");
    let at = |effect: &Effect| first.iter().position(|one| one == effect);
    assert!(at(&Effect::Attest).is_some() && at(&Effect::Ring).is_some());
    let answered = after(&mut call, Input::Journaled);
    assert!(answered.contains(&Effect::Answer), "{answered:?}");
    let refusal = Some((438, "Invalid Identity Header"));
    let told = after(&mut call, found(Verstat::Failed, refusal));
    assert_eq!(told, [fact(Verstat::Failed)], "noted, and the call goes on");
    let again = after(&mut call, found(Verstat::Passed, None));
    assert_eq!(again, [], "the first word counts");
}

#[test]
fn where_calls_without_proof_are_refused_the_answer_waits_for_it() {
    let (mut call, first) = call(Attesting::Refuse, "\"ring\", \"answer\", \"echo\"");
    assert!(first.contains(&Effect::Ring), "{first:?}");
    let kept = after(&mut call, Input::Journaled);
    assert!(!kept.contains(&Effect::Answer), "{kept:?}");
    let told = after(&mut call, found(Verstat::Passed, None));
    assert_eq!(
        told.first_chunk(),
        Some(&[fact(Verstat::Passed), Effect::Answer])
    );
}

#[test]
fn a_broken_proof_is_refused_with_its_own_status_and_one_record() {
    let (mut call, _) = call(Attesting::Refuse, "\"ring\", \"answer\", \"echo\"");
    after(&mut call, Input::Journaled);
    let refusal = Some((438, "Invalid Identity Header"));
    let told = after(&mut call, found(Verstat::Failed, refusal));
    assert_eq!(told[0], fact(Verstat::Failed));
    let reject = Effect::Reject {
        status: 438,
        q850: 21,
        reason: Some("Invalid Identity Header".to_owned()),
        retry_after_s: None,
    };
    assert_eq!(told[1], reject);
    let Some(Effect::Ended(ending)) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(ending.reason, EndReason::CallerUnverified);
    assert_eq!(ending.sip_status, Some(438));
    assert!(call.is_over());
}

#[test]
fn whoever_would_answer_for_a_bridge_waits_too() {
    let plan = "{ bridge = { to = [\"sip:a@b\"] } }";
    let (mut call, _) = call(Attesting::Refuse, plan);
    after(&mut call, Input::Journaled);
    let answered = Input::DialAnswered {
        attempt: 1,
        target: "sip:a@b".to_owned(),
    };
    let joined = after(&mut call, answered);
    assert!(!joined.contains(&Effect::Answer), "{joined:?}");
    let refused = after(
        &mut call,
        found(Verstat::Absent, Some((428, "Use Identity Header"))),
    );
    let cancelled = refused.contains(&Effect::CancelDial { attempt: 1 });
    assert!(cancelled, "the other side is let go: {refused:?}");
}

#[test]
fn half_a_second_is_the_limit_and_a_late_verdict_is_not_heard() {
    for attesting in [Attesting::Note, Attesting::Refuse] {
        let (mut call, _) = call(attesting, "\"ring\", \"answer\", \"echo\"");
        after(&mut call, Input::Journaled);
        assert_eq!(call.poll_timeout(), Some(NOW + LIMIT), "{attesting:?}");
        call.handle_timeout(NOW + LIMIT - Duration::from_millis(1));
        assert_eq!(drain(&mut call), [], "not yet");
        call.handle_timeout(NOW + LIMIT);
        let told = drain(&mut call);
        assert!(is_late(&told[0]), "{told:?}");
        let refused = told
            .iter()
            .any(|effect| matches!(effect, Effect::Reject { status: 436, .. }));
        assert_eq!(refused, attesting == Attesting::Refuse, "{told:?}");
        let late = after(&mut call, found(Verstat::Passed, None));
        assert_eq!(late, [], "{attesting:?}");
    }
}

#[test]
fn a_call_that_ended_waits_for_no_verdict() {
    let (mut call, _) = call(Attesting::Note, "\"ring\", \"answer\", \"echo\"");
    let ended = after(&mut call, Input::Cancelled);
    assert!(matches!(ended.last(), Some(Effect::Ended(_))), "{ended:?}");
    assert_eq!(call.poll_timeout(), None);
    call.handle_timeout(NOW + LIMIT);
    assert_eq!(after(&mut call, found(Verstat::Passed, None)), []);
}

#[test]
fn the_dialplan_knows_the_verdict_once_it_is_there() {
    let log = "\"ring\", { sleep = \"400ms\" }, { log = \"{verstat} {attestation}\" }, \"answer\", \"echo\"";
    let (mut call, _) = call(Attesting::Note, log);
    after(&mut call, Input::Journaled);
    after(&mut call, found(Verstat::Passed, None));
    call.handle_timeout(NOW + Duration::from_millis(400));
    let line = "TN-Validation-Passed B".to_owned();
    let logged = drain(&mut call);
    assert!(
        logged.contains(&Effect::Journal(CallFact::Logged { line })),
        "{logged:?}"
    );
}

#[test]
fn a_verdict_from_before_the_number_was_looked_up_is_not_lost() {
    let actions = "{ log = \"{verstat}\" }, \"answer\", \"echo\"";
    let number = "when = { number = \"+33100000001\" }";
    let mut call = story::call(story::plan("public", actions, number));
    let incoming = Incoming {
        to: "+33100000001".to_owned(),
        attesting: Attesting::Refuse,
        ..story::caller("public")
    };
    after(&mut call, Input::Incoming(Box::new(incoming)));
    after(&mut call, found(Verstat::Passed, None));
    let routed = after(&mut call, Input::Resolved(None));
    let line = "TN-Validation-Passed".to_owned();
    assert!(
        routed.contains(&Effect::Journal(CallFact::Logged { line })),
        "{routed:?}"
    );
    let answered = after(&mut call, Input::Journaled);
    assert!(answered.contains(&Effect::Answer), "{answered:?}");
}
