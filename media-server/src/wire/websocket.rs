//! SIP over WebSockets (RFC 7118): one SIP message in each WebSocket message, subprotocol `sip`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use sip_core::{
    flow::{Flow, Transport},
    framing::{Kind, PONG, classify},
    message::MAX_MESSAGE_BYTES,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode},
        protocol::WebSocketConfig,
    },
};

use super::{
    Wire, WireError,
    connection::{End, PONG_WITHIN, Shared, WRITE_WITHIN, finish},
    streams::WRITE_QUEUE,
};
use crate::listener;

/// RFC 7118 §4.1.
const SUBPROTOCOL: &str = "sip";

/// Upgrades what was accepted; without the subprotocol it is refused.
pub(super) async fn accept<S>(wire: &Arc<Wire>, flow: Flow, stream: S) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgraded = accept_hdr_async_with_config(stream, agree, Some(limits())).await;
    let socket = upgraded.map_err(|_| WireError::Handshake)?;
    adopt(wire, flow, socket, None);
    Ok(())
}

/// Connects as a client (RFC 7118 §4.1).
pub(super) async fn connect<S>(
    wire: &Arc<Wire>,
    flow: Flow,
    stream: S,
    ours: Option<String>,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let scheme = if flow.transport == Transport::Wss {
        "wss"
    } else {
        "ws"
    };
    let request = format!("{scheme}://{}/", flow.remote).into_client_request();
    let mut request = request.map_err(|_| WireError::Handshake)?;
    let headers = request.headers_mut();
    headers.insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let connected = client_async_with_config(request, stream, Some(limits())).await;
    let (socket, _) = connected.map_err(|_| WireError::Handshake)?;
    adopt(wire, flow, socket, ours);
    Ok(())
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

#[allow(
    clippy::result_large_err,
    reason = "the library's callback returns its own type"
)]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all("Sec-WebSocket-Protocol");
    let sip = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(SUBPROTOCOL));
    if !sip {
        let mut refusal = ErrorResponse::new(Some("the subprotocol is sip".to_owned()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    let headers = response.headers_mut();
    headers.insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(response)
}

fn adopt<S>(wire: &Arc<Wire>, flow: Flow, socket: WebSocketStream<S>, ours: Option<String>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (queue, waiting) = mpsc::channel(WRITE_QUEUE);
    let counted = ours.is_none();
    wire.streams.enter(flow, queue.clone(), ours);
    let keeper = wire.clone();
    let wire = wire.clone();
    keeper.keep(tokio::spawn(async move {
        let shared = Shared::new(wire.clone(), flow);
        let (mut write, read) = socket.split();
        let end = tokio::select! {
            end = read_in(&shared, read, queue) => end,
            end = write_out(&shared, &mut write, waiting) => end,
        };
        let _ = timeout(WRITE_WITHIN, write.close()).await;
        finish(&wire, flow, end, counted);
    }));
}

async fn read_in<S>(
    shared: &Shared,
    mut read: SplitStream<WebSocketStream<S>>,
    queue: mpsc::Sender<Bytes>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = shared.wire.limits.load_full();
    let mut due = Instant::now() + limits.message_within;
    loop {
        let message = match timeout_at(due, read.next()).await {
            Err(_) => return End::Idle,
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) => return End::Closed,
        };
        shared.heard();
        due = Instant::now() + limits.idle;
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Pong(_) => {
                shared.ponged();
                continue;
            }
            // The library answers it.
            Message::Ping(_) | Message::Frame(_) => continue,
            Message::Close(_) => return End::Closed,
        };
        match classify(&bytes) {
            Kind::Sip => {
                let flow = shared.flow;
                if shared.wire.lets_in(flow.remote.ip(), &bytes) {
                    let msg = listener::Msg::Received { flow, bytes };
                    shared.wire.deliver_in_turn(msg).await;
                }
            }
            // Some clients send CRLF inside of messages (RFC 5626 §4.4.1).
            Kind::KeepAlive => drop(queue.try_send(Bytes::from_static(PONG))),
            Kind::Stun | Kind::Http | Kind::Tls | Kind::Noise => return End::NotSip,
        }
    }
}

async fn write_out<S>(
    shared: &Shared,
    write: &mut SplitSink<WebSocketStream<S>, Message>,
    mut waiting: mpsc::Receiver<Bytes>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let every = shared.wire.limits.load().keep_alive;
    let mut pinged = false;
    loop {
        let wait = if pinged {
            PONG_WITHIN.min(every)
        } else {
            every
        };
        let message = match timeout(wait, waiting.recv()).await {
            Ok(Some(bytes)) => written(bytes),
            Ok(None) => return End::Closed,
            Err(_) if pinged && shared.silent_since_ping() => return End::Dead,
            Err(_) if pinged && wait < every => {
                pinged = false;
                continue;
            }
            Err(_) => {
                pinged = true;
                shared.pinged();
                Message::Ping(Bytes::new())
            }
        };
        if !matches!(timeout(WRITE_WITHIN, write.send(message)).await, Ok(Ok(()))) {
            return End::Dead;
        }
    }
}

/// Text where it is text: browsers' consoles show it (RFC 7118 §5).
fn written(bytes: Bytes) -> Message {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Message::text(text),
        Err(_) => Message::Binary(bytes),
    }
}
