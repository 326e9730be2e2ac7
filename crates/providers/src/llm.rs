//! Language models: the contract, and the table of providers.

pub mod anthropic;
mod body;
mod calls;
mod drive;
pub mod fake;
pub mod openai;
pub mod refusal;
pub mod responses;
pub mod sse;

use std::{collections::BTreeMap, sync::Arc};

use call_core::brain::{MindEvent, ThinkRequest};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::AbortHandle,
};

use crate::{Entry, ProviderError, Shared};

/// Events that may wait for a slow reader.
const WAITING: usize = 64;

/// What a row makes.
pub type Opened = Result<Arc<dyn Llm>, ProviderError>;

/// One row of the table.
pub struct LlmSpec {
    /// As the operator names it in his files (`kind`).
    pub kind: &'static str,
    /// Makes one for an entry, its fallbacks aside.
    pub open: fn(&Shared, &Entry) -> Opened,
}

/// Every kind of language model. Adding one is a file and a line here.
pub const ALL: &[LlmSpec] = &[openai::SPEC, responses::SPEC, anthropic::SPEC, fake::SPEC];

/// The kinds, as the operator names them.
pub fn kinds() -> Vec<&'static str> {
    ALL.iter().map(|row| row.kind).collect()
}

/// A language model.
pub trait Llm: Send + Sync {
    /// Begins to think. Call it within a tokio runtime.
    fn think(&self, request: ThinkRequest) -> Thinking;
}

/// Thought on its way. Bounded; dropping it cancels. It ends in exactly one [`MindEvent::Done`] or
/// [`MindEvent::Failed`].
pub struct Thinking {
    events: Option<Receiver<MindEvent>>,
    task: AbortHandle,
}

impl Thinking {
    /// Runs `work`, which writes its events and returns.
    pub(crate) fn run<F>(work: impl FnOnce(Sender<MindEvent>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tell, events) = channel(WAITING);
        Self {
            task: tokio::spawn(work(tell)).abort_handle(),
            events: Some(events),
        }
    }

    /// The next event; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<MindEvent> {
        let next = self.events.as_mut()?.recv().await;
        let event = next.unwrap_or_else(|| MindEvent::Failed {
            why: "the language model's task ended early".into(),
        });
        if matches!(event, MindEvent::Done | MindEvent::Failed { .. }) {
            self.events = None;
        }
        Some(event)
    }
}

impl Drop for Thinking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where an entry is asked: its base URL and the path of what it speaks.
fn endpoint(entry: &Entry, path: &str) -> Result<String, ProviderError> {
    Ok(format!("{}/{path}", entry.base()?))
}

/// The model to ask: the agent's, or the operator's where the agent leaves it open.
fn model_of<'a>(own: &'a Option<String>, think: &'a ThinkRequest) -> &'a str {
    let open = think.model.is_empty() || think.model == "default";
    own.as_deref().filter(|_| open).unwrap_or(&think.model)
}

/// Opens every entry, with its fallbacks behind it.
pub(crate) fn open_all(
    shared: &Shared,
    entries: &[Entry],
) -> Result<BTreeMap<String, Arc<dyn Llm>>, ProviderError> {
    let mut alone: BTreeMap<String, Arc<dyn Llm>> = BTreeMap::new();
    for entry in entries {
        let row = ALL.iter().find(|row| row.kind == entry.kind);
        let row =
            row.ok_or_else(|| ProviderError::unknown("language model", &entry.kind, &kinds()))?;
        alone.insert(entry.name.clone(), (row.open)(shared, entry)?);
    }
    let mut all = BTreeMap::new();
    for entry in entries {
        let names = std::iter::once(&entry.name).chain(&entry.fallbacks);
        let row: Result<Vec<_>, _> = names
            .map(|name| {
                let known: Vec<&str> = alone.keys().map(String::as_str).collect();
                let found = alone.get(name).cloned();
                found.ok_or_else(|| ProviderError::unknown("fallback", name, &known))
            })
            .collect();
        all.insert(entry.name.clone(), drive::with_fallbacks(row?));
    }
    Ok(all)
}
