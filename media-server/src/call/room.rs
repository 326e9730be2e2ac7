//! The call in a room: its seat in the node's list, its leg among the others.

use call_core::{
    call::{Input, RoomNews, Side},
    dialplan::action::Entry,
};

use super::{Msg, State, dial, transfer};
use crate::rooms::Request;

/// Goes in, first by name and then with the leg, so that nobody is heard who was not let in.
pub(super) fn enter(state: &mut State, room: &str, (seats, entry): (u16, Entry), whose: Side) {
    let me = state.me.clone();
    let request = Request {
        // Whoever is to meet may belong to calls of different owners; the name of the place is nobody else's.
        tenant: state.args.arrived.tenant.filter(|_| entry != Entry::Meets),
        room,
        seats,
        entry,
        call: state.dossier().call(),
    };
    let rooms = &state.services().rooms;
    let seat = rooms.enter(
        &request,
        Box::new(move |news| drop(me.cast(Msg::Room(news)))),
    );
    let Some(seat) = seat else {
        return state.inbox.push_back(Input::Room(RoomNews::Refused));
    };
    let hands = match whose {
        Side::Caller => state.media.hands(),
        Side::Callee => dial::hands(state),
    };
    let entered = hands.is_some_and(|hands| hands.lock().enter(seat.room().clone()).is_ok());
    if !entered {
        return state.inbox.push_back(Input::LegLost);
    }
    state.room = Some(seat);
    transfer::is_there(state);
}

/// Goes out. The leg's next mode takes it out of the others' hearing; at the latest its end does.
pub(super) fn leave(state: &mut State) {
    state.room = None;
}
