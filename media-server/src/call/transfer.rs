//! Transfers that our own phones ask for (RFC 3515, attended by RFC 3891), and phones that take the place of another one.
//!
//! Everybody stays in the call that he was in. Who is left of it meets the newcomer in a room of the node: after a blind transfer
//! that is somebody whom a call of its own reaches, after an attended one who is left of the phone's other call, and where an
//! INVITE replaces a dialog, its caller. A phone may; what comes over a trunk, or was called by a bare URI, may not.

mod phones;

use std::{sync::Arc, time::Duration};

use call_core::{
    call::{Input, KillCause, Leaving, Move, RoomNews, Side},
    dialing::{By, Digits},
    dialplan::action::RoomOp,
};
use model::CallId;
use ractor::{ActorId, ActorRef};
use sip_core::{
    dialog::{DialogInput, ReferRequest, Refusal, Role, Stage},
    endpoint::NewInvite,
    value::Replaces,
};
use tokio::sync::oneshot;

use super::{
    Msg, Order, State, Talks,
    asking::{self, Extensions},
    begin, children, dial,
    facing::{Meets, Order as Placed},
};
use crate::{
    calls,
    dialog_book::Meant,
    targets::{self, Asker, Shown},
};
use phones::{Left, Phone, left, named, phone};

/// How long somebody waits for whom he was transferred to, who has answered.
pub(super) const ALONE: Duration = Duration::from_secs(5);
/// How long the target of a blind transfer rings.
const RING: Duration = Duration::from_secs(30);
/// How long the other call of a phone may take to say whether it can be joined.
const WORD: Duration = Duration::from_secs(5);

/// Told the status of each step of a call that is placed for a transfer.
pub type Watch = Arc<dyn Fn(u16) + Send + Sync>;

/// See the module.
#[derive(Default)]
pub struct Transfer {
    under_way: Option<UnderWay>,
    /// The place that our own INVITE takes.
    claim: Option<Claim>,
}

/// What a phone of this call asked for.
struct UnderWay {
    side: Side,
    room: String,
    to: String,
    mode: &'static str,
    /// The call that was placed for it.
    child: Option<CallId>,
    /// The phone did not wait for the outcome, and has hung up.
    ahead: bool,
}

struct Claim {
    meant: Meant,
    /// Known once the other call has agreed.
    room: Option<String>,
}

/// Asks the call that has a dialog to let somebody take a phone's place in it.
pub struct Yield {
    dialog: ActorId,
    by: By3891,
    /// Do it; without them it is only asked.
    terms: Option<Terms>,
    reply: oneshot::Sender<Result<Yielded, u16>>,
}

/// Who asks, and whose place he may take.
enum By3891 {
    /// A phone that joins its two calls.
    Itself(Phone),
    /// A phone that takes the place of another one of its owner.
    Colleague(Phone),
}

struct Terms {
    room: String,
    to: String,
    mode: &'static str,
    left: Left,
}

/// The other call agrees.
pub struct Yielded {
    left: Left,
    /// The room that who is left is in already.
    room: Option<String>,
}

/// What a REFER comes down to.
enum Wanted {
    Somebody { target: String, asker: Box<Asker> },
    Partner(Option<Meant>),
}

/// A phone of this call, or whoever else, wants it transferred (RFC 3515 §2.4.2).
pub(super) fn asked(state: &mut State, side: Side, asked: &ReferRequest) {
    let verdict = judge(state, side, asked);
    let status = match &verdict {
        Ok(_) => 202,
        Err(status) => *status,
    };
    tell_phone(state, side, DialogInput::AnswerRefer { status });
    let call = state.dossier().call();
    match verdict {
        Ok((room, Wanted::Somebody { target, asker })) => {
            let referred_by = asked.referred_by.as_ref();
            let referred_by = referred_by.map(|by| String::from_utf8_lossy(by).into_owned());
            place(state, side, room, target, *asker, referred_by);
        }
        Ok((room, Wanted::Partner(meant))) => join(state, side, room, meant),
        Err(status) => tracing::info!(call_id = %call, status, "a REFER is refused"),
    }
}

