//! `guard` of a profile: what a source may cost before anything of it is parsed.

use std::time::Duration;

use call_core::length::Length;
use schemars::JsonSchema;
use serde::Deserialize;

/// Limits of sources that no trunk names. 0 = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "GuardFields")]
pub struct Guard {
    /// Packets a second from one source.
    pub pps: u32,
    /// Packets at once beyond `pps`.
    pub burst: u32,
    /// Packets a second from all of these sources together.
    pub total_pps: u32,
    /// Offences of a source (packets beyond its limit, refused calls) until it is banned.
    pub ban_after: u32,
    /// How long a ban lasts.
    pub ban: Duration,
    /// What becomes of an INVITE from outside of the trunks' networks, where `auth = "acl"`.
    pub strangers: Strangers,
    /// What becomes of requests whose User-Agent is a known scanner's.
    pub scanners: Scanners,
}

/// What becomes of a stranger's INVITE on a profile with an ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strangers {
    /// 403, while the limits last.
    #[default]
    Refuse,
    /// Nothing: silence.
    Drop,
}

/// What becomes of a scanner's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scanners {
    /// What becomes of everybody's.
    #[default]
    Answer,
    /// Nothing, and the source is banned.
    Drop,
}

/// Limits of sources that no trunk names. 0 = no limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct GuardFields {
    /// Packets a second from one source.
    pps: u32,
    /// Packets at once beyond `pps`.
    burst: u32,
    /// Packets a second from all of these sources together.
    total_pps: u32,
    /// Offences of a source (packets beyond its limit, refused calls) until it is banned.
    ban_after: u32,
    /// How long a ban lasts.
    ban: Length,
    /// What becomes of an INVITE from outside of the trunks' networks, where `auth = "acl"`.
    strangers: Strangers,
    /// What becomes of requests whose User-Agent is a known scanner's.
    scanners: Scanners,
}

impl Default for GuardFields {
    fn default() -> Self {
        Self {
            pps: 50,
            burst: 200,
            total_pps: 500,
            ban_after: 100,
            ban: Length::seconds(600),
            strangers: Strangers::default(),
            scanners: Scanners::default(),
        }
    }
}

impl From<GuardFields> for Guard {
    fn from(fields: GuardFields) -> Self {
        Self {
            pps: fields.pps,
            burst: fields.burst,
            total_pps: fields.total_pps,
            ban_after: fields.ban_after,
            ban: fields.ban.0,
            strangers: fields.strangers,
            scanners: fields.scanners,
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        GuardFields::default().into()
    }
}
