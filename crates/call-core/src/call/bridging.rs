//! Bridging: asks the far side to call somebody itself, or calls one stage after the other and joins
//! with the first that answers. Wanted by the plan, or by an agent that gets the caller back when
//! nobody takes him.

use std::time::Duration;

use model::EndReason;

use super::ending::Close;
use super::{Call, CallFact, DialFailure, Effect, MediaMode, Party, Phase, Task};
use crate::dialing::By;
use crate::dialplan::action::{BridgeOp, Refer};

/// A REFER that was accepted gets so much longer than its target may ring.
const REFER_GRACE: Duration = Duration::from_secs(5);

/// An agent's wish to hand its caller over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// What the record calls the destination.
    pub name: String,
    /// Whom, and how.
    pub op: BridgeOp,
    /// Whether the agent takes the caller back when the target has hung up.
    pub resume: bool,
    /// Whether the recording goes on with the target.
    pub record: bool,
}

/// News of a handover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoverNews {
    /// An agent, or the office for it, wants to hand the caller over.
    Wanted(Box<Handover>),
    /// The final answer to our REFER (RFC 3515 §2.4.2).
    ReferAnswered {
        /// 200–699.
        status: u16,
    },
    /// What the far side tells of the call it makes (NOTIFY, RFC 3515 §2.4.5).
    ReferProgress {
        /// The status it has seen.
        status: Option<u16>,
        /// The subscription is over.
        last: bool,
    },
    /// The leg of whoever we called has lasted as long as the rules let it.
    TooLong,
}

/// How a handover ended for its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverEnd {
    /// Nobody took the caller.
    Failed(DialFailure),
    /// The target has talked with the caller and hung up.
    Over,
}

/// A bridge under way.
#[derive(Debug)]
pub(super) struct BridgeRun {
    op: BridgeOp,
    /// Stages that have been called, the present one included.
    stage: usize,
    attempt: u32,
    deadline: Duration,
    failure: Option<DialFailure>,
    target: String,
    handover: Option<Hand>,
}

/// What an agent's handover has beside its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hand {
    name: String,
    resume: bool,
    record: bool,
}

impl BridgeRun {
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    fn note(&mut self, failure: DialFailure) {
        self.failure = Some(failure.or(self.failure));
    }

    fn outcome(&self) -> DialFailure {
        self.failure.unwrap_or(DialFailure::Failed)
    }

    pub(super) fn into_hand(self) -> Option<Hand> {
        self.handover
    }
}

impl Call {
    pub(super) fn bridge(&mut self, now: Duration, op: BridgeOp) {
        self.call_somebody(now, op, None);
    }

    fn call_somebody(&mut self, now: Duration, op: BridgeOp, handover: Option<Hand>) {
        let mut run = BridgeRun {
            op,
            stage: 0,
            attempt: 0,
            deadline: now,
            failure: None,
            target: String::new(),
            handover,
        };
        let first = run.op.stages.first().and_then(|stage| stage.first());
        // REFER is for a call that stands (RFC 3515 §2.4.1); before that we call ourselves.
        match (run.op.refer, first.cloned(), &self.phase) {
            (Refer::First | Refer::Only, Some(to), Phase::Answered { .. }) => {
                run.deadline = now
                    .saturating_add(run.op.ring_for)
                    .saturating_add(REFER_GRACE);
                run.target.clone_from(&to.name);
                let by = self.wanted_by(&run);
                self.put(Effect::Refer { to, by });
                self.task = Task::Referring(run);
            }
            (Refer::First | Refer::Only | Refer::Never, _, _) => self.dial_first(now, run),
        }
    }

    /// We call ourselves: the caller of an agent hears it ring.
    fn dial_first(&mut self, now: Duration, run: BridgeRun) {
        if run.handover.is_some() {
            self.put(Effect::Mode(MediaMode::Ringback));
        }
        self.dial_next(now, run);
    }

    pub(super) fn handover(&mut self, now: Duration, news: HandoverNews) {
        match news {
            HandoverNews::Wanted(handover) => self.hand_over(now, *handover),
            HandoverNews::ReferAnswered { status } if status >= 300 => {
                self.refer_refused(now, status);
            }
            HandoverNews::ReferProgress {
                status: Some(status),
                ..
            } if status >= 300 => self.refer_refused(now, status),
            HandoverNews::ReferProgress {
                status: Some(200..=299),
                ..
            } => self.referred(now),
            // 202 says no more than that it will be tried; 100 and 180 that it is.
            HandoverNews::ReferAnswered { .. }
            | HandoverNews::ReferProgress { last: false, .. } => {}
            HandoverNews::TooLong
                if matches!(self.task, Task::Joined(_)) || self.caller_has_left() =>
            {
                self.too_long(now);
            }
            HandoverNews::TooLong => {}
            // A subscription that ends without a word leaves it open whether anybody answered.
            HandoverNews::ReferProgress { last: true, .. } => self.refer_refused(now, 408),
        }
    }

