//! Speech to text: the contract, and the table of providers.
//!
//! Recognition is by utterance: one stretch of speech in, its words out. A provider that takes the
//! sound as it comes will be a second method here with a default that says so.

mod chain;
pub mod deepgram;
pub mod fake;
pub mod local;
pub mod openai;

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use local_speech::{DecodeKind, DecodeRequest};

use crate::{Entry, ProviderError, Shared, breaker::Breaker};
use chain::{Chain, Member};

/// The recogniser that stands in last of all for those elsewhere.
const LAST: &str = local::NAME;

/// One row of the table.
pub struct SttSpec {
    /// As the operator names it in his files (`kind`); what is built in, as agents name it
    /// (`AgentConfig.stt.provider`).
    pub kind: &'static str,
    /// It is there without an entry of the operator's.
    pub built_in: bool,
    /// Makes it, its fallbacks aside; `Err` when what it needs is not there.
    pub open: fn(&Shared, &Entry) -> Opened,
}

/// A recogniser, or why there is none.
pub type Opened = Result<Arc<dyn Stt>, ProviderError>;

/// Every recogniser. Adding one is a file and a line here.
pub const ALL: &[SttSpec] = &[local::SPEC, fake::SPEC, deepgram::SPEC, openai::SPEC];

/// The kinds that the operator declares.
pub fn kinds() -> Vec<&'static str> {
    let declared = ALL.iter().filter(|row| !row.built_in);
    declared.map(|row| row.kind).collect()
}

/// A recogniser.
pub trait Stt: Send + Sync {
    /// Begins to recognise a stretch of speech. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When it is refused at once (too much is waiting).
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError>;
    /// A call may want it soon: what takes time is done now. Within a tokio runtime.
    fn warm(&self) {}
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
    /// Recognisers that failed before this one understood it.
    pub troubles: Vec<ProviderError>,
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

/// Opens every recogniser, with those behind it that hear what it does not.
pub(crate) fn open_all(
    shared: &Shared,
    entries: &[Entry],
) -> Result<BTreeMap<String, Opened>, ProviderError> {
    let mut alone: BTreeMap<String, Result<Member, ProviderError>> = BTreeMap::new();
    for row in ALL {
        let built_in = row.built_in.then(|| Entry::built_in(row.kind));
        let declared = entries.iter().filter(|entry| entry.kind == row.kind);
        for entry in built_in.iter().chain(declared) {
            let member = (row.open)(shared, entry).map(|stt| Member {
                name: entry.name.clone(),
                stt,
                breaker: Arc::new(Breaker::default()),
            });
            alone.insert(entry.name.clone(), member);
        }
    }
    let all = alone.iter().map(|(name, member)| {
        let entry = entries.iter().find(|entry| &entry.name == name);
        let opened = match (member, entry) {
            (Err(error), _) => Err(error.clone()),
            (Ok(only), None) => Ok(only.stt.clone()),
            (Ok(first), Some(entry)) => Ok(chained(first, &entry.fallbacks, &alone)?),
        };
        Ok((name.clone(), opened))
    });
    all.collect()
}

fn chained(
    first: &Member,
    behind: &[String],
    alone: &BTreeMap<String, Result<Member, ProviderError>>,
) -> Result<Arc<dyn Stt>, ProviderError> {
    let mut row = vec![first.clone()];
    for name in behind {
        let known: Vec<&str> = alone.keys().map(String::as_str).collect();
        let next = alone.get(name);
        let next = next.ok_or_else(|| ProviderError::unknown("fallback", name, &known))?;
        row.extend(next.clone().ok());
    }
    if row.iter().all(|member| member.name != LAST) {
        row.extend(alone.get(LAST).and_then(|last| last.clone().ok()));
    }
    Ok(Arc::new(Chain(row)))
}
