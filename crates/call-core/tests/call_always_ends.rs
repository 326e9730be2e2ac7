//! Whatever happens in whatever order: one `ended`, one record, and a wire that stays legal.

use std::sync::Arc;
use std::time::Duration;

use call_core::call::{
    AgentEnd, Attested, Attesting, Call, CallConfig, CallFact, CallState, DialFailure, Effect,
    HandoverNews, Incoming, Input, KillCause, Limits, LineNews, Move, RecordingNews, RoomNews,
    Side, Unusable,
};
use call_core::consent::RecordingPolicy;
use call_core::dialplan::{Binding, Dialplans, Known};
use call_core::digits::{DigitEvent, Via};
use call_core::document::SourceFile;
use model::fact::{Attestation, Verstat};
use model::{PauseBy, RecordingMode};
use proptest::prelude::*;

const PLAN: &str = r#"
context = "internal"
[[route]]
name = "agent"
when = { to = "agent" }
do = ["ring", "answer", { record = { channels = 2 } }, { agent = "demo/receptionist" }, { say = "bye" }]
[[route]]
name = "stub"
when = { to = "stub" }
do = ["stub"]
[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
[[route]]
name = "menu"
when = { to = "menu" }
do = [{ goto = "menu" }]
[[route]]
name = "bridge"
when = { to = "bridge" }
do = [{ bridge = { to = [["sip:a@h", "sip:b@h"], "sip:c@h"], ring_for = "5s", on = { busy = "busy", no_answer = "menu" } } }]
[[route]]
name = "early"
when = { to = "early" }
do = [{ play = "x.wav" }, { tone = { hz = 440, length = "1s" } }, { sleep = "1s" }, "answer", { bridge = "sip:d@h" }, { play = { source = "y.wav", repeat = true } }]
[[route]]
name = "silent"
when = { to = "silent" }
do = [{ log = "{from}" }]
[[route]]
name = "asks"
when = { to = "asks" }
do = [{ gather = { say = "x", max = 1 } }, { record = { consent = "ask" } }, "pause_recording", { agent = "demo/receptionist" }]
[[route]]
name = "tells"
when = { to = "tells" }
do = [{ record = { say = "We record." } }, { gather = { secret = true, max = 2 } }, "listen"]
[section.menu]
do = [{ gather = { say = "pin", into = "pin", min = 2, max = 4, tries = 2, secret = true, or_else = "busy" } }, { gather = { play = "m.wav", max = 1, choices = { 1 = "menu", 2 = "busy" } } }]
[section.busy]
do = [{ reject = "busy" }]
"#;

fn plan() -> Arc<Dialplans> {
    let file = SourceFile {
        name: "plan.toml".to_owned(),
        text: PLAN.to_owned(),
    };
    let (plans, faults) = Dialplans::parse(&[file], &Known::default());
    Arc::new(plans.unwrap_or_else(|| panic!("{faults:?}")))
}

fn call(plan: &Arc<Dialplans>) -> Call {
    let config = CallConfig {
        wall_at_start: jiff::Timestamp::UNIX_EPOCH,
        limits: Limits::default(),
    };
    Call::new(config, Arc::clone(plan))
}

fn incoming() -> impl Strategy<Value = Input> {
    let to = prop_oneof![
        Just("agent"),
        Just("stub"),
        Just("echo"),
        Just("menu"),
        Just("bridge"),
        Just("early"),
        Just("silent"),
        Just("asks"),
        Just("tells"),
        Just("nobody"),
        Just("+33100000001")
    ];
    let attesting = prop_oneof![
        Just(Attesting::Off),
        Just(Attesting::Note),
        Just(Attesting::Refuse)
    ];
    (to, attesting).prop_map(|(to, attesting)| {
        Input::Incoming(Box::new(Incoming {
            context: "internal".to_owned(),
            to: to.to_owned(),
            from: "2000".to_owned(),
            attesting,
            ..Incoming::default()
        }))
    })
}

/// A proof that holds, or one that does not.
fn attested(verstat: Verstat) -> Input {
    let attestation = Attestation {
        verstat,
        level: None,
        origid: None,
        reason: None,
    };
    let refusal = (verstat == Verstat::Failed).then_some((438, "Invalid Identity Header"));
    Input::Line(LineNews::Attested(Box::new(Attested {
        attestation,
        refusal,
    })))
}

/// A side gives its place to somebody else.
fn moved(side: Side) -> Input {
    Input::Moved(Box::new(Move {
        side,
        room: "transfer/1".to_owned(),
        to: "user/1003".to_owned(),
        mode: "attended",
        alone_for: Duration::from_secs(5),
    }))
}

fn failure() -> impl Strategy<Value = DialFailure> {
    prop_oneof![
        Just(DialFailure::Busy),
        Just(DialFailure::NoAnswer),
        Just(DialFailure::Failed),
        Just(DialFailure::Full),
        Just(DialFailure::Forbidden),
        Just(DialFailure::NotFound)
    ]
}

/// What transfers and rooms bring.
fn hand_on() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(moved(Side::Caller)),
        Just(moved(Side::Callee)),
        Just(Input::Handover(HandoverNews::TooLong)),
        Just(Input::Room(RoomNews::Others(0))),
        Just(Input::Room(RoomNews::Others(1))),
        Just(Input::Room(RoomNews::Deserted)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let digit = prop_oneof![Just('1'), Just('2'), Just('9'), Just('#')];
    let via = prop_oneof![Just(Via::Rfc4733), Just(Via::Info)];
    let tag = 0u64..8;
    let attempt = 0u32..8;
    let failure = failure();
    prop_oneof![
        incoming(),
        prop_oneof![
            recording(),
            Just(Input::Resolved(None)),
            Just(Input::Resolved(Some(Binding {
                agent: "demo/a".to_owned(),
                recording: policy(RecordingMode::Ask)
            }))),
            Just(Input::Journaled),
            Just(Input::Journaled),
            Just(Input::JournalRefused),
            Just(Input::Unusable(Unusable::NoCommonCodec)),
        ],
        prop_oneof![
            Just(Input::Acknowledged),
            Just(Input::Acknowledged),
            Just(Input::AckTimeout),
            Just(Input::Cancelled),
            Just(Input::RemoteBye),
            Just(Input::RemoteBye),
            Just(Input::Line(LineNews::Held)),
            Just(Input::Line(LineNews::Resumed)),
            Just(Input::Line(LineNews::Cause { q850: 17 })),
            Just(Input::Line(LineNews::Expired)),
            Just(attested(Verstat::Passed)),
            Just(attested(Verstat::Failed)),
            Just(Input::TransportLost),
        ],
        (tag.clone(), any::<bool>()).prop_map(|(tag, good)| if good {
            Input::PlayFinished { tag }
        } else {
            Input::PlayFailed {
                tag,
                reason: "no such file".to_owned(),
            }
        }),
        (digit, via).prop_map(|(digit, via)| Input::Digit(DigitEvent { digit, via })),
        prop_oneof![
            Just(Input::MediaTimeout),
            Just(Input::LegLost),
            Just(Input::MediaClosed),
            Just(Input::BridgeEnded)
        ],
        hand_on(),
        prop_oneof![
            Just(Input::AgentReady),
            Just(Input::AgentReady),
            Just(Input::AgentFailed {
                reason: "gone".to_owned()
            }),
            Just(Input::AgentEnded(AgentEnd::Finished)),
            Just(Input::AgentEnded(AgentEnd::Inactive)),
            Just(Input::AgentEnded(AgentEnd::Goto("menu".to_owned()))),
            Just(Input::AgentEnded(AgentEnd::Goto("nowhere".to_owned()))),
        ],
        (attempt, failure, 0u8..3).prop_map(|(attempt, failure, what)| match what {
            0 => Input::DialRinging { attempt },
            1 => Input::DialAnswered {
                attempt,
                target: "sip:a@h".to_owned()
            },
            _ => Input::DialFailed { attempt, failure },
        }),
        prop_oneof![
            Just(Input::Kill(KillCause::Operator)),
            Just(Input::Kill(KillCause::Drain)),
            Just(Input::Kill(KillCause::Internal))
        ],
    ]
}

/// An input, or time passing (milliseconds).
#[derive(Debug, Clone)]
enum Happening {
    Input(Input),
    Time(u64),
    Spurious,
}

/// What an obliging world has told the wire so far.
#[derive(Debug, Default)]
struct Wire {
    journaled: bool,
    answered: u32,
    rejected: u32,
    hung_up: u32,
    facts: u32,
    records: u32,
    masked: bool,
    withheld: bool,
}

impl Wire {
    fn take(&mut self, effect: &Effect) {
        assert_eq!(self.records, 0, "{effect:?} after the record");
        match effect {
            Effect::Answer => {
                assert!(self.journaled, "200 before `started` was on disk");
                assert_eq!(self.rejected, 0, "200 after a refusal");
                self.answered += 1;
            }
            Effect::Reject { status, .. } => {
                assert_eq!(self.answered, 0, "a refusal after 200");
                assert!((400..700).contains(status));
                self.rejected += 1;
            }
            Effect::Ring | Effect::EarlyMedia => assert_eq!(
                self.answered + self.rejected,
                0,
                "1xx after the final response"
            ),
            Effect::Hangup { .. } => {
                assert_eq!(self.answered, 1, "BYE without a dialog");
                self.hung_up += 1;
            }
            Effect::Mask(on) => self.masked = *on,
            Effect::Withhold(on) => self.withheld = *on,
            Effect::Record(_) => assert!(!self.withheld, "recorded without consent"),
            Effect::Journal(CallFact::Digit { .. }) => {
                assert!(!self.masked, "a secret digit in the journal")
            }
            Effect::Journal(CallFact::Ended(_)) => self.facts += 1,
            Effect::Ended(ending) => {
                assert_eq!(self.facts, 1, "the fact comes before the record");
                assert_eq!(ending.answered.is_some(), self.answered == 1);
                self.records += 1;
            }
            _ => {}
        }
        assert!(
            self.answered <= 1 && self.rejected <= 1 && self.hung_up <= 1 && self.facts <= 1,
            "{self:?}"
        );
    }

    fn drain(&mut self, call: &mut Call) {
        while let Some(effect) = call.poll_effect() {
            self.take(&effect);
        }
    }
}

/// Lets time run until nothing is due any more.
fn run_out(call: &mut Call, now: &mut Duration, wire: &mut Wire) {
    for _ in 0..10_000 {
        wire.drain(call);
        let Some(at) = call.poll_timeout() else {
            return;
        };
        *now = (*now).max(at);
        call.handle_timeout(*now);
    }
    panic!("the call never ends: {call:?}");
}

fn policy(mode: RecordingMode) -> RecordingPolicy {
    let text = "recorded".to_owned();
    RecordingPolicy { mode, text }
}

fn recording() -> impl Strategy<Value = Input> {
    let news = prop_oneof![
        Just(RecordingNews::Policy(policy(RecordingMode::Ask))),
        Just(RecordingNews::Policy(policy(RecordingMode::Announce))),
        Just(RecordingNews::Policy(policy(RecordingMode::On))),
        Just(RecordingNews::Said("yes".to_owned())),
        Just(RecordingNews::Said("no".to_owned())),
        Just(RecordingNews::Said("stop recording".to_owned())),
        Just(RecordingNews::Pause(PauseBy::Operator, true)),
        Just(RecordingNews::Pause(PauseBy::Operator, false)),
    ];
    news.prop_map(Input::Recording)
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => input().prop_map(Happening::Input),
        3 => (0u64..6_000).prop_map(Happening::Time),
        1 => Just(Happening::Spurious),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn one_ended_fact_and_one_record_whatever_happens(first in incoming(), rest in proptest::collection::vec(happening(), 0..40)) {
        let plan = plan_once();
        let (mut call, mut now, mut wire) = (call(&plan), Duration::ZERO, Wire::default());
        call.handle(now, first);
        for happening in rest {
            match happening {
                Happening::Input(input) => {
                    wire.journaled |= input == Input::Journaled;
                    call.handle(now, input);
                }
                Happening::Time(ms) => {
                    now += Duration::from_millis(ms);
                    call.handle_timeout(now);
                }
                Happening::Spurious => call.handle_timeout(now),
            }
            wire.drain(&mut call);
        }
        run_out(&mut call, &mut now, &mut wire);
        prop_assert_eq!((wire.facts, wire.records), (1, 1));
        prop_assert!(call.is_over() && call.state() == CallState::Ended);
        prop_assert!(wire.hung_up == 0 || wire.answered == 1);
        // Afterwards nothing moves it any more.
        call.handle(now, Input::RemoteBye);
        call.handle(now, Input::Kill(KillCause::Operator));
        call.handle_timeout(now + Duration::from_secs(1_000_000));
        prop_assert_eq!(call.poll_effect(), None);
        prop_assert_eq!(call.poll_timeout(), None);
    }
}

fn plan_once() -> Arc<Dialplans> {
    static PLAN: std::sync::OnceLock<Arc<Dialplans>> = std::sync::OnceLock::new();
    Arc::clone(PLAN.get_or_init(plan))
}
