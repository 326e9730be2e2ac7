//! The conversation as a model is told it: the caller's words, what was heard of ours, and tools
//! with their results.

use call_core::brain::{ChatMessage, HistoryLine};

use super::Call;

/// Characters that are kept; the oldest lines go first.
const MAX_CHARS: usize = 48_000;
/// How an interruption is told to the model.
const INTERRUPTED: &str = " [the caller interrupted here]";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History(Vec<Line>);

#[derive(Debug, Clone, PartialEq)]
enum Line {
    Caller(String),
    Agent(String),
    Hint(String),
    Tools(Vec<Call>),
}

impl Line {
    fn chars(&self) -> usize {
        match self {
            Self::Caller(text) | Self::Agent(text) | Self::Hint(text) => text.len(),
            Self::Tools(calls) => calls
                .iter()
                .map(|call| call.arguments.len() + call.result.as_ref().map_or(0, String::len))
                .sum(),
        }
    }
}

impl History {
    /// The conversation of a Brain that broke.
    pub(super) fn from_lines(lines: &[HistoryLine]) -> Self {
        let mut history = Self::default();
        for line in lines {
            match line.agent {
                true => history.heard(&line.text, false),
                false => history.caller(&line.text),
            }
        }
        history
    }

    /// The caller's words.
    pub(super) fn caller(&mut self, text: &str) {
        self.0.push(Line::Caller(text.to_owned()));
        self.shorten();
    }

    /// What the business side tells us.
    pub(super) fn hint(&mut self, text: &str) {
        self.0.push(Line::Hint(text.to_owned()));
        self.shorten();
    }

    /// What was heard of ours; nothing when nothing was.
    pub(super) fn heard(&mut self, text: &str, interrupted: bool) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let end = if interrupted { INTERRUPTED } else { "" };
        match self.0.last_mut() {
            Some(Line::Agent(said)) => *said += &format!(" {text}{end}"),
            _ => self.0.push(Line::Agent(format!("{text}{end}"))),
        }
        self.shorten();
    }

    /// Tools that were asked for, all with their results.
    pub(super) fn tools(&mut self, calls: &[Call]) {
        self.0.push(Line::Tools(calls.to_vec()));
        self.shorten();
    }

    /// As messages.
    pub(super) fn messages(&self) -> Vec<ChatMessage> {
        self.0.iter().flat_map(messages).collect()
    }

    fn shorten(&mut self) {
        let mut chars: usize = self.0.iter().map(Line::chars).sum();
        while chars > MAX_CHARS && self.0.len() > 1 {
            chars -= self.0.remove(0).chars();
        }
    }
}

fn messages(line: &Line) -> Vec<ChatMessage> {
    match line {
        Line::Caller(text) => vec![ChatMessage::User(text.clone())],
        Line::Agent(text) => vec![ChatMessage::Assistant(text.clone())],
        Line::Hint(text) => vec![ChatMessage::System(text.clone())],
        Line::Tools(calls) => {
            let asked = calls.iter().map(|call| ChatMessage::ToolCall {
                model_call_id: call.model_call_id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            });
            let given = calls.iter().map(|call| ChatMessage::ToolResult {
                model_call_id: call.model_call_id.clone(),
                content: call.result.clone().unwrap_or_default(),
            });
            asked.chain(given).collect()
        }
    }
}
