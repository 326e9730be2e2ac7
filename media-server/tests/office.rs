//! The client of `/internal/v1` against an office that fails, is late, and counts.

#[path = "office/bookings.rs"]
mod bookings;
#[path = "journal/build.rs"]
mod build;
#[path = "office/fake.rs"]
mod fake;
#[path = "office/heartbeats.rs"]
mod heartbeats;
#[path = "office/recordings.rs"]
mod recordings;
#[path = "office/shipping.rs"]
mod shipping;
#[path = "office/snapshots.rs"]
mod snapshots;
