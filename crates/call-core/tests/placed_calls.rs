//! Calls that we place, told as stories: what goes in, what comes out, in order.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{
    AgentEnd, CallFact, CallState, Effect, Input, KillCause, Outgoing, Party, Placing, Talks,
};
use call_core::consent::RecordingPolicy;
use call_core::dialplan::action::AgentSource;
use model::{EndReason, RecordingMode};
use story::Story;

fn agent() -> AgentSource {
    AgentSource::Named("demo/ada".to_owned())
}

/// What the stories of this file need besides.
trait Placed: Sized {
    fn begun() -> Self;
    fn placed() -> Self;
    fn news(&mut self, news: Placing) -> Vec<Effect>;
}

impl Placed for Story {
    fn begun() -> Story {
        let mut story = Story::of(story::no_plan());
        let first = story.news(Placing::Begin(Box::new(Outgoing {
            to: "+15550111".to_owned(),
            from: "+15550100".to_owned(),
            talks: Talks::Agent(agent()),
            recording: RecordingPolicy {
                mode: RecordingMode::On,
                text: String::new(),
            },
            ring_for: Duration::from_secs(30),
            max_duration: Some(Duration::from_secs(600)),
        })));
        assert_eq!(first, [Effect::Journal(CallFact::Started)]);
        story
    }

    /// `started` is on the disk, the INVITE is out and the agent warm.
    fn placed() -> Story {
        let mut story = Story::begun();
        let effects = story.input(Input::Journaled);
        let ring_for = Duration::from_secs(30);
        assert_eq!(
            effects,
            [
                Effect::Place { ring_for },
                Effect::PrepareAgent { agent: agent() }
            ]
        );
        assert_eq!(story.input(Input::AgentReady), []);
        story
    }

    fn news(&mut self, news: Placing) -> Vec<Effect> {
        self.input(Input::Placing(news))
    }
}

#[test]
fn it_rings_is_answered_recorded_and_the_agent_talks() {
    let mut story = Story::placed();
    assert_eq!(story.call.state(), CallState::Ringing);
    let ringing = Effect::Journal(CallFact::Ringing);
    assert_eq!(story.news(Placing::Ringing), [ringing]);
    assert_eq!(story.news(Placing::Ringing), [], "once");
    story.now += Duration::from_secs(3);
    let effects = story.news(Placing::Answered);
    let wants = |wanted: &Effect| effects.contains(wanted);
    let setup = Duration::from_secs(3);
    assert!(
        wants(&Effect::Journal(CallFact::Answered { setup })),
        "{effects:#?}"
    );
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Record(spec) if spec.channels == 2))
    );
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::StartAgent { .. })),
        "{effects:#?}"
    );
    assert!(!wants(&Effect::Answer), "the 200 is theirs");
    assert_eq!(story.call.state(), CallState::InProgress);
    let effects = story.input(Input::AgentEnded(AgentEnd::Finished));
    assert!(
        effects.contains(&Effect::Hangup { q850: 16 }),
        "{effects:#?}"
    );
    let ending = story.closed();
    assert_eq!(
        (ending.reason, ending.sip_status),
        (EndReason::AgentHangup, Some(200))
    );
}

#[test]
fn nothing_leaves_before_started_is_on_the_disk() {
    let mut story = Story::begun();
    assert_eq!(story.input(Input::AgentReady), []);
    let effects = story.input(Input::JournalRefused);
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, Effect::Place { .. } | Effect::Hangup { .. }))
    );
    assert_eq!(story.closed().reason, EndReason::Capacity);
}

#[test]
fn a_refusal_is_the_record_and_is_not_answered() {
    let mut story = Story::placed();
    let effects = story.news(Placing::Failed {
        status: Some(486),
        q850: None,
        reason: EndReason::Busy,
    });
    assert!(effects.contains(&Effect::StopAgent));
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, Effect::Hangup { .. } | Effect::Reject { .. }))
    );
    let ending = story.closed();
    assert_eq!((ending.reason, ending.by), (EndReason::Busy, Party::Callee));
    assert_eq!((ending.sip_status, ending.q850), (Some(486), 17));
    assert_eq!(ending.answered, None);
}

#[test]
fn a_call_that_is_killed_while_it_rings_is_cancelled_once() {
    let mut story = Story::placed();
    story.news(Placing::Ringing);
    let effects = story.input(Input::Kill(KillCause::Operator));
    assert!(
        effects.contains(&Effect::Hangup { q850: 16 }),
        "{effects:#?}"
    );
    assert_eq!(
        story.news(Placing::Answered),
        [],
        "the 200 crossed the CANCEL"
    );
    assert_eq!(story.closed().reason, EndReason::OperatorHangup);
}

#[test]
fn a_dialog_that_never_reports_is_given_up() {
    let mut story = Story::placed();
    assert_eq!(story.after(30), [], "the dialog's own limit comes first");
    let effects = story.after(60);
    assert!(
        effects.contains(&Effect::Hangup { q850: 19 }),
        "{effects:#?}"
    );
    assert_eq!(story.closed().reason, EndReason::NoAnswer);
}

#[test]
fn the_agents_longest_call_counts_from_the_answer() {
    let mut story = Story::placed();
    story.news(Placing::Answered);
    assert_eq!(story.after(599), []);
    let effects = story.after(1);
    assert!(
        effects.contains(&Effect::Hangup { q850: 16 }),
        "{effects:#?}"
    );
    assert_eq!(story.closed().reason, EndReason::MaxDuration);
}
