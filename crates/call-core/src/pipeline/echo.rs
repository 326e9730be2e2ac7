//! The Brain that says what it hears.

use std::{collections::VecDeque, time::Duration};

use crate::brain::{Brain, BrainEffect, BrainInput, UtteranceId};

/// Rate of the frames a Brain gets.
const FRAME_RATE_HZ: u32 = 16_000;
/// Effects that wait for an actor that does not drain them; the oldest frames go.
const MAX_WAITING: usize = 50;

/// Returns every frame of the caller as its own sound, one utterance from the answer to the end
/// of the call. For load tests: all of an agent's path without any model.
#[derive(Debug, Default)]
pub struct EchoBrain {
    answered: bool,
    effects: VecDeque<BrainEffect>,
}

impl EchoBrain {
    /// A brain before the answer.
    pub fn new() -> Self {
        Self::default()
    }

    fn reflect(&mut self, pcm: Box<[i16]>, last: bool) {
        if self.effects.len() >= MAX_WAITING {
            self.effects.pop_front();
        }
        self.effects.push_back(BrainEffect::Sound {
            utterance: UtteranceId(1),
            pcm,
            sample_rate_hz: FRAME_RATE_HZ,
            last,
        });
    }
}

impl Brain for EchoBrain {
    fn handle(&mut self, _now: Duration, input: BrainInput) {
        match input {
            BrainInput::Prepare(_) => self.effects.push_back(BrainEffect::Ready),
            BrainInput::Answered => {
                self.answered = true;
                self.effects.push_back(BrainEffect::ArmReflex(false));
            }
            BrainInput::CallerFrame { pcm, .. } if self.answered => self.reflect(pcm, false),
            BrainInput::CallOver if self.answered => {
                self.answered = false;
                self.reflect(Box::default(), true);
            }
            BrainInput::CallerFrame { .. }
            | BrainInput::Hint { .. }
            | BrainInput::CallOver
            | BrainInput::Hold(_)
            | BrainInput::SpeechStarted { .. }
            | BrainInput::SpeechEnded { .. }
            | BrainInput::Partial { .. }
            | BrainInput::Final(_)
            | BrainInput::Digit { .. }
            | BrainInput::Playout(_)
            | BrainInput::Heard { .. }
            | BrainInput::Mind(..)
            | BrainInput::ToolResult(..)
            | BrainInput::VoiceFailed { .. }
            | BrainInput::EarsFailed { .. } => {}
        }
    }

    fn poll_effect(&mut self) -> Option<BrainEffect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    fn handle_timeout(&mut self, _now: Duration) {}

    fn wants_frames(&self) -> bool {
        true
    }
}
