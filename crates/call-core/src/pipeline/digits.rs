//! Digits pressed one by one, handed over as one entry.

use std::time::Duration;

use super::dialogue::DigitsWanted;

/// Most digits of an entry, whatever is wanted.
const MAX_DIGITS: usize = 32;

/// See the module's first line.
#[derive(Debug, Default)]
pub(super) struct DigitEntry {
    wanted: DigitsWanted,
    digits: String,
    last_at_ms: u64,
    complete: bool,
    deadline: Option<Duration>,
}

impl DigitEntry {
    pub(super) fn expect(&mut self, wanted: DigitsWanted) {
        self.wanted = wanted;
    }

    pub(super) fn press(&mut self, now: Duration, digit: char, at_ms: u64) {
        if self.complete {
            return;
        }
        self.last_at_ms = at_ms;
        if self.wanted.finish == Some(digit) {
            self.complete = !self.digits.is_empty();
        } else {
            self.digits.push(digit);
            let max = usize::from(self.wanted.max).clamp(1, MAX_DIGITS);
            self.complete = self.digits.len() >= max;
        }
        let waits = !self.complete && !self.digits.is_empty();
        self.deadline = waits.then(|| now.saturating_add(self.wanted.pause));
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.complete = true;
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The entry and the call time of its last key; what is wanted goes back to the default.
    pub(super) fn take(&mut self) -> (String, u64) {
        let done = std::mem::take(self);
        (done.digits, done.last_at_ms)
    }
}
