//! The dialogue of a language model: asks it, speaks what it streams, runs the tools it wants.
//!
//! Its history is what was said: the caller's words of turns that were taken, and of the agent's
//! words those that were *heard*. A turn that is taken back leaves no trace.

mod history;
mod prompt;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use call_core::{
    brain::{
        CallContext, ChatMessage, EndWish, MindEvent, ThinkId, ThinkRequest, ToolOutcome,
        ToolRequest, ToolRunId, ToolSpec,
    },
    pipeline::{Dialogue, DialogueEffect, DialogueInput},
};
use model::agent::LlmConfig;
use serde_json::Value;

use self::history::History;
use super::tools::END_CALL;

/// Times a model may ask for tools within one turn.
const MAX_ROUNDS: u32 = 6;
/// Longest result of a tool that is shown to the model, bytes.
const MAX_RESULT: usize = 8 * 1_024;
/// Said when nothing was understood, or the model had nothing to say.
const SAY_AGAIN: &str = "Sorry, could you say that again?";
/// Said when the model asks for one tool after another.
const GO_ON: &str = "I am sorry, I did not get any further with that. What else can I do for you?";

/// A tool the model asked for.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    model_call_id: String,
    name: String,
    arguments: String,
    run: ToolRunId,
    result: Option<String>,
}

/// What the dialogue is about.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Waiting for the caller.
    Listening,
    /// The model is answering.
    Thinking {
        /// The question.
        id: ThinkId,
        /// Whether words have been spoken of this answer.
        spoken: bool,
        /// Tools it asked for so far.
        calls: Vec<Call>,
    },
    /// Tools are out.
    Running(Vec<Call>),
}

/// The turn that is being answered.
#[derive(Debug, Clone, PartialEq)]
struct Turn {
    number: u32,
    text: String,
    rounds: u32,
    runs: u32,
    /// The history before it.
    before: History,
}

/// See the module.
pub struct LlmDialogue {
    config: LlmConfig,
    tools: Vec<ToolSpec>,
    system: String,
    history: History,
    state: State,
    turn: Option<Turn>,
    thoughts: u64,
    effects: VecDeque<DialogueEffect>,
}

impl LlmDialogue {
    /// A dialogue for one call, with the granted tools.
    pub fn new(config: &LlmConfig, tools: Vec<ToolSpec>) -> Self {
        Self {
            config: config.clone(),
            tools,
            system: String::new(),
            history: History::default(),
            state: State::Listening,
            turn: None,
            thoughts: 0,
            effects: VecDeque::new(),
        }
    }

    fn begin(&mut self, context: &CallContext) {
        self.system = prompt::filled(&self.config.prompt, context);
        self.history = History::from_lines(&context.history);
    }

