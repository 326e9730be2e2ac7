//! Speech without a key: detection, recognition and voices that run on this machine.
//!
//! * [`Ears`] – one call's listener: frames in, utterances out.
//! * [`Pool`] – the threads that turn utterances into text.
//! * [`Voices`] – text into sound, sentence by sentence, with the place of each word.
//! * [`Models`] – the one model set of a process, installed by `scripts/models`.
//! * [`wer`] – how well all that hears, measured on real prompts (`--example wer`).
//!
//! Nothing here reads the environment. One file speaks to each engine: `graph.rs` to
//! `rten`, `voices/kal.rs` to `flite-rs`, `voices/flite.rs` to the `flite` program.

mod ears;
mod error;
mod graph;
pub mod halfband;
mod models;
mod moonshine;
mod number_words;
mod pool;
mod silero;
pub mod voices;
pub mod wer;

pub use ears::{DecodeKind, DecodeRequest, EAR_FRAME, EarEvent, Ears, EarsConfig, UtteranceId};
pub use error::SpeechError;
pub use models::Models;
pub use moonshine::{ONE_WORD_MIN_SPEECH_MS, Transcript};
pub use pool::{Cancel, Outcome, Pool, PoolConfig, PoolCounters};
pub use voices::{
    BUILT_IN_VOICE, MAX_TEXT_BYTES, SampleRate, SayRequest, SpokenSentence, SpokenWord, Timing,
    Voices, VoicesConfig,
};
