//! WebSockets: our own connect under the guard, then the handshake.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        handshake::client::Request as Handshake,
        http::{HeaderName, HeaderValue},
        protocol::WebSocketConfig,
    },
};

use crate::{EgressError, guard::Guard};

/// A WebSocket to be opened.
#[derive(Debug, Clone)]
pub struct WsRequest {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// Longest wait for name, connection, TLS and handshake together.
    pub connect: Duration,
    /// Largest message taken, bytes.
    pub message_bytes: usize,
}

impl WsRequest {
    /// A request with 5 s to connect and messages of at most 1 MiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            connect: Duration::from_secs(5),
            message_bytes: 1 << 20,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What a WebSocket carries. Pings are answered inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WsMessage {
    /// UTF-8.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// An open WebSocket.
pub struct WebSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    host: String,
    limit: u64,
}

impl WebSocket {
    /// Sends one message.
    ///
    /// # Errors
    /// [`EgressError::Protocol`] when the connection is gone.
    pub async fn send(&mut self, message: WsMessage) -> Result<(), EgressError> {
        let message = match message {
            WsMessage::Text(text) => Message::text(text),
            WsMessage::Binary(bytes) => Message::binary(bytes),
        };
        let sent = self.stream.send(message).await;
        sent.map_err(|error| translate(&error, &self.host, self.limit))
    }

    /// The next message; `None` once the other side has closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<WsMessage, EgressError>> {
        loop {
            match self.stream.next().await? {
                Ok(Message::Text(text)) => return Some(Ok(WsMessage::Text(text.to_string()))),
                Ok(Message::Binary(bytes)) => return Some(Ok(WsMessage::Binary(bytes))),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return None;
                }
                Err(error) => return Some(Err(translate(&error, &self.host, self.limit))),
            }
        }
    }

    /// Says goodbye; the other side's answer is not waited for.
    pub async fn close(&mut self) {
        // Closing what is already gone is what was wanted.
        let _ = self.stream.close(None).await;
    }
}

/// Opens a WebSocket to an address the guard permits.
pub(crate) async fn open(guard: &Guard, request: WsRequest) -> Result<WebSocket, EgressError> {
    let handshake = handshake(&request)?;
    let (host, port) = destination(&handshake)?;
    let limit = request.connect;
    timeout(limit, connect(guard, handshake, &host, port, &request))
        .await
        .map_err(|_| EgressError::Timeout {
            host,
            what: "connect",
            limit,
        })?
}

async fn connect(
    guard: &Guard,
    handshake: Handshake,
    host: &str,
    port: u16,
    request: &WsRequest,
) -> Result<WebSocket, EgressError> {
    let tcp = first_that_answers(host, &guard.sockets(host, port).await?).await?;
    let limit = request.message_bytes as u64;
    let config = WebSocketConfig::default()
        .max_message_size(Some(request.message_bytes))
        .max_frame_size(Some(request.message_bytes));
    let opened = client_async_tls_with_config(handshake, tcp, Some(config), None).await;
    let (stream, _) = opened.map_err(|error| translate(&error, host, limit))?;
    Ok(WebSocket {
        stream,
        host: host.to_owned(),
        limit,
    })
}

async fn first_that_answers(host: &str, sockets: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut why = String::new();
    for socket in sockets {
        match TcpStream::connect(socket).await {
            Ok(tcp) => {
                // Small messages in both directions: waiting to fill packets costs a turn's time.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(EgressError::Connect {
        host: host.to_owned(),
        why,
    })
}

fn handshake(request: &WsRequest) -> Result<Handshake, EgressError> {
    let bad = |why| EgressError::BadUrl { why };
    let mut handshake = request
        .url
        .as_str()
        .into_client_request()
        .map_err(|_| bad("it is not a WebSocket URL"))?;
    for (name, value) in &request.headers {
        let name = name.parse::<HeaderName>();
        let value = HeaderValue::from_str(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad("a header has characters that HTTP does not carry"));
        };
        handshake.headers_mut().append(name, value);
    }
    Ok(handshake)
}

fn destination(handshake: &Handshake) -> Result<(String, u16), EgressError> {
    let uri = handshake.uri();
    let port = match uri.scheme_str() {
        Some("ws") => 80,
        Some("wss") => 443,
        _ => {
            return Err(EgressError::BadUrl {
                why: "its scheme is not ws or wss",
            });
        }
    };
    let host = uri.host().ok_or(EgressError::BadUrl {
        why: "it has no host",
    })?;
    Ok((host.to_owned(), uri.port_u16().unwrap_or(port)))
}

fn translate(error: &Error, host: &str, limit: u64) -> EgressError {
    let host = host.to_owned();
    match error {
        Error::Capacity(_) => EgressError::TooLarge { host, limit },
        Error::Http(response) => EgressError::Status {
            host,
            status: response.status().as_u16(),
        },
        Error::Tls(error) => EgressError::Connect {
            host,
            why: error.to_string(),
        },
        other => EgressError::Protocol {
            host,
            why: other.to_string(),
        },
    }
}
