//! Responses of OpenAI: `POST {base}/responses`, streamed
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>).
//!
//! Nothing is kept at the server (`store = false`): what the caller heard is known here alone, and each request says all of it.

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

/// The row of the table.
pub const SPEC: LlmSpec = LlmSpec {
    kind: "openai-responses",
    open: |shared, entry| {
        Ok(Arc::new(Driven {
            wire: Arc::new(Responses::new(entry)?),
            egress: shared.egress.clone(),
        }))
    },
};

struct Responses {
    name: String,
    url: String,
    key: Option<String>,
    model: Option<String>,
}

impl Responses {
    fn new(entry: &Entry) -> Result<Self, ProviderError> {
        Ok(Self {
            name: entry.name.clone(),
            url: endpoint(entry, "responses")?,
            key: entry.key.clone().filter(|key| !key.is_empty()),
            model: entry.model.clone(),
        })
    }
}

impl Wire for Responses {
    fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, think: &ThinkRequest) -> Request {
        let request = Request::post(&self.url)
            .header("accept", "text/event-stream")
            .json(&body(think, model_of(&self.model, think)));
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
        refusal::refusal(&self.name, status, retry_after, body)
    }
}

#[cfg(test)]
mod tests;
