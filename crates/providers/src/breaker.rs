//! Whoever fails again and again is left alone for a while, by every call of the process.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row after which a provider is left alone.
const FAILURES: u32 = 3;
/// How long it is left alone; then one may try.
const REST: Duration = Duration::from_secs(30);
/// A trial whose end nobody told is forgotten.
const TRIAL: Duration = Duration::from_secs(10);

/// The circuit breaker of one provider. Time is an argument.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Trying { since: Instant },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether it may be asked. After the rest the first who asks tries it for all.
    pub fn allows(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let (allowed, next) = match *state {
            State::Closed { failures } => (true, State::Closed { failures }),
            State::Open { until } if now < until => (false, State::Open { until }),
            State::Trying { since } if now < since + TRIAL => (false, State::Trying { since }),
            State::Open { .. } | State::Trying { .. } => (true, State::Trying { since: now }),
        };
        *state = next;
        allowed
    }

    /// It did what was asked.
    pub fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// It did not.
    pub fn failed(&self, now: Instant) {
        let mut state = self.lock();
        let failures = match *state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } | State::Trying { .. } => FAILURES,
        };
        *state = match failures >= FAILURES {
            true => State::Open { until: now + REST },
            false => State::Closed { failures },
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_rest_a_provider_and_one_then_tries_for_all() {
        let (breaker, begin) = (Breaker::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(1));
        breaker.failed(at(1));
        assert!(breaker.allows(at(1)));
        breaker.failed(at(1));
        assert!(!breaker.allows(at(2)) && !breaker.allows(at(30)));
        assert!(breaker.allows(at(31)), "one tries");
        assert!(!breaker.allows(at(31)), "the others wait for him");
        breaker.failed(at(32));
        assert!(!breaker.allows(at(61)));
        assert!(breaker.allows(at(62)));
        assert!(
            breaker.allows(at(73)),
            "a trial that nobody ended is forgotten"
        );
        breaker.succeeded();
        assert!(breaker.allows(at(74)) && breaker.allows(at(74)));
    }
}
