//! Making a frame a pitch period shorter or longer, so that the delay can change without a click.

use crate::conceal::{best, similarity};
use crate::frame::level_dbov;
use crate::{MAX_FRAME_LEN, Rate};

const MIN_LAG_MS: f32 = 2.5;
const ACCELERATE_LAG_MS: u64 = 15;
/// An inserted period is copied within one frame, which must hold it twice.
const EXPAND_LAG_MS: u64 = 10;
const LIKENESS: f32 = 0.6;
const QUIET_DBOV: f32 = -50.0;

/// Samples of input an acceleration may need: a frame and the longest period.
pub const MAX_INPUT: usize = MAX_FRAME_LEN + 240;

/// How keen the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Only where it cannot be heard: in periodic or quiet sound.
    Gentle,
    /// Wherever it fits best.
    Firm,
}

/// Longest period an acceleration may remove.
pub const fn max_removed(rate: Rate) -> usize {
    rate.samples(ACCELERATE_LAG_MS)
}

/// Makes one frame out of `input` (a frame and up to 15 ms more); returns the samples consumed, or none when the sound
/// does not allow it.
pub fn accelerate(rate: Rate, input: &[i16], out: &mut [i16], urgency: Urgency) -> Option<usize> {
    let frame = out.len();
    let longest = input.len().checked_sub(frame)?.min(max_removed(rate));
    let lag = period(rate, input, longest, urgency)?;
    let (head, tail) = out.split_at_mut(lag);
    crossfade(input.get(..lag)?, input.get(lag..2 * lag)?, head);
    tail.copy_from_slice(input.get(2 * lag..frame + lag)?);
    Some(frame + lag)
}

/// Makes one frame out of less than a frame; returns the samples consumed, or none.
pub fn expand(rate: Rate, input: &[i16], out: &mut [i16], urgency: Urgency) -> Option<usize> {
    let frame = out.len();
    let lag = period(
        rate,
        input,
        rate.samples(EXPAND_LAG_MS).min(frame / 2),
        urgency,
    )?;
    let consumed = frame - lag;
    out.get_mut(..lag)?.copy_from_slice(input.get(..lag)?);
    crossfade(
        input.get(lag..2 * lag)?,
        input.get(..lag)?,
        out.get_mut(lag..2 * lag)?,
    );
    out.get_mut(2 * lag..)?
        .copy_from_slice(input.get(lag..consumed)?);
    Some(consumed)
}

/// The lag at which the sound repeats itself best.
fn period(rate: Rate, input: &[i16], longest: usize, urgency: Urgency) -> Option<usize> {
    let shortest = (rate.hz() as f32 * MIN_LAG_MS / 1_000.0) as usize;
    let window = rate.samples(5);
    let stride = (rate.samples(1) / 8).max(1);
    let longest = longest.min(input.len().checked_sub(window)?);
    let score = |lag: usize| match (input.get(..window), input.get(lag..lag + window)) {
        (Some(a), Some(b)) => similarity(a, b, stride),
        _ => -1.0,
    };
    let (lag, likeness) = best((shortest..=longest).step_by(stride), score)?;
    let fits = likeness >= LIKENESS || urgency == Urgency::Firm || level_dbov(input) < QUIET_DBOV;
    fits.then_some(lag)
}

fn crossfade(from: &[i16], to: &[i16], out: &mut [i16]) {
    let len = out.len() as f32 + 1.0;
    for (i, (sample, (a, b))) in out.iter_mut().zip(from.iter().zip(to)).enumerate() {
        let weight = (i + 1) as f32 / len;
        *sample = (f32::from(*a) * (1.0 - weight) + f32::from(*b) * weight) as i16;
    }
}
