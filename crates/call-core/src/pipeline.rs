//! The pipeline: recogniser, turn machine, dialogue and voice behind the one [`Brain`] contract.
//!
//! ```text
//! speech, words, digits, playout ──► PipelineBrain ── turn::TurnMachine   who has the floor
//!                                        │
//!                                        └────────── Dialogue             what is said
//! ```
//!
//! A [`Dialogue`] decides words and nothing else: when to speak, what was cut, fillers, apologies,
//! idle prompts, the greeting and the AI disclosure are the pipeline's. The first utterances are
//! given out while the phone still rings, so that the voice has rendered them by the answer.
//!
//! [`Brain`]: crate::brain::Brain

mod brain;
mod config;
mod dialogue;
mod digits;
mod echo;
mod flow;
mod mouth;
mod sentences;
mod work;

pub use brain::PipelineBrain;
pub use config::PipelineConfig;
pub use dialogue::{Dialogue, DialogueEffect, DialogueInput, DigitsWanted};
pub use echo::EchoBrain;
