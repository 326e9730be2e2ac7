//! Conversations as callers have them, against the whole pipeline and the real ledger.

#[path = "pipeline_stage/other_brains.rs"]
mod other_brains;
#[path = "pipeline_stage/stage.rs"]
mod stage;
#[path = "pipeline_stage/talk.rs"]
mod talk;

use call_core::{
    brain::{
        BrainInput, BrainNote, DiscardReason, EndWish, HistoryLine, MindEvent, ThinkId,
        ThinkRequest, ToolOutcome, ToolRequest, ToolRunId, UtteranceId,
    },
    ledger::LedgerEvent,
    pipeline::{DialogueEffect, DialogueInput, DigitsWanted},
};
use stage::{Did, Stage, final_of};
use talk::{Log, config, parrot, said_by_user, speak, stage_of};

/// The greeting has been played: 6 words protected and 6 more are 2.88 s.
const GREETED: u64 = 3_200;

fn parrot_call() -> (Stage, Log) {
    let (stage, log) = stage_of(config(), parrot);
    (stage.answered(), log)
}

/// A parrot that has begun its answer to one turn at about 4.6 s.
fn speaking_parrot() -> (Stage, Log) {
    let (mut stage, log) = parrot_call();
    stage.speech(GREETED, 4_000, "A table for four on Friday, please.");
    stage.run_to(5_000);
    assert_eq!(said_by_user(&log).len(), 1);
    (stage, log)
}

fn answer_heard(stage: &Stage) -> String {
    stage
        .heard()
        .get(2)
        .map(|(_, heard)| heard.clone())
        .unwrap_or_default()
}

const ANSWER: &str =
    "You said A table for four on Friday, please. Is there anything else that I can do for you?";

#[test]
fn pipeline_has_the_greeting_said_before_it_is_ready_and_protects_the_disclosure() {
    let (mut stage, _) = stage_of(config(), parrot);
    stage.input(BrainInput::Prepare(Box::new(Stage::context())));
    let said = |text: &str, protected| Did::Said {
        text: text.into(),
        protected,
    };
    let did: Vec<Did> = stage.did.iter().map(|(_, did)| did.clone()).collect();
    assert_eq!(
        did,
        [
            said("Hello, I'm Ada, an automated assistant.", true),
            said("How can I help you today?", false),
            Did::Ready
        ]
    );
    stage.answer();
    stage.run_to(200);
    assert!(!stage.armed, "no reflex while the disclosure plays");
    stage.run_to(2_000);
    assert!(stage.armed);
}

#[test]
fn pipeline_answers_a_turn_and_shows_where_its_time_went() {
    let (mut stage, log) = parrot_call();
    stage.speech(GREETED, 4_000, "A table for four on Friday, please.");
    stage.run_to(15_000);
    assert_eq!(
        said_by_user(&log),
        [(1, "A table for four on Friday, please.".to_owned())]
    );
    assert_eq!(answer_heard(&stage), ANSWER);
    let turn = &stage.turns()[0];
    assert_eq!(
        (turn.turn, turn.endpoint_ms, turn.transcript_ms),
        (1, Some(500), Some(300))
    );
    assert!(
        turn.first_packet_ms
            .is_some_and(|ms| (500..=540).contains(&ms)),
        "{turn:?}"
    );
}

#[test]
fn pipeline_goes_on_after_a_cough() {
    let (mut stage, _) = speaking_parrot();
    stage.speech(6_000, 6_100, "");
    stage.run_to(15_000);
    assert_eq!(answer_heard(&stage), ANSWER, "no word is lost");
    assert_eq!(stage.first(&Did::Cut), None);
    assert_eq!(stage.discarded(), [DiscardReason::NoWords]);
    let pauses: Vec<u64> = stage
        .events
        .iter()
        .filter_map(|e| {
            if let LedgerEvent::FalsePause { paused_ms } = e {
                Some(*paused_ms)
            } else {
                None
            }
        })
        .collect();
    assert!(pauses.len() == 1 && pauses[0] <= 300, "{pauses:?}");
}

