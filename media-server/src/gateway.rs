//! The Gateway actor: our registration at one carrier.
//!
//! Supervised by the Node, which starts another when this one breaks. Supervises nobody. What it knows
//! of its registrar is in `sip_core::registration`; here are the clock, the wire and the name server.
//! A carrier that refuses or is away harms nobody else.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::DialogId,
    flow::{Flow, Transport},
    message::Message,
    registration::{
        Registration, RegistrationConfig, RegistrationEffect, RegistrationInput, Status,
    },
    timers::Timers,
    value::Uri,
};
use tokio::task::JoinHandle;

use crate::{
    listener,
    services::{Line, Services},
    trunk,
    trunk_book::TrunkLine,
};

/// What is asked for when the trunk says nothing.
const EXPIRES: Duration = Duration::from_secs(3_600);
/// The first pause after a failure that may pass, and the longest.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_MOST: u32 = 20;
/// A refusal and a wrong password do not pass by themselves.
const RETRY_REFUSED: u32 = 60;

/// What a Gateway is told.
pub enum Msg {
    /// Where the registrar is, or why that is not known.
    Located(Result<Flow, String>),
    /// The registrar answered.
    Answered(Box<Message>),
    /// The armed timer fired.
    Wake,
    /// Give the registration back: this node takes no more calls.
    Leave,
    /// Register again: it does.
    Enter,
    /// The trunk is gone: give the registration back and go.
    Retire,
}

/// How a registration stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// `unknown`, `registered`, `auth_failed`, `rejected`, `unavailable`, `network` or `unregistered`.
    pub state: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
    /// The granted life, seconds.
    pub expires_s: Option<u32>,
    /// Until the next try, seconds.
    pub retry_in_s: Option<u64>,
}

/// A gateway and how it stands.
#[derive(Clone)]
pub struct Gateway {
    /// Its actor.
    pub actor: ActorRef<Msg>,
    /// How it stands.
    pub standing: Standing,
}

/// Every trunk that registers, by profile and name.
pub type Gateways = BTreeMap<(Arc<str>, String), Gateway>;

/// What a Gateway needs.
#[derive(Clone)]
pub struct Args {
    /// The trunk.
    pub trunk: Arc<TrunkLine>,
    /// The profile it is reached over.
    pub line: Line,
    /// Everything shared.
    pub services: Arc<Services>,
}

/// The registration and its surroundings.
pub struct State {
    args: Args,
    id: DialogId,
    machine: Registration,
    armed: Option<(Duration, JoinHandle<()>)>,
    /// Nobody asks how it stands any more.
    retiring: bool,
}

/// The actor.
pub struct GatewayActor;

impl Actor for GatewayActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let tokens = args.services.fork_tokens();
        let mut machine = Registration::new(config(&args)?, tokens);
        let (call_id, local_tag) = machine.names();
        let id = DialogId { call_id, local_tag };
        args.services.book.register(id.clone(), me.clone());
        args.line.listener.cast(listener::Msg::Adopt(id.clone()));
        // A node that is drained registers when it takes calls again.
        if !args.services.is_draining() {
            machine.handle(args.services.clock.now(), RegistrationInput::Register);
        }
        let mut state = State {
            args,
            id,
            machine,
            armed: None,
            retiring: false,
        };
        tell(&me, &state, standing("unknown"));
        settle(&me, &mut state);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.args.services.clock.now();
        match msg {
            Msg::Located(found) => {
                if let Ok(flow) = &found {
                    reached_at(state, flow);
                }
                state.machine.handle(now, RegistrationInput::Located(found));
            }
            Msg::Answered(message) => {
                if let Message::Response(response) = *message {
                    let input = RegistrationInput::Received(Box::new(response));
                    state.machine.handle(now, input);
                }
            }
            Msg::Wake => state.machine.handle_timeout(now),
            Msg::Leave => state.machine.handle(now, RegistrationInput::Leave),
            Msg::Enter if state.retiring => {}
            Msg::Enter => state.machine.handle(now, RegistrationInput::Register),
            Msg::Retire => {
                state.retiring = true;
                state.machine.handle(now, RegistrationInput::Leave);
            }
        }
        settle(&me, state);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.args.services.book.answered(&state.id);
        Ok(())
    }
}

