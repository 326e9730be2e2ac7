//! Brains.

pub mod script;

/// Why no Brain could be made for an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrainError {
    /// The built-in table of phrases is broken.
    #[error("the script's table of phrases cannot be read: {why}")]
    Phrases {
        /// The reader's words.
        why: String,
    },
}
