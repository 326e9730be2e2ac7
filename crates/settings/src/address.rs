//! Addresses as operators write them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use call_core::document::Complaint;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::Transport;

/// A socket that a profile listens on: `udp://127.0.0.1:5060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen {
    /// What carries it.
    pub transport: Transport,
    /// Address and port; port 0 takes a free one.
    pub addr: SocketAddr,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.addr)
    }
}

impl FromStr for Listen {
    type Err = Complaint;

    fn from_str(text: &str) -> Result<Listen, Complaint> {
        let expected = "expected a transport and an address such as \"udp://127.0.0.1:5060\"";
        let (scheme, addr) = text.split_once("://").ok_or(expected)?;
        let known = Transport::ALL.iter().find(|(name, _)| *name == scheme);
        let (_, transport) = *known.ok_or(expected)?;
        let addr = addr.parse().map_err(|_| expected)?;
        Ok(Listen { transport, addr })
    }
}

/// A network: `10.0.0.0/8`, `2001:db8::/32`; without a length one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

impl Cidr {
    /// True when the address lies in the network. IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.length))
                    .unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.length))
                    .unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Its address.
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// Bits of the network part; longer means more specific.
    pub fn length(&self) -> u8 {
        self.length
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl FromStr for Cidr {
    type Err = Complaint;

    fn from_str(text: &str) -> Result<Cidr, Complaint> {
        let expected = "expected a network such as \"192.76.120.10/32\"";
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| expected)?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.map_or(Ok(most), str::parse).map_err(|_| expected)?;
        if length > most {
            return Err(expected.into());
        }
        let cidr = Cidr { network, length };
        if !cidr.is_network() {
            return Err(format!("{address} has bits set beyond /{length}").into());
        }
        Ok(cidr)
    }
}

impl Cidr {
    fn is_network(&self) -> bool {
        match self.network {
            IpAddr::V4(ip) => {
                ip.to_bits()
                    .checked_shl(u32::from(self.length))
                    .unwrap_or(0)
                    == 0
            }
            IpAddr::V6(ip) => {
                ip.to_bits()
                    .checked_shl(u32::from(self.length))
                    .unwrap_or(0)
                    == 0
            }
        }
    }
}

/// UDP ports for RTP: `16384-32767`, even ones for RTP, the odd ones above for RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl PortRange {
    /// True when the port lies in the range.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = Complaint;

    fn from_str(text: &str) -> Result<PortRange, Complaint> {
        let expected = "expected a range of ports such as \"16384-32767\"";
        let (first, last) = text.split_once('-').ok_or(expected)?;
        let first: u16 = first.trim().parse().map_err(|_| expected)?;
        let last: u16 = last.trim().parse().map_err(|_| expected)?;
        if first < 1024 {
            return Err("ports below 1024 belong to the system".into());
        }
        if last <= first {
            return Err(format!("the range {first}-{last} is empty").into());
        }
        Ok(PortRange { first, last })
    }
}

macro_rules! from_text {
    ($($name:ident $format:literal),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|complaint: Complaint| de::Error::custom(complaint.message))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )*};
}

from_text!(Listen "listen", Cidr "cidr", PortRange "port-range");

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        let contains = |network: &str, ip: &str| cidr(network).contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7/32", "192.0.2.8"));
        assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::1"));
        assert!(
            contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::1")
        );
        assert!(contains("::/0", "::1"));
        assert!(
            contains("127.0.0.0/8", "::ffff:127.0.0.1"),
            "IPv4 mapped into IPv6"
        );
    }

    #[test]
    fn networks_that_are_none_are_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "host/24",
            "10.0.0.0/-1",
            "10.0.0.0/",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn listeners_read_back_what_they_print() {
        for text in [
            "udp://127.0.0.1:5060",
            "tcp://[::1]:5080",
            "udp://0.0.0.0:0",
            "tls://0.0.0.0:5061",
            "ws://127.0.0.1:8088",
            "wss://[::]:7443",
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in [
            "127.0.0.1:5060",
            "udp:127.0.0.1:5060",
            "sctp://127.0.0.1:5060",
            "udp://host:5060",
            "udp://127.0.0.1",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn port_ranges_have_an_order() {
        assert_eq!(
            "16384-32767".parse(),
            Ok(PortRange {
                first: 16384,
                last: 32767
            })
        );
        for text in ["", "5000", "80-100", "6000-5000", "6000-6000", "1-99999"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
