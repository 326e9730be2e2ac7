//! What can go wrong in local speech, worded for the operator who reads it in a log.

use std::path::PathBuf;

/// Any failure of the local speech stack.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpeechError {
    /// A model file is not where it should be.
    #[error("speech model {file} is missing: run scripts/models (or point SIDETONE_MODELS at a filled folder)", file = .file.display())]
    MissingModel {
        /// The path that was looked at.
        file: PathBuf,
    },
    /// A model file is there but cannot be used.
    #[error(
        "speech model {model} cannot be used: {reason}; remove it and run scripts/models again"
    )]
    BadModel {
        /// Which of the models.
        model: &'static str,
        /// The reader's own words.
        reason: String,
    },
    /// A model refused its input.
    #[error("speech model {model} failed on a piece of sound: {reason}")]
    Inference {
        /// Which of the models.
        model: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// Too much work is waiting; the caller goes on without this piece.
    #[error("the {lane} queue of the speech pool is full ({limit} waiting)")]
    PoolFull {
        /// `finals`, `partials` or `voices`.
        lane: &'static str,
        /// Its bound, in jobs.
        limit: usize,
    },
    /// The call ended before its work was done.
    #[error("the call ended before this piece of speech work was done")]
    Cancelled,
    /// The job died; other jobs are unharmed.
    #[error("a speech job crashed and was given up: {reason}")]
    Panicked {
        /// The panic's message.
        reason: String,
    },
    /// Threads could not be started.
    #[error("speech threads could not be started: {reason}")]
    NoThreads {
        /// The system's own words.
        reason: String,
    },
    /// A frame of the wrong length was pushed into the ears.
    #[error("a listener frame must hold {expected} samples (20 ms at 16 kHz), not {got}")]
    FrameLength {
        /// Samples wanted.
        expected: usize,
        /// Samples given.
        got: usize,
    },
    /// No voice of that name.
    #[error("there is no local voice {name:?}; there are: {known}")]
    VoiceUnknown {
        /// The name asked for.
        name: String,
        /// The names that would do.
        known: String,
    },
    /// The text to speak is too long for one request.
    #[error("a text of {bytes} bytes is too long to speak at once (limit {limit})")]
    TextTooLong {
        /// Length given.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A voice failed on a sentence.
    #[error("the voice {name} failed: {reason}")]
    Voice {
        /// Which voice.
        name: String,
        /// What it said.
        reason: String,
    },
}
