//! How late packets are, and so how long to wait for them.
//!
//! The offset of a packet is arrival minus timestamp. The smallest offset of the last seconds is the *base*, the fastest way
//! through the network; what a packet has above it is its relative delay. The target is the 97th percentile of the relative
//! delay plus one frame. A sender's clock that drifts moves the base, never the percentile.

use crate::Rate;

const BUCKET_MS: u64 = 5;
const BUCKETS: usize = 64;
const QUANTILE: f32 = 0.97;
/// Weight of a packet halves after about 140 packets, three seconds.
const GROWTH_PER_PACKET: f32 = 1.0 / 0.995;
const RENORMALISE_AT: f32 = 1.0e6;
/// The base is the minimum over one to two of these.
const WINDOW_MS: u64 = 2_000;
const MIN_TARGET_MS: u64 = 20;

/// All values in samples.
#[derive(Debug, Clone)]
pub struct DelayEstimator {
    rate: Rate,
    max_target: i64,
    histogram: [f32; BUCKETS],
    weight: f32,
    total: f32,
    packets: u32,
    base: i64,
    window_min: i64,
    window_ends: i64,
    target: i64,
}

impl DelayEstimator {
    /// An estimator that has seen nothing; its target never exceeds `max_target` samples.
    pub fn new(rate: Rate, max_target: i64) -> Self {
        Self {
            rate,
            max_target,
            histogram: [0.0; BUCKETS],
            weight: 1.0,
            total: 0.0,
            packets: 0,
            base: 0,
            window_min: i64::MAX,
            window_ends: 0,
            target: rate.samples(MIN_TARGET_MS) as i64,
        }
    }

    /// The smallest offset of late.
    pub const fn base(&self) -> i64 {
        self.base
    }

    /// What the playout point should lie behind the fastest packet.
    pub const fn target(&self) -> i64 {
        self.target
    }

    /// Whether anything was observed.
    pub const fn is_ready(&self) -> bool {
        self.packets > 0
    }

    /// How much later than the fastest way a packet of this offset is; negative when it is faster.
    pub const fn relative(&self, offset: i64) -> i64 {
        if self.packets == 0 {
            0
        } else {
            offset - self.base
        }
    }

    /// Takes a packet's offset (arrival − position) into account. `now` in samples.
    pub fn observe(&mut self, now: i64, offset: i64) {
        self.follow_base(now, offset);
        let bucket = ((offset - self.base) / self.bucket_len()).clamp(0, BUCKETS as i64 - 1);
        self.weight *= GROWTH_PER_PACKET;
        if let Some(count) = self.histogram.get_mut(bucket as usize) {
            *count += self.weight;
            self.total += self.weight;
        }
        self.packets = self.packets.saturating_add(1);
        if self.weight > RENORMALISE_AT {
            self.renormalise();
        }
        self.target = self.aim();
    }

    const fn bucket_len(&self) -> i64 {
        self.rate.samples(BUCKET_MS) as i64
    }

    fn follow_base(&mut self, now: i64, offset: i64) {
        if self.packets == 0 {
            (self.base, self.window_min) = (offset, offset);
            self.window_ends = now + self.rate.samples(WINDOW_MS) as i64;
        }
        self.window_min = self.window_min.min(offset);
        if offset < self.base {
            self.move_base(offset);
        } else if now >= self.window_ends {
            self.move_base(self.window_min);
            self.window_min = offset;
            self.window_ends = now + self.rate.samples(WINDOW_MS) as i64;
        }
    }

    /// Keeps the histogram true by shifting it in whole buckets; what is left moves with the next shift.
    fn move_base(&mut self, base: i64) {
        let shift = (self.base - base) / self.bucket_len();
        self.base = base;
        let last = BUCKETS as i64 - 1;
        if shift == 0 {
            return;
        }
        let old = std::mem::replace(&mut self.histogram, [0.0; BUCKETS]);
        for (at, count) in old.into_iter().enumerate() {
            let to = (at as i64 + shift).clamp(0, last) as usize;
            if let Some(slot) = self.histogram.get_mut(to) {
                *slot += count;
            }
        }
    }

    fn renormalise(&mut self) {
        self.histogram
            .iter_mut()
            .for_each(|count| *count /= self.weight);
        self.total /= self.weight;
        self.weight = 1.0;
    }

    fn aim(&self) -> i64 {
        let mut below = 0.0;
        let quantile = self.histogram.iter().position(|count| {
            below += count;
            below >= self.total * QUANTILE
        });
        // Upper edge of the bucket, except that the first one means "no jitter at all".
        let bucket = quantile.unwrap_or(BUCKETS - 1) as i64;
        let jitter = if bucket == 0 {
            0
        } else {
            (bucket + 1) * self.bucket_len()
        };
        (jitter + self.rate.frame_len() as i64)
            .clamp(self.rate.samples(MIN_TARGET_MS) as i64, self.max_target)
    }
}
