//! One caller's listener: from 20 ms frames to utterances ready for the recogniser.
//!
//! A machine without threads or clock. The neural detector runs only while the cheap gate
//! calls a frame a candidate, and while somebody speaks. Sound before the first sign of
//! speech (`pre_roll_ms`) and after its last (`end_ms`) belongs to the utterance, so that
//! neither head nor tail is lost.
//!
//! An utterance that ended may go on: if the caller speaks again within `merge_ms` it
//! resumes, and its next pass covers the whole. [`EarEvent::Closed`] says that this is over.

mod line;
mod track;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::SpeechError;
use crate::models::Models;
use crate::silero::{VAD_FRAME, Vad};
use line::{Line, PER_MS};
use track::Track;

/// Samples of one frame: 20 ms at 16 kHz.
pub const EAR_FRAME: usize = 320;
/// A hole in the frames up to this length is filled with silence; a longer one ends the utterance.
const MAX_HOLE_MS: u64 = 1000;
/// Frames come one after the other, and their times wander with the clocks of network and tick: so
/// much of it is no hole. Silence put in its place would stand in the middle of words.
const SLACK_MS: u64 = 80;
/// The detector stays awake this long after the last candidate.
const AWAKE_MS: u64 = 400;
/// Partials are at least this part of the utterance's length apart: 1 s after 6 s of speech.
const PARTIAL_SHARE: u64 = 6;
/// Detector frames in a row that must vote for an onset, and how many of them must agree.
const ONSET_WINDOW: u32 = 3;
const ONSET_VOTES: u32 = 2;

/// How a listener decides. The defaults are tuned on the prompt corpus (`--example wer`).
#[derive(Debug, Clone, Copy)]
pub struct EarsConfig {
    /// Quiet before [`EarEvent::SpeechEnded`], ms.
    pub end_ms: u32,
    /// Quiet after which an ended utterance closes, ms; below `end_ms` it closes at its end.
    pub merge_ms: u32,
    /// Sound kept from before the first sign of speech, ms.
    pub pre_roll_ms: u32,
    /// Least time between partial passes while somebody speaks, ms; 0 = none. It widens as the
    /// utterance grows.
    pub partial_ms: u32,
    /// Longer speech is cut at its quietest point, ms.
    pub max_utterance_ms: u32,
    /// Beyond this length an utterance closes at its first pause, ms.
    pub settle_ms: u32,
    /// Detector score (0 to 1) that speaks for an onset.
    pub onset: f32,
    /// Detector score below which speech is taken to pause.
    pub offset: f32,
}

impl Default for EarsConfig {
    fn default() -> Self {
        EarsConfig {
            end_ms: 240,
            merge_ms: 900,
            pre_roll_ms: 320,
            partial_ms: 500,
            max_utterance_ms: 25_000,
            settle_ms: 15_000,
            onset: 0.5,
            offset: 0.35,
        }
    }
}

/// An utterance of one call: 1, 2, 3 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtteranceId(pub u32);

/// Why a recognition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeKind {
    /// The caller is still speaking; may be dropped under load.
    Partial,
    /// The caller paused: this text counts unless the utterance resumes.
    Final,
}

/// One piece of sound for [`crate::Pool::transcribe`].
#[derive(Debug, Clone)]
pub struct DecodeRequest {
    /// The utterance it belongs to.
    pub utterance: UtteranceId,
    /// Rises within an utterance; a result older than the newest is of no use.
    pub pass: u32,
    /// Partial or final.
    pub kind: DecodeKind,
    /// 16 kHz, ±1.0.
    pub audio: Arc<[f32]>,
    /// Call time of the first sample, ms.
    pub start_ms: u64,
    /// Call time after the last sample, ms.
    pub end_ms: u64,
    /// How much of it the detector took for speech, ms.
    pub speech_ms: u32,
}