#[test]
fn pipeline_ends_a_reflex_pause_of_mere_noise() {
    let (mut stage, _) = speaking_parrot();
    stage.noise(6_000);
    stage.run_to(15_000);
    assert_eq!(answer_heard(&stage), ANSWER);
    assert!(
        stage
            .notes
            .contains(&BrainNote::FalseAlarm { onset_ms: 6_080 })
    );
}

#[test]
fn pipeline_lets_a_listener_say_mm_hmm() {
    let (mut stage, log) = speaking_parrot();
    stage.speech(6_000, 6_420, "Mm-hmm.");
    stage.run_to(15_000);
    assert_eq!(answer_heard(&stage), ANSWER);
    assert_eq!(stage.first(&Did::Cut), None);
    assert_eq!(stage.discarded(), [DiscardReason::Backchannel]);
    assert_eq!(said_by_user(&log).len(), 1);
}

#[test]
fn pipeline_lets_a_listener_say_it_twice() {
    let (mut stage, _) = speaking_parrot();
    stage.speech(6_000, 6_300, "Mm-hmm.");
    stage.speech(6_800, 7_100, "Yeah.");
    stage.run_to(15_000);
    assert_eq!(answer_heard(&stage), ANSWER);
    assert_eq!(stage.discarded(), [DiscardReason::Backchannel; 2]);
}

#[test]
fn pipeline_takes_a_yes_at_the_end_of_its_question_as_the_answer() {
    let (mut stage, log) = speaking_parrot();
    // 19 words of 240 ms from about 4.5 s: the question ends at about 9.1 s.
    stage.speech(8_700, 9_000, "Yes.");
    stage.run_to(15_000);
    assert_eq!(answer_heard(&stage), ANSWER);
    assert_eq!(said_by_user(&log)[1], (2, "Yes.".to_owned()));
    assert_eq!(stage.discarded(), []);
}

#[test]
fn pipeline_yields_to_an_interruption_and_remembers_only_what_was_heard() {
    let (mut stage, log) = speaking_parrot();
    stage.at(
        6_560,
        BrainInput::Partial {
            at_ms: 6_550,
            text: "no wait".into(),
        },
    );
    stage.speech(6_000, 7_000, "No wait, make it eight.");
    stage.run_to(7_100);
    let cut_ms = stage.first(&Did::Cut).expect("it is cut");
    assert!((6_250..6_600).contains(&cut_ms), "cut at {cut_ms}");
    stage.run_to(8_000);
    let heard = answer_heard(&stage);
    assert!(
        ANSWER.starts_with(&heard) && !heard.is_empty() && heard.len() < ANSWER.len(),
        "{heard:?}"
    );
    let yielded = stage.events.iter().find_map(|e| {
        if let LedgerEvent::Interrupted { yield_ms } = e {
            Some(*yield_ms)
        } else {
            None
        }
    });
    assert!(yielded.is_some_and(|ms| ms <= 100), "{yielded:?}");
    assert_eq!(
        said_by_user(&log)[1],
        (2, "No wait, make it eight.".to_owned())
    );
    let log = log.lock().unwrap();
    let heard_at = log.iter().position(|i| {
        matches!(
            i,
            DialogueInput::Heard {
                interrupted: true,
                ..
            }
        )
    });
    let said_at = log
        .iter()
        .position(|i| matches!(i, DialogueInput::UserSaid { turn: 2, .. }));
    assert!(
        heard_at < said_at,
        "the history is true before the next answer is made"
    );
}

