//! The response's body: blocks of words and of tool calls.

use call_core::brain::MindEvent;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Class, ProviderError,
    llm::{body::Body, calls::Calls, drive::Answer, refusal::shown},
};

/// An event of the stream, or the whole message of an answer that is not streamed. Kinds that are not known are passed over, as the
/// interface asks.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    ContentBlockStart {
        index: usize,
        content_block: Block,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    Message {
        #[serde(default)]
        content: Vec<Block>,
    },
    MessageStop,
    Error {
        error: Fault,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// One answer being read. Pure.
pub struct Reading {
    body: Body,
    calls: Calls,
    over: bool,
}

impl Reading {
    /// A reader; `streamed` is false for a body that is one JSON document.
    pub fn new(provider: &str, streamed: bool) -> Self {
        Self {
            body: Body::new(provider, streamed),
            calls: Calls::default(),
            over: false,
        }
    }

    fn take_all(&mut self, texts: Vec<String>) -> Result<Vec<MindEvent>, ProviderError> {
        let mut out = Vec::new();
        for text in texts {
            if !text.trim().is_empty() && !self.over {
                let event = serde_json::from_str(&text).map_err(|_| {
                    let why = "an event of the stream is not the JSON that was expected";
                    self.body.broken(why)
                })?;
                self.take(event, &mut out)?;
            }
        }
        Ok(out)
    }

    fn take(&mut self, event: Event, out: &mut Vec<MindEvent>) -> Result<(), ProviderError> {
        match event {
            Event::ContentBlockStart {
                index,
                content_block,
            } => self.begin(index, content_block, out)?,
            Event::ContentBlockDelta { index, delta } => self.go_on(index, delta, out)?,
            Event::Message { content } => {
                for (index, block) in content.into_iter().enumerate() {
                    self.begin(index, block, out)?;
                }
                self.over = true;
            }
            Event::MessageStop => self.over = true,
            Event::Error { error } => return Err(self.failed(&error)),
            Event::Other => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        index: usize,
        block: Block,
        out: &mut Vec<MindEvent>,
    ) -> Result<(), ProviderError> {
        match block {
            Block::Text { text } => out.extend(delta(text)),
            Block::ToolUse { id, name, input } => {
                let at = self.calls.at(Some(index));
                let call = &mut self.calls.0[at];
                (call.id, call.name) = (id, name);
                // A stream begins with an empty object and sends the text of the arguments after it.
                if input.as_object().is_some_and(|input| !input.is_empty()) {
                    call.arguments = input.to_string();
                }
                self.calls.check(&self.body)?;
            }
            Block::Other => {}
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        index: usize,
        more: Delta,
        out: &mut Vec<MindEvent>,
    ) -> Result<(), ProviderError> {
        match more {
            Delta::Text { text } => out.extend(delta(text)),
            Delta::Arguments { partial_json } => {
                let at = self.calls.at(Some(index));
                self.calls.0[at].arguments.push_str(&partial_json);
                self.calls.check(&self.body)?;
            }
            Delta::Other => {}
        }
        Ok(())
    }

    fn failed(&self, error: &Fault) -> ProviderError {
        let class = match error.kind.as_str() {
            "overloaded_error" | "api_error" | "rate_limit_error" | "timeout_error" => {
                Class::Retry { after: None }
            }
            "invalid_request_error" | "request_too_large" => Class::Fatal,
            _ => Class::FailOver,
        };
        self.body.failed(class, shown(&error.message))
    }
}

fn delta(text: String) -> Option<MindEvent> {
    (!text.is_empty()).then_some(MindEvent::Delta(text))
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
        if !self.over {
            return Err(self.body.broken("the answer broke off"));
        }
        out.extend(self.calls.take());
        out.push(MindEvent::Done);
        Ok(out)
    }
}
