//! The call machine, told as stories: what goes in, what comes out, in order.

use std::sync::Arc;
use std::time::Duration;

use call_core::call::{
    AgentEnd, AgentStart, Call, CallConfig, CallFact, CallState, DialFailure, Effect, Ending,
    Incoming, Input, KillCause, Limits, MediaMode, Party, Unusable,
};
use call_core::consent::RecordingPolicy;
use call_core::dialing::Digits;
use call_core::dialplan::action::AgentSource;
use call_core::dialplan::{Binding, Dialplans, Known};
use call_core::digits::{DigitEvent, Via};
use call_core::document::SourceFile;
use model::{EndReason, RecordingMode};

struct Story {
    call: Call,
    now: Duration,
}

impl Story {
    fn with(routes: &str) -> Story {
        Story::of(&format!("context = \"internal\"\n{routes}"))
    }

    /// One route that takes everything.
    fn doing(actions: &str) -> Story {
        Story::with(&format!("[[route]]\nname = \"it\"\ndo = [{actions}]\n"))
    }

    fn of(text: &str) -> Story {
        let file = SourceFile {
            name: "plan.toml".to_owned(),
            text: text.to_owned(),
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
        }
    }

    fn incoming(&mut self, to: &str) -> Vec<Effect> {
        let incoming = Incoming {
            context: "internal".to_owned(),
            to: to.to_owned(),
            from: "2000".to_owned(),
            ..Incoming::default()
        };
        self.input(Input::Incoming(Box::new(incoming)))
    }

    /// Effects of an input, facts left out.
    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.call.handle(self.now, input);
        self.effects()
    }

    fn after(&mut self, ms: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(ms);
        self.call.handle_timeout(self.now);
        self.effects()
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.all()
            .into_iter()
            .filter(|effect| !matches!(effect, Effect::Journal(_)))
            .collect()
    }

    fn all(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.call.poll_effect()).collect()
    }

    /// Through INVITE, journal, 200 and ACK.
    fn answered(actions: &str) -> (Story, Vec<Effect>) {
        let mut story = Story::doing(actions);
        story.incoming("x");
        story.input(Input::Journaled);
        let effects = story.input(Input::Acknowledged);
        (story, effects)
    }

    fn digit(&mut self, digit: char) -> Vec<Effect> {
        self.input(Input::Digit(DigitEvent {
            digit,
            via: Via::Rfc4733,
        }))
    }
}

fn policy(mode: RecordingMode) -> RecordingPolicy {
    let text = "This call is recorded.".to_owned();
    RecordingPolicy { mode, text }
}

fn named(name: &str) -> AgentSource {
    AgentSource::Named(name.to_owned())
}

fn ending(effects: &[Effect]) -> &Ending {
    match effects.last() {
        Some(Effect::Ended(ending)) => ending,
        other => panic!("no record but {other:?}"),
    }
}

fn outcome(effects: &[Effect]) -> (EndReason, Party, Option<u16>) {
    let ending = ending(effects);
    (ending.reason, ending.by, ending.sip_status)
}

const AGENT: &str = r#""answer", { record = {} }, { agent = "demo/ada" }"#;

#[test]
fn an_agent_call_rings_at_once_prepares_answers_and_ends_with_its_record() {
    let mut story = Story::doing(AGENT);
    assert_eq!(
        story.incoming("x"),
        [
            Effect::Ring,
            Effect::PrepareAgent {
                agent: named("demo/ada")
            }
        ]
    );
    assert_eq!(story.call.state(), CallState::Ringing);
    assert_eq!(story.input(Input::Journaled), []);
    let answered = story.input(Input::AgentReady);
    assert!(
        matches!(answered.as_slice(), [Effect::Answer, Effect::Record(spec)] if spec.channels == 2),
        "{answered:?}"
    );
    let start = Effect::StartAgent {
        agent: named("demo/ada"),
        start: AgentStart::Warm,
    };
    assert_eq!(story.input(Input::Acknowledged), [start]);
    assert_eq!(story.input(Input::Acknowledged), [], "a repeated ACK");
    story.now += Duration::from_secs(7);
    let effects = story.input(Input::AgentEnded(AgentEnd::Finished));
    assert_eq!(
        effects,
        [
            Effect::Hangup { q850: 16 },
            Effect::StopRecord,
            Effect::CloseMedia
        ]
    );
    let effects = story.input(Input::MediaClosed);
    assert_eq!(
        outcome(&effects),
        (EndReason::AgentHangup, Party::Agent, Some(200))
    );
    assert_eq!(ending(&effects).fact().duration_ms, 7_000);
    assert_eq!(ending(&effects).agent, Some(named("demo/ada")));
}

