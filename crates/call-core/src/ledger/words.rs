//! Which source words a number of samples holds.

use std::ops::Range;

use model::transcript::Timing;

/// Samples a letter takes where nothing better is known: about 13 letters a second at 8 kHz.
const NOMINAL_SAMPLES_PER_CHAR: u64 = 600;

/// Sound after the last placed word is its sentence's closing silence up to half a second; only
/// what is longer must hold words whose places never came.
const CLOSING_SILENCE: u64 = 4_000;

/// Where one spoken word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenWord {
    /// Bytes of the utterance's source text it stands for. Several spoken words may share them
    /// ("$12.50"), one may cover several source words.
    pub source: Range<usize>,
    /// Its 8 kHz samples, counted from the utterance's first.
    pub samples: Range<u64>,
}

/// What was heard of an utterance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// A prefix of the source text, in whole source words.
    pub text: String,
    /// How its end was found.
    pub timing: Timing,
}

/// A source word and the samples it has.
#[derive(Debug)]
struct Placed {
    end: usize,
    total: u64,
    sent: u64,
}

/// The source words of a text, as byte ranges.
pub(super) fn source_words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    text.split_whitespace().map(move |word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    })
}

/// The prefix of `text` that `sent` samples hold. `words` in any order; words that nobody placed
/// are laid over the sound after the last placed one, `rendered` being its whole length if
/// `complete`.
pub(super) fn heard_prefix(
    text: &str,
    words: &[SpokenWord],
    sent: u64,
    rendered: u64,
    complete: bool,
) -> Heard {
    let mut words: Vec<&SpokenWord> = words.iter().collect();
    words.sort_by_key(|word| (word.source.start, word.samples.start));
    let mut placed: Vec<Placed> = place(text, &words, sent);
    let placed_to = words.iter().map(|word| word.samples.end).max().unwrap_or(0);
    let tail = placed
        .iter()
        .rposition(|word| word.total > 0)
        .map_or(0, |last| last + 1);
    let silence = if tail == 0 { 0 } else { CLOSING_SILENCE };
    let guessed = sent > placed_to.saturating_add(silence) && tail < placed.len();
    if guessed {
        let letters = Letters::of(text, &placed, tail, placed_to);
        letters.spread(&mut placed, sent, rendered, complete);
    }
    Heard {
        text: text
            .get(..heard_end(&placed))
            .unwrap_or_default()
            .to_owned(),
        timing: if guessed {
            Timing::Estimated
        } else {
            Timing::Exact
        },
    }
}

/// Each source word with its samples, as far as they are known.
fn place(text: &str, words: &[&SpokenWord], sent: u64) -> Vec<Placed> {
    let mut first = 0;
    source_words(text)
        .map(|source| {
            while words
                .get(first)
                .is_some_and(|word| word.source.end <= source.start)
            {
                first += 1;
            }
            let rest = words.get(first..).unwrap_or_default();
            let own = rest
                .iter()
                .take_while(|word| word.source.start < source.end);
            own.filter(|word| word.source.end > source.start).fold(
                Placed {
                    end: source.end,
                    total: 0,
                    sent: 0,
                },
                |sum, word| sum.with(&word.samples, sent),
            )
        })
        .collect()
}

impl Placed {
    fn with(self, samples: &Range<u64>, sent: u64) -> Self {
        let total = samples.end.saturating_sub(samples.start);
        let part = sent.min(samples.end).saturating_sub(samples.start);
        Self {
            end: self.end,
            total: self.total + total,
            sent: self.sent + part,
        }
    }

    /// At least half of it was sent.
    fn is_heard(&self) -> bool {
        self.sent * 2 >= self.total
    }
}

/// The end of the last word before the first that was not heard. Words without sound (a dash)
/// belong to what follows them.
fn heard_end(placed: &[Placed]) -> usize {
    placed
        .iter()
        .filter(|word| word.total > 0)
        .take_while(|word| word.is_heard())
        .last()
        .map_or(0, |word| word.end)
}

/// The words that nobody placed, measured in letters.
struct Letters {
    tail: usize,
    from_sample: u64,
    /// Letters of each tail word, a space included.
    counts: Vec<u64>,
    /// Pace of the placed words, samples for a letter.
    pace: u64,
}

impl Letters {
    fn of(text: &str, placed: &[Placed], tail: usize, from_sample: u64) -> Self {
        let letters: Vec<u64> = source_words(text)
            .map(|word| text.get(word).unwrap_or_default().chars().count() as u64 + 1)
            .collect();
        let known: u64 = letters.iter().take(tail).sum();
        let sounded: u64 = placed.iter().take(tail).map(|word| word.total).sum();
        let pace = sounded.checked_div(known).filter(|pace| *pace > 0);
        Self {
            tail,
            from_sample,
            counts: letters.into_iter().skip(tail).collect(),
            pace: pace.unwrap_or(NOMINAL_SAMPLES_PER_CHAR),
        }
    }

    fn spread(&self, placed: &mut [Placed], sent: u64, rendered: u64, complete: bool) {
        let all: u64 = self.counts.iter().sum::<u64>().max(1);
        let there = rendered.max(sent).saturating_sub(self.from_sample);
        // A voice that was cut short rendered only a part of the text: not all words are in there.
        let length = if complete {
            there
        } else {
            there.max(all * self.pace)
        };
        let mut letters = 0;
        for (word, count) in placed.iter_mut().skip(self.tail).zip(&self.counts) {
            let start = self.from_sample + length * letters / all;
            letters += count;
            let end = self.from_sample + length * letters / all;
            word.total = (end - start).max(1);
            word.sent = sent.min(end).saturating_sub(start);
        }
    }
}
