//! The node's clock: monotonic time as every core wants it, and the wall clock for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Monotonic time since the node's start. Runs under tokio's clock, so that a paused test owns it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The runtime's instant for a time of ours.
    pub fn instant(&self, at: Duration) -> Instant {
        self.epoch + at
    }
}

/// Wall clock, milliseconds since 1970 UTC. For records and "today", never for durations.
pub fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
