//! An utterance's own sound laid over the channel of a recording: where the two part.

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

/// The sound from a sample on that lies within one frame, or little more: no pause can fall into it
/// without being seen.
fn piece(utterance: &[i16], first: usize) -> Option<&[i16]> {
    utterance.get(first..(first + 40).next_multiple_of(160))
}

/// The first place from `from` on where a piece is, sample for sample.
fn exactly(channel: &[i16], piece: &[i16], from: usize) -> Option<usize> {
    let fits = |heard: &[i16]| heard.iter().zip(piece).all(|(h, m)| same(*h, *m));
    let mut windows = channel.get(from..)?.windows(piece.len());
    windows.position(fits).map(|at| from + at)
}

/// Lays an utterance over a channel. A pause within it is stepped over.
pub fn part(channel: &[i16], utterance: &[i16]) -> Option<Parting> {
    let first = utterance.iter().position(|s| s.abs() > AUDIBLE)?;
    let probe = &utterance[first..first + PROBE];
    let at = locate(channel, probe, first, channel.len());
    let at = at.or_else(|| exactly(channel, piece(utterance, first)?, first))?;
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
    let probe = piece(utterance, next)?;
    let end = channel.len().min(lag + next + probe.len() + 16_000);
    let at = exactly(channel.get(..end)?, probe, lag + i)?;
    Some((next, at.checked_sub(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Vec<i16> {
        let mut dice = crate::dice::Dice::new(7);
        (0..4_000)
            .map(|_| dice.between(300, 9_000) as i16)
            .collect()
    }

    /// Silence for one frame where the machine was too busy.
    fn heard(voice: &[i16], hole_at: usize) -> Vec<i16> {
        let mut channel = vec![0; 800];
        channel.extend(&voice[..hole_at]);
        channel.extend([0; 160]);
        channel.extend(&voice[hole_at..3_000]);
        channel.extend([0; 800]);
        channel
    }

    #[test]
    fn a_pause_is_stepped_over_wherever_it_falls_and_the_end_is_found_to_the_sample() {
        let voice = voice();
        for hole_at in [160, 320, 480, 1_600] {
            let parting = part(&heard(&voice, hole_at), &voice).unwrap();
            let found = (parting.begins, parting.last, parting.lost, parting.paused);
            assert_eq!(found, (800, 3_000, 3_000, 160), "hole at {hole_at}");
        }
    }

    #[test]
    fn what_was_never_said_is_not_found() {
        assert!(part(&[0; 8_000], &voice()).is_none());
    }
}
