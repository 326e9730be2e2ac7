//! Notices when RTP does not come, or comes no more.

use std::time::Duration;

/// How long RTP may be missing before it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// None ever came.
    pub never: Duration,
    /// It stopped.
    pub stopped: Duration,
}

impl Default for Timeouts {
    /// 15 s and 30 s.
    fn default() -> Self {
        Self {
            never: Duration::from_secs(15),
            stopped: Duration::from_secs(30),
        }
    }
}

/// Which kind of silence it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// No RTP ever.
    Never,
    /// RTP stopped.
    Stopped,
}

#[derive(Debug)]
pub(super) struct MediaWatch {
    timeouts: Timeouts,
    since: Duration,
    ever: bool,
    told: bool,
}

impl MediaWatch {
    pub(super) const fn new(now: Duration, timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            since: now,
            ever: false,
            told: false,
        }
    }

    /// Other limits; a silence that was right so far does not count against them.
    pub(super) const fn set(&mut self, now: Duration, timeouts: Timeouts) {
        self.timeouts = timeouts;
        self.since = now;
    }

    /// True when it ends a silence that was reported.
    pub(super) const fn on_packet(&mut self, now: Duration) -> bool {
        self.since = now;
        self.ever = true;
        let back = self.told;
        self.told = false;
        back
    }

    /// The silence to report, once.
    pub(super) fn handle_timeout(&mut self, now: Duration) -> Option<Silence> {
        let (limit, silence) = if self.ever {
            (self.timeouts.stopped, Silence::Stopped)
        } else {
            (self.timeouts.never, Silence::Never)
        };
        if self.told || now.saturating_sub(self.since) < limit {
            return None;
        }
        self.told = true;
        Some(silence)
    }
}
