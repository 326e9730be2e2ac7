//! The Trunk actor: asks one carrier again and again whether it is there (OPTIONS).
//!
//! Supervised by the Node, which starts another when this one breaks. Supervises nobody. A dead
//! trunk or a dead name is `failed(reason)`, asked again at the next interval, and harms nobody
//! else: calls of its profile go on.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use call_core::trunk::{Pulse, PulseState};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::{DialogConfig, DialogId},
    flow::Flow,
    locate::Wanted,
    message::{Draft, Message, Method},
    timers::Timers,
    tokens::TokenSource,
    transaction::{ClientEffect, ClientInput, ClientTransaction},
};

use crate::{
    listener,
    next_hop::{Hop, Hops},
    profile::transport_of,
    services::{Line, Services},
};

/// What is asked when the profile says nothing about the interval.
const INTERVAL: Duration = Duration::from_secs(30);
/// A place that is silent for so long is given up while there is another.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a Trunk is told.
pub enum Msg {
    /// Ask now.
    Ping,
    /// The way to the carrier and the places behind it, or why there is none.
    Found(Result<Box<(Hops, Hop)>, String>),
    /// The carrier answered; any answer proves that it is there.
    Answered(Box<Message>),
    /// The armed timer fired.
    Wake,
}

/// How a trunk is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// `unknown` until the first answer, then `up` or `failed`.
    pub state: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Every trunk that is asked, by profile and name.
pub type Healths = BTreeMap<(Arc<str>, String), Health>;

/// What a Trunk needs.
#[derive(Clone)]
pub struct Args {
    /// What the operator wrote.
    pub trunk: settings::Trunk,
    /// The profile it is reached over.
    pub line: Line,
    /// Everything shared.
    pub services: Arc<Services>,
}

/// The question that is out.
struct Asking {
    id: DialogId,
    hop: Hop,
    transaction: ClientTransaction,
    give_up: Duration,
}

/// The trunk and what it waits for.
pub struct State {
    args: Args,
    tokens: TokenSource,
    cseq: u32,
    asking: Option<Asking>,
    /// The places behind the one that is asked.
    hops: Option<Hops>,
    pulse: Pulse,
}

/// The actor.
pub struct Trunk;

impl Actor for Trunk {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let state = State {
            tokens: args.services.fork_tokens(),
            cseq: 0,
            asking: None,
            hops: None,
            pulse: Pulse::default(),
            args,
        };
        tell(&state, "unknown", None);
        me.cast(Msg::Ping)?;
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Ping => find(&me, state),
            Msg::Found(Ok(found)) => {
                let (hops, hop) = *found;
                state.hops = Some(hops);
                ask(&me, state, hop);
            }
            Msg::Found(Err(reason)) => settle(&me, state, Some(reason)),
            Msg::Answered(message) => answered(&me, state, &message),
            Msg::Wake => wake(&me, state),
        }
        Ok(())
    }
}

/// Resolves the carrier's name, beside the actor.
fn find(me: &ActorRef<Msg>, state: &State) {
    let (me, line, trunk) = (
        me.clone(),
        state.args.line.clone(),
        state.args.trunk.clone(),
    );
    tokio::spawn(async move {
        let found = locate(&line, &trunk).await;
        let _ = me.cast(Msg::Found(found.map(Box::new)));
    });
}

pub(crate) async fn locate(line: &Line, trunk: &settings::Trunk) -> Result<(Hops, Hop), String> {
    let proxy = trunk.proxy.clone().unwrap_or_default();
    let wanted = Wanted::at(&proxy).map_err(|error| error.to_string())?;
    let wanted = wanted.over(trunk.transport.map(transport_of));
    let name = trunk.tls_server_name.as_deref();
    let mut hops = Hops::find(&line.profile, &line.wire, wanted, name).await?;
    match hops.next().await {
        Some(hop) => Ok((hops, hop)),
        None => Err(hops.why().to_owned()),
    }
}

/// This place failed: the next one is asked, and the last one's failure is the trunk's.
fn next(me: &ActorRef<Msg>, state: &mut State, failure: String) {
    let more = state.asking.as_ref().is_some_and(|asking| asking.hop.more);
    let Some(mut hops) = state.hops.take().filter(|_| more) else {
        return settle(me, state, Some(failure));
    };
    forget(state);
    let me = me.clone();
    tokio::spawn(async move {
        hops.failed();
        let found = hops.next().await;
        let found = found.map(|hop| Box::new((hops, hop))).ok_or(failure);
        let _ = me.cast(Msg::Found(found));
    });
}

/// What is out is not waited for any more.
fn forget(state: &mut State) {
    if let Some(asking) = state.asking.take() {
        state.args.services.book.answered(&asking.id);
        let listener = &state.args.line.listener;
        listener.cast(listener::Msg::Forget {
            dialog_id: asking.id,
            finished: Vec::new(),
        });
    }
}

/// RFC 3261 §11: OPTIONS outside a dialog.
fn ask(me: &ActorRef<Msg>, state: &mut State, hop: Hop) {
    let id = DialogId {
        call_id: state.tokens.call_id(),
        local_tag: state.tokens.tag(),
    };
    let request = options(state, &hop.flow, &id);
    let services = &state.args.services;
    services.book.ask(id.clone(), me.clone());
    let listener = &state.args.line.listener;
    listener.cast(listener::Msg::Adopt(id.clone()));
    let now = services.clock.now();
    let timers = Timers::default();
    let patience = if hop.more {
        PATIENCE
    } else {
        timers.sixty_four_t1()
    };
    let reliable = hop.flow.transport.is_reliable();
    state.asking = Some(Asking {
        id,
        transaction: ClientTransaction::new(now, timers, reliable, request),
        give_up: now + patience,
        hop,
    });
    drive(me, state);
}

