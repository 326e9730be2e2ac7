//! Call time and the node's clock.

use std::time::Duration;

/// Every event's call time lies in the past, so the smallest distance seen between the clocks is
/// the best known one. It needs no word on when the leg's first tick was, and a replaced agent
/// learns it from its first event.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct CallClock {
    zero: Option<Duration>,
}

impl CallClock {
    /// Call time 0 is not later than now.
    pub(super) fn answered(&mut self, now: Duration) {
        self.zero = Some(self.zero.map_or(now, |zero| zero.min(now)));
    }

    /// Something of call time `at_ms` is known at `now`.
    pub(super) fn observe(&mut self, now: Duration, at_ms: u64) {
        self.answered(now.saturating_sub(Duration::from_millis(at_ms)));
    }

    pub(super) fn call_ms(self, now: Duration) -> u64 {
        let since = self
            .zero
            .map_or(Duration::ZERO, |zero| now.saturating_sub(zero));
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// When call time `at_ms` is reached; `None` before the answer.
    pub(super) fn at(self, at_ms: u64) -> Option<Duration> {
        self.zero
            .map(|zero| zero.saturating_add(Duration::from_millis(at_ms)))
    }
}
