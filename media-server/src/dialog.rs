//! The Dialog actor: one SIP dialog.
//!
//! Supervised by its Call (a dialog that only says goodbye after a crash: by Calls). Supervises
//! nobody. Dies of a panic in the dialog machine; the Call then builds a successor from the last
//! [`DialogSeed`], which this actor publishes after every transition.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::{
        Dialog, DialogConfig, DialogEffect, DialogEvent, DialogId, DialogInput, DialogSeed,
        OutboundCall,
    },
    endpoint::NewInvite,
    flow::Flow,
    locate::Wanted,
    message::{Framing, Message, parse},
    tokens::TokenSource,
};
use tokio::task::JoinHandle;

use crate::{
    clock::Clock,
    dialog_book::DialogBook,
    dossier::Dossier,
    listener,
    next_hop::{Hop, Hops},
    tap::{Way, ladder},
    wire::{Wire, WireError},
};

/// What a Dialog is told.
pub enum Msg {
    /// The call wants something of the dialog.
    Input(Box<DialogInput>),
    /// The endpoint matched a message to this dialog.
    Deliver {
        /// Where it came from.
        flow: Flow,
        /// The message.
        message: Box<Message>,
    },
    /// The connection is gone: what waits for an answer on it waits in vain.
    ConnectionLost {
        /// Which.
        connection: u64,
    },
    /// The next place for our INVITE, and those behind it.
    Next(Box<(Hops, Option<Hop>)>),
    /// The armed timer fired.
    Wake,
    /// A stream was opened again (or could not be) for messages that found theirs closed.
    Reopened {
        /// The flow that was gone.
        old: Flow,
        /// The new one.
        new: Result<Flow, WireError>,
        /// What waits to be sent.
        bytes: bytes::Bytes,
    },
    /// Test seam: break inside the machine's actor.
    Panic,
}

/// How a dialog begins.
#[derive(Clone)]
pub enum Origin {
    /// Somebody invites us.
    Invited(Box<NewInvite>),
    /// We invite somebody.
    Inviting(Box<OutboundCall>),
    /// A dialog whose actor (or process) died.
    Resumed(Box<DialogSeed>),
}

/// Receives the dialog's events, in order.
pub type Events = Arc<dyn Fn(DialogEvent) + Send + Sync>;

/// Told of each message that could not be put on the wire at all.
pub type Undelivered = Arc<dyn Fn() + Send + Sync>;

/// What a Dialog needs; clonable, so that a restart is a second spawn.
#[derive(Clone)]
pub struct Args {
    /// How it begins.
    pub origin: Origin,
    /// Contact, media policy, timers.
    pub config: DialogConfig,
    /// Where tags and branches come from.
    pub tokens: TokenSource,
    /// The profile's name and sockets.
    pub profile: Arc<str>,
    /// The profile's sockets.
    pub wire: Arc<Wire>,
    /// The profile's listener at this moment (through the cell it may be replaced).
    pub listener: listener::Cell,
    /// Where seeds are kept.
    pub book: Arc<DialogBook>,
    /// The call's facts and seeds.
    pub dossier: Arc<Dossier>,
    /// Which leg of the call this is (0 = the caller's).
    pub leg: u8,
    /// The clock.
    pub clock: Clock,
    /// How much of each message the ladder keeps.
    pub ladder: settings::Ladder,
    /// Who hears the events.
    pub events: Events,
    /// Who wants to know of messages that never left.
    pub undelivered: Option<Undelivered>,
    /// Where else the call may go, when we place it (RFC 3263 §4.3).
    pub hops: Option<Hops>,
}

/// The dialog and its surroundings.
pub struct State {
    machine: Dialog,
    id: DialogId,
    args: Args,
    armed: Option<(Duration, JoinHandle<()>)>,
}

/// The actor.
pub struct DialogActor;

