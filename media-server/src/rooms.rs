//! Who is in which room of this node: conferences, and parked calls with whoever picks them up.
//!
//! A room is there as long as somebody is in it. Every tenant has rooms of its own; calls of no tenant share theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use call_core::{call::RoomNews, dialplan::action::Entry};
use model::{CallId, TenantId};

/// Tells a call what happens in its room.
pub type Tell = Box<dyn Fn(RoomNews) + Send + Sync>;

/// The name of a room in the whole node: what the media threads know it by.
pub type RoomName = Arc<str>;

/// See the module.
#[derive(Default)]
pub struct Rooms {
    rooms: Mutex<HashMap<RoomName, Vec<Party>>>,
}

struct Party {
    call: CallId,
    tell: Tell,
}

/// A call's place in a room; dropped, the call has left, whatever became of its actor.
pub struct Seat {
    rooms: Arc<Rooms>,
    room: RoomName,
    call: CallId,
}

/// Who comes, and where to.
pub struct Request<'a> {
    /// Whose rooms.
    pub tenant: Option<TenantId>,
    /// `conference/NAME` or `park/SLOT`.
    pub room: &'a str,
    /// Callers who fit in.
    pub seats: u16,
    /// Whom it takes.
    pub entry: Entry,
    /// Who.
    pub call: CallId,
}

impl Rooms {
    /// Lets a call in and tells all who are in how many others there are; none when the room does not take it.
    pub fn enter(self: &Arc<Self>, request: &Request<'_>, tell: Tell) -> Option<Seat> {
        let owner = request.tenant.map(|id| id.to_string()).unwrap_or_default();
        let room: RoomName = format!("{owner}/{}", request.room).into();
        let call = request.call;
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = rooms.get(&room).map_or(0, Vec::len);
        let fits = match request.entry {
            Entry::Anybody | Entry::Meets => inside < usize::from(request.seats),
            Entry::Parks => inside == 0,
            Entry::PicksUp => inside == 1,
        };
        if !fits {
            return None;
        }
        let parties = rooms.entry(room.clone()).or_default();
        parties.push(Party { call, tell });
        tell_all(parties);
        Some(Seat {
            rooms: self.clone(),
            room,
            call,
        })
    }

    /// How many rooms there are, and how many calls are in them.
    pub fn count(&self) -> (usize, usize) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        (rooms.len(), rooms.values().map(Vec::len).sum())
    }

    fn leave(&self, room: &RoomName, call: CallId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parties) = rooms.get_mut(room) else {
            return;
        };
        parties.retain(|party| party.call != call);
        tell_all(parties);
        if parties.is_empty() {
            rooms.remove(room);
        }
    }
}

fn tell_all(parties: &[Party]) {
    let others = parties.len().saturating_sub(1);
    for party in parties {
        (party.tell)(RoomNews::Others(others));
    }
}

impl Seat {
    /// The room's name in the whole node.
    pub fn room(&self) -> &RoomName {
        &self.room
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.rooms.leave(&self.room, self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn call(n: u128) -> CallId {
        CallId::new(1, n)
    }

    fn enter(
        rooms: &Arc<Rooms>,
        n: u128,
        room: &str,
        entry: Entry,
    ) -> Option<(Seat, Receiver<RoomNews>)> {
        let (tell, told) = channel();
        let request = Request {
            tenant: (n >= 100).then(|| TenantId::new(1, n / 100)),
            room,
            seats: 3,
            entry,
            call: call(n),
        };
        let seat = rooms.enter(
            &request,
            Box::new(move |news| {
                let _ = tell.send(news);
            }),
        )?;
        Some((seat, told))
    }

    fn others(told: &Receiver<RoomNews>) -> Vec<usize> {
        let of = |news| match news {
            RoomNews::Others(others) => others,
            RoomNews::Refused | RoomNews::Deserted => usize::MAX,
        };
        told.try_iter().map(of).collect()
    }

    #[test]
    fn everybody_learns_who_comes_and_goes_and_the_last_closes_the_room() {
        let rooms = Arc::new(Rooms::default());
        let (a, told_a) = enter(&rooms, 1, "conference/x", Entry::Anybody).unwrap();
        let (b, told_b) = enter(&rooms, 2, "conference/x", Entry::Anybody).unwrap();
        let (c, _) = enter(&rooms, 3, "conference/x", Entry::Anybody).unwrap();
        assert!(
            enter(&rooms, 4, "conference/x", Entry::Anybody).is_none(),
            "full"
        );
        assert_eq!(rooms.count(), (1, 3));
        drop(c);
        drop(a);
        assert_eq!(others(&told_a), [0, 1, 2, 1]);
        assert_eq!(others(&told_b), [1, 2, 1, 0]);
        drop(b);
        assert_eq!(rooms.count(), (0, 0));
    }

    #[test]
    fn a_slot_takes_one_who_waits_and_one_who_picks_up() {
        let rooms = Arc::new(Rooms::default());
        assert!(
            enter(&rooms, 1, "park/701", Entry::PicksUp).is_none(),
            "empty"
        );
        let (_waits, told) = enter(&rooms, 1, "park/701", Entry::Parks).unwrap();
        assert!(
            enter(&rooms, 2, "park/701", Entry::Parks).is_none(),
            "taken"
        );
        let (_talks, _) = enter(&rooms, 2, "park/701", Entry::PicksUp).unwrap();
        assert!(
            enter(&rooms, 3, "park/701", Entry::PicksUp).is_none(),
            "gone"
        );
        assert_eq!(others(&told), [0, 1]);
    }

    #[test]
    fn every_tenant_has_rooms_of_its_own() {
        let rooms = Arc::new(Rooms::default());
        let (_waits, _) = enter(&rooms, 100, "park/701", Entry::Parks).unwrap();
        assert!(enter(&rooms, 200, "park/701", Entry::PicksUp).is_none());
        assert!(enter(&rooms, 1, "park/701", Entry::PicksUp).is_none());
        assert!(enter(&rooms, 101, "park/701", Entry::PicksUp).is_some());
    }
}
