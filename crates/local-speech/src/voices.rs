//! Text into sound: sentence by sentence, each with the place of its words.
//!
//! Two engines: `kal`, compiled in and always there, and the Debian program `flite` with
//! its voices, of which `rms` is the best understood over a telephone. A few threads of
//! their own do the work; a sentence takes 2 ms (`kal`) to 100 ms (`rms`).

mod flite;
mod kal;
mod queue;
pub mod spoken;
mod timing;

use std::borrow::Borrow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::error::SpeechError;
use crate::halfband::{Down2, Up2};
use crate::pool::Cancel;
use flite::Flite;
use kal::{Kal, Uttered};
use queue::Queue;
use timing::Span;

/// Name of the voice that is always there.
pub const BUILT_IN_VOICE: &str = "kal";
/// The longest text of one request, bytes.
pub const MAX_TEXT_BYTES: usize = 4000;
/// Slowest and fastest speech a request may ask for.
const STRETCH: Range<f32> = 0.5..2.0;
/// Silence left before the first word and after the last, s; between sentences there is more.
/// With 20 ms before it the first word is clipped and our own recogniser mishears it.
const HEAD_S: f32 = 0.05;
const TAIL_S: f32 = 0.08;
const GAP_S: f32 = 0.25;

/// How voices are run.
#[derive(Debug, Clone)]
pub struct VoicesConfig {
    /// The `flite` program; `None` looks where it is usually installed.
    pub flite: Option<PathBuf>,
    /// Threads that synthesise.
    pub threads: usize,
    /// Requests that may wait; one more is refused.
    pub queue: usize,
    /// The longest a sentence may take, ms.
    pub limit_ms: u64,
}

impl Default for VoicesConfig {
    fn default() -> Self {
        VoicesConfig {
            flite: None,
            threads: 2,
            queue: 64,
            limit_ms: 10_000,
        }
    }
}

/// A rate of sound out of a voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleRate {
    /// Narrow band: G.711.
    Hz8000,
    /// Wide band.
    Hz16000,
}

impl SampleRate {
    /// Samples per second.
    pub fn hz(self) -> u32 {
        match self {
            SampleRate::Hz8000 => 8000,
            SampleRate::Hz16000 => 16_000,
        }
    }
}

/// Something to say.
#[derive(Debug, Clone)]
pub struct SayRequest {
    /// Plain text, at most [`MAX_TEXT_BYTES`].
    pub text: String,
    /// One of [`Voices::names`].
    pub voice: String,
    /// 1.0 as the voice speaks by itself, 1.3 slower; kept within 0.5 to 2.0.
    pub stretch: f32,
    /// Rate of the sound wanted.
    pub rate: SampleRate,
}

/// How the times of words were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// From the engine's own phones.
    Exact,
    /// By the length of the words.
    Estimated,
}

/// One sentence, ready to play.
#[derive(Debug, Clone)]
pub struct SpokenSentence {
    /// 0, 1, 2 … within the request.
    pub index: usize,
    /// Whether the request ends here.
    pub last: bool,
    /// Its bytes in the request's text.
    pub source: Range<usize>,
    /// The words as they were given to the voice.
    pub spoken_text: String,
    /// PCM16, mono.
    pub pcm: Arc<[i16]>,
    /// Rate of `pcm`.
    pub rate: SampleRate,
    /// Its words in order.
    pub words: Vec<SpokenWord>,
    /// How the words' times were found.
    pub timing: Timing,
    /// Time the voice took, µs.
    pub compute_us: u64,
}

/// One spoken word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenWord {
    /// Bytes of the request's text; several words may stand for one span (`$12.50`).
    pub source: Range<usize>,
    /// Bytes of the sentence's `spoken_text`.
    pub spoken: Range<usize>,
    /// First sample within the sentence's `pcm`.
    pub start: u32,
    /// Sample after the last.
    pub end: u32,
}

/// A handle on the voices; the threads end when the last one is dropped.
#[derive(Clone)]
pub struct Voices {
    queue: Arc<Queue>,
    engines: Arc<Engines>,
}

/// The engines that are there.
struct Engines {
    kal: Kal,
    flite: Option<Flite>,
}

/// A sentence as an engine gave it, before it is trimmed and brought to the wanted rate.
struct Raw {
    samples: Vec<i16>,
    rate_hz: u32,
    spans: Vec<Span>,
    timing: Timing,
}

impl Voices {
    /// Starts the threads. No model file is needed.
    pub fn start(config: impl Borrow<VoicesConfig>) -> Result<Voices, SpeechError> {
        let config = config.borrow();
        let limit = Duration::from_millis(config.limit_ms);
        let engines = Arc::new(Engines {
            kal: Kal::new()?,
            flite: Flite::find(config.flite.as_deref(), limit),
        });
        let queue = Queue::start(engines.clone(), config.threads, config.queue)?;
        Ok(Voices { queue, engines })
    }

