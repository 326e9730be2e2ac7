//! The agent's seat in a call: prepared before the answer, started after it.

use std::time::Duration;

use model::EndReason;

use super::ending::Close;
use super::{AgentEnd, AgentStart, Call, CallFact, Effect, Party, Task};
use crate::dialplan::action::AgentSource;

/// Where the agent is.
#[derive(Debug)]
pub(super) enum Seat {
    Empty,
    Preparing {
        source: AgentSource,
        deadline: Duration,
    },
    Ready {
        source: AgentSource,
    },
    Late {
        source: AgentSource,
    },
    Failed {
        source: AgentSource,
        reason: String,
    },
    Running,
}

impl Seat {
    pub(super) fn is_preparing(&self) -> bool {
        matches!(self, Seat::Preparing { .. })
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Seat::Preparing { deadline, .. } => Some(*deadline),
            Seat::Empty
            | Seat::Ready { .. }
            | Seat::Late { .. }
            | Seat::Failed { .. }
            | Seat::Running => None,
        }
    }

    /// True when somebody sits there who must be told to leave.
    pub(super) fn is_taken(&self) -> bool {
        match self {
            Seat::Preparing { .. } | Seat::Ready { .. } | Seat::Late { .. } | Seat::Running => true,
            Seat::Empty | Seat::Failed { .. } => false,
        }
    }
}

impl Call {
    pub(super) fn prepare_agent(&mut self, now: Duration, source: AgentSource) {
        self.put(Effect::PrepareAgent {
            agent: source.clone(),
        });
        let deadline = now.saturating_add(self.config.limits.prepare);
        self.seat = Seat::Preparing { source, deadline };
    }

    pub(super) fn agent_ready(&mut self, now: Duration) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Preparing { source, .. } | Seat::Late { source } => {
                self.seat = Seat::Ready { source }
            }
            seat @ (Seat::Empty | Seat::Ready { .. } | Seat::Failed { .. } | Seat::Running) => {
                self.seat = seat
            }
        }
        self.answer_when_ready(now);
    }

    pub(super) fn agent_late(&mut self, now: Duration) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Preparing { source, .. } => self.seat = Seat::Late { source },
            seat @ (Seat::Empty
            | Seat::Ready { .. }
            | Seat::Late { .. }
            | Seat::Failed { .. }
            | Seat::Running) => self.seat = seat,
        }
        self.answer_when_ready(now);
    }

    pub(super) fn agent_failed(&mut self, now: Duration, reason: String) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Preparing { source, .. } | Seat::Ready { source } | Seat::Late { source } => {
                self.fact(CallFact::AgentFailed {
                    reason: reason.clone(),
                });
                self.seat = Seat::Failed { source, reason };
                self.answer_when_ready(now);
            }
            Seat::Running => {
                self.fact(CallFact::AgentFailed { reason });
                self.close = Close {
                    reason: EndReason::AgentFailed,
                    by: Party::Server,
                    status: 503,
                    q850: 41,
                };
                self.after_agent(now, None);
            }
            seat @ (Seat::Empty | Seat::Failed { .. }) => self.seat = seat,
        }
    }

    pub(super) fn start_agent(&mut self, source: AgentSource) {
        let start = match std::mem::replace(&mut self.seat, Seat::Running) {
            Seat::Ready { source: ready } if ready == source => AgentStart::Warm,
            Seat::Failed {
                source: failed,
                reason,
            } if failed == source => AgentStart::Fallback { reason },
            Seat::Late { source: late } | Seat::Preparing { source: late, .. }
                if late == source =>
            {
                AgentStart::Fallback {
                    reason: "the agent was not ready in time".to_owned(),
                }
            }
            // Another agent than the one prepared: the plan went elsewhere meanwhile.
            Seat::Ready { .. } | Seat::Late { .. } | Seat::Preparing { .. } => {
                self.put(Effect::StopAgent);
                AgentStart::Cold
            }
            Seat::Empty | Seat::Failed { .. } | Seat::Running => AgentStart::Cold,
        };
        self.agent = Some(source.clone());
        self.fact(CallFact::AgentStarted {
            agent: source.clone(),
        });
        self.put(Effect::StartAgent {
            agent: source,
            start,
        });
        self.task = Task::Agent;
    }

    pub(super) fn agent_ended(&mut self, now: Duration, end: AgentEnd) {
        if !matches!(self.seat, Seat::Running) {
            return;
        }
        self.seat = Seat::Empty;
        let reason = match end {
            AgentEnd::Finished | AgentEnd::Goto(_) => EndReason::AgentHangup,
            AgentEnd::Inactive => EndReason::IdleTimeout,
        };
        self.close = Close {
            reason,
            by: Party::Agent,
            status: 480,
            q850: 16,
        };
        let section = match end {
            AgentEnd::Goto(section) => Some(section),
            AgentEnd::Finished | AgentEnd::Inactive => None,
        };
        self.after_agent(now, section);
    }

    fn after_agent(&mut self, now: Duration, section: Option<String>) {
        if !matches!(self.task, Task::Agent) {
            return;
        }
        self.task = Task::Ready;
        match section {
            Some(section) => self.go(now, &section),
            None => self.run(now),
        }
    }
}
