//! How many calls of ours a trunk has, and when it may get the next.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use call_core::trunk::Pacer;
use model::internal::Share;
use settings::Pace;

/// One trunk's meters. They outlive a reload.
pub struct Gate {
    limits: Mutex<Limits>,
    live: AtomicU32,
}

/// What holds now.
struct Limits {
    pace: Pace,
    share: Share,
    pacer: Pacer,
}

/// Leave for one call over a trunk.
pub struct Turn {
    gate: Arc<Gate>,
    /// When it may go, since the node's start; now or later.
    pub at: Duration,
}

/// The trunk takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the trunk is busy")]
pub struct Busy {
    /// Seconds after which asking again is worth it.
    pub retry_after_s: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            limits: Mutex::new(Limits::of(&Pace::default(), Share::WHOLE)),
            live: AtomicU32::new(0),
        }
    }
}

impl Limits {
    fn of(pace: &Pace, share: Share) -> Self {
        let burst = share.of_limit(pace.burst);
        Self {
            pace: pace.clone(),
            share,
            pacer: Pacer::new(pace.cps, burst, pace.wait).one_of(share.of),
        }
    }

    /// Calls that this switch may have at a time; none for as many as come.
    fn most(&self) -> Option<u32> {
        let calls = self.pace.calls;
        (calls != 0).then(|| self.share.of_limit(calls))
    }
}

impl Gate {
    /// These limits hold from now on, and this part of them is ours; unchanged ones keep their line of waiting calls.
    pub(super) fn set(&self, pace: &Pace, share: Share) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.pace != *pace || limits.share != share {
            *limits = Limits::of(pace, share);
        }
    }

    pub(super) fn take(self: Arc<Self>, now: Duration) -> Result<Turn, Busy> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.load(Ordering::Relaxed);
        if limits.most().is_some_and(|most| live >= most) {
            return Err(Busy { retry_after_s: 2 });
        }
        let at = limits.pacer.take(now).map_err(|full| {
            let seconds = full.retry_after.as_secs() + 1;
            Busy {
                retry_after_s: u32::try_from(seconds).unwrap_or(u32::MAX),
            }
        })?;
        self.live.fetch_add(1, Ordering::Relaxed);
        drop(limits);
        Ok(Turn { gate: self, at })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.gate.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_takes_its_calls_and_no_more_until_one_ends() {
        let gate = Arc::new(Gate::default());
        gate.set(
            &Pace {
                calls: 2,
                ..Pace::default()
            },
            Share::WHOLE,
        );
        let one = gate.clone().take(Duration::ZERO).ok();
        let two = gate.clone().take(Duration::ZERO).ok();
        assert!(one.is_some() && two.is_some());
        assert_eq!(
            gate.clone().take(Duration::ZERO).err(),
            Some(Busy { retry_after_s: 2 })
        );
        drop(one);
        assert!(gate.clone().take(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_reload_that_changes_nothing_forgets_nobody_who_waits() {
        let gate = Arc::new(Gate::default());
        let pace = Pace {
            cps: 1,
            ..Pace::default()
        };
        gate.set(&pace, Share::WHOLE);
        let at = |gate: &Arc<Gate>| gate.clone().take(Duration::ZERO).map(|turn| turn.at);
        assert_eq!(at(&gate).ok(), Some(Duration::ZERO));
        gate.set(&pace, Share::WHOLE);
        assert_eq!(at(&gate).ok(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn switches_share_what_a_trunk_takes() {
        let pace = Pace {
            calls: 5,
            cps: 1,
            ..Pace::default()
        };
        let taken = |part| {
            let gate = Arc::new(Gate::default());
            gate.set(&pace, Share { part, of: 2 });
            let turns: Vec<_> = (0..9).map(|_| gate.clone().take(Duration::ZERO)).collect();
            let times = turns.iter().flatten().map(|turn| turn.at.as_secs());
            times.collect::<Vec<_>>()
        };
        // Together five calls, and one a second.
        assert_eq!((taken(0), taken(1)), (vec![0, 2, 4], vec![0, 2]));
    }
}
