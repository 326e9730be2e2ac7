//! Moonshine tiny-en (int8): a whole utterance in, its words out.
//!
//! An encoder turns sound into hidden states; a merged decoder with a key/value cache
//! then writes one token at a time. Source: the package `@moonshine-ai/moonshine-js`
//! 0.1.29 (MIT, English).
//!
//! Two traps are handled here because no caller could:
//! 1. this int8 model ends at once on digits and quiet speech, so the end token is
//!    forbidden at the first step;
//! 2. it then says a word such as "you" on silence, so a one-word result with less than
//!    [`ONE_WORD_MIN_SPEECH_MS`] of measured speech is dropped.

pub(crate) mod tokens;

use std::path::Path;

use crate::error::SpeechError;
use crate::graph::{Feed, Graph, Lane, Port, Tensor};
use tokens::Tokens;

/// Samples per second the recogniser wants.
pub const RATE_HZ: usize = 16_000;
/// Trap 2: shorter speech than this does not carry a word on its own.
pub const ONE_WORD_MIN_SPEECH_MS: u32 = 250;

const MODEL: &str = "moonshine-decoder";
const START_TOKEN: u32 = 1;
const END_TOKEN: u32 = 2;
const LAYERS: usize = 6;
/// Batch, heads, positions, width of one cache before the first step.
const EMPTY_CACHE: [usize; 4] = [1, 8, 0, 36];
/// English speech stays below this; more is the decoder going round in circles.
const MAX_TOKENS_PER_S: f32 = 6.5;
/// A short "yes, please." needs its few tokens too.
const MIN_TOKENS: usize = 6;
/// The encoder's first layers need this much; shorter sound is padded with silence.
const MIN_SAMPLES: usize = RATE_HZ / 2;
/// Silence put around the sound: with none, the last word of a tightly cut utterance is often
/// misheard (word error 4.7 % → 3.0 % on the first 120 prompts, detector always awake).
const HEAD_SAMPLES: usize = RATE_HZ / 5;
const TAIL_SAMPLES: usize = RATE_HZ * 3 / 10;
/// 30 s: what the model was trained on.
const MAX_SAMPLES: usize = RATE_HZ * 30;

/// What was understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcript {
    /// The words, with the model's own punctuation; empty when nothing was said.
    pub text: String,
    /// Mean probability of the chosen tokens, 0 to 1.
    pub confidence: f32,
    /// Tokens written.
    pub tokens: usize,
    /// Length of the sound, ms.
    pub audio_ms: u32,
    /// Time the pool's thread spent on it, µs.
    pub compute_us: u64,
}

/// Encoder, decoder and tokenizer: shared by all calls.
pub(crate) struct Moonshine {
    encoder: Graph,
    sound: Port,
    hidden: Port,
    decoder: Decoder,
    tokens: Tokens,
}

struct Decoder {
    graph: Graph,
    ids: Port,
    hidden: Port,
    cached: Port,
    own: Vec<CachePort>,
    cross: Vec<CachePort>,
    logits: Port,
}

/// Where one cache goes in and where its next state comes out.
#[derive(Clone, Copy)]
struct CachePort {
    past: Port,
    present: Port,
}

impl Moonshine {
    pub(crate) fn load(encoder: &Path, decoder: &Path, tokens: &Path) -> Result<Self, SpeechError> {
        let encoder = Graph::load(encoder, "moonshine-encoder")?;
        Ok(Moonshine {
            sound: encoder.port("input_values")?,
            hidden: encoder.port("last_hidden_state")?,
            encoder,
            decoder: Decoder::load(decoder)?,
            tokens: Tokens::load(tokens)?,
        })
    }

