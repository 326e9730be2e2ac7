//! The way to 200 and ACK: journal first, agent prepared, then the answer.

use std::time::Duration;

use super::agent::Seat;
use super::{Call, CallFact, Effect, Phase, Started, Task};
use crate::dialplan::Walk;
use crate::dialplan::action::AgentSource;

impl Call {
    /// The plan wants the call answered. An agent further down is prepared meanwhile, and
    /// the caller hears ringing at once.
    pub(super) fn want_answer(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Early { .. }) {
            return;
        }
        let agent = self.walk.as_ref().and_then(Walk::upcoming_agent);
        if let (Some(agent), Seat::Empty) = (agent, &self.seat) {
            self.ring();
            self.prepare_agent(now, agent);
        }
        self.task = Task::Answering;
        self.answer_when_ready(now);
    }

    /// Answers when nothing is missing any more.
    pub(super) fn answer_when_ready(&mut self, now: Duration) {
        let waits = matches!(self.task, Task::Answering | Task::Joining(_));
        let unready = self.started != Started::Written || self.seat.is_preparing();
        if !waits || unready || self.attesting.holds_the_answer() {
            return;
        }
        if let Seat::Failed {
            source: AgentSource::Stub,
            ..
        } = &self.seat
        {
            return self.stub_absent(now);
        }
        self.put(Effect::Answer);
        self.phase = Phase::Answered {
            at: now,
            acknowledged: false,
        };
        self.fact(CallFact::Answered {
            setup: now.saturating_sub(self.started_at),
        });
        self.start_record();
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Joining(run) => self.join(&run),
            Task::Ready
            | Task::Answering
            | Task::AwaitingAck { .. }
            | Task::Agent
            | Task::Playing { .. }
            | Task::Gathering(_)
            | Task::Consenting(_)
            | Task::Dialing(_)
            | Task::Joined(_)
            | Task::InRoom(_)
            | Task::Referring(_)
            | Task::Sounding
            | Task::Tone { .. }
            | Task::Sleeping { .. } => self.run(now),
        }
    }

    /// True when the plan has to stop here until the ACK: what sounds should be heard from its
    /// beginning, and a BYE may not overtake the ACK (RFC 3261 §15).
    pub(super) fn awaits_ack(&mut self, now: Duration) -> bool {
        let Phase::Answered {
            at,
            acknowledged: false,
        } = self.phase
        else {
            return false;
        };
        let until = at.saturating_add(self.config.limits.ack);
        if now >= until {
            return false;
        }
        self.task = Task::AwaitingAck { until };
        true
    }

    pub(super) fn acknowledged(&mut self, now: Duration) {
        let Phase::Answered { acknowledged, .. } = &mut self.phase else {
            return;
        };
        if std::mem::replace(acknowledged, true) {
            return; // a repeated ACK, RFC 3261 §13.3.1.4
        }
        self.fact(CallFact::AckConfirmed);
        if matches!(self.task, Task::AwaitingAck { .. }) {
            self.task = Task::Ready;
            self.run(now);
        }
    }
}
