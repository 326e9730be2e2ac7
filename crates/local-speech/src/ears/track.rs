//! What is known of one open utterance. All places are sample numbers of the call's line.

use super::{EarsConfig, UtteranceId};
use crate::silero::VAD_FRAME;

const FRAME: u64 = VAD_FRAME as u64;
/// Frames whose energies are averaged in the search for a quiet point: 160 ms.
const SMOOTH: usize = 5;
/// The search leaves out this share of the utterance's head …
const HEAD_SHARE: f32 = 0.5;
/// … and this many frames of its tail.
const TAIL_FRAMES: usize = 10;

/// One open utterance.
pub(crate) struct Track {
    pub(crate) id: UtteranceId,
    /// Where its sound begins (pre-roll included).
    pub(crate) from: u64,
    /// Where its speech begins.
    pub(crate) onset: u64,
    /// Where its speech last was.
    pub(crate) voice_end: u64,
    /// Where its sound ends, once it ended.
    pub(crate) audio_end: u64,
    pub(crate) pass: u32,
    pub(crate) last_pass_at: u64,
    /// From `heard_from` on, one entry for each detector frame: energy, and whether it was speech.
    frames: Vec<(f32, bool)>,
    heard_from: u64,
}

impl Track {
    /// Speech began at `onset` and was noticed at `now`.
    pub(crate) fn new(id: UtteranceId, from: u64, onset: u64, now: u64) -> Track {
        let seen = (now.saturating_sub(onset) / FRAME) as usize;
        Track {
            id,
            from,
            onset,
            voice_end: now,
            audio_end: now,
            pass: 0,
            last_pass_at: now,
            frames: vec![(f32::MAX, true); seen],
            heard_from: onset,
        }
    }

    /// One more detector frame ends at `now`. Gives the samples since speech last was.
    pub(crate) fn hear(&mut self, now: u64, score: f32, energy: f32, config: &EarsConfig) -> u64 {
        let speech = score >= config.offset;
        self.pad(now.saturating_sub(FRAME));
        self.frames.push((energy, speech));
        if speech {
            self.voice_end = now;
        }
        now.saturating_sub(self.voice_end)
    }

    /// The utterance goes on at `onset`, noticed at `now`; the pause between counts as quiet.
    pub(crate) fn resume(&mut self, onset: u64, now: u64) {
        self.pad(onset);
        let seen = (now.saturating_sub(onset) / FRAME) as usize;
        self.frames
            .resize(self.frames.len() + seen, (f32::MAX, true));
        self.voice_end = now;
        self.last_pass_at = now;
    }

    /// Frames the detector did not hear, up to `until`, were quiet.
    fn pad(&mut self, until: u64) {
        let known = self.heard_from + self.frames.len() as u64 * FRAME;
        let missing = (until.saturating_sub(known) / FRAME) as usize;
        self.frames
            .resize(self.frames.len() + missing, (0.0, false));
    }

    /// Speech in it, ms.
    pub(crate) fn speech_ms(&self) -> u32 {
        let spoken = self.frames.iter().filter(|(_, speech)| *speech).count() as u64;
        (spoken * FRAME / super::PER_MS) as u32
    }

    /// Its length at `now`, in samples.
    pub(crate) fn length(&self, now: u64) -> u64 {
        now.saturating_sub(self.from)
    }

    /// Cuts at the quietest point of the second half. The second part goes on under `next`.
    pub(crate) fn split(mut self, next: UtteranceId) -> (Track, Track) {
        let at = self.quietest();
        let tail = self.frames.split_off(at);
        let cut = self.heard_from + at as u64 * FRAME;
        let rest = Track {
            id: next,
            from: cut,
            onset: cut,
            voice_end: self.voice_end,
            audio_end: self.voice_end,
            pass: 0,
            last_pass_at: self.last_pass_at,
            frames: tail,
            heard_from: cut,
        };
        self.voice_end = self.voice_end.min(cut);
        self.audio_end = cut;
        (self, rest)
    }

    /// Index of the frame in the middle of the quietest stretch.
    fn quietest(&self) -> usize {
        let head = (self.frames.len() as f32 * HEAD_SHARE) as usize;
        let end = self.frames.len().saturating_sub(TAIL_FRAMES);
        let candidates = self.frames.get(head..end).unwrap_or_default();
        let mut best = (f32::INFINITY, self.frames.len().saturating_sub(1));
        for (i, stretch) in candidates.windows(SMOOTH).enumerate() {
            let loudness: f32 = stretch.iter().map(|(energy, _)| energy).sum();
            if loudness < best.0 {
                best = (loudness, head + i + SMOOTH / 2);
            }
        }
        best.1
    }
}
