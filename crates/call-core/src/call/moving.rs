//! One side of a call leaves and somebody else comes in its place: a phone that transfers (RFC 3515), or whose place another
//! one takes (RFC 3891). Who is left meets the newcomer in a room; either may be there first. Everybody stays in the call that
//! he was in, which lives as long as who is left of it.

use std::time::Duration;

use model::EndReason;

use super::agent::Seat;
use super::bridging::Hand;
use super::ending::Close;
use super::rooms::RoomRun;
use super::{Call, CallFact, Effect, Input, Party, Phase, Task};
use crate::dialplan::Variables;
use crate::dialplan::Walk;
use crate::dialplan::action::{Entry, Op, RoomOp};

/// Which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Our own leg: who called us, or whom an order made us call.
    Caller,
    /// Whom we called for a bridge.
    Callee,
}

/// A side gives its place to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Who leaves.
    pub side: Side,
    /// Where who is left meets the newcomer.
    pub room: String,
    /// The newcomer, for the record.
    pub to: String,
    /// `blind`, `attended` or `replaced`.
    pub mode: &'static str,
    /// How long the newcomer may take.
    pub alone_for: Duration,
}

/// Whether a side may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaving {
    /// Not now.
    No,
    /// The other side is free to go into any room.
    Free,
    /// The other side is in this room already, by an earlier move.
    From(String),
}

impl RoomOp {
    /// A room in which two meet, whoever is there first. A third fits in while one gives way to him.
    pub fn meeting(room: impl Into<String>, alone_for: Duration) -> RoomOp {
        RoomOp {
            room: room.into(),
            seats: 3,
            entry: Entry::Meets,
            music: None,
            alone_for: Some(alone_for),
            refused: None,
            timed_out: None,
        }
    }
}

impl Call {
    /// Whether this side may give its place to somebody else now.
    pub fn may_leave(&self, side: Side) -> Leaving {
        let stands = matches!(self.phase, Phase::Answered { .. });
        let early = matches!(self.phase, Phase::Early { .. });
        match (&self.task, side) {
            (Task::Joined(_), _) if stands => Leaving::Free,
            // Whoever rings can have the call taken from him (RFC 3891 §3).
            (Task::Dialing(_), Side::Callee) if stands || early => Leaving::Free,
            (Task::InRoom(run), side) if stands && run.is_met_by(side) => {
                Leaving::From(run.room().to_owned())
            }
            _ => Leaving::No,
        }
    }

    /// The side leaves. What cannot be any more changes nothing: the newcomer finds nobody.
    pub(super) fn moved(&mut self, now: Duration, moved: Move) {
        if self.may_leave(moved.side) == Leaving::No {
            return;
        }
        self.fact(CallFact::Transferred {
            target: moved.to.clone(),
            mode: moved.mode,
        });
        match (std::mem::replace(&mut self.task, Task::Ready), moved.side) {
            (Task::Joined(hand), Side::Callee) => {
                self.put(Effect::Unjoin);
                self.meet(moved, hand);
            }
            (Task::Joined(_), Side::Caller) => self.caller_leaves(moved),
            (Task::Dialing(run), _) => {
                self.put(Effect::CancelDial {
                    attempt: run.attempt(),
                });
                match &self.phase {
                    Phase::Answered { .. } => self.meet(moved, run.into_hand()),
                    _ => self.start(now, Op::Room(RoomOp::meeting(moved.room, moved.alone_for))),
                }
            }
            (task, _) => {
                self.task = task;
                self.end_with(now, transferred());
            }
        }
    }

    fn meet(&mut self, moved: Move, hand: Option<Hand>) {
        let op = RoomOp::meeting(moved.room, moved.alone_for);
        self.go_in(RoomRun::new(op).with(hand), Side::Caller);
    }

    /// The call goes on without the leg it began with.
    fn caller_leaves(&mut self, moved: Move) {
        self.put(Effect::Hangup { q850: 16 });
        if std::mem::replace(&mut self.recording, false) {
            self.put(Effect::StopRecord);
        }
        if self.seat.is_taken() {
            self.put(Effect::StopAgent);
        }
        self.seat = Seat::Empty;
        self.digits.cancel();
        self.line = super::line::Line::default();
        self.put(Effect::CloseLeg);
        let op = RoomOp::meeting(moved.room, moved.alone_for);
        self.go_in(RoomRun::new(op).without_caller(), Side::Callee);
    }

    /// Whether the leg that the call began with is gone while the call lives on.
    pub(super) fn caller_has_left(&self) -> bool {
        matches!(&self.task, Task::InRoom(run) if run.caller_left())
    }

    /// The other one has left the meeting, or never came.
    pub(super) fn meeting_over(&mut self, now: Duration, run: RoomRun) {
        if run.caller_left() {
            self.task = Task::InRoom(run);
            return self.end_with(now, transferred());
        }
        self.out_of_room(&run);
        self.talk_over(now, run.into_hand());
    }

    /// An INVITE that takes somebody's place (RFC 3891): no route, but the room where who is left comes to.
    pub(super) fn take_place(&mut self, now: Duration, op: RoomOp) {
        let plan = std::sync::Arc::clone(&self.plan);
        let ops = vec![Op::Room(op)];
        self.walk = Some(Walk::doing(plan, Variables::default(), ops));
        self.phase = Phase::Early {
            sent: super::Provisional::None,
        };
        self.run(now);
    }
}

/// Who left has handed the call to somebody else.
const fn transferred() -> Close {
    Close {
        reason: EndReason::Transferred,
        by: Party::Caller,
        status: 480,
        q850: 16,
    }
}

/// What still comes from the leg that the call began with, when that is over: its BYE that crossed ours, its last packets.
pub(super) fn is_of_his_line(input: &Input) -> bool {
    matches!(
        input,
        Input::RemoteBye
            | Input::AckTimeout
            | Input::Acknowledged
            | Input::Line(_)
            | Input::TransportLost
            | Input::MediaTimeout
            | Input::Unusable(_)
            | Input::Digit(_)
    )
}
