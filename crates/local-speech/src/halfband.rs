//! 8 kHz ↔ 16 kHz by a half-band filter: cheap, streaming, and enough for voices and tests.
//!
//! Calls use the resampler of media-core; this one serves the voices, whose sound is made
//! at one of the two rates and asked for at the other.

/// Taps of the filter on one side of its centre that are not zero.
const SIDE: usize = 16;
/// Full length of the low-pass: the centre and `SIDE` odd offsets on each side.
const SPAN: usize = 4 * SIDE - 1;

/// Coefficients for offsets 1, 3, 5 … from the centre (Hann-windowed sinc, unit gain at 0 Hz).
fn side_taps() -> [f32; SIDE] {
    let mut taps = [0.0_f32; SIDE];
    let mut sum = 0.0_f64;
    for (i, tap) in taps.iter_mut().enumerate() {
        let offset = (2 * i + 1) as f64;
        let angle = std::f64::consts::PI * offset;
        let sinc = (angle / 2.0).sin() / angle;
        let window = 0.5 + 0.5 * (angle / (SPAN + 1) as f64 * 2.0).cos();
        *tap = (sinc * window) as f32;
        sum += f64::from(*tap);
    }
    // Both sides together must add up to one half, the centre tap being the other.
    taps.map(|t| t * (0.25 / sum) as f32)
}

/// Doubles the rate.
pub struct Up2 {
    taps: [f32; SIDE],
    past: [f32; 2 * SIDE],
}

/// Halves the rate.
pub struct Down2 {
    taps: [f32; SIDE],
    past: [f32; SPAN],
    odd: bool,
}

impl Default for Up2 {
    fn default() -> Self {
        Up2 {
            taps: side_taps(),
            past: [0.0; 2 * SIDE],
        }
    }
}

impl Default for Down2 {
    fn default() -> Self {
        Down2 {
            taps: side_taps(),
            past: [0.0; SPAN],
            odd: false,
        }
    }
}

impl Up2 {
    /// Appends two samples to `out` for each one of `input`. Delay: 2 ms.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) {
        out.reserve(input.len() * 2);
        for sample in input {
            self.past.copy_within(1.., 0);
            self.past[2 * SIDE - 1] = f32::from(*sample);
            out.push(clip(self.past[SIDE - 1]));
            let between: f32 = (0..SIDE)
                .map(|i| self.taps[i] * (self.past[SIDE - 1 - i] + self.past[SIDE + i]))
                .sum();
            out.push(clip(2.0 * between));
        }
    }
}

impl Down2 {
    /// Appends one sample to `out` for each two of `input`. Delay: 2 ms.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) {
        out.reserve(input.len() / 2 + 1);
        for sample in input {
            self.past.copy_within(1.., 0);
            self.past[SPAN - 1] = f32::from(*sample);
            self.odd = !self.odd;
            if self.odd {
                out.push(self.filtered());
            }
        }
    }

    fn filtered(&self) -> i16 {
        let centre = SPAN / 2;
        let sides: f32 = (0..SIDE)
            .map(|i| self.taps[i] * (self.past[centre - 2 * i - 1] + self.past[centre + 2 * i + 1]))
            .sum();
        clip(self.past[centre] * 0.5 + sides)
    }
}

fn clip(value: f32) -> i16 {
    value
        .round()
        .clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, rate: f32, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| (8000.0 * (std::f32::consts::TAU * hz * i as f32 / rate).sin()) as i16)
            .collect()
    }

    fn level(pcm: &[i16]) -> f32 {
        let mid = &pcm[pcm.len() / 4..pcm.len() * 3 / 4];
        (mid.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / mid.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_level_both_ways_in_odd_pieces() {
        let mut up = Up2::default();
        let mut wide = Vec::new();
        for piece in tone(1000.0, 8000.0, 4000).chunks(33) {
            up.push(piece, &mut wide);
        }
        assert_eq!(wide.len(), 8000);
        assert!(
            (level(&wide) / 5657.0 - 1.0).abs() < 0.01,
            "{}",
            level(&wide)
        );
        let mut narrow = Vec::new();
        let mut down = Down2::default();
        for piece in wide.chunks(77) {
            down.push(piece, &mut narrow);
        }
        assert_eq!(narrow.len(), 4000);
        assert!((level(&narrow) / 5657.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn what_would_alias_is_taken_away() {
        let mut narrow = Vec::new();
        Down2::default().push(&tone(6000.0, 16_000.0, 8000), &mut narrow);
        assert!(level(&narrow) < 60.0, "{}", level(&narrow));
    }
}
