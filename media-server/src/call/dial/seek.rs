//! Finding whom to call, beside the call: leave, then one way after the other until one is open.

use std::collections::VecDeque;

use call_core::dialplan::action::Callee;
use ractor::ActorProcessingErr;
use sip_core::dialog::Ended;

use super::{MAX_TARGETS, Party, attempted, called, drop_party, failed, failure_of};
use crate::{
    call::{
        Msg, State,
        asking::{self, Extensions},
        placing,
    },
    targets::{self, Asker, Leave, NoPlace, Place, Way},
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
    if let Some(asker) = state.dialling.asker.clone() {
        leave_of(state, target, callee, asker);
    }
}

fn leave_of(state: &State, target: usize, callee: Callee, asker: Asker) {
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
    let redirects = party.redirects.for_another();
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
        party.redirects = redirects.clone();
        state.dialling.parties.insert(another, party);
        open(state, another, VecDeque::from([way]));
    }
}

fn nowhere(state: &mut State, target: usize, no: &NoPlace) {
    tracing::info!(call_id = %state.dossier().call(), why = no.why, "a target cannot be called");
    attempted(state, target, no.reason.as_str(), None);
    if !follow(state, target) {
        failed(state, target, failure_of(no.reason));
    }
}

/// He does not take the call, but may be called elsewhere: true when that is tried.
pub(super) fn goes_on(state: &mut State, target: usize, end: &Ended) -> bool {
    let given_up = state.dialling.given_up || state.dialling.winner.is_some();
    !given_up
        && (redirected(state, target, end)
            || elsewhere(state, target, end)
            || next_contact(state, target, end))
}

/// He says where else he is (3xx): true when that is tried, where the rules let it. Also when he rang: "forward on no answer".
fn redirected(state: &mut State, target: usize, end: &Ended) -> bool {
    let Some((asker, phone)) = redirecting(state, target) else {
        return false;
    };
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return false;
    };
    let mut redirects = std::mem::take(&mut party.redirects);
    let of = phone
        .as_deref()
        .map(|aor| Extensions::of(aor, asker.tenant));
    let news = redirects.take(end, |contact| asking::target(state, of, contact));
    if news {
        redirects.asker = Some(asker);
    }
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.redirects = redirects;
    }
    news && go_to_next(state, target, "redirected", end)
}

/// Whom he named first does not take the call: the next one may.
fn next_contact(state: &mut State, target: usize, end: &Ended) -> bool {
    let party = state.dialling.parties.get(&target);
    let rang = party.is_some_and(|party| party.rang);
    let more = party.is_some_and(|party| party.redirects.go_on(end));
    let (_, _, reason) = placing::outcome(end, rang);
    more && go_to_next(state, target, reason.as_str(), end)
}

fn go_to_next(state: &mut State, target: usize, outcome: &str, end: &Ended) -> bool {
    attempted(state, target, outcome, end.status);
    free_party(state, target);
    follow(state, target)
}

/// On whose behalf his 3xx would be followed, and which phone of ours he is; none where the rules do not have it.
fn redirecting(state: &State, target: usize) -> Option<(Asker, Option<String>)> {
    let party = state.dialling.parties.get(&target)?;
    let asker = party.redirects.asker.clone();
    let asker = asker.or_else(|| state.dialling.asker.clone())?;
    let asker = asking::redirected(state, asker, party.phone.as_deref());
    let allowed = state.services().dialing(asker.rules).redirects;
    allowed.then(|| (asker, party.phone.clone()))
}

/// Calls the next of those whom he named, in his place; false when there is none.
fn follow(state: &mut State, target: usize) -> bool {
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return false;
    };
    let (Some(name), Some(asker)) = (party.redirects.pop(), party.redirects.asker.clone()) else {
        return false;
    };
    party.name.clone_from(&name);
    leave_of(state, target, Callee::supplied(name), asker);
    true
}

/// What he had is free for the next try.
fn free_party(state: &mut State, target: usize) {
    drop_party(state, target);
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.over = false;
        party.rang = false;
        party.dialog = None;
        party.phone = None;
        party.outside = false;
        party.ways.clear();
    }
}

/// The place that was called is out of order and there is another one: true when that is tried.
fn elsewhere(state: &mut State, target: usize, end: &Ended) -> bool {
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return false;
    };
    // Who rang or let us hear something is there: another way would ring somebody else.
    let there = party.rang || party.hands.is_some();
    let another = !there && !party.ways.is_empty();
    if !another || !placing::is_out_of_order(&end.cause) {
        return false;
    }
    let (status, _, reason) = placing::outcome(end, false);
    let ways = std::mem::take(&mut party.ways);
    attempted(state, target, reason.as_str(), status);
    free_party(state, target);
    open(state, target, ways);
    true
}
