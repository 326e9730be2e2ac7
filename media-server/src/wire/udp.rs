//! UDP: one receive task per socket.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use sip_core::{
    flow::{Flow, Transport},
    framing::{self, Kind},
};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use super::{OpenError, Wire};
use crate::listener;

/// Asked of the kernel for each SIP socket: bursts of a few thousand messages survive.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65_535;

/// Binds one UDP socket with large buffers.
pub(super) fn bind(addr: SocketAddr) -> Result<(SocketAddr, Arc<UdpSocket>), OpenError> {
    open(addr).map_err(|source| OpenError {
        transport: Transport::Udp,
        addr,
        source,
    })
}

fn open(addr: SocketAddr) -> std::io::Result<(SocketAddr, Arc<UdpSocket>)> {
    let socket = roomy(addr)?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    Ok((socket.local_addr()?, Arc::new(socket)))
}

/// A blocking UDP socket with room for bursts.
pub(crate) fn roomy(addr: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    // The kernel caps these silently; less is still correct, only lossier in a burst.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Receives until the wire is closed. A receive error (ICMP unreachable) is counted by the kernel
/// and skipped: one silent peer must not stop the profile.
pub(super) async fn receive(wire: Arc<Wire>, local: SocketAddr, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(datagram) = buffer.get(..length) else {
            continue;
        };
        let sip = framing::classify(datagram) == Kind::Sip;
        if sip && wire.lets_in(remote.ip(), datagram) {
            let flow = Flow {
                transport: Transport::Udp,
                local,
                remote,
                connection: 0,
            };
            let bytes = Bytes::copy_from_slice(datagram);
            wire.deliver(listener::Msg::Received { flow, bytes });
        }
    }
}
