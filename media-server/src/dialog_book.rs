//! Which dialogs live, who runs them, and the last seed of each.
//!
//! Lives beside the actors, so that a Listener or a Dialog that died can be rebuilt from it. It is
//! on the signalling path only; the media threads never see it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::CallId;
use ractor::{ActorId, ActorRef};
use sip_core::{
    dialog::{DialogId, DialogSeed, Role, Stage},
    value::Replaces,
};

use crate::{dialog, gateway, trunk};

/// See the module.
#[derive(Default)]
pub struct DialogBook {
    live: Mutex<Live>,
    askers: Mutex<HashMap<DialogId, ActorRef<trunk::Msg>>>,
    gateways: Mutex<HashMap<DialogId, ActorRef<gateway::Msg>>>,
}

/// The live dialogs, found by their ids or by their calls.
#[derive(Default)]
struct Live {
    entries: HashMap<DialogId, Entry>,
    by_call: HashMap<CallId, Vec<DialogId>>,
}

impl Live {
    fn enter(&mut self, id: DialogId, mut entry: Entry) {
        let before = self.remove(&id);
        entry.seed = before.and_then(|before| before.seed);
        let of_call = self.by_call.entry(entry.call).or_default();
        of_call.push(id.clone());
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: &DialogId) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        if let Some(of_call) = self.by_call.get_mut(&entry.call) {
            of_call.retain(|known| known != id);
            if of_call.is_empty() {
                self.by_call.remove(&entry.call);
            }
        }
        Some(entry)
    }

    fn of_call(&self, call: CallId) -> impl Iterator<Item = (&DialogId, &Entry)> {
        let ids = self.by_call.get(&call).into_iter().flatten();
        ids.filter_map(|id| Some((id, self.entries.get(id)?)))
    }
}

struct Entry {
    profile: Arc<str>,
    call: CallId,
    leg: u8,
    actor: ActorRef<dialog::Msg>,
    seed: Option<DialogSeed>,
}

/// A dialog that somebody is to take over.
#[derive(Debug, Clone)]
pub struct Meant {
    /// Whose call it is of.
    pub call: CallId,
    /// The profile it runs over.
    pub profile: Arc<str>,
    /// Its actor.
    pub dialog: ActorId,
    /// How far it has come.
    pub stage: Stage,
    /// Our side of it.
    pub role: Role,
}

impl DialogBook {
    /// A dialog is run by `actor` from now on; its last seed stays.
    pub fn enter(
        &self,
        id: DialogId,
        profile: Arc<str>,
        (call, leg): (CallId, u8),
        actor: ActorRef<dialog::Msg>,
    ) {
        let entry = Entry {
            profile,
            call,
            leg,
            actor,
            seed: None,
        };
        self.lock().enter(id, entry);
    }

    /// Keeps the newest seed. True when it differs from the one before.
    pub fn publish(&self, id: &DialogId, seed: &DialogSeed) -> bool {
        let mut live = self.lock();
        let Some(entry) = live.entries.get_mut(id) else {
            return false;
        };
        let news = entry.seed.as_ref() != Some(seed);
        if news {
            entry.seed = Some(seed.clone());
        }
        news
    }

    /// Who runs the dialog.
    pub fn actor(&self, id: &DialogId) -> Option<ActorRef<dialog::Msg>> {
        self.lock().entries.get(id).map(|entry| entry.actor.clone())
    }

    /// The last seed of one dialog.
    pub fn seed(&self, id: &DialogId) -> Option<DialogSeed> {
        self.lock()
            .entries
            .get(id)
            .and_then(|entry| entry.seed.clone())
    }

    /// The dialog that a Replaces header means (RFC 3891 §3).
    pub fn meant_by(&self, replaces: &Replaces) -> Option<Meant> {
        let entries = self.lock();
        let entry = entries.entries.get(&replaces.dialog_id())?;
        let seed = entry.seed.as_ref()?;
        // Of one that rings at the far side no tag is settled; ours alone is as good as a name.
        let rings = seed.stage == Stage::Early && seed.role == Role::Uac;
        (rings || seed.is_meant_by(replaces)).then(|| Meant {
            call: entry.call,
            profile: entry.profile.clone(),
            dialog: entry.actor.get_id(),
            stage: seed.stage,
            role: seed.role,
        })
    }

