//! The host part of URIs and Via headers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::ValueError;
use super::scan::{decimal, share};

/// A host name or address (RFC 3261 §25.1 `host`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to be resolved.
    Name(Bytes),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; brackets are for the wire only.
    V6(Ipv6Addr),
}

impl Host {
    /// The address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some(IpAddr::V4(*ip)),
            Self::V6(ip) => Some(IpAddr::V6(*ip)),
        }
    }

    /// Reads `host` or `[v6]` and an optional `:port` from `text`, a part of `whole`.
    pub(crate) fn read_with_port(
        whole: &Bytes,
        text: &[u8],
        at: usize,
    ) -> Result<(Self, Option<u16>), ValueError> {
        let (host, port) = split_port(text, at)?;
        let port = port
            .map(|port| {
                decimal(port, 65_535)
                    .and_then(|port| u16::try_from(port).ok())
                    .ok_or(ValueError::new("the port is not a number up to 65535", at))
            })
            .transpose()?;
        Ok((Self::read(whole, host, at)?, port))
    }

    fn read(whole: &Bytes, host: &[u8], at: usize) -> Result<Self, ValueError> {
        if let [b'[', inner @ .., b']'] = host {
            return text(inner)
                .and_then(|inner| inner.parse().ok())
                .map(Self::V6)
                .ok_or(ValueError::new("not an IPv6 address", at));
        }
        let is_name = !host.is_empty()
            && host
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
        if !is_name {
            return Err(ValueError::new("not a host name or address", at));
        }
        Ok(text(host)
            .and_then(|name| name.parse().ok())
            .map_or_else(|| Self::Name(share(whole, host)), Self::V4))
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

type HostAndPort<'a> = (&'a [u8], Option<&'a [u8]>);

fn split_port(text: &[u8], at: usize) -> Result<HostAndPort<'_>, ValueError> {
    let from = match text {
        [b'[', ..] => text
            .iter()
            .position(|byte| *byte == b']')
            .ok_or(ValueError::new("an IPv6 bracket is not closed", at))?,
        _ => 0,
    };
    let colon = text
        .iter()
        .skip(from)
        .position(|byte| *byte == b':')
        .map(|colon| colon + from);
    Ok(match colon {
        Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
        None => (text, None),
    })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&String::from_utf8_lossy(name)),
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}