/// What a listener has to say.
#[derive(Debug, Clone)]
pub enum EarEvent {
    /// Somebody speaks, confirmed by the neural detector.
    SpeechStarted {
        /// The new utterance.
        utterance: UtteranceId,
        /// Where the speech began (before now), ms of call time.
        at_ms: u64,
    },
    /// Sound to recognise; hand it to the pool.
    Decode(DecodeRequest),
    /// `end_ms` of quiet have passed. The final pass follows at once.
    SpeechEnded {
        /// The utterance.
        utterance: UtteranceId,
        /// Where the speech ended (before now), ms of call time.
        at_ms: u64,
        /// Speech in it so far, ms.
        speech_ms: u32,
        /// The pass that will carry its text.
        pass: u32,
    },
    /// The caller goes on: the text of earlier passes is void, a later pass covers the whole.
    SpeechResumed {
        /// The utterance.
        utterance: UtteranceId,
        /// Where the speech resumed, ms of call time.
        at_ms: u64,
    },
    /// Nothing will be added: the text of `pass` is the transcript of this utterance.
    Closed {
        /// The utterance.
        utterance: UtteranceId,
        /// The pass that carries its text.
        pass: u32,
        /// Where the speech began, ms of call time.
        start_ms: u64,
        /// Where the speech ended, ms of call time.
        end_ms: u64,
        /// Speech in it, ms.
        speech_ms: u32,
    },
}

/// What scores 32 ms of sound; the tests put a scripted one in the detector's place.
pub(crate) trait Scorer: Send {
    fn score(&mut self, frame: &[f32; VAD_FRAME]) -> Result<f32, SpeechError>;
    fn reset(&mut self);
}

impl Scorer for Vad {
    fn score(&mut self, frame: &[f32; VAD_FRAME]) -> Result<f32, SpeechError> {
        Vad::score(self, frame)
    }

    fn reset(&mut self) {
        Vad::reset(self);
    }
}

/// Where the listener stands.
enum Phase {
    Quiet,
    Speaking(Track),
    /// Ended, not closed: it may resume.
    Lingering(Track),
}

/// One call's listener.
pub struct Ears {
    config: EarsConfig,
    scorer: Box<dyn Scorer>,
    line: Line,
    phase: Phase,
    /// Sample number up to which the detector has listened.
    scored: u64,
    /// Sample number before which sound belongs to a closed utterance.
    spent: u64,
    awake_until: u64,
    /// The last detector votes, newest in bit 0.
    votes: u32,
    utterances: u32,
    started: bool,
    events: VecDeque<EarEvent>,
}

impl Ears {
    /// A listener for one call; cheap once the models are loaded.
    pub fn new(models: &Arc<Models>, config: EarsConfig) -> Result<Ears, SpeechError> {
        Ok(Ears::with_scorer(Box::new(models.vad()?), config))
    }

    pub(crate) fn with_scorer(scorer: Box<dyn Scorer>, config: EarsConfig) -> Ears {
        Ears {
            config,
            scorer,
            line: Line::new(),
            phase: Phase::Quiet,
            scored: 0,
            spent: 0,
            awake_until: 0,
            votes: 0,
            utterances: 0,
            started: false,
            events: VecDeque::new(),
        }
    }

    /// Hears one frame: [`EAR_FRAME`] samples whose first was at `at_ms` of call time;
    /// `candidate` is the cheap gate's word for it. Missing frames are heard as silence.
    pub fn push(&mut self, frame: &[i16], at_ms: u64, candidate: bool) -> Result<(), SpeechError> {
        if frame.len() != EAR_FRAME {
            return Err(SpeechError::FrameLength {
                expected: EAR_FRAME,
                got: frame.len(),
            });
        }
        self.align(at_ms);
        self.line.append(frame);
        if candidate {
            self.awake_until = self.line.end() + AWAKE_MS * PER_MS;
        }
        self.listen()?;
        self.forget();
        Ok(())
    }

    /// The next thing to report, oldest first.
    pub fn poll_event(&mut self) -> Option<EarEvent> {
        self.events.pop_front()
    }

