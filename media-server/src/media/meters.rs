//! The runtime's counters.

use super::lateness::{Histogram, Lateness};
use super::ports::PortNumbers;
use media_core::codec::Tuning;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

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
    /// Milliseconds in which a media thread had something to do.
    pub wakes: u64,
    /// Reads of RTP sockets, and those of them that found nothing.
    pub reads: u64,
    /// See `reads`.
    pub empty_reads: u64,
    /// Datagrams the system would not send.
    pub send_errors: u64,
    /// Reads that failed for another reason than "nothing there".
    pub receive_errors: u64,
    /// RTCP datagrams that found their leg's ring full.
    pub rtcp_drops: u64,
    /// Recordings open.
    pub recordings: usize,
    /// How much the busiest media thread works, in thousandths of its time, over the last second.
    pub busy_permille: u32,
    /// The least work that encoders may put into a packet now, 0–10.
    pub complexity: u8,
    /// How often that was changed.
    pub complexity_changes: u64,
    /// Port pool.
    pub ports: PortNumbers,
}

#[derive(Debug)]
pub(super) struct ThreadMeters {
    pub(super) legs: AtomicUsize,
    /// How much of its time the thread works, in thousandths, over the last second.
    pub(super) busy_permille: AtomicU32,
    /// How much work its legs' encoders may put into a packet.
    pub(super) complexity: AtomicU8,
    pub(super) lateness: Histogram,
    /// Milliseconds in which it had something to do.
    pub(super) wakes: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Meters {
    pub(super) threads: Vec<ThreadMeters>,
    pub(super) evictions: AtomicU64,
    pub(super) skipped_ticks: AtomicU64,
    pub(super) ear_drops: AtomicU64,
    pub(super) recorder_drops: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) empty_reads: AtomicU64,
    pub(super) send_errors: AtomicU64,
    pub(super) receive_errors: AtomicU64,
    pub(super) rtcp_drops: AtomicU64,
    pub(super) recordings: AtomicUsize,
    pub(super) complexity_changes: AtomicU64,
}

impl Meters {
    pub(super) fn new(threads: usize) -> Self {
        let thread = |_| ThreadMeters {
            legs: AtomicUsize::new(0),
            busy_permille: AtomicU32::new(0),
            complexity: AtomicU8::new(Tuning::USUAL_COMPLEXITY),
            lateness: Histogram::new(),
            wakes: AtomicU64::new(0),
        };
        Self {
            threads: (0..threads).map(thread).collect(),
            evictions: AtomicU64::new(0),
            skipped_ticks: AtomicU64::new(0),
            ear_drops: AtomicU64::new(0),
            recorder_drops: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            empty_reads: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            rtcp_drops: AtomicU64::new(0),
            recordings: AtomicUsize::new(0),
            complexity_changes: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self, ports: PortNumbers) -> MediaStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let threads = || self.threads.iter();
        let busy = threads().map(|t| t.busy_permille.load(Ordering::Relaxed));
        let complexity = threads().map(|t| t.complexity.load(Ordering::Relaxed));
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
            wakes: threads().map(|t| read(&t.wakes)).sum(),
            reads: read(&self.reads),
            empty_reads: read(&self.empty_reads),
            send_errors: read(&self.send_errors),
            receive_errors: read(&self.receive_errors),
            rtcp_drops: read(&self.rtcp_drops),
            recordings: self.recordings.load(Ordering::Relaxed),
            busy_permille: busy.max().unwrap_or(0),
            complexity: complexity.min().unwrap_or(0),
            complexity_changes: read(&self.complexity_changes),
            ports,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
