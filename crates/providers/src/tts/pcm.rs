//! PCM as servers send it: bytes in any pieces, 8 or 24 kHz.

use std::{f32::consts::PI, sync::Arc};

/// Taps of the low-pass on each side of its centre.
const SIDE: usize = 24;
const TAPS: usize = 2 * SIDE + 1;
/// Cut-off as part of the lower rate's Nyquist frequency.
const CUT: f32 = 0.92;

/// From bytes (PCM16, little-endian) to 8 kHz samples.
pub(super) struct Pcm {
    odd: Option<u8>,
    third: Option<Third>,
}

impl Pcm {
    /// A reader of 8 kHz.
    pub(super) fn at_8_khz() -> Self {
        Self {
            odd: None,
            third: None,
        }
    }

    /// A reader of 24 kHz.
    pub(super) fn at_24_khz() -> Self {
        Self {
            odd: None,
            third: Some(Third::new()),
        }
    }

    /// More bytes; the samples that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Arc<[i16]> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        for byte in bytes {
            match self.odd.take() {
                Some(low) => samples.push(i16::from_le_bytes([low, *byte])),
                None => self.odd = Some(*byte),
            }
        }
        match &mut self.third {
            Some(third) => samples.iter().filter_map(|s| third.push(*s)).collect(),
            None => samples.into(),
        }
    }
}

/// Every third sample behind a windowed sinc: 24 kHz to 8 kHz, 1 ms late.
struct Third {
    taps: [f32; TAPS],
    past: [f32; TAPS],
    at: usize,
    phase: u8,
}

impl Third {
    fn new() -> Self {
        let mut taps = [0.0; TAPS];
        for (nth, tap) in taps.iter_mut().enumerate() {
            let offset = nth as f32 - SIDE as f32;
            let angle = PI * offset * CUT / 3.0;
            let sinc = if offset == 0.0 {
                1.0
            } else {
                angle.sin() / angle
            };
            let window = 0.5 + 0.5 * (PI * offset / (SIDE + 1) as f32).cos();
            *tap = sinc * window;
        }
        let sum: f32 = taps.iter().sum();
        Self {
            taps: taps.map(|tap| tap / sum),
            past: [0.0; TAPS],
            at: 0,
            phase: 0,
        }
    }

    fn push(&mut self, sample: i16) -> Option<i16> {
        if let Some(slot) = self.past.get_mut(self.at) {
            *slot = f32::from(sample);
        }
        self.at = (self.at + 1) % TAPS;
        self.phase = (self.phase + 1) % 3;
        if self.phase != 0 {
            return None;
        }
        let (newer, older) = self.past.split_at(self.at);
        let line = older.iter().chain(newer);
        let sum: f32 = line.zip(&self.taps).map(|(sample, tap)| sample * tap).sum();
        Some(sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32) -> Vec<u8> {
        let sample = |n: i32| (10_000.0 * (2.0 * PI * hertz * n as f32 / 24_000.0).sin()) as i16;
        (0..24_000).flat_map(|n| sample(n).to_le_bytes()).collect()
    }

    fn level(samples: &[i16]) -> f32 {
        let middle = &samples[200..samples.len() - 200];
        let power: f32 = middle.iter().map(|s| f32::from(*s).powi(2)).sum();
        (power / middle.len() as f32).sqrt()
    }

    #[test]
    fn speech_passes_and_what_would_fold_back_does_not() {
        let heard = |hertz| level(&Pcm::at_24_khz().push(&tone(hertz)));
        for hertz in [300.0, 1_000.0, 3_000.0] {
            assert!(
                (heard(hertz) / 7_071.0 - 1.0).abs() < 0.03,
                "{hertz} Hz: {}",
                heard(hertz)
            );
        }
        for hertz in [5_000.0, 7_000.0, 11_000.0] {
            assert!(heard(hertz) < 70.0, "{hertz} Hz: {}", heard(hertz));
        }
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        let bytes = tone(440.0);
        let whole = Pcm::at_24_khz().push(&bytes);
        let mut pieces = Pcm::at_24_khz();
        let cut: Vec<i16> = bytes
            .chunks(7)
            .flat_map(|b| pieces.push(b).to_vec())
            .collect();
        assert_eq!(&*whole, cut.as_slice());
        assert_eq!(whole.len(), 8_000);
        assert_eq!(&*Pcm::at_8_khz().push(&[1, 0, 255, 255, 9]), [1, -1]);
    }
}