#[test]
fn pipeline_cuts_for_long_speech_without_waiting_for_words() {
    let (mut stage, _) = speaking_parrot();
    stage.speech(6_000, 8_000, "I would like to change that to eight people.");
    stage.run_to(7_000);
    assert!(
        stage.first(&Did::Hold).is_some_and(|ms| ms <= 6_280),
        "held before the reflex lets go"
    );
    assert!(stage.first(&Did::Cut).is_some_and(|ms| ms <= 6_960));
}

#[test]
fn pipeline_does_not_let_the_disclosure_be_cut_and_keeps_what_was_said_during_it() {
    let (mut stage, log) = parrot_call();
    stage.speech(300, 1_000, "A table for four.");
    stage.run_to(10_000);
    assert_eq!(
        stage.heard()[0].1,
        "Hello, I'm Ada, an automated assistant."
    );
    assert_eq!(stage.first(&Did::Cut), None);
    assert_eq!(said_by_user(&log), [(1, "A table for four.".to_owned())]);
}

#[test]
fn pipeline_waits_in_a_pause_inside_a_sentence() {
    let (mut stage, log) = parrot_call();
    stage.speech(GREETED, 4_000, "A table for four and");
    stage.speech(5_100, 6_000, "one child on Friday.");
    stage.run_to(10_000);
    assert_eq!(
        said_by_user(&log),
        [(1, "A table for four and one child on Friday.".to_owned())]
    );
}

#[test]
fn pipeline_joins_two_finals_into_one_turn_and_replaces_a_repeated_one() {
    let (mut stage, log) = parrot_call();
    stage.speech(GREETED, 3_800, "A table");
    stage.at(4_200, BrainInput::SpeechStarted { at_ms: 4_100 });
    stage.at(
        5_040,
        BrainInput::SpeechEnded {
            at_ms: 4_800,
            speech_ms: 700,
        },
    );
    stage.at(5_100, final_of(GREETED, 4_800, "A table for four"));
    stage.speech(5_200, 5_600, "at seven.");
    stage.run_to(10_000);
    assert_eq!(
        said_by_user(&log),
        [(1, "A table for four at seven.".to_owned())]
    );
}

#[test]
fn pipeline_takes_a_turn_back_when_the_caller_goes_on_before_the_answer() {
    let thinking = |input: &DialogueInput| match input {
        DialogueInput::UserSaid { turn, .. } => vec![think(u64::from(*turn) * 10)],
        _ => vec![],
    };
    let (stage, log) = stage_of(config(), thinking);
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "A table for four.");
    stage.speech(4_800, 5_500, "On Friday.");
    stage.run_to(7_000);
    let expected = [
        (1, "A table for four.".to_owned()),
        (1, "A table for four. On Friday.".to_owned()),
    ];
    assert_eq!(said_by_user(&log), expected);
    assert!(
        log.lock()
            .unwrap()
            .contains(&DialogueInput::UserWentOn { turn: 1 })
    );
    assert!(stage.first(&Did::CancelThink(ThinkId(10))).is_some());
}

#[test]
fn pipeline_takes_digits_instead_of_speech() {
    let (mut stage, log) = speaking_parrot();
    for (nth, digit) in ['5', '5', '0', '#'].into_iter().enumerate() {
        let at_ms = 6_000 + nth as u64 * 200;
        stage.at(at_ms, BrainInput::Digit { digit, at_ms });
    }
    stage.run_to(9_000);
    assert!(
        stage.first(&Did::Cut).is_some_and(|ms| ms == 6_000),
        "the first key interrupts"
    );
    let digits = DialogueInput::UserDigits {
        turn: 2,
        digits: "550".into(),
    };
    assert!(log.lock().unwrap().contains(&digits));
    assert!(stage.said().contains(&"You pressed 550."));
}

