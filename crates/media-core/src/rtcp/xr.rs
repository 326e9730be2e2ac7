//! Extended reports (RFC 3611): the VoIP metrics block, for a far side that asks for it, and of one that tells it.

use super::{Words, split};
use crate::Error;
use crate::quality;

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

impl VoipMetrics {
    /// Opinion score of a conversation, in hundredths: as it is told, else that of listening, else by the rating (RFC 3611 §4.7.5).
    /// None where nothing is told, or what cannot be.
    pub fn mos_centi(&self) -> Option<u16> {
        let told = |tenths: &u8| (10..=50).contains(tenths);
        let scores = [self.conversational, self.listening];
        let score = scores.into_iter().find(told);
        let rated = (self.rating <= 100).then(|| quality::mos_of(f32::from(self.rating)));
        score.map(|tenths| u16::from(tenths) * 10).or(rated)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let mut words = Words(body);
        let ssrc = words.next()?;
        let [loss_rate, discard_rate, burst_density, gap_density] = words.next()?.to_be_bytes();
        let (burst_ms, gap_ms) = halves(words.next()?);
        let (round_trip_ms, end_system_ms) = halves(words.next()?);
        words.next()?;
        let [rating, _, listening, conversational] = words.next()?.to_be_bytes();
        let (_, buffer_ms) = halves(words.next()?);
        let (_, buffer_cap_ms) = halves(words.next()?);
        Some(Self {
            ssrc,
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_ms,
            gap_ms,
            round_trip_ms,
            end_system_ms,
            rating,
            listening,
            conversational,
            buffer_ms,
            buffer_cap_ms,
        })
    }
}

const fn halves(word: u32) -> (u16, u16) {
    ((word >> 16) as u16, word as u16)
}

/// The VoIP metrics in a compound. Blocks of other kinds, and of another length, are stepped over; what runs past its packet
/// ends that packet.
pub fn voip_metrics(compound: &[u8]) -> impl Iterator<Item = VoipMetrics> + '_ {
    let mut rest = compound;
    let mut blocks: &[u8] = &[];
    std::iter::from_fn(move || {
        loop {
            if let Some((kind, body, next)) = block(blocks) {
                blocks = next;
                let right = kind == VOIP_METRICS && body.len() == usize::from(BLOCK_WORDS) * 4;
                match right.then(|| VoipMetrics::read(body)).flatten() {
                    Some(metrics) => return Some(metrics),
                    None => continue,
                }
            }
            let (head, body, next) = split(rest).ok()?;
            rest = next;
            // RFC 3611 §2: after the sender's number, blocks.
            blocks = match head[1] {
                EXTENDED_REPORT => body.get(4..).unwrap_or(&[]),
                _ => &[],
            };
        }
    })
}

/// RFC 3611 §3: kind, something of its own, length in words after this one.
fn block(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, _, high, low], rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([*high, *low])) * 4;
    let (body, next) = rest.split_at_checked(len)?;
    Some((*kind, body, next))
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
