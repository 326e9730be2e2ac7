//! One utterance of the agent: its words, its sound, and how much of it left.

use model::transcript::Timing;

use super::{
    SAMPLES_PER_MS,
    words::{Heard, SpokenWord, heard_prefix},
};

/// Longest source text of one utterance, bytes; what is beyond is not recorded.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Longest utterance, 8 kHz samples: four hours, the longest call. A voice that claims more errs.
const MAX_SAMPLES: u64 = 8_000 * 3_600 * 4;
/// Two onsets this close are of one speech: the neural detector notices up to 150 ms after the reflex.
const SAME_SPEECH_MS: u64 = 400;
/// Most word places of one utterance.
const MAX_WORDS: usize = 16 << 10;

/// More sound of an utterance, or more knowledge about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// 8 kHz samples that this piece adds; 0 when it only brings word places.
    pub samples: u64,
    /// Where words are, in any order, earlier pieces' words too.
    pub words: Vec<SpokenWord>,
    /// Whether the voice measured or guessed them. Guessed once is guessed for the utterance.
    pub timing: Timing,
}

/// How a voice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceEnd {
    /// The whole text was rendered.
    Complete,
    /// It was cancelled or failed.
    CutShort,
}

/// Where an utterance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No sample of it was sent.
    Queued,
    /// It plays, or stands still since `paused_ms`.
    Sending {
        start_ms: u64,
        paused_ms: Option<u64>,
    },
    /// No sample of it will be sent any more.
    Over {
        start_ms: u64,
        end_ms: u64,
        cut: bool,
    },
}

#[derive(Debug)]
pub(super) struct Utterance {
    text: String,
    words: Vec<SpokenWord>,
    timing: Timing,
    rendered: u64,
    voice: Option<VoiceEnd>,
    sent: u64,
    phase: Phase,
    /// Where the last pause of the reflex heard the caller begin.
    reflex_onset_ms: Option<u64>,
}

impl Default for Utterance {
    fn default() -> Self {
        Self {
            text: String::new(),
            words: Vec::new(),
            timing: Timing::Exact,
            rendered: 0,
            voice: None,
            sent: 0,
            phase: Phase::Queued,
            reflex_onset_ms: None,
        }
    }
}

impl Utterance {
    pub(super) fn append(&mut self, text: &str) -> usize {
        let glued = self.text.is_empty()
            || self.text.ends_with(char::is_whitespace)
            || text.starts_with(char::is_whitespace);
        if !glued && !text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        let room = MAX_TEXT_BYTES.saturating_sub(start);
        self.text.push_str(
            text.get(..text.floor_char_boundary(room))
                .unwrap_or_default(),
        );
        start
    }

    pub(super) fn extend(&mut self, sound: Sound) {
        self.rendered = self.rendered.saturating_add(sound.samples).min(MAX_SAMPLES);
        if sound.timing == Timing::Estimated {
            self.timing = Timing::Estimated;
        }
        let room = MAX_WORDS.saturating_sub(self.words.len());
        let sane = |word: &SpokenWord| {
            word.samples.start <= word.samples.end && word.samples.end <= MAX_SAMPLES
        };
        self.words
            .extend(sound.words.into_iter().filter(sane).take(room));
    }

    pub(super) fn voice_over(&mut self, end: VoiceEnd) {
        self.voice.get_or_insert(end);
    }

    /// Notes that `samples` have been sent; true when it began to play by that.
    pub(super) fn sent(&mut self, samples: u64, at_ms: u64) -> bool {
        match self.phase {
            Phase::Queued => {
                self.sent = samples;
                let start_ms = at_ms.saturating_sub(samples / SAMPLES_PER_MS);
                self.phase = Phase::Sending {
                    start_ms,
                    paused_ms: None,
                };
                true
            }
            Phase::Sending { .. } => {
                self.sent = self.sent.max(samples);
                false
            }
            Phase::Over { .. } => false,
        }
    }