    /// The voices of this machine.
    pub fn names(&self) -> Vec<&'static str> {
        let installed = self.engines.flite.iter().flat_map(|_| flite::VOICES);
        std::iter::once(BUILT_IN_VOICE).chain(installed).collect()
    }

    /// Whether there is a voice of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// The best voice of this machine.
    pub fn default_voice(&self) -> &'static str {
        match self.engines.flite {
            Some(_) => "rms",
            None => BUILT_IN_VOICE,
        }
    }

    /// Requests refused because too many waited.
    pub fn refused(&self) -> u64 {
        self.queue.refused()
    }

    /// Says a text: its sentences come one by one. The channel has room for all of them, so
    /// a slow reader holds nobody up; a dropped reader ends the work.
    pub fn say(
        &self,
        request: SayRequest,
        cancel: &Cancel,
    ) -> Result<mpsc::Receiver<Result<SpokenSentence, SpeechError>>, SpeechError> {
        if !self.has(&request.voice) {
            return Err(SpeechError::VoiceUnknown {
                name: request.voice,
                known: self.names().join(", "),
            });
        }
        if request.text.len() > MAX_TEXT_BYTES {
            return Err(SpeechError::TextTooLong {
                bytes: request.text.len(),
                limit: MAX_TEXT_BYTES,
            });
        }
        self.queue.submit(request, cancel.clone())
    }
}

impl Engines {
    /// One sentence of a request, from text to sound.
    fn speak(
        &self,
        request: &SayRequest,
        span: &Range<usize>,
        last: bool,
        cancel: &Cancel,
    ) -> Result<SpokenSentence, SpeechError> {
        let started = Instant::now();
        let spoken = spoken::normalise(request.text.get(span.clone()).unwrap_or_default());
        let stretch = stretch(request.stretch);
        let mut raw = self.render(&request.voice, &spoken, stretch, cancel)?;
        trim(&mut raw, last);
        let pcm = at_rate(&raw, request.rate);
        let words = placed(&spoken, &raw.spans, span.start, pcm.len(), request.rate);
        Ok(SpokenSentence {
            index: 0,
            last,
            source: span.clone(),
            spoken_text: spoken.text,
            pcm: pcm.into(),
            rate: request.rate,
            words,
            timing: raw.timing,
            compute_us: started.elapsed().as_micros() as u64,
        })
    }

    fn render(
        &self,
        voice: &str,
        spoken: &spoken::Spoken,
        stretch: f32,
        cancel: &Cancel,
    ) -> Result<Raw, SpeechError> {
        let (samples, rate_hz, words) = match &self.flite {
            Some(flite) if voice != BUILT_IN_VOICE => {
                let run = flite.synthesise(voice, &spoken.text, stretch, cancel)?;
                let words = timing::retime(&self.kal.words(&spoken.text), &run.phones);
                (run.samples, run.rate_hz, words)
            }
            Some(_) | None => {
                let (samples, words) = self.kal.synthesise(&spoken.text, stretch);
                (samples, kal::RATE_HZ, Some(words))
            }
        };
        Ok(timed(samples, rate_hz, words.as_deref(), spoken))
    }
}

/// Finds each word's time: the engine's own, or else a guess.
fn timed(
    samples: Vec<i16>,
    rate_hz: u32,
    words: Option<&[Uttered]>,
    spoken: &spoken::Spoken,
) -> Raw {
    let exact = words.and_then(|w| timing::by_token(w, spoken.words.len()));
    let timing = match exact {
        Some(_) => Timing::Exact,
        None => Timing::Estimated,
    };
    let spans = exact.unwrap_or_else(|| {
        let lengths: Vec<usize> = spoken.words.iter().map(|w| w.spoken.len()).collect();
        timing::proportional(&lengths, samples.len() as f32 / rate_hz.max(1) as f32)
    });
    Raw {
        samples,
        rate_hz,
        spans,
        timing,
    }
}

fn stretch(wanted: f32) -> f32 {
    if wanted.is_finite() {
        wanted.clamp(STRETCH.start, STRETCH.end)
    } else {
        1.0
    }
}

/// Takes away the silence an engine puts around a sentence: the caller should not wait for it.
fn trim(raw: &mut Raw, last: bool) {
    let (Some(first), Some(end)) = (raw.spans.first(), raw.spans.last()) else {
        return;
    };
    let samples = |s: f32| (s.max(0.0) * raw.rate_hz as f32) as usize;
    let tail = if last { TAIL_S } else { GAP_S };
    let from = samples(first.0 - HEAD_S).min(raw.samples.len());
    let to = samples(end.1 + tail).clamp(from, raw.samples.len());
    if raw.timing == Timing::Estimated {
        return;
    }
    raw.samples.truncate(to);
    raw.samples.drain(..from);
    let shift = from as f32 / raw.rate_hz as f32;
    for span in &mut raw.spans {
        *span = ((span.0 - shift).max(0.0), (span.1 - shift).max(0.0));
    }
}

fn at_rate(raw: &Raw, rate: SampleRate) -> Vec<i16> {
    let mut out = Vec::new();
    match (raw.rate_hz, rate) {
        (8000, SampleRate::Hz16000) => Up2::default().push(&raw.samples, &mut out),
        (16_000, SampleRate::Hz8000) => Down2::default().push(&raw.samples, &mut out),
        _ => out.clone_from(&raw.samples),
    }
    out
}

/// Words with their samples; word times never run backwards nor beyond the sound.
fn placed(
    spoken: &spoken::Spoken,
    spans: &[Span],
    offset: usize,
    length: usize,
    rate: SampleRate,
) -> Vec<SpokenWord> {
    let mut at = 0;
    let sample = |s: f32| ((s * rate.hz() as f32) as usize).min(length) as u32;
    spoken
        .words
        .iter()
        .zip(spans)
        .map(|(word, span)| {
            let start = sample(span.0).max(at);
            at = sample(span.1).max(start);
            SpokenWord {
                source: word.source.start + offset..word.source.end + offset,
                spoken: word.spoken.clone(),
                start,
                end: at,
            }
        })
        .collect()
}
