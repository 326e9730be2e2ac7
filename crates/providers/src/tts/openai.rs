//! Voices of OpenAI and of servers that do as it does: `POST {base}/audio/speech`, PCM of 24 kHz as it is made
//! (<https://platform.openai.com/docs/api-reference/audio/createSpeech>).
//!
//! Nobody says where the words are: their places are estimated from the length of the sound.

use std::sync::Arc;

use egress::Request;
use model::transcript::Timing;
use serde_json::{Value, json};

use super::{
    SpeakRequest, SpeechEvent, SpeechPlan, TtsSpec,
    drive::{Driven, HttpWire, Reading},
    pcm::Pcm,
};
use crate::{Class, Entry, ProviderError};

/// The row of the table.
pub const SPEC: TtsSpec = TtsSpec {
    kind: "openai-speech",
    built_in: false,
    open: |shared, entry| {
        Ok(Arc::new(Driven {
            wire: Arc::new(OpenAi::new(entry)?),
            egress: shared.egress.clone(),
        }))
    },
};

struct OpenAi {
    name: String,
    url: String,
    key: Option<String>,
    model: String,
}

impl OpenAi {
    fn new(entry: &Entry) -> Result<Self, ProviderError> {
        let model = entry.model.clone();
        Ok(Self {
            name: entry.name.clone(),
            url: format!("{}/audio/speech", entry.base()?),
            key: entry.secret(),
            model: model.unwrap_or_else(|| "gpt-4o-mini-tts".into()),
        })
    }
}

/// The request's body; speed is within 0.25 and 4 there.
pub fn body(speak: &SpeakRequest, model: &str) -> Value {
    json!({
        "model": model,
        "input": speak.text,
        "voice": speak.voice,
        "response_format": "pcm",
        "speed": speak.rate,
    })
}

impl HttpWire for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, speak: &SpeakRequest) -> Request {
        let request = Request::post(&self.url).json(&body(speak, &self.model));
        match &self.key {
            Some(key) => request.bearer(key),
            None => request,
        }
    }

    fn reading(&self, _: &SpeakRequest) -> Box<dyn Reading> {
        Box::new(Unplaced::new(&self.name, Pcm::at_24_khz()))
    }
}

/// Sound alone, without a word of where its words are.
pub(super) struct Unplaced {
    name: String,
    pcm: Pcm,
    samples: u64,
}

impl Unplaced {
    pub(super) fn new(name: &str, pcm: Pcm) -> Self {
        Self {
            name: name.to_owned(),
            pcm,
            samples: 0,
        }
    }
}

impl Reading for Unplaced {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<SpeechEvent>, ProviderError> {
        let sound = self.pcm.push(bytes);
        if sound.is_empty() {
            return Ok(Vec::new());
        }
        let from = self.samples;
        self.samples += sound.len() as u64;
        let plan = SpeechPlan {
            spoken_text: String::new(),
            samples: from..self.samples,
            words: Vec::new(),
            timing: Timing::Estimated,
        };
        Ok(vec![SpeechEvent::Plan(plan), SpeechEvent::Audio(sound)])
    }

    fn is_over(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<Vec<SpeechEvent>, ProviderError> {
        match self.samples {
            0 => {
                let class = Class::Retry { after: None };
                Err(ProviderError::new(&self.name, class, "no sound came"))
            }
            _ => Ok(vec![SpeechEvent::Done]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_asks_for_plain_sound_in_a_voice_at_a_rate() {
        let speak = SpeakRequest {
            text: "Good evening.".into(),
            voice: "nova".into(),
            rate: 1.5,
        };
        let expected = json!({
            "model": "m", "input": "Good evening.", "voice": "nova", "response_format": "pcm", "speed": 1.5,
        });
        assert_eq!(body(&speak, "m"), expected);
    }

    #[test]
    fn sound_comes_with_its_length_and_an_empty_answer_is_a_failure_that_may_pass() {
        let mut reading = Unplaced::new("o", Pcm::at_24_khz());
        let events = reading.push(&[0; 4_800]).unwrap();
        let [SpeechEvent::Plan(plan), SpeechEvent::Audio(sound)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!((plan.samples.clone(), sound.len()), (0..800, 800));
        assert_eq!(plan.timing, Timing::Estimated);
        assert_eq!(reading.finish().unwrap(), [SpeechEvent::Done]);
        let nothing = Unplaced::new("o", Pcm::at_24_khz()).finish().unwrap_err();
        assert_eq!(nothing.class, Class::Retry { after: None });
    }
}