    pub(super) fn pause(&mut self, at_ms: u64, onset_ms: Option<u64>) {
        if let Phase::Sending { paused_ms, .. } = &mut self.phase {
            paused_ms.get_or_insert(at_ms);
            self.reflex_onset_ms = onset_ms.or(self.reflex_onset_ms);
        }
    }

    /// Since when the caller spoke over it, if whoever noticed says `noted_ms`. The neural detector
    /// notices speech later than the leg's own reflex, by which the agent fell silent: the same
    /// speech began where the earlier of them says, but not before there was something to speak over.
    pub(super) fn spoken_over_ms(&self, noted_ms: u64) -> u64 {
        let same = |onset_ms: &u64| onset_ms.abs_diff(noted_ms) <= SAME_SPEECH_MS;
        let onset_ms = self
            .reflex_onset_ms
            .filter(same)
            .map_or(noted_ms, |onset_ms| onset_ms.min(noted_ms));
        onset_ms.max(self.start_ms().unwrap_or_default())
    }

    /// How long it stood still, if it did.
    pub(super) fn resume(&mut self, at_ms: u64) -> Option<u64> {
        let Phase::Sending { paused_ms, .. } = &mut self.phase else {
            return None;
        };
        paused_ms.take().map(|since| at_ms.saturating_sub(since))
    }

    /// When its last sample left, if it ends at `at_ms`.
    pub(super) fn last_sent_ms(&self, at_ms: u64) -> u64 {
        match self.phase {
            Phase::Sending { paused_ms, .. } => paused_ms.unwrap_or(at_ms),
            Phase::Queued | Phase::Over { .. } => at_ms,
        }
    }

    /// Ends it. False when nothing of it was ever sent: then it never was.
    pub(super) fn end(&mut self, at_ms: u64, cut: bool) -> bool {
        match self.phase {
            Phase::Queued => false,
            Phase::Sending { .. } if self.sent == 0 => false,
            Phase::Sending { start_ms, .. } => {
                let end_ms = self.last_sent_ms(at_ms).max(start_ms);
                let cut = cut && !self.is_whole();
                self.phase = Phase::Over {
                    start_ms,
                    end_ms,
                    cut,
                };
                true
            }
            Phase::Over { .. } => true,
        }
    }

    /// The next utterance plays: this one, if it played, reached its end unreported.
    pub(super) fn outrun(&mut self, at_ms: u64) {
        if matches!(self.phase, Phase::Sending { .. }) {
            let whole = self.voice == Some(VoiceEnd::Complete);
            if whole {
                self.sent = self.rendered;
            }
            self.end(at_ms, !whole);
        }
    }

    /// What was heard so far, or in the end.
    pub(super) fn heard(&self, far_side_delay_samples: u64) -> Heard {
        if let Phase::Over { cut: false, .. } = self.phase {
            return Heard {
                text: self.text.trim().to_owned(),
                timing: self.timing,
            };
        }
        let ear = self.sent.saturating_sub(far_side_delay_samples);
        let complete = self.voice == Some(VoiceEnd::Complete);
        let mut heard = heard_prefix(&self.text, &self.words, ear, self.rendered, complete);
        if self.timing == Timing::Estimated {
            heard.timing = Timing::Estimated;
        }
        heard
    }

    /// Nothing more can be learnt about it: an end that was reached needs no word places.
    pub(super) fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Over { cut, .. } => !cut || self.voice.is_some(),
            Phase::Queued | Phase::Sending { .. } => false,
        }
    }

    /// Its last sample was sent, whatever the report calls it.
    fn is_whole(&self) -> bool {
        self.voice == Some(VoiceEnd::Complete) && self.rendered > 0 && self.sent >= self.rendered
    }

    /// The voice ended without a sample: it will never play.
    pub(super) fn is_stillborn(&self) -> bool {
        self.is_queued() && self.rendered == 0 && self.voice.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    pub(super) fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    pub(super) fn start_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Queued => None,
            Phase::Sending { start_ms, .. } | Phase::Over { start_ms, .. } => Some(start_ms),
        }
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    pub(super) fn samples_sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn samples_total(&self) -> Option<u64> {
        (self.voice == Some(VoiceEnd::Complete)).then_some(self.rendered)
    }
}
