//! Bookings as the switch asks the office for them (`/internal/v1/bookings`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AgentId, BookingId, CallId, TenantId};

/// What an agent asks to be booked. Sent with an idempotency key: the same key never books twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BookingRequest {
    /// `call/turn/tool`: kept across retry and failover.
    pub idempotency_key: String,
    /// Whose agent asks.
    pub tenant: TenantId,
    /// The agent whose `booking` settings give resource, tables and slot length.
    pub agent: AgentId,
    /// The agent's version that the call pinned.
    pub agent_version: u32,
    /// The conversation.
    pub call: CallId,
    /// What is booked (`tables`).
    pub resource: String,
    /// Local start, `YYYY-MM-DDTHH:MM`, in the agent's zone.
    pub starts_local: String,
    /// How many people.
    pub party_size: u32,
    /// The caller's number as given or as it came with the call.
    pub phone: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BookingOutcome {
    /// Done; the code is read out to the caller.
    Booked {
        /// The booking.
        id: BookingId,
        /// A short code (`R-4471`).
        code: String,
    },
    /// The slot is full; other starts of the same day that still have room, nearest first (at most 3).
    Full {
        /// Local starts, `YYYY-MM-DDTHH:MM`.
        alternatives: Vec<String>,
    },
    /// Outside opening hours or rules; the text says which.
    Refused {
        /// Words for the caller's ear.
        reason: String,
    },
}
