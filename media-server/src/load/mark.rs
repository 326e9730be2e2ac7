//! Marked sound: each 20 ms that a call says carries the call's number, the frame's number and its
//! send time, in G.711 code words that survive decoding and encoding unchanged.
//!
//! The far side may cut frames elsewhere than we did, so a mark is searched in the joined stream.

use std::time::Duration;

/// Code words in a frame.
pub(super) const FRAME: usize = 160;
/// Where a frame begins. None of these is a digit or a sound that tables confuse.
const SYNC: [u8; 8] = [0x11, 0x6e, 0x23, 0x5c, 0x35, 0x4a, 0x17, 0x68];
const DIGITS: usize = 21;
const HEAD: usize = SYNC.len() + DIGITS;
/// The filler is a window into this many code words.
const NOISE: usize = 509;

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The call, 20 bits.
    pub(super) call: u32,
    /// The frame in the call, 24 bits.
    pub(super) frame: u32,
    /// When it was sent, microseconds on the generator's clock, 32 bits: wraps after 71 minutes.
    pub(super) sent_us: u32,
}

impl Mark {
    /// How long ago it was sent.
    pub(super) fn age(&self, now: Duration) -> Duration {
        let age_us = (now.as_micros() as u32).wrapping_sub(self.sent_us);
        Duration::from_micros(age_us.into())
    }

    fn digits(&self) -> [u8; DIGITS] {
        let mut out = [0; DIGITS];
        let fields = [(self.call, 5), (self.frame, 6), (self.sent_us, 8)];
        let nibbles = fields
            .into_iter()
            .flat_map(|(value, count)| (0..count).map(move |at| (value >> (4 * at)) as u8 & 15));
        for (slot, nibble) in out.iter_mut().zip(nibbles) {
            *slot = nibble;
        }
        let [low, high] = check(&out);
        out[DIGITS - 2] = low;
        out[DIGITS - 1] = high;
        out
    }

    fn of_digits(digits: &[u8; DIGITS]) -> Option<Self> {
        let mut bare = *digits;
        bare[DIGITS - 2] = 0;
        bare[DIGITS - 1] = 0;
        let checked = check(&bare) == [digits[DIGITS - 2], digits[DIGITS - 1]];
        let value = |from: usize, count: usize| {
            let nibbles = digits.iter().skip(from).take(count).enumerate();
            nibbles.fold(0, |sum, (at, nibble)| sum | u32::from(*nibble) << (4 * at))
        };
        checked.then(|| Self {
            call: value(0, 5),
            frame: value(5, 6),
            sent_us: value(11, 8),
        })
    }
}

fn check(digits: &[u8; DIGITS]) -> [u8; 2] {
    let sum = digits
        .iter()
        .fold(0_u8, |sum, digit| sum.wrapping_mul(17).wrapping_add(*digit));
    [sum & 15, sum >> 4]
}

/// A digit as a code word: one of each segment's lower and upper half, all of one sign.
const fn word(digit: u8) -> u8 {
    0x80 | (digit << 3)
}

const fn digit(word: u8) -> Option<u8> {
    match word & 0x87 {
        0x80 => Some((word & 0x7f) >> 3),
        _ => None,
    }
}

/// The sound between the marks.
pub(super) struct Noise([u8; NOISE + FRAME]);

impl Noise {
    pub(super) fn new() -> Self {
        let mut state = 0x2545_f491_u32;
        let mut words = [0; NOISE + FRAME];
        for word in words.iter_mut().take(NOISE) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            // µ-law's negative zero (0x7f) comes back as positive zero.
            *word = match (state >> 24) as u8 {
                0x7f => 0x7e,
                other => other,
            };
        }
        words.copy_within(..FRAME, NOISE);
        Self(words)
    }

    /// What follows this mark: it differs from call to call and from frame to frame.
    fn after(&self, mark: Mark) -> &[u8] {
        let from = (mark.call as usize * 37 + mark.frame as usize * 11) % NOISE;
        self.0.get(from..from + FRAME - HEAD).unwrap_or_default()
    }

    /// Writes one frame.
    pub(super) fn write(&self, mark: Mark, out: &mut [u8; FRAME]) {
        let digits = mark.digits().map(word);
        let words = SYNC.iter().chain(&digits).chain(self.after(mark));
        for (slot, word) in out.iter_mut().zip(words) {
            *slot = *word;
        }
    }

    /// Reads the frame that begins here; with it, whether all its sound is as it was written.
    fn read(&self, words: &[u8]) -> Option<(Mark, bool)> {
        let frame = words.get(..FRAME)?;
        let (head, sound) = frame.split_at_checked(HEAD)?;
        let (sync, words) = head.split_at_checked(SYNC.len())?;
        if sync != SYNC {
            return None;
        }
        let mut digits = [0; DIGITS];
        for (slot, word) in digits.iter_mut().zip(words) {
            *slot = digit(*word)?;
        }
        let mark = Mark::of_digits(&digits)?;
        Some((mark, sound == self.after(mark)))
    }
}