impl Actor for DialogActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let machine = begin(&args)?;
        let id = machine.id().clone();
        let whose = (args.dossier.call(), args.leg);
        args.book
            .enter(id.clone(), args.profile.clone(), whose, me.clone());
        if matches!(args.origin, Origin::Inviting(_)) {
            args.listener.cast(listener::Msg::Adopt(id.clone()));
        }
        if let Origin::Invited(invite) = &args.origin {
            let message = Message::Request(invite.request.clone());
            rung(&args, Way::In, &invite.flow, &message);
        }
        let mut state = State {
            machine,
            id,
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
        match msg {
            Msg::Input(input) => state.machine.handle(now, *input),
            Msg::Deliver { flow, message } => {
                rung(&state.args, Way::In, &flow, &message);
                state
                    .machine
                    .handle(now, DialogInput::Received { flow, message });
            }
            Msg::ConnectionLost { connection } => connection_lost(state, now, connection),
            Msg::Next(next) => next_target(state, now, *next),
            Msg::Wake => {
                // Its task may not count as finished yet: a deadline that stays would not be armed again.
                disarm(state);
                state.machine.handle_timeout(now);
            }
            Msg::Reopened { old, new, bytes } => reopened(state, now, old, new, bytes),
            Msg::Panic => panic!("injected into the dialog"),
        }
        settle(&me, state);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        disarm(state);
        Ok(())
    }
}

fn begin(args: &Args) -> Result<Dialog, ActorProcessingErr> {
    let (now, config, tokens) = (args.clock.now(), args.config.clone(), args.tokens.clone());
    Ok(match &args.origin {
        Origin::Invited(invite) => Dialog::uas(now, config, tokens, (**invite).clone()),
        Origin::Inviting(call) => Dialog::uac(now, config, tokens, call),
        Origin::Resumed(seed) => Dialog::resume(now, config, tokens, seed)?,
    })
}

/// Carries out what the machine wants, publishes the seed, arms the timer. Making a seed is dear: it is
/// made again only after the machine has moved.
fn settle(me: &ActorRef<Msg>, state: &mut State) {
    let (mut finished, mut published) = (false, false);
    while let Some(effect) = state.machine.poll_effect() {
        match effect {
            DialogEffect::Transmit { flow, bytes } => {
                published &= !transmit(me, state, flow, bytes);
            }
            DialogEffect::Event(DialogEvent::Finished) => finished = true,
            DialogEffect::Event(event) => {
                if !std::mem::replace(&mut published, true) {
                    publish(state);
                }
                (state.args.events)(event);
            }
            DialogEffect::WantTarget => {
                published = false;
                want_target(me, state);
            }
        }
    }
    if !published {
        publish(state);
    }
    if finished {
        retire(me, state);
    } else {
        arm(me, state);
    }
}

fn publish(state: &State) {
    let seed = state.machine.seed();
    if state.args.book.publish(&state.id, &seed) {
        state.args.dossier.keep_seed(state.args.leg, &seed);
    }
}

/// Nothing is left to send or to answer with state: hand the leftovers to the endpoint and go.
fn retire(me: &ActorRef<Msg>, state: &mut State) {
    state.args.book.remove(&state.id);
    state.args.dossier.drop_seed(state.args.leg);
    state.args.dossier.close_ladder(state.args.leg);
    state.args.listener.cast(listener::Msg::Forget {
        dialog_id: state.id.clone(),
        finished: state.machine.finished(),
    });
    (state.args.events)(DialogEvent::Finished);
    me.stop(None);
}

/// A message for the call's ladder.
fn rung(args: &Args, way: Way, flow: &Flow, message: &Message) {
    if args.ladder != settings::Ladder::Off {
        let offset_ms = args.dossier.age_ms();
        let rung = ladder::rung(args.ladder, offset_ms, way, flow, message);
        args.dossier.rung(args.leg, rung);
    }
}

/// The same of bytes that leave: our own messages can be read.
fn rung_out(args: &Args, flow: &Flow, bytes: &bytes::Bytes) {
    if args.ladder == settings::Ladder::Off {
        return;
    }
    if let Ok(message) = parse(bytes, Framing::Datagram) {
        rung(args, Way::Out, flow, &message);
    }
}

