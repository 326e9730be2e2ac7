//! Turns of a language model, without one.

use super::*;
use call_core::brain::HistoryLine;
use serde_json::json;

struct Bench {
    dialogue: LlmDialogue,
    asked: Vec<ThinkRequest>,
    said: Vec<(String, bool)>,
    tools: Vec<ToolRequest>,
    cancelled: Vec<ThinkId>,
    end: Option<EndWish>,
}

impl Bench {
    fn new(history: Vec<HistoryLine>) -> Self {
        let config = LlmConfig {
            provider: "p".into(),
            model: "m".into(),
            prompt: "It is {{now}}. Caller {{caller_number}}.".into(),
            temperature: 0.5,
        };
        let tools = crate::brain::tools::specs(&["book_table".into(), "end_call".into()]);
        let mut bench = Self {
            dialogue: LlmDialogue::new(&config, tools),
            asked: Vec::new(),
            said: Vec::new(),
            tools: Vec::new(),
            cancelled: Vec::new(),
            end: None,
        };
        bench.hand(DialogueInput::Begin(Box::new(CallContext {
            call_id: "c".into(),
            caller_number: Some("+15550123".into()),
            called_number: "+15550100".into(),
            unix_ms: 1_795_194_000_000,
            utc_offset_s: -5 * 3_600,
            history,
        })));
        bench
    }

    fn hand(&mut self, input: DialogueInput) {
        self.dialogue.handle(Duration::ZERO, input);
        while let Some(effect) = self.dialogue.poll_effect() {
            match effect {
                DialogueEffect::Think(request) => self.asked.push(*request),
                DialogueEffect::Speak { text, last, .. } => self.said.push((text, last)),
                DialogueEffect::RunTool(request) => self.tools.push(request),
                DialogueEffect::CancelThink(id) => self.cancelled.push(id),
                DialogueEffect::End(wish) => self.end = Some(wish),
                _ => {}
            }
        }
    }

    fn said(&mut self, turn: u32, text: &str) {
        self.hand(DialogueInput::UserSaid {
            turn,
            text: text.into(),
            confidence: None,
        });
    }

    fn mind(&mut self, event: MindEvent) {
        let id = self.asked.last().expect("asked").id;
        self.hand(DialogueInput::Mind(id, event));
    }

    fn heard(&mut self, text: &str, interrupted: bool) {
        self.hand(DialogueInput::Heard {
            text: text.into(),
            interrupted,
        });
    }

    /// The last request's messages without the system prompt.
    fn told(&self) -> &[ChatMessage] {
        &self.asked.last().expect("asked").messages[1..]
    }
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::User(text.into())
}

fn agent(text: &str) -> ChatMessage {
    ChatMessage::Assistant(text.into())
}

