//! The INVITEs of a call that we place. Mostly it is one; of an extension with several phones all ring at once, the first to answer
//! has the call and the others are given up. Until then such a call has no dialog of its own, only these. One that was refused
//! lives on beside its successor until its last word is said.

use std::sync::Arc;

use call_core::call::{CallState, Input, Placing as News};
use model::command::Outcome;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::{DialogEvent, DialogInput, EndCause, Ended, EndedBy},
    flow::Flow,
    offer_answer::{AgreedMedia, MediaAddress},
    value::Reason,
};

use super::not_answered;
use crate::{
    call::{Msg, State, children, dial, facing::Order, media, transfer},
    dialog::{self, DialogActor, Origin},
    services::Line,
    targets::{NoPlace, Place},
};

/// Phones that ring at once.
const MAX_FORKS: usize = 16;

/// See the module.
#[derive(Default)]
pub(in crate::call) struct Forks {
    all: Vec<Fork>,
    /// The first of those that ring now.
    first: usize,
    /// Who has the call, or is the only one that is called.
    taken: Option<usize>,
    /// The best word of those who refused.
    outcome: Option<Ended>,
}

struct Fork {
    dialog: ActorRef<dialog::Msg>,
    args: dialog::Args,
    line: Line,
    flow: Flow,
    phone: Option<String>,
    agreed: Option<Box<AgreedMedia>>,
    /// It has said why it does not take the call.
    over: bool,
    /// It has nothing left to say.
    finished: bool,
}

impl Forks {
    /// Those that ring together, while nobody has the call.
    fn ringing(&self) -> std::ops::Range<usize> {
        match self.taken {
            Some(_) => 0..0,
            None => self.first..self.all.len(),
        }
    }
}

/// Invites at all these places. Whoever ordered it knows first: an order that counts as refused is not begun.
pub(super) async fn invite(
    state: &mut State,
    mut places: Vec<Place>,
) -> Result<(), ActorProcessingErr> {
    if state.over || state.machine.state() == CallState::Ended {
        return Ok(());
    }
    if !state.placing.tell(Outcome::Done) {
        super::failed(state, &NoPlace::too_late());
        return Ok(());
    }
    let Some(first) = places.first_mut() else {
        return Ok(());
    };
    state.placing.turn = first.turn.take();
    state.placing.outside = first.trunk.is_some();
    stand_on(state, &first.line, first.flow);
    // The port is one, and belongs to one address of ours.
    let ip = first.line.profile.media_ip(&first.flow);
    let Some(ours) = media::address(state) else {
        return Ok(());
    };
    places.retain(|place| place.line.profile.media_ip(&place.flow) == ip);
    places.truncate(MAX_FORKS);
    state.placing.forks.first = state.placing.forks.all.len();
    state.placing.forks.taken = None;
    state.inbox.push_back(Input::Placing(News::Invited));
    let alone = places.len() == 1;
    for place in places {
        let media = MediaAddress {
            ip: place.line.profile.announced_ip(&place.flow),
            port: ours.port,
        };
        ring(state, place, media).await?;
    }
    if alone {
        take(state, state.placing.forks.first);
    }
    Ok(())
}

async fn ring(
    state: &mut State,
    mut place: Place,
    media: MediaAddress,
) -> Result<(), ActorProcessingErr> {
    let meets = state.args.facing.order().and_then(Order::meets);
    let referred_by = meets.and_then(|meets| meets.referred_by.clone());
    // RFC 3892 §3; no carrier needs to know our phones.
    if let (Some(who), Some(_)) = (referred_by, &place.phone) {
        place.headers.push(("Referred-By".into(), who));
    }
    let (line, flow, phone) = (place.line.clone(), place.flow, place.phone.clone());
    let Some(args) = dialog_args(state, place, media) else {
        return Ok(());
    };
    let cell = state.me.get_cell();
    let (dialog, _) = Actor::spawn_linked(None, DialogActor, args.clone(), cell).await?;
    state.placing.forks.all.push(Fork {
        dialog,
        args,
        line,
        flow,
        phone,
        agreed: None,
        over: false,
        finished: false,
    });
    Ok(())
}

fn dialog_args(state: &mut State, place: Place, media: MediaAddress) -> Option<dialog::Args> {
    let fork = state.placing.forks.all.len();
    let tokens = match (fork, state.args.facing.order()?) {
        // The Call-ID that the record names.
        (0, order) => order.tokens.clone(),
        (_, _) => state.services().fork_tokens(),
    };
    let call = place.call(media, state.placing.ring_for, state.args.facing.hops_left());
    let leg = children::next_leg(state);
    let (me, services) = (state.me.clone(), state.services());
    Some(dialog::Args {
        origin: Origin::Inviting(Box::new(call)),
        config: place.config(),
        tokens,
        profile: place.line.profile.name.clone(),
        wire: place.line.wire.clone(),
        listener: place.line.listener.clone(),
        book: services.book.clone(),
        dossier: state.args.dossier.clone(),
        leg,
        clock: services.clock,
        ladder: services.ladder(),
        events: Arc::new(move |event| drop(me.cast(Msg::Forked { fork, event }))),
        undelivered: None,
        hops: place.hops,
    })
}

