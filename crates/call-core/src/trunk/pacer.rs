//! Outbound calls are paced, not failed: a carrier that takes one call a second gets one a second.

use std::time::Duration;

/// Spreads calls over time; at most `limit` of waiting is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacer {
    /// Between two calls.
    gap: Duration,
    /// Calls that may go at once after a quiet time.
    burst: u32,
    /// The longest anybody is asked to wait.
    limit: Duration,
    /// When the next call would be due if calls came without a pause.
    due: Duration,
}

/// The line of those who wait is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// When it is worth to ask again.
    pub retry_after: Duration,
}

impl Pacer {
    /// `per_second` calls, `burst` (at least one) at once, nobody waiting longer than `limit`.
    /// Zero calls a second means no pace at all.
    pub fn new(per_second: u32, burst: u32, limit: Duration) -> Pacer {
        let gap = Duration::from_secs(1).checked_div(per_second);
        Pacer {
            gap: gap.unwrap_or_default(),
            burst: burst.max(1),
            limit,
            due: Duration::ZERO,
        }
    }

    /// The pace of one of so many who share it: each goes as much slower.
    #[must_use]
    pub fn one_of(self, many: u32) -> Pacer {
        Pacer {
            gap: self.gap.saturating_mul(many.max(1)),
            ..self
        }
    }

    /// Takes the next place: when the call may go, `now` or later.
    ///
    /// # Errors
    /// [`Full`] when that would be later than the limit; no place is taken.
    pub fn take(&mut self, now: Duration) -> Result<Duration, Full> {
        let credit = self.gap.saturating_mul(self.burst.saturating_sub(1));
        let due = self.due.max(now.saturating_sub(credit));
        let go = due.max(now);
        if go.saturating_sub(now) > self.limit {
            let retry_after = go.saturating_sub(now).saturating_sub(self.limit);
            return Err(Full { retry_after });
        }
        self.due = due + self.gap;
        Ok(go)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn one_a_second_is_one_a_second_however_many_come_at_once() {
        let mut pacer = Pacer::new(1, 1, MS(5_000));
        let given: Vec<_> = (0..8).map(|_| pacer.take(MS(100))).collect();
        let times: Vec<_> = given.iter().flatten().map(Duration::as_millis).collect();
        assert_eq!(times, [100, 1100, 2100, 3100, 4100, 5100]);
        assert_eq!(
            given[6],
            Err(Full {
                retry_after: MS(1_000)
            })
        );
        assert_eq!(
            pacer.take(MS(1_100)),
            Ok(MS(6_100)),
            "the refused took no place"
        );
    }

    #[test]
    fn a_burst_goes_at_once_and_is_earned_back_only_by_quiet() {
        let mut pacer = Pacer::new(10, 3, MS(1_000));
        let at = MS(10_000);
        let times: Vec<_> = (0..5).flat_map(|_| pacer.take(at)).collect();
        assert_eq!(times, [at, at, at, at + MS(100), at + MS(200)]);
        assert_eq!(pacer.take(MS(11_000)), Ok(MS(11_000)));
    }

    #[test]
    fn in_any_window_no_more_go_than_the_rate_and_the_burst() {
        let mut pacer = Pacer::new(5, 2, MS(60_000));
        let times: Vec<_> = (0..100).flat_map(|n| pacer.take(MS(n * 37))).collect();
        for start in &times {
            let inside = times
                .iter()
                .filter(|t| *t >= start && **t < *start + MS(1_000));
            assert!(inside.count() <= 5 + 2);
        }
    }

    #[test]
    fn no_rate_is_no_pace() {
        let mut pacer = Pacer::new(0, 1, Duration::ZERO);
        assert!((0..100).all(|_| pacer.take(MS(7)) == Ok(MS(7))));
    }
}