/// Finds marks in what one call hears.
pub(super) struct Reader {
    /// The last two packets' words, the newest last.
    words: [u8; 2 * FRAME],
    /// Where the last frame began.
    offset: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            words: [0; 2 * FRAME],
            offset: FRAME,
        }
    }

    /// The frame that ends in this payload, if one does.
    pub(super) fn hear(&mut self, payload: &[u8], noise: &Noise) -> Option<(Mark, bool)> {
        self.words.copy_within(FRAME.., 0);
        let fresh = self.words.get_mut(FRAME..)?;
        if payload.len() != FRAME {
            fresh.fill(0);
            return None;
        }
        fresh.copy_from_slice(payload);
        let at = |offset: usize| noise.read(self.words.get(offset..)?);
        if let Some(found) = at(self.offset) {
            return Some(found);
        }
        let (offset, found) = (1..=FRAME).find_map(|offset| Some((offset, at(offset)?)))?;
        self.offset = offset;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_core::codec::{pcma, pcmu};

    fn stream(frames: u32) -> Vec<u8> {
        let noise = Noise::new();
        let mark = |frame| Mark {
            call: 0x9_a5f1,
            frame,
            sent_us: 0xfedc_ba98_u32.wrapping_add(frame),
        };
        let mut frame_words = [0; FRAME];
        (0..frames)
            .flat_map(|frame| {
                noise.write(mark(frame), &mut frame_words);
                frame_words
            })
            .collect()
    }

    fn heard(words: &[u8]) -> Vec<(u32, bool)> {
        let (noise, mut reader) = (Noise::new(), Reader::new());
        let found = words.chunks(FRAME).filter_map(|p| reader.hear(p, &noise));
        found.map(|(mark, intact)| (mark.frame, intact)).collect()
    }

    #[test]
    fn marks_survive_both_laws_and_any_cut() {
        let said = stream(40);
        for spec in [&pcmu::SPEC, &pcma::SPEC] {
            let (mut pcm, mut back) = (vec![0; said.len()], vec![0; said.len()]);
            let mut codec = (spec.make)();
            codec.decode(&said, &mut pcm).unwrap();
            codec.encode(&pcm, &mut back).unwrap();
            for shift in [0, 1, 7, 80, 159] {
                let mut shifted = vec![0xff; shift];
                shifted.extend_from_slice(&back);
                let frames = heard(&shifted);
                // The cut leaves the last frame without its end.
                let last = 40 - u32::from(shift > 0);
                let expected: Vec<_> = (0..last).map(|frame| (frame, true)).collect();
                assert_eq!(frames, expected, "{} shifted by {shift}", spec.name);
            }
        }
    }

    #[test]
    fn a_changed_sound_is_seen_and_a_changed_mark_is_no_mark() {
        let mut said = stream(3);
        said[FRAME + 100] ^= 1;
        said[2 * FRAME + 12] ^= 0x18;
        assert_eq!(heard(&said), [(0, true), (1, false)]);
    }

    #[test]
    fn the_age_survives_the_wrap_of_the_clock() {
        let sent = Duration::from_micros(u64::from(u32::MAX) - 10);
        let mark = Mark {
            call: 0,
            frame: 0,
            sent_us: sent.as_micros() as u32,
        };
        let later = sent + Duration::from_millis(25);
        assert_eq!(mark.age(later), Duration::from_millis(25));
    }
}
