//! The response's body: fragments of words and of tool calls.

use call_core::brain::MindEvent;
use serde::Deserialize;
use serde_json::Value;

use super::shown;
use crate::{
    Class, ProviderError,
    llm::{drive::Answer, sse},
};

/// Most tools one answer may ask for.
const MAX_CALLS: usize = 8;
/// Longest arguments of one tool, bytes.
const MAX_ARGUMENTS: usize = 16 * 1_024;
/// Largest answer that is not streamed, bytes.
const MAX_WHOLE: usize = 1 << 20;

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// `message` in an answer that is not streamed.
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Fragment>>,
}

#[derive(Deserialize)]
struct Fragment {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Function,
}

#[derive(Deserialize, Default)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<usize>,
    id: String,
    name: String,
    arguments: String,
}

/// One answer being read. Pure.
pub struct Reading {
    provider: String,
    streamed: bool,
    events: sse::Reader,
    whole: Vec<u8>,
    calls: Vec<Call>,
    finished: bool,
    over: bool,
}

impl Reading {
    /// A reader; `streamed` is false for a body that is one JSON document.
    pub fn new(provider: &str, streamed: bool) -> Self {
        Self {
            provider: provider.to_owned(),
            streamed,
            events: sse::Reader::default(),
            whole: Vec::new(),
            calls: Vec::new(),
            finished: false,
            over: false,
        }
    }

    fn failed(&self, class: Class, why: impl Into<String>) -> ProviderError {
        ProviderError::new(&self.provider, class, why)
    }

    fn broken(&self, why: &str) -> ProviderError {
        self.failed(Class::Retry { after: None }, why)
    }

    fn take(&mut self, data: &str, out: &mut Vec<MindEvent>) -> Result<(), ProviderError> {
        let data = data.trim();
        if data == "[DONE]" {
            (self.over, self.finished) = (true, true);
        }
        if data.is_empty() || self.over {
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|_| self.broken("an event of the stream is not the JSON that was expected"))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let said = error.get("message").unwrap_or(&error);
            let said = said.as_str().map_or_else(|| said.to_string(), String::from);
            return Err(self.broken(&shown(&said)));
        }
        for choice in chunk.choices.into_iter().take(1) {
            self.take_choice(choice, out)?;
        }
        Ok(())
    }

    fn take_choice(
        &mut self,
        choice: Choice,
        out: &mut Vec<MindEvent>,
    ) -> Result<(), ProviderError> {
        let delta = choice.delta.unwrap_or(Delta {
            content: None,
            tool_calls: None,
        });
        let text = delta.content.filter(|text| !text.is_empty());
        out.extend(text.map(MindEvent::Delta));
        for fragment in delta.tool_calls.unwrap_or_default() {
            self.take_fragment(fragment)?;
        }
        self.finished |= choice
            .finish_reason
            .is_some_and(|reason| !reason.is_empty());
        Ok(())
    }

    fn take_fragment(&mut self, fragment: Fragment) -> Result<(), ProviderError> {
        let at = self.call_of(&fragment);
        if at >= MAX_CALLS {
            return Err(self.failed(Class::Fatal, "the answer asks for too many tools"));
        }
        let call = &mut self.calls[at];
        if let Some(id) = fragment.id.filter(|_| call.id.is_empty()) {
            call.id = id;
        }
        if let Some(name) = fragment.function.name.filter(|_| call.name.is_empty()) {
            call.name = name;
        }
        match fragment.function.arguments {
            Some(Value::String(part)) => call.arguments.push_str(&part),
            Some(Value::Null) | None => {}
            Some(whole) => call.arguments = whole.to_string(),
        }
        match call.arguments.len() > MAX_ARGUMENTS {
            true => Err(self.failed(Class::Fatal, "the arguments of a tool are too long")),
            false => Ok(()),
        }
    }

    /// Which call a fragment belongs to: by index, else by id, else the last; a new one otherwise.
    fn call_of(&mut self, fragment: &Fragment) -> usize {
        let named = |call: &Call| fragment.id.as_deref().is_some_and(|id| id == call.id);
        let found = match (fragment.index, &fragment.id) {
            (Some(index), _) => self.calls.iter().position(|call| call.index == Some(index)),
            (None, Some(_)) => self.calls.iter().position(named),
            (None, None) => self.calls.len().checked_sub(1),
        };
        found.unwrap_or_else(|| {
            self.calls.push(Call {
                index: fragment.index,
                ..Call::default()
            });
            self.calls.len() - 1
        })
    }

    fn take_all(
        &mut self,
        events: Result<Vec<String>, sse::TooLong>,
    ) -> Result<Vec<MindEvent>, ProviderError> {
        let events = events.map_err(|error| self.failed(Class::FailOver, error.to_string()))?;
        let mut out = Vec::new();
        for data in events {
            self.take(&data, &mut out)?;
        }
        Ok(out)
    }

    fn tools(&mut self) -> Vec<MindEvent> {
        let calls = std::mem::take(&mut self.calls).into_iter().enumerate();
        calls
            .filter(|(_, call)| !call.name.is_empty())
            .map(|(at, call)| MindEvent::ToolCall {
                model_call_id: or(call.id, &format!("call_{at}")),
                name: call.name,
                arguments: or(call.arguments, "{}"),
            })
            .collect()
    }
}

fn or(text: String, otherwise: &str) -> String {
    match text.trim().is_empty() {
        true => otherwise.to_owned(),
        false => text,
    }
}

impl Answer for Reading {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<MindEvent>, ProviderError> {
        if self.streamed {
            let events = self.events.push(bytes);
            return self.take_all(events);
        }
        self.whole.extend_from_slice(bytes);
        match self.whole.len() > MAX_WHOLE {
            true => Err(self.failed(Class::FailOver, "the answer is too long")),
            false => Ok(Vec::new()),
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(&mut self) -> Result<Vec<MindEvent>, ProviderError> {
        let mut out = if self.streamed {
            let events = self.events.finish();
            self.take_all(events)?
        } else {
            let whole = String::from_utf8_lossy(&std::mem::take(&mut self.whole)).into_owned();
            let mut out = Vec::new();
            self.take(&whole, &mut out)?;
            out
        };
        if !self.finished {
            return Err(self.broken("the answer broke off"));
        }
        out.extend(self.tools());
        out.push(MindEvent::Done);
        Ok(out)
    }
}
