//! What the jitter buffer counts.

/// Totals since the leg began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterCounters {
    /// Packets accepted once each, late ones included.
    pub received: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets whose turn was over when they came.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came after a younger one.
    pub reordered: u64,
    /// Ticks in which missing sound was made up.
    pub concealed: u64,
    /// Lost packets that the codec made up from the next one.
    pub recovered: u64,
    /// Ticks of silence because nothing was there.
    pub filled: u64,
    /// Times the head skipped because more than the cap was waiting.
    pub overflow: u64,
    /// Times a stream was placed anew (SSRC change, ≥ 25 lost, timestamp jump).
    pub resync: u64,
    /// Ticks that were shortened by a pitch period.
    pub accelerated: u64,
    /// Ticks that were lengthened or inserted.
    pub expanded: u64,
    /// Packets of no known place (lone outliers, stragglers of an old source).
    pub stray: u64,
}
