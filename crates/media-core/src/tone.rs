//! Call progress tones and the 1 kHz test tone.

use crate::{Frame, Rate};

/// A tone of one or two frequencies with an optional cadence; continues seamlessly from frame to frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Tone {
    hz: [f32; 2],
    amplitude: f32,
    on_ms: u32,
    off_ms: u32,
    phase: [f32; 2],
    elapsed_ms: u32,
}

impl Tone {
    /// A steady sine. `level_dbov` is its mean power, so 0 is 3 dB above the loudest sine there is; −16 is comfortable.
    pub fn sine(hz: f32, level_dbov: f32) -> Self {
        Self::new([hz, 0.0], level_dbov, 1, 0)
    }

    /// European ringback (ETSI TR 101 041-2): 425 Hz, 1 s on, 4 s off.
    pub fn ringback() -> Self {
        Self::new([425.0, 0.0], -19.0, 1_000, 4_000)
    }

    /// Busy: 425 Hz, 500 ms on, 500 ms off.
    pub fn busy() -> Self {
        Self::new([425.0, 0.0], -19.0, 500, 500)
    }

    /// Two frequencies at once (0 for none) with a cadence in milliseconds, kept to whole frames.
    pub fn new(hz: [f32; 2], level_dbov: f32, on_ms: u32, off_ms: u32) -> Self {
        let amplitude =
            (32_768.0 * 10_f32.powf(level_dbov / 20.0) * std::f32::consts::SQRT_2).min(32_767.0);
        Self {
            hz,
            amplitude,
            on_ms,
            off_ms,
            phase: [0.0; 2],
            elapsed_ms: 0,
        }
    }

    /// The next 20 ms.
    pub fn next_frame(&mut self, rate: Rate) -> Frame {
        let mut frame = Frame::silence(rate);
        if self.elapsed_ms < self.on_ms {
            self.fill(frame.samples_mut(), rate.hz() as f32);
        }
        self.elapsed_ms += 20;
        if self.elapsed_ms >= self.on_ms + self.off_ms {
            self.elapsed_ms = 0;
        }
        frame
    }

    fn fill(&mut self, pcm: &mut [i16], sample_rate: f32) {
        let voices = if self.hz[1] > 0.0 { 2 } else { 1 };
        let amplitude = self.amplitude / voices as f32;
        for (phase, hz) in self.phase.iter_mut().zip(self.hz).take(voices) {
            let step = std::f32::consts::TAU * hz / sample_rate;
            for sample in pcm.iter_mut() {
                *sample = sample.saturating_add((amplitude * phase.sin()) as i16);
                *phase = (*phase + step) % std::f32::consts::TAU;
            }
        }
    }
}
