//! The base timers of RFC 3261 §17.1.1.1, from which A–M are derived.

use std::time::Duration;

/// T1, T2 and T4; everything else is a multiple of them (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate, 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions, 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network, 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// 64·T1: timers B, D, F, H, J, L, M and the wait for an ACK; 32 s by default.
    pub fn sixty_four_t1(&self) -> Duration {
        self.t1 * 64
    }

    /// The interval after `previous`: doubled, at most T2 (timers E, G and the 2xx of RFC 3261 §13.3.1.4).
    pub fn next_interval(&self, previous: Duration) -> Duration {
        (previous * 2).min(self.t2)
    }
}

/// The earliest of some optional deadlines.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    deadlines.into_iter().flatten().min()
}
