//! The Listener actor: one per profile; owns the SIP endpoint.
//!
//! Supervised by the Node, which restarts it on the same sockets; the endpoint is then rebuilt
//! from the seeds of the live dialogs. Supervises nobody. Dies of a panic in the endpoint.

mod door;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use call_core::trunk::Unchosen;
use door::Door;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use settings::Auth;
use sip_core::{
    dialog::{DialogId, FinishedTransaction, Refusal},
    endpoint::{Admission, Endpoint, EndpointCounters, EndpointEffect, EndpointInput, NewInvite},
    flow::Flow,
    identity,
    tokens::TokenSource,
};
use tokio::task::JoinHandle;

use crate::{
    calls,
    clock::Clock,
    dialog,
    dialog_book::DialogBook,
    gate::Why,
    gateway,
    profile::Profile,
    registrar::Registrar,
    trunk,
    trunk_book::{Arrived, TrunkBook},
    wire::Wire,
};

/// An operator has to set it right; soon asking again is in vain.
const AMBIGUOUS_RETRY_S: u32 = 60;
/// Seconds after which a caller at an address that we leave may try elsewhere.
const MOVED_RETRY_S: u32 = 5;

/// What a Listener is told.
pub enum Msg {
    /// A datagram, or one framed stream message.
    Received {
        /// Where it came from.
        flow: Flow,
        /// The message, unparsed.
        bytes: Bytes,
    },
    /// A stream was closed.
    ConnectionLost {
        /// Which.
        connection: u64,
    },
    /// A dialog of our own making: route its traffic.
    Adopt(DialogId),
    /// A dialog is gone; these transactions still want their answers repeated.
    Forget {
        /// Which.
        dialog_id: DialogId,
        /// Its finished transactions.
        finished: Vec<FinishedTransaction>,
    },
    /// Refuse an INVITE without a call.
    Refuse(Box<NewInvite>, Refusal),
    /// Whether new calls are taken.
    Admission(Admission),
    /// The profile was written anew.
    Profile(Arc<Profile>),
    /// The armed timer fired.
    Wake,
    /// How much was seen.
    Counters(ractor::RpcReplyPort<EndpointCounters>),
    /// Test seam: break inside the endpoint's actor.
    Panic,
}

/// A name for "the listener of this profile, whichever actor that is now".
#[derive(Clone, Default)]
pub struct Cell(Arc<ArcSwapOption<ActorRef<Msg>>>);

impl Cell {
    /// This actor is it from now on.
    pub fn set(&self, listener: ActorRef<Msg>) {
        self.0.store(Some(Arc::new(listener)));
    }

    /// Tells the listener; between two of them the message is lost, and the successor learns from
    /// the seeds what it needs.
    pub fn cast(&self, msg: Msg) {
        if let Some(listener) = self.0.load().as_ref() {
            let _ = listener.cast(msg);
        }
    }
}

/// What a Listener needs.
#[derive(Clone)]
pub struct Args {
    /// The profile it serves.
    pub profile: Arc<Profile>,
    /// Its sockets.
    pub wire: Arc<Wire>,
    /// Its name for others.
    pub cell: Cell,
    /// Live dialogs and their seeds.
    pub book: Arc<DialogBook>,
    /// Trunks to choose from.
    pub trunks: Arc<TrunkBook>,
    /// Who takes new calls.
    pub calls: ActorRef<calls::Msg>,
    /// Where tags come from.
    pub tokens: TokenSource,
    /// Extensions and their phones.
    pub registrar: Arc<Registrar>,
    /// The clock.
    pub clock: Clock,
    /// Whether it takes calls from its first moment.
    pub admission: Admission,
}

/// The endpoint and its surroundings.
pub struct State {
    endpoint: Endpoint,
    door: Door,
    args: Args,
    armed: Option<(Duration, JoinHandle<()>)>,
}

/// The actor.
pub struct Listener;

