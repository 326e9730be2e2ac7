//! Losses in bursts and between them, by the counts of RFC 3611 appendix A.2.

use crate::rtcp::GAP_PACKETS;

/// Follows one stream, packet by packet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bursts {
    /// Packets since the last loss, and losses in a row of the burst under way.
    since: u32,
    lost: u32,
    /// How often it went from state to state: 1 gap, received; 2 burst, received; 3 burst, lost; 4 gap, lost.
    c11: u32,
    c13: u32,
    c14: u32,
    c22: u32,
    c23: u32,
    c33: u32,
}

/// What the counts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BurstFigures {
    /// Loss within bursts, in 1/256.
    pub burst_density: u8,
    /// Loss between them, in 1/256.
    pub gap_density: u8,
    /// Packets in a burst, on average.
    pub burst_packets: u32,
    /// Packets between bursts, on average.
    pub gap_packets: u32,
}

impl Bursts {
    /// A packet came.
    pub const fn received(&mut self) {
        self.since = self.since.saturating_add(1);
    }

    /// A packet did not.
    pub const fn lost(&mut self) {
        if self.since >= GAP_PACKETS as u32 {
            if self.lost == 1 {
                self.c14 += 1;
            } else {
                self.c13 += 1;
            }
            self.lost = 1;
            self.c11 = self.c11.saturating_add(self.since);
        } else {
            self.lost += 1;
            if self.since == 0 {
                self.c33 += 1;
            } else {
                self.c23 += 1;
                self.c22 += self.since - 1;
            }
        }
        self.since = 0;
    }

    /// So far.
    pub fn figures(&self) -> BurstFigures {
        let Self {
            c11,
            c13,
            c14,
            c22,
            c23,
            c33,
            ..
        } = *self;
        let ratio = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        if c13 == 0 {
            // No burst yet: the gap under way is all there is.
            let c11 = c11.saturating_add(self.since);
            return BurstFigures {
                gap_density: scaled(ratio(c14, c11 + c14)),
                gap_packets: c11 + c14,
                ..BurstFigures::default()
            };
        }
        // c31 = c13 and c32 = c23: what is entered is left.
        let total = c11 + c14 + 2 * c13 + c22 + 2 * c23 + c33;
        let p32 = ratio(c23, c13 + c23 + c33);
        let p23 = if c22 + c23 == 0 {
            1.0
        } else {
            1.0 - ratio(c22, c22 + c23)
        };
        let gap_packets = (c11 + c14 + c13) / c13;
        BurstFigures {
            burst_density: scaled(p23 / (p23 + p32)),
            gap_density: scaled(ratio(c14, c11 + c14)),
            burst_packets: (total / c13).saturating_sub(gap_packets),
            gap_packets,
        }
    }
}

fn scaled(share: f64) -> u8 {
    (share * 256.0).min(255.0) as u8
}
