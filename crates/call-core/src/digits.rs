//! Digits of one leg: RFC 4733 events and SIP INFO merged, each press exactly once.
//!
//! Some peers send the same press both ways. Whichever comes first counts; the other one
//! within [`TWIN_WINDOW`] is its twin and is dropped. Two presses by the same way are two
//! presses, however close: RFC 4733 already marks its own repetitions by the RTP timestamp.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

use std::collections::VecDeque;
use std::time::Duration;

/// How far apart the two reports of one press may be. INFO goes over TCP or is retransmitted
/// after T1 = 500 ms (RFC 3261 §17.1.2.2), so a lost first INFO still finds its twin.
pub const TWIN_WINDOW: Duration = Duration::from_millis(1200);

/// Most presses remembered as possible twins.
const MAX_MEMORY: usize = 16;

/// How a digit came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Telephone-event in RTP (RFC 4733), already one per RTP timestamp.
    Rfc4733,
    /// SIP INFO with `application/dtmf-relay` or `application/dtmf`.
    Info,
    /// Tones in the sound.
    Tones,
}

/// One reported press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitEvent {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub digit: char,
    /// How it came.
    pub via: Via,
}

/// What to collect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Fewest digits.
    pub min: u8,
    /// Most digits: the entry is done when they are there.
    pub max: u8,
    /// Wait for the first digit.
    pub first: Duration,
    /// Wait for each further digit.
    pub between: Duration,
    /// Digits that end the entry and are not part of it.
    pub terminators: String,
    /// Whether the digits stay out of everything that is written.
    pub secret: bool,
}

/// How an entry ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Enough digits: `max`, a terminator, or the pause after at least `min`.
    Complete(Digits),
    /// Too few, or none.
    Incomplete(Digits),
}

/// Collected digits. Secret ones do not show in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Digits {
    text: String,
    secret: bool,
}

/// One leg's digits.
#[derive(Debug, Clone, Default)]
pub struct DigitCollector {
    reported: VecDeque<(Duration, DigitEvent)>,
    running: Option<Running>,
}

#[derive(Debug, Clone)]
struct Running {
    entry: Entry,
    digits: Digits,
    /// None while the prompt plays: the wait for the first digit begins at its end.
    deadline: Option<Duration>,
}

impl Digits {
    /// The digits; the one that asked for secret digits may read them here.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether they stay out of everything that is written.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl std::fmt::Debug for Digits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret {
            write!(f, "Digits(secret)")
        } else {
            write!(f, "Digits({})", self.text)
        }
    }
}

impl DigitCollector {
    /// A reported press: Some when it is a new one, None for the twin of an earlier report
    /// and for characters that are no digit.
    pub fn press(&mut self, now: Duration, event: DigitEvent) -> Option<char> {
        if !matches!(event.digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            return None;
        }
        self.reported
            .retain(|(at, _)| now.saturating_sub(*at) <= TWIN_WINDOW);
        let twin = self
            .reported
            .iter()
            .position(|(_, earlier)| earlier.digit == event.digit && earlier.via != event.via);
        if let Some(twin) = twin {
            self.reported.remove(twin);
            return None;
        }
        if self.reported.len() == MAX_MEMORY {
            self.reported.pop_front();
        }
        self.reported.push_back((now, event));
        Some(event.digit)
    }

    /// Begins an entry. The wait for the first digit begins with [`DigitCollector::prompt_ended`].
    pub fn begin(&mut self, entry: Entry) {
        let digits = Digits {
            text: String::new(),
            secret: entry.secret,
        };
        self.running = Some(Running {
            entry,
            digits,
            deadline: None,
        });
    }

    /// The prompt is over: the first digit is due.
    pub fn prompt_ended(&mut self, now: Duration) {
        if let Some(running) = &mut self.running {
            running
                .deadline
                .get_or_insert(now.saturating_add(running.entry.first));
        }
    }

    /// Feeds a press that [`DigitCollector::press`] let through into the entry.
    pub fn feed(&mut self, now: Duration, digit: char) -> Option<Outcome> {
        let running = self.running.as_mut()?;
        if running.entry.terminators.contains(digit) {
            return self.close();
        }
        running.digits.text.push(digit);
        running.deadline = Some(now.saturating_add(running.entry.between));
        let full = running.digits.text.len() >= usize::from(running.entry.max);
        if full { self.close() } else { None }
    }

    /// When the entry ends by itself.
    pub fn deadline(&self) -> Option<Duration> {
        self.running.as_ref()?.deadline
    }

    /// Ends the entry when its time is up; early calls do nothing.
    pub fn expire(&mut self, now: Duration) -> Option<Outcome> {
        if self.deadline()? > now {
            return None;
        }
        self.close()
    }

    /// True while an entry with `secret` runs.
    pub fn is_secret(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.entry.secret)
    }

    /// Drops the entry.
    pub fn cancel(&mut self) {
        self.running = None;
    }

    fn close(&mut self) -> Option<Outcome> {
        let Running { entry, digits, .. } = self.running.take()?;
        let enough = digits.text.len() >= usize::from(entry.min);
        Some(if enough {
            Outcome::Complete(digits)
        } else {
            Outcome::Incomplete(digits)
        })
    }
}
