//! Calls that we place: journal, INVITE, ringing, answer, then the agent talks.

use std::time::Duration;

use model::EndReason;

use super::ending::Close;
use super::{Call, CallFact, Effect, Incoming, Input, Party, Phase, Started, Task};
use crate::consent::RecordingPolicy;
use crate::dialplan::action::{AgentSource, Op, RoomOp};
use crate::dialplan::{Variables, Walk};

/// Longer than its INVITE may ring: the dialog gives up first and says why.
const GRACE: Duration = Duration::from_secs(5);

/// The longest until its INVITE leaves: the name service, and the trunk's turn.
const WAY: Duration = Duration::from_secs(20);

/// A call to place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Called party, as the order names it.
    pub to: String,
    /// Calling party: a user part.
    pub from: String,
    /// Who talks when it is answered.
    pub talks: Talks,
    /// When it is recorded.
    pub recording: RecordingPolicy,
    /// How long it may ring.
    pub ring_for: Duration,
    /// Longest time from answer to end; none is the server's limit.
    pub max_duration: Option<Duration>,
}

/// Who talks with whom we call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Talks {
    /// An agent.
    Agent(AgentSource),
    /// Whoever is in this room.
    Room(RoomOp),
}

/// What happens to a call that we place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placing {
    /// The order. First of all.
    Begin(Box<Outgoing>),
    /// The INVITE leaves: from now on it may ring.
    Invited,
    /// The far side rings (RFC 3261 §21.1.2).
    Ringing,
    /// The far side sends sound before it answers (183 with SDP).
    Progress,
    /// The far side answered; our ACK is on its way.
    Answered,
    /// It came to nothing.
    Failed {
        /// The final status; none when there was no response.
        status: Option<u16>,
        /// The Q.850 cause given with it.
        q850: Option<u8>,
        /// What the record says.
        reason: EndReason,
    },
}

impl Call {
    pub(super) fn place(&mut self, now: Duration, outgoing: Outgoing) {
        self.started_at = now;
        self.started = Started::Unwritten {
            deadline: now.saturating_add(self.config.limits.journal),
        };
        self.incoming = Incoming {
            to: outgoing.to.clone(),
            from: outgoing.from.clone(),
            ..Incoming::default()
        };
        if let Some(limit) = outgoing.max_duration {
            self.config.limits.duration = self.config.limits.duration.min(limit);
        }
        let deadline = now
            .saturating_add(outgoing.ring_for)
            .saturating_add(GRACE)
            .saturating_add(WAY)
            .saturating_add(self.config.limits.journal);
        let asks = outgoing.recording.mode.waits();
        self.phase = Phase::Calling {
            outgoing: Box::new(outgoing),
            placed: false,
            ringing: false,
            deadline,
        };
        self.fact(CallFact::Started);
        if asks {
            self.withhold(true);
        }
    }

    /// What happens between the order and the answer.
    pub(super) fn in_calling(&mut self, now: Duration, input: Input) {
        match input {
            Input::Journaled => self.invite(now),
            Input::JournalRefused => self.journal_refused(now),
            Input::Placing(placing) => self.placing(now, &placing),
            Input::Unusable(why) => self.unusable(now, why),
            Input::Line(news) => self.early_line_news(now, news),
            // RFC 3261 §13.2.2.4: a BYE may overtake the 200 it answers.
            Input::RemoteBye => self.given_up(now),
            Input::TransportLost => self.not_reached(now, None, None, EndReason::TransportFailed),
            Input::LegLost => self.leg_lost(now),
            Input::Kill(cause) => self.kill(now, cause),
            Input::AgentReady => self.agent_ready(now),
            Input::AgentFailed { reason } => self.agent_failed(now, reason),
            // Before the answer nobody owes us sound or an ACK, and no plan runs.
            Input::Incoming(_)
            | Input::Resolved(_)
            | Input::Acknowledged
            | Input::AckTimeout
            | Input::Cancelled
            | Input::PlayFinished { .. }
            | Input::PlayFailed { .. }
            | Input::Digit(_)
            | Input::MediaTimeout
            | Input::MediaClosed
            | Input::AgentEnded(_)
            | Input::DialRinging { .. }
            | Input::DialAnswered { .. }
            | Input::DialFailed { .. }
            | Input::Handover(_)
            | Input::Room(_)
            | Input::Recording(_)
            | Input::Moved(_)
            | Input::BridgeEnded => {}
        }
    }

    /// `started` is on the disk: the INVITE may leave, and the agent warms up meanwhile.
    fn invite(&mut self, now: Duration) {
        self.started = Started::Written;
        let Phase::Calling {
            outgoing, placed, ..
        } = &mut self.phase
        else {
            return;
        };
        if std::mem::replace(placed, true) {
            return;
        }
        let (ring_for, talks) = (outgoing.ring_for, outgoing.talks.clone());
        self.put(Effect::Place { ring_for });
        if let Talks::Agent(agent) = talks {
            self.prepare_agent(now, agent);
        }
    }

    fn placing(&mut self, now: Duration, placing: &Placing) {
        match *placing {
            Placing::Invited => self.invited(now),
            Placing::Ringing => self.far_rings(CallFact::Ringing),
            Placing::Progress => self.far_rings(CallFact::EarlyMedia),
            Placing::Answered => self.far_answered(now),
            Placing::Failed {
                status,
                q850,
                reason,
            } => self.not_reached(now, status, q850, reason),
            Placing::Begin(_) => {}
        }
    }

    /// The wait for a trunk's turn does not count as ringing.
    fn invited(&mut self, now: Duration) {
        if let Phase::Calling {
            outgoing, deadline, ..
        } = &mut self.phase
        {
            *deadline = now.saturating_add(outgoing.ring_for).saturating_add(GRACE);
        }
    }

    fn far_rings(&mut self, fact: CallFact) {
        if let Phase::Calling { ringing, .. } = &mut self.phase
            && (!std::mem::replace(ringing, true) || fact == CallFact::EarlyMedia)
        {
            self.fact(fact);
        }
    }

    fn far_answered(&mut self, now: Duration) {
        let answered = Phase::Answered {
            at: now,
            acknowledged: true,
        };
        let Phase::Calling { outgoing, .. } = std::mem::replace(&mut self.phase, answered) else {
            return;
        };
        self.fact(CallFact::Answered {
            setup: now.saturating_sub(self.started_at),
        });
        let mut ops: Vec<Op> = outgoing.recording.op().into_iter().collect();
        ops.push(match outgoing.talks {
            Talks::Agent(agent) => Op::Agent(agent),
            Talks::Room(op) => Op::Room(op),
        });
        let plan = std::sync::Arc::clone(&self.plan);
        self.walk = Some(Walk::doing(plan, Variables::default(), ops));
        self.task = Task::Ready;
        self.run(now);
    }

    /// Nobody answered. What went wrong on the far side needs no telling there.
    fn not_reached(
        &mut self,
        now: Duration,
        status: Option<u16>,
        q850: Option<u8>,
        reason: EndReason,
    ) {
        let close = Close {
            reason,
            by: Party::Callee,
            status: status.unwrap_or(408),
            q850: q850.unwrap_or_else(|| model::cause::q850_of_sip(status.unwrap_or(408))),
        };
        self.end_untold(now, close);
    }
}
