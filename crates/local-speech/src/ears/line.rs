//! The sound a call still needs, addressed by its sample number since listening began.

use std::collections::VecDeque;

/// Samples per millisecond at 16 kHz.
pub(crate) const PER_MS: u64 = 16;

/// A sliding piece of one call's sound, 16 kHz, with its place on the call's timeline.
pub(crate) struct Line {
    samples: VecDeque<i16>,
    /// Sample number of the first sample kept.
    origin: u64,
    /// Call time of sample number 0, ms; it may lie before the call's start after a rebase.
    base_ms: i64,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line {
            samples: VecDeque::new(),
            origin: 0,
            base_ms: 0,
        }
    }

    /// Sample number after the last one.
    pub(crate) fn end(&self) -> u64 {
        self.origin + self.samples.len() as u64
    }

    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    pub(crate) fn append(&mut self, frame: &[i16]) {
        self.samples.extend(frame);
    }

    pub(crate) fn append_silence(&mut self, samples: u64) {
        let length = self.samples.len() + samples as usize;
        self.samples.resize(length, 0);
    }

    /// The end of the line is at call time `at_ms` from now on.
    pub(crate) fn set_end_ms(&mut self, at_ms: u64) {
        self.base_ms = at_ms as i64 - (self.end() / PER_MS) as i64;
    }

    /// Call time of a sample number.
    pub(crate) fn ms(&self, sample: u64) -> u64 {
        (self.base_ms + (sample / PER_MS) as i64).max(0) as u64
    }

    /// Forgets everything before `sample`.
    pub(crate) fn forget_before(&mut self, sample: u64) {
        let gone = sample
            .saturating_sub(self.origin)
            .min(self.samples.len() as u64);
        self.samples.drain(..gone as usize);
        self.origin += gone;
        // After a long utterance the room it took is given back.
        if self.samples.capacity() > 8 * self.samples.len().max(4096) {
            self.samples.shrink_to(2 * self.samples.len());
        }
    }

    /// A copy of [from, to) as ±1.0; what is no longer or not yet there is left out.
    pub(crate) fn copy(&self, from: u64, to: u64) -> Vec<f32> {
        let from = from.clamp(self.origin, self.end());
        let to = to.clamp(from, self.end());
        let range = (from - self.origin) as usize..(to - self.origin) as usize;
        self.samples
            .range(range)
            .map(|s| f32::from(*s) / 32_768.0)
            .collect()
    }

    /// Fills `frame` from sample number `from` on; what is not there becomes silence.
    pub(crate) fn read(&self, from: u64, frame: &mut [f32]) {
        frame.fill(0.0);
        let skip = from.saturating_sub(self.origin) as usize;
        for (to, sample) in frame.iter_mut().zip(self.samples.iter().skip(skip)) {
            *to = f32::from(*sample) / 32_768.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_keep_their_number_and_time() {
        let mut line = Line::new();
        line.set_end_ms(1000);
        line.append(&[1; 320]);
        line.append(&[2; 320]);
        line.forget_before(320);
        assert_eq!((line.origin(), line.end()), (320, 640));
        assert_eq!(line.ms(320), 1020);
        assert_eq!(line.copy(0, 10_000).len(), 320);
        let mut frame = [9.0; 4];
        line.read(638, &mut frame);
        assert_eq!(frame, [2.0 / 32_768.0, 2.0 / 32_768.0, 0.0, 0.0]);
    }
}
