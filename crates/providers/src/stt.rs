//! Speech to text: the contract, and the table of providers.
//!
//! Recognition is by utterance: one stretch of speech in, its words out. A provider that takes the
//! sound as it comes will be a second method here with a default that says so.

pub mod fake;
pub mod local;

use std::{future::Future, pin::Pin, sync::Arc};

use local_speech::{DecodeKind, DecodeRequest};

use crate::{ProviderError, Shared};

/// One row of the table.
pub struct SttSpec {
    /// As agents name it (`AgentConfig.stt.provider`).
    pub name: &'static str,
    /// Makes it; `Err` when what it needs is not there.
    pub open: fn(&Shared) -> Result<Arc<dyn Stt>, ProviderError>,
}

/// Every recogniser. Adding one is a file and a line here.
pub const ALL: &[SttSpec] = &[local::SPEC, fake::SPEC];

/// The kinds that the operator declares.
pub fn kinds() -> Vec<&'static str> {
    Vec::new()
}

/// A recogniser.
pub trait Stt: Send + Sync {
    /// Begins to recognise a stretch of speech. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When it is refused at once (too much is waiting).
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError>;
}

/// What the words are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HearKind {
    /// The speech goes on: words so far.
    Partial,
    /// The words of the whole stretch.
    Final,
}

/// One stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct HearRequest {
    /// 16 kHz mono, ±1.0.
    pub audio: Arc<[f32]>,
    /// What for.
    pub kind: HearKind,
    /// Call time of the first sample, ms.
    pub start_ms: u64,
    /// Call time after the last sample, ms.
    pub end_ms: u64,
    /// How much of it the detector took for speech, ms.
    pub speech_ms: u32,
}

impl From<&DecodeRequest> for HearRequest {
    /// Utterance and pass stay with the caller: results are told apart by who waits for them.
    fn from(request: &DecodeRequest) -> Self {
        Self {
            audio: request.audio.clone(),
            kind: match request.kind {
                DecodeKind::Partial => HearKind::Partial,
                DecodeKind::Final => HearKind::Final,
            },
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            speech_ms: request.speech_ms,
        }
    }
}

/// What was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The words; empty when there were none.
    pub text: String,
    /// 0 to 1, where the recogniser says.
    pub confidence: Option<f32>,
}

/// Recognition on its way; dropping it cancels.
pub struct Hearing(Pin<Box<dyn Future<Output = Result<Heard, ProviderError>> + Send>>);

impl Hearing {
    /// Wraps what a provider gives.
    pub fn new(work: impl Future<Output = Result<Heard, ProviderError>> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// The words.
    ///
    /// # Errors
    /// When recognition failed.
    pub async fn text(self) -> Result<Heard, ProviderError> {
        self.0.await
    }
}
