//! Handing a caller over, told as stories: by REFER, through us, and back to the agent.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{
    CallFact, DialFailure, Effect, Handover, HandoverEnd, HandoverNews, Input, MediaMode,
};
use call_core::dialing::{By, Digits};
use call_core::dialplan::action::{BridgeOp, Callee, Refer};
use model::EndReason;
use story::Story;

const SECTIONS: &str =
    "[section.busy]\ndo = [{ log = \"busy\" }]\n[section.other]\ndo = [{ bridge = \"sip:c@h\" }]";

/// What the stories of this file need besides.
trait Handing: Sized {
    fn with_agent() -> Self;
    fn news(&mut self, news: HandoverNews) -> Vec<Effect>;
    fn want(&mut self, refer: Refer, resume: bool) -> Vec<Effect>;
}

impl Handing for Story {
    fn with_agent() -> Story {
        let (story, effects) = Story::answered(r#""answer", { agent = "demo/ada" }"#, SECTIONS);
        let started = |e: &Effect| matches!(e, Effect::StartAgent { .. });
        assert!(effects.iter().any(started), "{effects:#?}");
        story
    }

    fn news(&mut self, news: HandoverNews) -> Vec<Effect> {
        self.input(Input::Handover(news))
    }

    fn want(&mut self, refer: Refer, resume: bool) -> Vec<Effect> {
        self.news(HandoverNews::Wanted(Box::new(Handover {
            name: "desk".to_owned(),
            op: BridgeOp {
                stages: vec![
                    vec![Callee::written("sip:a@h"), Callee::written("sip:b@h")],
                    vec![Callee::written("sip:c@h")],
                ],
                refer,
                ring_for: Duration::from_secs(10),
                from: None,
                on_busy: None,
                on_no_answer: None,
                on_failed: None,
            },
            resume,
            record: true,
        })))
    }
}

fn dialled(effects: &[Effect]) -> (u32, Vec<String>) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Dial {
            attempt, targets, ..
        } => Some((*attempt, targets.iter().map(|t| t.name.clone()).collect())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nobody is called: {effects:#?}"))
}

fn resumed(effects: &[Effect]) -> HandoverEnd {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::ResumeAgent { end } => Some(*end),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("the agent is not resumed: {effects:#?}"))
}

#[test]
fn the_caller_hears_ringing_and_then_the_first_who_answers() {
    let mut story = Story::with_agent();
    let effects = story.want(Refer::Never, false);
    assert!(effects.contains(&Effect::HoldAgent));
    assert!(effects.contains(&Effect::Mode(MediaMode::Ringback)));
    let (attempt, targets) = dialled(&effects);
    assert_eq!(targets, ["sip:a@h", "sip:b@h"]);
    let target = "sip:b@h".to_owned();
    let effects = story.input(Input::DialAnswered { attempt, target });
    assert!(effects.contains(&Effect::Join { attempt }), "{effects:#?}");
    let fact = CallFact::Transferred {
        target: "sip:b@h".to_owned(),
        mode: "bridge",
    };
    assert!(effects.contains(&Effect::Journal(fact)));
    let effects = story.input(Input::BridgeEnded);
    assert!(effects.contains(&Effect::StopAgent), "{effects:#?}");
    assert!(effects.contains(&Effect::Hangup { q850: 16 }));
    assert_eq!(story.closed().reason, EndReason::BridgeEnded);
}

#[test]
fn the_agent_takes_the_caller_back_when_the_target_hangs_up() {
    let mut story = Story::with_agent();
    let (attempt, _) = dialled(&story.want(Refer::Never, true));
    let target = "sip:a@h".to_owned();
    story.input(Input::DialAnswered { attempt, target });
    let effects = story.input(Input::BridgeEnded);
    assert_eq!(resumed(&effects), HandoverEnd::Over);
    assert!(effects.contains(&Effect::Mode(MediaMode::Normal)));
    assert!(effects.contains(&Effect::Journal(CallFact::AgentResumed)));
    let (again, _) = dialled(&story.want(Refer::Never, true));
    assert_ne!(again, attempt, "and may hand him over again");
}

#[test]
fn one_after_the_other_and_back_to_the_agent_with_the_reason() {
    let mut story = Story::with_agent();
    let (attempt, _) = dialled(&story.want(Refer::Never, false));
    let failure = DialFailure::Busy;
    let effects = story.input(Input::DialFailed { attempt, failure });
    let (second, targets) = dialled(&effects);
    assert_eq!(targets, ["sip:c@h"]);
    let effects = story.after(10);
    assert!(effects.contains(&Effect::CancelDial { attempt: second }));
    assert_eq!(resumed(&effects), HandoverEnd::Failed(DialFailure::Busy));
    let fact = CallFact::TransferFailed {
        to: "desk".to_owned(),
        reason: EndReason::Busy,
    };
    assert!(effects.contains(&Effect::Journal(fact)), "{effects:#?}");
}

#[test]
fn a_caller_who_hangs_up_while_it_rings_cancels_the_call() {
    let mut story = Story::with_agent();
    let (attempt, _) = dialled(&story.want(Refer::Never, false));
    let effects = story.input(Input::RemoteBye);
    assert!(
        effects.contains(&Effect::CancelDial { attempt }),
        "{effects:#?}"
    );
    assert!(effects.contains(&Effect::StopAgent));
    assert_eq!(story.closed().reason, EndReason::CallerHangup);
}

#[test]
fn a_refer_that_reaches_somebody_ends_the_call_as_transferred() {
    let mut story = Story::with_agent();
    let effects = story.want(Refer::First, false);
    let (to, by) = (Callee::written("sip:a@h"), By::Agent);
    assert!(effects.contains(&Effect::Refer { to, by }), "{effects:#?}");
    assert!(!effects.iter().any(|e| matches!(e, Effect::Dial { .. })));
    assert_eq!(story.news(HandoverNews::ReferAnswered { status: 202 }), []);
    let progress = |status, last| HandoverNews::ReferProgress { status, last };
    assert_eq!(story.news(progress(Some(180), false)), []);
    let effects = story.news(progress(Some(200), true));
    assert!(
        effects.contains(&Effect::Hangup { q850: 16 }),
        "{effects:#?}"
    );
    assert_eq!(story.closed().reason, EndReason::Transferred);
}

#[test]
fn a_refused_refer_becomes_a_bridge_where_that_is_allowed() {
    for status in [405, 501, 603] {
        let mut story = Story::with_agent();
        story.want(Refer::First, false);
        let effects = story.news(HandoverNews::ReferAnswered { status });
        assert_eq!(dialled(&effects).1.len(), 2, "{status}");
        let mut story = Story::with_agent();
        story.want(Refer::Only, false);
        let effects = story.news(HandoverNews::ReferAnswered { status });
        assert_eq!(resumed(&effects), HandoverEnd::Failed(DialFailure::Failed));
    }
}

#[test]
fn a_refer_that_nobody_answers_gives_the_caller_back() {
    let mut story = Story::with_agent();
    story.want(Refer::Only, false);
    story.news(HandoverNews::ReferAnswered { status: 202 });
    let effects = story.after(20);
    assert_eq!(
        resumed(&effects),
        HandoverEnd::Failed(DialFailure::NoAnswer)
    );
    let late = story.news(HandoverNews::ReferAnswered { status: 202 });
    assert_eq!(late, [], "late news change nothing");
}

#[test]
fn the_plan_hands_over_too_and_goes_to_its_section_when_all_are_busy() {
    let plan = r#""answer", { transfer = { to = ["sip:a@h"], on = { busy = "busy" } } }"#;
    let (mut story, effects) = Story::answered(plan, SECTIONS);
    let (to, by) = (Callee::written("sip:a@h"), By::Dialplan);
    assert!(effects.contains(&Effect::Refer { to, by }), "{effects:#?}");
    let effects = story.news(HandoverNews::ReferAnswered { status: 405 });
    let (attempt, _) = dialled(&effects);
    let failure = DialFailure::Busy;
    let effects = story.input(Input::DialFailed { attempt, failure });
    let logged = |e: &Effect| matches!(e, Effect::Log { text } if text == "busy");
    assert!(effects.iter().any(logged), "{effects:#?}");
    assert_eq!(story.closed().reason, EndReason::Busy);
}

#[test]
fn before_the_answer_there_is_nothing_to_refer() {
    let plan = r#"{ transfer = "sip:a@h" }"#;
    let mut story = Story::of(story::plan("internal", plan, ""));
    let effects = story.input(Input::Incoming(Box::new(story::caller("internal"))));
    assert_eq!(dialled(&effects).1, ["sip:a@h"]);
}

fn wanted(effects: &[Effect]) -> (u32, By, Digits) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Dial {
            attempt,
            targets,
            by,
            ..
        } => Some((*attempt, *by, targets[0].digits)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nobody is called: {effects:#?}"))
}

#[test]
fn it_is_told_who_wants_a_call_and_who_chose_the_digits() {
    let plan =
        r#""answer", { bridge = { to = ["sip:{to}@h", "sip:b@h"], on = { failed = "other" } } }"#;
    let (mut story, effects) = Story::answered(plan, SECTIONS);
    let failure = DialFailure::Failed;
    let (attempt, by, digits) = wanted(&effects);
    assert_eq!((by, digits), (By::Dialplan, Digits::Supplied));
    let effects = story.input(Input::DialFailed { attempt, failure });
    let (attempt, by, digits) = wanted(&effects);
    assert_eq!((by, digits), (By::Fallback, Digits::Written));
    let effects = story.input(Input::DialFailed { attempt, failure });
    let (_, by, _) = wanted(&effects);
    assert_eq!(
        by,
        By::Fallback,
        "a section that runs because nobody was reached"
    );
    let mut story = Story::with_agent();
    let (_, by, digits) = wanted(&story.want(Refer::Never, false));
    assert_eq!((by, digits), (By::Agent, Digits::Written));
}
