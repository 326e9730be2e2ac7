//! Consent to a recording, told as stories: what goes in, what comes out, in order.

use std::sync::Arc;
use std::time::Duration;

use call_core::call::{
    Call, CallConfig, CallFact, Effect, Incoming, Input, Limits, Outgoing, Placing, RecordingNews,
    Talks,
};
use call_core::consent::RecordingPolicy;
use call_core::dialplan::action::AgentSource;
use call_core::dialplan::{Binding, Dialplans, Known};
use call_core::digits::{DigitEvent, Via};
use call_core::document::SourceFile;
use model::{Consent, ConsentMethod, ConsentParty, ConsentState, PauseBy, RecordingMode};

struct Story {
    call: Call,
    now: Duration,
    /// What the caller hears now.
    tag: u64,
}

impl Story {
    fn new(actions: &str) -> Story {
        Story::with(actions, "")
    }

    fn with(actions: &str, sections: &str) -> Story {
        let file = SourceFile {
            name: "plan.toml".to_owned(),
            text: format!(
                "context = \"internal\"\n[[route]]\nname = \"it\"\ndo = [{actions}]\n{sections}\n"
            ),
        };
        let (plans, faults) = Dialplans::parse(&[file], &Known::default());
        let plans = plans.unwrap_or_else(|| panic!("{faults:?}"));
        let config = CallConfig {
            wall_at_start: "2026-01-05T12:00:00Z".parse().unwrap(),
            limits: Limits::default(),
        };
        Story {
            call: Call::new(config, Arc::new(plans)),
            now: Duration::from_secs(100),
            tag: 0,
        }
    }

    /// Through INVITE, journal, agent, 200 and ACK.
    fn answered(actions: &str) -> (Story, Vec<Effect>) {
        let mut story = Story::new(actions);
        let mut effects = story.incoming("x");
        for input in [Input::Journaled, Input::AgentReady, Input::Acknowledged] {
            effects.extend(story.input(input));
        }
        (story, effects)
    }

    fn incoming(&mut self, to: &str) -> Vec<Effect> {
        let incoming = Incoming {
            context: "internal".to_owned(),
            to: to.to_owned(),
            ..Incoming::default()
        };
        self.input(Input::Incoming(Box::new(incoming)))
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.call.handle(self.now, input);
        self.effects()
    }

    fn effects(&mut self) -> Vec<Effect> {
        let effects: Vec<Effect> = std::iter::from_fn(|| self.call.poll_effect()).collect();
        for effect in &effects {
            if let Effect::Say { tag, .. } = effect {
                self.tag = *tag;
            }
        }
        effects
    }

    fn heard(&mut self) -> Vec<Effect> {
        let tag = self.tag;
        self.input(Input::PlayFinished { tag })
    }

    fn digit(&mut self, digit: char) -> Vec<Effect> {
        let via = Via::Rfc4733;
        self.input(Input::Digit(DigitEvent { digit, via }))
    }

    fn said(&mut self, text: &str) -> Vec<Effect> {
        self.input(Input::Recording(RecordingNews::Said(text.to_owned())))
    }

    fn silence(&mut self) -> Vec<Effect> {
        self.now = self.call.poll_timeout().unwrap();
        self.call.handle_timeout(self.now);
        self.effects()
    }
}

const ASK: &str = r#"{ record = { consent = "ask" } }, { agent = "demo/ada" }"#;

