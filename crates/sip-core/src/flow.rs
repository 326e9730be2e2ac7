//! Where bytes came from and where bytes go.

use std::fmt;
use std::net::SocketAddr;

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
