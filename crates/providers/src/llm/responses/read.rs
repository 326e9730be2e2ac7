//! The response's body: typed events, or one document.

use call_core::brain::MindEvent;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Class, ProviderError,
    llm::{
        body::Body,
        calls::{Call, Calls},
        drive::Answer,
        refusal::shown,
    },
};

/// An event of the stream; kinds that are not known are passed over.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    /// What the model will not do it says in words of its own kind: the caller hears them all the same.
    #[serde(
        rename = "response.output_text.delta",
        alias = "response.refusal.delta"
    )]
    Text { delta: String },
    #[serde(rename = "response.output_item.done")]
    Item { item: Item },
    /// An answer that was cut short by its length is an answer.
    #[serde(rename = "response.completed", alias = "response.incomplete")]
    Over,
    #[serde(rename = "response.failed")]
    Failed { response: Value },
    #[serde(rename = "error")]
    Error(Value),
    #[serde(other)]
    Other,
}

/// A whole answer, where a server does not stream.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    output: Vec<Item>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    FunctionCall {
        call_id: String,
        name: String,
        #[serde(default)]
        arguments: String,
    },
    Message {
        #[serde(default)]
        content: Vec<Part>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

/// One answer being read. Pure.
pub struct Reading {
    body: Body,
    streamed: bool,
    calls: Calls,
    over: bool,
}

impl Reading {
    /// A reader; `streamed` is false for a body that is one JSON document.
    pub fn new(provider: &str, streamed: bool) -> Self {
        Self {
            body: Body::new(provider, streamed),
            streamed,
            calls: Calls::default(),
            over: false,
        }
    }

    fn take_all(&mut self, texts: Vec<String>) -> Result<Vec<MindEvent>, ProviderError> {
        let mut out = Vec::new();
        for text in texts {
            let text = text.trim();
            if text.is_empty() || text == "[DONE]" || self.over {
                continue;
            }
            match self.streamed {
                true => self.take(text, &mut out)?,
                false => self.take_whole(text, &mut out)?,
            }
        }
        Ok(out)
    }

    fn take(&mut self, text: &str, out: &mut Vec<MindEvent>) -> Result<(), ProviderError> {
        match serde_json::from_str(text).map_err(|_| self.unexpected())? {
            Event::Text { delta } => out.extend(words(delta)),
            Event::Item { item } => self.take_call(item)?,
            Event::Over => self.over = true,
            Event::Failed { response } => return Err(self.failed(&response["error"])),
            Event::Error(error) => return Err(self.failed(&error)),
            Event::Other => {}
        }
        Ok(())
    }

    fn take_whole(&mut self, text: &str, out: &mut Vec<MindEvent>) -> Result<(), ProviderError> {
        let whole: Whole = serde_json::from_str(text).map_err(|_| self.unexpected())?;
        if whole.status.as_deref() == Some("failed") || whole.error.is_object() {
            return Err(self.failed(&whole.error));
        }
        for item in whole.output {
            if let Item::Message { content } = &item {
                out.extend(content.iter().filter_map(|part| match part {
                    Part::OutputText { text } | Part::Refusal { refusal: text } => {
                        words(text.clone())
                    }
                    Part::Other => None,
                }));
            }
            self.take_call(item)?;
        }
        self.over = true;
        Ok(())
    }

    fn take_call(&mut self, item: Item) -> Result<(), ProviderError> {
        if let Item::FunctionCall {
            call_id,
            name,
            arguments,
        } = item
        {
            self.calls.0.push(Call {
                index: None,
                id: call_id,
                name,
                arguments,
            });
            self.calls.check(&self.body)?;
        }
        Ok(())
    }

    fn unexpected(&self) -> ProviderError {
        let why = "an event of the stream is not the JSON that was expected";
        self.body.broken(why)
    }

    fn failed(&self, error: &Value) -> ProviderError {
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        let class = match text("code") {
            "insufficient_quota" | "invalid_api_key" | "model_not_found" => Class::FailOver,
            "invalid_prompt" | "context_length_exceeded" => Class::Fatal,
            _ => Class::Retry { after: None },
        };
        self.body.failed(class, shown(text("message")))
    }
}

fn words(text: String) -> Option<MindEvent> {
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
