//! TCP sockets: listening for every stream transport, and connecting.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sip_core::flow::{Flow, Transport};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{OpenError, Wire, WireError, connection, tls, websocket};

/// A connection or handshake that takes longer has failed.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// TLS and WebSocket handshakes of who connects to us.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Binds one listening socket.
pub(super) async fn bind(
    transport: Transport,
    addr: SocketAddr,
) -> Result<(SocketAddr, TcpListener), OpenError> {
    let fail = |source| OpenError {
        transport,
        addr,
        source,
    };
    let listener = TcpListener::bind(addr).await.map_err(fail)?;
    Ok((listener.local_addr().map_err(fail)?, listener))
}

/// Accepts until the wire is closed.
pub(super) async fn accept(
    wire: Arc<Wire>,
    transport: Transport,
    local: SocketAddr,
    listener: TcpListener,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if wire.gate.welcomes(wire.clock.now(), remote.ip()) {
                    take(&wire, transport, local, (stream, remote));
                }
            }
            // Out of descriptors: wait for some to come back instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Seats a connection, or closes it at once; handshakes do not hold up the next one.
fn take(
    wire: &Arc<Wire>,
    transport: Transport,
    local: SocketAddr,
    (stream, remote): (TcpStream, SocketAddr),
) {
    let limits = wire.limits.load();
    let source = remote.ip();
    if !wire
        .streams
        .admit(source, limits.connections, limits.per_source)
    {
        return wire.count_refused();
    }
    let _ = stream.set_nodelay(true);
    let local = SocketAddr::new(
        stream.local_addr().map_or(local.ip(), |at| at.ip()),
        local.port(),
    );
    let flow = wire.new_flow(transport, local, remote);
    let keeper = wire.clone();
    let wire = wire.clone();
    keeper.keep(tokio::spawn(async move {
        let greeted = timeout(HANDSHAKE, greet(&wire, flow, stream)).await;
        if !matches!(greeted, Ok(Ok(()))) {
            wire.streams.leave(source);
            wire.count_refused();
        }
    }));
}

/// What lies between an accepted socket and its first SIP message.
async fn greet(wire: &Arc<Wire>, flow: Flow, stream: TcpStream) -> Result<(), WireError> {
    match flow.transport {
        Transport::Udp => return Err(WireError::NoSocket),
        Transport::Tcp => connection::adopt(wire, flow, stream, None),
        Transport::Tls => {
            let stream = tls::accept(wire, stream).await?;
            connection::adopt(wire, flow, stream, None);
        }
        Transport::Ws => websocket::accept(wire, flow, stream).await?,
        Transport::Wss => {
            let stream = tls::accept(wire, stream).await?;
            websocket::accept(wire, flow, stream).await?;
        }
    }
    Ok(())
}

/// Opens a connection of our own; `name` is what its certificate must show.
pub(super) async fn connect(
    wire: &Arc<Wire>,
    transport: Transport,
    remote: SocketAddr,
    name: &str,
) -> Result<Flow, WireError> {
    let opened = timeout(CONNECT, open(wire.source_for(remote), remote)).await;
    let stream = opened
        .map_err(|_| WireError::Gone)?
        .map_err(|_| WireError::Gone)?;
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_err(|_| WireError::Gone)?;
    let flow = wire.new_flow(transport, local, remote);
    let ours = Some(name.to_owned());
    let secured = async {
        match transport {
            Transport::Udp => return Err(WireError::NoSocket),
            Transport::Tcp => connection::adopt(wire, flow, stream, ours),
            Transport::Tls => {
                let stream = tls::connect(&wire.tls.load_full(), stream, name).await?;
                connection::adopt(wire, flow, stream, ours);
            }
            Transport::Ws => websocket::connect(wire, flow, stream, ours).await?,
            Transport::Wss => {
                let stream = tls::connect(&wire.tls.load_full(), stream, name).await?;
                websocket::connect(wire, flow, stream, ours).await?;
            }
        }
        Ok(flow)
    };
    let secured = timeout(HANDSHAKE, secured).await;
    secured.map_err(|_| WireError::Gone)?
}

/// Carriers know us by our address: what we open comes from where we listen.
async fn open(source: Option<std::net::IpAddr>, remote: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(remote).await
}
