//! Finding the next hop (RFC 3263): the transports, addresses and ports that a SIP URI stands for, best first.
//!
//! [`Search`] asks one question of the name service after the other and takes the answers; it knows no resolver. What is
//! written out – an address, a port, a `transport` parameter – asks nobody (§4.1, §4.2). The randomness of SRV weights
//! (RFC 2782) is an argument.

mod search;
mod srv;

pub use search::Search;
pub use srv::by_priority_and_weight;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::flow::Transport;
use crate::value::uri::Scheme;
use crate::value::{Host, Uri};

/// Targets one search gives at most; more would only keep a caller waiting.
pub const MAX_TARGETS: usize = 8;
/// Records of one answer that are looked at.
pub const MAX_RECORDS: usize = 32;
/// Questions one search asks at most, whatever the answers say.
pub const MAX_QUESTIONS: usize = 24;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name or address, of `maddr` where there is one.
    pub host: Host,
    /// The port, when written.
    pub port: Option<u16>,
    /// The transport, when written.
    pub transport: Option<Transport>,
    /// `sips:` – nothing that others can read.
    pub secure: bool,
}

impl Wanted {
    /// Where a request to this URI goes (RFC 3263 §4: the TARGET is `maddr`, else the host).
    ///
    /// # Errors
    /// A URI that names no host, an unknown transport, `sips:` over UDP.
    pub fn of(uri: &Uri) -> Result<Self, LocateError> {
        let secure = match uri.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other(_) => return Err(LocateError::NoHost),
        };
        let host = uri.host().cloned().ok_or(LocateError::NoHost)?;
        let maddr = uri.param("maddr").and_then(host_of);
        Ok(Self {
            host: maddr.unwrap_or(host),
            port: uri.port(),
            transport: transport_of(uri.param("transport"), secure)?,
            secure,
        })
    }

    /// `host`, `host:port`, `[v6]:port`, as operators write it.
    ///
    /// # Errors
    /// It is none of these.
    pub fn at(text: &str) -> Result<Self, LocateError> {
        let uri = Uri::parse(&Bytes::from(format!("sip:{text}")));
        Self::of(&uri.map_err(|_| LocateError::NoHost)?)
    }

    /// The same over this transport, where a setting names one.
    #[must_use]
    pub fn over(mut self, transport: Option<Transport>) -> Self {
        self.transport = transport.or(self.transport);
        self
    }
}

fn host_of(text: &[u8]) -> Option<Host> {
    let whole = Bytes::copy_from_slice(text);
    Host::read_with_port(&whole, &whole, 0)
        .ok()
        .map(|(host, _)| host)
}

/// §4.1: `sips` over TCP means TLS over TCP.
fn transport_of(param: Option<&[u8]>, secure: bool) -> Result<Option<Transport>, LocateError> {
    let Some(name) = param else {
        return Ok(None);
    };
    let known = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
    Ok(Some(match secure {
        _ if known("tls") => Transport::Tls,
        _ if known("wss") => Transport::Wss,
        true if known("tcp") => Transport::Tls,
        true if known("ws") => Transport::Wss,
        false if known("tcp") => Transport::Tcp,
        false if known("ws") => Transport::Ws,
        false if known("udp") => Transport::Udp,
        _ => return Err(LocateError::Transport),
    }))
}

/// What we can send over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Transports, the preferred first, for URIs that leave the choice to us.
    pub transports: Vec<Transport>,
    /// Whether IPv4 addresses can be reached.
    pub v4: bool,
    /// Whether IPv6 addresses can be reached.
    pub v6: bool,
}

impl Ability {
    fn reaches(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// One place to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Over this.
    pub transport: Transport,
    /// To there.
    pub remote: SocketAddr,
    /// Whom its certificate has to name: the host that was looked for, never what DNS made of it (RFC 5922 §4).
    pub name: Host,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.via_name(), self.remote)
    }
}

/// What a search asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The NAPTR records of a domain (RFC 3403).
    Naptr(String),
    /// The SRV records of a service, as in `_sip._udp.example.com` (RFC 2782).
    Srv(String),
    /// The A and AAAA records of a host.
    Addresses(String),
}

impl Question {
    /// The name asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::Naptr(name) | Self::Srv(name) | Self::Addresses(name) => name,
        }
    }
}

/// A NAPTR record, as far as SIP uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first within an order.
    pub preference: u16,
    /// `s` leads to SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIPS+D2T` …
    pub services: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// The share of the load within a priority.
    pub weight: u16,
    /// Where the service is.
    pub port: u16,
    /// On which host; `.` when it is not offered.
    pub target: String,
}

/// What the name service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Addresses`].
    Addresses(Vec<IpAddr>),
    /// There are no such records.
    Nothing,
    /// It could not say, and why.
    Failed(String),
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The URI names no host.
    #[error("the URI names no host")]
    NoHost,
    /// A transport we do not speak, or one that `sips:` forbids.
    #[error("no such transport")]
    Transport,
    /// The name leads nowhere.
    #[error("{0} has no address")]
    Nowhere(String),
    /// The name service did not answer.
    #[error("{name}: {why}")]
    Failed {
        /// The name asked for.
        name: String,
        /// What went wrong.
        why: String,
    },
}
