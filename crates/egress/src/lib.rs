//! The one door out: every outbound HTTP request and WebSocket of the product goes through here.
//!
//! A request carries a [`Policy`]. What the operator names in his own files is [`Policy::Named`] and
//! may point anywhere, his own loopback included. What a tenant or a model supplies is
//! [`Policy::Untrusted`] and reaches public addresses only: the address is checked when the
//! connection is made (so a name that resolves anew cannot slip past), hosts written as addresses
//! are checked too, and every redirect is checked like a request of its own.
//!
//! ```text
//! Egress::send ──► http       url checked ─► guard resolves, refuses ─► body counted, timed
//! Objects        ──► a folder, or a bucket through the same client
//! Egress::websocket ─► websocket  the same guard, then our own connect
//! ```

mod address;
mod door;
mod error;
mod guard;
mod http;
mod objects;
pub mod tls;
mod websocket;

pub use address::refusal;
pub use door::{Egress, EgressConfig, Policy};
pub use error::EgressError;
pub use guard::{Resolver, Resolving};
pub use http::{Limits, Request, Response};
pub use objects::{Bucket, ObjectBytes, ObjectError, ObjectWriter, Objects};
pub use websocket::{WebSocket, WsMessage, WsRequest};
