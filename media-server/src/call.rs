//! The Call actor: one conversation.
//!
//! Supervised by Calls, which never restarts it. Supervises its Dialogs, its Leg and its Agent:
//! a Dialog is rebuilt from its seed, a Leg is restarted once on the same seat, an Agent once with
//! the conversation so far. Owns the call machine, the conversation ledger and the LegSeat, and
//! carries out their effects. Dies of a fault of its own; its dossier and the dialog seeds are then
//! enough for Calls to end the call properly.

mod asking;
mod attest;
mod children;
mod dial;
mod ears;
mod effects;
mod facing;
mod facts;
mod floor;
mod handing;
mod hold;
mod media;
pub(crate) use media::negotiated;
mod orders;
mod placing;
mod prompts;
mod quality;
mod room;
mod speech;
mod tags;
pub mod transfer;

use std::{collections::VecDeque, sync::Arc, time::Duration};

pub use facing::{Facing, Order, Talks};
pub use orders::LiveOrder;

use call_core::{
    call::{Call, CallConfig, Effect, Incoming, Input, KillCause, RoomNews},
    dialplan::action::RoomOp,
};
use model::{CallId, EndReason, FactKind, Snapshot};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use sip_core::{dialog::DialogEvent, shaken::Verdict, value::Uri};
use tokio::task::JoinHandle;

use crate::{
    agent, dialog,
    dossier::Dossier,
    hearing, leg, listener, mouth,
    profile::Profile,
    registrar::Identity,
    rooms::Seat,
    services::{Entry, Services},
    stub,
    trunk_book::{Arrived, Parties},
    wire::Wire,
};
use children::Children;
use dial::Dialling;
use handing::Handing;
use media::Media;
use placing::Placing;
use speech::Speech;

/// What a Call is told.
pub enum Msg {
    /// Our leg's dialog.
    Dialog(DialogEvent),
    /// A dialog of an outbound attempt.
    Outbound {
        /// Which attempt.
        attempt: u32,
        /// Which of its targets.
        target: usize,
        /// What happened.
        event: DialogEvent,
    },
    /// A dialog of one of several phones that ring for a call that we place.
    Forked {
        /// Which of them.
        fork: usize,
        /// What happened.
        event: DialogEvent,
    },
    /// What became of the proof of who calls.
    Attested(Verdict),
    /// `started` is on disk, or was refused.
    Journaled(bool),
    /// Somebody came into our room, or left it.
    Room(RoomNews),
    /// The caller's leg.
    Leg(leg::Report),
    /// The other party's leg, of a bridge.
    OtherLeg(leg::Report),
    /// The mouth.
    Mouth(mouth::Report),
    /// The hearing.
    Hearing(hearing::Report),
    /// The agent.
    Agent {
        /// How many agents of this call broke before this one.
        generation: u8,
        /// What it wants.
        wish: agent::Wish,
    },
    /// A sentence of the agent is rendered ahead of the answer.
    Warmed,
    /// The stub agent's connection.
    StubOpened(std::io::Result<stub::Connection>),
    /// The stub agent hung up.
    StubGone,
    /// A prompt was read from disk.
    PromptRead {
        /// The plan's tag of it.
        tag: u64,
        /// 8 kHz PCM, or why not.
        sound: Result<Arc<[i16]>, String>,
        /// Play it again and again.
        repeat: bool,
    },
    /// The recorder closed the file.
    RecordingClosed(crate::media::RecordingReport),
    /// The recording is safe on disk and queued for the office.
    RecordingFiled(Result<FactKind, String>),
    /// The agent's last words have had time to be heard.
    AgentOver(Input),
    /// Where an outbound target is, or why not.
    Found(Box<dial::Found>),
    /// A leg of a bridge has lasted as long as it may.
    TooLong {
        /// Which attempt.
        attempt: u32,
        /// Which of its targets.
        target: usize,
    },
    /// Where a call that we place goes, or why nowhere.
    Located(placing::Located),
    /// Somebody is to take the place of a phone in this call.
    Yield(Box<transfer::Yield>),
    /// What the other call of a phone says to that.
    Yielded(Result<transfer::Yielded, u16>),
    /// How a call goes that was placed for a transfer: its status.
    Transferring(CallId, u16),
    /// The office wants something of this call.
    Order(Box<LiveOrder>),
    /// It is in the journal: do it.
    OrderKept(Box<LiveOrder>, bool),
    /// The armed timer fired.
    Wake,
    /// Somebody ends it.
    Kill(KillCause),
    /// Test seam.
    Fault(Fault),
}

/// Test seam: what to break in a live call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next RTP parse panics.
    Parse,
    /// The next decode panics.
    Decode,
    /// The next playout tick panics.
    Playout,
    /// The Dialog actor panics.
    Dialog,
    /// The Leg actor panics.
    LegActor,
    /// The Agent actor panics.
    Agent,
    /// The Agent actor hangs for so long.
    AgentHang(Duration),
    /// This actor panics.
    Call,
}