fn options(state: &mut State, flow: &Flow, id: &DialogId) -> Bytes {
    state.cseq += 1;
    let config = state.args.line.profile.dialog_config(flow);
    let us = sent_by(&config);
    let them = state.args.trunk.proxy.clone().unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let branch = text(&state.tokens.branch());
    let over = flow.transport.via_name();
    let param = flow.transport.uri_param();
    let param = param.map_or_else(String::new, |name| format!(";transport={name}"));
    let uri = format!("sip:{them}");
    let mut draft = Draft::request(&Method::Options, uri.as_bytes());
    draft
        .header("Via", format!("SIP/2.0/{over} {us};branch={branch};rport"))
        .header("From", format!("<sip:{us}>;tag={}", text(&id.local_tag)))
        .header("To", format!("<{uri}>"))
        .header("Call-ID", text(&id.call_id))
        .header("CSeq", format!("{} OPTIONS", state.cseq))
        .header("Contact", format!("<sip:{us}{param}>"))
        .header("Max-Forwards", "70")
        .header("Accept", "application/sdp")
        .header("User-Agent", config.user_agent);
    draft.finish(&[])
}

/// `host:port`, brackets around IPv6.
fn sent_by(config: &DialogConfig) -> String {
    match config.contact_host.parse() {
        Ok(ip) => SocketAddr::new(ip, config.contact_port).to_string(),
        Err(_) => format!("{}:{}", config.contact_host, config.contact_port),
    }
}

fn answered(me: &ActorRef<Msg>, state: &mut State, message: &Message) {
    if let (Message::Response(response), Some(asking)) = (message, &mut state.asking) {
        let input = ClientInput::Response {
            status: response.status(),
            to: Bytes::new(),
        };
        let now = state.args.services.clock.now();
        asking.transaction.handle(now, input);
        match response.status() {
            0..=199 => {}
            // RFC 3263 §4.3: another place may be well.
            503 if asking.hop.more => return next(me, state, "it answers 503".to_owned()),
            // Any answer proves that somebody is there, but one who sheds load wants no calls.
            503 => return settle(me, state, Some("it answers 503".to_owned())),
            _ => return settle(me, state, None),
        }
    }
    drive(me, state);
}

fn wake(me: &ActorRef<Msg>, state: &mut State) {
    let now = state.args.services.clock.now();
    if let Some(asking) = &mut state.asking {
        asking.transaction.handle_timeout(now);
        if now >= asking.give_up {
            return next(me, state, "no answer to OPTIONS".to_owned());
        }
    }
    drive(me, state);
}

/// Sends what is due and notices when nobody answers (64·T1).
fn drive(me: &ActorRef<Msg>, state: &mut State) {
    let Some(asking) = &mut state.asking else {
        return;
    };
    let mut failed = None;
    while let Some(effect) = asking.transaction.poll_effect() {
        match effect {
            ClientEffect::Send(bytes) => {
                state.args.line.wire.acquaint(asking.hop.flow.remote.ip());
                let sent = state.args.line.wire.send(&asking.hop.flow, bytes);
                failed = sent.err().map(|error| error.to_string()).or(failed);
            }
            ClientEffect::TimedOut => failed = Some("no answer to OPTIONS".to_owned()),
            ClientEffect::TransportFailed => failed = Some("it cannot be sent to".to_owned()),
            ClientEffect::PassUp | ClientEffect::Terminated => {}
        }
    }
    if let Some(failure) = failed {
        return next(me, state, failure);
    }
    let at = asking.transaction.poll_timeout();
    if let Some(at) = at.map(|at| at.min(asking.give_up)) {
        let (me, instant) = (me.clone(), state.args.services.clock.instant(at));
        tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            let _ = me.cast(Msg::Wake);
        });
    }
}

/// The answer is in: say so, and ask again after the interval.
fn settle(me: &ActorRef<Msg>, state: &mut State, failure: Option<String>) {
    forget(state);
    // One lost packet takes nobody off the air, one answer brings nobody back.
    state.pulse.heard(failure.is_none());
    match (state.pulse.state(), failure) {
        (PulseState::Down, None) => {}
        (PulseState::Down, reason) => tell(state, "failed", reason),
        (PulseState::Up | PulseState::Unknown, _) => tell(state, "up", None),
    }
    let interval = state.args.trunk.ping.unwrap_or(INTERVAL);
    me.send_after(interval, || Msg::Ping);
}

/// Publishes the state; a change is worth a line in the log.
fn tell(state: &State, now: &'static str, reason: Option<String>) {
    let (profile, name) = (&state.args.line.profile.name, &state.args.trunk.name);
    let health = Health { state: now, reason };
    let before = state.args.services.trunk(profile, name, health.clone());
    if before.is_none_or(|before| before != health) && now != "unknown" {
        let reason = health.reason.unwrap_or_default();
        tracing::info!(%profile, trunk = name, state = now, reason, "trunk");
    }
}
