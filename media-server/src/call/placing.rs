//! A call that we place: its INVITE, and what comes of it until the answer. Where several ways lead
//! to the far side, the next is tried when one is out of order, never when somebody said no.

pub(super) mod forks;
mod led;

use std::{collections::VecDeque, time::Duration};

use call_core::{
    call::{Input, Outgoing, Placing as News, Talks},
    consent::RecordingPolicy,
    dialing::{By, Digits, MAX_DURATION},
    dialplan::action::{AgentSource, RoomOp},
};
use model::{EndReason, FactKind, FailureClass, command::Outcome};
use ractor::ActorProcessingErr;
use sip_core::{
    dialog::{DialogEvent, EndCause, Ended},
    flow::Flow,
    value::Reason,
};
use tokio::sync::oneshot;

use super::{Msg, State, asking, facing::Order, transfer};
use crate::{
    targets::{self, Asker, NoPlace, Place, Redirects, Way},
    trunk_book::Turn,
};

/// Where to invite, or why nowhere.
pub type Located = Result<Box<Invitation>, NoPlace>;

/// Where to invite.
pub struct Invitation {
    /// At all of these at once: the first to answer has the call.
    places: Vec<Place>,
    /// The ways that are left when the only one is out of order.
    ways: VecDeque<Way>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Placing {
    ways: VecDeque<Way>,
    /// Where the far side has sent us.
    redirects: Redirects,
    /// Who of those is called.
    led_to: Option<String>,
    forks: forks::Forks,
    flow: Option<Flow>,
    /// Our place among the calls of the trunk.
    turn: Option<Turn>,
    ring_for: Duration,
    /// Somebody rang: another way would ring somebody else.
    committed: bool,
    answered: bool,
    reply: Option<oneshot::Sender<Outcome>>,
    /// Why its INVITE never left.
    refused: Option<String>,
    /// The phone that is called, by its address of record.
    phone: Option<String>,
    /// It is called over a trunk.
    outside: bool,
}

impl Placing {
    /// Who ordered it wants to know whether its INVITE left.
    pub(super) fn answering(reply: Option<oneshot::Sender<Outcome>>) -> Self {
        Self {
            reply,
            ..Self::default()
        }
    }

    /// False when nobody waits for it any more: then the order was answered without us.
    fn tell(&mut self, outcome: Outcome) -> bool {
        match self.reply.take() {
            Some(reply) => reply.send(outcome).is_ok(),
            None => true,
        }
    }

    /// The phone that is called, by its address of record.
    pub(super) fn phone(&self) -> Option<&str> {
        self.phone.as_deref()
    }

    /// Whether it is called over a trunk.
    pub(super) fn outside(&self) -> bool {
        self.outside
    }