    /// Recognises `audio` (16 kHz, ±1.0; at most 30 s count). `speech_ms` is how much of
    /// it the voice detector took for speech. `stop` is asked between tokens.
    pub(crate) fn transcribe(
        &self,
        lane: &Lane,
        audio: &[f32],
        speech_ms: u32,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Transcript, SpeechError> {
        let audio = &audio[..audio.len().min(MAX_SAMPLES)];
        let audio_ms = (audio.len() / (RATE_HZ / 1000)) as u32;
        if speech_ms == 0 {
            return Ok(Transcript {
                audio_ms,
                ..Transcript::default()
            });
        }
        let hidden = self.encode(lane, audio)?;
        if stop() {
            return Err(SpeechError::Cancelled);
        }
        let limit = token_limit(audio.len());
        let (tokens, confidence) = self.decoder.write(lane, &hidden, limit, stop)?;
        let text = gated(self.tokens.text(&tokens), speech_ms);
        Ok(Transcript {
            text,
            confidence,
            tokens: tokens.len(),
            audio_ms,
            compute_us: 0,
        })
    }

    fn encode(&self, lane: &Lane, audio: &[f32]) -> Result<Tensor, SpeechError> {
        let mut sound = vec![0.0; HEAD_SAMPLES];
        sound.extend_from_slice(audio);
        sound.resize((sound.len() + TAIL_SAMPLES).max(MIN_SAMPLES), 0.0);
        let feeds = vec![(self.sound, Feed::F32(vec![1, sound.len()], &sound))];
        one(self.encoder.run(lane, feeds, &[self.hidden])?)
    }
}

impl Decoder {
    fn load(path: &Path) -> Result<Decoder, SpeechError> {
        let graph = Graph::load(path, MODEL)?;
        let caches = |side: &str| {
            (0..LAYERS)
                .flat_map(|layer| ["key", "value"].map(|kind| (layer, kind)))
                .map(|(layer, kind)| {
                    Ok(CachePort {
                        past: graph.port(&format!("past_key_values.{layer}.{side}.{kind}"))?,
                        present: graph.port(&format!("present.{layer}.{side}.{kind}"))?,
                    })
                })
                .collect::<Result<Vec<_>, SpeechError>>()
        };
        Ok(Decoder {
            own: caches("decoder")?,
            cross: caches("encoder")?,
            ids: graph.port("input_ids")?,
            hidden: graph.port("encoder_hidden_states")?,
            cached: graph.port("use_cache_branch")?,
            logits: graph.port("logits")?,
            graph,
        })
    }

    /// Greedy decoding. Gives the tokens without the end mark, and their mean probability.
    fn write(
        &self,
        lane: &Lane,
        hidden: &Tensor,
        limit: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<u32>, f32), SpeechError> {
        let (mut logits, mut own, cross) = self.first(lane, hidden)?;
        if let Some(end) = logits.get_mut(END_TOKEN as usize) {
            *end = f32::NEG_INFINITY; // trap 1
        }
        let mut tokens = Vec::with_capacity(limit);
        let mut sum = 0.0;
        loop {
            let (token, probability) = best(&logits);
            sum += probability;
            if token == END_TOKEN {
                break;
            }
            tokens.push(token);
            if tokens.len() >= limit {
                break;
            }
            if stop() {
                return Err(SpeechError::Cancelled);
            }
            (logits, own) = self.next(lane, hidden, token, own, &cross)?;
        }
        let steps = tokens.len() + 1;
        Ok((tokens, (sum / steps as f32).clamp(0.0, 1.0)))
    }

    /// Step 0: no cache yet; the encoder side's cache is computed here once and for all.
    #[allow(clippy::type_complexity)]
    fn first(
        &self,
        lane: &Lane,
        hidden: &Tensor,
    ) -> Result<(Vec<f32>, Vec<Tensor>, Vec<Tensor>), SpeechError> {
        let mut feeds = self.feeds(START_TOKEN, false, hidden);
        for cache in self.own.iter().chain(&self.cross) {
            feeds.push((cache.past, Feed::Given(Tensor::zeros(&EMPTY_CACHE))));
        }
        let mut wanted = vec![self.logits];
        wanted.extend(self.own.iter().chain(&self.cross).map(|c| c.present));
        let mut outputs = self.graph.run(lane, feeds, &wanted)?;
        let cross = outputs.split_off((1 + self.own.len()).min(outputs.len()));
        let (logits, own) = head(outputs)?;
        Ok((logits, own, cross))
    }

