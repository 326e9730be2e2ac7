//! One byte-stream connection, TCP or TLS: a task that reads and writes until either ends.
//!
//! The moment one direction is dead the connection is out of the book, so nothing is ever queued
//! for a peer that is gone (it would only be noticed at the transaction's timeout 32 s later).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sip_core::{
    flow::Flow,
    framing::{Frame, PONG, StreamFramer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{Wire, streams::WRITE_QUEUE};
use crate::listener;

/// The keep-alive we send (RFC 5626 §4.4.1: a double CRLF; a single one is the answer).
pub(super) const PING: &[u8] = b"\r\n\r\n";
/// A peer that answers pings and leaves one unanswered for so long is gone (RFC 5626 §4.4.1).
pub(super) const PONG_WITHIN: Duration = Duration::from_secs(10);
/// A peer that takes nothing for so long is gone.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// What is queued when the far side has closed is still written, for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The 400 that answers an unreadable stream has so long to get out.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a connection ended; counted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The far side closed it, or we did.
    Closed,
    /// Nothing arrived for too long.
    Idle,
    /// A message took too long to arrive whole.
    Slow,
    /// It does not speak SIP, or its messages cannot be told apart.
    NotSip,
    /// It does not take what we send, or does not answer keep-alives.
    Dead,
}

/// What both directions know.
pub(super) struct Shared {
    pub(super) wire: Arc<Wire>,
    pub(super) flow: Flow,
    /// Whether the peer has ever answered a ping.
    answers_pings: AtomicBool,
    /// Whether anything arrived since the last ping.
    heard: AtomicBool,
    /// Whether the stream cannot be understood any more.
    broken: AtomicBool,
}

impl Shared {
    pub(super) fn new(wire: Arc<Wire>, flow: Flow) -> Self {
        Self {
            wire,
            flow,
            answers_pings: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    pub(super) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn ponged(&self) {
        self.answers_pings.store(true, Ordering::Relaxed);
    }

    pub(super) fn silent_since_ping(&self) -> bool {
        !self.heard.load(Ordering::Relaxed) && self.answers_pings.load(Ordering::Relaxed)
    }

    pub(super) fn pinged(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }
}

/// Enters the connection into the book and runs it. `ours` when we opened it, with the name its certificate was checked for.
pub(super) fn adopt<S>(wire: &Arc<Wire>, flow: Flow, stream: S, ours: Option<String>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (queue, waiting) = mpsc::channel(WRITE_QUEUE);
    let counted = ours.is_none();
    wire.streams.enter(flow, queue.clone(), ours);
    let wire = wire.clone();
    let keeper = wire.clone();
    keeper.keep(tokio::spawn(async move {
        let shared = Shared::new(wire.clone(), flow);
        let (read, write) = tokio::io::split(stream);
        let end = run(&shared, read, write, waiting, queue).await;
        finish(&wire, flow, end, counted);
    }));
}

/// Takes a connection out of the book and tells the listener.
pub(super) fn finish(wire: &Arc<Wire>, flow: Flow, end: End, counted: bool) {
    wire.streams.remove(flow.connection);
    if counted {
        wire.streams.leave(flow.remote.ip());
    }
    wire.count_end(end);
    tracing::debug!(%flow, ?end, "connection closed");
    wire.deliver(listener::Msg::ConnectionLost {
        connection: flow.connection,
    });
}

async fn run<R, W>(
    shared: &Shared,
    read: R,
    mut write: W,
    mut waiting: mpsc::Receiver<Bytes>,
    queue: mpsc::Sender<Bytes>,
) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let connection = shared.flow.connection;
    let end = tokio::select! {
        end = read_in(shared, read, queue) => end,
        end = write_out(shared, &mut write, &mut waiting) => end,
    };
    shared.wire.streams.remove(connection);
    waiting.close();
    let last_words = async {
        while let Some(bytes) = waiting.recv().await {
            write.write_all(&bytes).await?;
        }
        write.shutdown().await
    };
    if end != End::Dead {
        let _ = timeout(LAST_WORDS, last_words).await;
    }
    if shared.broken.load(Ordering::Relaxed) {
        End::NotSip
    } else {
        end
    }
}

async fn read_in<R: AsyncRead + Unpin>(
    shared: &Shared,
    mut read: R,
    queue: mpsc::Sender<Bytes>,
) -> End {
    let limits = shared.wire.limits.load_full();
    let mut framer = StreamFramer::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut due = Instant::now() + limits.message_within;
    let mut slow = End::Idle;
    loop {
        let length = match timeout_at(due, read.read(&mut buffer)).await {
            Err(_) => return slow,
            Ok(Ok(length @ 1..)) => length,
            Ok(Ok(0) | Err(_)) => return End::Closed,
        };
        shared.heard();
        framer.push(buffer.get(..length).unwrap_or_default());
        let taken = take_frames(shared, &mut framer, &queue).await;
        if framer.is_broken().is_some() {
            shared.broken.store(true, Ordering::Relaxed);
            return farewell(queue).await;
        }
        let partial = framer.is_within_message();
        if taken || !partial || slow == End::Idle {
            slow = if partial { End::Slow } else { End::Idle };
            let wait = if partial {
                limits.message_within
            } else {
                limits.idle
            };
            due = Instant::now() + wait;
        }
    }
}

/// Whether a whole message was among them.
async fn take_frames(
    shared: &Shared,
    framer: &mut StreamFramer,
    queue: &mpsc::Sender<Bytes>,
) -> bool {
    let mut taken = false;
    while let Some(frame) = framer.next_frame() {
        match frame {
            Frame::Ping => drop(queue.try_send(Bytes::from_static(PONG))),
            Frame::Pong => shared.ponged(),
            Frame::Message(bytes) => {
                taken = true;
                let flow = shared.flow;
                if shared.wire.lets_in(flow.remote.ip(), &bytes) {
                    let msg = listener::Msg::Received { flow, bytes };
                    shared.wire.deliver_in_turn(msg).await;
                }
            }
        }
    }
    if framer.is_lone_crlf() {
        shared.ponged();
    }
    taken
}

/// The endpoint answers what can be answered and closes the stream; this waits for that.
async fn farewell(queue: mpsc::Sender<Bytes>) -> End {
    drop(queue);
    tokio::time::sleep(FAREWELL).await;
    End::NotSip
}

async fn write_out<W: AsyncWrite + Unpin>(
    shared: &Shared,
    write: &mut W,
    waiting: &mut mpsc::Receiver<Bytes>,
) -> End {
    let every = shared.wire.limits.load().keep_alive;
    let mut pinged = false;
    loop {
        let wait = if pinged {
            PONG_WITHIN.min(every)
        } else {
            every
        };
        let bytes = match timeout(wait, waiting.recv()).await {
            Ok(Some(bytes)) => bytes,
            // Everybody has let go: the endpoint closed it.
            Ok(None) => return End::Closed,
            Err(_) if pinged && shared.silent_since_ping() => return End::Dead,
            Err(_) if pinged && wait < every => {
                pinged = false;
                continue;
            }
            Err(_) => {
                pinged = true;
                shared.pinged();
                Bytes::from_static(PING)
            }
        };
        let written = async {
            write.write_all(&bytes).await?;
            write.flush().await
        };
        if !matches!(timeout(WRITE_WITHIN, written).await, Ok(Ok(()))) {
            return End::Dead;
        }
    }
}