/// Sends; whether the machine was told that it could not be done.
fn transmit(me: &ActorRef<Msg>, state: &mut State, flow: Flow, bytes: bytes::Bytes) -> bool {
    rung_out(&state.args, &flow, &bytes);
    state.args.wire.acquaint(flow.remote.ip());
    match state.args.wire.send(&flow, bytes.clone()) {
        Ok(()) => false,
        Err(WireError::Gone) if flow.transport.is_stream() => {
            reopen(me, state, flow, bytes);
            false
        }
        Err(_) => {
            let now = state.args.clock.now();
            undelivered(state, now, flow);
            true
        }
    }
}

/// The machine draws its conclusions; whoever asked for it is told as well.
fn undelivered(state: &mut State, now: Duration, flow: Flow) {
    if let Some(tell) = &state.args.undelivered {
        tell();
    }
    state
        .machine
        .handle(now, DialogInput::TransportFailed { flow });
}

/// RFC 3261 §18.2.2: when the stream is gone, try once with a new connection: to where we had connected, else where the
/// far side said that it is reached.
fn reopen(me: &ActorRef<Msg>, state: &State, old: Flow, bytes: bytes::Bytes) {
    let (me, wire) = (me.clone(), state.args.wire.clone());
    let wanted = Wanted::of(&state.machine.next_uri()).ok();
    let wanted = match parse(&bytes, Framing::Datagram) {
        Ok(Message::Response(response)) => sent_by(&response, old),
        Ok(Message::Request(_)) | Err(_) => wanted,
    };
    tokio::spawn(async move {
        let new = wire.reopen(old, wanted).await;
        let _ = me.cast(Msg::Reopened { old, new, bytes });
    });
}

fn reopened(
    state: &mut State,
    now: Duration,
    old: Flow,
    new: Result<Flow, WireError>,
    bytes: bytes::Bytes,
) {
    let sent = new.and_then(|flow| state.args.wire.send(&flow, bytes));
    if sent.is_err() {
        undelivered(state, now, old);
    }
}

/// RFC 3261 §18.2.2: the address it was received from, at the port of sent-by.
fn sent_by(response: &sip_core::message::Response, old: Flow) -> Option<Wanted> {
    let port = response.via().port();
    let port = port.unwrap_or(old.transport.default_port());
    let place = std::net::SocketAddr::new(old.remote.ip(), port);
    Wanted::at(&place.to_string()).ok()
}

fn connection_lost(state: &mut State, now: Duration, connection: u64) {
    let flow = state.machine.flow();
    if flow.connection == connection {
        let input = DialogInput::TransportFailed { flow };
        state.machine.handle(now, input);
    }
}

/// This place did not take our INVITE: the one after, with its connection, comes back as a message.
fn want_target(me: &ActorRef<Msg>, state: &mut State) {
    let Some(mut hops) = state.args.hops.take() else {
        let now = state.args.clock.now();
        return state.machine.handle(now, DialogInput::NoTarget);
    };
    let me = me.clone();
    tokio::spawn(async move {
        hops.failed();
        let hop = hops.next().await;
        let _ = me.cast(Msg::Next(Box::new((hops, hop))));
    });
}

fn next_target(state: &mut State, now: Duration, (hops, hop): (Hops, Option<Hop>)) {
    state.args.hops = Some(hops);
    let input = match hop {
        Some(hop) => DialogInput::NextTarget {
            flow: hop.flow,
            contact: hop.contact,
            more: hop.more,
        },
        None => DialogInput::NoTarget,
    };
    state.machine.handle(now, input);
}

fn arm(me: &ActorRef<Msg>, state: &mut State) {
    let wanted = state.machine.poll_timeout();
    let current = state.armed.as_ref().filter(|(_, task)| !task.is_finished());
    // An earlier wake-up than needed is harmless and saves a task for each message.
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

/// What the journal calls a dialog: its seed as JSON.
pub fn seed_bytes(seed: &DialogSeed) -> Vec<u8> {
    serde_json::to_vec(seed).unwrap_or_default()
}
