//! Recognition by OpenAI and by servers that do as it does: `POST {base}/audio/transcriptions`, an utterance as a WAV file
//! (<https://platform.openai.com/docs/api-reference/audio/createTranscription>).

use std::{sync::Arc, time::Duration};

use egress::{Egress, Limits, Policy, Request};
use serde::Deserialize;

use super::{HearKind, HearRequest, Heard, Hearing, Stt, SttSpec};
use crate::{Class, ProviderError, llm::refusal::refusal};

/// What separates the parts: no WAV of speech has it, and neither has a model's name.
const BOUNDARY: &str = "sidetone-6f1c0b9e2a774d3f";
/// Of the recogniser's sound, Hz.
const RATE: u32 = 16_000;

/// The row of the table.
pub const SPEC: SttSpec = SttSpec {
    kind: "openai-transcription",
    built_in: false,
    open: |shared, entry| {
        let model = entry.model.clone();
        Ok(Arc::new(OpenAi {
            name: entry.name.clone(),
            url: format!("{}/audio/transcriptions", entry.base()?),
            key: entry.secret(),
            model: model.unwrap_or_else(|| "gpt-4o-mini-transcribe".into()),
            egress: shared.egress.clone(),
        }))
    },
};

struct OpenAi {
    name: String,
    url: String,
    key: Option<String>,
    model: String,
    egress: Egress,
}

impl Stt for OpenAi {
    /// Words so far are not asked for: each request is paid for.
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        if request.kind == HearKind::Partial {
            let class = Class::Retry { after: None };
            let why = "it recognises whole utterances only";
            return Err(ProviderError::new(&self.name, class, why));
        }
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let post = Request::post(&self.url).limits(limits());
        let post = post.body(&content_type, body(&self.model, &request.audio));
        let post = match &self.key {
            Some(key) => post.bearer(key),
            None => post,
        };
        let (egress, name) = (self.egress.clone(), self.name.clone());
        Ok(Hearing::new(async move { ask(&egress, &name, post).await }))
    }
}

fn limits() -> Limits {
    Limits {
        head: Duration::from_secs(8),
        idle: Duration::from_secs(8),
        total: Duration::from_secs(10),
        body_bytes: 256 << 10,
        redirects: 0,
    }
}

async fn ask(egress: &Egress, name: &str, post: Request) -> Result<Heard, ProviderError> {
    let failed = |error| ProviderError::from_egress(name, &error);
    let response = egress.send(Policy::Named, post).await.map_err(failed)?;
    let (status, success) = (response.status(), response.is_success());
    let body = response.bytes().await.map_err(failed)?;
    match success {
        true => read(name, &body),
        false => {
            let mut error = refusal(name, status, None, &body);
            // What one server does not take another may.
            if error.class == Class::Fatal {
                error.class = Class::FailOver;
            }
            Err(error)
        }
    }
}

/// The words of an answer.
///
/// # Errors
/// When it is not the JSON that was asked for.
pub fn read(name: &str, body: &[u8]) -> Result<Heard, ProviderError> {
    #[derive(Deserialize)]
    struct Answer {
        text: String,
    }
    let unknown = |_| ProviderError::new(name, Class::FailOver, "an answer that is not understood");
    let answer: Answer = serde_json::from_slice(body).map_err(unknown)?;
    Ok(Heard {
        text: answer.text.trim().to_owned(),
        confidence: None,
        troubles: Vec::new(),
    })
}

/// The form: model, format, and the sound as a file.
pub fn body(model: &str, audio: &[f32]) -> Vec<u8> {
    let field = |name: &str, value: &str| {
        format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let model: String = model.chars().filter(|c| !c.is_control()).collect();
    let head = [field("model", &model), field("response_format", "json")].concat();
    let file = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\ncontent-type: audio/wav\r\n\r\n"
    );
    let mut body = head
        .replace("content-disposition", "Content-Disposition")
        .into_bytes();
    let file = file.replace("content-disposition", "Content-Disposition");
    body.extend_from_slice(file.replace("content-type", "Content-Type").as_bytes());
    body.extend_from_slice(&wav(audio));
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// PCM16, one channel, 16 kHz, with the header of a WAV file.
fn wav(audio: &[f32]) -> Vec<u8> {
    let sound = pcm(audio);
    let length = u32::try_from(sound.len()).unwrap_or(u32::MAX - 36);
    let mut wav = Vec::with_capacity(44 + sound.len());
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(length + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    for half in [1_u16, 1] {
        wav.extend_from_slice(&half.to_le_bytes());
    }
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(RATE * 2).to_le_bytes());
    for half in [2_u16, 16] {
        wav.extend_from_slice(&half.to_le_bytes());
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&length.to_le_bytes());
    wav.extend_from_slice(&sound);
    wav
}

/// ±1.0 as PCM16, little-endian.
pub(super) fn pcm(audio: &[f32]) -> Vec<u8> {
    let sample =
        |sample: &f32| ((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).to_le_bytes();
    audio.iter().flat_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_has_model_format_and_a_wav_of_the_right_length() {
        let body = body("whisper-1", &[0.0, 1.0, -1.0]);
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(
            text.contains("name=\"model\"\r\n\r\nwhisper-1\r\n"),
            "{text}"
        );
        assert!(
            text.contains("name=\"response_format\"\r\n\r\njson\r\n"),
            "{text}"
        );
        assert!(text.ends_with(&format!("\r\n--{BOUNDARY}--\r\n")), "{text}");
        let at = body.windows(4).position(|four| four == b"RIFF").unwrap();
        let wav = &body[at..];
        assert_eq!(wav[4..8], 42_u32.to_le_bytes());
        assert_eq!(wav[24..28], 16_000_u32.to_le_bytes());
        assert_eq!(wav[40..50], [6, 0, 0, 0, 0, 0, 255, 127, 1, 128]);
    }

    #[test]
    fn words_are_read_and_anything_else_is_a_failure() {
        let heard = read(
            "o",
            br#"{"text":" A table for four. ","usage":{"type":"tokens"}}"#,
        );
        assert_eq!(heard.unwrap().text, "A table for four.");
        assert_eq!(read("o", b"{}").unwrap_err().class, Class::FailOver);
        assert_eq!(read("o", b"<html>").unwrap_err().class, Class::FailOver);
    }
}