/// What a Call needs.
pub struct Args {
    /// Everything shared.
    pub services: Arc<Services>,
    /// Its facts.
    pub dossier: Arc<Dossier>,
    /// The profile it came over.
    pub profile: Arc<Profile>,
    /// The profile's sockets.
    pub wire: Arc<Wire>,
    /// The profile's listener.
    pub listener: listener::Cell,
    /// Whether somebody invites us, or we somebody.
    pub facing: Facing,
    /// Its trunk, tenant and parties.
    pub arrived: Arrived,
    /// Whose password the caller knew.
    pub identity: Option<Arc<Identity>>,
    /// When the listener had the INVITE, or we the order.
    pub received: Duration,
}

/// Everything of one conversation.
pub struct State {
    me: ActorRef<Msg>,
    args: Args,
    machine: Call,
    inbox: VecDeque<Input>,
    /// Effects that want sound, from before the leg was launched.
    waiting: VecDeque<Effect>,
    snapshot: Arc<Snapshot>,
    children: Children,
    media: Media,
    speech: Speech,
    hearing: Option<hearing::Hearing>,
    floor: floor::Floor,
    dialling: Dialling,
    placing: Placing,
    handing: Handing,
    /// The room we are in.
    room: Option<Seat>,
    /// The transfer under way.
    transfer: transfer::Transfer,
    /// Who is left of us has met a caller from outside.
    met_outside: bool,
    begun: bool,
    over: bool,
    armed: Option<(Duration, JoinHandle<()>)>,
}

impl State {
    fn now(&self) -> Duration {
        self.args.services.clock.now()
    }

    fn dossier(&self) -> &Dossier {
        &self.args.dossier
    }

    fn parties(&self) -> &Parties {
        &self.args.arrived.parties
    }

    fn services(&self) -> &Arc<Services> {
        &self.args.services
    }
}

/// The actor.
pub struct CallActor;

impl Actor for CallActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let mut state = fresh(me, args);
        match &state.args.facing {
            Facing::Invited(_) => children::answer_invite(&mut state).await?,
            Facing::Ordered(_) => order_begins(&mut state)?,
        }
        // Here and not after the spawn: a call may be over before its supervisor goes on.
        state.services().calls.enter(entry(&state));
        Ok(state)
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Dialog(event) => children::dialog_event(state, event).await?,
            Msg::Outbound {
                attempt,
                target,
                event,
            } => dial::event(state, attempt, target, event).await?,
            Msg::Forked { fork, event } => placing::forks::event(state, fork, event).await?,
            Msg::Attested(verdict) => attest::found(state, &verdict),
            Msg::Found(found) => dial::found(state, *found).await?,
            Msg::TooLong { attempt, target } => dial::too_long(state, attempt, target),
            Msg::Located(located) => placing::located(state, located).await?,
            Msg::Yield(asked) => transfer::yields(state, *asked),
            Msg::Yielded(said) => transfer::yielded(state, said),
            Msg::Transferring(child, status) => transfer::child_news(state, child, status),
            Msg::Order(order) => orders::keep(state, order),
            Msg::OrderKept(order, kept) => orders::carry_out(state, *order, kept),
            Msg::Journaled(kept) => journaled(state, kept),
            Msg::Room(news) => state.inbox.push_back(Input::Room(news)),
            Msg::Leg(report) => media::leg_report(state, report),
            Msg::OtherLeg(report) => dial::leg_report(state, report),
            Msg::Mouth(report) => speech::mouth_report(state, report),
            Msg::Hearing(report) => ears::report(state, report),
            Msg::Agent { generation, wish } => floor::wish(state, generation, wish),
            Msg::Warmed => floor::warmed(state),
            Msg::StubOpened(connection) => floor::stub_opened(state, connection),
            Msg::StubGone => floor::stub_gone(state),
            Msg::PromptRead { tag, sound, repeat } => prompts::read(state, tag, sound, repeat),
            Msg::RecordingClosed(report) => media::recording_closed(state, report),
            Msg::RecordingFiled(filed) => media::recording_filed(state, filed),
            Msg::AgentOver(input) => state.inbox.push_back(input),
            Msg::Wake => {
                // Its task may not count as finished yet: a deadline that stays would not be armed again.
                disarm(state);
                let now = state.now();
                state.machine.handle_timeout(now);
            }
            Msg::Kill(cause) => state.inbox.push_back(Input::Kill(cause)),
            Msg::Fault(fault) => inject(state, fault),
        }
        settle(state).await
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(cell, error) = event {
            children::failed(state, cell.get_id(), &error.to_string()).await?;
            settle(state).await?;
        }
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

