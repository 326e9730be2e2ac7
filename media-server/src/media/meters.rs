//! The runtime's counters.

use super::lateness::{Histogram, Lateness};
use super::ports::PortNumbers;
use media_core::codec::Tuning;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Figures for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaStats {
    /// Legs that tick.
    pub legs: usize,
    /// Send time minus slot.
    pub lateness: Lateness,
    /// Legs evicted after a panic.
    pub evictions: u64,
    /// Ticks given up because a thread stood still for more than three of them.
    pub skipped_ticks: u64,
    /// Recogniser frames dropped.
    pub ear_drops: u64,
    /// Ticks of recording replaced by silence.
    pub recorder_drops: u64,
    /// Datagrams the system would not send.
    pub send_errors: u64,
    /// Reads that failed for another reason than "nothing there".
    pub receive_errors: u64,
    /// RTCP datagrams that found their leg's ring full.
    pub rtcp_drops: u64,
    /// Recordings open.
    pub recordings: usize,
    /// Port pool.
    pub ports: PortNumbers,
}

#[derive(Debug)]
pub(super) struct ThreadMeters {
    pub(super) legs: AtomicUsize,
    /// How much of its time the thread works, in thousandths, over the last second.
    pub(super) busy_permille: AtomicU32,
    pub(super) lateness: Histogram,
}

#[derive(Debug)]
pub(super) struct Meters {
    pub(super) threads: Vec<ThreadMeters>,
    pub(super) evictions: AtomicU64,
    pub(super) skipped_ticks: AtomicU64,
    pub(super) ear_drops: AtomicU64,
    pub(super) recorder_drops: AtomicU64,
    pub(super) send_errors: AtomicU64,
    pub(super) receive_errors: AtomicU64,
    pub(super) rtcp_drops: AtomicU64,
    pub(super) recordings: AtomicUsize,
}

impl Meters {
    pub(super) fn new(threads: usize) -> Self {
        let thread = |_| ThreadMeters {
            legs: AtomicUsize::new(0),
            busy_permille: AtomicU32::new(0),
            lateness: Histogram::new(),
        };
        Self {
            threads: (0..threads).map(thread).collect(),
            evictions: AtomicU64::new(0),
            skipped_ticks: AtomicU64::new(0),
            ear_drops: AtomicU64::new(0),
            recorder_drops: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            rtcp_drops: AtomicU64::new(0),
            recordings: AtomicUsize::new(0),
        }
    }

    /// How much work encoders may put into a packet: the usual while the busiest media thread has half its time left, less
    /// as it fills up.
    pub(super) fn affordable_complexity(&self) -> u8 {
        let busy = self
            .threads
            .iter()
            .map(|t| t.busy_permille.load(Ordering::Relaxed));
        match busy.max().unwrap_or(0) {
            0..500 => Tuning::USUAL_COMPLEXITY,
            500..750 => 2,
            750.. => 0,
        }
    }

    pub(super) fn stats(&self, ports: PortNumbers) -> MediaStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MediaStats {
            legs: self
                .threads
                .iter()
                .map(|t| t.legs.load(Ordering::Relaxed))
                .sum(),
            lateness: Histogram::summary(self.threads.iter().map(|t| &t.lateness)),
            evictions: read(&self.evictions),
            skipped_ticks: read(&self.skipped_ticks),
            ear_drops: read(&self.ear_drops),
            recorder_drops: read(&self.recorder_drops),
            send_errors: read(&self.send_errors),
            receive_errors: read(&self.receive_errors),
            rtcp_drops: read(&self.rtcp_drops),
            recordings: self.recordings.load(Ordering::Relaxed),
            ports,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