    /// The seeds of every dialog of a profile, to rebuild its endpoint from.
    pub fn seeds_of(&self, profile: &str) -> Vec<DialogSeed> {
        let live = self.lock();
        let mine = live
            .entries
            .values()
            .filter(|entry| &*entry.profile == profile);
        mine.filter_map(|entry| entry.seed.clone()).collect()
    }

    /// Whether a dialog of this profile is alive.
    pub fn has(&self, profile: &str) -> bool {
        self.lock()
            .entries
            .values()
            .any(|entry| &*entry.profile == profile)
    }

    /// Whether a dialog of this profile uses this socket of ours.
    pub fn uses(&self, profile: &str, local: SocketAddr) -> bool {
        let live = self.lock();
        let mut mine = live
            .entries
            .values()
            .filter(|entry| &*entry.profile == profile);
        mine.any(|entry| {
            entry
                .seed
                .as_ref()
                .is_some_and(|seed| seed.flow.local == local)
        })
    }

    /// The dialogs of a call by leg, with their seeds: what the wire is owed when a Call died.
    pub fn of_call(&self, call: CallId) -> Vec<(u8, DialogSeed)> {
        let live = self.lock();
        let mine = live.of_call(call);
        mine.filter_map(|(_, entry)| Some((entry.leg, entry.seed.clone()?)))
            .collect()
    }

    /// The dialog of this call that `actor` runs.
    pub fn id_of(&self, call: CallId, actor: &ActorRef<dialog::Msg>) -> Option<DialogId> {
        let live = self.lock();
        let mut mine = live.of_call(call);
        let mine = mine.find(|(_, entry)| entry.actor.get_id() == actor.get_id());
        mine.map(|(id, _)| id.clone())
    }

    /// The dialogs whose far side is at the end of this connection.
    pub fn on_connection(&self, connection: u64) -> Vec<ActorRef<dialog::Msg>> {
        let live = self.lock();
        let there = live.entries.values().filter(|entry| {
            let seed = entry.seed.as_ref();
            seed.is_some_and(|seed| seed.flow.connection == connection)
        });
        there.map(|entry| entry.actor.clone()).collect()
    }

    /// A trunk asks something outside a dialog: its answer finds it here.
    pub fn ask(&self, id: DialogId, trunk: ActorRef<trunk::Msg>) {
        self.askers().insert(id, trunk);
    }

    /// Who asked.
    pub fn asker(&self, id: &DialogId) -> Option<ActorRef<trunk::Msg>> {
        self.askers().get(id).cloned()
    }

    /// The question is settled.
    pub fn answered(&self, id: &DialogId) {
        self.askers().remove(id);
        self.gateways().remove(id);
    }

    /// A gateway registers under these names: its answers find it here.
    pub fn register(&self, id: DialogId, gateway: ActorRef<gateway::Msg>) {
        self.gateways().insert(id, gateway);
    }

    /// Which gateway registers under these names.
    pub fn gateway(&self, id: &DialogId) -> Option<ActorRef<gateway::Msg>> {
        self.gateways().get(id).cloned()
    }

    /// The names under which gateways register over whatever profile: a new listener adopts them.
    pub fn gateway_ids(&self) -> Vec<DialogId> {
        self.gateways().keys().cloned().collect()
    }

    fn gateways(&self) -> MutexGuard<'_, HashMap<DialogId, ActorRef<gateway::Msg>>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn askers(&self) -> MutexGuard<'_, HashMap<DialogId, ActorRef<trunk::Msg>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dialog is over.
    pub fn remove(&self, id: &DialogId) {
        self.lock().remove(id);
    }

    /// Dialogs alive now.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
