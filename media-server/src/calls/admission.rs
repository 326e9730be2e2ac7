//! Whether one more call may come in: concurrency and calls per second of node, profile and trunk;
//! drain; journal space. Ports are asked for at the answer (503 as well).

use std::{collections::HashMap, time::Duration};

use crate::{gate::Bucket, profile::Profile, services::Services};

/// Seconds a refused caller is asked to wait, before jitter.
const RETRY_AFTER_S: u32 = 2;

/// Why a call is refused: the label in `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The node is drained.
    Draining,
    /// The journal has no room.
    Journal,
    /// Calls at once.
    Calls,
    /// Calls a second.
    Rate,
}

impl Full {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Journal => "journal",
            Self::Calls => "calls",
            Self::Rate => "rate",
        }
    }
}

/// A refusal: 503 with `Retry-After`, spread, so that refused callers do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Full,
    pub(super) retry_after_s: u32,
}

/// Token buckets of the node, of profiles and of trunks.
#[derive(Default)]
pub(super) struct Admission {
    buckets: HashMap<String, Bucket>,
    refusals: u32,
}

/// What limits a call, and the bucket's name.
struct Limit {
    name: String,
    live: usize,
    calls: u32,
    cps: u32,
    burst: u32,
}

impl Limit {
    fn of(name: String, live: usize, limits: &settings::ProfileLimits) -> Self {
        Self {
            name,
            live,
            calls: limits.calls,
            cps: limits.cps,
            burst: limits.burst,
        }
    }
}

impl Admission {
    /// Takes one call's worth everywhere, or nothing anywhere.
    pub(super) fn admit(
        &mut self,
        services: &Services,
        profile: &Profile,
        trunk: Option<&settings::Trunk>,
    ) -> Result<(), Refused> {
        let limits = limits(services, profile, trunk);
        let Some(why) = self.full(services, &limits) else {
            return Ok(());
        };
        self.refusals = self.refusals.wrapping_add(1);
        let retry_after_s = RETRY_AFTER_S + self.refusals % 5;
        Err(Refused { why, retry_after_s })
    }

    fn full(&mut self, services: &Services, limits: &[Limit]) -> Option<Full> {
        if !services.accepting() {
            let draining = services.is_draining();
            return Some(if draining {
                Full::Draining
            } else {
                Full::Journal
            });
        }
        let over = |limit: &Limit| limit.calls != 0 && limit.live >= limit.calls as usize;
        if limits.iter().any(over) {
            return Some(Full::Calls);
        }
        let now = services.clock.now();
        (!self.paced(now, limits)).then_some(Full::Rate)
    }

    fn paced(&mut self, now: Duration, limits: &[Limit]) -> bool {
        let limits = limits.iter().filter(|limit| limit.cps != 0);
        for limit in limits.clone() {
            let bucket = self.buckets.entry(limit.name.clone());
            let bucket = bucket.or_insert_with(|| Bucket::full(now, limit.burst));
            if !bucket.has(now, limit.cps, limit.burst) {
                return false;
            }
        }
        for limit in limits {
            if let Some(bucket) = self.buckets.get_mut(&limit.name) {
                bucket.take(now, limit.cps, limit.burst);
            }
        }
        true
    }
}

fn limits(services: &Services, profile: &Profile, trunk: Option<&settings::Trunk>) -> Vec<Limit> {
    let settings = services.settings.current();
    let node = &settings.server.limits;
    let calls = &services.calls;
    let mut all = vec![
        Limit {
            name: String::new(),
            live: calls.len(),
            calls: node.calls,
            cps: node.cps,
            burst: node.burst,
        },
        Limit::of(
            format!("profile {}", profile.name),
            calls.on_profile(&profile.name),
            &profile.settings.limits,
        ),
    ];
    if let Some(trunk) = trunk {
        let name = format!("trunk {}", trunk.name);
        all.push(Limit::of(name, calls.on_trunk(&trunk.name), &trunk.limits));
    }
    all
}
