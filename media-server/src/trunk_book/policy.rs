//! What may be called, by whom: the operator's `[outbound]` for the node's own dialplans, the
//! office's word for each tenant.

use std::{collections::BTreeMap, time::Duration};

use call_core::{
    country::{self, Country},
    dialing::{Emergency, Outlet, Policy, Prefixes},
};
use model::{Snapshot, TenantId, trunk::OutboundPolicy};

use super::{Directory, TrunkLine};

/// A policy without its trunks.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    prefixes: Prefixes,
    forward_to: Vec<String>,
    country: Option<&'static Country>,
    emergency: Option<Emergency>,
    redirects: bool,
    max_duration: Option<Duration>,
}

pub(super) fn all(
    settings: &settings::Settings,
    snapshot: &Snapshot,
) -> BTreeMap<Option<TenantId>, Terms> {
    let tenants = snapshot.tenants.iter().filter_map(|tenant| {
        let policy = tenant.outbound.as_ref()?;
        Some((Some(tenant.id), of_office(policy, &tenant.slug)))
    });
    let own = (None, of_files(&settings.server.outbound));
    tenants.chain([own]).collect()
}

fn of_files(outbound: &settings::Outbound) -> Terms {
    Terms {
        prefixes: Prefixes::new(&outbound.prefixes),
        forward_to: outbound.forward_to.clone(),
        country: outbound.country(),
        emergency: outbound.emergency(),
        redirects: outbound.redirects,
        max_duration: outbound.max_duration,
    }
}

/// A tenant names its trunks without its own slug.
fn of_office(policy: &OutboundPolicy, slug: &str) -> Terms {
    let emergency = policy.emergency.as_deref();
    let emergency = emergency.map(|text| match text.strip_prefix("route:") {
        Some(trunk) => Emergency::Route(format!("{slug}/{trunk}")),
        None => Emergency::Reject,
    });
    let longest = policy.max_duration_s;
    Terms {
        prefixes: Prefixes::new(&policy.prefixes),
        forward_to: policy.forward_to.clone(),
        country: policy.country.as_deref().and_then(country::by_code),
        emergency,
        redirects: policy.redirects,
        max_duration: longest.map(|s| Duration::from_secs(s.into())),
    }
}

impl Directory {
    /// What `tenant` may call (none = the node's own dialplans), over its own trunks alone. `up`
    /// tells which of them answer; `draw` is any number, a new one for each call.
    pub fn policy(
        &self,
        tenant: Option<TenantId>,
        up: impl Fn(&TrunkLine) -> bool,
        draw: u64,
    ) -> Policy {
        let terms = self.policies.get(&tenant).cloned().unwrap_or_default();
        let mine = self.lines.iter().filter(|line| line.tenant == tenant);
        let callable = mine.filter(|line| line.settings.proxy.is_some());
        Policy {
            prefixes: terms.prefixes,
            forward_to: terms.forward_to,
            country: terms.country,
            emergency: terms.emergency,
            redirects: terms.redirects,
            operator: tenant.is_none(),
            max_duration: terms.max_duration,
            trunks: callable.map(|line| outlet(line, up(line))).collect(),
            draw,
        }
    }
}

fn outlet(line: &TrunkLine, up: bool) -> Outlet {
    Outlet {
        name: line.name.clone(),
        hosts: line.host().map(ToOwned::to_owned).into_iter().collect(),
        priority: line.settings.priority,
        weight: line.settings.weight,
        up,
        country: line.country(),
    }
}
