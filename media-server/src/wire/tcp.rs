//! TCP: an accept task per listening address, a reader and a writer task per connection.

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use sip_core::{
    flow::{Flow, Transport},
    framing::{Frame, PONG, StreamFramer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::timeout,
};

use super::{OpenError, Wire, WireError};
use crate::listener;

/// Messages that may wait to be written on one connection.
const WRITE_QUEUE: usize = 256;
/// Connections one profile keeps open; more are closed at once.
const MAX_CONNECTIONS: usize = 10_000;
/// A peer that sends nothing for so long is closed (its dialogs fall back to a new connection).
const IDLE: Duration = Duration::from_secs(900);
const CONNECT: Duration = Duration::from_secs(2);

/// Binds one listening socket.
pub(super) async fn bind(addr: SocketAddr) -> Result<(SocketAddr, TcpListener), OpenError> {
    let fail = |source| OpenError {
        transport: "tcp",
        addr,
        source,
    };
    let listener = TcpListener::bind(addr).await.map_err(fail)?;
    Ok((listener.local_addr().map_err(fail)?, listener))
}

/// Accepts until the wire is closed.
pub(super) async fn accept(wire: Arc<Wire>, local: SocketAddr, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let welcome = wire.gate.welcomes(wire.clock.now(), remote.ip());
                if welcome && wire.connections() < MAX_CONNECTIONS {
                    adopt(&wire, local, remote, stream);
                }
            }
            // Out of descriptors: wait for some to come back instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Opens a connection of our own.
pub(super) async fn connect(wire: &Arc<Wire>, remote: SocketAddr) -> Result<Flow, WireError> {
    let stream = timeout(CONNECT, TcpStream::connect(remote)).await;
    let stream = stream
        .map_err(|_| WireError::Gone)?
        .map_err(|_| WireError::Gone)?;
    let local = stream.local_addr().map_err(|_| WireError::Gone)?;
    Ok(adopt(wire, local, remote, stream))
}

fn adopt(wire: &Arc<Wire>, local: SocketAddr, remote: SocketAddr, stream: TcpStream) -> Flow {
    let _ = stream.set_nodelay(true);
    let connection = wire.next_connection.fetch_add(1, Ordering::Relaxed);
    let flow = Flow {
        transport: Transport::Tcp,
        local,
        remote,
        connection,
    };
    let (read, write) = stream.into_split();
    let (sender, queue) = mpsc::channel(WRITE_QUEUE);
    wire.streams().insert(connection, sender.clone());
    wire.keep(tokio::spawn(write_out(write, queue)));
    wire.keep(tokio::spawn(read_in(wire.clone(), flow, read, sender)));
    flow
}

async fn write_out(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = queue.recv().await {
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

async fn read_in(wire: Arc<Wire>, flow: Flow, mut read: OwnedReadHalf, pong: mpsc::Sender<Bytes>) {
    let mut framer = StreamFramer::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(Ok(length @ 1..)) = timeout(IDLE, read.read(&mut buffer)).await {
        framer.push(buffer.get(..length).unwrap_or_default());
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Ping => drop(pong.try_send(Bytes::from_static(PONG))),
                Frame::Pong => {}
                Frame::Message(bytes) => {
                    if wire.lets_in(flow.remote.ip(), &bytes) {
                        wire.deliver(listener::Msg::Received { flow, bytes });
                    }
                }
            }
        }
        if framer.is_broken().is_some() {
            break;
        }
    }
    // A broken stream is closed by the endpoint after its 400 has been queued.
    if framer.is_broken().is_none() {
        wire.close_stream(flow.connection);
    }
    drop(pong);
    wire.deliver(listener::Msg::ConnectionLost {
        connection: flow.connection,
    });
}
