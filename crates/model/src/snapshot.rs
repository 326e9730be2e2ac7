//! The snapshot: all the configuration a switch routes from, under one revision.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AgentId, ExtensionId, NumberId, RecordingMode, TenantId,
    agent::PublishedAgent,
    trunk::{OutboundPolicy, TrunkEntry},
};

/// What the office publishes to the switches. The switch keeps the last good one on disk; a call
/// pins its revision for life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with every change that switches must know.
    pub revision: u64,
    /// Tenants that are active.
    pub tenants: Vec<TenantEntry>,
    /// Numbers that route to agents.
    pub numbers: Vec<NumberEntry>,
    /// Every version that a number pins, and the latest of each agent.
    pub agents: Vec<PublishedAgent>,
    /// Extensions that may register and call.
    #[serde(default)]
    pub extensions: Vec<ExtensionEntry>,
    /// Trunks of tenants.
    #[serde(default)]
    pub trunks: Vec<TrunkEntry>,
}

/// A tenant as the switch needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantEntry {
    /// The tenant.
    pub id: TenantId,
    /// Its fixed slug.
    pub slug: String,
    /// What it may call; nothing without it.
    #[serde(default)]
    pub outbound: Option<OutboundPolicy>,
    /// What all switches together take of its calls.
    #[serde(default)]
    pub limits: TenantLimits,
}

/// Calls of a tenant, in and out, on all switches together; 0 = no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Calls at the same time.
    #[schema(maximum = 100_000)]
    pub calls: u32,
    /// New calls a second.
    #[schema(maximum = 10_000)]
    pub cps: u32,
    /// New calls at once after a quiet time; at least one.
    #[schema(maximum = 10_000)]
    pub burst: u32,
}

/// A number and the agent it reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberEntry {
    /// The number's id.
    pub id: NumberId,
    /// Whose number it is.
    pub tenant: TenantId,
    /// `+` and digits.
    pub e164: String,
    /// The agent.
    pub agent: AgentId,
    /// A pinned version; none = latest.
    pub pin: Option<u32>,
    /// When its calls are recorded; none = as the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingMode>,
}

/// An extension as the switch needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtensionEntry {
    /// Its id.
    pub id: ExtensionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The domain it is in: the realm of its password, the host of its address.
    pub domain: String,
    /// Its name in the domain: `1001`.
    pub user: String,
    /// For people.
    pub display_name: String,
    /// Its password, sealed for the switch that asked (place `extensions.password/ID`).
    pub password: String,
}

impl Snapshot {
    /// The agent that `e164` reaches, in the version that counts for it.
    pub fn agent_for_number(&self, e164: &str) -> Option<(&NumberEntry, &PublishedAgent)> {
        let number = self.numbers.iter().find(|n| n.e164 == e164)?;
        let agent = self.agents.iter().find(|a| {
            a.agent.id == number.agent && number.pin.map_or(a.latest, |pin| a.agent.version == pin)
        })?;
        Some((number, agent))
    }

    /// The latest version of `tenant_slug/agent_slug`.
    pub fn agent_by_name(&self, tenant_slug: &str, agent_slug: &str) -> Option<&PublishedAgent> {
        self.agents
            .iter()
            .find(|a| a.latest && a.tenant_slug == tenant_slug && a.agent.slug == agent_slug)
    }
}
