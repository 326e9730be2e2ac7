//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::time::Duration;

use bytes::Bytes;

use super::{ClientEffect, ClientInput, Doubling, Effects};
use crate::message::{Draft, Framing, Message, Method, parse};
use crate::timers::{Timers, earliest};
use crate::value::Reason;

/// Calling, Proceeding, Completed (refused: acknowledges each repetition until timer D),
/// Accepted (2xx: passes each one up, forks too, until timer M), Terminated.
#[derive(Clone, Debug)]
pub struct InviteClient {
    timers: Timers,
    reliable: bool,
    state: State,
    effects: Effects<ClientEffect>,
}

#[derive(Clone, Debug)]
enum State {
    Calling {
        request: Bytes,
        /// Timer A; none over reliable transports.
        resend: Option<Doubling>,
        /// Timer B.
        give_up: Duration,
    },
    Proceeding {
        request: Bytes,
        /// Once a CANCEL is out, the INVITE must end within 64·T1 (§9.1).
        give_up: Option<Duration>,
    },
    Completed {
        ack: Bytes,
        /// Timer D.
        until: Duration,
    },
    Accepted {
        /// Timer M.
        until: Duration,
    },
    Terminated,
}

impl InviteClient {
    /// Sends the INVITE.
    pub fn new(now: Duration, timers: Timers, reliable: bool, request: Bytes) -> Self {
        let effects = [ClientEffect::Send(request.clone())].into();
        Self {
            timers,
            reliable,
            state: State::Calling {
                request,
                resend: (!reliable).then(|| Doubling::start(now, timers.t1)),
                give_up: now + timers.sixty_four_t1(),
            },
            effects,
        }
    }

    /// A transaction carried on after a crash: its INVITE was sent, no final response is known.
    pub fn resumed(now: Duration, timers: Timers, reliable: bool, request: Bytes) -> Self {
        Self {
            timers,
            reliable,
            state: State::Proceeding {
                request,
                give_up: Some(now + timers.sixty_four_t1()),
            },
            effects: Effects::new(),
        }
    }

    /// Whether it still waits for a final response.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// Whether a provisional response has come and no final one: only then a CANCEL may go (§9.1).
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The INVITE is not repeated any more; an answer that comes yet is still ours.
    pub fn fall_silent(&mut self) {
        if let State::Calling { resend, .. } = &mut self.state {
            *resend = None;
        }
    }

    /// A CANCEL went out: without a final response in 64·T1 the INVITE counts as cancelled (§9.1).
    pub fn cancelled(&mut self, now: Duration) {
        if let State::Proceeding { give_up, .. } = &mut self.state {
            *give_up = Some(now + self.timers.sixty_four_t1());
        }
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: ClientInput) {
        use ClientInput::{Response, TransportFailed};
        let state = std::mem::replace(&mut self.state, State::Terminated);
        self.state = match (state, input) {
            // §17.1.1.2: a provisional response stops timers A and B.
            (
                State::Calling { request, .. },
                Response {
                    status: 0..=199, ..
                },
            ) => {
                self.effects.push_back(ClientEffect::PassUp);
                State::Proceeding {
                    request,
                    give_up: None,
                }
            }
            (
                State::Proceeding { request, give_up },
                Response {
                    status: 0..=199, ..
                },
            ) => {
                self.effects.push_back(ClientEffect::PassUp);
                State::Proceeding { request, give_up }
            }
            // RFC 6026 §7.2: every 2xx goes up, also from other forks.
            (
                State::Calling { .. } | State::Proceeding { .. },
                Response {
                    status: 200..=299, ..
                },
            ) => {
                self.effects.push_back(ClientEffect::PassUp);
                State::Accepted {
                    until: now + self.timers.sixty_four_t1(),
                }
            }
            (
                State::Accepted { until },
                Response {
                    status: 200..=299, ..
                },
            ) => {
                self.effects.push_back(ClientEffect::PassUp);
                State::Accepted { until }
            }
            // §17.1.1.2: the ACK of a refusal is the transaction's own.
            (
                State::Calling { request, .. } | State::Proceeding { request, .. },
                Response { to, .. },
            ) => self.refused(now, &request, &to),
            (State::Completed { ack, until }, Response { status, .. }) => {
                if status >= 300 {
                    self.effects.push_back(ClientEffect::Send(ack.clone()));
                }
                State::Completed { ack, until }
            }
            (State::Calling { .. } | State::Proceeding { .. }, TransportFailed) => {
                self.end_with(ClientEffect::TransportFailed)
            }
            (State::Completed { ack, until }, TransportFailed) => State::Completed { ack, until },
            (State::Accepted { until }, Response { .. } | TransportFailed) => {
                State::Accepted { until }
            }
            (State::Terminated, Response { .. } | TransportFailed) => State::Terminated,
        };
    }

