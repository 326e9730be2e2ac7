//! On whose behalf a call of ours calls somebody: what the rules for outbound calls judge by.

use call_core::dialing::{By, Origin};
use model::TenantId;

use super::{State, facing::Order};
use crate::{
    services::Line,
    targets::{Asker, Shown},
};

/// The context of the node's own phones, by both its names.
const INTERNAL: [&str; 2] = ["internal", "default"];

/// Who wants to call, showing `from`. Agents and orders go by the rules of their tenant, a dialplan
/// of the files by those of the node.
pub(super) fn asker(state: &State, by: By, from: &str) -> Asker {
    let (args, parties) = (&state.args, state.parties());
    let identity = args.identity.as_ref();
    let own = from == parties.from;
    // A call for somebody who waits in another one goes by that one's rules, also where it is handed on.
    if let Some(meets) = args.facing.order().and_then(Order::meets) {
        return Asker {
            by,
            origin: origin(state),
            caller: Shown {
                user: from.to_owned(),
                ..Shown::default()
            },
            ..meets.asker.clone()
        };
    }
    Asker {
        by,
        origin: origin(state),
        rules: rules(state, by),
        tenant: identity
            .map(|identity| identity.tenant)
            .or(args.arrived.tenant),
        domain: identity.map(|identity| identity.domain.clone()),
        line: line(state),
        caller: Shown {
            user: from.to_owned(),
            name: parties.name.clone().filter(|_| own),
            hidden: parties.hidden && own,
        },
    }
}

fn rules(state: &State, by: By) -> Option<TenantId> {
    match by {
        By::Api | By::Agent => state.handing.tenant().or(state.args.arrived.tenant),
        By::Dialplan | By::Refer | By::Redirect | By::Diversion | By::Fallback => None,
    }
}

/// Where the one comes from on whose behalf we call: our own far side, or whom it has met.
pub(super) fn origin(state: &State) -> Origin {
    match state.met_outside {
        true => Origin::Public,
        false => came_from(state),
    }
}

/// Whoever is not known to be one of our phones is anybody; what a trunk brings is, whatever the profile it comes in over.
pub(super) fn came_from(state: &State) -> Origin {
    let args = &state.args;
    if let Some(meets) = args.facing.order().and_then(Order::meets) {
        return meets.asker.origin;
    }
    let inside = INTERNAL.contains(&args.profile.settings.context.as_str());
    let ours = args.identity.is_some() || (inside && args.arrived.trunk.is_none());
    match (args.facing.order(), ours) {
        (Some(_), _) => Origin::Office,
        (None, true) => Origin::Internal,
        (None, false) => Origin::Public,
    }
}

/// The profile of our own leg. A call of ours may not have one yet.
pub(super) fn line(state: &State) -> Option<Line> {
    let args = &state.args;
    let known = args.facing.order().is_none() || state.placing.flow().is_some();
    known.then(|| Line {
        profile: args.profile.clone(),
        wire: args.wire.clone(),
        listener: args.listener.clone(),
    })
}