    /// Where the INVITE went.
    pub(super) fn flow(&self) -> Option<Flow> {
        self.flow
    }
}

/// The order reaches the call machine.
pub(super) fn begin(state: &mut State) {
    let Some(order) = state.args.facing.order() else {
        return;
    };
    let asker = asker(state, order);
    let leave = targets::admit(state.services(), &asker, &order.to, digits(order));
    let (talks, recording, longest) = talks(order);
    let allowed = leave.as_ref().map_or(longest, |leave| leave.max_duration);
    let outgoing = Outgoing {
        to: order.to.clone(),
        from: order.from.clone(),
        talks,
        recording,
        ring_for: order.ring_for,
        max_duration: Some(longest.min(allowed)),
    };
    let begin = News::Begin(Box::new(outgoing));
    state.inbox.push_back(Input::Placing(begin));
    if let Err(no) = leave {
        failed(state, &no);
    }
}

/// Who talks, when it is recorded, and the longest it may last.
fn talks(order: &Order) -> (Talks, RecordingPolicy, Duration) {
    match (order.agent(), order.meets()) {
        (Some(agent), _) => {
            let name = format!("{}/{}", agent.tenant_slug, agent.agent.slug);
            let longest = Duration::from_secs(agent.config.max_duration_s.into());
            let talks = Talks::Agent(AgentSource::Named(name));
            (talks, RecordingPolicy::of(&agent.config, None), longest)
        }
        (None, meets) => {
            let room = meets.map(|meets| meets.room.clone());
            let op = RoomOp::meeting(room.unwrap_or_default(), transfer::ALONE);
            (Talks::Room(op), RecordingPolicy::default(), MAX_DURATION)
        }
    }
}

/// What goes into the journal beside `started`, before anything is done.
pub(super) fn commanded(order: &Order) -> Option<FactKind> {
    Some(FactKind::Commanded {
        command: order.command?,
        action: "dial".into(),
    })
}

/// On whose behalf it is placed: the office's, or that of who waits for whom it reaches.
fn asker(state: &State, order: &Order) -> Asker {
    match order.meets() {
        Some(meets) => meets.asker.clone(),
        None => asking::asker(state, By::Api, &order.from),
    }
}

/// How its digits came about.
fn digits(order: &Order) -> Digits {
    match order.meets() {
        Some(_) => Digits::Supplied,
        None => Digits::Written,
    }
}

/// Finds the far side, beside the call.
pub(super) fn place(state: &mut State, ring_for: Duration) {
    state.placing.ring_for = ring_for;
    let Some(order) = state.args.facing.order() else {
        return;
    };
    let (to, asker, digits) = (order.to.clone(), asker(state, order), digits(order));
    state.placing.redirects = Redirects::of(&to);
    locate(state, asker, to, digits);
}

fn locate(state: &State, asker: Asker, to: String, digits: Digits) {
    let (me, services) = (state.me.clone(), state.services().clone());
    tokio::spawn(async move {
        let leave = targets::leave(&services, &asker, &to, digits).await;
        let located = match leave {
            Ok(leave) if leave.together && leave.ways.len() > 1 => {
                let all = targets::open_all(&services, &asker, leave.ways).await;
                all.map(|places| Invitation {
                    places,
                    ways: VecDeque::new(),
                })
            }
            Ok(leave) => one(targets::open_first(&services, &asker, leave.ways).await),
            Err(no) => Err(no),
        };
        let _ = me.cast(Msg::Located(located.map(Box::new)));
    });
}

fn one(found: Result<(Place, VecDeque<Way>), NoPlace>) -> Result<Invitation, NoPlace> {
    found.map(|(place, ways)| Invitation {
        places: vec![place],
        ways,
    })
}

/// The next way, beside the call.
fn go_on(state: &mut State, asker: Asker) {
    let (me, services) = (state.me.clone(), state.services().clone());
    let ways = std::mem::take(&mut state.placing.ways);
    tokio::spawn(async move {
        let located = one(targets::open_first(&services, &asker, ways).await);
        let _ = me.cast(Msg::Located(located.map(Box::new)));
    });
}

/// The far side was found, or not.
pub(super) async fn located(state: &mut State, located: Located) -> Result<(), ActorProcessingErr> {
    match located {
        Ok(located) => {
            state.placing.ways = located.ways;
            forks::invite(state, located.places).await
        }
        Err(no) => {
            if !led::nowhere(state, &no) {
                failed(state, &no);
            }
            Ok(())
        }
    }
}

fn failed(state: &mut State, no: &NoPlace) {
    tracing::info!(call_id = %state.dossier().call(), why = no.why, "a call cannot be placed");
    let why = no.why.clone();
    // Told when the call has ended: the office has its facts before the refusal then.
    state.placing.refused = Some(why);
    transfer::tell(state, no.status);
    state.inbox.push_back(Input::Placing(News::Failed {
        status: Some(no.status),
        q850: None,
        reason: no.reason,
    }));
}

/// The call has ended, its facts are written: who ordered it hears what came of that.
pub(super) fn over(state: &mut State) {
    if let Some(why) = state.placing.refused.take() {
        state.placing.tell(Outcome::Refused { why });
    }
}

/// What our dialog reports before the answer; true when that was all there is to it.
pub(super) fn event(state: &mut State, event: &DialogEvent) -> bool {
    if state.args.facing.order().is_none() || state.placing.answered {
        return false;
    }
    match event {
        DialogEvent::Ringing { .. } => {
            state.placing.committed = true;
            transfer::tell(state, 180);
            state.inbox.push_back(Input::Placing(News::Ringing));
        }
        DialogEvent::EarlyMedia(_) => {
            state.placing.committed = true;
            state.inbox.push_back(Input::Placing(News::Progress));
        }
        DialogEvent::Answered => {
            state.placing.answered = true;
            led::noted(state, "answered", Some(200));
            state.dossier().mark_answered();
            state.inbox.push_back(Input::Placing(News::Answered));
        }
        DialogEvent::Ended(ended) => return not_answered(state, ended),
        _ => return false,
    }
    true
}

/// Carriers mean "not here" by these, not "no" (RFC 3263 §4.3 and RFC 3261 §21.5).
pub(super) fn is_out_of_order(cause: &EndCause) -> bool {
    matches!(
        cause,
        EndCause::NoResponse | EndCause::Unreachable | EndCause::Refused(408 | 500..=599)
    )
}

fn not_answered(state: &mut State, ended: &Ended) -> bool {
    state.placing.turn = None;
    if led::redirected(state, ended) {
        return true;
    }
    let elsewhere = !state.placing.committed && !state.placing.ways.is_empty();
    if let (true, true, Some(order)) = (
        elsewhere,
        is_out_of_order(&ended.cause),
        state.args.facing.order(),
    ) {
        let led = state.placing.redirects.asker.clone();
        let asker = led.unwrap_or_else(|| asker(state, order));
        go_on(state, asker);
        return true;
    }
    if led::next_contact(state, ended) {
        return true;
    }
    let (status, q850, reason) = outcome(ended, state.placing.committed);
    led::noted(state, reason.as_str(), status);
    transfer::tell(state, status.unwrap_or(503));
    state.inbox.push_back(Input::Placing(News::Failed {
        status,
        q850,
        reason,
    }));
    true
}

/// What the record says of an INVITE that came to nothing.
pub(super) fn outcome(ended: &Ended, rang: bool) -> (Option<u16>, Option<u8>, EndReason) {
    let given = ended.reason.as_ref().and_then(q850);
    match &ended.cause {
        EndCause::Refused(status) => {
            let reason = FailureClass::of(*status, given).end_reason();
            (Some(*status), given, reason)
        }
        // Our own limit: it rang and nobody came.
        EndCause::NoResponse if rang => (Some(408), Some(19), EndReason::NoAnswer),
        EndCause::Cancelled => (Some(487), Some(16), EndReason::Cancelled),
        EndCause::NoResponse => (None, Some(102), EndReason::TransportFailed),
        EndCause::NoMedia => (Some(488), Some(88), EndReason::NoCommonCodec),
        _ => (None, Some(41), EndReason::TransportFailed),
    }
}

/// The Q.850 cause of a Reason header (RFC 3326).
fn q850(reason: &Reason) -> Option<u8> {
    let cause = reason.cause.and_then(|cause| u8::try_from(cause).ok());
    cause.filter(|_| reason.protocol.eq_ignore_ascii_case("Q.850"))
}
