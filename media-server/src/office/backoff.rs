//! Waiting longer after each failure, and not all at the same moment.

use std::time::Duration;

use super::OfficeTiming;

/// Doubles from `min` to `max`; each wait is 50–100 % of that, so that a fleet whose office comes
/// back does not fall on it at once.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(timing: OfficeTiming) -> Self {
        Self {
            min: timing.backoff_min,
            max: timing.backoff_max,
            failures: 0,
        }
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: waits before the next try.
    pub(crate) async fn wait(&mut self) {
        let delay = self.delay(random_byte());
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(delay).await;
    }

    fn delay(&self, random: u8) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(16));
        doubled.min(self.max) * (256 + u32::from(random)) / 512
    }
}

fn random_byte() -> u8 {
    let mut byte = [128];
    // Without randomness the middle will do: it is only jitter.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum_and_jitter_takes_at_most_half() {
        let mut backoff = Backoff::new(OfficeTiming::default());
        let mut tops = Vec::new();
        for _ in 0..8 {
            let (low, high) = (backoff.delay(0), backoff.delay(255));
            assert!(low * 2 >= high && high < low * 2 + Duration::from_millis(20));
            tops.push(low.as_millis());
            backoff.failures += 1;
        }
        assert_eq!(tops, [50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
        backoff.failures = u32::MAX;
        assert!(backoff.delay(255) <= OfficeTiming::default().backoff_max);
        backoff.reset();
        assert_eq!(backoff.delay(0).as_millis(), 50);
    }
}
