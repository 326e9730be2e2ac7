//! The Node actor: the root. It holds what outlives everybody else (sockets above all), starts
//! the tree, brings failed profiles up again, and drains.
//!
//! ```text
//! Node
//! ├── Calls ── Call ×n ── Dialog, Leg, Agent
//! ├── Listener ×profile
//! └── Trunk ×gateway
//! ```
//!
//! Supervises Calls and the Listeners and restarts both: a Listener on the same sockets, Calls with
//! nothing (its calls died with it and are ended from their seeds). Dies only with the process.

mod boot;
mod orders;
mod recovery;
mod reload;
mod seed;
mod trunks;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent,
};
use settings::ExternalIp;
use sip_core::endpoint::Admission;
use tokio::task::JoinHandle;

use crate::{
    calls::{self, Calls},
    gate::{self, Gate},
    gateway,
    listener::{self, Listener},
    profile::Profile,
    services::{Line, Services},
    stun, trunk,
    wire::{self, Wire},
};

pub use boot::{BootError, NodeHandle, Options, start};
pub use reload::Reloaded;

/// A profile that could not come up is tried again so often.
const RETRY: Duration = Duration::from_secs(5);
/// Seconds after which a caller of a node that is drained may try again.
const DRAIN_RETRY_S: u32 = 10;
/// A listener that breaks more often than this in a minute is left down, with its reason.
const LISTENER_RESTARTS: usize = 10;

/// What a Node is told.
pub enum Msg {
    /// Bring a profile up (again).
    Raise(Arc<str>),
    /// How everything is.
    Status(RpcReplyPort<Vec<ProfileStatus>>),
    /// The office orders a call.
    Place(Box<crate::call::Order>),
    /// Take no new calls.
    Drain,
    /// Files or office have other trunks.
    Trunks,
    /// Take new calls again.
    Undrain,
    /// Read the configuration anew, all or nothing.
    Reload(RpcReplyPort<Result<Reloaded, String>>),
    /// Close a profile's sockets and open them anew; its calls stay.
    Restart(Arc<str>, RpcReplyPort<Result<(), String>>),
    /// Try again to open what a reload wanted open.
    Relisten(Arc<str>),
    /// Look whether sockets that wait for their last dialog can go.
    Sweep,
    /// Test seam: break a profile's listener.
    BreakListener(Arc<str>),
    /// Close every socket: the process is about to go.
    Close,
}

/// A profile and how it is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ProfileStatus {
    /// Its name.
    pub name: String,
    /// `up` or `failed`.
    pub state: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
    /// Where it listens.
    pub listen: Vec<String>,
    /// Live calls on it.
    pub calls: usize,
    /// The address others see, where there is one.
    pub external_ip: Option<String>,
    /// Packets that were not parsed.
    pub blocked: gate::Dropped,
    /// Its trunks that are asked whether they are there.
    pub trunks: Vec<TrunkStatus>,
}

/// A trunk and how it is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TrunkStatus {
    /// Its name.
    pub name: String,
    /// State and reason.
    #[serde(flatten)]
    pub health: trunk::Health,
    /// How our registration there stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<gateway::Standing>,
}

/// What a Node needs.
pub struct Args {
    /// Everything shared.
    pub services: Arc<Services>,
    /// Conversations lost with the node's earlier life.
    pub lost: Vec<crate::journal::LostCall>,
}

/// The tree.
pub struct State {
    services: Arc<Services>,
    calls: ActorRef<calls::Msg>,
    profiles: HashMap<Arc<str>, Held>,
    listeners: HashMap<ActorId, Arc<str>>,
    trunks: HashMap<ActorId, trunks::Watched>,
    lost: Vec<crate::journal::LostCall>,
}

struct Held {
    profile: Arc<Profile>,
    cell: listener::Cell,
    wire: Option<Arc<Wire>>,
    listener: Option<ActorRef<listener::Msg>>,
    failure: Option<String>,
    gate: Arc<Gate>,
    /// What is wrong though it serves.
    trouble: Option<String>,
    /// It is gone from the files and leaves with its last dialog.
    leaving: bool,
    /// Asks the STUN server.
    asking: Option<JoinHandle<()>>,
    restarts: Vec<Duration>,
}

/// The actor.
pub struct Node;

