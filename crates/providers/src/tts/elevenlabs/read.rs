//! Messages of `stream-input`: sound with the time of each letter, counted from where the message's sound begins.

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::STANDARD};
use model::transcript::Timing;
use serde::Deserialize;

use super::super::{PlannedWord, SpeechEvent, SpeechPlan, drive::Reading, pcm::Pcm};
use crate::{Class, ProviderError, llm::refusal::shown};

/// 8 kHz samples of a millisecond.
const SAMPLES_PER_MS: f64 = 8.0;
/// Longest sound of one piece of text, samples: ten minutes.
const MAX_SAMPLES: u64 = 8_000 * 600;
/// How far ahead in the text a letter is looked for.
const SEARCH: usize = 24;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    audio: Option<String>,
    #[serde(alias = "is_final", alias = "isFinal")]
    is_final: Option<bool>,
    alignment: Option<Alignment>,
    error: Option<String>,
    message: Option<String>,
}

/// Letters with their times; how the fields are spelt has changed more than once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alignment {
    #[serde(alias = "characters")]
    chars: Vec<String>,
    #[serde(
        alias = "charStartTimesMs",
        alias = "charsStartTimesMs",
        alias = "char_start_times_ms",
        alias = "chars_start_times_ms"
    )]
    starts: Vec<f64>,
    #[serde(
        alias = "charDurationsMs",
        alias = "charsDurationsMs",
        alias = "char_durations_ms",
        alias = "chars_durations_ms"
    )]
    durations: Vec<f64>,
}

/// One piece of text being spoken.
pub struct Aligned {
    name: String,
    text: String,
    pcm: Pcm,
    samples: u64,
    /// Bytes of the text that are placed.
    at: usize,
    open: Option<PlannedWord>,
    placed: VecDeque<PlannedWord>,
    timing: Timing,
    over: bool,
}

impl Aligned {
    /// A reader for this text's sound.
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            pcm: Pcm::at_8_khz(),
            samples: 0,
            at: 0,
            open: None,
            placed: VecDeque::new(),
            timing: Timing::Exact,
            over: false,
        }
    }

    fn failed(&self, class: Class, why: impl Into<String>) -> ProviderError {
        ProviderError::new(&self.name, class, why)
    }

    fn refused(&self, message: &Message) -> Option<ProviderError> {
        let code = message.error.as_deref()?;
        let busy = ["busy", "concurrent", "rate", "timeout", "internal"];
        let class = match busy.iter().any(|word| code.contains(word)) {
            true => Class::Retry { after: None },
            false => Class::FailOver,
        };
        let said = message.message.as_deref().unwrap_or_default();
        Some(self.failed(class, shown(&format!("{code}: {said}"))))
    }

    fn align(&mut self, alignment: &Alignment) {
        let base = self.samples;
        let times = alignment.starts.iter().zip(&alignment.durations);
        for (letter, (start, duration)) in alignment.chars.iter().zip(times) {
            let sample = |ms: f64| base + (ms.clamp(0.0, 600_000.0) * SAMPLES_PER_MS) as u64;
            self.place(letter, sample(*start), sample(start + duration));
        }
    }

    fn place(&mut self, letter: &str, start: u64, end: u64) {
        if letter.trim().is_empty() {
            return self.close();
        }
        let Some(found) = self.find(letter) else {
            self.timing = Timing::Estimated;
            return;
        };
        if self.is_new_word(found) {
            self.close();
        }
        self.at = found + letter.len();
        let to = self.at;
        match &mut self.open {
            Some(word) => {
                (word.source.end, word.spoken.end) = (to, to);
                word.samples.end = word.samples.end.max(end);
            }
            None => {
                self.open = Some(PlannedWord {
                    source: found..to,
                    spoken: found..to,
                    samples: start..end.max(start),
                });
            }
        }
    }

    fn find(&self, letter: &str) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        let near = rest.get(..rest.floor_char_boundary(SEARCH))?;
        near.find(letter).map(|offset| self.at + offset)
    }

    fn is_new_word(&self, found: usize) -> bool {
        let between = self.text.get(self.at..found).unwrap_or_default();
        between.contains(char::is_whitespace)
    }

    fn close(&mut self) {
        self.placed.extend(self.open.take());
    }

    /// The words whose sound is there; all of them at the end.
    fn release(&mut self, all: bool) -> Vec<PlannedWord> {
        let there = self.samples;
        let mut words = Vec::new();
        while self
            .placed
            .front()
            .is_some_and(|word| all || word.samples.end <= there)
        {
            words.extend(self.placed.pop_front());
        }
        for word in &mut words {
            word.samples.end = word.samples.end.min(there);
            word.samples.start = word.samples.start.min(there);
        }
        words
    }

    fn plan(&mut self, from: u64, all: bool) -> SpeechEvent {
        SpeechEvent::Plan(SpeechPlan {
            words: self.release(all),
            spoken_text: self.text.clone(),
            samples: from..self.samples,
            timing: self.timing,
        })
    }

    fn sound(&mut self, audio: &str, out: &mut Vec<SpeechEvent>) -> Result<(), ProviderError> {
        let broken = |_| ProviderError::new(&self.name, Class::FailOver, "sound that is no base64");
        let pcm = self.pcm.push(&STANDARD.decode(audio).map_err(broken)?);
        let from = self.samples;
        self.samples += pcm.len() as u64;
        if self.samples > MAX_SAMPLES {
            return Err(self.failed(Class::FailOver, "it does not stop speaking"));
        }
        if !pcm.is_empty() {
            out.push(self.plan(from, false));
            out.push(SpeechEvent::Audio(pcm));
        }
        Ok(())
    }
}

impl Reading for Aligned {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<SpeechEvent>, ProviderError> {
        let message: Message = serde_json::from_slice(bytes)
            .map_err(|_| self.failed(Class::FailOver, "a message that is not understood"))?;
        if let Some(error) = self.refused(&message) {
            return Err(error);
        }
        if let Some(alignment) = &message.alignment {
            self.align(alignment);
        }
        let mut out = Vec::new();
        if let Some(audio) = message.audio.filter(|audio| !audio.is_empty()) {
            self.sound(&audio, &mut out)?;
        }
        self.over = message.is_final == Some(true);
        Ok(out)
    }

    fn is_over(&self) -> bool {
        self.over
    }

    /// A socket that closes without a last word has broken off.
    fn finish(&mut self) -> Result<Vec<SpeechEvent>, ProviderError> {
        if !self.over || self.samples == 0 {
            let class = Class::Retry { after: None };
            return Err(self.failed(class, "the voice broke off"));
        }
        self.close();
        let mut out = Vec::new();
        if !self.placed.is_empty() {
            out.push(self.plan(self.samples, true));
        }
        out.push(SpeechEvent::Done);
        Ok(out)
    }
}
