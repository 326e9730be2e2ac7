//! Failures of providers, classified by what is to be done about them.

use std::time::Duration;

use egress::EgressError;
use local_speech::SpeechError;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same request may succeed a little later.
    Retry {
        /// Not before this has passed, where the provider says.
        after: Option<Duration>,
    },
    /// This provider will not do it; another may.
    FailOver,
    /// The request itself is wrong; nobody will do it.
    Fatal,
}

/// A provider failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {why}")]
pub struct ProviderError {
    /// The provider, as agents name it.
    pub provider: String,
    /// What to do about it.
    pub class: Class,
    /// One line for the timeline; holds no key and no words of a caller.
    pub why: String,
}

impl ProviderError {
    /// A failure.
    pub fn new(provider: &str, class: Class, why: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            class,
            why: why.into(),
        }
    }

    /// A provider that is not there.
    pub fn unknown(kind: &str, name: &str, known: &[&str]) -> Self {
        let why = format!(
            "there is no such {kind} provider; there are: {}",
            known.join(", ")
        );
        Self::new(name, Class::FailOver, why)
    }

    /// A failure of the way out.
    pub fn from_egress(provider: &str, error: &EgressError) -> Self {
        let class = match error.is_transient() {
            true => Class::Retry { after: None },
            false => Class::FailOver,
        };
        Self::new(provider, class, error.to_string())
    }

    /// A failure of the local models.
    pub fn from_speech(provider: &str, error: &SpeechError) -> Self {
        let class = match error {
            SpeechError::PoolFull { .. } | SpeechError::Panicked { .. } => {
                Class::Retry { after: None }
            }
            SpeechError::TextTooLong { .. } | SpeechError::Cancelled => Class::Fatal,
            _ => Class::FailOver,
        };
        Self::new(provider, class, error.to_string())
    }
}