impl Actor for Node {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let services = args.services;
        let calls = spawn_calls(&me, &services).await?;
        let settings = services.settings.current();
        let profiles = settings.profiles.iter().cloned().map(Profile::new);
        let held = profiles.map(|profile| (profile.name.clone(), Held::of(profile)));
        let mut state = State {
            profiles: held.collect(),
            calls,
            services,
            listeners: HashMap::new(),
            trunks: HashMap::new(),
            lost: args.lost,
        };
        let names: Vec<_> = state.profiles.keys().cloned().collect();
        for name in names {
            raise(&me, &mut state, &name).await;
        }
        recovery::say_goodbyes(&mut state);
        trunks::follow(&me, &state.services);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Raise(name) => raise(&me, state, &name).await,
            Msg::Status(reply) => drop(reply.send(status(state))),
            Msg::Drain => drain(state, true),
            Msg::Undrain => drain(state, false),
            Msg::Reload(reply) => drop(reply.send(reload::reload(&me, state).await)),
            Msg::Restart(name, reply) => {
                drop(reply.send(reload::restart(&me, state, &name).await));
            }
            Msg::Relisten(name) => reload::relisten_again(&me, state, &name).await,
            Msg::Sweep => reload::sweep(&me, state),
            Msg::Place(order) => drop(state.calls.cast(calls::Msg::Place(order))),
            Msg::Trunks => {
                state.services.refresh_trunks();
                trunks::watch_all(&me, state).await?;
            }
            Msg::BreakListener(name) => {
                if let Some(listener) = state.profiles.get(&name).and_then(|h| h.listener.as_ref())
                {
                    let _ = listener.cast(listener::Msg::Panic);
                }
            }
            Msg::Close => close(state),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                revive(&me, state, &cell, &error.to_string()).await?;
            }
            SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Held {
    fn of(profile: Arc<Profile>) -> Self {
        Self {
            gate: Arc::new(Gate::new(profile.settings.clone())),
            profile,
            cell: listener::Cell::default(),
            wire: None,
            listener: None,
            failure: None,
            trouble: None,
            leaving: false,
            asking: None,
            restarts: Vec::new(),
        }
    }

    /// Asks the STUN server for our address, if the profile names one.
    fn ask_outside(&mut self) {
        let settings = &self.profile.settings;
        if let (None, Some(ExternalIp::Stun(server))) = (&self.asking, &settings.external_ip) {
            let asking = stun::keep_asking(self.profile.clone(), server.clone());
            self.asking = Some(tokio::spawn(asking));
        }
    }

    fn stop_asking(&mut self) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
    }

    /// Everything of it goes.
    fn close(&mut self) {
        self.stop_asking();
        if let Some(listener) = self.listener.take() {
            listener.stop(None);
        }
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
    }
}

async fn spawn_calls(
    me: &ActorRef<Msg>,
    services: &Arc<Services>,
) -> Result<ActorRef<calls::Msg>, ActorProcessingErr> {
    let args = calls::Args {
        services: services.clone(),
    };
    let (calls, _) = Actor::spawn_linked(None, Calls, args, me.get_cell()).await?;
    Ok(calls)
}

/// Opens a profile's sockets and starts its listener. Trouble puts that profile into
/// `failed(reason)`, to be tried again, and harms nobody else.
async fn raise(me: &ActorRef<Msg>, state: &mut State, name: &Arc<str>) {
    let known = state.profiles.get_mut(name).filter(|held| !held.leaving);
    let Some(held) = known else {
        return;
    };
    let listen_at = held.profile.listen();
    let opened = match &held.wire {
        Some(wire) => wire.relisten(&listen_at).await.map_err(|e| e.to_string()),
        None => {
            let opened = open(held, &state.services).await;
            opened.map(|wire| held.wire = Some(wire))
        }
    };
    if let Err(why) = opened {
        return fail(me, state, name, &why);
    }
    if let Err(error) = listen(me, state, name).await {
        fail(me, state, name, &error.to_string());
    }
}

async fn open(held: &Held, services: &Arc<Services>) -> Result<Arc<Wire>, String> {
    let profile = &held.profile;
    let options = wire::Options {
        tls: wire::Tls::load(&profile.settings.tls).map_err(|fault| fault.to_string())?,
        limits: profile.settings.streams.clone(),
        next_hop: services.next_hop.clone(),
        gate: held.gate.clone(),
        tap: services.tap.clone(),
        clock: services.clock,
    };
    let opened = Wire::open(&profile.listen(), options).await;
    opened.map_err(|error| error.to_string())
}

async fn listen(
    me: &ActorRef<Msg>,
    state: &mut State,
    name: &Arc<str>,
) -> Result<(), ActorProcessingErr> {
    let Some(held) = state.profiles.get_mut(name) else {
        return Ok(());
    };
    let Some(wire) = held.wire.clone() else {
        return Ok(());
    };
    let args = listener::Args {
        profile: held.profile.clone(),
        wire: wire.clone(),
        cell: held.cell.clone(),
        book: state.services.book.clone(),
        trunks: state.services.trunk_book.clone(),
        calls: state.calls.clone(),
        registrar: state.services.registrar.clone(),
        tokens: state.services.fork_tokens(),
        clock: state.services.clock,
        admission: admission(&state.services),
    };
    let (listener, _) = Actor::spawn_linked(None, Listener, args, me.get_cell()).await?;
    state.listeners.insert(listener.get_id(), name.clone());
    held.listener = Some(listener);
    held.failure = None;
    held.ask_outside();
    let line = Line {
        profile: held.profile.clone(),
        wire,
        listener: held.cell.clone(),
    };
    state.services.open_gate(&line);
    state.services.lines.enter(line);
    tracing::info!(profile = %name, "profile up");
    trunks::watch_all(me, state).await
}