impl Actor for Listener {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(
        &self,
        me: ActorRef<Msg>,
        mut args: Args,
    ) -> Result<State, ActorProcessingErr> {
        let mut endpoint = Endpoint::new(args.profile.endpoint_config(), args.tokens.fork());
        for seed in args.book.seeds_of(&args.profile.name) {
            let seed = EndpointInput::AdoptSeed(Box::new(seed));
            endpoint.handle(args.clock.now(), seed);
        }
        for id in args.book.gateway_ids() {
            endpoint.handle(args.clock.now(), EndpointInput::Adopt(id));
        }
        let admission = EndpointInput::Admission(args.admission);
        endpoint.handle(args.clock.now(), admission);
        args.cell.set(me.clone());
        args.wire.attach(me.clone());
        let mut state = State {
            endpoint,
            door: Door::of(&args),
            args,
            armed: None,
        };
        settle(&me, &mut state);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.args.clock.now();
        match input_of(state, msg) {
            Some(input) => state.endpoint.handle(now, input),
            None => state.endpoint.handle_timeout(now),
        }
        settle(&me, state);
        Ok(())
    }
}

fn input_of(state: &mut State, msg: Msg) -> Option<EndpointInput> {
    Some(match msg {
        Msg::Received { flow, bytes } => {
            state.args.wire.taken();
            EndpointInput::Received { flow, bytes }
        }
        Msg::ConnectionLost { connection } => {
            state.args.wire.taken();
            for dialog in state.args.book.on_connection(connection) {
                let _ = dialog.cast(dialog::Msg::ConnectionLost { connection });
            }
            tracing::debug!(connection, "stream closed");
            let profile = &state.args.profile.name;
            state.args.registrar.connection_lost(profile, connection);
            return None;
        }
        Msg::Adopt(id) => EndpointInput::Adopt(id),
        Msg::Forget {
            dialog_id,
            finished,
        } => EndpointInput::Forget {
            dialog_id,
            finished,
        },
        Msg::Refuse(invite, refusal) => EndpointInput::Refuse { invite, refusal },
        Msg::Admission(admission) => EndpointInput::Admission(admission),
        Msg::Profile(profile) => {
            let config = Box::new(profile.endpoint_config());
            state.args.profile = profile;
            EndpointInput::Configure(config)
        }
        Msg::Counters(reply) => {
            let _ = reply.send(state.endpoint.counters().clone());
            return None;
        }
        Msg::Wake => {
            // Its task may not count as finished yet, and would pass for a wake-up still to come.
            disarm(state);
            return None;
        }
        Msg::Panic => panic!("injected into the listener"),
    })
}

fn settle(me: &ActorRef<Msg>, state: &mut State) {
    while let Some(effect) = state.endpoint.poll_effect() {
        match effect {
            EndpointEffect::Transmit { flow, bytes } => {
                let _ = state.args.wire.send(&flow, bytes);
            }
            EndpointEffect::NewInvite(invite) => take_invite(state, invite),
            EndpointEffect::Deliver {
                dialog_id,
                flow,
                message,
            } => {
                if let Some(dialog) = state.args.book.actor(&dialog_id) {
                    let _ = dialog.cast(dialog::Msg::Deliver { flow, message });
                } else if let Some(trunk) = state.args.book.asker(&dialog_id) {
                    let _ = trunk.cast(trunk::Msg::Answered(message));
                } else if let Some(gateway) = state.args.book.gateway(&dialog_id) {
                    let _ = gateway.cast(gateway::Msg::Answered(message));
                }
            }
            EndpointEffect::Alias { flow, port } => state.args.wire.alias(&flow, port),
            EndpointEffect::Close { flow, .. } => state.args.wire.close_stream(flow.connection),
            EndpointEffect::Register(register) => door::register(state, register),
            EndpointEffect::Dropped { .. } => {}
        }
    }
    arm(me, state);
}