    /// The caller's words of a turn: asks the model, unless it is already answering just those.
    fn said(&mut self, number: u32, text: &str) {
        let same = self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.number == number && turn.text == text);
        if same {
            return;
        }
        self.take_back(number);
        self.drop_thought();
        self.turn = Some(Turn {
            number,
            text: text.to_owned(),
            rounds: 0,
            runs: 0,
            before: self.history.clone(),
        });
        self.history.caller(text);
        self.think();
    }

    /// Goes back to before that turn, if it is the last.
    fn take_back(&mut self, number: u32) {
        if let Some(turn) = self.turn.take_if(|turn| turn.number == number) {
            self.history = turn.before;
            self.state = State::Listening;
        }
    }

    fn drop_thought(&mut self) {
        if let State::Thinking { id, .. } = self.state {
            self.effects.push_back(DialogueEffect::CancelThink(id));
        }
        self.state = State::Listening;
    }

    fn think(&mut self) {
        self.thoughts += 1;
        let id = ThinkId(self.thoughts);
        let mut messages = vec![ChatMessage::System(self.system.clone())];
        messages.extend(self.history.messages());
        self.effects
            .push_back(DialogueEffect::Think(Box::new(ThinkRequest {
                id,
                provider: self.config.provider.clone(),
                model: self.config.model.clone(),
                messages,
                tools: self.tools.clone(),
                temperature: self.config.temperature,
            })));
        self.state = State::Thinking {
            id,
            spoken: false,
            calls: Vec::new(),
        };
    }

    fn mind(&mut self, from: ThinkId, event: MindEvent) {
        let (turn, runs) = self
            .turn
            .as_ref()
            .map_or((0, 0), |turn| (turn.number, turn.runs));
        let State::Thinking { id, spoken, calls } = &mut self.state else {
            return;
        };
        if *id != from {
            return;
        }
        match event {
            MindEvent::Delta(text) => {
                *spoken |= !text.trim().is_empty();
                self.speak(text, false);
            }
            MindEvent::ToolCall {
                model_call_id,
                name,
                arguments,
            } => {
                let count = runs as usize + calls.len() + 1;
                calls.push(Call {
                    model_call_id,
                    name,
                    arguments,
                    run: ToolRunId(format!("{turn}/{count}")),
                    result: None,
                });
            }
            MindEvent::Done => self.answered(),
            // The pipeline keeps it, apologises and ends.
            MindEvent::Failed { .. } => self.state = State::Listening,
        }
    }

    fn speak(&mut self, text: String, last: bool) {
        self.effects.push_back(DialogueEffect::Speak {
            text,
            last,
            protected: false,
        });
    }

    /// The model's answer is complete.
    fn answered(&mut self) {
        let State::Thinking { spoken, calls, .. } =
            std::mem::replace(&mut self.state, State::Listening)
        else {
            return;
        };
        if spoken {
            self.speak(String::new(), true);
        }
        if calls
            .iter()
            .any(|call| call.name == END_CALL && self.is_granted(END_CALL))
        {
            self.effects
                .push_back(DialogueEffect::End(EndWish::Goodbye));
        } else if !calls.is_empty() {
            self.run(calls);
        } else if !spoken {
            self.speak(SAY_AGAIN.into(), true);
        }
    }

    fn is_granted(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    fn run(&mut self, mut calls: Vec<Call>) {
        let rounds = self.turn.as_mut().map_or(0, |turn| {
            turn.rounds += 1;
            turn.runs += u32::try_from(calls.len()).unwrap_or(0);
            turn.rounds
        });
        if rounds > MAX_ROUNDS {
            return self.speak(GO_ON.into(), true);
        }
        for call in &mut calls {
            match self.checked(call) {
                Ok(arguments) => self.effects.push_back(DialogueEffect::RunTool(ToolRequest {
                    id: call.run.clone(),
                    name: call.name.clone(),
                    arguments,
                })),
                Err(why) => call.result = Some(why),
            }
        }
        self.state = State::Running(calls);
        self.go_on_when_all_are_back();
    }

    /// The arguments, when the tool is granted and they are a JSON object; else what the model is
    /// told.
    fn checked(&self, call: &Call) -> Result<Value, String> {
        let refused = |why: &str| serde_json::json!({ "error": why }).to_string();
        if !self.is_granted(&call.name) {
            return Err(refused("there is no such tool"));
        }
        match serde_json::from_str(&call.arguments) {
            Ok(Value::Object(arguments)) => Ok(Value::Object(arguments)),
            Ok(_) | Err(_) => Err(refused("the arguments are not a JSON object")),
        }
    }

    fn tool_back(&mut self, id: &ToolRunId, outcome: ToolOutcome) {
        let State::Running(calls) = &mut self.state else {
            return;
        };
        let waiting = calls
            .iter_mut()
            .find(|call| call.run == *id && call.result.is_none());
        if let Some(call) = waiting {
            call.result = Some(shown(outcome));
            self.go_on_when_all_are_back();
        }
    }

    fn go_on_when_all_are_back(&mut self) {
        let State::Running(calls) = &self.state else {
            return;
        };
        if calls.iter().any(|call| call.result.is_none()) {
            return;
        }
        self.history.tools(calls);
        self.think();
    }
}

fn shown(outcome: ToolOutcome) -> String {
    let value = match outcome {
        ToolOutcome::Ok(value) => value,
        ToolOutcome::Failed { why } => serde_json::json!({ "error": why }),
    };
    let text = value.to_string();
    match text.len() > MAX_RESULT {
        true => serde_json::json!({ "error": "the result is too long" }).to_string(),
        false => text,
    }
}

impl Dialogue for LlmDialogue {
    fn handle(&mut self, _now: Duration, input: DialogueInput) {
        match input {
            DialogueInput::Begin(context) => self.begin(&context),
            DialogueInput::UserSeemsDone { turn, text, .. }
            | DialogueInput::UserSaid { turn, text, .. } => self.said(turn, &text),
            DialogueInput::UserDigits { turn, digits } => {
                self.said(turn, &format!("(pressed {digits} on the keypad)"));
            }
            DialogueInput::UserWentOn { turn } => {
                self.take_back(turn);
                self.effects.clear();
            }
            DialogueInput::NotUnderstood { .. } => self.speak(SAY_AGAIN.into(), true),
            DialogueInput::ToolResult(id, outcome) => self.tool_back(&id, outcome),
            DialogueInput::Mind(id, event) => self.mind(id, event),
            DialogueInput::Heard { text, interrupted } => self.history.heard(&text, interrupted),
            DialogueInput::Hint { text } => self.history.hint(&text),
            // The pipeline speaks the idle prompts; they come back as heard.
            DialogueInput::Idle { .. } => {}
        }
    }

    fn poll_effect(&mut self) -> Option<DialogueEffect> {
        self.effects.pop_front()
    }
}
