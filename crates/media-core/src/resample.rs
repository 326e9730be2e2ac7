//! Rate conversion for voices and ears. The only file that names `rubato`.
//!
//! `Fft` with 10 ms chunks and a Hann window: flat to 3.4 kHz, 5 ms of delay, 0.8 µs per frame. The asynchronous
//! modes alias at telephone ratios, and drift is the jitter buffer's business.

use crate::{Error, Frame, Rate};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

const CHUNKS_PER_SECOND: u32 = 100;

/// A streaming converter between two fixed rates, one channel. Not for the tick path when lengths vary (`push` may grow its
/// output); [`Resampler::frame`] does not allocate.
pub struct Resampler {
    engine: Option<Engine>,
    from_hz: u32,
    to_hz: u32,
}

struct Engine {
    fft: Fft<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    filled: usize,
}

impl Resampler {
    /// A converter; equal rates pass through. Rates between 4 and 192 kHz.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Resample {
            from_hz,
            to_hz,
            reason,
        };
        if !(4_000..=192_000).contains(&from_hz) || !(4_000..=192_000).contains(&to_hz) {
            return Err(refuse("rate out of range 4–192 kHz".into()));
        }
        let engine = if from_hz == to_hz {
            None
        } else {
            Some(Engine::new(from_hz, to_hz).map_err(refuse)?)
        };
        Ok(Self {
            engine,
            from_hz,
            to_hz,
        })
    }

    /// Source rate in hertz.
    pub const fn from_hz(&self) -> u32 {
        self.from_hz
    }

    /// Target rate in hertz.
    pub const fn to_hz(&self) -> u32 {
        self.to_hz
    }

    /// Converts any number of samples; what does not fill a chunk waits for the next call.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) {
        match &mut self.engine {
            None => out.extend_from_slice(input),
            Some(engine) => engine.push(input, |pcm| out.extend(pcm.iter().map(|&s| to_i16(s)))),
        }
    }

    /// Ends an utterance: pushes silence until all that waited has come out, then starts afresh.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        if let Some(engine) = &mut self.engine {
            let silence = vec![0; engine.input.len() - engine.filled + engine.input.len() / 2];
            engine.push(&silence, |pcm| out.extend(pcm.iter().map(|&s| to_i16(s))));
            engine.reset();
        }
    }

    /// Converts one frame into one frame; rates must be those the converter was made for, else the result is silence.
    pub fn frame(&mut self, frame: &Frame) -> Frame {
        let to = if self.to_hz == 8_000 {
            Rate::Hz8000
        } else {
            Rate::Hz16000
        };
        let mut out = Frame::silence(to);
        let Some(engine) = &mut self.engine else {
            return *frame;
        };
        let mut slots = out.samples_mut().iter_mut();
        engine.push(frame.samples(), |pcm| {
            for (to, &from) in slots.by_ref().zip(pcm) {
                *to = to_i16(from);
            }
        });
        out
    }
}

impl Engine {
    fn new(from_hz: u32, to_hz: u32) -> Result<Self, String> {
        let chunk = (from_hz / CHUNKS_PER_SECOND) as usize;
        let fft = Fft::new_custom(
            from_hz as usize,
            to_hz as usize,
            chunk,
            1,
            1,
            WindowFunction::Hann,
            FixedSync::Both,
        )
        .map_err(|e| e.to_string())?;
        let input = vec![0.0; fft.input_frames_next()];
        let output = vec![0.0; fft.output_frames_max()];
        Ok(Self {
            fft,
            input,
            output,
            filled: 0,
        })
    }

    fn push(&mut self, mut pcm: &[i16], mut sink: impl FnMut(&[f32])) {
        while !pcm.is_empty() {
            let room = self.input.len() - self.filled;
            let (now, later) = pcm.split_at(room.min(pcm.len()));
            for (to, &from) in self.input[self.filled..].iter_mut().zip(now) {
                *to = f32::from(from) / 32_768.0;
            }
            self.filled += now.len();
            pcm = later;
            if self.filled == self.input.len() {
                self.filled = 0;
                let made = self.convert();
                sink(&self.output[..made]);
            }
        }
    }

    fn convert(&mut self) -> usize {
        let (frames_in, frames_out) = (self.input.len(), self.output.len());
        let Ok(input) = SequentialSlice::new(&self.input, 1, frames_in) else {
            return 0;
        };
        let Ok(mut output) = SequentialSlice::new_mut(&mut self.output, 1, frames_out) else {
            return 0;
        };
        self.fft
            .process_into_buffer(&input, &mut output, None)
            .map_or(0, |(_, made)| made)
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.filled = 0;
    }
}

/// Rounds half away from zero; the cast saturates. (`f32::round` is a library call on baseline x86-64.)
fn to_i16(sample: f32) -> i16 {
    let scaled = sample * 32_768.0;
    (scaled + 0.5_f32.copysign(scaled)) as i16
}