/// Whether it may, and what it comes down to. A refusal concerns the REFER alone, not its dialog (RFC 5057 §5.1).
fn judge(state: &State, side: Side, asked: &ReferRequest) -> Result<(String, Wanted), u16> {
    let phone = phone(state, side, None).ok_or(603_u16)?;
    let room = match state.machine.may_leave(side) {
        Leaving::No => return Err(603),
        _ if state.transfer.under_way.is_some() => return Err(491),
        Leaving::Free => format!("transfer/{}", state.dossier().call()),
        Leaving::From(room) => room,
    };
    if let Some(replaces) = &asked.replaces {
        let meant = state.services().book.meant_by(replaces);
        return Ok((room, Wanted::Partner(meant)));
    }
    let extensions = Extensions {
        tenant: phone.tenant,
        domain: phone.domain(),
    };
    let target = asking::target(state, Some(extensions), &asked.to).ok_or(603_u16)?;
    let asker = asker(state, side, &phone);
    let leave = targets::admit(state.services(), &asker, &target, Digits::Supplied);
    leave.map_err(|no| if no.status == 403 { 403_u16 } else { 603 })?;
    let asker = Box::new(asker);
    Ok((room, Wanted::Somebody { target, asker }))
}

/// The call goes by the rules of the phone's owner, and by where the one comes from whom it is for.
fn asker(state: &State, side: Side, phone: &Phone) -> Asker {
    let left = left(state, side);
    let asker = asking::asker(state, By::Refer, &left.shown());
    Asker {
        rules: phone.tenant.or(asker.rules),
        tenant: phone.tenant.or(asker.tenant),
        domain: phone.domain().map(str::to_owned).or(asker.domain),
        caller: Shown {
            user: left.shown(),
            ..asker.caller
        },
        ..asker
    }
}

/// Calls the target of a blind transfer: a call of its own, whose far side comes into the room.
fn place(
    state: &mut State,
    side: Side,
    room: String,
    to: String,
    asker: Asker,
    referred_by: Option<String>,
) {
    let child = state.services().new_call();
    let me = state.me.clone();
    let order = Order {
        command: None,
        call: child,
        tenant: asker.tenant,
        to: to.clone(),
        from: asker.caller.user.clone(),
        talks: Talks::Meets(Box::new(Meets {
            room: room.clone(),
            asker,
            referred_by,
            watch: Arc::new(move |status| drop(me.cast(Msg::Transferring(child, status)))),
        })),
        ring_for: RING,
        reply: None,
        tokens: state.services().fork_tokens(),
    };
    state.transfer.under_way = Some(UnderWay {
        side,
        room,
        to,
        mode: "blind",
        child: Some(child),
        ahead: false,
    });
    let calls = state.me.get_cell().try_get_supervisor();
    let calls = calls.map(ActorRef::<calls::Msg>::from);
    let placed = calls.map(|calls| calls.cast(calls::Msg::Place(Box::new(order))));
    if !matches!(placed, Some(Ok(()))) {
        news(state, 503);
    }
}

/// Joins the two calls of a phone.
fn join(state: &mut State, side: Side, room: String, meant: Option<Meant>) {
    let own = state.dossier().call();
    let left = left(state, side);
    state.transfer.under_way = Some(UnderWay {
        side,
        room: room.clone(),
        to: String::new(),
        mode: "attended",
        child: None,
        ahead: false,
    });
    let meant = meant.filter(|meant| meant.call != own);
    match (meant, phone(state, side, None)) {
        (Some(meant), Some(phone)) if meant.stage == Stage::Confirmed => {
            let terms = Terms {
                room,
                to: left.name.clone(),
                mode: "attended",
                left,
            };
            ask(state, &meant, By3891::Itself(phone), Some(terms));
        }
        (_, _) => news(state, 481),
    }
}

