//! Comfort noise (RFC 3389): what is heard while the far side sends nothing because its side is silent.

use crate::Frame;

/// The noise of one far side. Only its level is followed, not its colour.
#[derive(Debug, Default)]
pub struct Comfort {
    /// Peak of the noise; none while there is sound.
    peak: Option<f32>,
    seed: u32,
}

impl Comfort {
    /// A packet of comfort noise: its first byte is the level in −dBov (RFC 3389 §3.1).
    pub fn hear(&mut self, payload: &[u8]) {
        let Some(&level) = payload.first() else {
            return;
        };
        let level_dbov = -f32::from(level & 0x7f);
        let power = 10.0_f32.powf(level_dbov / 20.0) * 32_768.0;
        // The peak of even noise is √3 times its mean.
        self.peak = Some(power * 3.0_f32.sqrt());
    }

    /// Whether the far side is silent on purpose.
    pub const fn is_heard(&self) -> bool {
        self.peak.is_some()
    }

    /// Sound came: no noise until it is announced again.
    pub const fn stop(&mut self) {
        self.peak = None;
    }

    /// Fills a frame in which nothing was heard; without an announcement it stays as it is.
    pub fn fill(&mut self, frame: &mut Frame) {
        let Some(peak) = self.peak else {
            return;
        };
        for sample in frame.samples_mut() {
            // Numerical Recipes' quick generator: nobody's secret hangs on it.
            self.seed = self
                .seed
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let even = (self.seed >> 8) as f32 / 8_388_608.0 - 1.0;
            *sample = (even * peak) as i16;
        }
    }
}
