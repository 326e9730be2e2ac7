//! How late ticks are sent: a histogram that one thread writes and anyone may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Eight steps to each doubling, up to 16 s.
const STEPS: u32 = 8;
const BUCKETS: usize = 24 * STEPS as usize;

/// Send time minus slot, in microseconds; the values are upper edges of buckets 9–12 % wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lateness {
    /// Ticks counted.
    pub ticks: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
}

#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<AtomicU64>,
    max_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self {
            counts,
            max_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, late: Duration) {
        let us = late.as_micros() as u64;
        if let Some(count) = self.counts.get(bucket(us)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// Several threads' histograms as one.
    pub(crate) fn summary<'a>(all: impl Iterator<Item = &'a Self>) -> Lateness {
        let (mut counts, mut max_us) = (vec![0_u64; BUCKETS], 0);
        for histogram in all {
            max_us = max_us.max(histogram.max_us.load(Ordering::Relaxed));
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        let ticks: u64 = counts.iter().sum();
        let at = |per_mille: u64| quantile(&counts, ticks * per_mille / 1_000).min(max_us);
        Lateness {
            ticks,
            p50_us: at(500),
            p99_us: at(990),
            p999_us: at(999),
            max_us,
        }
    }
}

fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let doubling = us.ilog2();
    let step = if doubling >= 3 {
        (us >> (doubling - 3)) & 7
    } else {
        (us << (3 - doubling)) & 7
    };
    ((doubling * STEPS) as usize + step as usize).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> u64 {
    let (doubling, step) = (
        bucket as u64 / u64::from(STEPS),
        bucket as u64 % u64::from(STEPS),
    );
    ((8 + step + 1) << doubling).div_ceil(8)
}

fn quantile(counts: &[u64], rank: u64) -> u64 {
    let mut below = 0;
    let found = counts.iter().position(|count| {
        below += count;
        below > rank
    });
    found.map_or(0, upper_edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_bucket_of_the_truth() {
        let histogram = Histogram::new();
        for us in 1..=10_000 {
            histogram.record(Duration::from_micros(us));
        }
        let Lateness {
            ticks,
            p50_us,
            p99_us,
            p999_us,
            max_us,
        } = Histogram::summary([&histogram].into_iter());
        assert_eq!((ticks, max_us), (10_000, 10_000));
        for (value, truth) in [(p50_us, 5_000), (p99_us, 9_900), (p999_us, 9_990)] {
            assert!(
                value >= truth && value * 100 <= truth * 113,
                "{value} for {truth}"
            );
        }
    }

    #[test]
    fn every_value_falls_below_the_upper_edge_of_its_bucket() {
        for us in (0..100_000).chain([u64::MAX / 2]) {
            let at = bucket(us);
            assert!(
                at < BUCKETS && (us.max(1) < upper_edge(at) || at == BUCKETS - 1),
                "{us}"
            );
        }
    }
}
