//! What the media thread and the seat both see of one leg: the playout position, the wire's state, flags and wakers.

use super::rings::ThreadEnds;
use media_core::leg::{LegStats, Wire};
use media_core::playout::{Position, Tag};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Tag and samples as one value: written by the media thread each tick, read by anyone, no lock (a sequence lock: the count
/// is odd while the two words are being written).
#[derive(Debug, Default)]
pub(super) struct PositionCell {
    version: AtomicU64,
    tag: AtomicU64,
    samples: AtomicU64,
}

impl PositionCell {
    pub(super) fn store(&self, position: Position) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.tag.store(position.tag.0, Ordering::Relaxed);
        self.samples.store(position.samples_sent, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    pub(super) fn load(&self) -> Position {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let tag = Tag(self.tag.load(Ordering::Relaxed));
            let samples_sent = self.samples.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return Position { tag, samples_sent };
            }
            std::hint::spin_loop();
        }
    }
}

/// One seat's shared state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) position: PositionCell,
    ssrc: u32,
    seq: AtomicU32,
    timestamp: AtomicU32,
    tick: AtomicU64,
    /// Slot of the last tick, microseconds of media time; 0 before the first.
    last_tick_us: AtomicU64,
    pub(super) stop: AtomicBool,
    /// The seat is gone for good: receivers end.
    pub(super) closed: AtomicBool,
    pub(super) ear_drops: AtomicU64,
    pub(super) recorder_drops: AtomicU64,
    pub(super) event_wake: Notify,
    pub(super) ear_wake: Notify,
    stats: Mutex<LegStats>,
    /// The thread's ends of the rings, between an eviction and the relaunch.
    returned: Mutex<Option<ThreadEnds>>,
}

impl Shared {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            position: PositionCell::default(),
            ssrc: wire.ssrc,
            seq: AtomicU32::new(u32::from(wire.seq)),
            timestamp: AtomicU32::new(wire.timestamp),
            tick: AtomicU64::new(wire.tick),
            last_tick_us: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            ear_drops: AtomicU64::new(0),
            recorder_drops: AtomicU64::new(0),
            event_wake: Notify::new(),
            ear_wake: Notify::new(),
            stats: Mutex::new(LegStats::default()),
            returned: Mutex::new(None),
        }
    }

    /// After each tick; a successor that reads this did not run at the same time.
    pub(super) fn store_wire(&self, wire: Wire, at: Duration) {
        self.seq.store(u32::from(wire.seq), Ordering::Relaxed);
        self.timestamp.store(wire.timestamp, Ordering::Relaxed);
        self.tick.store(wire.tick, Ordering::Relaxed);
        self.last_tick_us
            .store(at.as_micros() as u64, Ordering::Release);
        self.position.store(wire.position);
    }

    pub(super) fn wire(&self) -> Wire {
        Wire {
            ssrc: self.ssrc,
            seq: self.seq.load(Ordering::Relaxed) as u16,
            timestamp: self.timestamp.load(Ordering::Relaxed),
            tick: self.tick(),
            position: self.position.load(),
        }
    }

    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    pub(super) fn last_tick(&self) -> Option<Duration> {
        let us = self.last_tick_us.load(Ordering::Acquire);
        (us > 0).then(|| Duration::from_micros(us))
    }

    /// From the media thread: never waits; a reader in between only means one update less.
    pub(super) fn publish(&self, stats: LegStats) {
        if let Ok(mut slot) = self.stats.try_lock() {
            *slot = stats;
        }
    }

    pub(super) fn stats(&self) -> LegStats {
        let stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let ring_drops =
            self.ear_drops.load(Ordering::Relaxed) + self.recorder_drops.load(Ordering::Relaxed);
        LegStats {
            ring_drops,
            ..stats
        }
    }

    pub(super) fn returned(&self) -> MutexGuard<'_, Option<ThreadEnds>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody who waits learns that the leg is gone for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.event_wake.notify_one();
        self.ear_wake.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
