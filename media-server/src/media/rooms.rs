//! Rooms: one thread that adds up, every 20 ms, what the legs of each conference say. To a leg a room is a peer like any
//! other: a ring towards it and a ring from it, so a leg may sit on any media thread.
//!
//! A party is in as long as its leg holds its ends of the rings; whoever lets go (another mode, the end of the leg) has left.

use super::meters::{Meters, count};
use super::rings::BridgeEnds;
use super::{BRIDGE_RING, MediaError, panics};
use media_core::conference::{Conference, Place};
use media_core::{FRAME, Frame};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// The rooms of a media runtime; there is one as long as somebody is in it.
pub(super) struct RoomPool {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Job {
    Enter { room: Arc<str>, ends: BridgeEnds },
    Shutdown,
}

impl RoomPool {
    pub(super) fn start(epoch: Instant, meters: &Arc<Meters>) -> Result<Self, MediaError> {
        let (jobs, inbox) = channel();
        let meters = Arc::clone(meters);
        let builder = std::thread::Builder::new().name("rooms".to_owned());
        let thread = builder.spawn(move || Rooms::new(epoch, meters).run(&inbox));
        Ok(Self {
            jobs,
            thread: Mutex::new(Some(thread.map_err(MediaError::Thread)?)),
        })
    }

    /// A way into a room: what the leg holds. Joined as soon as the rings are the leg's.
    pub(super) fn enter(&self, room: Arc<str>) -> Result<BridgeEnds, MediaError> {
        let (to_room, from_leg) = RingBuffer::new(BRIDGE_RING);
        let (to_leg, from_room) = RingBuffer::new(BRIDGE_RING);
        let ends = BridgeEnds {
            to_peer: to_leg,
            from_peer: from_leg,
        };
        let job = Job::Enter { room, ends };
        self.jobs.send(job).map_err(|_| MediaError::Stopping)?;
        Ok(BridgeEnds {
            to_peer: to_room,
            from_peer: from_room,
        })
    }

    pub(super) fn shutdown(&self) {
        let _ = self.jobs.send(Job::Shutdown);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

struct Rooms {
    epoch: Instant,
    meters: Arc<Meters>,
    rooms: HashMap<Arc<str>, Room>,
    /// The tick to be worked next, in frames since the epoch.
    next: u32,
}

#[derive(Default)]
struct Room {
    sound: Conference,
    parties: Vec<Party>,
}

struct Party {
    place: Place,
    says: Consumer<Frame>,
    hears: Producer<Frame>,
}

impl Rooms {
    fn new(epoch: Instant, meters: Arc<Meters>) -> Self {
        Self {
            epoch,
            meters,
            rooms: HashMap::new(),
            next: 0,
        }
    }

    fn run(mut self, inbox: &Receiver<Job>) {
        panics::this_is_a_media_thread();
        while self.wait(inbox) {
            self.tick();
        }
    }

    /// Until the next tick, or until somebody enters when all rooms are empty; false when it is over.
    fn wait(&mut self, inbox: &Receiver<Job>) -> bool {
        loop {
            let job = match self.rooms.is_empty() {
                true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => {
                    inbox.recv_timeout((FRAME * self.next).saturating_sub(self.epoch.elapsed()))
                }
            };
            match job {
                Ok(Job::Enter { room, ends }) => self.enter(room, ends),
                Ok(Job::Shutdown) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn enter(&mut self, room: Arc<str>, ends: BridgeEnds) {
        if self.rooms.is_empty() {
            self.next = self.frames() + 1;
        }
        self.rooms.entry(room).or_default().enter(ends);
    }

    fn frames(&self) -> u32 {
        (self.epoch.elapsed().as_micros() / FRAME.as_micros()) as u32
    }

    /// A thread that stood still does not make up for it: late sound is no sound.
    fn tick(&mut self) {
        self.next = (self.next + 1).max(self.frames());
        for room in self.rooms.values_mut() {
            if catch_unwind(AssertUnwindSafe(|| room.tick())).is_err() {
                count(&self.meters.evictions);
                tracing::error!(
                    reason = panics::last(),
                    "a room's mixer broke and begins anew"
                );
                room.begin_anew();
            }
        }
        self.rooms.retain(|_, room| !room.parties.is_empty());
    }
}

impl Room {
    fn enter(&mut self, ends: BridgeEnds) {
        let party = Party {
            place: self.sound.join(),
            says: ends.from_peer,
            hears: ends.to_peer,
        };
        self.parties.push(party);
    }

    fn tick(&mut self) {
        let Self { sound, parties } = self;
        parties.retain(|party| {
            let stays = !party.says.is_abandoned();
            if !stays {
                sound.leave(party.place);
            }
            stays
        });
        for party in &mut *parties {
            if let Some(frame) = party.newest() {
                sound.say(party.place, &frame);
            }
        }
        sound.tick();
        for party in parties {
            // A leg that does not listen misses it.
            let _ = party.hears.push(sound.hear(party.place));
        }
    }

    fn begin_anew(&mut self) {
        self.sound = Conference::default();
        for party in &mut self.parties {
            party.place = self.sound.join();
        }
    }
}

impl Party {
    /// The frame for this tick; of what has piled up only the newest two are kept.
    fn newest(&mut self) -> Option<Frame> {
        while self.says.slots() > 2 {
            let _ = self.says.pop();
        }
        self.says.pop().ok()
    }
}