fn config(args: &Args) -> Result<RegistrationConfig, ActorProcessingErr> {
    let trunk = &args.trunk.settings;
    let domain = args.trunk.host().unwrap_or_default();
    let aor = Uri::sip(trunk.username.as_deref(), domain, None)?;
    let retry = trunk.retry.unwrap_or(RETRY);
    let expires_s = trunk.expires.unwrap_or(EXPIRES).as_secs();
    Ok(RegistrationConfig {
        registrar: Uri::sip(None, domain, None)?,
        aor: format!("<{aor}>"),
        contact: String::new(),
        sent_by: String::new(),
        user_agent: crate::profile::SERVER.into(),
        expires_s: u32::try_from(expires_s).unwrap_or(u32::MAX),
        retry,
        retry_max: retry * RETRY_MOST,
        retry_refused: retry * RETRY_REFUSED,
        timers: Timers::default(),
        login: args.trunk.answers(),
    })
}

/// Contact and Via name the socket that the registrar hears us on.
fn reached_at(state: &mut State, flow: &Flow) {
    let config = state.args.line.profile.dialog_config(flow);
    let host = match config.contact_host.contains(':') {
        true => format!("[{}]", config.contact_host),
        false => config.contact_host,
    };
    let us = format!("{host}:{}", config.contact_port);
    let user = state
        .args
        .trunk
        .settings
        .username
        .clone()
        .unwrap_or_default();
    let transport = match flow.transport {
        Transport::Udp => String::new(),
        other => format!(";transport={}", other.via_name().to_ascii_lowercase()),
    };
    let contact = format!("<sip:{user}@{us}{transport}>");
    state.machine.reached_at(contact, us);
}

fn settle(me: &ActorRef<Msg>, state: &mut State) {
    while let Some(effect) = state.machine.poll_effect() {
        match effect {
            RegistrationEffect::Locate => locate(me, state),
            RegistrationEffect::Transmit { flow, bytes } => {
                state.args.line.wire.acquaint(flow.remote.ip());
                if let Err(error) = state.args.line.wire.send(&flow, bytes) {
                    let now = state.args.services.clock.now();
                    let failed = RegistrationInput::TransportFailed(error.to_string());
                    state.machine.handle(now, failed);
                }
            }
            RegistrationEffect::Status(Status::Unregistered) if state.retiring => me.stop(None),
            RegistrationEffect::Status(_) if state.retiring => {}
            RegistrationEffect::Status(status) => tell(me, state, shown(&status)),
        }
    }
    arm(me, state);
}

/// Resolves the registrar's name, beside the actor.
fn locate(me: &ActorRef<Msg>, state: &State) {
    let (me, line) = (me.clone(), state.args.line.clone());
    let trunk = state.args.trunk.clone();
    tokio::spawn(async move {
        let place = trunk::locate(&line, &trunk.settings).await;
        let place = place.map(|(_, hop)| hop.flow);
        let _ = me.cast(Msg::Located(place));
    });
}

fn arm(me: &ActorRef<Msg>, state: &mut State) {
    if let Some((_, task)) = state.armed.take() {
        task.abort();
    }
    if let Some(at) = state.machine.poll_timeout() {
        let (me, instant) = (me.clone(), state.args.services.clock.instant(at));
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            let _ = me.cast(Msg::Wake);
        });
        state.armed = Some((at, task));
    }
}

fn standing(state: &'static str) -> Standing {
    Standing {
        state,
        reason: None,
        expires_s: None,
        retry_in_s: None,
    }
}

fn shown(status: &Status) -> Standing {
    match status {
        Status::Registered { expires_s } => Standing {
            expires_s: Some(*expires_s),
            ..standing("registered")
        },
        Status::Failed {
            class,
            reason,
            retry_in,
        } => Standing {
            reason: Some(reason.clone()),
            retry_in_s: Some(retry_in.as_secs()),
            ..standing(class.name())
        },
        Status::Unregistered => standing("unregistered"),
    }
}

/// Publishes how it stands; a change is worth a line in the log.
fn tell(me: &ActorRef<Msg>, state: &State, now: Standing) {
    let (profile, name) = (&state.args.line.profile.name, &state.args.trunk.name);
    let gateway = Gateway {
        actor: me.clone(),
        standing: now.clone(),
    };
    let before = state.args.services.gateway(profile, name, gateway);
    let news = before.is_none_or(|before| before.standing.state != now.state);
    if news && now.state != "unknown" {
        let reason = now.reason.unwrap_or_default();
        tracing::info!(%profile, trunk = name, state = now.state, reason, "registration");
    }
}
