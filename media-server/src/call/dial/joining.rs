//! Both legs of a bridge: joined in the media thread, and parted.

use call_core::call::Input;
use model::FactKind;

use super::{cancel, party::drop_party};
use crate::{call::State, leg::Report, media::LegControl};

/// Joins both legs in the media thread.
pub(in crate::call) fn join(state: &mut State) {
    let winner = state.dialling.winner;
    let party = winner.and_then(|winner| state.dialling.parties.get(&winner));
    let theirs = party.and_then(|party| party.hands.as_ref());
    let (Some(ours), Some(theirs)) = (state.media.hands(), theirs) else {
        unjoin(state);
        return state.inbox.push_back(Input::BridgeEnded);
    };
    let mut ours = ours.lock();
    let mut theirs = theirs.lock();
    let joined = LegControl::bridge(&mut ours, &mut theirs).is_ok();
    drop((ours, theirs));
    state.dialling.joined = joined;
    if !joined {
        unjoin(state);
        state.inbox.push_back(Input::BridgeEnded);
    }
}

/// Hangs up the other party.
pub(in crate::call) fn unjoin(state: &mut State) {
    cancel(state);
    if let Some(winner) = state.dialling.winner.take() {
        drop_party(state, winner);
    }
    state.dialling.joined = false;
}

/// What the other party's leg reports: a leg that is lost ends the bridge.
pub(in crate::call) fn leg_report(state: &mut State, report: Report) {
    if let Report::Evicted { reason } = report {
        state
            .dossier()
            .write(FactKind::LegRestarted { why: reason });
        if state.dialling.winner.is_some() {
            unjoin(state);
            state.inbox.push_back(Input::BridgeEnded);
        }
    }
}
