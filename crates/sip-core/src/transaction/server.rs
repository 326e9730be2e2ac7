//! The non-INVITE server transaction (RFC 3261 §17.2.2).

use std::time::Duration;

use bytes::Bytes;

use super::{Effects, ServerEffect, ServerInput};
use crate::timers::Timers;

/// Trying, Proceeding, Completed (answers retransmissions until timer J), Terminated.
#[derive(Clone, Debug)]
pub struct ServerTransaction {
    timers: Timers,
    reliable: bool,
    state: State,
    effects: Effects<ServerEffect>,
}

#[derive(Clone, Debug)]
enum State {
    Trying,
    Proceeding { last: Bytes },
    Completed { response: Bytes, until: Duration },
    Terminated,
}

impl ServerTransaction {
    /// A transaction for a request that just arrived.
    pub fn new(timers: Timers, reliable: bool) -> Self {
        Self {
            timers,
            reliable,
            state: State::Trying,
            effects: Effects::new(),
        }
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The final response and until when it must be re-sent on request.
    pub fn completed(&self) -> Option<(&Bytes, Duration)> {
        match &self.state {
            State::Completed { response, until } => Some((response, *until)),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: ServerInput) {
        use ServerInput::{Ack, Respond, Retransmission, TransportFailed};
        match (&mut self.state, input) {
            // §17.2.2: nothing to repeat yet.
            (State::Trying, Retransmission) => {}
            (State::Proceeding { last }, Retransmission) => {
                self.effects.push_back(ServerEffect::Send(last.clone()));
            }
            (State::Completed { response, .. }, Retransmission) => {
                self.effects.push_back(ServerEffect::Send(response.clone()));
            }
            (State::Trying | State::Proceeding { .. }, Respond { status, bytes }) => {
                self.respond(now, status, bytes);
            }
            // §17.2.2: further final responses are discarded.
            (State::Completed { .. }, Respond { .. }) => {}
            // §17.2.4: the user is told by the transport itself.
            (
                State::Trying | State::Proceeding { .. } | State::Completed { .. },
                TransportFailed,
            ) => self.terminate(),
            (State::Trying | State::Proceeding { .. } | State::Completed { .. }, Ack)
            | (State::Terminated, Retransmission | Ack | Respond { .. } | TransportFailed) => {}
        }
    }

    fn respond(&mut self, now: Duration, status: u16, bytes: Bytes) {
        self.effects.push_back(ServerEffect::Send(bytes.clone()));
        if status < 200 {
            self.state = State::Proceeding { last: bytes };
        } else if self.reliable {
            self.terminate();
        } else {
            self.state = State::Completed {
                response: bytes,
                until: now + self.timers.sixty_four_t1(),
            };
        }
    }

    fn terminate(&mut self) {
        self.state = State::Terminated;
        self.effects.push_back(ServerEffect::Terminated);
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<ServerEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.completed().map(|(_, until)| until)
    }

    /// Timer J.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.completed().is_some_and(|(_, until)| now >= until) {
            self.terminate();
        }
    }
}
