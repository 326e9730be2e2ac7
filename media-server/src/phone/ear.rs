//! The phone's ear: is the other side speaking, and did its sound have gaps.

use std::time::Duration;

use media_core::leg::EarFrame;

/// Louder than this is speech on a clean line.
const SPEECH_DBOV: f32 = -42.0;
/// Frames of the last eight that must be speech for speech to begin.
const ONSET_FRAMES: u32 = 3;
/// Silence after which speech has ended: longer than the gaps inside a sentence.
const HANGOVER_FRAMES: u32 = 15;
const FRAME_MS: u64 = 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ear {
    history: u8,
    quiet: u32,
    speaking: bool,
    frames: u64,
    missing_run: u64,
    /// The longest stretch without a packet, milliseconds.
    pub(super) longest_gap_ms: u64,
    /// Frames that no packet brought.
    pub(super) missing: u64,
    voiced: u64,
}

impl Ear {
    /// Takes 20 ms; tells when speech begins (true) or has ended (false).
    pub(super) fn hear(&mut self, frame: &EarFrame) -> Option<bool> {
        self.frames += 1;
        let loud = frame.heard && frame.level_dbov > SPEECH_DBOV;
        self.voiced += u64::from(loud);
        self.history = (self.history << 1) | u8::from(loud);
        self.quiet = if loud { 0 } else { self.quiet + 1 };
        let onset = self.history.count_ones() >= ONSET_FRAMES;
        match self.speaking {
            false if onset => self.turn(true),
            true if self.quiet >= HANGOVER_FRAMES => self.turn(false),
            _ => None,
        }
    }

    fn turn(&mut self, speaking: bool) -> Option<bool> {
        self.speaking = speaking;
        Some(speaking)
    }

    /// Counts 20 ms with a packet or without; when sound comes back, how long it was away.
    pub(super) fn gap(&mut self, heard: bool) -> Option<u64> {
        if !heard {
            self.missing += 1;
            self.missing_run += 1;
            return None;
        }
        let gap_ms = std::mem::take(&mut self.missing_run) * FRAME_MS;
        self.longest_gap_ms = self.longest_gap_ms.max(gap_ms);
        (gap_ms > 0).then_some(gap_ms)
    }

    /// How much speech was heard.
    pub(super) fn voiced(&self) -> Duration {
        Duration::from_millis(self.voiced * FRAME_MS)
    }

    /// How much sound came.
    pub(super) fn heard(&self) -> Duration {
        Duration::from_millis(self.frames * FRAME_MS)
    }
}
