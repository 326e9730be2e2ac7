//! A hole whose both ends are known: what came before it is led into what comes after it.
//!
//! The repetition of the last pitch period is read a little faster or slower, so that it ends in step with the sound behind
//! the hole, and is faded over into that sound's first period, repeated backwards. The buffer's one frame of delay is what
//! makes both ends known: nothing waits for this.

use super::{best, similarity};
use crate::{MAX_FRAME_LEN, Rate};

/// Of a longer hole all but the rest is extrapolated.
pub const LONGEST_MS: u64 = 60;
/// So much must be known behind the hole.
const AFTER_MS: usize = 5;
const MATCH_MS: usize = 10;
const MIN_PERIOD_MS: usize = 5;
const MAX_PERIOD_MS: usize = 15;
/// 60 ms at the highest rate.
const LONGEST: usize = 3 * MAX_FRAME_LEN;
/// Half a period beyond the hole is tried, and compared over a window.
const SCRATCH: usize = LONGEST + 2 * MAX_FRAME_LEN;

/// The samples planned for one hole.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    /// Samples of a millisecond.
    unit: usize,
    plan: Vec<i16>,
    at: usize,
}

/// How the repetition of what came before meets what comes after.
struct Meeting {
    /// Where in the repetition the sound behind the hole begins.
    at: usize,
    /// How alike the two are there, 0 to 1.
    likeness: f32,
}

impl Bridge {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            unit: rate.samples(1),
            plan: Vec::with_capacity(LONGEST),
            at: 0,
        }
    }

    /// Whether planned samples wait.
    pub(super) fn is_planned(&self) -> bool {
        self.at < self.plan.len()
    }

    /// Whether the plan was played to its end, so that the sound behind it follows on without a seam.
    pub(super) fn has_arrived(&self) -> bool {
        !self.plan.is_empty() && !self.is_planned()
    }

    pub(super) fn clear(&mut self) {
        self.plan.clear();
        self.at = 0;
    }

    /// The next planned sample.
    pub(super) fn next(&mut self) -> Option<i16> {
        let sample = self.plan.get(self.at).copied()?;
        self.at += 1;
        Some(sample)
    }

    /// Whether a hole of this length with this behind it can be bridged.
    pub(super) fn suits(&self, gap: usize, after: &[i16]) -> bool {
        let longest = (LONGEST_MS as usize * self.unit).min(LONGEST);
        (1..=longest).contains(&gap) && after.len() >= AFTER_MS * self.unit
    }

    /// Plans `gap` samples: from `next`, the repetition of what came before with this pitch, into `after`.
    pub(super) fn plan(
        &mut self,
        gap: usize,
        after: &[i16],
        pitch: usize,
        mut next: impl FnMut() -> i16,
    ) {
        let window = (MATCH_MS * self.unit).min(after.len());
        let mut before = [0_i16; SCRATCH];
        let before = &mut before[..(gap + pitch / 2 + window).min(SCRATCH)];
        before.iter_mut().for_each(|sample| *sample = next());
        let meeting = self.meet(gap, before, &after[..window], pitch);
        let period = self.period_of(after);
        self.clear();
        let stride = meeting.at as f32 / gap as f32;
        let planned = (0..gap).map(|t| {
            let old = between(before, t as f32 * stride);
            let new = after.get((period - (gap - t) % period) % period);
            let new = f32::from(new.copied().unwrap_or(0));
            let done = (t as f32 + 0.5) / gap as f32;
            blend(old, new, done, meeting.likeness)
        });
        self.plan.extend(planned);
    }

    /// Within half a period around the end of the hole.
    fn meet(&self, gap: usize, before: &[i16], after: &[i16], pitch: usize) -> Meeting {
        let stride = (self.unit / 8).max(1);
        let score = |at: usize| match before.get(at..at + after.len()) {
            Some(part) => similarity(part, after, stride),
            None => -1.0,
        };
        let places = (gap.saturating_sub(pitch / 2)..=gap + pitch / 2).step_by(stride);
        let (at, likeness) = best(places, score).unwrap_or((gap, 0.0));
        Meeting {
            at,
            likeness: likeness.clamp(0.0, 1.0),
        }
    }

    /// The first period behind the hole; all that is known of it where that is too short to tell.
    fn period_of(&self, after: &[i16]) -> usize {
        let (stride, window) = ((self.unit / 8).max(1), AFTER_MS * self.unit);
        let longest = (MAX_PERIOD_MS * self.unit).min(after.len().saturating_sub(window));
        let score = |lag: usize| match (after.get(..window), after.get(lag..lag + window)) {
            (Some(here), Some(later)) => similarity(here, later, stride),
            _ => -1.0,
        };
        let lags = (MIN_PERIOD_MS * self.unit..=longest).step_by(stride);
        best(lags, score).map_or(after.len().max(1), |(lag, _)| lag)
    }
}

/// From the old sound to the new one at the same power, be they alike or not.
fn blend(old: f32, new: f32, done: f32, likeness: f32) -> i16 {
    let b = 0.5 - 0.5 * (done * std::f32::consts::PI).cos();
    let a = 1.0 - b;
    let power = a * a + b * b + 2.0 * likeness * a * b;
    ((old * a + new * b) / power.sqrt()) as i16
}

/// The sound between two samples.
fn between(samples: &[i16], place: f32) -> f32 {
    let at = place as usize;
    let sample = |at: usize| f32::from(samples.get(at).copied().unwrap_or(0));
    sample(at) + (sample(at + 1) - sample(at)) * (place - at as f32)
}