    /// Only an agent at work hands over; whoever wants it otherwise is told that it failed.
    fn hand_over(&mut self, now: Duration, handover: Handover) {
        if !matches!(self.task, Task::Agent) {
            let end = HandoverEnd::Failed(DialFailure::Failed);
            return self.put(Effect::ResumeAgent { end });
        }
        let mode = match handover.op.refer {
            Refer::Never => "bridge",
            Refer::First | Refer::Only => "refer",
        };
        self.fact(CallFact::TransferStarted {
            to: handover.name.clone(),
            mode,
        });
        self.put(Effect::HoldAgent);
        let hand = Hand {
            name: handover.name,
            resume: handover.resume,
            record: handover.record,
        };
        self.call_somebody(now, handover.op, Some(hand));
    }

    fn refer_refused(&mut self, now: Duration, status: u16) {
        let Some(mut run) = self.take_refer() else {
            return;
        };
        run.note(match status {
            486 | 600 => DialFailure::Busy,
            408 | 480 | 487 => DialFailure::NoAnswer,
            _ => DialFailure::Failed,
        });
        match run.op.refer {
            Refer::First => self.dial_first(now, run),
            Refer::Only | Refer::Never => self.bridge_failed(now, &run),
        }
    }

    pub(super) fn refer_timed_out(&mut self, now: Duration, mut run: BridgeRun) {
        run.note(DialFailure::NoAnswer);
        self.bridge_failed(now, &run);
    }

    /// The far side has its new call: this one is over.
    fn referred(&mut self, now: Duration) {
        let Some(run) = self.take_refer() else {
            return;
        };
        self.fact(CallFact::Transferred {
            target: run.target,
            mode: "refer",
        });
        self.end_with(
            now,
            Close {
                reason: EndReason::Transferred,
                by: Party::Server,
                status: 480,
                q850: 16,
            },
        );
    }

    fn take_refer(&mut self) -> Option<BridgeRun> {
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Referring(run) => Some(run),
            task => {
                self.task = task;
                None
            }
        }
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
        let by = self.wanted_by(&run);
        self.put(Effect::Dial {
            attempt: run.attempt,
            targets,
            by,
            ring_for: run.op.ring_for,
            from,
        });
        self.task = Task::Dialing(run);
    }

    /// Whoever is called because somebody else was not reached is called by the fallback.
    fn wanted_by(&self, run: &BridgeRun) -> By {
        match (&run.handover, self.fallback || run.stage > 1) {
            (Some(_), _) => By::Agent,
            (None, true) => By::Fallback,
            (None, false) => By::Dialplan,
        }
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
        if let Some(hand) = &run.handover {
            self.fact(CallFact::Transferred {
                target: run.target.clone(),
                mode: "bridge",
            });
            if !hand.record && std::mem::replace(&mut self.recording, false) {
                self.put(Effect::StopRecord);
            }
        }
        self.task = Task::Joined(run.handover.clone());
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
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Joined(hand) => self.talk_over(now, hand),
            Task::Joining(_) => self.talk_over(now, None),
            Task::InRoom(run) if run.caller_left() => self.meeting_over(now, run),
            task => self.task = task,
        }
    }

    /// Whoever talked with the caller is gone: the agent has him back, or the plan goes on.
    pub(super) fn talk_over(&mut self, now: Duration, hand: Option<Hand>) {
        let close = Close {
            reason: EndReason::BridgeEnded,
            by: Party::Bridge,
            status: 480,
            q850: 16,
        };
        match hand {
            Some(hand) if hand.resume => {
                self.fact(CallFact::AgentResumed);
                self.back_to_agent(HandoverEnd::Over);
            }
            Some(_) => self.end_with(now, close),
            None => {
                self.close = close;
                self.run(now);
            }
        }
    }

    /// The agent has its caller again.
    fn back_to_agent(&mut self, end: HandoverEnd) {
        self.put(Effect::Mode(MediaMode::Normal));
        self.put(Effect::ResumeAgent { end });
        self.task = Task::Agent;
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
            DialFailure::Full => (EndReason::Capacity, 503, 34, &run.op.on_failed),
            DialFailure::Forbidden => (EndReason::Forbidden, 403, 21, &run.op.on_failed),
            DialFailure::NotFound => (EndReason::NotFound, 404, 1, &run.op.on_failed),
        };
        if let Some(hand) = &run.handover {
            self.fact(CallFact::TransferFailed {
                to: hand.name.clone(),
                reason,
            });
            return self.back_to_agent(HandoverEnd::Failed(run.outcome()));
        }
        self.close = Close {
            reason,
            by: Party::Bridge,
            status,
            q850,
        };
        self.task = Task::Ready;
        match section {
            Some(section) => {
                self.fallback = true;
                self.go(now, section);
            }
            None => self.run(now),
        }
    }
}
