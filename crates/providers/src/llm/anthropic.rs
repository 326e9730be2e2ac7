//! Messages of Anthropic: `POST {base}/messages`, streamed
//! (<https://docs.anthropic.com/en/api/messages-streaming>).
//!
//! What differs from chat completions: instructions stand beside the messages, a conversation begins with the caller, speakers take
//! turns, what a tool gave is said by the caller, and arguments are JSON values.

mod read;
mod write;

use std::{sync::Arc, time::Duration};

use call_core::brain::ThinkRequest;
use egress::Request;

use super::{
    LlmSpec,
    drive::{Answer, Driven, Wire},
    endpoint, model_of, refusal,
};
use crate::{Entry, ProviderError};

pub use read::Reading;
pub use write::body;

/// The version of the interface that is spoken, as its header names it.
const VERSION: &str = "2023-06-01";

/// The row of the table.
pub const SPEC: LlmSpec = LlmSpec {
    kind: "anthropic",
    open: |shared, entry| {
        Ok(Arc::new(Driven {
            wire: Arc::new(Anthropic::new(entry)?),
            egress: shared.egress.clone(),
        }))
    },
};

struct Anthropic {
    name: String,
    url: String,
    key: Option<String>,
    model: Option<String>,
}

impl Anthropic {
    fn new(entry: &Entry) -> Result<Self, ProviderError> {
        Ok(Self {
            name: entry.name.clone(),
            url: endpoint(entry, "messages")?,
            key: entry.key.clone().filter(|key| !key.is_empty()),
            model: entry.model.clone(),
        })
    }
}

impl Wire for Anthropic {
    fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, think: &ThinkRequest) -> Request {
        let request = Request::post(&self.url)
            .header("accept", "text/event-stream")
            .header("anthropic-version", VERSION)
            .json(&body(think, model_of(&self.model, think)));
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    fn answer(&self, content_type: &str) -> Box<dyn Answer> {
        let streamed = !content_type.starts_with("application/json");
        Box::new(Reading::new(&self.name, streamed))
    }

    fn refusal(&self, status: u16, retry_after: Option<Duration>, body: &[u8]) -> ProviderError {
        refusal::refusal(&self.name, status, retry_after, body)
    }
}

#[cfg(test)]
mod tests;
