//! Randomness that is the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, good enough to shake a test.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 to `sides` − 1; 0 for no sides.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).checked_rem(sides).unwrap_or(0)
    }

    /// True with this chance in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.roll(1_000) < u64::from(per_mille)
    }

    /// A value of the range.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll(high.saturating_sub(low) + 1)
    }
}
