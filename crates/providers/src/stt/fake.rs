//! A recogniser that hears what its script says.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{HearKind, HearRequest, Heard, Hearing, Stt, SttSpec};
use crate::{Class, ProviderError};

const NAME: &str = "fake";

/// The row of the table.
pub const SPEC: SttSpec = SttSpec {
    kind: NAME,
    built_in: true,
    open: |shared, _| Ok(shared.fakes.stt.clone()),
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It refuses every stretch at once.
    Refuse(Class),
    /// It never answers.
    Hang,
    /// It fails after its delay.
    Fail(Class),
}

/// How a fake recogniser behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeEars {
    /// Time to an answer (tokio time).
    pub delay: Duration,
    /// What the stretches turn out to be, in turn; then the last again.
    pub texts: Vec<String>,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
}

impl Default for FakeEars {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(60),
            texts: vec!["hello".into()],
            fault: None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct FakeStt {
    ears: FakeEars,
    heard: AtomicUsize,
}

impl FakeStt {
    /// A recogniser that behaves so.
    pub fn new(ears: FakeEars) -> Self {
        Self {
            ears,
            heard: AtomicUsize::new(0),
        }
    }

    /// Final stretches it was given.
    pub fn finals(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    fn text(&self, kind: HearKind) -> String {
        let at = match kind {
            HearKind::Final => self.heard.fetch_add(1, Ordering::Relaxed),
            HearKind::Partial => self.heard.load(Ordering::Relaxed),
        };
        let last = self.ears.texts.last();
        self.ears
            .texts
            .get(at)
            .or(last)
            .cloned()
            .unwrap_or_default()
    }
}

impl Stt for FakeStt {
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        let error = |class| ProviderError::new(NAME, class, "failed by script");
        if let Some(Fault::Refuse(class)) = self.ears.fault {
            return Err(error(class));
        }
        let (delay, fault, text) = (self.ears.delay, self.ears.fault, self.text(request.kind));
        Ok(Hearing::new(async move {
            tokio::time::sleep(delay).await;
            match fault {
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Fail(class)) => Err(error(class)),
                Some(Fault::Refuse(_)) | None => Ok(Heard {
                    text,
                    confidence: Some(0.9),
                    troubles: Vec::new(),
                }),
            }
        }))
    }
}