/// The profile that the call is on from now on.
fn stand_on(state: &mut State, line: &Line, flow: Flow) {
    state.args.profile = line.profile.clone();
    state.args.wire = line.wire.clone();
    state.args.listener = line.listener.clone();
    state.placing.flow = Some(flow);
}

/// What the dialog of one of them reports.
pub(in crate::call) async fn event(
    state: &mut State,
    fork: usize,
    event: DialogEvent,
) -> Result<(), ActorProcessingErr> {
    let forks = &mut state.placing.forks;
    if let (DialogEvent::Finished, Some(known)) = (&event, forks.all.get_mut(fork)) {
        known.finished = true;
    }
    if forks.taken == Some(fork) {
        return children::dialog_event(state, event).await;
    }
    let rings = forks.ringing().contains(&fork);
    match event {
        DialogEvent::Answered if rings => return answered(state, fork).await,
        // Two answered at once: one is one too many.
        DialogEvent::Answered => hang_up(state, fork, dial::elsewhere()),
        DialogEvent::Media(agreed) if rings => {
            if let Some(known) = forks.all.get_mut(fork) {
                known.agreed = Some(agreed);
            }
        }
        DialogEvent::Ringing { .. } if rings => {
            if !std::mem::replace(&mut state.placing.committed, true) {
                transfer::tell(state, 180);
            }
            state.inbox.push_back(Input::Placing(News::Ringing));
        }
        DialogEvent::Ended(ended) if rings => gave_up(state, fork, *ended),
        _ => {}
    }
    Ok(())
}

/// This one has the call: its dialog is the call's own from now on.
fn take(state: &mut State, fork: usize) {
    let Some(known) = state.placing.forks.all.get(fork) else {
        return;
    };
    let (dialog, args) = (known.dialog.clone(), known.args.clone());
    let (line, flow, phone) = (known.line.clone(), known.flow, known.phone.clone());
    state.placing.forks.taken = Some(fork);
    state.placing.phone = phone;
    stand_on(state, &line, flow);
    children::adopt(state, dialog, args);
}

async fn answered(state: &mut State, fork: usize) -> Result<(), ActorProcessingErr> {
    let ringing = state.placing.forks.ringing();
    let known = state.placing.forks.all.get_mut(fork);
    let agreed = known.and_then(|known| known.agreed.take());
    take(state, fork);
    for other in ringing.filter(|other| *other != fork) {
        hang_up(state, other, dial::elsewhere());
    }
    children::dialog_event(state, DialogEvent::Answered).await?;
    match agreed {
        Some(agreed) => children::dialog_event(state, DialogEvent::Media(agreed)).await,
        None => Ok(()),
    }
}

/// One does not take the call; when it was the last, nobody does.
fn gave_up(state: &mut State, fork: usize, ended: Ended) {
    let forks = &mut state.placing.forks;
    let ringing = forks.ringing();
    if let Some(known) = forks.all.get_mut(fork) {
        known.over = true;
    }
    let known = forks.outcome.as_ref();
    if known.is_none_or(|known| weight(&ended) >= weight(known)) {
        state.placing.phone = forks.all.get(fork).and_then(|fork| fork.phone.clone());
        forks.outcome = Some(ended);
    }
    let all = forks.all.get(ringing).unwrap_or_default();
    if all.iter().all(|known| known.over)
        && let Some(outcome) = forks.outcome.take()
    {
        not_answered(state, &outcome);
    }
}

/// Where else to call says more than busy, that more than no answer, and that more than the rest.
fn weight(ended: &Ended) -> u8 {
    match ended.cause {
        EndCause::Refused(300..=302) => 3,
        EndCause::Refused(486 | 600) => 2,
        EndCause::Refused(408 | 480) | EndCause::NoResponse => 1,
        _ => 0,
    }
}

fn hang_up(state: &State, fork: usize, reason: Reason) {
    if let Some(known) = state.placing.forks.all.get(fork) {
        let reason = Some(reason);
        let input = Box::new(DialogInput::Hangup { reason });
        let _ = known.dialog.cast(dialog::Msg::Input(input));
    }
}

/// The call is given up while phones ring.
pub(in crate::call) fn give_up(state: &State, reason: &Reason) {
    for fork in state.placing.forks.ringing() {
        hang_up(state, fork, reason.clone());
    }
}

/// The dialog of a phone that has not taken the call broke: it does not take it. True when it was one.
pub(in crate::call) fn broke(state: &mut State, who: ActorId) -> bool {
    let forks = &mut state.placing.forks;
    let ringing = forks.ringing();
    let mut all = forks.all.iter_mut().enumerate();
    let Some((at, fork)) = all.find(|(_, fork)| fork.dialog.get_id() == who) else {
        return false;
    };
    fork.finished = true;
    if ringing.contains(&at) {
        gave_up(state, at, broken());
    }
    true
}

/// Whether all of them but the call's own have said their last word.
pub(in crate::call) fn are_quiet(state: &State) -> bool {
    let forks = &state.placing.forks;
    let mut all = forks.all.iter().enumerate();
    all.all(|(at, fork)| fork.finished || forks.taken == Some(at))
}

/// What a dialog that broke has to say.
fn broken() -> Ended {
    Ended {
        by: EndedBy::Local,
        cause: EndCause::Unreachable,
        status: Some(503),
        reason: None,
        response: None,
    }
}
