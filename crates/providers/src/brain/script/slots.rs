//! What a booking needs, each in one file: a day, a time, how many, a number to call back.

pub(super) mod day;
pub(super) mod party;
pub(super) mod phone;
pub(super) mod time;

use super::words::Words;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// Which day.
    Day,
    /// What time.
    Time,
    /// How many people.
    Party,
    /// Which telephone number.
    Phone,
}

impl Slot {
    /// Its key in the table of phrases.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Time => "time",
            Self::Party => "party",
            Self::Phone => "phone",
        }
    }
}

/// A value and the words it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<T> {
    /// The value.
    pub(super) value: T,
    /// First word.
    pub(super) from: usize,
    /// One past the last word.
    pub(super) to: usize,
}

/// Which words are already spoken for.
#[derive(Debug, Clone)]
pub(super) struct Taken(Vec<bool>);

impl Taken {
    /// None of them.
    pub(super) fn none(words: &Words) -> Self {
        Self(vec![false; words.len()])
    }

    /// Whether any word of a range is taken.
    pub(super) fn any(&self, from: usize, to: usize) -> bool {
        self.0.iter().take(to).skip(from).any(|taken| *taken)
    }

    /// Takes a range.
    pub(super) fn take(&mut self, from: usize, to: usize) {
        for taken in self.0.iter_mut().take(to).skip(from) {
            *taken = true;
        }
    }
}

/// The value that was meant of several: none that is denied ("not Friday", "instead of Friday"),
/// of alternatives ("seven or eight") the first, else the last, because corrections come last.
pub(super) fn meant<T: Copy>(words: &Words, found: &[Found<T>]) -> Option<Found<T>> {
    let mut wanted = found.iter().filter(|one| !denied(words, one.from));
    let mut choice = *wanted.next()?;
    for next in wanted {
        let between: Vec<&str> = (choice.to..next.from).map(|at| words.at(at)).collect();
        if !between.contains(&"or") && !between.contains(&"and") {
            choice = *next;
        }
    }
    Some(choice)
}

fn denied(words: &Words, from: usize) -> bool {
    let mut at = from;
    while words.is(at.wrapping_sub(1), &["on", "at", "for", "the", "a"]) {
        at -= 1;
    }
    let two = (words.before(at, 2), words.before(at, 1));
    matches!(two, (_, "not") | ("instead", "of") | ("rather", "than"))
}
