//! A call of ours that is sent elsewhere (3xx): whoever the far side names is called instead, where the rules let it.

use call_core::dialing::Digits;
use model::FactKind;
use sip_core::dialog::Ended;

use super::{asker, locate, outcome};
use crate::{
    call::{
        State,
        asking::{self, Extensions},
    },
    targets::{Asker, NoPlace},
};

/// The far side says where else it is: true when that is tried. Also when it rang: "forward on no answer".
pub(super) fn redirected(state: &mut State, ended: &Ended) -> bool {
    let Some(asker) = redirecting(state) else {
        return false;
    };
    let mut redirects = std::mem::take(&mut state.placing.redirects);
    let phone = state.placing.phone.as_deref();
    let of = phone.map(|aor| Extensions::of(aor, asker.tenant));
    let news = redirects.take(ended, |contact| asking::target(state, of, contact));
    if news {
        redirects.asker = Some(asker);
    }
    state.placing.redirects = redirects;
    if news {
        noted(state, "redirected", ended.status);
    }
    news && follow(state)
}

/// Whom it named first does not take the call: the next one may.
pub(super) fn next_contact(state: &mut State, ended: &Ended) -> bool {
    if !state.placing.redirects.go_on(ended) {
        return false;
    }
    let (status, _, reason) = outcome(ended, state.placing.committed);
    noted(state, reason.as_str(), status);
    follow(state)
}

/// Whom it named cannot be called: the next one may.
pub(super) fn nowhere(state: &mut State, no: &NoPlace) -> bool {
    noted(state, no.reason.as_str(), None);
    follow(state)
}

/// On whose behalf it is followed; none where the rules do not have it.
fn redirecting(state: &State) -> Option<Asker> {
    let order = state.args.facing.order()?;
    let known = state.placing.redirects.asker.clone();
    let asker = known.unwrap_or_else(|| asker(state, order));
    let asker = asking::redirected(state, asker, state.placing.phone.as_deref());
    let allowed = state.services().dialing(asker.rules).redirects;
    allowed.then_some(asker)
}

/// Calls the next of those whom it named; false when there is none.
fn follow(state: &mut State) -> bool {
    let redirects = &mut state.placing.redirects;
    let (Some(name), Some(asker)) = (redirects.pop(), redirects.asker.clone()) else {
        return false;
    };
    let placing = &mut state.placing;
    placing.led_to = Some(name.clone());
    placing.committed = false;
    placing.ways.clear();
    placing.phone = None;
    placing.outside = false;
    locate(state, asker, name, Digits::Supplied);
    true
}

/// What came of one of several whom we called, for the record. Of a call that was sent nowhere its end says it.
pub(super) fn noted(state: &State, outcome: &str, sip_code: Option<u16>) {
    let Some(order) = state.args.facing.order() else {
        return;
    };
    if state.placing.redirects.asker.is_none() {
        return;
    }
    let led = state.placing.led_to.clone();
    state.dossier().write(FactKind::TransferAttempt {
        target: led.unwrap_or_else(|| order.to.clone()),
        outcome: outcome.to_owned(),
        sip_code,
    });
}