fn call(name: &str, arguments: &str) -> MindEvent {
    MindEvent::ToolCall {
        model_call_id: "x1".into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

#[test]
fn only_what_was_heard_enters_the_history() {
    let mut bench = Bench::new(Vec::new());
    bench.heard("Hello, I'm Ada.", false);
    bench.said(1, "tell me a story");
    assert_eq!(
        bench.told(),
        [agent("Hello, I'm Ada."), user("tell me a story")]
    );
    let ChatMessage::System(system) = &bench.asked[0].messages[0] else {
        panic!("no system prompt");
    };
    assert!(
        system.starts_with("It is Friday, 20 November 2026, 12:00. Caller +15550123."),
        "{system}"
    );
    bench.mind(MindEvent::Delta(
        "Once upon a time there was a king.".into(),
    ));
    bench.heard("Once upon", true);
    bench.said(2, "stop");
    assert_eq!(
        bench.told(),
        [
            agent("Hello, I'm Ada."),
            user("tell me a story"),
            agent("Once upon [the caller interrupted here]"),
            user("stop")
        ]
    );
    assert_eq!(bench.cancelled, [ThinkId(1)]);
}

#[test]
fn a_speculation_that_holds_is_asked_once_and_one_that_does_not_leaves_no_trace() {
    let mut bench = Bench::new(Vec::new());
    let seems = |turn, text: &str| DialogueInput::UserSeemsDone {
        turn,
        text: text.into(),
        confidence: None,
    };
    bench.hand(seems(1, "a table"));
    bench.mind(MindEvent::Delta("For ".into()));
    bench.said(1, "a table");
    assert_eq!(bench.asked.len(), 1);
    bench.mind(MindEvent::Delta("whom?".into()));
    bench.mind(MindEvent::Done);
    assert_eq!(bench.said.last(), Some(&(String::new(), true)));
    bench.heard("For whom?", false);
    bench.hand(seems(2, "for"));
    bench.hand(DialogueInput::UserWentOn { turn: 2 });
    let stale = bench.asked[1].id;
    bench.hand(DialogueInput::Mind(stale, MindEvent::Delta("late".into())));
    assert!(bench.said.iter().all(|(text, _)| text != "late"));
    bench.said(2, "for four");
    assert_eq!(
        bench.told(),
        [user("a table"), agent("For whom?"), user("for four")]
    );
}

#[test]
fn tools_run_and_their_results_are_told() {
    let mut bench = Bench::new(Vec::new());
    bench.said(3, "book it");
    bench.mind(MindEvent::Delta("One moment.".into()));
    bench.mind(call("book_table", "{\"party_size\":4}"));
    bench.mind(call("launch_rocket", "{}"));
    bench.mind(call("book_table", "not json"));
    bench.mind(MindEvent::Done);
    assert_eq!(bench.tools.len(), 1);
    assert_eq!(bench.tools[0].id, ToolRunId("3/1".into()));
    assert_eq!(bench.tools[0].arguments, json!({ "party_size": 4 }));
    assert_eq!(bench.asked.len(), 1, "one result is still out");
    let outcome = ToolOutcome::Ok(json!({ "outcome": "booked", "code": "R-1" }));
    bench.hand(DialogueInput::ToolResult(ToolRunId("3/1".into()), outcome));
    assert_eq!(bench.asked.len(), 2);
    let results: Vec<&str> = bench
        .told()
        .iter()
        .filter_map(|message| match message {
            ChatMessage::ToolResult { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(results.len(), 3);
    assert!(results[0].contains("R-1") && results[1].contains("no such tool"));
    bench.mind(MindEvent::Delta("Booked.".into()));
    bench.mind(MindEvent::Done);
    assert_eq!(bench.said.last(), Some(&(String::new(), true)));
}

#[test]
fn it_never_stays_silent_and_never_loops() {
    let mut bench = Bench::new(Vec::new());
    bench.said(1, "hm");
    bench.mind(MindEvent::Done);
    assert_eq!(bench.said, [(SAY_AGAIN.to_owned(), true)]);
    bench.said(2, "again");
    for _ in 0..MAX_ROUNDS + 1 {
        bench.mind(call("nothing", "{}"));
        bench.mind(MindEvent::Done);
    }
    assert_eq!(bench.said.last(), Some(&(GO_ON.to_owned(), true)));
    let asked = bench.asked.len();
    bench.mind(MindEvent::Done);
    assert_eq!(bench.asked.len(), asked);
    bench.hand(DialogueInput::NotUnderstood { times: 1 });
    assert_eq!(bench.said.last(), Some(&(SAY_AGAIN.to_owned(), true)));
}

#[test]
fn the_model_ends_the_call_and_a_restart_goes_on() {
    let line = |agent, text: &str| HistoryLine {
        agent,
        text: text.into(),
    };
    let mut bench = Bench::new(vec![
        line(true, "Hello."),
        line(false, "hi"),
        line(true, "Yes?"),
    ]);
    bench.said(2, "bye");
    assert_eq!(
        bench.told(),
        [agent("Hello."), user("hi"), agent("Yes?"), user("bye")]
    );
    bench.mind(call(END_CALL, "{}"));
    bench.mind(MindEvent::Done);
    assert_eq!(bench.end, Some(EndWish::Goodbye));
}

#[test]
fn a_long_conversation_loses_its_oldest_lines() {
    let mut bench = Bench::new(Vec::new());
    let long = "word ".repeat(2_000);
    for turn in 1..20 {
        bench.said(turn, &long);
    }
    let chars: usize = bench
        .told()
        .iter()
        .map(|m| {
            if let ChatMessage::User(t) = m {
                t.len()
            } else {
                0
            }
        })
        .sum();
    assert!((30_000..=48_000).contains(&chars), "{chars}");
}
