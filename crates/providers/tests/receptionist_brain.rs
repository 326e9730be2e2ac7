//! The receptionist as the Agent meets it: a Brain. Greeting, a turn, a tool, the goodbye.

use std::{collections::VecDeque, time::Duration};

use call_core::brain::{
    Brain, BrainEffect, BrainInput, CallContext, EndWish, FinalTranscript, PlayoutKind,
    PlayoutReport, ToolOutcome, ToolRequest, UtteranceId,
};
use providers::brain;
use serde_json::json;

/// Carries effects out in no time: what is said is heard at once and whole.
struct Call {
    brain: Box<dyn Brain>,
    now_ms: u64,
    said: Vec<String>,
    tools: Vec<ToolRequest>,
    ready: bool,
    end: Option<EndWish>,
}

impl Call {
    fn new() -> Self {
        let text = include_str!("../../../agents/receptionist.json");
        let config = serde_json::from_str(text).unwrap();
        let mut call = Self {
            brain: brain::build(&config, &[]).unwrap(),
            now_ms: 0,
            said: Vec::new(),
            tools: Vec::new(),
            ready: false,
            end: None,
        };
        call.hand(BrainInput::Prepare(Box::new(CallContext {
            call_id: "cal_1".into(),
            caller_number: Some("+15550123".into()),
            called_number: "+15550100".into(),
            unix_ms: 1_795_194_000_000,
            utc_offset_s: -5 * 3_600,
            history: Vec::new(),
        })));
        assert!(call.ready);
        call.hand(BrainInput::Answered);
        call.wait(200);
        call
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    fn hand(&mut self, input: BrainInput) {
        self.brain.handle(self.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut finished: VecDeque<(UtteranceId, String)> = VecDeque::new();
        let mut open = String::new();
        while let Some(effect) = self.brain.poll_effect() {
            match effect {
                BrainEffect::Ready => self.ready = true,
                BrainEffect::Say {
                    utterance,
                    text,
                    last,
                    ..
                } => {
                    open += &text;
                    open.push(' ');
                    if last {
                        finished.push_back((utterance, std::mem::take(&mut open)));
                    }
                }
                BrainEffect::RunTool(request) => self.tools.push(request),
                BrainEffect::End { reason, .. } => self.end = Some(reason),
                _ => {}
            }
        }
        for (utterance, text) in finished {
            self.play(utterance, text);
        }
    }

    fn play(&mut self, utterance: UtteranceId, text: String) {
        for kind in [PlayoutKind::Started, PlayoutKind::Finished] {
            self.now_ms += 500;
            let report = PlayoutReport {
                utterance,
                kind,
                samples_sent: 4_000,
                at_ms: self.now_ms,
            };
            self.hand(BrainInput::Playout(report));
        }
        self.said.push(text.clone());
        self.hand(BrainInput::Heard {
            utterance,
            text,
            interrupted: false,
        });
    }

    /// Lets time pass, carrying out what falls due.
    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(due) = self.brain.poll_timeout() {
            let due = u64::try_from(due.as_millis()).unwrap();
            if due > until {
                break;
            }
            self.now_ms = self.now_ms.max(due);
            self.brain.handle_timeout(self.now());
            self.drain();
        }
        self.now_ms = self.now_ms.max(until);
    }

    /// The caller says something; what the agent has said since.
    fn say(&mut self, text: &str) -> String {
        let before = self.said.len();
        let start_ms = self.now_ms;
        self.hand(BrainInput::SpeechStarted { at_ms: start_ms });
        self.wait(1_200);
        let end_ms = self.now_ms;
        self.hand(BrainInput::SpeechEnded {
            at_ms: end_ms,
            speech_ms: 1_200,
        });
        self.hand(BrainInput::Final(FinalTranscript {
            start_ms,
            end_ms,
            text: text.into(),
            confidence: Some(0.9),
        }));
        self.wait(3_000);
        self.said[before..].join(" ")
    }
}

#[test]
fn a_call_from_greeting_to_goodbye() {
    let mut call = Call::new();
    let greeting = call.said.join(" ");
    assert!(
        greeting.contains("I'm Ada, an automated assistant"),
        "{greeting}"
    );
    assert!(greeting.contains("This call is recorded."), "{greeting}");
    let said = call.say("A table for four tomorrow at seven.");
    assert!(said.contains("Saturday at 7 PM for four"), "{said}");
    let said = call.say("Yes, please.");
    assert!(said.contains("One moment"), "{said}");
    let request = call.tools.pop().unwrap();
    assert_eq!(request.arguments["starts_local"], "2026-11-21T19:00");
    let outcome =
        json!({ "outcome": "booked", "id": "bkg_01J8ZQ4W5T9V6B3N2M1K0H7G5F", "code": "R-4471" });
    call.hand(BrainInput::ToolResult(request.id, ToolOutcome::Ok(outcome)));
    call.wait(500);
    assert!(
        call.said.last().unwrap().contains("R 4 4 7 1"),
        "{:?}",
        call.said
    );
    let said = call.say("No, that's all. Thank you.");
    assert!(said.contains("Thank you for calling. Goodbye!"), "{said}");
    assert_eq!(call.end, Some(EndWish::Goodbye));
}
