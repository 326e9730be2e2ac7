//! Voices of ElevenLabs: a WebSocket for each piece of text, `{base}/text-to-speech/{voice}/stream-input`, whose sound comes with
//! the time of each letter (<https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-stream-input>).
//! So a cut is told to the word, not estimated.
//!
//! `elevenlabs-http` asks for the sound alone, `POST {base}/text-to-speech/{voice}`, where WebSockets cannot be had; its
//! words are estimated.

mod read;

use std::sync::Arc;

use egress::{Request, WsRequest};
use serde_json::{Value, json};

use super::{
    SpeakRequest, TtsSpec,
    drive::{Driven, HttpWire, Reading, SocketWire, Socketed, Spares},
    openai::Unplaced,
    pcm::Pcm,
};
use crate::{Entry, ProviderError};

pub use read::Aligned;

/// The row of the table.
pub const SPEC: TtsSpec = TtsSpec {
    kind: "elevenlabs",
    built_in: false,
    open: |shared, entry| {
        Ok(Arc::new(Socketed {
            wire: Arc::new(ElevenLabs::new(entry)?),
            egress: shared.egress.clone(),
            spares: Arc::new(Spares::default()),
        }))
    },
};

/// The same without WebSockets.
pub const HTTP: TtsSpec = TtsSpec {
    kind: "elevenlabs-http",
    built_in: false,
    open: |shared, entry| {
        Ok(Arc::new(Driven {
            wire: Arc::new(ElevenLabs::new(entry)?),
            egress: shared.egress.clone(),
        }))
    },
};

/// The fastest and slowest it speaks.
const SPEED: (f32, f32) = (0.7, 1.2);

struct ElevenLabs {
    name: String,
    base: String,
    key: String,
    model: String,
}

impl ElevenLabs {
    fn new(entry: &Entry) -> Result<Self, ProviderError> {
        let model = entry.model.clone();
        Ok(Self {
            name: entry.name.clone(),
            base: entry.base()?.to_owned(),
            key: entry.secret().unwrap_or_default(),
            model: model.unwrap_or_else(|| "eleven_flash_v2_5".into()),
        })
    }

    fn settings(speak: &SpeakRequest) -> Value {
        json!({ "speed": speak.rate.clamp(SPEED.0, SPEED.1) })
    }
}

/// A voice's id has letters and digits; anything else would change the path.
fn segment(voice: &str) -> String {
    voice
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

/// `https` becomes `wss`, `http` becomes `ws`.
fn socket_url(base: &str) -> String {
    match base.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base.to_owned(),
    }
}

impl SocketWire for ElevenLabs {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, voice: &str) -> WsRequest {
        let (base, voice) = (socket_url(&self.base), segment(voice));
        let url = format!(
            "{base}/text-to-speech/{voice}/stream-input?model_id={}&output_format=pcm_8000&sync_alignment=true&auto_mode=true",
            segment(&self.model),
        );
        WsRequest::new(url).header("xi-api-key", &self.key)
    }

    /// The first text is a space, the last is empty.
    fn messages(&self, speak: &SpeakRequest) -> Vec<String> {
        let begin = json!({ "text": " ", "voice_settings": Self::settings(speak) });
        let text = json!({ "text": format!("{} ", speak.text) });
        let end = json!({ "text": "" });
        [begin, text, end]
            .map(|message| message.to_string())
            .to_vec()
    }

    fn reading(&self, speak: &SpeakRequest) -> Box<dyn Reading> {
        Box::new(Aligned::new(&self.name, &speak.text))
    }
}

impl HttpWire for ElevenLabs {
    fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, speak: &SpeakRequest) -> Request {
        let voice = segment(&speak.voice);
        let url = format!(
            "{}/text-to-speech/{voice}?output_format=pcm_8000",
            self.base
        );
        let body = json!({
            "text": speak.text,
            "model_id": self.model,
            "voice_settings": Self::settings(speak),
        });
        Request::post(url)
            .header("xi-api-key", &self.key)
            .json(&body)
    }

    fn reading(&self, _: &SpeakRequest) -> Box<dyn Reading> {
        Box::new(Unplaced::new(&self.name, Pcm::at_8_khz()))
    }
}

#[cfg(test)]
mod tests;
