//! An utterance's own sound laid over the channel of a recording: where the two part.

#![allow(dead_code, reason = "each test program uses its part")]

/// Where an utterance's sound ends in a channel.
#[derive(Debug)]
pub struct Parting {
    /// Where in the channel the utterance begins.
    pub begins: usize,
    /// After the last sample that is surely there: beyond it, up to `lost`, the voice is silent.
    pub last: i64,
    /// The first sample that is surely missing.
    pub lost: i64,
    /// Silence that was stepped over within it, samples.
    pub paused: usize,
}

const PROBE: usize = 480;
const AUDIBLE: i16 = 200;

/// How alike two stretches are: 1 is the same but for loudness.
fn alike(a: &[i16], b: &[i16]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum()
    };
    let energy = (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt();
    if energy < 1.0 {
        return 0.0;
    }
    sum(|a, b| a * b) / energy
}

/// The place between `from` and `to` of a channel where a probe fits best, if it fits.
fn locate(channel: &[i16], probe: &[i16], from: usize, to: usize) -> Option<usize> {
    let to = to.min(channel.len().saturating_sub(probe.len()));
    let fits = (from..to).map(|at| (alike(&channel[at..at + probe.len()], probe), at));
    let (best, at) = fits.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best > 0.95).then_some(at)
}

/// Sample against sample, as far as µ-law lets them be the same.
fn same(heard: i16, meant: i16) -> bool {
    (i32::from(heard) - i32::from(meant)).abs() <= i32::from(meant).abs() / 16 + 16
}

/// Lays an utterance over a channel. A pause within it is stepped over.
pub fn part(channel: &[i16], utterance: &[i16]) -> Option<Parting> {
    let first = utterance.iter().position(|s| s.abs() > AUDIBLE).unwrap();
    let probe = &utterance[first..first + PROBE];
    let at = locate(channel, probe, first, channel.len())?;
    let begins = at - first;
    let (mut lag, mut i) = (begins, 0);
    while i < utterance.len() {
        if channel
            .get(lag + i)
            .is_some_and(|heard| same(*heard, utterance[i]))
        {
            i += 1;
            continue;
        }
        let Some(next) = resumes(channel, utterance, lag, i) else {
            break;
        };
        (i, lag) = (next.0 + 1, next.1);
    }
    let heard = &utterance[..i];
    let last = heard.iter().rposition(|s| s.abs() > AUDIBLE);
    Some(Parting {
        begins,
        last: last.map_or(0, |at| at as i64 + 1),
        lost: i as i64,
        paused: lag - begins,
    })
}

/// Where the utterance goes on after a pause at sample `i`: the next audible sample, and the lag
/// from there on. A machine that is too busy makes such pauses too, now and then frame after
/// frame: so what is looked for lies within one frame and must be there sample for sample.
fn resumes(channel: &[i16], utterance: &[i16], lag: usize, i: usize) -> Option<(usize, usize)> {
    let quiet = utterance[i..].iter().position(|s| s.abs() > AUDIBLE)?;
    let next = i + quiet;
    let end = (next + 40).next_multiple_of(160);
    let probe = utterance.get(next..end)?;
    let range = channel.get(lag + i..channel.len().min(lag + end + 16_000))?;
    let mut windows = range.windows(probe.len());
    let fits = |heard: &[i16]| heard.iter().zip(probe).all(|(h, m)| same(*h, *m));
    let at = lag + i + windows.position(fits)?;
    Some((next, at.checked_sub(next)?))
}
