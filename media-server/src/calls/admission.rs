//! Whether one more call may come in: concurrency and calls per second of node, profile, trunk and
//! tenant; drain; journal space. Ports are asked for at the answer (503 as well). A tenant's limits
//! are for all switches together: each has its share. Calls that it orders are paced and not failed.

use std::{collections::HashMap, time::Duration};

use model::{TenantId, internal::Share, snapshot::TenantLimits};

use crate::{gate::Bucket, profile::Profile, services::Services};

/// Seconds a refused caller is asked to wait, before jitter.
const RETRY_AFTER_S: u32 = 2;
/// An ordered call asks for its turn no more often.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

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
    /// Calls of the tenant at once.
    TenantCalls,
    /// Calls of the tenant a second.
    TenantRate,
}

/// When a call that a tenant ordered may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// After so long.
    For(Duration),
    /// When one of its calls is over.
    ForAnEnd,
}

impl Full {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Journal => "journal",
            Self::Calls => "calls",
            Self::Rate => "rate",
            Self::TenantCalls => "tenant_calls",
            Self::TenantRate => "tenant_rate",
        }
    }
}

/// A refusal: 503 with `Retry-After`, spread, so that refused callers do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Full,
    pub(super) retry_after_s: u32,
}

/// Token buckets of the node, of profiles, trunks and tenants.
#[derive(Default)]
pub(super) struct Admission {
    buckets: HashMap<String, Bucket>,
    refusals: u32,
}

/// What limits a call, and the bucket's name.
struct Limit {
    name: String,
    live: usize,
    /// None for as many as come.
    calls: Option<u32>,
    /// Calls a second; 0 for as many as come.
    cps: f64,
    burst: u32,
    /// What a call is refused for beyond the two.
    full: [Full; 2],
}

impl Limit {
    fn of(name: String, live: usize, limits: &settings::ProfileLimits) -> Self {
        Self {
            name,
            live,
            calls: some(limits.calls),
            cps: limits.cps.into(),
            burst: limits.burst,
            full: [Full::Calls, Full::Rate],
        }
    }

    fn of_tenant(tenant: TenantId, live: usize, limits: &TenantLimits, share: Share) -> Self {
        Self {
            name: format!("tenant {tenant}"),
            live,
            calls: some(limits.calls).map(|calls| share.of_limit(calls)),
            cps: f64::from(limits.cps) / f64::from(share.of.max(1)),
            burst: share.of_limit(limits.burst),
            full: [Full::TenantCalls, Full::TenantRate],
        }
    }

    fn is_over(&self) -> bool {
        let most = self.calls.map(|calls| calls as usize);
        most.is_some_and(|most| self.live >= most)
    }
}

/// 0 is no limit.
fn some(limit: u32) -> Option<u32> {
    (limit != 0).then_some(limit)
}

impl Admission {
    /// Takes one call's worth everywhere, or nothing anywhere.
    pub(super) fn admit(
        &mut self,
        services: &Services,
        profile: &Profile,
        trunk: Option<&settings::Trunk>,
        tenant: Option<TenantId>,
    ) -> Result<(), Refused> {
        let mut limits = limits(services, profile, trunk);
        limits.extend(tenant.and_then(|tenant| limit_of(services, tenant)));
        let Some(why) = self.full(services, &limits) else {
            return Ok(());
        };
        self.refusals = self.refusals.wrapping_add(1);
        let retry_after_s = RETRY_AFTER_S + self.refusals % 5;
        Err(Refused { why, retry_after_s })
    }

