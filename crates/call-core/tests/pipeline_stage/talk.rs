//! A dialogue made of a closure, with a log of what it was told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use call_core::pipeline::{Dialogue, DialogueEffect, DialogueInput, PipelineBrain, PipelineConfig};
use model::agent::AgentConfig;

use super::stage::Stage;

pub type Log = Arc<Mutex<Vec<DialogueInput>>>;

struct Talk<F> {
    log: Log,
    react: F,
    effects: VecDeque<DialogueEffect>,
}

impl<F: FnMut(&DialogueInput) -> Vec<DialogueEffect> + Send> Dialogue for Talk<F> {
    fn handle(&mut self, _now: Duration, input: DialogueInput) {
        self.effects.extend((self.react)(&input));
        self.log.lock().unwrap().push(input);
    }

    fn poll_effect(&mut self) -> Option<DialogueEffect> {
        self.effects.pop_front()
    }
}

pub fn config() -> PipelineConfig {
    let json = serde_json::json!({
        "display_name": "Ada",
        "greeting": "Hello, I'm Ada, {disclosure}. How can I help you today?",
        "farewell": "Goodbye.",
        "apology": "I am sorry, something is broken.",
        "brain": { "kind": "echo" },
    });
    let agent: AgentConfig = serde_json::from_value(json).unwrap();
    PipelineConfig::from(&agent)
}

/// A stage with a pipeline around the closure, before the call.
pub fn stage_of(
    config: PipelineConfig,
    react: impl FnMut(&DialogueInput) -> Vec<DialogueEffect> + Send + 'static,
) -> (Stage, Log) {
    let log = Log::default();
    let talk = Talk {
        log: log.clone(),
        react,
        effects: VecDeque::new(),
    };
    (
        Stage::new(Box::new(PipelineBrain::new(config, Box::new(talk)))),
        log,
    )
}

pub fn speak(text: &str) -> DialogueEffect {
    DialogueEffect::Speak {
        text: text.into(),
        last: true,
        protected: false,
    }
}

/// Says back what it was told, with some words more.
pub fn parrot(input: &DialogueInput) -> Vec<DialogueEffect> {
    match input {
        DialogueInput::UserSaid { text, .. } => vec![speak(&format!(
            "You said {text} Is there anything else that I can do for you?"
        ))],
        DialogueInput::UserDigits { digits, .. } => vec![speak(&format!("You pressed {digits}."))],
        _ => vec![],
    }
}

pub fn said_by_user(log: &Log) -> Vec<(u32, String)> {
    let log = log.lock().unwrap();
    log.iter()
        .filter_map(|input| match input {
            DialogueInput::UserSaid { turn, text, .. } => Some((*turn, text.clone())),
            _ => None,
        })
        .collect()
}