/// Asks the other call; its word comes as [`Msg::Yielded`].
fn ask(state: &State, meant: &Meant, by: By3891, terms: Option<Terms>) {
    let me = state.me.clone();
    let (reply, said) = oneshot::channel();
    let asked = Yield {
        dialog: meant.dialog,
        by,
        terms,
        reply,
    };
    if let Some(entry) = state.services().calls.get(meant.call) {
        let _ = entry.actor.cast(Msg::Yield(Box::new(asked)));
    }
    tokio::spawn(async move {
        let said = tokio::time::timeout(WORD, said).await;
        let said = said.ok().and_then(Result::ok).unwrap_or(Err(481));
        let _ = me.cast(Msg::Yielded(said));
    });
}

/// Somebody asks for the place of a phone in this call.
pub(super) fn yields(state: &mut State, asked: Yield) {
    let weighed = weigh(state, &asked);
    let Yield { terms, reply, .. } = asked;
    let said = weighed.map(|(side, yielded)| {
        if let Some(terms) = terms {
            state.met_outside |= terms.left.public;
            moves(state, side, terms.room, terms.to, terms.mode, ALONE);
        }
        yielded
    });
    let _ = reply.send(said);
}

fn weigh(state: &State, asked: &Yield) -> Result<(Side, Yielded), u16> {
    let side = match asked.dialog {
        own if children::is_own(state, own) => Side::Caller,
        other if dial::is_ours(state, other) => Side::Callee,
        _ => return Err(481),
    };
    let phone = phone(state, side, Some(asked.dialog)).ok_or(403_u16)?;
    let may = match &asked.by {
        By3891::Itself(same) => same.is(&phone),
        By3891::Colleague(other) => other.tenant == phone.tenant,
    };
    let room = match state.machine.may_leave(side) {
        _ if !may => return Err(403),
        Leaving::No => return Err(603),
        _ if state.transfer.under_way.is_some() => return Err(491),
        Leaving::Free => None,
        Leaving::From(room) => Some(room),
    };
    let left = left(state, side);
    if let Some(terms) = &asked.terms {
        // Nobody from outside gets out over a trunk, also not by way of a phone of ours.
        if left.hairpins(&terms.left) {
            return Err(403);
        }
        // Two who wait in rooms of their own already.
        if room.as_ref().is_some_and(|room| *room != terms.room) {
            return Err(603);
        }
    }
    Ok((side, Yielded { left, room }))
}

/// The other call's word.
pub(super) fn yielded(state: &mut State, said: Result<Yielded, u16>) {
    if let Some(claim) = state.transfer.claim.take() {
        return takes(state, claim, said);
    }
    match said {
        Ok(yielded) => {
            state.met_outside |= yielded.left.public;
            if let Some(way) = &mut state.transfer.under_way {
                way.to = yielded.left.name;
            }
            news(state, 200);
        }
        Err(status) => news(state, status),
    }
}

/// How a call goes that we placed; of an earlier one nobody wants to know any more.
pub(super) fn child_news(state: &mut State, child: CallId, status: u16) {
    let way = state.transfer.under_way.as_ref();
    if way.is_some_and(|way| way.child == Some(child)) {
        news(state, status);
    }
}

/// How far the transfer has come: for the phone that asked, and the last word for us.
fn news(state: &mut State, status: u16) {
    let Some(side) = state.transfer.under_way.as_ref().map(|way| way.side) else {
        return;
    };
    let last = status >= 200;
    tell_phone(state, side, DialogInput::ReferNews { status, last });
    let Some(way) = state.transfer.under_way.take_if(|_| last) else {
        return;
    };
    match (status < 300, way.ahead) {
        (true, false) => moves(state, side, way.room, way.to, way.mode, ALONE),
        (false, true) => state.inbox.push_back(Input::Room(RoomNews::Deserted)),
        (true, true) | (false, false) => {}
    }
}

fn moves(
    state: &mut State,
    side: Side,
    room: String,
    to: String,
    mode: &'static str,
    alone: Duration,
) {
    let moved = Move {
        side,
        room,
        to,
        mode,
        alone_for: alone,
    };
    state.inbox.push_back(Input::Moved(Box::new(moved)));
}

