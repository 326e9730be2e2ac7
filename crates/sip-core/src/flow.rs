//! Where bytes came from and where bytes go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The transports a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One message in each datagram.
    Udp,
    /// A byte stream, cut by Content-Length.
    Tcp,
    /// The same inside TLS (RFC 3261 §26.2.1).
    Tls,
    /// One message in each WebSocket message (RFC 7118).
    Ws,
    /// The same inside TLS.
    Wss,
}

impl Transport {
    /// Whether it goes over a connection; what is sent back goes over the same one (RFC 3261 §18.2.2).
    pub fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }

    /// Whether the transport itself retransmits, so that the transaction timers A, E, G, I, J, K need not (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        self.is_stream()
    }

    /// Whether nobody on the way can read it.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether one WebSocket message is one SIP message (RFC 7118 §5).
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The name in a Via header's sent-protocol (RFC 3261 §20.42, RFC 7118 §5.2).
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The `transport` parameter of a SIP URI that leads here, for our Contact; UDP is what goes without saying
    /// (RFC 3261 §19.1.1; `tls` is deprecated there and what every carrier uses).
    pub fn uri_param(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }

    /// The port where none is written (RFC 3261 §19.1.2; RFC 7118 leaves WebSockets to HTTP's ports).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
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
