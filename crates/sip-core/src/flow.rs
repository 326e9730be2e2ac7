//! Where bytes came from and where bytes go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transports a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One message in each datagram.
    Udp,
    /// A byte stream, cut by Content-Length.
    Tcp,
}

impl Transport {
    /// Whether the transport itself retransmits, so that the transaction timers A, E, G, I, J, K need not (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
        }
    }

    /// The name in a Via header's sent-protocol (RFC 3261 §20.42).
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// A network of peers: an address and the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// Bits of the network part.
    pub bits: u8,
}

impl Network {
    /// Whether an address lies in it. IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differs = |a: u128, b: u128, width: u32| {
            let host = width.saturating_sub(u32::from(self.bits));
            (a ^ b).checked_shr(host).unwrap_or(0)
        };
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                differs(a.to_bits().into(), b.to_bits().into(), 32) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => differs(a.to_bits(), b.to_bits(), 128) == 0,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A path between one of our sockets and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Transport of the socket.
    pub transport: Transport,
    /// Our address: names the listening socket.
    pub local: SocketAddr,
    /// The peer's address as the socket sees it.
    pub remote: SocketAddr,
    /// The stream connection's number in the node; 0 on UDP, and on TCP when a new connection must be opened.
    pub connection: u64,
}

impl Flow {
    /// The same socket towards another peer address; a stream loses its connection by that.
    #[must_use]
    pub fn towards(self, remote: SocketAddr) -> Self {
        let connection = if remote == self.remote {
            self.connection
        } else {
            0
        };
        Self {
            remote,
            connection,
            ..self
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} > {}",
            self.transport.via_name(),
            self.local,
            self.remote
        )
    }
}