fn fail(me: &ActorRef<Msg>, state: &mut State, name: &Arc<str>, reason: &str) {
    tracing::error!(profile = %name, reason, "profile failed; trying again");
    state.services.lines.remove(name);
    if let Some(held) = state.profiles.get_mut(name) {
        held.failure = Some(reason.to_owned());
    }
    let again = name.clone();
    me.send_after(RETRY, move || Msg::Raise(again));
}

/// A child broke.
async fn revive(
    me: &ActorRef<Msg>,
    state: &mut State,
    cell: &ActorCell,
    error: &str,
) -> Result<(), ActorProcessingErr> {
    if cell.get_id() == state.calls.get_id() {
        tracing::error!(error, "the calls supervisor broke");
        state.calls = spawn_calls(me, &state.services).await?;
        recovery::end_orphans(state);
        let names: Vec<_> = state.profiles.keys().cloned().collect();
        for name in names {
            listen(me, state, &name).await?;
        }
        return Ok(());
    }
    if let Some(name) = state.listeners.remove(&cell.get_id()) {
        revive_listener(me, state, &name, error).await;
    }
    if trunks::gateway_broke(me, state, cell.get_id(), error).await? {
        return Ok(());
    }
    if state.trunks.remove(&cell.get_id()).is_some() {
        tracing::error!(error, "a trunk's actor broke");
        trunks::watch_all(me, state).await?;
    }
    Ok(())
}

async fn revive_listener(me: &ActorRef<Msg>, state: &mut State, name: &Arc<str>, error: &str) {
    tracing::error!(profile = %name, error, "a listener broke");
    let restarts = &state.services.metrics.restarts;
    restarts.with_label_values(&["listener"]).inc();
    let now = state.services.clock.now();
    let Some(held) = state.profiles.get_mut(name) else {
        return;
    };
    held.listener = None;
    held.restarts
        .retain(|at| now.saturating_sub(*at) < Duration::from_secs(60));
    held.restarts.push(now);
    if held.restarts.len() > LISTENER_RESTARTS {
        return fail(me, state, name, "its listener breaks again and again");
    }
    if let Err(error) = listen(me, state, name).await {
        fail(me, state, name, &error.to_string());
    }
}

fn status(state: &State) -> Vec<ProfileStatus> {
    let mut all: Vec<_> = state
        .profiles
        .values()
        .map(|held| one(state, held))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The external address, or from whom it is to come.
fn outside(profile: &Profile) -> Option<String> {
    let asked = profile.settings.external_ip.as_ref()?;
    let known = profile.external_ip();
    Some(known.map_or_else(|| format!("{asked}: not known yet"), |ip| ip.to_string()))
}

fn one(state: &State, held: &Held) -> ProfileStatus {
    let listen = held.profile.settings.listen.iter();
    let trunks = state.services.trunks_of(&held.profile.name).into_iter();
    ProfileStatus {
        name: held.profile.name.to_string(),
        state: match held.listener.is_some() && held.failure.is_none() {
            true if held.leaving => "leaving",
            true => "up",
            false => "failed",
        },
        reason: held.failure.as_ref().or(held.trouble.as_ref()).cloned(),
        listen: listen.map(ToString::to_string).collect(),
        calls: state.services.calls.on_profile(&held.profile.name),
        external_ip: outside(&held.profile),
        blocked: held.gate.dropped(),
        trunks: trunks
            .map(|(name, health)| TrunkStatus {
                registration: registration(state, held, &name),
                name,
                health,
            })
            .collect(),
    }
}

/// What a listener answers new calls with now.
fn admission(services: &Services) -> Admission {
    match services.draining.load(Ordering::Relaxed) {
        true => Admission::Closed {
            retry_after_s: DRAIN_RETRY_S,
        },
        false => Admission::Open,
    }
}

fn registration(state: &State, held: &Held, trunk: &str) -> Option<gateway::Standing> {
    let gateways = state.services.gateways();
    let mine = gateways.get(&(held.profile.name.clone(), trunk.to_owned()));
    mine.map(|gateway| gateway.standing.clone())
}

/// New INVITEs get 503; dialogs go on; carriers are told not to send any. Or all is open again.
fn drain(state: &State, closed: bool) {
    let draining = &state.services.draining;
    draining.store(closed, Ordering::Relaxed);
    for held in state.profiles.values().filter(|held| !held.leaving) {
        let closed = admission(&state.services);
        held.cell.cast(listener::Msg::Admission(closed));
    }
    let gateways = state.services.gateways();
    for gateway in gateways.values() {
        let _ = gateway.actor.cast(match closed {
            true => gateway::Msg::Leave,
            false => gateway::Msg::Enter,
        });
    }
}

fn close(state: &mut State) {
    for held in state.profiles.values_mut() {
        held.close();
    }
}
