//! Finding whom to call, beside the call: leave, then one way after the other until one is open.

use std::collections::VecDeque;

use call_core::dialplan::action::Callee;
use ractor::ActorProcessingErr;
use sip_core::dialog::Ended;

use super::{MAX_TARGETS, Party, attempted, called, drop_party, failed, failure_of};
use crate::{
    call::{Msg, State, placing},
    targets::{self, Leave, NoPlace, Place, Way},
};

/// What was found out about a target.
pub struct Found {
    attempt: u32,
    target: usize,
    step: Step,
}

enum Step {
    /// Whether it may be called, and which ways there are.
    Leave(Result<Leave, NoPlace>),
    /// The first way that is open, and the others.
    Place(Result<Box<(Place, VecDeque<Way>)>, NoPlace>),
}

/// Asks whether it may be called, and where it is.
pub(super) fn leave(state: &State, target: usize, callee: Callee) {
    let Some(asker) = state.dialling.asker.clone() else {
        return;
    };
    let (me, services) = (state.me.clone(), state.services().clone());
    let attempt = state.dialling.attempt;
    tokio::spawn(async move {
        let leave = targets::leave(&services, &asker, &callee.name, callee.digits).await;
        let _ = me.cast(Msg::Found(Box::new(Found {
            attempt,
            target,
            step: Step::Leave(leave),
        })));
    });
}

/// Opens the first way that can be had.
fn open(state: &State, target: usize, ways: VecDeque<Way>) {
    let Some(asker) = state.dialling.asker.clone() else {
        return;
    };
    let (me, services) = (state.me.clone(), state.services().clone());
    let attempt = state.dialling.attempt;
    tokio::spawn(async move {
        let place = targets::open_first(&services, &asker, ways).await;
        let _ = me.cast(Msg::Found(Box::new(Found {
            attempt,
            target,
            step: Step::Place(place.map(Box::new)),
        })));
    });
}

/// Something was found out. Nobody is called any more once somebody answered, or the attempt was
/// given up, while his trunk had not had its turn.
pub(in crate::call) async fn found(
    state: &mut State,
    found: Found,
) -> Result<(), ActorProcessingErr> {
    let (dialling, target) = (&state.dialling, found.target);
    let late = found.attempt != dialling.attempt || dialling.winner.is_some();
    if late || dialling.given_up || state.over {
        return Ok(());
    }
    match found.step {
        Step::Leave(Ok(leave)) => fan_out(state, target, leave),
        Step::Place(Ok(place)) => {
            let (place, rest) = *place;
            if let Some(party) = state.dialling.parties.get_mut(&target) {
                party.ways = rest;
            }
            called(state, target, place).await?;
        }
        Step::Leave(Err(no)) | Step::Place(Err(no)) => nowhere(state, target, &no),
    }
    Ok(())
}

/// One party for each phone that rings together with the others, one for all ways that are tried
/// in turn.
fn fan_out(state: &mut State, target: usize, mut leave: Leave) {
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return;
    };
    let name = party.name.clone();
    party.longest = leave.max_duration;
    let others = match leave.together {
        true => leave.ways.split_off(1.min(leave.ways.len())),
        false => VecDeque::new(),
    };
    open(state, target, leave.ways);
    for way in others {
        let another = state
            .dialling
            .parties
            .keys()
            .max()
            .map_or(0, |last| last + 1);
        if another >= MAX_TARGETS {
            break;
        }
        let mut party = Party::of(name.clone());
        party.longest = leave.max_duration;
        state.dialling.parties.insert(another, party);
        open(state, another, VecDeque::from([way]));
    }
}

fn nowhere(state: &mut State, target: usize, no: &NoPlace) {
    tracing::info!(call_id = %state.dossier().call(), why = no.why, "a target cannot be called");
    attempted(state, target, no.reason.as_str(), None);
    failed(state, target, failure_of(no.reason));
}

/// The place that was called is out of order and there is another one: true when that is tried.
pub(super) fn elsewhere(state: &mut State, target: usize, end: &Ended) -> bool {
    let given_up = state.dialling.given_up || state.dialling.winner.is_some();
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return false;
    };
    // Who rang or let us hear something is there: another way would ring somebody else.
    let there = party.rang || party.hands.is_some();
    let another = !given_up && !there && !party.ways.is_empty();
    if !another || !placing::is_out_of_order(&end.cause) {
        return false;
    }
    let (status, _, reason) = placing::outcome(end, false);
    let ways = std::mem::take(&mut party.ways);
    attempted(state, target, reason.as_str(), status);
    drop_party(state, target);
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.over = false;
        party.dialog = None;
    }
    open(state, target, ways);
    true
}
