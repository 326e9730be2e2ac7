//! What crosses `/internal/v1` between switch and office.
//!
//! | path | request → answer |
//! |---|---|
//! | `GET /internal/v1/snapshot?after=REV&wait_ms=N` | → [`crate::Snapshot`], or 304 when nothing newer came in `N` ms |
//! | `POST /internal/v1/journal` | [`FactBatch`] → [`FactAck`] |
//! | `PUT /internal/v1/recordings/{call_id}` | WAV bytes, header `x-content-sha256` → [`RecordingAck`] |
//! | `POST /internal/v1/bookings` | [`crate::booking::BookingRequest`] → [`crate::booking::BookingOutcome`] |
//! | `POST /internal/v1/registrations` | [`RegistrationReport`] → 204 |
//! | `GET /internal/v1/registrations?aor=A` | → [`Registrations`] |
//! | `POST /internal/v1/heartbeat` | [`Heartbeat`] → [`Leased`] |
//! | `GET /internal/v1/commands?node=ID&boot=N&wait_ms=N` | → [`crate::command::Orders`], at once when there are some |
//! | `POST /internal/v1/commands` | `[`[`crate::command::CommandReport`]`]` → 204 |
//!
//! All of it wants `Authorization: Bearer <node key>`.

use serde::{Deserialize, Serialize};

use crate::{CallId, Fact, NodeId, TrunkId};

/// Facts in journal order. A batch that comes again changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactBatch {
    /// The switch.
    pub node: NodeId,
    /// Its start count.
    pub boot: u64,
    /// At most 1,000 facts.
    pub facts: Vec<Fact>,
}

/// How many facts of the batch the office has stored (new or known before), counted from its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactAck {
    /// All facts before this index are safe.
    pub accepted: usize,
    /// Facts that can never be stored (malformed), by index: the switch sets them aside and goes on.
    #[serde(default)]
    pub refused: Vec<usize>,
}

/// The office has the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingAck {
    /// SHA-256 of what was stored, hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// "I am alive, and these are my calls." Keeps the office from declaring them lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The switch.
    pub node: NodeId,
    /// Its start count.
    pub boot: u64,
    /// The snapshot revision it routes from.
    pub revision: u64,
    /// Live conversations.
    pub live: Vec<CallId>,
    /// Whether it takes new calls.
    pub accepting: bool,
    /// The profiles it has: trunks of others are not for it to register at.
    #[serde(default)]
    pub profiles: Vec<String>,
}

/// A switch's part of what all switches together may do: the limits of tenants and of their trunks. It holds until the next heartbeat
/// is answered, however long the office is away. A switch that does not take calls has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its number among those that take calls, from 0.
    pub part: u32,
    /// How many there are.
    pub of: u32,
}

impl Share {
    /// Everything: there is no other switch.
    pub const WHOLE: Share = Share { part: 0, of: 1 };
    /// Nothing.
    pub const NONE: Share = Share { part: 0, of: 0 };

    /// Of a limit, so that the shares of all sum up to it.
    pub fn of_limit(self, limit: u32) -> u32 {
        let Some(each) = limit.checked_div(self.of) else {
            return 0;
        };
        each + u32::from(self.part < limit % self.of)
    }
}

/// What a switch may do alone until its next heartbeat is answered, however long the office is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// Its part of the limits.
    #[serde(flatten)]
    pub share: Share,
    /// Trunks at which it registers, and no other switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registers: Vec<TrunkId>,
}

/// Where the extensions of a switch are registered: each address of record with all it has there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistrationReport {
    /// The switch.
    pub node: NodeId,
    /// Everything there is: what the office knows beside it of this switch is gone.
    pub complete: bool,
    /// At most 500 addresses; one without contacts is registered there no more.
    pub addresses: Vec<RegisteredAddress>,
}

/// An address of record and where it is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredAddress {
    /// `user@domain`.
    pub aor: String,
    /// How it is reached; none: no more.
    pub contacts: Vec<RegisteredContact>,
}

/// One binding of an address of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredContact {
    /// What names it among the bindings of its address.
    pub name: String,
    /// The URI of its Contact.
    pub contact: String,
    /// Path values, in the order of a Route.
    pub path: Vec<String>,
    /// The profile it came over.
    pub profile: String,
    /// `udp`, `tcp`.
    pub transport: String,
    /// Where it came from, `203.0.113.9:5060`.
    pub source: String,
    /// What the phone calls itself.
    pub user_agent: String,
    /// When it ends, milliseconds since 1970 UTC.
    pub expires_unix_ms: i64,
}

/// Where an address is registered, on whatever switch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Registrations {
    /// Alive now.
    pub contacts: Vec<HeldContact>,
}

/// A binding and the switch that holds its flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldContact {
    /// The switch.
    pub node: NodeId,
    /// The binding.
    #[serde(flatten)]
    pub contact: RegisteredContact,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_up_to_the_limit() {
        for of in 1..7 {
            for limit in [0, 1, 2, 5, 30, 1_000] {
                let shares = (0..of).map(|part| Share { part, of }.of_limit(limit));
                assert_eq!(shares.sum::<u32>(), limit, "{limit} among {of}");
            }
        }
        assert_eq!(Share::NONE.of_limit(7), 0);
        assert_eq!(Share::WHOLE.of_limit(7), 7);
    }
}
