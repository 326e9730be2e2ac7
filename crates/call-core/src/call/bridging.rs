//! Bridging: calls one stage after the other, joins with the first that answers.

use std::time::Duration;

use model::EndReason;

use super::ending::Close;
use super::{Call, CallFact, DialFailure, Effect, Party, Phase, Task};
use crate::dialplan::action::BridgeOp;

/// A bridge under way.
#[derive(Debug)]
pub(super) struct BridgeRun {
    op: BridgeOp,
    /// Stages that have been called, the present one included.
    stage: usize,
    attempt: u32,
    deadline: Duration,
    busy: bool,
    unanswered: bool,
    target: String,
}

impl BridgeRun {
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    fn note(&mut self, failure: DialFailure) {
        match failure {
            DialFailure::Busy => self.busy = true,
            DialFailure::NoAnswer => self.unanswered = true,
            DialFailure::Failed => {}
        }
    }

    fn outcome(&self) -> DialFailure {
        match (self.busy, self.unanswered) {
            (true, _) => DialFailure::Busy,
            (false, true) => DialFailure::NoAnswer,
            (false, false) => DialFailure::Failed,
        }
    }
}

impl Call {
    pub(super) fn bridge(&mut self, now: Duration, op: BridgeOp) {
        let run = BridgeRun {
            op,
            stage: 0,
            attempt: 0,
            deadline: now,
            busy: false,
            unanswered: false,
            target: String::new(),
        };
        self.dial_next(now, run);
    }

    fn dial_next(&mut self, now: Duration, mut run: BridgeRun) {
        let Some(targets) = run.op.stages.get(run.stage).cloned() else {
            return self.bridge_failed(now, &run);
        };
        run.stage += 1;
        run.attempt = u32::try_from(self.tag()).unwrap_or(u32::MAX);
        run.deadline = now.saturating_add(run.op.ring_for);
        let from = run
            .op
            .from
            .clone()
            .unwrap_or_else(|| self.incoming.from.clone());
        self.put(Effect::Dial {
            attempt: run.attempt,
            targets,
            ring_for: run.op.ring_for,
            from,
        });
        self.task = Task::Dialing(run);
    }

    pub(super) fn dial_ringing(&mut self, attempt: u32) {
        if matches!(&self.task, Task::Dialing(run) if run.attempt == attempt) {
            self.ring();
        }
    }

    pub(super) fn dial_answered(&mut self, now: Duration, attempt: u32, target: String) {
        let Some(mut run) = self.take_dial(attempt) else {
            return;
        };
        run.target = target;
        if matches!(self.phase, Phase::Answered { .. }) {
            return self.join(&run);
        }
        self.task = Task::Joining(run);
        self.answer_when_ready(now);
    }

    pub(super) fn join(&mut self, run: &BridgeRun) {
        self.put(Effect::Join {
            attempt: run.attempt,
        });
        self.fact(CallFact::Bridged {
            target: run.target.clone(),
        });
        self.task = Task::Joined;
    }

    pub(super) fn dial_failed(&mut self, now: Duration, attempt: u32, failure: DialFailure) {
        let Some(mut run) = self.take_dial(attempt) else {
            return;
        };
        run.note(failure);
        self.dial_next(now, run);
    }

    pub(super) fn dial_timed_out(&mut self, now: Duration, mut run: BridgeRun) {
        self.put(Effect::CancelDial {
            attempt: run.attempt,
        });
        run.note(DialFailure::NoAnswer);
        self.dial_next(now, run);
    }

    /// The other leg hung up: joined, or before our own 200 was out.
    pub(super) fn bridge_ended(&mut self, now: Duration) {
        if matches!(self.task, Task::Joined | Task::Joining(_)) {
            self.close = Close {
                reason: EndReason::BridgeEnded,
                by: Party::Bridge,
                status: 480,
                q850: 16,
            };
            self.task = Task::Ready;
            self.run(now);
        }
    }

    /// The dial with this number, if it is the present one; reports of earlier ones are late.
    fn take_dial(&mut self, attempt: u32) -> Option<BridgeRun> {
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Dialing(run) if run.attempt == attempt => Some(run),
            task => {
                self.task = task;
                None
            }
        }
    }

    fn bridge_failed(&mut self, now: Duration, run: &BridgeRun) {
        let (reason, status, q850, section) = match run.outcome() {
            DialFailure::Busy => (EndReason::Busy, 486, 17, &run.op.on_busy),
            DialFailure::NoAnswer => (EndReason::NoAnswer, 480, 19, &run.op.on_no_answer),
            DialFailure::Failed => (EndReason::TransportFailed, 502, 27, &run.op.on_failed),
        };
        self.close = Close {
            reason,
            by: Party::Bridge,
            status,
            q850,
        };
        self.task = Task::Ready;
        match section {
            Some(section) => self.go(now, section),
            None => self.run(now),
        }
    }
}
