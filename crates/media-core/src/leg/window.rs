//! How well the far side is heard, in classes over windows of five seconds (inventory bC11).

use super::{Leg, LegEventKind};
use crate::jitter::JitterCounters;
use std::time::Duration;

/// One window.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Percent of a window's packets that may be missing, below which it is excellent, and good.
const EXCELLENT_BELOW: u64 = 5;
const GOOD_BELOW: u64 = 12;

/// How a window was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Under 5 % lost or late.
    Excellent,
    /// Under 12 %.
    Good,
    /// More.
    Poor,
    /// Nothing came.
    Lost,
}

impl Quality {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Excellent, Self::Good, Self::Poor, Self::Lost];

    /// In lower case, as events and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Poor => "poor",
            Self::Lost => "lost",
        }
    }
}

/// Another class than the window before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityChange {
    /// Before; none for the first window of the leg.
    pub from: Option<Quality>,
    /// Now.
    pub to: Quality,
    /// Lost or late in this window, in thousandths.
    pub missing_permille: u16,
}

#[derive(Debug)]
pub(super) struct QualityWatch {
    window: Option<Window>,
    class: Option<Quality>,
}

/// The window under way, and the totals with which it began.
#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Duration,
    began: Totals,
}

#[derive(Debug, Clone, Copy)]
struct Totals {
    came: u64,
    due: u64,
    missing: u64,
}

impl Totals {
    /// Late packets came, and are missing all the same; what the codec made up was heard.
    const fn of(counters: &JitterCounters) -> Self {
        Self {
            came: counters.received,
            due: counters.received + counters.lost,
            missing: (counters.lost + counters.late).saturating_sub(counters.recovered),
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            came: self.came.saturating_sub(before.came),
            due: self.due.saturating_sub(before.due),
            missing: self.missing.saturating_sub(before.missing),
        }
    }
}

impl QualityWatch {
    pub(super) const fn new() -> Self {
        Self {
            window: None,
            class: None,
        }
    }

    /// Begins a window anew: what the far side was told not to send does not count.
    pub(super) const fn forget(&mut self) {
        self.window = None;
    }

    /// To be asked each tick; windows begin with the first packet. A far side that is silent on purpose, and says so, may send
    /// nothing without being lost.
    pub(super) fn handle_timeout(
        &mut self,
        now: Duration,
        counters: &JitterCounters,
        silent: bool,
    ) -> Option<QualityChange> {
        let totals = Totals::of(counters);
        let window = self.window.filter(|_| totals.came > 0);
        if window.is_some_and(|window| now < window.ends) {
            return None;
        }
        let ends = now + WINDOW;
        self.window = (totals.came > 0).then_some(Window {
            ends,
            began: totals,
        });
        let passed = totals.since(window?.began);
        if silent && passed.came == 0 {
            return None;
        }
        self.judge(passed)
    }

    fn judge(&mut self, window: Totals) -> Option<QualityChange> {
        let due = window.due.max(1);
        let to = match window.missing * 100 / due {
            _ if window.came == 0 => Quality::Lost,
            0..EXCELLENT_BELOW => Quality::Excellent,
            EXCELLENT_BELOW..GOOD_BELOW => Quality::Good,
            GOOD_BELOW.. => Quality::Poor,
        };
        let from = self.class.replace(to);
        (from != Some(to)).then_some(QualityChange {
            from,
            to,
            missing_permille: (window.missing * 1_000 / due).min(1_000) as u16,
        })
    }
}

impl Leg {
    /// While the far side holds us it owes us nothing.
    pub(super) fn judge_quality(&mut self) {
        if !self.sending {
            return self.quality.forget();
        }
        let (counters, silent) = (self.jitter.counters(), self.comfort.is_heard());
        let change = self.quality.handle_timeout(self.now, &counters, silent);
        if let Some(change) = change {
            self.tell(LegEventKind::Quality(change));
        }
    }
}
