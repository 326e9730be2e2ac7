//! Whole calls in virtual time, for tests only.
//!
//! ```text
//! Phone ── Network ──► media_core::Leg ── events ──► Ledger, PipelineBrain ◄── Ears (scripted)
//!   ▲                       │  ▲                         │
//!   └───── Network ◄────────┘  └──── Voice (scripted) ◄──┘        call_core::call around all of it
//! ```
//!
//! Call machine, pipeline, ledger and leg are the real ones. Network, phone, recogniser, voice,
//! journal and tools are played, each out of one seed, so that a call that breaks an invariant is
//! the same call every time. [`relay`] is the one part with a clock: a UDP relay on loopback that
//! impairs real packets by the same [`network`]; [`overlay`] lays what was heard over what was said.

pub mod call;
pub mod chatter;
pub mod dice;
pub mod network;
pub mod overlay;
pub mod phone;
pub mod reference;
pub mod relay;
pub mod voice;
