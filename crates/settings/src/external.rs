//! `external_ip`: the address others see, written or asked for.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use call_core::document::Complaint;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::hints::check_host;

/// The STUN port (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

/// The address others see a profile at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalIp {
    /// This one.
    Fixed(IpAddr),
    /// What the STUN server at this `host:port` says. Asked beside the calls, never in their way.
    Stun(String),
}

impl FromStr for ExternalIp {
    type Err = Complaint;

    fn from_str(text: &str) -> Result<Self, Complaint> {
        let expected =
            "expected an IP address such as \"203.0.113.7\", or \"stun:stun.example.com\"";
        let Some(host) = text.strip_prefix("stun:") else {
            return Ok(Self::Fixed(text.parse().map_err(|_| expected)?));
        };
        check_host(host).map_err(|_| expected)?;
        Ok(Self::Stun(with_port(host)))
    }
}

fn with_port(host: &str) -> String {
    let bare = host.parse::<IpAddr>().is_ok() || !host.contains(':');
    match (bare, host.parse::<IpAddr>()) {
        (true, Ok(IpAddr::V6(ip))) => format!("[{ip}]:{STUN_PORT}"),
        (true, _) => format!("{host}:{STUN_PORT}"),
        (false, _) => host.to_owned(),
    }
}

impl fmt::Display for ExternalIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ip) => ip.fmt(f),
            Self::Stun(server) => write!(f, "stun:{server}"),
        }
    }
}

impl<'de> Deserialize<'de> for ExternalIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|complaint: Complaint| de::Error::custom(complaint.message))
    }
}

impl JsonSchema for ExternalIp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ExternalIp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "external-ip" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_stun_server_and_nothing_else() {
        let read = |text: &str| text.parse::<ExternalIp>();
        assert_eq!(
            read("203.0.113.7"),
            Ok(ExternalIp::Fixed([203, 0, 113, 7].into()))
        );
        let stun = |server: &str| Ok(ExternalIp::Stun(server.to_owned()));
        assert_eq!(read("stun:stun.example.com"), stun("stun.example.com:3478"));
        assert_eq!(read("stun:192.0.2.1:19302"), stun("192.0.2.1:19302"));
        for text in ["", "stun:", "auto", "sip.example.com", "stun:a b"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