#[test]
fn pipeline_completes_digits_as_the_dialogue_wants_them() {
    let wants_two = |input: &DialogueInput| match input {
        DialogueInput::UserSaid { .. } => vec![
            DialogueEffect::ExpectDigits(DigitsWanted {
                max: 2,
                ..DigitsWanted::default()
            }),
            speak("Two digits."),
        ],
        _ => vec![],
    };
    let (stage, log) = stage_of(config(), wants_two);
    let mut stage = stage.answered();
    stage.speech(GREETED, 3_500, "Digits, please.");
    for (digit, at_ms) in [('1', 6_000), ('2', 6_100), ('3', 6_300)] {
        stage.at(at_ms, BrainInput::Digit { digit, at_ms });
    }
    stage.run_to(9_000);
    let entries: Vec<String> = log
        .lock()
        .unwrap()
        .iter()
        .filter_map(|i| {
            if let DialogueInput::UserDigits { digits, .. } = i {
                Some(digits.clone())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        entries,
        ["12", "3"],
        "the rest is complete after two seconds"
    );
}

fn think(id: u64) -> DialogueEffect {
    DialogueEffect::Think(Box::new(ThinkRequest {
        id: ThinkId(id),
        provider: "fake".into(),
        model: "m".into(),
        messages: vec![],
        tools: vec![],
        temperature: 1.0,
    }))
}

fn tool() -> DialogueEffect {
    let request = ToolRequest {
        id: ToolRunId("1/1".into()),
        name: "book_table".into(),
        arguments: serde_json::json!({}),
    };
    DialogueEffect::RunTool(request)
}

/// Runs a tool for each turn and tells what came back.
fn booker(input: &DialogueInput) -> Vec<DialogueEffect> {
    match input {
        DialogueInput::UserSaid { turn: 1, .. } => vec![tool()],
        DialogueInput::UserSaid { .. } => vec![speak("As you like.")],
        DialogueInput::ToolResult(_, ToolOutcome::Ok(_)) => vec![speak("It is booked.")],
        DialogueInput::ToolResult(_, ToolOutcome::Failed { .. }) => {
            vec![speak("The book is closed.")]
        }
        _ => vec![],
    }
}

#[test]
fn pipeline_fills_the_wait_for_a_slow_tool_and_keeps_what_is_said_meanwhile() {
    let (stage, log) = stage_of(config(), booker);
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Book it.");
    stage.speech(5_000, 5_800, "And a high chair, please.");
    stage.run_to(7_400);
    assert_eq!(stage.said()[2], "One moment, please.");
    assert_eq!(said_by_user(&log).len(), 1, "no turn while the tool is out");
    stage.input(BrainInput::ToolResult(
        ToolRunId("1/1".into()),
        ToolOutcome::Ok(serde_json::json!({})),
    ));
    stage.run_to(12_000);
    assert_eq!(stage.said()[3..], ["It is booked.", "As you like."]);
    assert_eq!(
        said_by_user(&log)[1],
        (2, "And a high chair, please.".to_owned())
    );
}

#[test]
fn pipeline_fails_a_tool_that_never_comes_back() {
    let (stage, log) = stage_of(config(), booker);
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Book it.");
    stage.run_to(25_000);
    assert!(stage.said().contains(&"The book is closed."));
    stage.input(BrainInput::ToolResult(
        ToolRunId("1/1".into()),
        ToolOutcome::Ok(serde_json::json!({})),
    ));
    let results = log
        .lock()
        .unwrap()
        .iter()
        .filter(|i| matches!(i, DialogueInput::ToolResult(..)))
        .count();
    assert_eq!(results, 1, "each tool has one result");
}

/// Asks a model ahead of the turn and speaks what it streams.
fn model(input: &DialogueInput) -> Vec<DialogueEffect> {
    match input {
        DialogueInput::UserSeemsDone { turn, text, .. } => {
            vec![think(u64::from(*turn) * 100 + text.len() as u64)]
        }
        DialogueInput::Mind(_, MindEvent::Delta(text)) => vec![DialogueEffect::Speak {
            text: text.clone(),
            last: false,
            protected: false,
        }],
        DialogueInput::Mind(_, MindEvent::Done) => vec![DialogueEffect::Speak {
            text: String::new(),
            last: true,
            protected: false,
        }],
        _ => vec![],
    }
}

#[test]
fn pipeline_speaks_a_speculative_answer_only_when_the_turn_is_taken() {
    let (stage, _) = stage_of(config(), model);
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Hello there.");
    stage.run_to(4_320);
    let id = stage.thinks[0].id;
    stage.input(BrainInput::Mind(
        id,
        MindEvent::Delta("Good evening to you. How ".into()),
    ));
    assert_eq!(
        stage.said().len(),
        2,
        "nothing is said before the turn is taken"
    );
    stage.run_to(4_520);
    assert_eq!(stage.said()[2], "Good evening to you.");
    stage.input(BrainInput::Mind(id, MindEvent::Delta("are you?".into())));
    stage.input(BrainInput::Mind(id, MindEvent::Done));
    stage.run_to(9_000);
    assert_eq!(stage.heard()[2].1, "Good evening to you. How are you?");
    assert_eq!(stage.thinks.len(), 1, "one question for one turn");
}

#[test]
fn pipeline_never_speaks_the_answer_to_half_a_turn() {
    let (stage, log) = stage_of(config(), model);
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "A table");
    stage.speech(4_350, 5_000, "for four.");
    stage.run_to(4_320);
    let first = stage.thinks[0].id;
    stage.input(BrainInput::Mind(
        first,
        MindEvent::Delta("A round table? ".into()),
    ));
    stage.run_to(5_400);
    assert!(stage.first(&Did::CancelThink(first)).is_some());
    stage.input(BrainInput::Mind(
        first,
        MindEvent::Delta("Or a square one? ".into()),
    ));
    stage.run_to(6_500);
    assert_eq!(stage.said().len(), 2, "{:?}", stage.said());
    assert!(
        log.lock()
            .unwrap()
            .contains(&DialogueInput::UserWentOn { turn: 1 })
    );
    assert_eq!(said_by_user(&log), [(1, "A table for four.".to_owned())]);
}

#[test]
fn pipeline_apologises_when_the_mind_fails_or_falls_silent() {
    for fails in [true, false] {
        let (stage, _) = stage_of(config(), |input| match input {
            DialogueInput::UserSaid { .. } => vec![think(1)],
            _ => vec![],
        });
        let mut stage = stage.answered();
        stage.speech(GREETED, 4_000, "Hello.");
        stage.run_to(5_000);
        if fails {
            stage.input(BrainInput::Mind(
                ThinkId(1),
                MindEvent::Failed { why: "503".into() },
            ));
        }
        stage.run_to(20_000);
        assert_eq!(
            stage.said().last(),
            Some(&"I am sorry, something is broken."),
            "fails: {fails}"
        );
        assert!(matches!(stage.ended(), Some((EndWish::GaveUp, Some(_)))));
    }
}

#[test]
fn pipeline_apologises_when_voice_or_ears_fail() {
    let (mut stage, _) = speaking_parrot();
    stage.input(BrainInput::EarsFailed { why: "gone".into() });
    assert_eq!(
        stage.said().last(),
        Some(&"I am sorry, something is broken.")
    );
    assert!(matches!(stage.ended(), Some((EndWish::GaveUp, Some(_)))));
    let (mut stage, _) = speaking_parrot();
    stage.input(BrainInput::VoiceFailed {
        utterance: UtteranceId(3),
        why: "gone".into(),
    });
    assert!(matches!(
        stage.ended(),
        Some((EndWish::GaveUp, Some(UtteranceId(4))))
    ));
    stage.input(BrainInput::VoiceFailed {
        utterance: UtteranceId(4),
        why: "still gone".into(),
    });
    let last = stage.did.last().map(|(_, did)| did.clone());
    let end = Did::End {
        reason: EndWish::GaveUp,
        after: None,
    };
    assert_eq!(
        last,
        Some(end),
        "it waits no longer for words that nobody can say"
    );
}

#[test]
fn pipeline_asks_a_silent_caller_and_then_says_goodbye() {
    let (mut stage, log) = parrot_call();
    stage.run_to(40_000);
    assert_eq!(stage.said()[2..], ["Are you still there?", "Goodbye."]);
    assert!(matches!(
        stage.ended(),
        Some((EndWish::Idle, Some(UtteranceId(4))))
    ));
    assert!(
        log.lock()
            .unwrap()
            .contains(&DialogueInput::Idle { times: 1 })
    );
    let asked = stage.first(&Did::Said {
        text: "Are you still there?".into(),
        protected: false,
    });
    assert!(
        asked.is_some_and(|ms| (14_800..15_000).contains(&ms)),
        "12 s after the greeting: {asked:?}"
    );
}

#[test]
fn pipeline_ends_with_the_farewell_when_the_dialogue_is_done() {
    let (stage, _) = stage_of(config(), |input| match input {
        DialogueInput::UserSaid { .. } => vec![
            speak("See you on Friday."),
            DialogueEffect::End(EndWish::Goodbye),
            speak("Never said."),
        ],
        _ => vec![],
    });
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Bye.");
    stage.run_to(10_000);
    assert_eq!(stage.said()[2..], ["See you on Friday.", "Goodbye."]);
    assert_eq!(
        stage.ended(),
        Some((EndWish::Goodbye, Some(UtteranceId(4))))
    );
}

#[test]
fn pipeline_counts_the_farewell_as_the_answer_to_a_goodbye() {
    let (stage, _) = stage_of(config(), |input| match input {
        DialogueInput::UserSaid { .. } => vec![DialogueEffect::End(EndWish::Goodbye)],
        _ => vec![],
    });
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Bye.");
    stage.run_to(10_000);
    let turns = stage.turns();
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert!(turns[0].brain_ms.is_some() && turns[0].first_packet_ms.is_some());
}

#[test]
fn pipeline_falls_silent_when_the_caller_hangs_up_in_mid_utterance() {
    let (mut stage, log) = speaking_parrot();
    stage.at(5_900, BrainInput::SpeechStarted { at_ms: 5_800 });
    stage.run_to(6_000);
    let done = stage.did.len();
    stage.hang_up();
    stage.run_to(9_000);
    assert_eq!(stage.did.len(), done, "nothing is done after the call");
    let heard = answer_heard(&stage);
    assert!(ANSWER.starts_with(&heard) && heard.len() < ANSWER.len());
    assert_eq!(stage.discarded(), [DiscardReason::CallOver]);
    assert_eq!(said_by_user(&log).len(), 1);
    let history = stage.ledger.history();
    assert!(history.contains(&HistoryLine {
        agent: true,
        text: heard
    }));
}

#[test]
fn pipeline_does_not_wait_for_ever_for_words() {
    let (mut stage, log) = parrot_call();
    stage.at(3_100, BrainInput::SpeechStarted { at_ms: GREETED });
    stage.at(
        4_000,
        BrainInput::SpeechEnded {
            at_ms: 3_800,
            speech_ms: 800,
        },
    );
    stage.at(8_000, BrainInput::SpeechStarted { at_ms: 8_000 });
    stage.at(
        8_600,
        BrainInput::Partial {
            at_ms: 8_600,
            text: "hello you".into(),
        },
    );
    stage.at(
        9_000,
        BrainInput::SpeechEnded {
            at_ms: 8_800,
            speech_ms: 800,
        },
    );
    stage.run_to(15_000);
    assert_eq!(stage.discarded(), [DiscardReason::NeverRecognised]);
    assert!(
        log.lock()
            .unwrap()
            .contains(&DialogueInput::NotUnderstood { times: 1 })
    );
    assert_eq!(said_by_user(&log), [(1, "hello you".to_owned())]);
    stage.input(final_of(8_000, 8_800, "Hello, are you there?"));
    stage.run_to(20_000);
    assert_eq!(
        said_by_user(&log).len(),
        1,
        "words that come too late are nobody's turn"
    );
}

#[test]
fn pipeline_goes_on_where_a_broken_agent_stopped() {
    let (mut stage, log) = stage_of(config(), parrot);
    let line = |agent, text: &str| HistoryLine {
        agent,
        text: text.into(),
    };
    let history = vec![
        line(true, "Hello."),
        line(false, "A table"),
        line(true, "When?"),
        line(false, "Friday"),
    ];
    stage.ms = 60_000;
    stage.brain.number_from(UtteranceId(8));
    stage.input(BrainInput::Prepare(Box::new(
        call_core::brain::CallContext {
            history,
            ..Stage::context()
        },
    )));
    stage.answer();
    stage.speech(65_000, 66_000, "At seven.");
    stage.run_to(70_000);
    assert!(
        !stage.said().iter().any(|text| text.contains("automated")),
        "the greeting is not repeated"
    );
    assert_eq!(said_by_user(&log), [(3, "At seven.".to_owned())]);
    assert_eq!(
        stage.turns()[0].endpoint_ms,
        Some(500),
        "call time is learnt from the events"
    );
}

#[test]
fn pipeline_says_protected_words_again_when_a_cut_took_them_unheard() {
    let (stage, _) = stage_of(config(), |input| match input {
        DialogueInput::UserSaid { turn: 1, .. } => vec![
            speak("This is one of those long stories which nobody ever wants to hear out."),
            DialogueEffect::Speak {
                text: "Cancelling costs ten dollars.".into(),
                last: true,
                protected: true,
            },
        ],
        _ => vec![],
    });
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Tell me.");
    stage.speech(6_000, 7_500, "Stop that, please.");
    stage.run_to(15_000);
    let heard: Vec<String> = stage
        .heard()
        .into_iter()
        .skip(2)
        .map(|(_, heard)| heard)
        .collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].starts_with("This is one") && !heard[0].ends_with("out."));
    assert_eq!(heard[1], "Cancelling costs ten dollars.");
}

