//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use std::time::Duration;

use bytes::Bytes;

use super::{ClientEffect, ClientInput, Doubling, Effects};
use crate::timers::{Timers, earliest};

/// Trying, Proceeding, Completed (absorbs more responses until timer K), Terminated.
#[derive(Clone, Debug)]
pub struct ClientTransaction {
    timers: Timers,
    reliable: bool,
    state: State,
    effects: Effects<ClientEffect>,
}

#[derive(Clone, Debug)]
enum State {
    Trying(Pending),
    Proceeding(Pending),
    Completed { until: Duration },
    Terminated,
}

#[derive(Clone, Debug)]
struct Pending {
    request: Bytes,
    /// Timer E; none over reliable transports.
    resend: Option<Doubling>,
    /// Timer F.
    give_up: Duration,
}

impl ClientTransaction {
    /// Sends the request.
    pub fn new(now: Duration, timers: Timers, reliable: bool, request: Bytes) -> Self {
        let effects = [ClientEffect::Send(request.clone())].into();
        let resend = (!reliable).then(|| Doubling::start(now, timers.t1));
        Self {
            timers,
            reliable,
            state: State::Trying(Pending {
                request,
                resend,
                give_up: now + timers.sixty_four_t1(),
            }),
            effects,
        }
    }

    /// Whether it still waits for a final response.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying(_) | State::Proceeding(_))
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: ClientInput) {
        use ClientInput::{Response, TransportFailed};
        let state = std::mem::replace(&mut self.state, State::Terminated);
        self.state = match (state, input) {
            // §17.1.2.2: from here timer E runs at T2.
            (
                State::Trying(pending) | State::Proceeding(pending),
                Response {
                    status: 0..=199, ..
                },
            ) => {
                self.effects.push_back(ClientEffect::PassUp);
                State::Proceeding(pending)
            }
            (State::Trying(_) | State::Proceeding(_), Response { .. }) => {
                self.effects.push_back(ClientEffect::PassUp);
                self.complete(now)
            }
            // §17.1.2.2: retransmitted responses are absorbed.
            (State::Completed { until }, Response { .. } | TransportFailed) => {
                State::Completed { until }
            }
            (State::Trying(_) | State::Proceeding(_), TransportFailed) => {
                self.end_with(ClientEffect::TransportFailed)
            }
            (State::Terminated, Response { .. } | TransportFailed) => State::Terminated,
        };
    }

    /// Timer K is zero over reliable transports.
    fn complete(&mut self, now: Duration) -> State {
        if self.reliable {
            self.effects.push_back(ClientEffect::Terminated);
            return State::Terminated;
        }
        State::Completed {
            until: now + self.timers.t4,
        }
    }

    fn end_with(&mut self, effect: ClientEffect) -> State {
        self.effects.extend([effect, ClientEffect::Terminated]);
        State::Terminated
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<ClientEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Trying(pending) | State::Proceeding(pending) => earliest([
                pending.resend.map(|resend| resend.next()),
                Some(pending.give_up),
            ]),
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        let timers = self.timers;
        let proceeding = matches!(self.state, State::Proceeding(_));
        match &mut self.state {
            // Timer F.
            State::Trying(pending) | State::Proceeding(pending) if now >= pending.give_up => {
                self.state = self.end_with(ClientEffect::TimedOut);
            }
            // Timer E.
            State::Trying(pending) | State::Proceeding(pending) => {
                let interval = |previous| {
                    if proceeding {
                        timers.t2
                    } else {
                        timers.next_interval(previous)
                    }
                };
                let due = pending
                    .resend
                    .as_mut()
                    .is_some_and(|resend| resend.fire(now, interval));
                if due {
                    let request = pending.request.clone();
                    self.effects.push_back(ClientEffect::Send(request));
                }
            }
            // Timer K.
            State::Completed { until } => {
                if now >= *until {
                    self.effects.push_back(ClientEffect::Terminated);
                    self.state = State::Terminated;
                }
            }
            State::Terminated => {}
        }
    }
}
