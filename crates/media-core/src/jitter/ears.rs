//! The recogniser's own cursor over the stored sound: as soon as a frame is there in order it goes out, before any
//! smoothing. A hole is waited for 40 ms; a stream that falls silent is filled in after 100 ms so that endpointing goes on.

use super::store::{Run, Store};
use crate::{Frame, Rate};

const HOLE_WAIT_MS: u64 = 40;
const SILENCE_WAIT_MS: u64 = 100;

/// A frame as it stands on the stream's line.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// The sound, at the line rate.
    pub frame: Frame,
    /// Position of its first sample on the stream's line.
    pub position: i64,
    /// At least half of it came from the network.
    pub heard: bool,
}

/// Reads frames in order, each position once.
#[derive(Debug)]
pub struct EarCursor {
    rate: Rate,
    position: Option<i64>,
    heard_until: i64,
    waiting: Option<Waiting>,
}

/// What is being waited for, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    since: i64,
    /// Nothing younger is there either: the far side may simply be silent.
    empty: bool,
}

impl EarCursor {
    /// A cursor that has heard nothing.
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            position: None,
            heard_until: i64::MIN,
            waiting: None,
        }
    }

    /// Where the next frame begins; nothing before it is needed any more.
    pub const fn position(&self) -> Option<i64> {
        self.position
    }

    /// Whether a packet that begins here is still of use.
    pub fn wants(&self, end: i64) -> bool {
        self.position
            .is_none_or(|at| end > at.min(self.heard_until.max(at - self.rate.samples(500) as i64)))
    }

    /// A packet arrived: start at it, or go back to it when only filled-in silence has passed since.
    pub fn on_packet(&mut self, start: i64, len: usize) {
        match self.position {
            None => self.position = Some(start),
            Some(at)
                if start < at
                    && start >= self.heard_until
                    && start + len as i64 > self.heard_until =>
            {
                self.position = Some(start);
            }
            Some(_) => {}
        }
    }

    /// The next frame, if it is due. `now` in samples.
    pub fn pull(&mut self, now: i64, store: &Store) -> Option<Heard> {
        let position = self.position?;
        let len = self.rate.frame_len();
        let (known, empty) = survey(store, position, len);
        if known < len && !self.waited(now, empty) {
            return None;
        }
        Some(self.take(store, position, known, now, empty))
    }

    /// True once the wait for what is missing is over. The patience with a hole begins when something younger shows it.
    fn waited(&mut self, now: i64, empty: bool) -> bool {
        let waiting = self
            .waiting
            .filter(|w| w.empty == empty)
            .unwrap_or(Waiting { since: now, empty });
        self.waiting = Some(waiting);
        let patience = if empty { SILENCE_WAIT_MS } else { HOLE_WAIT_MS };
        now - waiting.since >= self.rate.samples(patience) as i64
    }

    fn take(&mut self, store: &Store, position: i64, known: usize, now: i64, empty: bool) -> Heard {
        let mut frame = Frame::silence(self.rate);
        let len = self.rate.frame_len();
        if let Some(until) = copy_known(store, position, frame.samples_mut()) {
            self.heard_until = until;
        }
        self.position = Some(position + len as i64);
        // In a silent stream one frame per tick follows, so the wait is shortened, not begun anew.
        self.waiting = match self.waiting {
            Some(_) if empty && known < len => {
                let since = now - self.rate.samples(SILENCE_WAIT_MS) as i64 + len as i64;
                Some(Waiting { since, empty })
            }
            Some(waiting) if known < len => Some(waiting),
            Some(_) | None => None,
        };
        Heard {
            frame,
            position,
            heard: known * 2 >= len,
        }
    }
}

/// How many samples of the frame are known, and whether nothing follows what is missing.
fn survey(store: &Store, position: i64, len: usize) -> (usize, bool) {
    let (mut known, mut at) = (0, 0);
    while at < len {
        match store.run(position + at as i64, len - at) {
            Run::Known(n) => (known, at) = (known + n, at + n),
            Run::Missing(n) => at += n,
            Run::Empty => return (known, true),
        }
    }
    (known, false)
}

fn copy_known(store: &Store, position: i64, out: &mut [i16]) -> Option<i64> {
    let (mut at, mut until) = (0, None);
    while at < out.len() {
        match store.run(position + at as i64, out.len() - at) {
            Run::Known(n) => {
                store.copy(position + at as i64, &mut out[at..at + n]);
                at += n;
                until = Some(position + at as i64);
            }
            Run::Missing(n) => at += n,
            Run::Empty => break,
        }
    }
    until
}
