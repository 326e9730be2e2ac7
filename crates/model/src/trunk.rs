//! Trunks and what may be called over them, as the office keeps them and the switch uses them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{TenantId, TrunkId};

/// The SIP profile that carries a tenant's trunk when it names none.
pub const USUAL_PROFILE: &str = "external";

/// How a carrier and we know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkMode {
    /// By address.
    #[default]
    Ip,
    /// By address; our calls answer the carrier's challenge with the credentials.
    Digest,
    /// We register with the credentials, and the carrier calls us there.
    Register,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum NumberSpelling {
    /// Whatever it looks like; on the way out as `+e164`.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// `+15550100001`.
    #[serde(rename = "+e164")]
    Plus,
    /// `15550100001`.
    #[serde(rename = "e164")]
    Bare,
    /// As inside the country.
    #[serde(rename = "national")]
    National,
}

/// How a carrier writes numbers, and wants them written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrunkNumbers {
    /// How it writes to us.
    #[serde(rename = "in")]
    pub inbound: NumberSpelling,
    /// How we write to it.
    #[serde(rename = "out")]
    pub outbound: NumberSpelling,
    /// Taken away from the front of what it writes.
    #[schema(max_length = 16)]
    pub strip: String,
    /// What stands around the number on the way out: `12345678*{number}`.
    #[schema(max_length = 64)]
    pub template: Option<String>,
    /// Add `;user=phone` to our URIs.
    pub user_phone: bool,
}

/// A header that names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkIdentityIn {
    /// P-Asserted-Identity.
    Pai,
    /// Remote-Party-ID.
    Rpid,
    /// From.
    From,
    /// The first Diversion.
    Diversion,
}

/// How our caller is named to the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkIdentityOut {
    /// From and P-Asserted-Identity.
    Pai,
    /// From and Remote-Party-ID.
    Rpid,
    /// From alone.
    From,
}

/// What becomes of a trunk's call that does not prove who calls (STIR/SHAKEN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkStir {
    /// Nobody looks.
    Off,
    /// It goes into the record.
    Note,
    /// Into the record, and the call is refused.
    Refuse,
}

/// Outbound calls of a trunk; 0 = no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrunkPace {
    /// New calls a second; more are paced.
    #[schema(maximum = 1_000)]
    pub cps: u32,
    /// New calls at once after a quiet time.
    #[schema(minimum = 1, maximum = 1_000)]
    pub burst: u32,
    /// The longest a call waits for its turn, milliseconds.
    #[schema(maximum = 60_000)]
    pub wait_ms: u32,
    /// Calls at the same time, both directions.
    #[schema(maximum = 100_000)]
    pub calls: u32,
}

impl Default for TrunkPace {
    fn default() -> Self {
        Self {
            cps: 0,
            burst: 1,
            wait_ms: 10_000,
            calls: 0,
        }
    }
}

/// Everything about a trunk but its name and its password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrunkConfig {
    /// How carrier and switch know each other.
    pub mode: TrunkMode,
    /// The SIP profile that carries it; `external` by default.
    #[schema(min_length = 1, max_length = 63)]
    pub profile: Option<String>,
    /// A carrier that the switch knows (`twilio`): gives what is not said here.
    #[schema(max_length = 63)]
    pub carrier: Option<String>,
    /// Networks its calls come from, `192.0.2.10/32`.
    #[schema(max_items = 64)]
    pub sources: Vec<String>,
    /// Hosts one of which its calls must name; empty asks nothing.
    #[schema(max_items = 16)]
    pub hosts: Vec<String>,
    /// Headers its calls must carry.
    pub headers: BTreeMap<String, String>,
    /// Where it is reached: `sip.example.com` or `203.0.113.9:5060`.
    #[schema(max_length = 255)]
    pub proxy: Option<String>,
    /// `udp`, `tcp` or `tls`; found by DNS without it.
    pub transport: Option<String>,
    /// User of the credentials.
    #[schema(max_length = 255)]
    pub username: Option<String>,
    /// The realm in which the password may be used; another's challenge is not answered.
    #[schema(max_length = 255)]
    pub realm: Option<String>,
    /// Our number as caller, where a call brings none that may be shown.
    pub caller: Option<String>,
    /// ISO 3166 code: national numbers and emergency numbers.
    #[schema(min_length = 2, max_length = 2)]
    pub country: Option<String>,
    /// How it writes numbers.
    pub numbers: Option<TrunkNumbers>,
    /// Which header names the caller; the first that is there counts.
    pub identity_in: Option<Vec<TrunkIdentityIn>>,
    /// How our caller is named to it.
    pub identity_out: Option<TrunkIdentityOut>,
    /// Whether its calls must prove who calls; without it as the switch's own files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stir: Option<TrunkStir>,
    /// Lower goes first.
    pub priority: u16,
    /// Its share among trunks of the same priority; 10 by default.
    pub weight: Option<u16>,
    /// How fast and how many calls it takes.
    pub pace: Option<TrunkPace>,
    /// How often it is asked whether it is there, seconds.
    #[schema(minimum = 5, maximum = 3_600)]
    pub ping_s: Option<u32>,
}

/// A tenant's trunk in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkEntry {
    /// The trunk.
    pub id: TrunkId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, unique in the tenant. Beyond the tenant it is `slug/name`.
    pub name: String,
    /// What it is.
    pub config: TrunkConfig,
    /// The password, sealed to the switch that asked; empty when there is none.
    #[serde(default)]
    pub sealed: String,
}

/// What a tenant may call. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundPolicy {
    /// Prefixes that may be called, `+33`; `!+33899` forbids; the longest match decides.
    #[schema(max_items = 1_000)]
    pub prefixes: Vec<String>,
    /// Numbers that a call from outside may be put through to.
    #[schema(max_items = 1_000)]
    pub forward_to: Vec<String>,
    /// ISO 3166 code: national numbers and emergency numbers.
    #[schema(min_length = 2, max_length = 2)]
    pub country: Option<String>,
    /// Emergency numbers: `route:TRUNK` or `reject`. Required where `prefixes` allow anything.
    pub emergency: Option<String>,
    /// Whether a 3xx of the far side is followed.
    pub redirects: bool,
    /// The longest a leg to a trunk lasts, seconds.
    #[schema(minimum = 10, maximum = 86_400)]
    pub max_duration_s: Option<u32>,
}
