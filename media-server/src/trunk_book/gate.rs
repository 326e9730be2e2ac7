//! How many calls of ours a trunk has, and when it may get the next.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use call_core::trunk::Pacer;
use settings::Pace;

/// One trunk's meters. They outlive a reload.
pub struct Gate {
    limits: Mutex<(Pace, Pacer)>,
    live: AtomicU32,
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
        let pace = Pace::default();
        let pacer = pacer(&pace);
        Self {
            limits: Mutex::new((pace, pacer)),
            live: AtomicU32::new(0),
        }
    }
}

fn pacer(pace: &Pace) -> Pacer {
    Pacer::new(pace.cps, pace.burst, pace.wait)
}

impl Gate {
    /// These limits hold from now on; unchanged ones keep their line of waiting calls.
    pub(super) fn set(&self, pace: &Pace) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.0 != *pace {
            *limits = (pace.clone(), pacer(pace));
        }
    }

    pub(super) fn take(self: Arc<Self>, now: Duration) -> Result<Turn, Busy> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let (most, live) = (limits.0.calls, self.live.load(Ordering::Relaxed));
        if most != 0 && live >= most {
            return Err(Busy { retry_after_s: 2 });
        }
        let at = limits.1.take(now).map_err(|full| {
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
        gate.set(&Pace {
            calls: 2,
            ..Pace::default()
        });
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
        gate.set(&pace);
        let at = |gate: &Arc<Gate>| gate.clone().take(Duration::ZERO).map(|turn| turn.at);
        assert_eq!(at(&gate).ok(), Some(Duration::ZERO));
        gate.set(&pace);
        assert_eq!(at(&gate).ok(), Some(Duration::from_secs(1)));
    }
}
