//! Sequence numbers without their wrap: who is new, late, twice, or from another stream (RFC 3550 Appendix A.1).

use crate::rtp::seq_distance;

/// Appendix A.1 MAX_DROPOUT: a larger forward step is a restart, not a loss.
const MAX_DROPOUT: i32 = 3_000;
/// Appendix A.1 MAX_MISORDER, also what the duplicate window covers.
const MAX_MISORDER: i32 = 100;

/// What a packet's number says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqVerdict {
    /// In order; `missing` numbers before it have not been seen (0 in the usual case).
    Next {
        /// Numbers skipped.
        missing: u32,
    },
    /// Older than the newest, seen for the first time.
    Reordered,
    /// Seen before.
    Duplicate,
    /// Far from everything: wait for a second one before believing it.
    Stray,
    /// First packet ever, or of a stream that started over.
    Restart,
}

/// Follows one stream's numbers.
#[derive(Debug, Clone, Default)]
pub struct SeqTracker {
    started: bool,
    newest: u16,
    /// Bit n set: `newest − n` was seen.
    window: u128,
    expected: u64,
    unique: u64,
    settled_lost: u64,
    restart_at: Option<u16>,
}

impl SeqTracker {
    /// Judges the next packet and remembers it.
    pub fn judge(&mut self, seq: u16) -> SeqVerdict {
        if !self.started {
            return self.restart(seq);
        }
        match seq_distance(seq, self.newest) {
            0 => SeqVerdict::Duplicate,
            ahead @ 1..MAX_DROPOUT => self.advance(seq, ahead as u32),
            behind if (-MAX_MISORDER..0).contains(&behind) => self.fill(behind.unsigned_abs()),
            _ => self.doubt(seq),
        }
    }

    /// How far this number lies ahead of the newest one: 1 for the next, 0 and less for what is old. None where that says
    /// nothing: before the first packet, and far from everything.
    pub fn ahead(&self, seq: u16) -> Option<i32> {
        let ahead = seq_distance(seq, self.newest);
        (self.started && (-MAX_MISORDER..MAX_DROPOUT).contains(&ahead)).then_some(ahead)
    }

    /// Starts over with the next packet; what was lost so far stays counted.
    pub fn forget(&mut self) {
        self.settled_lost = self.lost();
        self.started = false;
        self.restart_at = None;
    }

    /// Numbers never seen between the first and the newest.
    pub const fn lost(&self) -> u64 {
        self.settled_lost + self.expected.saturating_sub(self.unique)
    }

    fn restart(&mut self, seq: u16) -> SeqVerdict {
        self.settled_lost = self.lost();
        (self.started, self.newest, self.window) = (true, seq, 1);
        (self.expected, self.unique, self.restart_at) = (1, 1, None);
        SeqVerdict::Restart
    }

    fn advance(&mut self, seq: u16, ahead: u32) -> SeqVerdict {
        self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
        self.newest = seq;
        self.expected += u64::from(ahead);
        self.unique += 1;
        SeqVerdict::Next { missing: ahead - 1 }
    }

    fn fill(&mut self, behind: u32) -> SeqVerdict {
        let bit = 1_u128 << behind;
        // Older than the first packet ever: not expected, so it must not count as filling a hole.
        if u64::from(behind) >= self.expected {
            self.expected = u64::from(behind) + 1;
        }
        if self.window & bit != 0 {
            return SeqVerdict::Duplicate;
        }
        self.window |= bit;
        self.unique += 1;
        SeqVerdict::Reordered
    }

    fn doubt(&mut self, seq: u16) -> SeqVerdict {
        if self.restart_at == Some(seq) {
            return self.restart(seq);
        }
        self.restart_at = Some(seq.wrapping_add(1));
        SeqVerdict::Stray
    }
}
