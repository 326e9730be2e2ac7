//! What phones and gateways authenticate and register with.

use std::time::Duration;

use call_core::length::Length;
use schemars::JsonSchema;
use serde::Deserialize;

/// How passwords are asked for (`auth = "digest"`).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(from = "DigestFields")]
pub struct Digest {
    /// Offered in this order.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce is good; afterwards phones are challenged anew by themselves.
    pub nonce: Duration,
}

/// How a digest is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum DigestAlgorithm {
    /// RFC 3261.
    #[serde(rename = "MD5")]
    Md5,
    /// RFC 8760.
    #[serde(rename = "SHA-256")]
    Sha256,
}

/// How passwords are asked for (`auth = "digest"`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DigestFields {
    /// Offered in this order, the preferred one first.
    #[schemars(length(min = 1))]
    algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce is good; afterwards phones are challenged anew by themselves.
    nonce: Length,
}

impl Default for DigestFields {
    fn default() -> DigestFields {
        DigestFields {
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            nonce: Length::seconds(5 * 60),
        }
    }
}

impl From<DigestFields> for Digest {
    fn from(fields: DigestFields) -> Digest {
        Digest {
            algorithms: fields.algorithms,
            nonce: fields.nonce.0,
        }
    }
}

impl Default for Digest {
    fn default() -> Digest {
        DigestFields::default().into()
    }
}

/// Registrations of phones at this node.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(from = "RegistrarFields")]
pub struct Registrar {
    /// Shorter lives are refused (423).
    pub min_expires: Duration,
    /// Longer ones are cut to it.
    pub max_expires: Duration,
    /// Phones of one extension.
    pub contacts: u16,
}

/// Registrations of phones at this node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RegistrarFields {
    /// Shorter lives are refused (423).
    min_expires: Length,
    /// Longer ones are cut to it.
    max_expires: Length,
    /// Phones of one extension.
    #[schemars(range(min = 1, max = 100))]
    contacts: u16,
}

impl Default for RegistrarFields {
    fn default() -> RegistrarFields {
        RegistrarFields {
            min_expires: Length::seconds(60),
            max_expires: Length::seconds(3_600),
            contacts: 10,
        }
    }
}

impl From<RegistrarFields> for Registrar {
    fn from(fields: RegistrarFields) -> Registrar {
        Registrar {
            min_expires: fields.min_expires.0,
            max_expires: fields.max_expires.0,
            contacts: fields.contacts,
        }
    }
}

impl Default for Registrar {
    fn default() -> Registrar {
        RegistrarFields::default().into()
    }
}