/// The machine has its order before anything else happens to it.
fn order_begins(state: &mut State) -> Result<(), ActorProcessingErr> {
    state.begun = true;
    placing::begin(state);
    state.me.cast(Msg::Wake)?;
    Ok(())
}

fn fresh(me: ActorRef<Msg>, mut args: Args) -> State {
    let reply = match &mut args.facing {
        Facing::Invited(_) => None,
        Facing::Ordered(order) => order.reply.take(),
    };
    let services = &args.services;
    let settings = services.settings.current();
    let config = CallConfig {
        wall_at_start: services.wall(),
        limits: facts::limits(&settings.server.limits),
    };
    State {
        machine: Call::new(config, settings.dialplans.clone()),
        inbox: VecDeque::new(),
        waiting: VecDeque::new(),
        snapshot: services.snapshots.current(),
        children: Children::default(),
        media: Media::default(),
        speech: Speech::default(),
        hearing: None,
        floor: floor::Floor::of(args.facing.order()),
        dialling: Dialling::default(),
        placing: Placing::answering(reply),
        handing: Handing::default(),
        room: None,
        transfer: transfer::Transfer::default(),
        met_outside: false,
        begun: false,
        over: false,
        armed: None,
        me,
        args,
    }
}

/// The call as the registry of live calls knows it.
fn entry(state: &State) -> Entry {
    Entry {
        actor: state.me.clone(),
        dossier: state.args.dossier.clone(),
        profile: state.args.profile.name.clone(),
        trunk: trunk(state),
        tenant: state.args.arrived.tenant,
        from: state.parties().from.clone(),
        to: state.parties().to.clone(),
        since: state.now(),
    }
}

/// The dialog has a usable INVITE: the call begins.
fn begin(state: &mut State, takes: Option<RoomOp>) {
    let Some(invite) = state.args.facing.invite() else {
        return;
    };
    let request = &invite.request;
    let headers = request.headers().iter();
    let incoming = Incoming {
        profile: state.args.profile.name.to_string(),
        context: state.args.profile.settings.context.clone(),
        trunk: trunk(state),
        to: state.parties().to.clone(),
        from: state.parties().from.clone(),
        headers: headers.map(|h| (lossy(&h.name), lossy(&h.value))).collect(),
        about: state.parties().variables(),
        attesting: attest::wanted(state),
        takes,
    };
    state.begun = true;
    state.inbox.push_back(Input::Incoming(Box::new(incoming)));
}

fn trunk(state: &State) -> Option<String> {
    let trunk = state.args.arrived.trunk.as_ref();
    trunk.map(|line| line.name.clone())
}

fn lossy(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

/// The user part of a URI, or its host when it has none.
pub fn party(uri: &Uri) -> String {
    let host = || uri.host().map(ToString::to_string);
    uri.user().or_else(host).unwrap_or_default()
}

fn journaled(state: &mut State, kept: bool) {
    state.inbox.push_back(match kept {
        true => Input::Journaled,
        false => Input::JournalRefused,
    });
}

/// Feeds the machine what has come up and carries out what it wants, until both are quiet.
async fn settle(state: &mut State) -> Result<(), ActorProcessingErr> {
    loop {
        if let Some(effect) = state.machine.poll_effect() {
            effects::carry_out(state, effect).await?;
        } else if let Some(input) = state.inbox.pop_front() {
            let now = state.now();
            state.machine.handle(now, input);
        } else {
            break;
        }
    }
    arm(state);
    children::leave_when_done(state);
    Ok(())
}

fn arm(state: &mut State) {
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
        let (me, instant) = (state.me.clone(), state.args.services.clock.instant(at));
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

fn inject(state: &mut State, fault: Fault) {
    use media_core::leg::{Command, Fault as LegFault};
    match fault {
        Fault::Parse => media::command(state, Command::Fault(LegFault::PanicInParse)),
        Fault::Decode => media::command(state, Command::Fault(LegFault::PanicInDecode)),
        Fault::Playout => media::command(state, Command::Fault(LegFault::PanicInPlayout)),
        Fault::Dialog => children::tell_dialog(state, dialog::Msg::Panic),
        Fault::LegActor => media::tell_leg(state, leg::Msg::Panic),
        Fault::Agent => floor::tell_agent(state, agent::Msg::Panic),
        Fault::AgentHang(time) => floor::tell_agent(state, agent::Msg::Hang(time)),
        Fault::Call => panic!("injected into the call"),
    }
}

/// The conversation is over before the machine ever had it (the dialog refused the INVITE itself).
fn refused_by_dialog(state: &mut State, status: Option<u16>) {
    let reason = match status {
        Some(488) => EndReason::NoCommonCodec,
        Some(487) => EndReason::Cancelled,
        _ => EndReason::BadRequest,
    };
    state.dossier().write(facts::started(state));
    state.dossier().end(reason, status, None);
    state.over = true;
}