#[test]
fn no_2xx_before_started_is_on_disk_and_none_without_room() {
    let mut story = Story::doing(AGENT);
    story.incoming("x");
    assert_eq!(
        story.input(Input::AgentReady),
        [],
        "ready, but the journal is not"
    );
    assert_eq!(story.input(Input::Journaled).first(), Some(&Effect::Answer));

    let mut story = Story::doing(r#""answer", "echo""#);
    story.incoming("x");
    let effects = story.input(Input::JournalRefused);
    assert!(
        matches!(
            effects.first(),
            Some(Effect::Reject {
                status: 503,
                retry_after_s: Some(_),
                ..
            })
        ),
        "{effects:?}"
    );
    assert_eq!(outcome(&effects).0, EndReason::Capacity);

    let mut story = Story::doing(r#""answer", "echo""#);
    story.incoming("x");
    let effects = story.after(2_000);
    assert!(
        matches!(effects.first(), Some(Effect::Reject { status: 503, .. })),
        "a journal that says nothing: {effects:?}"
    );
}

#[test]
fn an_answer_for_which_there_is_no_port_is_503_and_was_never_one() {
    let mut story = Story::doing(r#"{ record = {} }, "answer", "echo""#);
    story.incoming("x");
    assert!(story.input(Input::Journaled).contains(&Effect::Answer));
    let effects = story.input(Input::Unusable(Unusable::NoRoom));
    let refused = |effect: &Effect| {
        matches!(
            effect,
            Effect::Reject {
                status: 503,
                retry_after_s: Some(_),
                ..
            }
        )
    };
    assert_eq!(
        effects.iter().filter(|effect| refused(effect)).count(),
        1,
        "{effects:?}"
    );
    let ending = ending(&effects);
    assert_eq!(
        (ending.reason, ending.sip_status),
        (EndReason::Capacity, Some(503))
    );
    assert_eq!(ending.answered, None);
}

#[test]
fn an_agent_that_is_late_or_fails_is_answered_with_the_fallback() {
    for fails in [false, true] {
        let mut story = Story::doing(AGENT);
        story.incoming("x");
        story.input(Input::Journaled);
        let effects = if fails {
            story.input(Input::AgentFailed {
                reason: "no key".to_owned(),
            })
        } else {
            assert_eq!(
                story.call.poll_timeout(),
                Some(story.now + Duration::from_secs(3))
            );
            assert_eq!(story.after(2_999), []);
            story.after(1)
        };
        assert_eq!(effects.first(), Some(&Effect::Answer));
        let effects = story.input(Input::Acknowledged);
        assert!(
            matches!(
                effects.as_slice(),
                [Effect::StartAgent {
                    start: AgentStart::Fallback { .. },
                    ..
                }]
            ),
            "{effects:?}"
        );
    }
}

#[test]
fn an_agent_that_gets_ready_after_the_limit_but_before_the_ack_is_warm() {
    let mut story = Story::doing(AGENT);
    story.incoming("x");
    story.input(Input::Journaled);
    story.after(3_000);
    story.input(Input::AgentReady);
    let effects = story.input(Input::Acknowledged);
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::StartAgent {
                start: AgentStart::Warm,
                ..
            }]
        ),
        "{effects:?}"
    );
}

