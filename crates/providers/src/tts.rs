//! Text to speech: the contract, and the table of providers.

mod chain;
mod drive;
pub mod elevenlabs;
pub mod fake;
pub mod local;
pub mod openai;
mod pcm;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use futures_util::{StreamExt, stream::BoxStream};
use model::transcript::Timing;

use crate::{Class, Entry, ProviderError, Shared, breaker::Breaker};
use chain::{Chain, Member};

/// The voice that stands in last of all.
const LAST: &str = local::NAME;

/// One row of the table.
pub struct TtsSpec {
    /// As the operator names it in his files (`kind`); what is built in, as agents name it
    /// (`AgentConfig.voice.provider`).
    pub kind: &'static str,
    /// It is there without an entry of the operator's.
    pub built_in: bool,
    /// Makes it, its fallbacks aside; `Err` when what it needs is not there.
    pub open: fn(&Shared, &Entry) -> Opened,
}

/// Every voice provider. Adding one is a file and a line here.
pub const ALL: &[TtsSpec] = &[
    local::SPEC,
    fake::SPEC,
    elevenlabs::SPEC,
    elevenlabs::HTTP,
    openai::SPEC,
];

/// The kinds that the operator declares.
pub fn kinds() -> Vec<&'static str> {
    let declared = ALL.iter().filter(|row| !row.built_in);
    declared.map(|row| row.kind).collect()
}

/// A voice provider.
pub trait Tts: Send + Sync {
    /// Begins to speak. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When nothing will be spoken at all; later failures come as [`SpeechEvent::Failed`].
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError>;
    /// The voices it has now; none when it cannot say.
    fn voices(&self) -> Vec<String>;
    /// A call may want this voice soon: what takes time is done now. Within a tokio runtime.
    fn warm(&self, _voice: &str) {}
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
    /// A voice failed, and another goes on where it broke off.
    Trouble(ProviderError),
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
    provider: String,
    events: Option<BoxStream<'static, SpeechEvent>>,
}

impl Speech {
    /// Wraps what a provider gives.
    pub fn new(provider: impl Into<String>, events: BoxStream<'static, SpeechEvent>) -> Self {
        Self {
            provider: provider.into(),
            events: Some(events),
        }
    }

    /// The next event; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<SpeechEvent> {
        let next = self.events.as_mut()?.next().await;
        let event = next.unwrap_or_else(|| {
            let class = Class::Retry { after: None };
            let why = "the voice broke off";
            SpeechEvent::Failed(ProviderError::new(&self.provider, class, why))
        });
        if matches!(event, SpeechEvent::Done | SpeechEvent::Failed(_)) {
            self.events = None;
        }
        Some(event)
    }
}

/// Opens every voice, with those behind it that go on where it breaks off.
pub(crate) fn open_all(
    shared: &Shared,
    entries: &[Entry],
) -> Result<BTreeMap<String, Opened>, ProviderError> {
    let mut alone: BTreeMap<String, Result<Member, ProviderError>> = BTreeMap::new();
    for row in ALL {
        let built_in = row.built_in.then(|| Entry::built_in(row.kind));
        let declared = entries.iter().filter(|entry| entry.kind == row.kind);
        for entry in built_in.iter().chain(declared) {
            let member = (row.open)(shared, entry).map(|tts| Member {
                name: entry.name.clone(),
                voice: entry.voice.clone(),
                tts,
                breaker: Arc::new(Breaker::default()),
            });
            alone.insert(entry.name.clone(), member);
        }
    }
    let voices = alone.iter().map(|(name, member)| {
        let entry = entries.iter().find(|entry| &entry.name == name);
        let behind = entry.map_or(&[][..], |entry| &entry.fallbacks);
        Ok((name.clone(), chained(member, behind, &alone)?))
    });
    voices.collect()
}

/// A voice, or why there is none.
pub type Opened = Result<Arc<dyn Tts>, ProviderError>;

fn chained(
    member: &Result<Member, ProviderError>,
    behind: &[String],
    alone: &BTreeMap<String, Result<Member, ProviderError>>,
) -> Result<Opened, ProviderError> {
    let mut row = match member {
        Ok(first) => vec![first.clone()],
        Err(error) => return Ok(Err(error.clone())),
    };
    for name in behind {
        let known: Vec<&str> = alone.keys().map(String::as_str).collect();
        let next = alone.get(name);
        let next = next.ok_or_else(|| ProviderError::unknown("fallback", name, &known))?;
        row.extend(next.clone().ok());
    }
    if row.iter().all(|member| member.name != LAST) {
        row.extend(alone.get(LAST).and_then(|last| last.clone().ok()));
    }
    Ok(Ok(match row.as_slice() {
        [only] => only.tts.clone(),
        _ => Arc::new(Chain(row)),
    }))
}
