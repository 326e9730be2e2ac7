//! The Trunk actor: asks one carrier again and again whether it is there (OPTIONS).
//!
//! Supervised by the Node, which starts another when this one breaks. Supervises nobody. A dead
//! trunk or a dead name is `failed(reason)`, asked again at the next interval, and harms nobody
//! else: calls of its profile go on.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::DialogId,
    flow::{Flow, Transport},
    message::{Draft, Message, Method},
    timers::Timers,
    tokens::TokenSource,
    transaction::{ClientEffect, ClientInput, ClientTransaction},
};
use tokio::net::lookup_host;

use crate::{
    listener,
    services::{Line, Services},
};

/// What is asked when the profile says nothing about the interval.
const INTERVAL: Duration = Duration::from_secs(30);
/// A name server that does not answer in this time has failed.
const DNS_LIMIT: Duration = Duration::from_secs(5);
const SIP_PORT: u16 = 5060;

/// What a Trunk is told.
pub enum Msg {
    /// Ask now.
    Ping,
    /// Where the carrier is, or why that is not known.
    Found(Result<Flow, String>),
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
    flow: Flow,
    transaction: ClientTransaction,
}

/// The trunk and what it waits for.
pub struct State {
    args: Args,
    tokens: TokenSource,
    cseq: u32,
    asking: Option<Asking>,
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
            Msg::Found(Ok(flow)) => ask(&me, state, flow),
            Msg::Found(Err(reason)) => settle(&me, state, Some(reason)),
            Msg::Answered(message) => answered(&me, state, &message),
            Msg::Wake => wake(&me, state),
        }
        Ok(())
    }
}

/// Resolves the carrier's name, beside the actor.
fn find(me: &ActorRef<Msg>, state: &State) {
    let (me, wire) = (me.clone(), state.args.line.wire.clone());
    let proxy = state.args.trunk.proxy.clone().unwrap_or_default();
    tokio::spawn(async move {
        let place = match locate(&proxy).await {
            Ok(remote) => {
                let flow = wire.flow_to(Transport::Udp, remote).await;
                flow.map_err(|error| format!("{remote}: {error}"))
            }
            Err(reason) => Err(reason),
        };
        let _ = me.cast(Msg::Found(place));
    });
}

async fn locate(proxy: &str) -> Result<SocketAddr, String> {
    let with_port = match proxy.parse::<SocketAddr>() {
        Ok(address) => return Ok(address),
        Err(_)
            if proxy
                .rsplit(':')
                .next()
                .is_some_and(|p| p.parse::<u16>().is_ok()) =>
        {
            proxy.to_owned()
        }
        Err(_) => format!("{proxy}:{SIP_PORT}"),
    };
    let found = tokio::time::timeout(DNS_LIMIT, lookup_host(&with_port)).await;
    let found = found.map_err(|_| format!("dns: {proxy} was not answered"))?;
    let mut found = found.map_err(|error| format!("dns: {proxy}: {error}"))?;
    found.next().ok_or(format!("dns: {proxy} has no address"))
}

/// RFC 3261 §11: OPTIONS outside a dialog.
fn ask(me: &ActorRef<Msg>, state: &mut State, flow: Flow) {
    let id = DialogId {
        call_id: state.tokens.call_id(),
        local_tag: state.tokens.tag(),
    };
    let request = options(state, &flow, &id);
    let services = &state.args.services;
    services.book.ask(id.clone(), me.clone());
    let listener = &state.args.line.listener;
    listener.cast(listener::Msg::Adopt(id.clone()));
    let now = services.clock.now();
    let transaction = ClientTransaction::new(now, Timers::default(), false, request);
    state.asking = Some(Asking {
        id,
        flow,
        transaction,
    });
    drive(me, state);
}

fn options(state: &mut State, flow: &Flow, id: &DialogId) -> Bytes {
    state.cseq += 1;
    let config = state.args.line.profile.dialog_config(flow);
    let us = format!("{}:{}", config.contact_host, config.contact_port);
    let them = state.args.trunk.proxy.clone().unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let branch = text(&state.tokens.branch());
    let uri = format!("sip:{them}");
    let mut draft = Draft::request(&Method::Options, uri.as_bytes());
    draft
        .header("Via", format!("SIP/2.0/UDP {us};branch={branch};rport"))
        .header("From", format!("<sip:{us}>;tag={}", text(&id.local_tag)))
        .header("To", format!("<{uri}>"))
        .header("Call-ID", text(&id.call_id))
        .header("CSeq", format!("{} OPTIONS", state.cseq))
        .header("Contact", format!("<sip:{us}>"))
        .header("Max-Forwards", "70")
        .header("Accept", "application/sdp")
        .header("User-Agent", config.user_agent);
    draft.finish(&[])
}

fn answered(me: &ActorRef<Msg>, state: &mut State, message: &Message) {
    if let (Message::Response(response), Some(asking)) = (message, &mut state.asking) {
        let input = ClientInput::Response {
            status: response.status(),
            to: Bytes::new(),
        };
        let now = state.args.services.clock.now();
        asking.transaction.handle(now, input);
        if response.status() >= 200 {
            return settle(me, state, None);
        }
    }
    drive(me, state);
}

fn wake(me: &ActorRef<Msg>, state: &mut State) {
    let now = state.args.services.clock.now();
    if let Some(asking) = &mut state.asking {
        asking.transaction.handle_timeout(now);
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
                state.args.line.wire.acquaint(asking.flow.remote.ip());
                let sent = state.args.line.wire.send(&asking.flow, bytes);
                failed = sent.err().map(|error| error.to_string()).or(failed);
            }
            ClientEffect::TimedOut => failed = Some("no answer to OPTIONS".to_owned()),
            ClientEffect::TransportFailed => failed = Some("it cannot be sent to".to_owned()),
            ClientEffect::PassUp | ClientEffect::Terminated => {}
        }
    }
    if failed.is_some() {
        return settle(me, state, failed);
    }
    if let Some(at) = asking.transaction.poll_timeout() {
        let (me, instant) = (me.clone(), state.args.services.clock.instant(at));
        tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            let _ = me.cast(Msg::Wake);
        });
    }
}

/// The answer is in: say so, and ask again after the interval.
fn settle(me: &ActorRef<Msg>, state: &mut State, failure: Option<String>) {
    if let Some(asking) = state.asking.take() {
        state.args.services.book.answered(&asking.id);
        let listener = &state.args.line.listener;
        listener.cast(listener::Msg::Forget {
            dialog_id: asking.id,
            finished: Vec::new(),
        });
    }
    match failure {
        Some(reason) => tell(state, "failed", Some(reason)),
        None => tell(state, "up", None),
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
