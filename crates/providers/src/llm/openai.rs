//! Chat completions of any OpenAI-compatible server: `POST {base}/chat/completions`, streamed
//! (<https://platform.openai.com/docs/api-reference/chat/streaming>).
//!
//! Quirks that are borne: CRLF, characters cut in two, no `[DONE]`, comments to keep the connection
//! alive, tool calls without index or with their id repeated, whole arguments at once or as JSON
//! values, answers that are not streamed though it was asked for, errors inside a stream.

mod read;
mod write;

use std::{sync::Arc, time::Duration};

use call_core::brain::ThinkRequest;
use egress::Request;
use serde_json::Value;

use super::{
    LlmSpec,
    drive::{Answer, Driven, Wire},
};
use crate::{Class, LlmEntry, ProviderError};

pub use read::Reading;
pub use write::body;

/// Longest message of a server that is shown.
const SHOWN: usize = 200;

/// The row of the table.
pub const SPEC: LlmSpec = LlmSpec {
    kind: "openai",
    open: |shared, entry| {
        let wire = OpenAi::new(entry)?;
        Ok(Arc::new(Driven {
            wire: Arc::new(wire),
            egress: shared.egress.clone(),
        }))
    },
};

struct OpenAi {
    name: String,
    url: String,
    key: Option<String>,
    model: Option<String>,
}

impl OpenAi {
    fn new(entry: &LlmEntry) -> Result<Self, ProviderError> {
        let base = entry.url.trim_end_matches('/');
        if base.is_empty() {
            let why = "no url is declared for it";
            return Err(ProviderError::new(&entry.name, Class::Fatal, why));
        }
        Ok(Self {
            name: entry.name.clone(),
            url: format!("{base}/chat/completions"),
            key: entry.key.clone().filter(|key| !key.is_empty()),
            model: entry.model.clone(),
        })
    }
}

impl Wire for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, think: &ThinkRequest) -> Request {
        let unnamed = think.model.is_empty() || think.model == "default";
        let own = self.model.as_deref().filter(|_| unnamed);
        let model = own.unwrap_or(&think.model);
        let request = Request::post(&self.url)
            .header("accept", "text/event-stream")
            .json(&body(think, model));
        match &self.key {
            Some(key) => request.bearer(key),
            None => request,
        }
    }

    fn answer(&self, content_type: &str) -> Box<dyn Answer> {
        let streamed = !content_type.starts_with("application/json");
        Box::new(Reading::new(&self.name, streamed))
    }

    fn refusal(&self, status: u16, retry_after: Option<Duration>, body: &[u8]) -> ProviderError {
        refusal(&self.name, status, retry_after, body)
    }
}

/// What a status and an error body mean.
pub fn refusal(
    name: &str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ProviderError {
    let error: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = text_at(&error, &["/error/code", "/error/type", "/code"]).unwrap_or_default();
    let spent = code.contains("insufficient_quota") || code.contains("billing");
    let class = match status {
        429 if spent => Class::FailOver,
        408 | 425 | 429 | 500..=599 => Class::Retry { after: retry_after },
        400 | 413 | 422 => Class::Fatal,
        _ => Class::FailOver,
    };
    let said = text_at(&error, &["/error/message", "/message", "/detail", "/error"]);
    let why = match said {
        Some(said) => format!("status {status}: {}", shown(&said)),
        None => format!("status {status}"),
    };
    ProviderError::new(name, class, why)
}

fn text_at(value: &Value, places: &[&str]) -> Option<String> {
    places
        .iter()
        .find_map(|place| value.pointer(place)?.as_str())
        .map(String::from)
}

/// A server's words, in one line, without control characters and not too long.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
