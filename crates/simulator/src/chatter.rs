//! A dialogue that does by dice what dialogues do: short and long answers, protected words, tools,
//! streamed answers of a model asked ahead of the turn.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use call_core::{
    brain::{EndWish, MindEvent, ThinkId, ThinkRequest, ToolRequest, ToolRunId},
    pipeline::{Dialogue, DialogueEffect, DialogueInput},
};

use crate::dice::Dice;

/// The turns that stand, with their words.
pub type Turns = Arc<Mutex<BTreeMap<u32, String>>>;

/// See the module's first line. Every word of an answer names its turn.
#[derive(Debug)]
pub struct Chatter {
    dice: Dice,
    turns: Turns,
    asked: Option<(u32, String)>,
    thinks: u64,
    effects: VecDeque<DialogueEffect>,
}

impl Chatter {
    /// A chatter of a seed, which enters the turns it is told.
    pub fn new(seed: u64, turns: Turns) -> Self {
        Self {
            dice: Dice::new(seed),
            turns,
            asked: None,
            thinks: 0,
            effects: VecDeque::new(),
        }
    }

    fn enter(&self, turn: u32, text: Option<&str>) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => turns.insert(turn, text.to_owned()),
            None => turns.remove(&turn),
        };
    }

    fn answer(&mut self, turn: u32, text: &str) {
        if text.contains("goodbye") {
            self.effects
                .push_back(DialogueEffect::End(EndWish::Goodbye));
            return;
        }
        match self.dice.roll(6) {
            0 => self.speak(&words(turn, 3), false),
            1 => self.speak(&words(turn, 5), true),
            2 => {
                let id = ToolRunId(format!("{turn}/1"));
                let request = ToolRequest {
                    id,
                    name: "look".into(),
                    arguments: serde_json::json!({}),
                };
                self.effects.push_back(DialogueEffect::RunTool(request));
            }
            _ => self.speak(&words(turn, 25), false),
        }
    }

    fn speak(&mut self, text: &str, protected: bool) {
        self.effects.push_back(DialogueEffect::Speak {
            text: text.into(),
            last: true,
            protected,
        });
    }

    fn ask(&mut self, turn: u32, text: String) {
        self.thinks += 1;
        self.asked = Some((turn, text));
        self.effects
            .push_back(DialogueEffect::Think(Box::new(ThinkRequest {
                id: ThinkId(self.thinks),
                provider: "played".into(),
                model: "played".into(),
                messages: Vec::new(),
                tools: Vec::new(),
                temperature: 0.0,
            })));
    }
}

/// An answer of so many words.
fn words(turn: u32, count: u32) -> String {
    let words: Vec<String> = (0..count)
        .map(|nth| format!("t{turn}w{nth}{}", if nth % 7 == 6 { "." } else { "" }))
        .collect();
    words.join(" ")
}

impl Dialogue for Chatter {
    fn handle(&mut self, _now: Duration, input: DialogueInput) {
        match input {
            DialogueInput::UserSeemsDone { turn, text, .. } if self.dice.chance(400) => {
                self.ask(turn, text)
            }
            DialogueInput::UserSaid { turn, text, .. } => {
                self.enter(turn, Some(&text));
                if self.asked.take() != Some((turn, text.clone())) {
                    self.answer(turn, &text);
                }
            }
            DialogueInput::UserWentOn { turn } => {
                self.enter(turn, None);
                self.asked = None;
            }
            DialogueInput::UserDigits { turn, .. } => self.speak(&words(turn, 4), false),
            DialogueInput::NotUnderstood { .. } => self.speak("Pardon?", false),
            DialogueInput::ToolResult(..) => {
                self.speak("It is done, thank you for waiting.", false)
            }
            DialogueInput::Mind(_, MindEvent::Delta(text)) => {
                self.effects.push_back(DialogueEffect::Speak {
                    text,
                    last: false,
                    protected: false,
                });
            }
            DialogueInput::Mind(_, MindEvent::Done) => self.speak("", false),
            DialogueInput::Begin(_)
            | DialogueInput::UserSeemsDone { .. }
            | DialogueInput::Idle { .. }
            | DialogueInput::Hint { .. }
            | DialogueInput::Heard { .. }
            | DialogueInput::Mind(_, MindEvent::ToolCall { .. } | MindEvent::Failed { .. }) => {}
        }
    }

    fn poll_effect(&mut self) -> Option<DialogueEffect> {
        self.effects.pop_front()
    }
}
