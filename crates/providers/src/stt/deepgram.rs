//! Recognition by Deepgram's streaming interface, `{base}/listen` over a WebSocket (<https://developers.deepgram.com/reference/speech-to-text/listen-streaming>):
//! an utterance as PCM, then `CloseStream`; its words are those of the results that are final.
//!
//! Empty finals occur, a result may lack what it is documented to have, and unknown messages are no fault.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egress::{Egress, Policy, WebSocket, WsMessage, WsRequest};
use serde::Deserialize;
use tokio::time::Instant;

use super::{HearKind, HearRequest, Heard, Hearing, Stt, SttSpec, openai::pcm};
use crate::{Class, Entry, ProviderError, llm::refusal::shown};

/// Bytes of one message: 100 ms.
const PIECE: usize = 3_200;
/// A socket without sound is closed by the server after 10 s.
const SPARE_LIFE: Duration = Duration::from_secs(7);
/// Sockets that wait for sound.
const SPARES: usize = 8;
/// Most text of one utterance, bytes.
const MAX_TEXT: usize = 16 << 10;
const CLOSE: &str = r#"{"type":"CloseStream"}"#;

/// The row of the table.
pub const SPEC: SttSpec = SttSpec {
    kind: "deepgram",
    built_in: false,
    open: |shared, entry| {
        Ok(Arc::new(Deepgram {
            wire: Wire::new(entry)?,
            egress: shared.egress.clone(),
            spares: Arc::default(),
        }))
    },
};

/// What it speaks.
#[derive(Clone)]
struct Wire {
    name: String,
    url: String,
    key: String,
}

impl Wire {
    fn new(entry: &Entry) -> Result<Self, ProviderError> {
        let base = entry.base()?;
        let base = match base.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => base.to_owned(),
        };
        let model = entry.model.as_deref().unwrap_or("nova-3");
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let model: String = model.chars().filter(plain).collect();
        Ok(Self {
            name: entry.name.clone(),
            url: format!(
                "{base}/listen?model={model}&encoding=linear16&sample_rate=16000&channels=1&interim_results=true&smart_format=true"
            ),
            key: entry.secret().unwrap_or_default(),
        })
    }

    fn open(&self) -> WsRequest {
        let key = format!("Token {}", self.key);
        WsRequest::new(&self.url).header("authorization", key)
    }

    fn failed(&self, why: &str) -> ProviderError {
        ProviderError::new(&self.name, Class::Retry { after: None }, why)
    }
}

/// The words of one utterance as they come.
#[derive(Debug, Default)]
pub struct Reading {
    text: String,
    confidence: Option<f32>,
    over: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Message {
    Results {
        #[serde(default)]
        is_final: bool,
        #[serde(default)]
        channel: Channel,
    },
    /// The last message of a stream.
    Metadata {},
    Error {
        #[serde(default)]
        description: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Alternative {
    transcript: String,
    confidence: Option<f32>,
}

impl Reading {
    /// One message.
    ///
    /// # Errors
    /// What is not JSON, and what the server calls an error.
    pub fn push(&mut self, name: &str, text: &str) -> Result<(), ProviderError> {
        let broken =
            |_| ProviderError::new(name, Class::FailOver, "a message that is not understood");
        let value: serde_json::Value = serde_json::from_str(text).map_err(broken)?;
        // A message without a type, or with fields of another kind, is one of those that we do not know.
        match serde_json::from_value(value).unwrap_or(Message::Other) {
            Message::Results {
                is_final: true,
                channel,
            } => self.words(channel),
            Message::Metadata {} => self.over = true,
            Message::Error { description } => {
                return Err(ProviderError::new(
                    name,
                    Class::FailOver,
                    shown(&description),
                ));
            }
            Message::Results { .. } | Message::Other => {}
        }
        Ok(())
    }

    fn words(&mut self, channel: Channel) {
        let best = channel.alternatives.into_iter().next().unwrap_or_default();
        let words = best.transcript.trim();
        if words.is_empty() || self.text.len() + words.len() > MAX_TEXT {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(words);
        let least = |before: f32| best.confidence.map_or(before, |now| now.min(before));
        self.confidence = self.confidence.map(least).or(best.confidence);
    }

    /// Whether the server said that it has finished.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What was heard.
    pub fn finish(self) -> Heard {
        Heard {
            text: self.text,
            confidence: self.confidence,
            troubles: Vec::new(),
        }
    }
}

struct Deepgram {
    wire: Wire,
    egress: Egress,
    spares: Arc<Mutex<VecDeque<(Instant, WebSocket)>>>,
}

impl Deepgram {
    fn spare(&self) -> Option<WebSocket> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.retain(|(since, _)| since.elapsed() < SPARE_LIFE);
        spares.pop_front().map(|(_, socket)| socket)
    }
}

impl Stt for Deepgram {
    /// When the caller begins to speak a socket is opened, so that it is there when he falls silent.
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        if request.kind == HearKind::Partial {
            self.warm();
            return Err(self.wire.failed("it recognises whole utterances only"));
        }
        let (wire, egress, spare) = (self.wire.clone(), self.egress.clone(), self.spare());
        Ok(Hearing::new(async move {
            let failed = |error| ProviderError::from_egress(&wire.name, &error);
            let mut socket = match spare {
                Some(socket) => socket,
                None => {
                    let opened = egress.websocket(Policy::Named, wire.open()).await;
                    opened.map_err(failed)?
                }
            };
            for piece in pcm(&request.audio).chunks(PIECE) {
                let sound = WsMessage::Binary(piece.to_vec().into());
                socket.send(sound).await.map_err(failed)?;
            }
            let close = WsMessage::Text(CLOSE.into());
            socket.send(close).await.map_err(failed)?;
            words(&wire, socket).await
        }))
    }

    fn warm(&self) {
        let fresh = |(since, _): &(Instant, WebSocket)| since.elapsed() < SPARE_LIFE;
        let there = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if there.iter().any(fresh) {
            return;
        }
        let (wire, egress, spares) = (self.wire.clone(), self.egress.clone(), self.spares.clone());
        tokio::spawn(async move {
            // Whoever needs it is told when it cannot be opened then.
            if let Ok(socket) = egress.websocket(Policy::Named, wire.open()).await {
                let mut spares = spares.lock().unwrap_or_else(PoisonError::into_inner);
                spares.push_back((Instant::now(), socket));
                if spares.len() > SPARES {
                    spares.pop_front();
                }
            }
        });
    }
}

/// Everything until the last word: a stream that just ends broke off.
async fn words(wire: &Wire, mut socket: WebSocket) -> Result<Heard, ProviderError> {
    let mut reading = Reading::default();
    while !reading.is_over() {
        let message = socket.next().await.transpose();
        let message = message.map_err(|error| ProviderError::from_egress(&wire.name, &error))?;
        match message {
            Some(WsMessage::Text(text)) => reading.push(&wire.name, &text)?,
            Some(WsMessage::Binary(_)) => {}
            None => return Err(wire.failed("the stream broke off")),
        }
    }
    socket.close().await;
    Ok(reading.finish())
}

#[cfg(test)]
mod tests;
