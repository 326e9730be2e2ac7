//! The unit of sound: 20 ms of PCM16 mono, held inline so that no frame ever allocates.

use std::time::Duration;

/// Milliseconds of one frame and of one tick.
pub const FRAME_MS: u64 = 20;
/// Length of one frame and of one tick.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS);
/// Samples of the longest frame (16 kHz).
pub const MAX_FRAME_LEN: usize = 320;
/// What `level_dbov` says of digital silence.
pub const SILENCE_DBOV: f32 = -96.0;

/// Sample rate of PCM inside the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Narrowband: G.711.
    Hz8000,
    /// Wideband: recogniser input, G.722.
    Hz16000,
}

impl Rate {
    /// Samples per second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
        }
    }

    /// Samples of one 20 ms frame: 160 or 320.
    pub const fn frame_len(self) -> usize {
        self.samples(FRAME_MS)
    }

    /// Samples in `ms` milliseconds.
    pub const fn samples(self, ms: u64) -> usize {
        (self.hz() as u64 * ms / 1_000) as usize
    }

    /// A monotonic time as a sample count at this rate.
    pub const fn samples_at(self, now: Duration) -> i64 {
        (now.as_micros() * self.hz() as u128 / 1_000_000) as i64
    }

    /// Milliseconds that `samples` last, rounded down.
    pub const fn ms(self, samples: i64) -> i64 {
        samples * 1_000 / self.hz() as i64
    }
}

/// 20 ms of PCM16 mono at one of the two rates.
#[derive(Clone, Copy)]
pub struct Frame {
    rate: Rate,
    samples: [i16; MAX_FRAME_LEN],
}

impl Frame {
    /// Digital silence.
    pub const fn silence(rate: Rate) -> Self {
        Self {
            rate,
            samples: [0; MAX_FRAME_LEN],
        }
    }

    /// A frame of the given samples; a short slice is padded with silence, a long one cut.
    pub fn from_samples(rate: Rate, pcm: &[i16]) -> Self {
        let mut frame = Self::silence(rate);
        for (to, from) in frame.samples_mut().iter_mut().zip(pcm) {
            *to = *from;
        }
        frame
    }

    /// The rate, which fixes the length.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// The 160 or 320 samples.
    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.rate.frame_len()]
    }

    /// The 160 or 320 samples, to write.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.rate.frame_len()]
    }

    /// Mean power relative to digital full scale, in dBov (RFC 6464 §3 scale, but negative); −96 for digital silence.
    pub fn level_dbov(&self) -> f32 {
        level_dbov(self.samples())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Frame({} Hz, {:.1} dBov)",
            self.rate.hz(),
            self.level_dbov()
        )
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.rate == other.rate && self.samples() == other.samples()
    }
}

/// Mean power of any stretch of PCM in dBov; −96 for silence or nothing.
pub fn level_dbov(pcm: &[i16]) -> f32 {
    let sum: i64 = pcm.iter().map(|&s| i64::from(s) * i64::from(s)).sum();
    if sum == 0 {
        return SILENCE_DBOV;
    }
    let mean = sum as f32 / pcm.len() as f32 / (32_768.0 * 32_768.0);
    (10.0 * mean.log10()).max(SILENCE_DBOV)
}