    /// The turn was taken: an utterance that ended closes now, later speech is a new one.
    /// Speech in progress goes on.
    pub fn close(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Quiet) {
            Phase::Lingering(track) => self.closed(&track),
            other @ (Phase::Quiet | Phase::Speaking(_)) => self.phase = other,
        }
    }

    /// Listening is over: what is open ends and closes.
    pub fn finish(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Quiet) {
            Phase::Speaking(mut track) => {
                self.ended(&mut track);
                self.closed(&track);
            }
            Phase::Lingering(track) => self.closed(&track),
            Phase::Quiet => {}
        }
    }

    /// Whether somebody is speaking.
    pub fn is_speaking(&self) -> bool {
        matches!(self.phase, Phase::Speaking(_))
    }

    /// Changes the quiet needed before [`EarEvent::SpeechEnded`], from now on.
    pub fn set_end_ms(&mut self, end_ms: u32) {
        self.config.end_ms = end_ms;
    }

    /// Brings the line's end to `at_ms`: fills a hole, or takes the new time as it is. Within the
    /// slack the time of an open utterance stays, so that its start keeps its name.
    fn align(&mut self, at_ms: u64) {
        let expected = self.line.ms(self.line.end());
        if !self.started {
            self.started = true;
            self.line.set_end_ms(at_ms);
        } else if at_ms > expected + MAX_HOLE_MS {
            self.finish();
            self.line.set_end_ms(at_ms);
        } else if at_ms > expected + SLACK_MS {
            self.line.append_silence((at_ms - expected) * PER_MS);
        } else if at_ms + SLACK_MS < expected || matches!(self.phase, Phase::Quiet) {
            self.line.set_end_ms(at_ms);
        }
    }

    /// Lets the detector hear what it has not heard, if there is reason to.
    fn listen(&mut self) -> Result<(), SpeechError> {
        let end = self.line.end();
        if !self.is_speaking() && end >= self.awake_until {
            self.linger(end);
            return Ok(());
        }
        self.wake(end);
        let mut frame = [0.0; VAD_FRAME];
        while self.scored + VAD_FRAME as u64 <= end {
            self.line.read(self.scored, &mut frame);
            let score = self.scorer.score(&frame)?;
            self.scored += VAD_FRAME as u64;
            self.step(score, energy(&frame));
        }
        Ok(())
    }

    /// After sleep the detector starts afresh with the pre-roll, to find its feet.
    fn wake(&mut self, end: u64) {
        let from = end.saturating_sub(self.pre_roll()).max(self.line.origin());
        if self.scored < from {
            self.scored = from;
            self.votes = 0;
            self.scorer.reset();
        }
    }

    fn pre_roll(&self) -> u64 {
        u64::from(self.config.pre_roll_ms) * PER_MS
    }

    /// One detector frame, ending at `self.scored`.
    fn step(&mut self, score: f32, energy: f32) {
        let vote = u32::from(score >= self.config.onset);
        self.votes = (self.votes << 1 | vote) & ((1 << ONSET_WINDOW) - 1);
        match std::mem::replace(&mut self.phase, Phase::Quiet) {
            Phase::Quiet => self.step_quiet(),
            Phase::Speaking(track) => self.step_speaking(track, score, energy),
            Phase::Lingering(track) => self.step_lingering(track),
        }
    }

    /// Sample number where the speech began, if the votes say that it has.
    fn onset(&self) -> Option<u64> {
        if self.votes.count_ones() < ONSET_VOTES {
            return None;
        }
        let oldest = u64::from(ONSET_WINDOW.min(32 - self.votes.leading_zeros()));
        Some(self.scored.saturating_sub(oldest * VAD_FRAME as u64))
    }

    fn step_quiet(&mut self) {
        let Some(onset) = self.onset() else {
            return;
        };
        self.utterances = self.utterances.saturating_add(1);
        let from = onset.saturating_sub(self.pre_roll()).max(self.spent);
        let id = UtteranceId(self.utterances);
        let track = Track::new(id, from, onset, self.scored);
        self.events.push_back(EarEvent::SpeechStarted {
            utterance: id,
            at_ms: self.line.ms(onset),
        });
        self.phase = Phase::Speaking(track);
    }

    fn step_speaking(&mut self, mut track: Track, score: f32, energy: f32) {
        let quiet = track.hear(self.scored, score, energy, &self.config);
        if quiet >= u64::from(self.config.end_ms) * PER_MS {
            self.ended(&mut track);
            self.settle(track);
        } else if track.length(self.scored) >= u64::from(self.config.max_utterance_ms) * PER_MS {
            self.cut(track);
        } else {
            self.partial(&mut track);
            self.phase = Phase::Speaking(track);
        }
    }

    fn step_lingering(&mut self, mut track: Track) {
        if let Some(onset) = self.onset() {
            track.resume(onset, self.scored);
            self.events.push_back(EarEvent::SpeechResumed {
                utterance: track.id,
                at_ms: self.line.ms(onset),
            });
            self.phase = Phase::Speaking(track);
        } else {
            self.phase = Phase::Lingering(track);
            self.linger(self.scored);
        }
    }

    /// Closes an ended utterance when `now` is far enough behind its speech.
    fn linger(&mut self, now: u64) {
        let merge = u64::from(self.config.merge_ms) * PER_MS;
        match std::mem::replace(&mut self.phase, Phase::Quiet) {
            Phase::Lingering(track) if now.saturating_sub(track.voice_end) >= merge => {
                self.closed(&track);
            }
            other @ (Phase::Quiet | Phase::Speaking(_) | Phase::Lingering(_)) => self.phase = other,
        }
    }

    /// After an end: may it still resume?
    fn settle(&mut self, track: Track) {
        let long = track.length(self.scored) >= u64::from(self.config.settle_ms) * PER_MS;
        if long || self.config.merge_ms <= self.config.end_ms {
            self.closed(&track);
        } else {
            self.phase = Phase::Lingering(track);
        }
    }

    fn partial(&mut self, track: &mut Track) {
        let period = u64::from(self.config.partial_ms) * PER_MS;
        // A pass costs as much as the utterance is long: without this, a long speech would
        // cost its length squared.
        let spaced = period.max(track.length(self.scored) / PARTIAL_SHARE);
        if period > 0 && self.scored >= track.last_pass_at + spaced {
            self.decode(track, DecodeKind::Partial, self.scored);
        }
    }

    fn ended(&mut self, track: &mut Track) {
        let tail = u64::from(self.config.end_ms) * PER_MS;
        let to = (track.voice_end + tail).min(self.line.end());
        self.events.push_back(EarEvent::SpeechEnded {
            utterance: track.id,
            at_ms: self.line.ms(track.voice_end),
            speech_ms: track.speech_ms(),
            pass: track.pass + 1,
        });
        track.audio_end = to;
        self.decode(track, DecodeKind::Final, to);
    }

    fn decode(&mut self, track: &mut Track, kind: DecodeKind, to: u64) {
        track.pass += 1;
        track.last_pass_at = self.scored;
        self.events.push_back(EarEvent::Decode(DecodeRequest {
            utterance: track.id,
            pass: track.pass,
            kind,
            audio: self.line.copy(track.from, to).into(),
            start_ms: self.line.ms(track.from),
            end_ms: self.line.ms(to),
            speech_ms: track.speech_ms(),
        }));
    }

    fn closed(&mut self, track: &Track) {
        self.spent = self.spent.max(track.audio_end);
        self.events.push_back(EarEvent::Closed {
            utterance: track.id,
            pass: track.pass,
            start_ms: self.line.ms(track.onset),
            end_ms: self.line.ms(track.voice_end),
            speech_ms: track.speech_ms(),
        });
    }

    /// Speech without a pause: what came before its quietest point becomes an utterance of
    /// its own, the rest goes on as the next.
    fn cut(&mut self, track: Track) {
        self.utterances = self.utterances.saturating_add(1);
        let (mut first, rest) = track.split(UtteranceId(self.utterances));
        self.events.push_back(EarEvent::SpeechEnded {
            utterance: first.id,
            at_ms: self.line.ms(first.voice_end),
            speech_ms: first.speech_ms(),
            pass: first.pass + 1,
        });
        let cut = first.audio_end;
        self.decode(&mut first, DecodeKind::Final, cut);
        self.closed(&first);
        self.events.push_back(EarEvent::SpeechStarted {
            utterance: rest.id,
            at_ms: self.line.ms(rest.onset),
        });
        self.phase = Phase::Speaking(rest);
    }

    /// Keeps what an open utterance needs, or else the pre-roll.
    fn forget(&mut self) {
        let keep = match &self.phase {
            Phase::Quiet => self.line.end().saturating_sub(2 * self.pre_roll()),
            Phase::Speaking(track) | Phase::Lingering(track) => track.from,
        };
        self.line.forget_before(keep);
    }
}

fn energy(frame: &[f32; VAD_FRAME]) -> f32 {
    frame.iter().map(|s| s * s).sum::<f32>() / VAD_FRAME as f32
}

#[cfg(test)]
mod tests;