fn consents(effects: &[Effect]) -> Vec<Consent> {
    let of = |effect: &Effect| match effect {
        Effect::Journal(CallFact::Consent(consent)) => Some(*consent),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn asked(state: ConsentState, method: ConsentMethod) -> Vec<Consent> {
    vec![Consent {
        mode: RecordingMode::Ask,
        state,
        method,
        party: ConsentParty::Caller,
    }]
}

fn place(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
    effects.iter().position(wanted)
}

fn records(effects: &[Effect]) -> bool {
    place(effects, |e| matches!(e, Effect::Record(_))).is_some()
}

fn talks(effects: &[Effect]) -> bool {
    place(effects, |e| matches!(e, Effect::StartAgent { .. })).is_some()
}

#[test]
fn everything_is_withheld_from_the_first_moment_until_the_caller_agrees_by_key() {
    let (mut story, effects) = Story::answered(ASK);
    let withheld = place(&effects, |e| *e == Effect::Withhold(true)).unwrap();
    let answer = place(&effects, |e| *e == Effect::Answer).unwrap();
    assert!(withheld < answer, "{effects:?}");
    assert!(!records(&effects) && !talks(&effects), "{effects:?}");
    assert_eq!(
        effects
            .last()
            .map(|e| matches!(e, Effect::Say { text, .. } if text.contains("Press one"))),
        Some(true)
    );
    assert_eq!(
        story.digit('7'),
        [Effect::Journal(CallFact::Digit { digit: '7' })]
    );
    let effects = story.digit('1');
    assert_eq!(
        consents(&effects),
        asked(ConsentState::Given, ConsentMethod::Key)
    );
    let order = [
        place(&effects, |e| {
            *e == Effect::Journal(CallFact::Digit { digit: '1' })
        }),
        place(&effects, |e| *e == Effect::StopPlayout),
        place(&effects, |e| *e == Effect::Withhold(false)),
        place(&effects, |e| matches!(e, Effect::Record(_))),
        place(&effects, |e| matches!(e, Effect::StartAgent { .. })),
    ];
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{effects:?}"
    );
}

#[test]
fn a_yes_is_heard_also_while_the_question_plays_and_what_is_neither_changes_nothing() {
    let (mut story, effects) = Story::answered(ASK);
    assert!(effects.contains(&Effect::HearAnswer(true)));
    assert_eq!(story.said("what did you say"), []);
    let effects = story.said("Yes, please.");
    assert_eq!(
        consents(&effects),
        asked(ConsentState::Given, ConsentMethod::Voice)
    );
    assert!(effects.contains(&Effect::HearAnswer(false)) && records(&effects));
}

#[test]
fn who_says_no_talks_with_the_agent_and_nothing_is_ever_kept() {
    for (refuse, method) in [("no", ConsentMethod::Voice), ("2", ConsentMethod::Key)] {
        let (mut story, _) = Story::answered(ASK);
        story.heard();
        let effects = match method {
            ConsentMethod::Key => story.digit('2'),
            _ => story.said(refuse),
        };
        assert_eq!(consents(&effects), asked(ConsentState::Refused, method));
        assert!(talks(&effects) && !records(&effects));
        assert!(!effects.contains(&Effect::Withhold(false)), "{effects:?}");
        let effects = story.said("yes, record me after all");
        assert_eq!(effects, []);
    }
}

#[test]
fn who_says_nothing_is_asked_again_and_then_has_not_agreed() {
    let (mut story, _) = Story::answered(ASK);
    story.heard();
    let effects = story.silence();
    assert!(
        matches!(effects.as_slice(), [Effect::Say { .. }]),
        "{effects:?}"
    );
    story.heard();
    let effects = story.silence();
    assert_eq!(
        consents(&effects),
        asked(ConsentState::Refused, ConsentMethod::Silence)
    );
    assert!(talks(&effects) && !records(&effects));
}

#[test]
fn an_announcement_is_consent_once_it_was_heard_to_its_end() {
    let plan = r#"{ record = { say = "We record." } }, { agent = "demo/ada" }"#;
    let (mut story, effects) = Story::answered(plan);
    assert!(effects.contains(&Effect::Withhold(true)) && !records(&effects));
    assert!(
        !effects.contains(&Effect::HearAnswer(true)),
        "nobody is asked"
    );
    assert_eq!(consents(&story.digit('2')), []);
    let effects = story.heard();
    let consent = consents(&effects).pop().unwrap();
    assert_eq!(
        (consent.mode, consent.method),
        (RecordingMode::Announce, ConsentMethod::Announcement)
    );
    assert!(records(&effects) && talks(&effects));

    let (mut story, _) = Story::answered(plan);
    let (tag, reason) = (story.tag, "no voice".to_owned());
    let effects = story.input(Input::PlayFailed { tag, reason });
    assert_eq!(
        consents(&effects).pop().map(|c| c.state),
        Some(ConsentState::Refused)
    );
    assert!(talks(&effects) && !records(&effects));
}

#[test]
fn the_word_of_the_number_or_agent_counts_where_the_plan_says_nothing() {
    let policy = |mode| RecordingPolicy {
        mode,
        text: "May we?".to_owned(),
    };
    let told = |story: &mut Story, mode| {
        story.incoming("x");
        let news = RecordingNews::Policy(policy(mode));
        let mut effects = story.input(Input::Recording(news));
        for input in [Input::Journaled, Input::AgentReady, Input::Acknowledged] {
            effects.extend(story.input(input));
        }
        effects
    };
    let mut story = Story::new(r#"{ agent = "demo/ada" }"#);
    let effects = told(&mut story, RecordingMode::Ask);
    assert_eq!(
        effects.first(),
        Some(&Effect::Withhold(true)),
        "before the answer"
    );
    assert!(!talks(&effects) && !records(&effects));
    let effects = story.digit('1');
    assert!(talks(&effects) && records(&effects));

    let mut story = Story::new(r#"{ agent = "demo/ada" }"#);
    let effects = told(&mut story, RecordingMode::On);
    assert!(talks(&effects) && records(&effects));

    let mut story =
        Story::new(r#""answer", { record = { consent = "given" } }, { agent = "demo/ada" }"#);
    let effects = told(&mut story, RecordingMode::Ask);
    assert!(
        records(&effects) && talks(&effects),
        "the plan has said it: {effects:?}"
    );

    let mut story = Story::new("\"hangup\"");
    story.incoming("33100000001");
    let elsewhere = Binding {
        agent: "demo/ada".to_owned(),
        recording: policy(RecordingMode::Ask),
    };
    let effects = story.input(Input::Resolved(Some(elsewhere)));
    assert!(effects.contains(&Effect::Withhold(true)), "{effects:?}");
}

#[test]
fn an_agent_that_was_not_prepared_waits_for_the_answer_all_the_same() {
    let policy = |mode| {
        let text = "May we?".to_owned();
        Input::Recording(RecordingNews::Policy(RecordingPolicy { mode, text }))
    };
    let plan = r#"{ goto = "menu" }"#;
    let menu = "[section.menu]\ndo = [\"answer\", { sleep = \"1s\" }, { agent = \"demo/ada\" }]";
    let begun = |mode| {
        let mut story = Story::with(plan, menu);
        story.incoming("x");
        for input in [
            Input::Journaled,
            Input::AgentFailed {
                reason: "x".to_owned(),
            },
            Input::Acknowledged,
        ] {
            story.input(input);
        }
        assert!(talks(&story.silence()));
        let effects = story.input(policy(mode));
        (story, effects)
    };
    let (mut story, effects) = begun(RecordingMode::Ask);
    assert!(effects.contains(&Effect::Withhold(true)) && !talks(&effects));
    assert!(talks(&story.digit('1')));
    let (_, effects) = begun(RecordingMode::On);
    assert!(records(&effects) && !talks(&effects), "it talks already");
    let (_, effects) = begun(RecordingMode::Off);
    assert_eq!(effects, []);
}

#[test]
fn whom_we_call_is_asked_as_well() {
    let mut story = Story::new("\"hangup\"");
    let outgoing = Outgoing {
        to: "+15550100".to_owned(),
        from: "1000".to_owned(),
        talks: Talks::Agent(AgentSource::Named("demo/ada".to_owned())),
        recording: RecordingPolicy {
            mode: RecordingMode::Ask,
            text: "May we?".to_owned(),
        },
        ring_for: Duration::from_secs(30),
        max_duration: None,
    };
    let effects = story.input(Input::Placing(Placing::Begin(Box::new(outgoing))));
    assert!(effects.contains(&Effect::Withhold(true)));
    for input in [Input::Journaled, Input::AgentReady] {
        story.input(input);
    }
    let effects = story.input(Input::Placing(Placing::Answered));
    assert!(!talks(&effects) && !records(&effects));
    let effects = story.said("yeah");
    assert!(talks(&effects) && records(&effects));
}

#[test]
fn stop_recording_deletes_it_and_withholds_the_rest() {
    for plan in [ASK, r#""answer", "record", { agent = "demo/ada" }"#] {
        let (mut story, _) = Story::answered(plan);
        story.digit('1');
        assert!(story.call.is_recording(), "{plan}");
        assert_eq!(story.said("I have a record player"), []);
        let effects = story.said("Please stop recording.");
        assert_eq!(effects.first(), Some(&Effect::Withhold(true)));
        assert!(effects.contains(&Effect::DropRecord));
        assert_eq!(
            consents(&effects).pop().map(|c| c.state),
            Some(ConsentState::Withdrawn)
        );
        assert!(effects.contains(&Effect::Journal(CallFact::RecordingDeleted)));
        let effects = story.input(Input::RemoteBye);
        assert!(
            !effects.contains(&Effect::StopRecord),
            "nothing is left to close"
        );
    }
}

fn pauses(effects: &[Effect]) -> Vec<(bool, PauseBy)> {
    let of = |effect: &Effect| match effect {
        Effect::PauseRecord { silent, by } => Some((*silent, *by)),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

#[test]
fn a_secret_pauses_the_recording_and_an_operators_pause_outlives_it() {
    let plan = r#""answer", "record", { gather = { max = 2, secret = true } }, "listen""#;
    let (mut story, effects) = Story::answered(plan);
    assert_eq!(pauses(&effects), [(true, PauseBy::Secret)]);
    let pause = |silent| Input::Recording(RecordingNews::Pause(PauseBy::Operator, silent));
    assert_eq!(
        pauses(&story.input(pause(true))),
        [],
        "it is silent already"
    );
    story.digit('4');
    assert_eq!(
        pauses(&story.digit('2')),
        [],
        "the operator still wants it silent"
    );
    let effects = story.input(pause(false));
    assert_eq!(pauses(&effects), [(false, PauseBy::Operator)]);
    let by = PauseBy::Operator;
    assert!(effects.contains(&Effect::Journal(CallFact::RecordingResumed { by })));
}

#[test]
fn the_plan_pauses_also_before_the_recording_begins() {
    let plan = r#""answer", "pause_recording", "record", "resume_recording", "listen""#;
    let (_, effects) = Story::answered(plan);
    let by = PauseBy::Dialplan;
    assert_eq!(pauses(&effects), [(true, by), (false, by)]);
}
