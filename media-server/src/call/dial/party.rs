//! One of those whom an attempt calls: what he has, and how he is found.

use std::{collections::VecDeque, time::Duration};

use ractor::{ActorId, ActorRef};
use sip_core::dialog::DialogInput;
use tokio::task::JoinHandle;

use crate::{
    call::State,
    dialog,
    leg::{self, Hands},
    media::LegSeat,
    targets::{Redirects, Way},
    trunk_book::Turn,
};

/// One of those we call.
pub(super) struct Party {
    pub(super) name: String,
    pub(super) dialog: Option<ActorRef<dialog::Msg>>,
    pub(super) seat: Option<LegSeat>,
    pub(super) hands: Option<Hands>,
    pub(super) leg: Option<ActorRef<leg::Msg>>,
    pub(super) rang: bool,
    pub(super) over: bool,
    /// Where else he is, when the place that is called is out of order.
    pub(super) ways: VecDeque<Way>,
    /// Where he has sent us, and where we have not been yet.
    pub(super) redirects: Redirects,
    /// Our place among the calls of the trunk.
    pub(super) turn: Option<Turn>,
    /// The address of record of a phone of ours.
    pub(super) phone: Option<String>,
    /// He is reached over a trunk.
    pub(super) outside: bool,
    pub(super) longest: Duration,
    /// Ends what lasts longer.
    pub(super) alarm: Option<Alarm>,
}

impl Party {
    /// Nobody has called him yet.
    pub(super) fn of(name: String) -> Self {
        Self {
            redirects: Redirects::of(&name),
            name,
            dialog: None,
            seat: None,
            hands: None,
            leg: None,
            rang: false,
            over: false,
            ways: VecDeque::new(),
            turn: None,
            phone: None,
            outside: false,
            longest: Duration::MAX,
            alarm: None,
        }
    }
}

/// A task that ends with its owner.
pub(super) struct Alarm(pub(super) JoinHandle<()>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An input for his dialog.
pub(super) fn tell(party: &Party, input: DialogInput) {
    if let Some(dialog) = &party.dialog {
        let _ = dialog.cast(dialog::Msg::Input(Box::new(input)));
    }
}

/// Who has the call.
fn winner(state: &State) -> Option<&Party> {
    state.dialling.parties.get(&state.dialling.winner?)
}

/// An input for the dialog of whom we called.
pub(in crate::call) fn tell_winner(state: &State, input: DialogInput) {
    if let Some(party) = winner(state) {
        tell(party, input);
    }
}

/// The rings of his leg.
pub(in crate::call) fn hands(state: &State) -> Option<&Hands> {
    winner(state)?.hands.as_ref()
}

/// Whom we are talking with: as he was named, and whether he is outside.
pub(in crate::call) fn other(state: &State) -> Option<(&str, bool)> {
    winner(state).map(|party| (party.name.as_str(), party.outside))
}

/// The phone that has the call, or that rings, by its dialog's actor; without one, the phone that has it.
pub(in crate::call) fn phone(state: &State, dialog: Option<ActorId>) -> Option<&str> {
    let party = match dialog {
        Some(dialog) => party_of(state, dialog)?,
        None => winner(state)?,
    };
    party.phone.as_deref()
}

/// Whether this dialog is one of those we have called.
pub(in crate::call) fn is_ours(state: &State, dialog: ActorId) -> bool {
    party_of(state, dialog).is_some()
}

fn party_of(state: &State, dialog: ActorId) -> Option<&Party> {
    let mine = |party: &&Party| {
        let actor = party.dialog.as_ref();
        !party.over && actor.is_some_and(|actor| actor.get_id() == dialog)
    };
    state.dialling.parties.values().find(mine)
}

/// He is out of it, and what he had is free.
pub(super) fn drop_party(state: &mut State, target: usize) {
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.over = true;
        party.alarm = None;
        party.turn = None;
        party.hands = None;
        if let Some(leg) = party.leg.take() {
            leg.stop(None);
        }
        party.seat = None;
    }
}
