//! Rooms: conferences, and parked calls with whoever picks them up. Who is in a room is the owner's to know; the machine
//! goes in, makes the time alone bearable, and goes on with the plan when that is over.

use std::time::Duration;

use model::EndReason;

use super::bridging::Hand;
use super::ending::Close;
use super::moving::Side;
use super::{Call, CallFact, Effect, MediaMode, Party, Phase, Task};
use crate::dialplan::action::{Entry, RoomOp};

/// News of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomNews {
    /// It does not take us: full, its slot is taken, or nobody waits in it.
    Refused,
    /// So many others are in it now; the first such news says that we are.
    Others(usize),
    /// Whoever was to come will not.
    Deserted,
}

/// A room that the call is in, or asks to be let into.
#[derive(Debug)]
pub(super) struct RoomRun {
    op: RoomOp,
    /// Others at the last news; none before the first.
    others: Option<usize>,
    /// The sound that shortens the time alone.
    music: Option<u64>,
    /// When being alone is over.
    until: Option<Duration>,
    /// An agent that waits for its caller.
    hand: Option<Hand>,
    /// It is whom we called that is in it, without the caller.
    caller_left: bool,
}

impl RoomRun {
    pub(super) fn new(op: RoomOp) -> Self {
        Self {
            op,
            others: None,
            music: None,
            until: None,
            hand: None,
            caller_left: false,
        }
    }

    pub(super) fn with(self, hand: Option<Hand>) -> Self {
        Self { hand, ..self }
    }

    pub(super) fn without_caller(self) -> Self {
        Self {
            caller_left: true,
            ..self
        }
    }

    pub(super) fn caller_left(&self) -> bool {
        self.caller_left
    }

    pub(super) fn room(&self) -> &str {
        &self.op.room
    }

    pub(super) fn into_hand(self) -> Option<Hand> {
        self.hand
    }

    /// Whether it is this side that meets somebody in it.
    pub(super) fn is_met_by(&self, side: Side) -> bool {
        let inside = match self.caller_left {
            true => Side::Callee,
            false => Side::Caller,
        };
        self.op.entry == Entry::Meets && side == inside
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until
    }

    pub(super) fn plays(&self) -> bool {
        self.music.is_some()
    }
}

impl Call {
    pub(super) fn enter_room(&mut self, op: RoomOp) {
        self.go_in(RoomRun::new(op), Side::Caller);
    }

    pub(super) fn go_in(&mut self, run: RoomRun, whose: Side) {
        self.put(Effect::EnterRoom {
            room: run.op.room.clone(),
            seats: run.op.seats,
            entry: run.op.entry,
            whose,
        });
        self.task = Task::InRoom(run);
    }

    pub(super) fn room_news(&mut self, now: Duration, news: RoomNews) {
        let run = match std::mem::replace(&mut self.task, Task::Ready) {
            Task::InRoom(run) => run,
            task => {
                self.task = task;
                return;
            }
        };
        let meets = run.op.entry == Entry::Meets;
        match (news, run.others) {
            (RoomNews::Refused | RoomNews::Deserted, _) if meets => self.meeting_over(now, run),
            (RoomNews::Deserted, _) => self.task = Task::InRoom(run),
            (RoomNews::Refused, _) => self.on_from_room(now, run.op.refused.as_deref()),
            (RoomNews::Others(0), None) => self.alone(now, run),
            (RoomNews::Others(0), Some(before)) if before > 0 => self.left_alone(now, run),
            (RoomNews::Others(others), _) => self.in_company(run, others),
        }
    }

    /// Music, and the time it may last.
    fn alone(&mut self, now: Duration, mut run: RoomRun) {
        run.others = Some(0);
        run.until = run.op.alone_for.map(|limit| now.saturating_add(limit));
        if let Some(source) = run.op.music.clone() {
            let tag = self.tag();
            self.put(Effect::Play {
                tag,
                source,
                repeat: true,
            });
            run.music = Some(tag);
        }
        self.task = Task::InRoom(run);
    }

    fn in_company(&mut self, mut run: RoomRun, others: usize) {
        if run.others.unwrap_or(0) == 0 && others > 0 {
            let target = run.op.room.clone();
            self.fact(CallFact::Bridged { target });
        }
        if run.music.take().is_some() {
            self.put(Effect::StopPlayout);
        }
        run.until = None;
        run.others = Some(others);
        self.task = Task::InRoom(run);
    }

    /// A conference waits for the next to come; a parked call and whoever picked it up had only each other.
    fn left_alone(&mut self, now: Duration, run: RoomRun) {
        match run.op.entry {
            Entry::Anybody => self.alone(now, run),
            Entry::Parks | Entry::PicksUp => {
                self.close = Close {
                    reason: EndReason::BridgeEnded,
                    by: Party::Bridge,
                    status: 480,
                    q850: 16,
                };
                self.out_of_room(&run);
                self.run(now);
            }
            Entry::Meets => self.meeting_over(now, run),
        }
    }

    pub(super) fn alone_too_long(&mut self, now: Duration, run: RoomRun) {
        if run.op.entry == Entry::Meets {
            return self.meeting_over(now, run);
        }
        self.out_of_room(&run);
        self.on_from_room(now, run.op.timed_out.as_deref());
    }

    /// The leg is the plan's again.
    pub(super) fn out_of_room(&mut self, run: &RoomRun) {
        if run.plays() {
            self.put(Effect::StopPlayout);
        }
        self.put(Effect::LeaveRoom);
        self.put(Effect::Mode(MediaMode::Normal));
    }

    fn on_from_room(&mut self, now: Duration, section: Option<&str>) {
        match (section.map(str::to_owned), &self.phase) {
            (Some(section), Phase::Answered { .. }) => self.go(now, &section),
            _ => self.run(now),
        }
    }
}
