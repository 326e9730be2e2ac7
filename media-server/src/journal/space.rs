//! Who may still write when the spool fills up.
//!
//! ```text
//! 0 ───────────────── new calls end here ────── facts of live calls end here ────── total
//!                     │ reserve (at least 2 × ends)    │ ends: END_ROOM per live call │
//! ```
//! So the end of every call that was let in fits, whatever else was written.

use model::FactKind;

use super::Refused;

/// Room kept for what ends one call: `ended`, `media`, `recording_ready` (about 1 KB in all).
pub(crate) const END_ROOM: u64 = 2 * 1024;

/// How much a record matters when room is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// `started`: refusing it refuses the call, politely.
    NewCall,
    /// What happens in a call; a gap is better than a lost end.
    Ordinary,
    /// What ends a call.
    End,
}

impl Class {
    pub(crate) fn of(kind: &FactKind) -> Self {
        match kind {
            FactKind::Started(_) => Self::NewCall,
            FactKind::Ended(_) | FactKind::Media(_) | FactKind::RecordingReady { .. } => Self::End,
            FactKind::Identified(_)
            | FactKind::Attested(_)
            | FactKind::Routed { .. }
            | FactKind::Ringing
            | FactKind::EarlyMedia
            | FactKind::Answered { .. }
            | FactKind::AckConfirmed
            | FactKind::MediaStarted
            | FactKind::AgentStarted { .. }
            | FactKind::AgentRestarted { .. }
            | FactKind::LegRestarted { .. }
            | FactKind::DialogRestarted { .. }
            | FactKind::Segment(_)
            | FactKind::Turn(_)
            | FactKind::FalsePause { .. }
            | FactKind::Interrupted { .. }
            | FactKind::Digit { .. }
            | FactKind::Tool { .. }
            | FactKind::ProviderTrouble { .. }
            | FactKind::Consent(_)
            | FactKind::RecordingStarted { .. }
            | FactKind::QualityChanged { .. }
            | FactKind::RecordingPaused { .. }
            | FactKind::RecordingResumed { .. }
            | FactKind::RecordingDeleted
            | FactKind::Held
            | FactKind::Resumed
            | FactKind::Bridged { .. }
            | FactKind::Ladder(_)
            | FactKind::Commanded { .. }
            | FactKind::TransferStarted { .. }
            | FactKind::TransferAttempt { .. }
            | FactKind::Transferred { .. }
            | FactKind::TransferFailed { .. }
            | FactKind::AgentResumed
            | FactKind::Logged { .. } => Self::Ordinary,
        }
    }
}

/// The spool as it stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Space {
    /// All bytes the spool may hold.
    pub total: u64,
    /// Bytes kept for the calls that are already here.
    pub reserve: u64,
    /// Bytes on disk.
    pub used: u64,
    /// Bytes on their way there.
    pub queued: u64,
    /// Calls without an end.
    pub live: u64,
}

impl Space {
    /// Whether a record of this class and size may still come in.
    pub(crate) fn admit(&self, class: Class, bytes: u64) -> Result<(), Refused> {
        let ends = self.live.saturating_mul(END_ROOM);
        let kept = match class {
            Class::NewCall => self.reserve.max(ends.saturating_mul(2)),
            Class::Ordinary => ends,
            Class::End => 0,
        };
        let needed = self.used + self.queued + bytes + kept;
        if needed <= self.total {
            Ok(())
        } else {
            Err(Refused::SpoolFull)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(used: u64, live: u64) -> Space {
        Space {
            total: 100_000,
            reserve: 30_000,
            used,
            queued: 0,
            live,
        }
    }

    #[test]
    fn new_calls_stop_first_then_facts_and_ends_last() {
        let nearly = spool(75_000, 5);
        assert_eq!(
            nearly.admit(Class::NewCall, 300),
            Err(Refused::SpoolFull),
            "the reserve is not for new calls"
        );
        assert_eq!(nearly.admit(Class::Ordinary, 300), Ok(()));
        let fuller = spool(95_000, 5);
        assert_eq!(fuller.admit(Class::Ordinary, 300), Err(Refused::SpoolFull));
        assert_eq!(fuller.admit(Class::End, 300), Ok(()));
    }

    #[test]
    fn whatever_was_admitted_the_end_of_each_live_call_still_fits() {
        let mut space = spool(0, 0);
        while space.admit(Class::NewCall, 600).is_ok() {
            space.used += 600;
            space.live += 1;
        }
        while space.admit(Class::Ordinary, 200).is_ok() {
            space.used += 200;
        }
        assert!(space.live > 10, "only {} calls came in", space.live);
        for _ in 0..space.live {
            assert_eq!(space.admit(Class::End, END_ROOM), Ok(()));
            space.used += END_ROOM;
        }
    }
}
