//! The response's body: fragments of words and of tool calls.

use call_core::brain::MindEvent;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ProviderError,
    llm::{
        body::Body,
        calls::{Call, Calls},
        drive::Answer,
        refusal::shown,
    },
};

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

/// One answer being read. Pure.
pub struct Reading {
    body: Body,
    calls: Calls,
    finished: bool,
    over: bool,
}

impl Reading {
    /// A reader; `streamed` is false for a body that is one JSON document.
    pub fn new(provider: &str, streamed: bool) -> Self {
        Self {
            body: Body::new(provider, streamed),
            calls: Calls::default(),
            finished: false,
            over: false,
        }
    }

    fn take(&mut self, data: &str, out: &mut Vec<MindEvent>) -> Result<(), ProviderError> {
        let data = data.trim();
        if data == "[DONE]" {
            (self.over, self.finished) = (true, true);
        }
        if data.is_empty() || self.over {
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| {
            self.body
                .broken("an event of the stream is not the JSON that was expected")
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let said = error.get("message").unwrap_or(&error);
            let said = said.as_str().map_or_else(|| said.to_string(), String::from);
            return Err(self.body.broken(&shown(&said)));
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
        let call = &mut self.calls.0[at];
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
        self.calls.check(&self.body)
    }

    /// Which call a fragment belongs to: by index, else by id, else the last; a new one otherwise.
    fn call_of(&mut self, fragment: &Fragment) -> usize {
        let named = |call: &Call| fragment.id.as_deref().is_some_and(|id| id == call.id);
        let found = match (fragment.index, &fragment.id) {
            (Some(index), _) => return self.calls.at(Some(index)),
            (None, Some(_)) => self.calls.0.iter().position(named),
            (None, None) => self.calls.0.len().checked_sub(1),
        };
        found.unwrap_or_else(|| self.calls.begin(None))
    }

    fn take_all(&mut self, texts: Vec<String>) -> Result<Vec<MindEvent>, ProviderError> {
        let mut out = Vec::new();
        for data in texts {
            self.take(&data, &mut out)?;
        }
        Ok(out)
    }
}

impl Answer for Reading {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<MindEvent>, ProviderError> {
        let texts = self.body.push(bytes)?;
        self.take_all(texts)
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(&mut self) -> Result<Vec<MindEvent>, ProviderError> {
        let texts = self.body.finish()?;
        let mut out = self.take_all(texts)?;
        if !self.finished {
            return Err(self.body.broken("the answer broke off"));
        }
        out.extend(self.calls.take());
        out.push(MindEvent::Done);
        Ok(out)
    }
}