#[test]
fn without_its_process_the_stub_is_503() {
    let mut story = Story::doing(r#""stub""#);
    let effects = story.incoming("x");
    assert_eq!(
        effects,
        [
            Effect::Ring,
            Effect::PrepareAgent {
                agent: AgentSource::Stub
            }
        ]
    );
    story.input(Input::Journaled);
    let effects = story.input(Input::AgentFailed {
        reason: "refused".to_owned(),
    });
    assert!(
        matches!(effects.first(), Some(Effect::Reject { status: 503, .. })),
        "{effects:?}"
    );
    assert_eq!(outcome(&effects).0, EndReason::AgentFailed);
}

#[test]
fn a_number_of_the_office_reaches_its_agent_unless_a_route_names_it() {
    let routes = "[[route]]\nname = \"all\"\ndo = [\"answer\", \"echo\"]\n[[route]]\nname = \"own\"\nwhen = { number = \"+33100000002\" }\ndo = [\"reject\"]\n";
    let binding = || {
        Some(Binding {
            agent: "acme/bob".to_owned(),
            recording: policy(RecordingMode::On),
        })
    };
    let mut story = Story::with(routes);
    assert_eq!(
        story.incoming("33100000001"),
        [Effect::Lookup {
            number: "+33100000001".to_owned()
        }]
    );
    let effects = story.input(Input::Resolved(binding()));
    assert_eq!(
        effects,
        [
            Effect::Ring,
            Effect::PrepareAgent {
                agent: named("acme/bob")
            }
        ]
    );
    story.input(Input::Journaled);
    let effects = story.input(Input::AgentReady);
    assert!(
        matches!(effects.as_slice(), [Effect::Answer, Effect::Record(_)]),
        "{effects:?}"
    );

    let mut story = Story::with(routes);
    story.incoming("+33100000002");
    let effects = story.input(Input::Resolved(binding()));
    assert_eq!(
        outcome(&effects),
        (EndReason::Rejected, Party::Dialplan, Some(603))
    );

    let mut story = Story::with(routes);
    story.incoming("+33100000003");
    story.input(Input::Resolved(None));
    assert_eq!(
        story.input(Input::Journaled),
        [Effect::Answer],
        "an unknown number takes the routes"
    );
}

#[test]
fn a_lookup_that_never_answers_does_not_hold_the_call() {
    let mut story = Story::doing(r#""answer", "echo""#);
    story.incoming("+33100000001");
    story.input(Input::Journaled);
    assert_eq!(story.after(1_000), [Effect::Answer]);
}

#[test]
fn no_route_is_404() {
    let mut story = Story::with("[[route]]\nwhen = { to = \"y\" }\ndo = [\"answer\"]\n");
    let effects = story.incoming("x");
    assert!(
        matches!(effects.first(), Some(Effect::Reject { status: 404, .. })),
        "{effects:?}"
    );
    assert_eq!(
        outcome(&effects),
        (EndReason::NoRoute, Party::Dialplan, Some(404))
    );
}

#[test]
fn cancel_before_the_answer_is_487_and_after_it_nothing() {
    let mut story = Story::doing(AGENT);
    story.incoming("x");
    let effects = story.input(Input::Cancelled);
    assert_eq!(effects.first(), Some(&Effect::StopAgent));
    assert!(
        matches!(effects.get(1), Some(Effect::Reject { status: 487, .. })),
        "{effects:?}"
    );
    assert_eq!(
        outcome(&effects),
        (EndReason::Cancelled, Party::Caller, Some(487))
    );

    let (mut story, _) = Story::answered(r#""answer", "echo""#);
    assert_eq!(story.input(Input::Cancelled), []);
    assert_eq!(story.call.state(), CallState::InProgress);
}

#[test]
fn a_bye_ends_the_call_without_one_of_ours_and_a_second_one_does_nothing() {
    let (mut story, effects) = Story::answered(r#""answer", "echo""#);
    assert_eq!(effects, [Effect::Mode(MediaMode::Echo)]);
    let effects = story.input(Input::RemoteBye);
    assert_eq!(
        effects,
        [Effect::Mode(MediaMode::Normal), Effect::CloseMedia]
    );
    assert_eq!(story.input(Input::RemoteBye), []);
    assert_eq!(story.input(Input::Kill(KillCause::Operator)), []);
    let effects = story.input(Input::MediaClosed);
    assert_eq!(
        outcome(&effects),
        (EndReason::CallerHangup, Party::Caller, Some(200))
    );
    assert!(story.call.is_over());
    assert_eq!(story.input(Input::MediaClosed), []);
}

#[test]
fn a_media_side_that_never_closes_does_not_hold_the_record() {
    let (mut story, _) = Story::answered(r#""answer", "echo""#);
    story.input(Input::RemoteBye);
    assert_eq!(story.after(999), []);
    let effects = story.after(1);
    assert_eq!(outcome(&effects).0, EndReason::CallerHangup);
}

#[test]
fn without_ack_the_plan_goes_on_after_a_second_and_the_dialog_ends_by_bye() {
    let mut story = Story::doing(r#""answer", "echo""#);
    story.incoming("x");
    story.input(Input::Journaled);
    assert_eq!(story.after(1_000), [Effect::Mode(MediaMode::Echo)]);
    let effects = story.input(Input::AckTimeout);
    assert!(
        effects.contains(&Effect::Hangup { q850: 102 }),
        "{effects:?}"
    );
    assert_eq!(
        outcome(&story.input(Input::MediaClosed)).0,
        EndReason::AckTimeout
    );

    let (mut story, _) = Story::answered(r#""answer", "echo""#);
    assert_eq!(
        story.input(Input::AckTimeout),
        [],
        "an acknowledged call knows no ACK timeout"
    );
}

#[test]
fn every_outside_end_has_its_reason() {
    let cases = [
        (Input::MediaTimeout, EndReason::MediaTimeout, Some(41)),
        (Input::LegLost, EndReason::InternalError, Some(41)),
        (Input::TransportLost, EndReason::TransportFailed, None),
        (
            Input::Unusable(Unusable::NoCommonCodec),
            EndReason::NoCommonCodec,
            Some(88),
        ),
        (
            Input::Kill(KillCause::Operator),
            EndReason::OperatorHangup,
            Some(16),
        ),
        (
            Input::Kill(KillCause::Drain),
            EndReason::NodeDrained,
            Some(41),
        ),
        (
            Input::Kill(KillCause::Internal),
            EndReason::InternalError,
            Some(41),
        ),
    ];
    for (input, reason, bye) in cases {
        let (mut story, _) = Story::answered(r#""answer", "echo""#);
        let effects = story.input(input.clone());
        let sent = effects.iter().find_map(|effect| match effect {
            Effect::Hangup { q850 } => Some(*q850),
            _ => None,
        });
        assert_eq!(sent, bye, "{input:?}");
        assert_eq!(
            outcome(&story.input(Input::MediaClosed)).0,
            reason,
            "{input:?}"
        );
    }
}

#[test]
fn a_call_ends_at_its_longest_duration_and_ringing_at_its_own() {
    let (mut story, _) = Story::answered(r#""answer", "echo""#);
    assert_eq!(story.after(4 * 3_600_000 - 1), []);
    assert!(story.after(1).contains(&Effect::Hangup { q850: 16 }));
    assert_eq!(
        outcome(&story.input(Input::MediaClosed)).0,
        EndReason::MaxDuration
    );

    let mut story = Story::doing(r#""ring", { sleep = "1h" }, "answer""#);
    assert_eq!(story.incoming("x"), [Effect::Ring]);
    story.input(Input::Journaled);
    let effects = story.after(180_000);
    assert_eq!(
        outcome(&effects),
        (EndReason::NoAnswer, Party::Server, Some(480))
    );
}

#[test]
fn play_before_the_answer_is_early_media_and_repeats_until_the_end() {
    let mut story = Story::doing(
        r#"{ play = "a.wav" }, "answer", { play = { source = "b.wav", repeat = true } }"#,
    );
    let effects = story.incoming("x");
    let Some(
        [
            Effect::EarlyMedia,
            Effect::Play {
                tag, repeat: false, ..
            },
        ],
    ) = effects.first_chunk()
    else {
        panic!("{effects:?}")
    };
    story.input(Input::Journaled);
    assert_eq!(
        story.input(Input::PlayFinished { tag: tag + 100 }),
        [],
        "some other sound"
    );
    assert_eq!(
        story.input(Input::PlayFinished { tag: *tag }),
        [Effect::Answer]
    );
    let effects = story.input(Input::Acknowledged);
    assert!(
        matches!(effects.as_slice(), [Effect::Play { repeat: true, .. }]),
        "{effects:?}"
    );
    assert_eq!(
        story.input(Input::RemoteBye),
        [Effect::StopPlayout, Effect::CloseMedia]
    );
}

#[test]
fn a_menu_takes_digits_cuts_its_prompt_and_branches() {
    let mut story = Story::with(
        "[[route]]\ndo = [\"answer\", { goto = \"menu\" }]\n\
         [section.menu]\ndo = [{ gather = { say = \"one or two\", max = 1, tries = 2, choices = { 1 = \"one\" }, or_else = \"bye\" } }]\n\
         [section.one]\ndo = [{ say = \"you chose {digits}\" }]\n[section.bye]\ndo = [{ hangup = \"busy\" }]\n",
    );
    story.incoming("x");
    story.input(Input::Journaled);
    let effects = story.input(Input::Acknowledged);
    assert!(
        matches!(effects.as_slice(), [Effect::Say { .. }]),
        "{effects:?}"
    );
    let effects = story.digit('7');
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::StopPlayout, Effect::Say { .. }]
        ),
        "a wrong choice is asked again: {effects:?}"
    );
    let effects = story.digit('1');
    assert!(
        matches!(effects.as_slice(), [Effect::StopPlayout, Effect::Say { text, .. }] if text == "you chose 1"),
        "{effects:?}"
    );
}

#[test]
fn silence_at_a_menu_runs_out_of_tries() {
    let (mut story, effects) =
        Story::answered(r#""answer", { gather = { play = "m.wav", timeout = "4s", tries = 2 } }"#);
    let Some(Effect::Play { tag, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    story.input(Input::PlayFinished { tag: *tag });
    let effects = story.after(4_000);
    let [Effect::Play { tag, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    story.input(Input::PlayFinished { tag: *tag });
    let effects = story.after(4_000);
    assert_eq!(effects, [Effect::Hangup { q850: 16 }, Effect::CloseMedia]);
}

#[test]
fn secret_digits_stay_out_of_facts_effects_and_texts() {
    let mut story = Story::doing(
        r#""answer", { gather = { into = "pin", min = 4, max = 4, secret = true } }, { log = "pin {pin}" }, "hangup""#,
    );
    story.incoming("x");
    story.input(Input::Journaled);
    story.call.handle(story.now, Input::Acknowledged);
    for digit in ['7', '3', '5', '1'] {
        story.call.handle(
            story.now,
            Input::Digit(DigitEvent {
                digit,
                via: Via::Info,
            }),
        );
    }
    let effects = story.all();
    assert!(effects.contains(&Effect::Mask(true)) && effects.contains(&Effect::Mask(false)));
    assert!(
        effects.contains(&Effect::Log {
            text: "pin [secret]".to_owned()
        }),
        "{effects:?}"
    );
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Journal(CallFact::Digit { .. })))
    );
    assert!(!format!("{effects:?}").contains("7351"));
}

#[test]
fn digits_reach_the_agent_once() {
    let mut story = Story::doing(AGENT);
    story.incoming("x");
    story.input(Input::Journaled);
    story.input(Input::AgentReady);
    story.input(Input::Acknowledged);
    assert_eq!(story.digit('5'), [Effect::AgentDigit { digit: '5' }]);
    assert_eq!(
        story.input(Input::Digit(DigitEvent {
            digit: '5',
            via: Via::Info
        })),
        [],
        "the same press by INFO"
    );
}

#[test]
fn a_bridge_rings_stage_after_stage_and_answers_when_somebody_does() {
    let mut story = Story::doing(
        r#"{ bridge = { to = [["sip:a@h", "sip:b@h"], "sip:c@h"], ring_for = "10s" } }"#,
    );
    let effects = story.incoming("x");
    let [
        Effect::Dial {
            attempt,
            targets,
            from,
            ..
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!((targets.len(), from.as_str()), (2, "2000"));
    story.input(Input::Journaled);
    assert_eq!(
        story.input(Input::DialRinging { attempt: *attempt }),
        [Effect::Ring]
    );
    let effects = story.after(10_000);
    let [
        Effect::CancelDial { attempt: given_up },
        Effect::Dial {
            attempt: second, ..
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(given_up, attempt);
    let late = Input::DialAnswered {
        attempt: *attempt,
        target: "sip:a@h".to_owned(),
    };
    assert_eq!(story.input(late), [], "a 200 that crossed the CANCEL");
    let answered = Input::DialAnswered {
        attempt: *second,
        target: "sip:c@h".to_owned(),
    };
    assert_eq!(
        story.input(answered),
        [Effect::Answer, Effect::Join { attempt: *second }]
    );
    story.input(Input::Acknowledged);
    let effects = story.input(Input::BridgeEnded);
    assert_eq!(effects, [Effect::Hangup { q850: 16 }, Effect::CloseMedia]);
    assert_eq!(
        outcome(&story.input(Input::MediaClosed)),
        (EndReason::BridgeEnded, Party::Bridge, Some(200))
    );
}

#[test]
fn the_caller_leaving_a_bridge_takes_the_other_leg_along() {
    let (mut story, effects) = Story::answered(r#""answer", { bridge = "sip:c@h" }"#);
    let [Effect::Dial { attempt, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    story.input(Input::DialAnswered {
        attempt: *attempt,
        target: "sip:c@h".to_owned(),
    });
    assert_eq!(
        story.input(Input::RemoteBye),
        [Effect::Unjoin, Effect::CloseMedia]
    );

    let (mut story, effects) = Story::answered(r#""answer", { bridge = "sip:c@h" }"#);
    let [Effect::Dial { attempt, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        story.input(Input::RemoteBye),
        [Effect::CancelDial { attempt: *attempt }, Effect::CloseMedia]
    );
}

#[test]
fn a_bridge_that_fails_says_how() {
    let cases = [
        (DialFailure::Busy, 486, EndReason::Busy),
        (DialFailure::NoAnswer, 480, EndReason::NoAnswer),
        (DialFailure::Failed, 502, EndReason::TransportFailed),
        (DialFailure::Full, 503, EndReason::Capacity),
        (DialFailure::Forbidden, 403, EndReason::Forbidden),
        (DialFailure::NotFound, 404, EndReason::NotFound),
    ];
    for (failure, status, reason) in cases {
        let mut story = Story::doing(r#"{ bridge = "sip:c@h" }"#);
        let effects = story.incoming("x");
        let [Effect::Dial { attempt, .. }] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        let effects = story.input(Input::DialFailed {
            attempt: *attempt,
            failure,
        });
        assert!(
            matches!(effects.first(), Some(Effect::Reject { status: sent, .. }) if *sent == status),
            "{effects:?}"
        );
        assert_eq!(outcome(&effects).0, reason);
    }
}

#[test]
fn a_bridge_that_fails_goes_where_the_plan_says() {
    let mut story = Story::with(
        "[[route]]\ndo = [{ bridge = { to = \"sip:c@h\", on = { busy = \"later\" } } }]\n[section.later]\ndo = [{ respond = { status = 480, reason = \"Later\" } }]\n",
    );
    let effects = story.incoming("x");
    let [Effect::Dial { attempt, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let effects = story.input(Input::DialFailed {
        attempt: *attempt,
        failure: DialFailure::Busy,
    });
    let reject = Effect::Reject {
        q850: 21,
        status: 480,
        reason: Some("Later".to_owned()),
        retry_after_s: None,
    };
    assert_eq!(effects.first(), Some(&reject));
}

#[test]
fn a_caller_cannot_write_another_host_into_a_target() {
    let plan = r#"{ bridge = "sip:{to}@10.0.0.1" }"#;
    let mut story = Story::doing(plan);
    let effects = story.incoming("1000");
    assert!(
        matches!(effects.as_slice(), [Effect::Dial { targets, .. }] if targets[0].name == "sip:1000@10.0.0.1" && targets[0].digits == Digits::Supplied),
        "{effects:?}"
    );
    for evil in ["x@evil.example", "x\r\nVia: y", "x;maddr=6.6.6.6"] {
        let mut story = Story::doing(plan);
        let effects = story.incoming(evil);
        assert!(
            matches!(
                effects.as_slice(),
                [
                    Effect::Log { .. },
                    Effect::Reject { status: 500, .. },
                    Effect::Ended(_)
                ]
            ),
            "{effects:?}"
        );
    }
}

#[test]
fn a_plan_that_goes_round_in_circles_ends() {
    let mut story = Story::with(
        "[[route]]\ndo = [{ goto = \"a\" }]\n[section.a]\ndo = [{ goto = \"b\" }]\n[section.b]\ndo = [{ goto = \"a\" }]\n",
    );
    let effects = story.incoming("x");
    assert_eq!(outcome(&effects).0, EndReason::InternalError);
}

#[test]
fn the_plan_of_a_call_goes_on_after_its_agent() {
    let mut story = Story::doing(r#"{ agent = "demo/ada" }, { say = "goodbye" }"#);
    story.incoming("x");
    story.input(Input::Journaled);
    story.input(Input::AgentReady);
    story.input(Input::Acknowledged);
    let effects = story.input(Input::AgentEnded(AgentEnd::Inactive));
    let [Effect::Say { tag, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    story.input(Input::PlayFinished { tag: *tag });
    assert_eq!(
        outcome(&story.input(Input::MediaClosed)).0,
        EndReason::IdleTimeout
    );
}

#[test]
fn an_agent_that_breaks_for_good_ends_the_call_or_hands_it_on() {
    let mut story = Story::doing(AGENT);
    story.incoming("x");
    story.input(Input::Journaled);
    story.input(Input::AgentReady);
    story.input(Input::Acknowledged);
    let effects = story.input(Input::AgentFailed {
        reason: "twice".to_owned(),
    });
    assert_eq!(
        effects,
        [
            Effect::Hangup { q850: 41 },
            Effect::StopRecord,
            Effect::CloseMedia
        ]
    );
    assert_eq!(
        outcome(&story.input(Input::MediaClosed)),
        (EndReason::AgentFailed, Party::Server, Some(200))
    );
}
