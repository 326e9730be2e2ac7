//! How much work encoders may put into a packet: turned down at once when a media thread is busy or late, turned up again one
//! step at a time, and the later the more often that was too soon.

use media_core::codec::Tuning;
use std::time::Duration;

/// Complexities, most work first (`docs/decisions/0003-opus.md`: 5 is the knee, 0 is for overload).
const STEPS: [u8; 3] = [Tuning::USUAL_COMPLEXITY, 2, 0];
/// Share of its time that a thread may work, in thousandths, before it goes down a step, and two.
const BUSY: [u32; 2] = [500, 750];
/// So much less it must be before it goes up again.
const EASE: u32 = 150;
/// A tick this late is one of a thread that cannot follow.
pub(super) const LATE: Duration = Duration::from_millis(10);
/// So many of a thousand of them are no accident.
const LATE_PERMILLE: u32 = 50;
/// Calm that must pass before it goes up a step; doubled each time that it was too soon.
const CALM: Duration = Duration::from_secs(10);
const LONGEST_CALM: Duration = Duration::from_secs(160);

/// One second of a media thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    /// Of the time it worked, in thousandths.
    pub(super) busy_permille: u32,
    /// Ticks it held.
    pub(super) ticks: u32,
    /// Those that were [`LATE`].
    pub(super) late: u32,
}

/// The knob of one media thread.
#[derive(Debug)]
pub(super) struct Effort {
    step: usize,
    calm: Duration,
    /// Since when it could go up; none while it cannot.
    calm_since: Option<Duration>,
    /// When it last went up.
    raised: Option<Duration>,
}

impl Effort {
    pub(super) const fn new() -> Self {
        Self {
            step: 0,
            calm: CALM,
            calm_since: None,
            raised: None,
        }
    }

    /// To be told each second; the complexity that is right from now on.
    pub(super) fn on_second(&mut self, now: Duration, second: Second) -> u8 {
        let late = second.late * 1_000 >= LATE_PERMILLE * second.ticks.max(1);
        let least = BUSY.iter().filter(|busy| second.busy_permille >= **busy);
        // Late without being busy, it is others that hold it up: one step, no more.
        let least = least.count().max(usize::from(late));
        if least > self.step {
            self.lower(now, least);
        } else if self.step > 0 {
            let eased = second.busy_permille + EASE < BUSY.get(self.step - 1).copied().unwrap_or(0);
            self.ease(now, eased && !late);
        }
        STEPS.get(self.step).copied().unwrap_or(0)
    }

    fn lower(&mut self, now: Duration, step: usize) {
        self.step = step;
        self.calm_since = None;
        let Some(raised) = self.raised.take() else {
            return;
        };
        self.calm = match now.saturating_sub(raised) < LONGEST_CALM {
            true => (self.calm * 2).min(LONGEST_CALM),
            false => CALM,
        };
    }

    fn ease(&mut self, now: Duration, eased: bool) {
        if !eased {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.calm {
            self.step -= 1;
            self.calm_since = None;
            self.raised = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Second};
    use std::time::Duration;

    fn second(busy_permille: u32, late: u32) -> Second {
        Second {
            busy_permille,
            ticks: 5_000,
            late,
        }
    }

    /// What it says second for second.
    fn run(effort: &mut Effort, from: u64, seconds: impl IntoIterator<Item = Second>) -> Vec<u8> {
        let numbered = (from..).zip(seconds);
        let told = numbered.map(|(n, of)| effort.on_second(Duration::from_secs(n), of));
        told.collect()
    }

    #[test]
    fn it_goes_down_at_once_and_up_a_step_after_ten_calm_seconds() {
        let mut effort = Effort::new();
        assert_eq!(run(&mut effort, 0, [second(499, 0)]), [5]);
        assert_eq!(run(&mut effort, 1, [second(800, 0)]), [0], "two steps");
        let calm = run(&mut effort, 2, [second(100, 0); 30]);
        assert_eq!(calm[..10], [0; 10]);
        assert_eq!(calm[10..21], [2; 11]);
        assert_eq!(calm[21..], [5; 9]);
    }

    #[test]
    fn around_an_edge_it_stays_where_it_is() {
        let mut effort = Effort::new();
        let wobble = [second(520, 0), second(480, 0)];
        let told = run(&mut effort, 0, wobble.into_iter().cycle().take(3_600));
        assert_eq!(told, [2; 3_600]);
    }

    /// The work that goes up with it is what makes the thread busy: an hour of that is no hour of switching.
    #[test]
    fn the_more_often_it_was_too_soon_the_longer_it_waits() {
        let mut effort = Effort::new();
        let (mut complexity, mut switched) = (5, 0);
        for n in 0..3_600 {
            let busy = if complexity == 5 { 600 } else { 300 };
            let now = effort.on_second(Duration::from_secs(n), second(busy, 0));
            switched += u32::from(now != complexity);
            complexity = now;
        }
        assert!((10..=60).contains(&switched), "{switched}");
    }

    #[test]
    fn lateness_alone_costs_one_step() {
        let mut effort = Effort::new();
        assert_eq!(run(&mut effort, 0, [second(10, 249)]), [5], "an accident");
        assert_eq!(run(&mut effort, 1, [second(10, 250); 60]), [2; 60]);
        assert_eq!(run(&mut effort, 61, [second(10, 0); 11])[10], 5);
    }
}
