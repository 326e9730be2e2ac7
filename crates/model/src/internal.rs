//! What crosses `/internal/v1` between switch and office.
//!
//! | path | request → answer |
//! |---|---|
//! | `GET /internal/v1/snapshot?after=REV&wait_ms=N` | → [`crate::Snapshot`], or 304 when nothing newer came in `N` ms |
//! | `POST /internal/v1/journal` | [`FactBatch`] → [`FactAck`] |
//! | `PUT /internal/v1/recordings/{call_id}` | WAV bytes, header `x-content-sha256` → [`RecordingAck`] |
//! | `POST /internal/v1/bookings` | [`crate::booking::BookingRequest`] → [`crate::booking::BookingOutcome`] |
//! | `POST /internal/v1/heartbeat` | [`Heartbeat`] → 204 |
//!
//! All of it wants `Authorization: Bearer <node key>`.

use serde::{Deserialize, Serialize};

use crate::{CallId, Fact, NodeId};

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
}
