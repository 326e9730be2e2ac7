//! Text to speech: the contract, and the table of providers.

pub mod fake;
pub mod local;

use std::{ops::Range, sync::Arc};

use futures_util::{StreamExt, stream::BoxStream};
use model::transcript::Timing;

use crate::{Class, ProviderError, Shared};

/// One row of the table.
pub struct TtsSpec {
    /// As agents name it (`AgentConfig.voice.provider`).
    pub name: &'static str,
    /// Makes it; `Err` when what it needs is not there.
    pub open: fn(&Shared) -> Result<Arc<dyn Tts>, ProviderError>,
}

/// Every voice provider. Adding one is a file and a line here.
pub const ALL: &[TtsSpec] = &[local::SPEC, fake::SPEC];

/// A voice provider.
pub trait Tts: Send + Sync {
    /// Begins to speak. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When nothing will be spoken at all; later failures come as [`SpeechEvent::Failed`].
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError>;
    /// The voices it has now.
    fn voices(&self) -> Vec<String>;
}

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeakRequest {
    /// Source words, at most 4,000 bytes.
    pub text: String,
    /// One of the provider's voices.
    pub voice: String,
    /// Speaking rate, 0.5 slow to 2 fast; 1 is the voice's own.
    pub rate: f32,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub enum SpeechEvent {
    /// Where the words of the sound that follows will be.
    Plan(SpeechPlan),
    /// 8 kHz PCM16 mono.
    Audio(Arc<[i16]>),
    /// All was spoken.
    Done,
    /// No more will come.
    Failed(ProviderError),
}

/// Where the words of a piece of sound are.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechPlan {
    /// The words as they are spoken ("twelve dollars fifty").
    pub spoken_text: String,
    /// The piece's samples (8 kHz), counted from the start of the request.
    pub samples: Range<u64>,
    /// Its words in order.
    pub words: Vec<PlannedWord>,
    /// How well the places are known.
    pub timing: Timing,
}

/// One spoken word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWord {
    /// Bytes of the request's text; several spoken words may share one span.
    pub source: Range<usize>,
    /// Bytes of the plan's `spoken_text`.
    pub spoken: Range<usize>,
    /// Samples (8 kHz), counted from the start of the request.
    pub samples: Range<u64>,
}

/// Speech on its way. Pulled, so nothing piles up; dropping it cancels the rest. It ends in exactly
/// one [`SpeechEvent::Done`] or [`SpeechEvent::Failed`].
pub struct Speech {
    provider: &'static str,
    events: Option<BoxStream<'static, SpeechEvent>>,
}

impl Speech {
    /// Wraps what a provider gives.
    pub fn new(provider: &'static str, events: BoxStream<'static, SpeechEvent>) -> Self {
        Self {
            provider,
            events: Some(events),
        }
    }

    /// The next event; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<SpeechEvent> {
        let next = self.events.as_mut()?.next().await;
        let event = next.unwrap_or_else(|| {
            let class = Class::Retry { after: None };
            let why = "the voice broke off";
            SpeechEvent::Failed(ProviderError::new(self.provider, class, why))
        });
        if matches!(event, SpeechEvent::Done | SpeechEvent::Failed(_)) {
            self.events = None;
        }
        Some(event)
    }
}
