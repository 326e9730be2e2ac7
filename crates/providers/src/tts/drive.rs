//! Moves a voice's bytes: a request and the stream that answers it, or a WebSocket of its own for each piece of text.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egress::{
    Egress, EgressError, Limits, Policy, Request, Response, WebSocket, WsMessage, WsRequest,
};
use futures_util::stream::{self, BoxStream};
use tokio::time::{Instant, timeout};

use super::{SpeakRequest, Speech, SpeechEvent, Tts};
use crate::{Class, ProviderError, llm::refusal::refusal};

/// Largest error body that is read, bytes.
const ERROR_BYTES: u64 = 64 * 1_024;
/// A socket that waits for words is used within this time; the server may close it soon after.
const SPARE_LIFE: Duration = Duration::from_secs(15);
/// Sockets that wait for words.
const SPARES: usize = 8;
/// A voice that says nothing for so long is gone, however patient its caller.
const IDLE: Duration = Duration::from_secs(10);

/// One answer of a voice, read from bytes.
pub(super) trait Reading: Send {
    /// More bytes, or one message; the events that are certain now.
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<SpeechEvent>, ProviderError>;
    /// Whether the server said that it has finished.
    fn is_over(&self) -> bool;
    /// The bytes are over: what was still held back, then [`SpeechEvent::Done`].
    fn finish(&mut self) -> Result<Vec<SpeechEvent>, ProviderError>;
}

/// What a server of voices speaks: a request each, the sound in the answer's body. Pure.
pub(super) trait HttpWire: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn request(&self, speak: &SpeakRequest) -> Request;
    fn reading(&self, speak: &SpeakRequest) -> Box<dyn Reading>;
}

/// The same over a WebSocket. Pure.
pub(super) trait SocketWire: Send + Sync + 'static {
    fn name(&self) -> &str;
    /// The socket of a voice.
    fn open(&self, voice: &str) -> WsRequest;
    /// The messages that have it spoken.
    fn messages(&self, speak: &SpeakRequest) -> Vec<String>;
    fn reading(&self, speak: &SpeakRequest) -> Box<dyn Reading>;
}

/// A wire with the way out.
pub(super) struct Driven<W> {
    pub(super) wire: Arc<W>,
    pub(super) egress: Egress,
}

impl<W: HttpWire> Tts for Driven<W> {
    fn speak(&self, speak: SpeakRequest) -> Result<Speech, ProviderError> {
        let reading = self.wire.reading(&speak);
        let source = Source::Asking(Box::new(self.wire.request(&speak).limits(limits())));
        let name = self.wire.name().to_owned();
        Ok(speech(Going {
            egress: self.egress.clone(),
            name,
            source,
            reading,
            ready: VecDeque::new(),
        }))
    }

    fn voices(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A wire with the way out, and sockets that wait for words.
pub(super) struct Socketed<W> {
    pub(super) wire: Arc<W>,
    pub(super) egress: Egress,
    pub(super) spares: Arc<Spares>,
}

impl<W: SocketWire> Tts for Socketed<W> {
    fn speak(&self, speak: SpeakRequest) -> Result<Speech, ProviderError> {
        let messages = self.wire.messages(&speak);
        let source = match self.spares.take(&speak.voice) {
            Some(socket) => {
                self.warm(&speak.voice);
                Source::Opened(socket, messages)
            }
            None => Source::Opening(self.wire.open(&speak.voice), messages),
        };
        Ok(speech(Going {
            egress: self.egress.clone(),
            name: self.wire.name().to_owned(),
            source,
            reading: self.wire.reading(&speak),
            ready: VecDeque::new(),
        }))
    }

    fn voices(&self) -> Vec<String> {
        Vec::new()
    }

    fn warm(&self, voice: &str) {
        let (egress, spares) = (self.egress.clone(), self.spares.clone());
        let (request, voice) = (self.wire.open(voice), voice.to_owned());
        tokio::spawn(async move {
            // Whoever needs it is told when it cannot be opened then.
            if let Ok(socket) = egress.websocket(Policy::Named, request).await {
                spares.put(voice, socket);
            }
        });
    }
}

/// Open sockets by voice, the oldest first.
#[derive(Default)]
pub(super) struct Spares(Mutex<VecDeque<(String, Instant, WebSocket)>>);

impl Spares {
    fn take(&self, voice: &str) -> Option<Box<WebSocket>> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.retain(|(_, since, _)| since.elapsed() < SPARE_LIFE);
        let at = spares.iter().position(|(of, ..)| of == voice)?;
        spares.remove(at).map(|(.., socket)| Box::new(socket))
    }

    fn put(&self, voice: String, socket: WebSocket) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.push_back((voice, Instant::now(), socket));
        if spares.len() > SPARES {
            spares.pop_front();
        }
    }
}

