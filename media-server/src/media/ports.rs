//! RTP ports: even ones from a range, each with the odd one after it for RTCP, resting after use so that a late packet of the last call meets nobody.

use super::MediaError;
use media_core::leg::Stream;
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a port rests.
const REST: Duration = Duration::from_secs(5);
/// How long it rests at least when no other is left.
const SHORT_REST: Duration = Duration::from_secs(1);

/// Streams remembered for each port.
const FORMERS: usize = 4;

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
    /// Ranges whose ports are all known here; those of several profiles may overlap.
    ranges: Vec<RangeInclusive<u16>>,
    free: VecDeque<u16>,
    /// Who was heard on a port last.
    formers: HashMap<u16, VecDeque<Stream>>,
    resting: VecDeque<(u16, Duration)>,
    numbers: PortNumbers,
}

impl PortPool {
    pub(super) fn new(range: &RangeInclusive<u16>) -> Self {
        let mut pool = Self {
            ranges: Vec::new(),
            free: VecDeque::new(),
            formers: HashMap::new(),
            resting: VecDeque::new(),
            numbers: PortNumbers::default(),
        };
        pool.cover(range);
        pool
    }

    /// A range that is new takes its ports in, but for those that an older one has.
    fn cover(&mut self, range: &RangeInclusive<u16>) {
        if self.ranges.contains(range) {
            return;
        }
        let old = std::mem::take(&mut self.ranges);
        let known = |port: &u16| old.iter().any(|range| range.contains(port));
        // RFC 3550 §11: an even port for RTP, and the next one for RTCP.
        let pair = |port: &u16| port.is_multiple_of(2) && *port != 0 && range.contains(&(port | 1));
        let even = range.clone().filter(pair);
        self.free.extend(even.filter(|port| !known(port)));
        self.ranges = old;
        self.ranges.push(range.clone());
    }

    /// A port of this range: the one that has rested longest.
    pub(super) fn lease(
        &mut self,
        now: Duration,
        range: &RangeInclusive<u16>,
    ) -> Result<u16, MediaError> {
        self.cover(range);
        self.wake_rested(now);
        let fitting = self.free.iter().position(|port| range.contains(port));
        let port = fitting.and_then(|at| self.free.remove(at));
        let Some(port) = port.or_else(|| self.hurry(now, range)) else {
            self.numbers.exhausted += 1;
            return Err(MediaError::PortsExhausted {
                leased: self.numbers.leased,
                resting: self.resting.len(),
            });
        };
        self.numbers.leased += 1;
        Ok(port)
    }

    /// The streams that were heard on this port by calls before.
    fn formers(&self, port: u16) -> Vec<Stream> {
        let formers = self.formers.get(&port).into_iter().flatten();
        formers.copied().collect()
    }

    fn remember(&mut self, port: u16, heard: Option<Stream>) {
        let Some(heard) = heard else { return };
        let formers = self.formers.entry(port).or_default();
        formers.retain(|former| *former != heard);
        formers.push_front(heard);
        formers.truncate(FORMERS);
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

    fn hurry(&mut self, now: Duration, range: &RangeInclusive<u16>) -> Option<u16> {
        let rested = |since: Duration| now.saturating_sub(since) >= SHORT_REST;
        let fits = |(port, since): &(u16, Duration)| range.contains(port) && rested(*since);
        let at = self.resting.iter().position(fits)?;
        let (port, _) = self.resting.remove(at)?;
        self.numbers.hurried += 1;
        Some(port)
    }
}

/// A port in use; dropping it sends it to rest.
#[derive(Debug)]
pub(super) struct PortLease {
    port: u16,
    formers: Vec<Stream>,
    heard: Option<Stream>,
    epoch: Instant,
    pool: Arc<Mutex<PortPool>>,
}

impl PortLease {
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Streams of calls before on this port, whose far ends may not have stopped.
    pub(super) fn formers(&self) -> Vec<Stream> {
        self.formers.clone()
    }

    /// Who was heard on it in this call.
    pub(super) const fn heard(&mut self, stream: Option<Stream>) {
        self.heard = stream;
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.remember(self.port, self.heard);
        pool.release(self.epoch.elapsed(), self.port);
    }
}

pub(super) fn lease(
    pool: &Arc<Mutex<PortPool>>,
    epoch: Instant,
    range: &RangeInclusive<u16>,
) -> Result<PortLease, MediaError> {
    let mut ports = pool.lock().unwrap_or_else(PoisonError::into_inner);
    let port = ports.lease(epoch.elapsed(), range)?;
    let formers = ports.formers(port);
    drop(ports);
    Ok(PortLease {
        port,
        formers,
        heard: None,
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
        let all = 101..=105;
        assert_eq!(
            (pool.lease(at(0), &all).ok(), pool.lease(at(0), &all).ok()),
            (Some(102), Some(104))
        );
        let error = pool.lease(at(0), &all).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("no RTP port is free (2 in use, 0 resting)".into())
        );
        assert_eq!(pool.numbers(at(0)).exhausted, 1);
    }

    #[test]
    fn a_port_rests_five_seconds_and_one_under_pressure() {
        let mut pool = PortPool::new(&(100..=103));
        let all = 100..=103;
        assert_eq!(pool.lease(at(0), &all).ok(), Some(100));
        pool.release(at(0), 100);
        assert_eq!(
            pool.lease(at(100), &all).ok(),
            Some(102),
            "the rested one first"
        );
        assert!(pool.lease(at(999), &all).is_err());
        assert_eq!(pool.lease(at(1_000), &all).ok(), Some(100));
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

    #[test]
    fn profiles_have_their_own_ranges_and_never_the_same_port() {
        let (ours, theirs) = (100..=103, 102..=105);
        let mut pool = PortPool::new(&ours);
        let leased = [
            pool.lease(at(0), &theirs).ok(),
            pool.lease(at(0), &ours).ok(),
            pool.lease(at(0), &theirs).ok(),
            pool.lease(at(0), &ours).ok(),
        ];
        assert_eq!(leased, [Some(102), Some(100), Some(104), None]);
        pool.release(at(0), 104);
        assert!(pool.lease(at(2_000), &ours).is_err(), "not one of ours");
        assert_eq!(pool.lease(at(2_000), &theirs).ok(), Some(104));
    }
}