    fn refused(&mut self, now: Duration, request: &Bytes, to: &Bytes) -> State {
        self.effects.push_back(ClientEffect::PassUp);
        let Some(ack) = ack_of_refusal(request, to) else {
            return self.end_with(ClientEffect::TransportFailed);
        };
        self.effects.push_back(ClientEffect::Send(ack.clone()));
        if self.reliable {
            self.effects.push_back(ClientEffect::Terminated);
            return State::Terminated;
        }
        State::Completed {
            ack,
            until: now + self.timers.sixty_four_t1(),
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
            State::Calling {
                resend, give_up, ..
            } => earliest([resend.map(|resend| resend.next()), Some(*give_up)]),
            State::Proceeding { give_up, .. } => *give_up,
            State::Completed { until, .. } | State::Accepted { until } => Some(*until),
            State::Terminated => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        match &mut self.state {
            // Timer B.
            State::Calling { give_up, .. } if now >= *give_up => {
                self.state = self.end_with(ClientEffect::TimedOut);
            }
            // Timer A doubles without a cap (§17.1.1.2).
            State::Calling {
                request, resend, ..
            } => {
                let due = resend
                    .as_mut()
                    .is_some_and(|resend| resend.fire(now, |interval| interval * 2));
                if due {
                    let request = request.clone();
                    self.effects.push_back(ClientEffect::Send(request));
                }
            }
            State::Proceeding { give_up, .. } => {
                if give_up.is_some_and(|at| now >= at) {
                    self.state = self.end_with(ClientEffect::TimedOut);
                }
            }
            // Timers D and M.
            State::Completed { until, .. } | State::Accepted { until } => {
                if now >= *until {
                    self.effects.push_back(ClientEffect::Terminated);
                    self.state = State::Terminated;
                }
            }
            State::Terminated => {}
        }
    }
}

/// RFC 3261 §17.1.1.3: the INVITE's Request-URI, Call-ID, From, top Via, Route and CSeq number; To from the response.
/// `None` when the INVITE cannot be read back, which would be our own fault.
fn ack_of_refusal(invite: &Bytes, to: &Bytes) -> Option<Bytes> {
    repeat_invite(invite, &Method::Ack, to, None)
}

/// A CANCEL for an INVITE of ours (§9.1): the same but for the method, To as in the INVITE.
pub(crate) fn cancel_of(invite: &Bytes, reason: Option<&Reason>) -> Option<Bytes> {
    let Ok(Message::Request(request)) = parse(invite, Framing::Datagram) else {
        return None;
    };
    repeat_invite(invite, &Method::Cancel, request.to().raw(), reason)
}

fn repeat_invite(
    invite: &Bytes,
    method: &Method,
    to: &Bytes,
    reason: Option<&Reason>,
) -> Option<Bytes> {
    let Ok(Message::Request(invite)) = parse(invite, Framing::Datagram) else {
        return None;
    };
    let mut draft = Draft::request(method, invite.uri().raw());
    draft.header("Via", invite.via().raw());
    draft.header("Max-Forwards", "70");
    for route in invite.headers().all("Route") {
        draft.header("Route", route);
    }
    draft.header("From", invite.from().raw());
    draft.header("To", to);
    draft.header("Call-ID", invite.call_id());
    draft.header("CSeq", format!("{} {method}", invite.cseq()));
    if let Some(reason) = reason {
        draft.header("Reason", reason.to_string());
    }
    Some(draft.finish(b""))
}

/// A request of ours to be sent once more: another Via and CSeq number, `set` in place of the headers of the same names, all else as it was.
/// `None` when it cannot be read back, which would be our own fault.
pub(crate) fn again_of(
    request: &Bytes,
    via: &[u8],
    cseq: u32,
    set: &[(&str, String)],
) -> Option<Bytes> {
    let Ok(Message::Request(request)) = parse(request, Framing::Datagram) else {
        return None;
    };
    let mut draft = Draft::request(request.method(), request.uri().raw());
    for header in request.headers().iter() {
        if header.is("Via") {
            draft.header("Via", via);
        } else if header.is("CSeq") {
            draft.header("CSeq", format!("{cseq} {}", request.method()));
        } else if !header.is("Content-Length") && !set.iter().any(|(name, _)| header.is(name)) {
            draft.raw_header(&header.name, &header.value);
        }
    }
    for (name, value) in set {
        draft.header(name, value);
    }
    Some(draft.finish(request.body()))
}
