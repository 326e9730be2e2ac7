//! The office: tenants, numbers, agents, bookings, and the record of every call.
//!
//! It owns the one database (SQLite or PostgreSQL). Switches pull a snapshot from it and push
//! facts to it over `/internal/v1`; people and programs use `/v1`. [`Office::start`] runs it inside
//! another program, on the same HTTP.

mod agent_rules;
mod app;
pub mod auth;
mod body;
mod booking_rules;
mod canonical;
mod clock;
mod closed;
mod desk;
mod document;
pub mod envelope;
mod error;
mod events;
mod fold;
mod idempotency;
mod key_files;
mod names;
mod office;
mod query;
mod rekey;
mod render;
mod rendition;
mod routes;
mod shape;
pub mod store;
mod trunk_rules;
mod upkeep;
mod upload;
mod vault;

pub use clock::Stamp;
pub use egress::Bucket;
pub use fold::{CallMetrics, CallState};
pub use key_files::{AdminKey, node_key_from_file};
pub use office::{Office, OfficeConfig, OfficeError};
pub use rekey::{RekeyError, Rekeyed, rekey};
pub use routes::openapi_text;
pub use vault::VaultError;