    /// Takes the worth of a call that a tenant ordered.
    pub(super) fn order(&mut self, services: &Services, tenant: TenantId) -> Result<(), Wait> {
        let Some(limit) = limit_of(services, tenant) else {
            return Ok(());
        };
        if limit.is_over() {
            return Err(Wait::ForAnEnd);
        }
        let now = services.clock.now();
        let limits = [limit];
        let Err(full) = self.paced(now, &limits) else {
            return Ok(());
        };
        let bucket = self.buckets.get(&full.name);
        let next = bucket.map_or(Duration::ZERO, |bucket| bucket.until_next(full.cps));
        Err(Wait::For(next.max(SHORTEST_WAIT)))
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
        if let Some(limit) = limits.iter().find(|limit| limit.is_over()) {
            return Some(limit.full[0]);
        }
        let now = services.clock.now();
        self.paced(now, limits).err().map(|limit| limit.full[1])
    }

    /// Takes a token everywhere, or says where there is none.
    fn paced<'a>(&mut self, now: Duration, limits: &'a [Limit]) -> Result<(), &'a Limit> {
        let limits = limits.iter().filter(|limit| limit.cps != 0.0);
        for limit in limits.clone() {
            let bucket = self.buckets.entry(limit.name.clone());
            let bucket = bucket.or_insert_with(|| Bucket::full(now, limit.burst));
            if !bucket.has(now, limit.cps, limit.burst) {
                return Err(limit);
            }
        }
        for limit in limits {
            if let Some(bucket) = self.buckets.get_mut(&limit.name) {
                bucket.take(now, limit.cps, limit.burst);
            }
        }
        Ok(())
    }
}

/// What a tenant may have here, where it has a limit.
fn limit_of(services: &Services, tenant: TenantId) -> Option<Limit> {
    let snapshot = services.snapshots.current();
    let mut tenants = snapshot.tenants.iter();
    let limits = tenants.find(|entry| entry.id == tenant)?.limits;
    if limits.calls == 0 && limits.cps == 0 {
        return None;
    }
    let (live, share) = (
        services.calls.of_tenant(tenant),
        services.trunk_book.our_share(),
    );
    Some(Limit::of_tenant(tenant, live, &limits, share))
}

fn limits(services: &Services, profile: &Profile, trunk: Option<&settings::Trunk>) -> Vec<Limit> {
    let settings = services.settings.current();
    let node = &settings.server.limits;
    let calls = &services.calls;
    let mut all = vec![
        Limit {
            name: String::new(),
            live: calls.len(),
            calls: some(node.calls),
            cps: node.cps.into(),
            burst: node.burst,
            full: [Full::Calls, Full::Rate],
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many calls go in within so many seconds, asked for every 10 ms.
    fn taken(limits: &TenantLimits, share: Share, seconds: u64) -> usize {
        let mut admission = Admission::default();
        let times = (0..seconds * 100).map(|n| Duration::from_millis(n * 10));
        times
            .filter(|now| {
                let limit = Limit::of_tenant(TenantId::new(1, 1), 0, limits, share);
                admission.paced(*now, &[limit]).is_ok()
            })
            .count()
    }

    #[test]
    fn the_shares_of_a_tenant_sum_up_to_its_limits() {
        let limits = TenantLimits {
            calls: 5,
            cps: 3,
            burst: 4,
        };
        assert_eq!(taken(&limits, Share::WHOLE, 10), 4 + 29);
        let shares = [Share { part: 0, of: 2 }, Share { part: 1, of: 2 }];
        let all: usize = shares.iter().map(|share| taken(&limits, *share, 10)).sum();
        assert!((4 + 28..=4 + 29).contains(&all), "{all}");
        let most = shares.map(|share| {
            let of = |live| Limit::of_tenant(TenantId::new(1, 1), live, &limits, share);
            (0..9).filter(|live| !of(*live).is_over()).count()
        });
        assert_eq!(most, [3, 2]);
    }

    #[test]
    fn a_share_of_nothing_takes_nothing() {
        let limits = TenantLimits {
            calls: 1,
            ..TenantLimits::default()
        };
        let share = Share { part: 1, of: 2 };
        assert!(Limit::of_tenant(TenantId::new(1, 1), 0, &limits, share).is_over());
    }
}