/// The phone of this side has hung up: true when it did so on a transfer, which then goes on without it.
pub(super) fn gone_ahead(state: &mut State, side: Side) -> bool {
    let Some(way) = &mut state.transfer.under_way else {
        return false;
    };
    if way.side != side || std::mem::replace(&mut way.ahead, true) {
        return false;
    }
    let (room, to, mode) = (way.room.clone(), way.to.clone(), way.mode);
    moves(state, side, room, to, mode, RING + ALONE);
    true
}

/// The call is over: nobody waits for the transfer's target any more, nor for our far side.
pub(super) fn call_over(state: &mut State) {
    tell(state, 503);
    let child = state.transfer.under_way.take().and_then(|way| way.child);
    let child = child.and_then(|child| state.services().calls.get(child));
    if let Some(entry) = child {
        let _ = entry.actor.cast(Msg::Kill(KillCause::Abandoned));
    }
}

/// Who waits for the far side of this call learns how it goes.
pub(super) fn tell(state: &State, status: u16) {
    let meets = state.args.facing.order().and_then(Placed::meets);
    if let Some(meets) = meets {
        (meets.watch)(status);
    }
}

fn tell_phone(state: &State, side: Side, input: DialogInput) {
    match side {
        Side::Caller => children::dialog_input(state, input),
        Side::Callee => dial::tell_winner(state, input),
    }
}

/// The dialog has a usable INVITE: a new call, or one that takes somebody's place (RFC 3891 §3).
pub(super) fn invited(state: &mut State) {
    let invite = state.args.facing.invite();
    let Some(replaces) = invite.and_then(NewInvite::replaces) else {
        return begin(state, None);
    };
    match claim(state, &replaces) {
        Ok((phone, meant)) => {
            ask(state, &meant, By3891::Colleague(phone), None);
            state.transfer.claim = Some(Claim { meant, room: None });
        }
        Err(status) => refuse(state, status),
    }
}

fn claim(state: &State, replaces: &Replaces) -> Result<(Phone, Meant), u16> {
    let phone = phone(state, Side::Caller, None).ok_or(403_u16)?;
    let meant = state.services().book.meant_by(replaces);
    let meant = meant.ok_or(481_u16)?;
    match (meant.stage, meant.role) {
        _ if meant.profile != state.args.profile.name => Err(403),
        (Stage::Ended, _) => Err(603),
        // Only whom we are calling can have the call taken from him.
        (Stage::Early, Role::Uas) => Err(481),
        (Stage::Confirmed, _) if replaces.early_only => Err(486),
        (Stage::Early | Stage::Confirmed, _) => Ok((phone, meant)),
    }
}

fn refuse(state: &State, status: u16) {
    tracing::info!(call_id = %state.dossier().call(), status, "no place is taken");
    children::dialog_input(state, DialogInput::Reject(Refusal::new(status)));
}

/// The call whose phone is to be replaced agrees: ours is answered, and goes where who is left will come.
fn takes(state: &mut State, claim: Claim, said: Result<Yielded, u16>) {
    if state.begun || state.over {
        return;
    }
    match said {
        Ok(yielded) => {
            state.met_outside |= yielded.left.public;
            let own = format!("transfer/{}", state.dossier().call());
            let room = yielded.room.unwrap_or(own);
            begin(state, Some(RoomOp::meeting(room.clone(), ALONE)));
            state.transfer.claim = Some(Claim {
                room: Some(room),
                ..claim
            });
        }
        Err(status) => refuse(state, status),
    }
}

/// We are in the room: whoever waits for us there can come, and the phone whose place we take leaves.
pub(super) fn is_there(state: &mut State) {
    tell(state, 200);
    let Some(Claim {
        meant,
        room: Some(room),
    }) = state.transfer.claim.take()
    else {
        return;
    };
    let Some(phone) = phone(state, Side::Caller, None) else {
        return;
    };
    let terms = Terms {
        room,
        to: named(state),
        mode: "replaced",
        left: Left {
            name: named(state),
            // Who takes the place is a phone of ours; it was tainted by whom it is going to meet.
            public: false,
            trunk: false,
        },
    };
    ask(state, &meant, By3891::Colleague(phone), Some(terms));
}
