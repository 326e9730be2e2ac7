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

/// Each new snapshot may bring other trunks, each word of the office others to register at.
pub(super) fn follow(me: &ActorRef<Msg>, services: &Arc<Services>) {
    let (to, mut changes) = (me.clone(), services.snapshots.changes());
    // What came since the trunks were made counts as well.
    changes.mark_changed();
    tokio::spawn(async move {
        while changes.changed().await.is_ok() && to.cast(Msg::Trunks).is_ok() {}
    });
    let (to, mut leases) = (me.clone(), services.trunk_book.leases());
    leases.mark_changed();
    tokio::spawn(
        async move { while leases.changed().await.is_ok() && to.cast(Msg::Trunks).is_ok() {} },
    );
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
    change_leases(me, state).await;
    let watched: HashSet<String> = state.trunks.values().map(|w| w.line.name.clone()).collect();
    wanted.retain(|(_, trunk)| !watched.contains(&trunk.name));
    for (line, trunk) in wanted {
        let gateway = enrol(me, state, &line, &trunk).await;
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

/// Registers at the trunks that have become ours, and leaves those that are another switch's now.
async fn change_leases(me: &ActorRef<Msg>, state: &mut State) {
    let book = state.services.trunk_book.clone();
    let mut won = Vec::new();
    for (id, watched) in &mut state.trunks {
        let ours = book.registers(&watched.line);
        if ours && watched.gateway.is_none() {
            won.push((*id, watched.line.clone()));
        } else if let Some(gateway) = watched.gateway.take_if(|_| !ours) {
            let _ = gateway.cast(gateway::Msg::Retire);
            let profile = watched.line.profile.as_str().into();
            state.services.forget_gateway(&profile, &watched.line.name);
        }
    }
    for (id, trunk) in won {
        let Some(line) = state.services.lines.get(&trunk.profile) else {
            continue;
        };
        let gateway = enrol(me, state, &line, &trunk).await;
        if let Some(watched) = state.trunks.get_mut(&id) {
            watched.gateway = gateway;
        }
    }
}

/// Registers at a trunk where that is ours to do.
async fn enrol(
    me: &ActorRef<Msg>,
    state: &State,
    line: &Line,
    trunk: &Arc<TrunkLine>,
) -> Option<ActorRef<gateway::Msg>> {
    if !state.services.trunk_book.registers(trunk) {
        return None;
    }
    let args = gateway::Args {
        trunk: trunk.clone(),
        line: line.clone(),
        services: state.services.clone(),
    };
    // What the office let pass and no request can be made of costs this trunk its registration and nobody anything.
    let spawned = Actor::spawn_linked(None, GatewayActor, args, me.get_cell()).await;
    let spawned = spawned.inspect_err(|error| {
        tracing::error!(trunk = trunk.name, %error, "it cannot be registered at");
    });
    spawned.ok().map(|(actor, _)| actor)
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
        let gateway = enrol(me, state, &line, &trunk).await;
        if let Some(watched) = state.trunks.get_mut(&id) {
            watched.gateway = gateway;
        }
    }
    Ok(true)
}