    /// A later step: one token in, its successor's logits out, the decoder's cache one longer.
    fn next(
        &self,
        lane: &Lane,
        hidden: &Tensor,
        token: u32,
        own: Vec<Tensor>,
        cross: &[Tensor],
    ) -> Result<(Vec<f32>, Vec<Tensor>), SpeechError> {
        let mut feeds = self.feeds(token, true, hidden);
        for (port, cache) in self.own.iter().zip(own) {
            feeds.push((port.past, Feed::Given(cache)));
        }
        for (port, cache) in self.cross.iter().zip(cross) {
            feeds.push((port.past, Feed::Lent(cache)));
        }
        let mut wanted = vec![self.logits];
        wanted.extend(self.own.iter().map(|c| c.present));
        head(self.graph.run(lane, feeds, &wanted)?)
    }

    fn feeds<'a>(&self, token: u32, cached: bool, hidden: &'a Tensor) -> Vec<(Port, Feed<'a>)> {
        let mut feeds = Vec::with_capacity(3 + 4 * LAYERS);
        feeds.push((self.ids, Feed::I32(vec![1, 1], vec![token as i32])));
        feeds.push((self.cached, Feed::I32(vec![1], vec![i32::from(cached)])));
        feeds.push((self.hidden, Feed::Lent(hidden)));
        feeds
    }
}

/// Splits the first output (logits) from the caches behind it.
fn head(mut outputs: Vec<Tensor>) -> Result<(Vec<f32>, Vec<Tensor>), SpeechError> {
    let caches = outputs.split_off(1.min(outputs.len()));
    let logits = one(outputs)?.last_row().ok_or_else(|| broken("logits"))?;
    Ok((logits, caches))
}

fn one(outputs: Vec<Tensor>) -> Result<Tensor, SpeechError> {
    outputs
        .into_iter()
        .next()
        .ok_or_else(|| broken("no output"))
}

fn broken(what: &str) -> SpeechError {
    SpeechError::Inference {
        model: MODEL,
        reason: format!("unexpected output: {what}"),
    }
}

/// The likeliest token and its probability.
fn best(logits: &[f32]) -> (u32, f32) {
    let mut token = END_TOKEN as usize;
    let mut top = f32::NEG_INFINITY;
    for (i, value) in logits.iter().enumerate() {
        if *value > top {
            (token, top) = (i, *value);
        }
    }
    let total: f32 = logits.iter().map(|v| (v - top).exp()).sum();
    (token as u32, 1.0 / total.max(1.0))
}

fn token_limit(samples: usize) -> usize {
    let seconds = samples as f32 / RATE_HZ as f32;
    ((seconds * MAX_TOKENS_PER_S).ceil() as usize).max(MIN_TOKENS)
}

/// Trap 2: one word out of hardly any speech is an invention.
fn gated(text: String, speech_ms: u32) -> String {
    let one_word = text.split_whitespace().nth(1).is_none();
    if one_word && speech_ms < ONE_WORD_MIN_SPEECH_MS {
        String::new()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_needs_a_quarter_second_of_speech() {
        assert_eq!(gated("You".into(), 249), "");
        assert_eq!(gated("You".into(), 250), "You");
        assert_eq!(gated("thank you".into(), 100), "thank you");
    }

    #[test]
    fn the_likeliest_token_wins_with_its_probability() {
        let (token, probability) = best(&[0.0, 0.0, 0.0, 2.0_f32.ln()]);
        assert_eq!(token, 3);
        assert!((probability - 0.4).abs() < 1e-6);
    }

    #[test]
    fn tokens_are_capped_by_the_length_of_the_sound() {
        assert_eq!(token_limit(RATE_HZ * 10), 65);
        assert_eq!(token_limit(RATE_HZ / 10), MIN_TOKENS);
    }
}
