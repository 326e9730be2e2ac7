//! A full-duplex fake: a Brain that hears every frame and makes its own sound, as a
//! speech-to-speech model does. It needs no recogniser, no model and no voice.
//!
//! It answers each stretch of speech with one second of tone, and falls silent when the caller
//! speaks over it.

use std::{collections::VecDeque, time::Duration};

use call_core::brain::{Brain, BrainEffect, BrainInput, BrainNote, PlayoutKind, UtteranceId};

/// Rate of its sound.
const RATE_HZ: u32 = 8_000;
/// Length of an answer, samples.
const ANSWER: usize = 8_000;
/// Mean square above which a frame is speech (−40 dBov).
const LOUD: u64 = 107_374;
/// Length of a frame, ms.
const FRAME_MS: u64 = 20;

/// How it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullDuplexConfig {
    /// Speech that is worth an answer, ms.
    pub speech_ms: u64,
    /// Quiet after it, ms.
    pub quiet_ms: u64,
    /// Speech over its own sound that makes it stop, ms.
    pub yield_ms: u64,
}

impl Default for FullDuplexConfig {
    fn default() -> Self {
        Self {
            speech_ms: 200,
            quiet_ms: 400,
            yield_ms: 100,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct FullDuplexFake {
    config: FullDuplexConfig,
    effects: VecDeque<BrainEffect>,
    /// Of the stretch going on: its first sample's time, speech and quiet since, ms.
    onset_ms: Option<u64>,
    speech_ms: u64,
    quiet_ms: u64,
    speaking: bool,
    answers: u64,
    over: bool,
}

impl FullDuplexFake {
    /// A fake for one call.
    pub fn new(config: FullDuplexConfig) -> Self {
        Self {
            config,
            effects: VecDeque::new(),
            onset_ms: None,
            speech_ms: 0,
            quiet_ms: 0,
            speaking: false,
            answers: 0,
            over: false,
        }
    }

    fn frame(&mut self, at_ms: u64, pcm: &[i16]) {
        match is_loud(pcm) {
            true => self.loud(at_ms),
            false => self.quiet(at_ms),
        }
    }

    fn loud(&mut self, at_ms: u64) {
        let onset_ms = *self.onset_ms.get_or_insert(at_ms);
        self.speech_ms += FRAME_MS;
        self.quiet_ms = 0;
        if self.speaking && self.speech_ms >= self.config.yield_ms {
            self.speaking = false;
            self.effects.push_back(BrainEffect::Cut);
            let note = BrainNote::Interrupted { onset_ms };
            self.effects.push_back(BrainEffect::Note(note));
        }
    }

    fn quiet(&mut self, at_ms: u64) {
        self.quiet_ms += FRAME_MS;
        if self.onset_ms.is_none() || self.quiet_ms < self.config.quiet_ms {
            return;
        }
        let enough = self.speech_ms >= self.config.speech_ms;
        let speech_end_ms = (at_ms + FRAME_MS).saturating_sub(self.quiet_ms);
        (self.onset_ms, self.speech_ms) = (None, 0);
        if enough && !self.speaking {
            self.answer(speech_end_ms, at_ms);
        }
    }

    fn answer(&mut self, speech_end_ms: u64, decided_ms: u64) {
        self.answers += 1;
        self.speaking = true;
        let turn = u32::try_from(self.answers).unwrap_or(u32::MAX);
        self.effects
            .push_back(BrainEffect::Note(BrainNote::TurnTaken {
                turn,
                speech_end_ms,
                decided_ms,
            }));
        self.effects.push_back(BrainEffect::Sound {
            utterance: UtteranceId(self.answers),
            pcm: (0..ANSWER).map(tone).collect(),
            sample_rate_hz: RATE_HZ,
            last: true,
        });
    }
}

fn is_loud(pcm: &[i16]) -> bool {
    let sum: u64 = pcm.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum();
    sum / (pcm.len().max(1) as u64) > LOUD
}

/// 500 Hz: sixteen samples a turn.
fn tone(at: usize) -> i16 {
    let turn = at as f64 / 16.0 * std::f64::consts::TAU;
    (turn.sin() * 6_000.0) as i16
}

impl Brain for FullDuplexFake {
    fn handle(&mut self, _now: Duration, input: BrainInput) {
        match input {
            BrainInput::Prepare(_) => self.effects.push_back(BrainEffect::Ready),
            BrainInput::CallOver => {
                self.over = true;
                self.effects.clear();
            }
            _ if self.over => {}
            BrainInput::CallerFrame { at_ms, pcm } => self.frame(at_ms, &pcm),
            BrainInput::Playout(report) if report.utterance.0 == self.answers => {
                self.speaking &= !matches!(report.kind, PlayoutKind::Cut | PlayoutKind::Finished);
            }
            // It hears and speaks for itself: recognisers, voices, models and tools are not its.
            BrainInput::Answered
            | BrainInput::Hint { .. }
            | BrainInput::SpeechStarted { .. }
            | BrainInput::SpeechEnded { .. }
            | BrainInput::Partial { .. }
            | BrainInput::Final(_)
            | BrainInput::Digit { .. }
            | BrainInput::Hold(_)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `ms` of speech or quiet from `at` on; the time after it.
    fn feed(fake: &mut FullDuplexFake, at: u64, ms: u64, loud: bool) -> u64 {
        for frame in 0..ms / FRAME_MS {
            let level = if loud { 3_000 } else { 5 };
            let input = BrainInput::CallerFrame {
                at_ms: at + frame * FRAME_MS,
                pcm: vec![level; 320].into(),
            };
            fake.handle(Duration::ZERO, input);
        }
        at + ms
    }

    fn effects(fake: &mut FullDuplexFake) -> Vec<BrainEffect> {
        std::iter::from_fn(|| fake.poll_effect()).collect()
    }

    #[test]
    fn speech_is_answered_with_sound_and_speech_over_it_cuts() {
        let mut fake = FullDuplexFake::new(FullDuplexConfig::default());
        let at = feed(&mut fake, 0, 500, true);
        let at = feed(&mut fake, at, 380, false);
        assert_eq!(effects(&mut fake), []);
        let at = feed(&mut fake, at, 20, false);
        let told = effects(&mut fake);
        let [
            BrainEffect::Note(note),
            BrainEffect::Sound {
                utterance,
                pcm,
                last,
                ..
            },
        ] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert!(
            matches!(
                note,
                BrainNote::TurnTaken {
                    turn: 1,
                    speech_end_ms: 500,
                    ..
                }
            ),
            "{note:?}"
        );
        assert_eq!((utterance.0, pcm.len(), *last), (1, ANSWER, true));
        feed(&mut fake, at, 100, true);
        let told = effects(&mut fake);
        assert!(
            matches!(told[..], [BrainEffect::Cut, BrainEffect::Note(_)]),
            "{told:?}"
        );
    }

    #[test]
    fn a_click_is_not_answered_and_nothing_is_said_after_the_call() {
        let mut fake = FullDuplexFake::new(FullDuplexConfig::default());
        let at = feed(&mut fake, 0, 60, true);
        let at = feed(&mut fake, at, 1_000, false);
        assert_eq!(effects(&mut fake), []);
        fake.handle(Duration::ZERO, BrainInput::CallOver);
        let at = feed(&mut fake, at, 1_000, true);
        feed(&mut fake, at, 1_000, false);
        assert_eq!(effects(&mut fake), []);
    }
}
