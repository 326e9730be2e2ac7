//! Extended reports (RFC 3611): the VoIP metrics block, for a far side that asks for it.

use crate::Error;

const EXTENDED_REPORT: u8 = 207;
const VOIP_METRICS: u8 = 7;
/// RFC 3611 §4.7: the block after its own header.
const BLOCK_WORDS: u8 = 8;
/// A value that nobody measures here (RFC 3611 §4.7.3–4.7.5).
const UNKNOWN: u8 = 127;
/// RFC 3611 §4.7.6: enhanced concealment, adaptive buffer.
const RECEIVER: u8 = 0b1011_0000;
/// RFC 3611 §4.7.2: so many packets in a row without a loss end a burst.
pub const GAP_PACKETS: u8 = 16;

/// How one stream is heard (RFC 3611 §4.7). Rates and densities in 1/256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoipMetrics {
    /// The stream spoken about.
    pub ssrc: u32,
    /// Packets that did not come, since the beginning.
    pub loss_rate: u8,
    /// Packets that came too late to be played.
    pub discard_rate: u8,
    /// Loss within bursts.
    pub burst_density: u8,
    /// Loss between bursts.
    pub gap_density: u8,
    /// Mean length of a burst.
    pub burst_ms: u16,
    /// Mean length between bursts.
    pub gap_ms: u16,
    /// To the far side and back; 0 while it is not known.
    pub round_trip_ms: u16,
    /// What our end adds: buffer and one frame each way.
    pub end_system_ms: u16,
    /// E-model rating, 0 to 100.
    pub rating: u8,
    /// Listening quality, opinion score in tenths: without what delay takes.
    pub listening: u8,
    /// Conversational quality, opinion score in tenths.
    pub conversational: u8,
    /// Delay that the buffer aims at.
    pub buffer_ms: u16,
    /// The most that it may aim at now, and ever.
    pub buffer_cap_ms: u16,
}

/// Writes a packet with one such block into `out`, returns its bytes; part of a compound.
pub fn build_voip_metrics(ssrc: u32, of: &VoipMetrics, out: &mut [u8]) -> Result<usize, Error> {
    let need = 12 + usize::from(BLOCK_WORDS) * 4;
    let have = out.len();
    let target = out.get_mut(..need).ok_or(Error::Room { need, have })?;
    let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    let bytes = |four: [u8; 4]| u32::from_be_bytes(four);
    let words = [
        bytes([0x80, EXTENDED_REPORT, 0, BLOCK_WORDS + 2]),
        ssrc,
        bytes([VOIP_METRICS, 0, 0, BLOCK_WORDS]),
        of.ssrc,
        bytes([
            of.loss_rate,
            of.discard_rate,
            of.burst_density,
            of.gap_density,
        ]),
        pair(of.burst_ms, of.gap_ms),
        pair(of.round_trip_ms, of.end_system_ms),
        bytes([UNKNOWN, UNKNOWN, UNKNOWN, GAP_PACKETS]),
        bytes([of.rating, UNKNOWN, of.listening, of.conversational]),
        pair(u16::from_be_bytes([RECEIVER, 0]), of.buffer_ms),
        pair(of.buffer_cap_ms, of.buffer_cap_ms),
    ];
    for (to, word) in target.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    Ok(need)
}
