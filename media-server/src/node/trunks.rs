//! One Trunk actor for each trunk that has an address, as files and office have them now.

use std::{collections::HashSet, sync::Arc};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Msg, State};
use crate::{
    services::Services,
    trunk::{self, Trunk},
    trunk_book::TrunkLine,
};

/// A trunk's actor, and what it was started with.
pub(super) struct Watched {
    actor: ActorRef<trunk::Msg>,
    line: Arc<TrunkLine>,
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
            let profile = watched.line.profile.as_str().into();
            state.services.forget_trunk(&profile, &watched.line.name);
        }
        kept
    });
    let watched: HashSet<String> = state.trunks.values().map(|w| w.line.name.clone()).collect();
    wanted.retain(|(_, trunk)| !watched.contains(&trunk.name));
    for (line, trunk) in wanted {
        let args = trunk::Args {
            trunk: trunk.settings.clone(),
            line,
            services: state.services.clone(),
        };
        let spawned = Actor::spawn_linked(None, Trunk, args, me.get_cell()).await;
        let (actor, _) = spawned?;
        let id = actor.get_id();
        state.trunks.insert(id, Watched { actor, line: trunk });
    }
    Ok(())
}