/// The trunk comes first: a stranger gets 403, a number that is not the trunk's 404, and nothing
/// rings (bA05).
fn take_invite(state: &mut State, invite: Box<NewInvite>) {
    if state.args.wire.is_surplus(invite.flow.local) {
        let mut refusal = Refusal::new(503);
        refusal.retry_after_s = Some(MOVED_RETRY_S);
        return refuse(state, invite, refusal);
    }
    if identity::has_secret(invite.request.uri()) {
        return refuse(state, invite, secret_in_uri());
    }
    let directory = state.args.trunks.current();
    let mut identity = None;
    let arrived = match directory.arrive(&state.args.profile, &invite) {
        Ok(arrived) => arrived,
        // No trunk's: an extension's, if it knows its password.
        Err(Unchosen::Unknown) if state.args.profile.settings.auth == Auth::Digest => {
            match door::caller(state, &invite) {
                Ok(known) => {
                    let arrived = Arrived::by(&known, &invite);
                    identity = Some(known);
                    arrived
                }
                Err(refusal) => {
                    let now = state.args.clock.now();
                    let challenge = EndpointInput::TurnAway { invite, refusal };
                    return state.endpoint.handle(now, challenge);
                }
            }
        }
        Err(why) => {
            let source = invite.flow.remote;
            let profile = &state.args.profile.name;
            tracing::warn!(%profile, %source, status = why.sip_status(), "INVITE refused: {why}");
            if why == Unchosen::Unknown {
                return turn_away(state, invite);
            }
            return refuse(state, invite, unchosen(&why));
        }
    };
    let _ = state
        .args
        .calls
        .cast(calls::Msg::Invite(Box::new(calls::Invite {
            profile: state.args.profile.clone(),
            wire: state.args.wire.clone(),
            listener: state.args.cell.clone(),
            invite: *invite,
            arrived,
            identity,
            received: state.args.clock.now(),
        })));
}

/// A stranger: 403 without a trace in the endpoint, and a mark against the source.
fn turn_away(state: &mut State, invite: Box<NewInvite>) {
    let (source, now) = (invite.flow.remote.ip(), state.args.clock.now());
    let refusal = Refusal::new(403);
    let away = EndpointInput::TurnAway { invite, refusal };
    state.endpoint.handle(now, away);
    state.args.wire.offended(source, Why::Acl);
}

fn refuse(state: &mut State, invite: Box<NewInvite>, refusal: Refusal) {
    let now = state.args.clock.now();
    let input = EndpointInput::Refuse { invite, refusal };
    state.endpoint.handle(now, input);
}

/// A key in a URI is in the logs of everybody on its way (bC04).
fn secret_in_uri() -> Refusal {
    let mut refusal = Refusal::new(403);
    refusal.phrase = Some("A Key In The URI Is Not Accepted, Use Digest".into());
    refusal
}

fn unchosen(why: &Unchosen) -> Refusal {
    match why {
        Unchosen::Ambiguous { .. } => {
            let mut refusal = Refusal::overload(AMBIGUOUS_RETRY_S);
            refusal.phrase = Some("ambiguous_trunk".into());
            refusal
        }
        Unchosen::Unknown | Unchosen::ForeignNumber => Refusal::new(why.sip_status()),
    }
}

fn arm(me: &ActorRef<Msg>, state: &mut State) {
    let wanted = state.endpoint.poll_timeout();
    let current = state.armed.as_ref().filter(|(_, task)| !task.is_finished());
    // An earlier wake-up than needed is harmless and saves re-arming at every message.
    if let (Some(at), Some((armed, _))) = (wanted, current)
        && *armed <= at
    {
        return;
    }
    disarm(state);
    if let Some(at) = wanted {
        let (me, instant) = (me.clone(), state.args.clock.instant(at));
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            let _ = me.cast(Msg::Wake);
        });
        state.armed = Some((at, task));
    }
}

fn disarm(state: &mut State) {
    if let Some((_, task)) = state.armed.take() {
        task.abort();
    }
}
