//! How a profile's connections are secured and bounded, and where names are looked up.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use call_core::length::Length;
use schemars::JsonSchema;
use serde::Deserialize;

/// What carries SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Every transport, by its name in files.
    pub const ALL: [(&'static str, Transport); 5] = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("ws", Transport::Ws),
        ("wss", Transport::Wss),
    ];

    /// Whether a listening socket of this kind is a UDP socket; all others are TCP sockets.
    pub fn is_datagram(self) -> bool {
        self == Transport::Udp
    }

    /// Whether it needs a certificate.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Transport::ALL.iter();
        let name = names.find(|(_, transport)| transport == self);
        f.write_str(name.map_or("udp", |(name, _)| name))
    }
}

/// TLS of a profile: 1.2 and 1.3. The files are read again when they change; connections that are open stay open.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file with our certificate and its chain. Relative to the profile's file.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key. Relative to the profile's file.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities that are trusted beside (for clients: instead of) the system's.
    pub ca: Option<PathBuf>,
    /// Whether the certificate of a server that we connect to is checked, name and chain.
    pub verify_servers: bool,
    /// Whether who connects must show a certificate of an authority in `ca`.
    pub verify_clients: bool,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            certificate: None,
            key: None,
            ca: None,
            verify_servers: true,
            verify_clients: false,
        }
    }
}

impl Tls {
    /// Relative paths count from `folder`.
    pub(crate) fn relative_to(&mut self, folder: &std::path::Path) {
        for path in [&mut self.certificate, &mut self.key, &mut self.ca]
            .into_iter()
            .flatten()
        {
            *path = folder.join(&*path);
        }
    }
}

/// Bounds of a profile's connections (TCP, TLS, WebSocket).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(from = "StreamFields")]
pub struct Streams {
    /// Connections at the same time; more are closed at once.
    pub connections: u32,
    /// Connections at the same time from one address.
    pub per_source: u32,
    /// A connection on which nothing arrives for so long is closed.
    pub idle: Duration,
    /// A message must be complete so long after its first byte, and a connection must have sent its first message.
    pub message_within: Duration,
    /// How long nothing may be sent before a keep-alive goes out (RFC 5626 §4.4.1).
    pub keep_alive: Duration,
}

/// Bounds of a profile's connections (TCP, TLS, WebSocket).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StreamFields {
    /// Connections at the same time; more are closed at once.
    #[schemars(range(min = 1, max = 100_000))]
    connections: u32,
    /// Connections at the same time from one address.
    #[schemars(range(min = 1, max = 100_000))]
    per_source: u32,
    /// A connection on which nothing arrives for so long is closed.
    idle: Length,
    /// A message must be complete so long after its first byte, and a connection must have sent its first message.
    message_within: Length,
    /// How long nothing may be sent before a keep-alive goes out.
    keep_alive: Length,
}

impl Default for StreamFields {
    fn default() -> StreamFields {
        StreamFields {
            connections: 10_000,
            per_source: 2_000,
            idle: Length::seconds(15 * 60),
            message_within: Length::seconds(15),
            keep_alive: Length::seconds(30),
        }
    }
}

impl From<StreamFields> for Streams {
    fn from(fields: StreamFields) -> Streams {
        Streams {
            connections: fields.connections,
            per_source: fields.per_source,
            idle: fields.idle.0,
            message_within: fields.message_within.0,
            keep_alive: fields.keep_alive.0,
        }
    }
}

impl Default for Streams {
    fn default() -> Streams {
        StreamFields::default().into()
    }
}

/// Where host names are looked up.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Name servers, `192.0.2.53:53`. Without any: the system's.
    #[schemars(with = "Vec<String>")]
    pub servers: Vec<SocketAddr>,
}
