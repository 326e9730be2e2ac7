//! One Trunk actor for each trunk that has an address, as files and office have them now.

use std::{collections::HashSet, sync::Arc};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

use super::{Msg, State};
use crate::{
    gateway::{self, GatewayActor},
    services::{Line, Services},
    trunk::{self, Trunk},
    trunk_book::TrunkLine,
};

/// A trunk's actor, and what it was started with.
pub(super) struct Watched {
    actor: ActorRef<trunk::Msg>,
    line: Arc<TrunkLine>,
    gateway: Option<ActorRef<gateway::Msg>>,
}

/// Each new snapshot may bring other trunks.
pub(super) fn follow(me: &ActorRef<Msg>, services: &Arc<Services>) {
    let (me, mut changes) = (me.clone(), services.snapshots.changes());
    tokio::spawn(async move {
        while changes.changed().await.is_ok() && me.cast(Msg::Trunks).is_ok() {}
    });
}

/// Stops the actors of trunks that are gone or changed, starts those of new ones. Trunks of a
/// profile that is not up wait for it.
pub(super) async fn watch_all(
    me: &ActorRef<Msg>,
    state: &mut State,
) -> Result<(), ActorProcessingErr> {
    let directory = state.services.trunk_book.current();
    let mut wanted = Vec::new();
    for line in state.services.lines.all() {
        let trunks = directory.of_profile(&line.profile.name);
        let callable = trunks.filter(|trunk| trunk.settings.proxy.is_some());
        wanted.extend(callable.cloned().map(|trunk| (line.clone(), trunk)));
    }
    state.trunks.retain(|_, watched| {
        let kept = wanted.iter().any(|(_, trunk)| *trunk == watched.line);
        if !kept {
            watched.actor.stop(None);
            if let Some(gateway) = &watched.gateway {
                let _ = gateway.cast(gateway::Msg::Retire);
            }
            let profile = watched.line.profile.as_str().into();
            state.services.forget_trunk(&profile, &watched.line.name);
        }
        kept
    });
    let watched: HashSet<String> = state.trunks.values().map(|w| w.line.name.clone()).collect();
    wanted.retain(|(_, trunk)| !watched.contains(&trunk.name));
    for (line, trunk) in wanted {
        let gateway = enrol(me, state, &line, &trunk).await?;
        let args = trunk::Args {
            trunk: trunk.settings.clone(),
            line,
            services: state.services.clone(),
        };
        let spawned = Actor::spawn_linked(None, Trunk, args, me.get_cell()).await;
        let (actor, _) = spawned?;
        let id = actor.get_id();
        state.trunks.insert(
            id,
            Watched {
                actor,
                line: trunk,
                gateway,
            },
        );
    }
    Ok(())
}

/// Registers at a trunk that wants it.
async fn enrol(
    me: &ActorRef<Msg>,
    state: &State,
    line: &Line,
    trunk: &TrunkLine,
) -> Result<Option<ActorRef<gateway::Msg>>, ActorProcessingErr> {
    if !trunk.settings.register {
        return Ok(None);
    }
    let args = gateway::Args {
        trunk: trunk.settings.clone(),
        line: line.clone(),
        services: state.services.clone(),
    };
    let spawned = Actor::spawn_linked(None, GatewayActor, args, me.get_cell()).await;
    Ok(Some(spawned?.0))
}

/// A gateway's actor broke: another one takes its place. False when it was none.
pub(super) async fn gateway_broke(
    me: &ActorRef<Msg>,
    state: &mut State,
    who: ActorId,
    error: &str,
) -> Result<bool, ActorProcessingErr> {
    let mine = |watched: &Watched| {
        let gateway = watched.gateway.as_ref();
        gateway.is_some_and(|gateway| gateway.get_id() == who)
    };
    let found = state.trunks.iter().find(|(_, watched)| mine(watched));
    let Some((id, trunk)) = found.map(|(id, watched)| (*id, watched.line.clone())) else {
        return Ok(false);
    };
    tracing::error!(trunk = trunk.name, error, "a gateway's actor broke");
    if let Some(line) = state.services.lines.get(&trunk.profile) {
        let gateway = enrol(me, state, &line, &trunk).await?;
        if let Some(watched) = state.trunks.get_mut(&id) {
            watched.gateway = gateway;
        }
    }
    Ok(true)
}
