//! A voice whose sound says which utterance it is, and the order in which it reaches the leg.

use std::{collections::VecDeque, time::Duration};

use call_core::{
    brain::UtteranceId,
    ledger::{Ledger, Sound, SpokenWord, VoiceEnd},
};
use media_core::{Leg, playout::Tag};
use model::transcript::Timing;

use crate::dice::Dice;

/// Samples of a letter, 8 kHz.
const LETTER: u64 = 500;
/// Sounds that differ after PCMU: utterances so close to each other cannot be mistaken.
pub const SOUNDS: u64 = 16;

/// Samples a word takes.
pub fn word_samples(word: &str) -> u64 {
    word.chars().count() as u64 * LETTER
}

/// The constant level by which an utterance is known on the wire.
pub fn sound_of(utterance: UtteranceId) -> i16 {
    let step = u16::try_from(utterance.0 % SOUNDS).unwrap_or(0);
    1_000 + i16::try_from(step * 1_500).unwrap_or(0)
}

/// A piece of text that is being rendered.
#[derive(Debug)]
struct Piece {
    ready: Duration,
    id: UtteranceId,
    words: Vec<SpokenWord>,
    samples: u64,
    last: bool,
}

/// An utterance on its way to the leg.
#[derive(Debug)]
struct Waiting {
    id: UtteranceId,
    samples: u64,
    last: bool,
}

/// Renders after some delay, gives word times at once, late, or backwards.
#[derive(Debug)]
pub struct Voice {
    dice: Dice,
    rendering: VecDeque<Piece>,
    late: Vec<(UtteranceId, SpokenWord)>,
    waiting: VecDeque<Waiting>,
    /// The utterance that takes pieces, and how long it is.
    current: (UtteranceId, u64),
    /// Utterances whose voice is not over.
    open: Vec<UtteranceId>,
}

impl Voice {
    /// A voice of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            rendering: VecDeque::new(),
            late: Vec::new(),
            waiting: VecDeque::new(),
            current: (UtteranceId(0), 0),
            open: Vec::new(),
        }
    }

    /// A piece of text is to be spoken.
    pub fn say(
        &mut self,
        now: Duration,
        ledger: &mut Ledger,
        id: UtteranceId,
        text: &str,
        last: bool,
    ) {
        let base = ledger.plan(id, text);
        if self.current.0 != id {
            self.current = (id, 0);
            self.open.push(id);
        }
        let mut at = self.current.1;
        let words = text.split_whitespace().map(|word| {
            let start = base + (word.as_ptr() as usize - text.as_ptr() as usize);
            let samples = at..at + word_samples(word);
            at = samples.end;
            SpokenWord {
                source: start..start + word.len(),
                samples,
            }
        });
        let words: Vec<SpokenWord> = words.collect();
        let samples = at - self.current.1;
        self.current.1 = at;
        let ready = now + Duration::from_millis(self.dice.between(10, 80));
        let after = self
            .rendering
            .back()
            .map_or(ready, |piece| piece.ready.max(ready));
        self.rendering.push_back(Piece {
            ready: after,
            id,
            words,
            samples,
            last,
        });
    }

    /// What is rendered by now goes to the ledger and into the queue for the leg.
    pub fn render(&mut self, now: Duration, ledger: &mut Ledger) {
        while let Some(piece) = self.rendering.pop_front_if(|piece| piece.ready <= now) {
            let mut words = piece.words;
            match self.dice.roll(4) {
                0 => words.reverse(),
                1 => self
                    .late
                    .extend(words.drain(..).map(|word| (piece.id, word))),
                _ => {}
            }
            ledger.extend(
                piece.id,
                Sound {
                    samples: piece.samples,
                    words,
                    timing: Timing::Exact,
                },
            );
            self.waiting.push_back(Waiting {
                id: piece.id,
                samples: piece.samples,
                last: piece.last,
            });
            if piece.last {
                self.give_late_words(ledger, piece.id);
                self.over(ledger, piece.id, VoiceEnd::Complete);
            }
        }
    }

    /// Tops up the leg's playout.
    pub fn pump(&mut self, leg: &mut Leg) {
        while let Some(front) = self.waiting.front_mut() {
            let tag = Tag(front.id.0);
            let room = leg
                .playout()
                .room()
                .min(usize::try_from(front.samples).unwrap_or(usize::MAX));
            let taken = leg.playout().push(tag, &vec![sound_of(front.id); room]);
            front.samples -= taken as u64;
            if front.samples > 0 || (front.last && !leg.playout().end(tag)) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Everything is cut. Word times that are known still arrive.
    pub fn cut(&mut self, ledger: &mut Ledger) {
        self.rendering.clear();
        self.waiting.clear();
        for id in std::mem::take(&mut self.open) {
            self.give_late_words(ledger, id);
            ledger.voice_over(id, VoiceEnd::CutShort);
        }
        self.late.clear();
    }

    fn give_late_words(&mut self, ledger: &mut Ledger, id: UtteranceId) {
        let mut words: Vec<SpokenWord> = self
            .late
            .extract_if(.., |(late, _)| *late == id)
            .map(|(_, word)| word)
            .collect();
        if self.dice.chance(500) {
            words.reverse();
        }
        ledger.extend(
            id,
            Sound {
                samples: 0,
                words,
                timing: Timing::Exact,
            },
        );
    }

    fn over(&mut self, ledger: &mut Ledger, id: UtteranceId, end: VoiceEnd) {
        self.open.retain(|open| *open != id);
        ledger.voice_over(id, end);
    }
}
