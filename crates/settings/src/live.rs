//! The configuration in force, replaced whole or not at all.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Faults, Known, Server, Settings, load};

/// Hands out the configuration in force. Whoever holds one keeps it, however often it is reloaded.
#[derive(Debug)]
pub struct Live {
    current: RwLock<Arc<Settings>>,
}

impl Live {
    /// Starts with a checked configuration.
    pub fn new(settings: Settings) -> Live {
        Live {
            current: RwLock::new(Arc::new(settings)),
        }
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads everything anew. With any fault the old configuration stays in force.
    pub fn reload(
        &self,
        config: Option<&Path>,
        known: &Known<'_>,
    ) -> Result<Arc<Settings>, Faults> {
        let settings = Arc::new(load(config, known)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&settings);
        Ok(settings)
    }
}

/// The sections of the server file that differ and count only from the next start on.
pub fn at_next_start(old: &Server, new: &Server) -> Vec<&'static str> {
    let text = |part: &dyn std::fmt::Debug| format!("{part:?}");
    let sections: [(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug); 12] = [
        ("mode", &old.mode, &new.mode),
        ("node", &old.node, &new.node),
        ("control", &old.control, &new.control),
        ("data", &old.data, &new.data),
        ("recordings", &old.recordings, &new.recordings),
        ("http", &old.http, &new.http),
        ("ops", &old.ops, &new.ops),
        ("speech", &old.speech, &new.speech),
        ("llm", &old.llm, &new.llm),
        ("providers", &old.providers, &new.providers),
        ("media", &old.media, &new.media),
        ("journal", &old.journal, &new.journal),
    ];
    let differ = sections
        .iter()
        .filter(|(_, old, new)| text(*old) != text(*new));
    differ.map(|(name, ..)| *name).collect()
}
