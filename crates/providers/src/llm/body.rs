//! The bytes of an answer: events of a stream, or one document where a server does not stream.

use super::sse;
use crate::{Class, ProviderError};

/// Largest answer that is not streamed, bytes.
const MAX_WHOLE: usize = 1 << 20;

/// The body of one response, in texts of JSON. Pure.
#[derive(Debug)]
pub(super) struct Body {
    provider: String,
    streamed: bool,
    events: sse::Reader,
    whole: Vec<u8>,
}

impl Body {
    pub(super) fn new(provider: &str, streamed: bool) -> Self {
        Self {
            provider: provider.to_owned(),
            streamed,
            events: sse::Reader::default(),
            whole: Vec::new(),
        }
    }

    /// More bytes; the texts that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, ProviderError> {
        if self.streamed {
            let events = self.events.push(bytes);
            return events.map_err(|error| self.too_long(&error.to_string()));
        }
        self.whole.extend_from_slice(bytes);
        match self.whole.len() > MAX_WHOLE {
            true => Err(self.too_long("the answer is too long")),
            false => Ok(Vec::new()),
        }
    }

    /// The bytes are over: what is left.
    pub(super) fn finish(&mut self) -> Result<Vec<String>, ProviderError> {
        if self.streamed {
            let events = self.events.finish();
            return events.map_err(|error| self.too_long(&error.to_string()));
        }
        let whole = std::mem::take(&mut self.whole);
        Ok(vec![String::from_utf8_lossy(&whole).into_owned()])
    }

    fn too_long(&self, why: &str) -> ProviderError {
        self.failed(Class::FailOver, why)
    }

    pub(super) fn failed(&self, class: Class, why: impl Into<String>) -> ProviderError {
        ProviderError::new(&self.provider, class, why)
    }

    /// The stream is not what it should be: the same request may do better.
    pub(super) fn broken(&self, why: &str) -> ProviderError {
        self.failed(Class::Retry { after: None }, why)
    }
}