fn limits() -> Limits {
    Limits {
        head: IDLE,
        idle: IDLE,
        total: Duration::from_secs(180),
        body_bytes: 32 << 20,
        redirects: 0,
    }
}

/// Where the bytes come from, in the order of its life.
enum Source {
    Asking(Box<Request>),
    Answered(Box<Response>),
    Opening(WsRequest, Vec<String>),
    Opened(Box<WebSocket>, Vec<String>),
    Listening(Box<WebSocket>),
    Over,
}

struct Going {
    egress: Egress,
    name: String,
    source: Source,
    reading: Box<dyn Reading>,
    ready: VecDeque<SpeechEvent>,
}

fn speech(going: Going) -> Speech {
    let name = going.name.clone();
    let events: BoxStream<'static, SpeechEvent> =
        Box::pin(stream::unfold(going, |mut going| async move {
            let event = going.next().await?;
            Some((event, going))
        }));
    Speech::new(name, events)
}

impl Going {
    async fn next(&mut self) -> Option<SpeechEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if matches!(self.source, Source::Over) {
                return None;
            }
            if let Err(error) = self.step().await {
                self.source = Source::Over;
                return Some(SpeechEvent::Failed(error));
            }
        }
    }

    /// One step of the source's life, or one piece of what it says.
    async fn step(&mut self) -> Result<(), ProviderError> {
        self.source = match std::mem::replace(&mut self.source, Source::Over) {
            Source::Asking(request) => {
                let sent = self.egress.send(Policy::Named, *request).await;
                let response = sent.map_err(|error| self.failed(&error))?;
                answered(&self.name, response).await?
            }
            Source::Answered(mut response) => {
                let chunk = response.chunk().await;
                let bytes = chunk.map_err(|error| self.failed(&error))?;
                self.read(bytes.as_deref(), Source::Answered(response))?
            }
            Source::Opening(request, messages) => {
                let socket = self.egress.websocket(Policy::Named, request).await;
                let socket = socket.map_err(|error| self.failed(&error))?;
                Source::Opened(Box::new(socket), messages)
            }
            Source::Opened(mut socket, messages) => {
                for text in messages {
                    let sent = socket.send(WsMessage::Text(text)).await;
                    sent.map_err(|error| self.failed(&error))?;
                }
                Source::Listening(socket)
            }
            Source::Listening(mut socket) => {
                let message = timeout(IDLE, socket.next()).await;
                let message = message.map_err(|_| self.silent())?.transpose();
                let bytes = match message.map_err(|error| self.failed(&error))? {
                    Some(WsMessage::Text(text)) => Some(text.into_bytes()),
                    Some(WsMessage::Binary(bytes)) => Some(bytes.to_vec()),
                    None => None,
                };
                self.read(bytes.as_deref(), Source::Listening(socket))?
            }
            Source::Over => Source::Over,
        };
        Ok(())
    }

    /// What the bytes say; what goes on after them.
    fn read(&mut self, bytes: Option<&[u8]>, on: Source) -> Result<Source, ProviderError> {
        if let Some(bytes) = bytes {
            self.ready.extend(self.reading.push(bytes)?);
            if !self.reading.is_over() {
                return Ok(on);
            }
        }
        self.ready.extend(self.reading.finish()?);
        Ok(Source::Over)
    }

    fn failed(&self, error: &EgressError) -> ProviderError {
        ProviderError::from_egress(&self.name, error)
    }

    fn silent(&self) -> ProviderError {
        ProviderError::new(&self.name, Class::FailOver, "the socket says nothing")
    }
}

/// A response that has sound, or what its refusal means.
async fn answered(name: &str, mut response: Response) -> Result<Source, ProviderError> {
    if response.is_success() {
        return Ok(Source::Answered(Box::new(response)));
    }
    let mut body = Vec::new();
    // What cannot be read of an error body is not needed: the status says enough.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > ERROR_BYTES {
            break;
        }
    }
    let mut error = refusal(name, response.status(), None, &body);
    // What one server finds wrong with the words or the voice is no fault of the words.
    if error.class == Class::Fatal {
        error.class = Class::FailOver;
    }
    Err(error)
}
