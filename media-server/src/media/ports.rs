//! RTP ports: even ones from a range, each resting after use so that a late packet of the last call meets nobody.

use super::MediaError;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a port rests.
const REST: Duration = Duration::from_secs(5);
/// How long it rests at least when no other is left.
const SHORT_REST: Duration = Duration::from_secs(1);

/// The pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortNumbers {
    /// In use.
    pub leased: usize,
    /// Used shortly before.
    pub resting: usize,
    /// Ready.
    pub free: usize,
    /// Leased again before their rest was over.
    pub hurried: u64,
    /// Leases refused.
    pub exhausted: u64,
}

/// The pool itself: pure, time is an argument.
#[derive(Debug)]
pub(super) struct PortPool {
    free: VecDeque<u16>,
    resting: VecDeque<(u16, Duration)>,
    numbers: PortNumbers,
}

impl PortPool {
    pub(super) fn new(range: &RangeInclusive<u16>) -> Self {
        let free = range
            .clone()
            .filter(|port| port % 2 == 0 && *port != 0)
            .collect();
        Self {
            free,
            resting: VecDeque::new(),
            numbers: PortNumbers::default(),
        }
    }

    pub(super) fn lease(&mut self, now: Duration) -> Result<u16, MediaError> {
        self.wake_rested(now);
        let port = self.free.pop_front().or_else(|| self.hurry(now));
        let Some(port) = port else {
            self.numbers.exhausted += 1;
            return Err(MediaError::PortsExhausted {
                leased: self.numbers.leased,
                resting: self.resting.len(),
            });
        };
        self.numbers.leased += 1;
        Ok(port)
    }

    pub(super) fn release(&mut self, now: Duration, port: u16) {
        self.numbers.leased = self.numbers.leased.saturating_sub(1);
        self.resting.push_back((port, now));
    }

    pub(super) fn numbers(&mut self, now: Duration) -> PortNumbers {
        self.wake_rested(now);
        PortNumbers {
            resting: self.resting.len(),
            free: self.free.len(),
            ..self.numbers
        }
    }

    fn wake_rested(&mut self, now: Duration) {
        while let Some((port, since)) = self.resting.front().copied() {
            if now.saturating_sub(since) < REST {
                return;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
    }

    fn hurry(&mut self, now: Duration) -> Option<u16> {
        let (port, since) = self.resting.front().copied()?;
        if now.saturating_sub(since) < SHORT_REST {
            return None;
        }
        self.resting.pop_front();
        self.numbers.hurried += 1;
        Some(port)
    }
}

/// A port in use; dropping it sends it to rest.
#[derive(Debug)]
pub(super) struct PortLease {
    port: u16,
    epoch: Instant,
    pool: Arc<Mutex<PortPool>>,
}

impl PortLease {
    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.release(self.epoch.elapsed(), self.port);
    }
}

pub(super) fn lease(pool: &Arc<Mutex<PortPool>>, epoch: Instant) -> Result<PortLease, MediaError> {
    let port = pool
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .lease(epoch.elapsed())?;
    Ok(PortLease {
        port,
        epoch,
        pool: Arc::clone(pool),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_even_ports_are_leased_and_exhaustion_is_a_value() {
        let mut pool = PortPool::new(&(101..=105));
        assert_eq!(
            (pool.lease(at(0)).ok(), pool.lease(at(0)).ok()),
            (Some(102), Some(104))
        );
        let error = pool.lease(at(0)).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("no RTP port is free (2 in use, 0 resting)".into())
        );
        assert_eq!(pool.numbers(at(0)).exhausted, 1);
    }

    #[test]
    fn a_port_rests_five_seconds_and_one_under_pressure() {
        let mut pool = PortPool::new(&(100..=103));
        assert_eq!(pool.lease(at(0)).ok(), Some(100));
        pool.release(at(0), 100);
        assert_eq!(pool.lease(at(100)).ok(), Some(102), "the rested one first");
        assert!(pool.lease(at(999)).is_err());
        assert_eq!(pool.lease(at(1_000)).ok(), Some(100));
        assert_eq!(pool.numbers(at(1_000)).hurried, 1);
        pool.release(at(1_000), 100);
        assert_eq!(
            pool.numbers(at(6_000)),
            PortNumbers {
                leased: 1,
                free: 1,
                hurried: 1,
                exhausted: 1,
                resting: 0
            }
        );
    }
}
