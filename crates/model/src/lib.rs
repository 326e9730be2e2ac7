//! The nouns shared by the switch (`media-server`) and the office (`control-api`), and the wire
//! types that cross `/internal/v1` between them.
//!
//! Nothing here does anything: serde and schema derives only. What only REST shows lives beside
//! its route in `control-api`.

pub mod agent;
pub mod booking;
pub mod cause;
pub mod command;
pub mod end_reason;
pub mod fact;
pub mod id;
pub mod internal;
pub mod recording;
pub mod snapshot;
pub mod transcript;
pub mod trunk;

pub use agent::{AgentConfig, AgentRef, BrainConfig};
pub use cause::FailureClass;
pub use end_reason::EndReason;
pub use fact::{Fact, FactKind};
pub use id::{
    AgentId, BookingId, CallId, CommandId, DomainId, ExtensionId, KeyId, NodeId, NumberId,
    RecordingId, TenantId, TrunkId,
};
pub use recording::{Consent, ConsentMethod, ConsentParty, ConsentState, PauseBy, RecordingMode};
pub use snapshot::Snapshot;
