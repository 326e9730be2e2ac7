//! Which side of a call is a phone of ours, and who is left when it goes.

use std::{net::IpAddr, sync::Arc};

use call_core::{call::Side, dialing::Origin};
use model::TenantId;

use crate::call::{State, asking, dial, facing};

/// A phone of ours, as far as it can be told from another one.
pub(super) struct Phone {
    /// Its address of record; none where the profile asks for no password.
    aor: Option<String>,
    at: Option<IpAddr>,
    profile: Arc<str>,
    /// Whose it is.
    pub(super) tenant: Option<TenantId>,
}

impl Phone {
    /// Whether both are the same one.
    pub(super) fn is(&self, other: &Phone) -> bool {
        match (&self.aor, &other.aor) {
            (Some(one), Some(another)) => one == another,
            (None, None) => {
                self.at.is_some() && self.at == other.at && self.profile == other.profile
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Where its extensions are.
    pub(super) fn domain(&self) -> Option<&str> {
        let (_, domain) = self.aor.as_ref()?.rsplit_once('@')?;
        Some(domain)
    }
}

/// The phone on this side; `dialog` names one that still rings. None for everybody else.
pub(super) fn phone(state: &State, side: Side, dialog: Option<ractor::ActorId>) -> Option<Phone> {
    let profile = state.args.profile.name.clone();
    let dialled = match (side, &state.args.facing.order()) {
        (Side::Callee, _) => Some(dial::phone(state, dialog)?),
        (Side::Caller, Some(_)) => Some(state.placing.phone()?),
        (Side::Caller, None) => None,
    };
    if let Some(aor) = dialled {
        return Some(Phone {
            tenant: state.services().registrar.directory().tenant_of(aor),
            aor: Some(aor.to_owned()),
            at: None,
            profile,
        });
    }
    let inside = asking::came_from(state) == Origin::Internal;
    let identity = state.args.identity.as_ref();
    inside.then(|| Phone {
        aor: identity.map(|identity| identity.aor()),
        at: facing::flow(state).map(|flow| flow.remote.ip()),
        profile,
        tenant: identity.map(|identity| identity.tenant),
    })
}

/// Who is left of a call when one side goes.
#[derive(Debug, Clone)]
pub(super) struct Left {
    /// As the record names him.
    pub(super) name: String,
    /// He called from outside.
    pub(super) public: bool,
    /// He was called over a trunk.
    pub(super) trunk: bool,
}

impl Left {
    /// His user part, to be shown to whom he is transferred.
    pub(super) fn shown(&self) -> String {
        let name = self.name.strip_prefix("sip:").unwrap_or(&self.name);
        let name = name.rsplit('/').next().unwrap_or(name);
        name.split(['@', ';']).next().unwrap_or(name).to_owned()
    }

    /// Whether joining the two would let a caller from outside out again over a trunk.
    pub(super) fn hairpins(&self, other: &Left) -> bool {
        (self.public && other.trunk) || (self.trunk && other.public)
    }
}

/// See [`Left`].
pub(super) fn left(state: &State, side: Side) -> Left {
    let public = asking::origin(state) == Origin::Public;
    if let (Side::Caller, Some((name, trunk))) = (side, dial::other(state)) {
        let name = name.to_owned();
        return Left {
            name,
            public,
            trunk,
        };
    }
    Left {
        name: named(state),
        public,
        trunk: state.placing.outside(),
    }
}

/// Our own far side: who called us, or whom we called.
pub(super) fn named(state: &State) -> String {
    match state.args.facing.order() {
        Some(order) => order.to.clone(),
        None => state.parties().from.clone(),
    }
}
