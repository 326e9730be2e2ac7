//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::time::Duration;

use bytes::Bytes;

use super::{Doubling, Effects, ServerEffect, ServerInput};
use crate::timers::{Timers, earliest};

/// Proceeding until a final response; Completed (refused, waits for the ACK), Confirmed (absorbs more ACKs),
/// or Accepted (2xx, absorbs retransmissions of the INVITE while the dialog re-sends the 2xx).
#[derive(Clone, Debug)]
pub struct InviteServer {
    timers: Timers,
    reliable: bool,
    state: State,
    effects: Effects<ServerEffect>,
}

#[derive(Clone, Debug)]
enum State {
    Proceeding {
        last: Option<Bytes>,
    },
    Completed {
        response: Bytes,
        /// Timer G; none over reliable transports.
        resend: Option<Doubling>,
        /// Timer H.
        give_up: Duration,
    },
    Confirmed {
        /// Timer I.
        until: Duration,
    },
    Accepted {
        /// Timer L.
        until: Duration,
    },
    Terminated,
}

impl InviteServer {
    /// A transaction for an INVITE that just arrived.
    pub fn new(timers: Timers, reliable: bool) -> Self {
        Self {
            timers,
            reliable,
            state: State::Proceeding { last: None },
            effects: Effects::new(),
        }
    }

    /// Whether no final response was sent yet.
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether a 2xx was sent through it.
    pub fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted { .. })
    }

    /// Whether it still waits for the ACK of a refusal.
    pub fn awaits_ack(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The response a retransmission would get.
    pub fn last_response(&self) -> Option<&Bytes> {
        match &self.state {
            State::Proceeding { last } => last.as_ref(),
            State::Completed { response, .. } => Some(response),
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => None,
        }
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: ServerInput) {
        use ServerInput::{Ack, Respond, Retransmission, TransportFailed};
        match (&mut self.state, input) {
            // §17.2.1: a retransmission gets the last provisional response again.
            (State::Proceeding { last }, Retransmission) => {
                let last = last.clone();
                self.effects.extend(last.map(ServerEffect::Send));
            }
            (State::Proceeding { .. }, Respond { status, bytes }) => {
                self.respond(now, status, bytes);
            }
            // §17.2.1: a retransmission in Completed gets the final response again.
            (State::Completed { response, .. }, Retransmission) => {
                self.effects.push_back(ServerEffect::Send(response.clone()));
            }
            // §17.2.1: the ACK; timer I absorbs its retransmissions.
            (State::Completed { .. }, Ack) => self.confirm(now),
            // RFC 6026 §7.1: the dialog re-sends its 2xx through the transaction.
            (
                State::Accepted { .. },
                Respond {
                    status: 200..=299,
                    bytes,
                },
            ) => self.effects.push_back(ServerEffect::Send(bytes)),
            // RFC 6026 §7.1: retransmissions of the INVITE are absorbed, the ACK of a 2xx belongs to the dialog.
            (State::Accepted { .. }, Retransmission | Ack | Respond { .. } | TransportFailed) => {}
            // RFC 6026 §7.1: a transport failure does not end Proceeding, Completed or Confirmed; the timers do.
            (State::Proceeding { .. }, Ack | TransportFailed)
            | (State::Completed { .. }, Respond { .. } | TransportFailed)
            | (
                State::Confirmed { .. } | State::Terminated,
                Retransmission | Ack | Respond { .. } | TransportFailed,
            ) => {}
        }
    }

    fn respond(&mut self, now: Duration, status: u16, bytes: Bytes) {
        self.effects.push_back(ServerEffect::Send(bytes.clone()));
        let long = self.timers.sixty_four_t1();
        self.state = match status {
            0..=199 => State::Proceeding { last: Some(bytes) },
            200..=299 => State::Accepted { until: now + long },
            _ => State::Completed {
                response: bytes,
                resend: (!self.reliable).then(|| Doubling::start(now, self.timers.t1)),
                give_up: now + long,
            },
        };
    }

    fn confirm(&mut self, now: Duration) {
        if self.reliable {
            self.terminate();
        } else {
            self.state = State::Confirmed {
                until: now + self.timers.t4,
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
        match &self.state {
            State::Proceeding { .. } | State::Terminated => None,
            State::Completed {
                resend, give_up, ..
            } => earliest([resend.map(|g| g.next()), Some(*give_up)]),
            State::Confirmed { until } | State::Accepted { until } => Some(*until),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        let timers = self.timers;
        match &mut self.state {
            State::Proceeding { .. } | State::Terminated => {}
            // Timer H: nobody acknowledged.
            State::Completed { give_up, .. } if now >= *give_up => {
                self.effects.push_back(ServerEffect::AckTimeout);
                self.terminate();
            }
            // Timer G.
            State::Completed {
                response,
                resend: Some(resend),
                ..
            } => {
                if resend.fire(now, |interval| timers.next_interval(interval)) {
                    self.effects.push_back(ServerEffect::Send(response.clone()));
                }
            }
            State::Completed { resend: None, .. } => {}
            // Timers I and L.
            State::Confirmed { until } | State::Accepted { until } => {
                if now >= *until {
                    self.terminate();
                }
            }
        }
    }
}
