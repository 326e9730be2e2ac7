//! Whether one more call may come in: concurrency, calls per second, ports, journal space.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{profile::Profile, services::Services};

/// Seconds a refused caller is asked to wait, before jitter.
const RETRY_AFTER_S: u32 = 2;

/// Token buckets per profile, and one for the node.
#[derive(Default)]
pub(super) struct Admission {
    buckets: HashMap<Arc<str>, Bucket>,
    refusals: u32,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Admission {
    /// `Err(seconds)` = 503 with `Retry-After: seconds` (spread, so that refused callers do not
    /// come back together).
    pub(super) fn admit(&mut self, services: &Services, profile: &Profile) -> Result<(), u32> {
        let settings = services.settings.current();
        let node = &settings.server.limits;
        let own = &profile.settings.limits;
        let live = services.calls.len();
        let full = over(live, node.calls)
            || over(services.calls.on_profile(&profile.name), own.calls)
            || !services.accepting()
            || !self.paced(services, "", node.cps, node.burst)
            || !self.paced(services, &profile.name, own.cps, own.burst);
        if !full {
            return Ok(());
        }
        self.refusals = self.refusals.wrapping_add(1);
        Err(RETRY_AFTER_S + self.refusals % 5)
    }

    fn paced(&mut self, services: &Services, name: &str, cps: u32, burst: u32) -> bool {
        if cps == 0 {
            return true;
        }
        let now = services.clock.now();
        let full = f64::from(burst.max(1));
        let bucket = self.buckets.entry(name.into()).or_insert(Bucket {
            tokens: full,
            at: now,
        });
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * f64::from(cps);
        bucket.tokens = (bucket.tokens + gained).min(full);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

fn over(live: usize, limit: u32) -> bool {
    limit != 0 && live >= limit as usize
}