#[test]
fn pipeline_asks_ahead_at_most_three_times_in_a_turn() {
    let (stage, log) = stage_of(config(), model);
    let mut stage = stage.answered();
    for nth in 0..6 {
        let from = GREETED + nth * 1_400;
        stage.speech(from, from + 500, "and then");
    }
    stage.run_to(14_000);
    let ahead = |input: &&DialogueInput| matches!(input, DialogueInput::UserSeemsDone { .. });
    assert_eq!(log.lock().unwrap().iter().filter(ahead).count(), 3);
    assert_eq!(said_by_user(&log).len(), 1);
}

#[test]
fn pipeline_lets_a_tools_answer_be_heard_after_an_interruption() {
    let (stage, log) = stage_of(config(), |input| match input {
        DialogueInput::UserSaid { turn: 1, .. } => {
            vec![
                speak("I look into the book, which is large and heavy and old."),
                tool(),
            ]
        }
        other => booker(other),
    });
    let mut stage = stage.answered();
    stage.speech(GREETED, 4_000, "Book it.");
    stage.speech(6_000, 7_000, "Make it eight.");
    stage.run_to(8_200);
    assert_eq!(said_by_user(&log).len(), 1, "the tool is out");
    stage.input(BrainInput::ToolResult(
        ToolRunId("1/1".into()),
        ToolOutcome::Ok(serde_json::json!({})),
    ));
    stage.run_to(14_000);
    let heard: Vec<String> = stage
        .heard()
        .into_iter()
        .skip(3)
        .map(|(_, heard)| heard)
        .collect();
    assert_eq!(heard, ["It is booked.", "As you like."]);
    assert_eq!(said_by_user(&log)[1], (2, "Make it eight.".to_owned()));
}
