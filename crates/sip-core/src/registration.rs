//! Our registration at a carrier (RFC 3261 §10.2): asked for, kept alive, given back.
//!
//! One machine for each gateway. It refreshes at 0.8 of the granted life, raises its wish on 423, answers a challenge
//! once, and after a failure waits as long as its kind deserves: what will not get better by itself (a wrong password, a
//! refusal) is tried rarely, what may (network, overload) soon and then less and less often.

mod request;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::digest::{Answered, Asker, Login, Refused};
use crate::flow::Flow;
use crate::message::Response;
use crate::timers::Timers;
use crate::tokens::TokenSource;
use crate::transaction::{ClientEffect, ClientInput, ClientTransaction};
use crate::value::Uri;

/// The most that a 423 may raise our wish to.
const MOST_EXPIRES_S: u32 = 86_400;

/// What a registration needs to know.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    /// The Request-URI: `sip:sip.example.com`.
    pub registrar: Uri,
    /// To and From: `<sip:user@sip.example.com>`.
    pub aor: String,
    /// Our Contact with brackets: `<sip:user@203.0.113.7:5080>`.
    pub contact: String,
    /// Host and port of our Via.
    pub sent_by: String,
    /// User-Agent.
    pub user_agent: String,
    /// The life we ask for, seconds.
    pub expires_s: u32,
    /// After the first failure that may pass.
    pub retry: Duration,
    /// After many of them.
    pub retry_max: Duration,
    /// After one that will not pass by itself.
    pub retry_refused: Duration,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Who we are there.
    pub login: Option<Login>,
}

/// Inputs.
#[derive(Clone, Debug)]
pub enum RegistrationInput {
    /// Register, or refresh at once.
    Register,
    /// Where the registrar is, or why that is not known; answers [`RegistrationEffect::Locate`].
    Located(Result<Flow, String>),
    /// A response to our REGISTER.
    Received(Box<Response>),
    /// It could not be sent.
    TransportFailed(String),
    /// Give the registration back: we are going. Until the next [`RegistrationInput::Register`].
    Leave,
}

/// Outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationEffect {
    /// Find the registrar.
    Locate,
    /// Put these bytes on the wire.
    Transmit {
        /// Socket and address.
        flow: Flow,
        /// A REGISTER.
        bytes: Bytes,
    },
    /// It stands like this now.
    Status(Status),
}

/// Why a registration does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// User name or password are wrong, or the challenge is not ours to answer.
    AuthFailed,
    /// The registrar refuses for another reason.
    Rejected,
    /// The registrar has trouble of its own (5xx).
    Unavailable,
    /// It does not answer or cannot be reached.
    Network,
}

impl FailureClass {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthFailed => "auth_failed",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Network => "network",
        }
    }
}

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// In force.
    Registered {
        /// Granted life, seconds.
        expires_s: u32,
    },
    /// Not in force; tried again by itself.
    Failed {
        /// What kind.
        class: FailureClass,
        /// In words.
        reason: String,
        /// Until the next try.
        retry_in: Duration,
    },
    /// Given back, until it is wanted again.
    Unregistered,
}

/// See the module.
#[derive(Debug)]
pub struct Registration {
    config: RegistrationConfig,
    tokens: TokenSource,
    asker: Option<Asker>,
    call_id: Bytes,
    tag: Bytes,
    cseq: u32,
    expires_s: u32,
    failures: u32,
    /// It is wanted again once it is given back.
    again: bool,
    state: State,
    effects: VecDeque<RegistrationEffect>,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked for yet.
    Idle,
    /// The registrar's address is looked for.
    Locating { leaving: bool },
    /// A REGISTER is out.
    Asking(Box<Asking>),
    /// In force.
    Registered { refresh_at: Duration },
    /// Failed; to be tried again.
    Waiting { again_at: Duration },
    /// Given back.
    Gone,
}

/// A REGISTER that is out.
#[derive(Debug)]
struct Asking {
    flow: Flow,
    branch: Bytes,
    tx: ClientTransaction,
    answered: Answered,
    response: Option<Box<Response>>,
    /// 423 raised our wish already.
    raised: bool,
    /// It gives the registration back.
    leave: bool,
    /// That is wanted by now.
    leaving: bool,
}

/// A try at one registrar: what carries over when the request goes out again.
struct Try {
    flow: Flow,
    answered: Answered,
    raised: bool,
    leave: bool,
}

impl Registration {
    /// A registration that waits for [`RegistrationInput::Register`].
    pub fn new(config: RegistrationConfig, mut tokens: TokenSource) -> Self {
        Self {
            asker: config.login.clone().map(Asker::new),
            call_id: tokens.call_id(),
            tag: tokens.tag(),
            cseq: tokens.cseq_start(),
            expires_s: config.expires_s,
            config,
            tokens,
            failures: 0,
            again: false,
            state: State::Idle,
            effects: VecDeque::new(),
        }
    }

    /// Call-ID and tag of all its requests: where its answers are to be delivered.
    pub fn names(&self) -> (Bytes, Bytes) {
        (self.call_id.clone(), self.tag.clone())
    }

    /// How the registrar reaches us: our Contact with brackets, host and port of our Via. Said before
    /// [`RegistrationInput::Located`], as it depends on the way there.
    pub fn reached_at(&mut self, contact: String, sent_by: String) {
        self.config.contact = contact;
        self.config.sent_by = sent_by;
    }

    /// The realms whose challenges it answered.
    pub fn realms(&self) -> Vec<String> {
        self.asker.as_ref().map(Asker::realms).unwrap_or_default()
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: RegistrationInput) {
        use RegistrationInput::{Leave, Located, Received, Register, TransportFailed};
        let state = std::mem::replace(&mut self.state, State::Gone);
        self.state = match (state, input) {
            (State::Idle | State::Waiting { .. } | State::Gone, Register) => self.locate(false),
            (State::Registered { .. }, Register) => self.locate(false),
            // Not gone yet: it stays, or comes back.
            (State::Locating { .. }, Register) => State::Locating { leaving: false },
            (State::Asking(asking), Register) => self.stay(asking),
            // §10.2.2: nothing to give back.
            (State::Idle | State::Waiting { .. }, Leave) => self.gone(),
            (State::Registered { .. }, Leave) => self.locate(true),
            (State::Locating { .. }, Leave) => State::Locating { leaving: true },
            // One request at a time (§10.2): the answer comes first, then the leave.
            (State::Asking(mut asking), Leave) => {
                asking.leaving = true;
                self.again = false;
                State::Asking(asking)
            }
            (State::Locating { leaving }, Located(Ok(flow))) => {
                self.ask(now, Try::at(flow, leaving))
            }
            (State::Locating { leaving: true }, Located(Err(_))) => self.gone(),
            (State::Locating { leaving: false }, Located(Err(why))) => {
                self.failed(now, FailureClass::Network, why, None)
            }
            (State::Asking(asking), Received(response)) => self.answered(now, asking, response),
            (State::Asking(asking), TransportFailed(why)) => self.lost(now, &asking, why),
            (state @ State::Asking(_), Located(_)) => state,
            (state @ State::Locating { .. }, Received(_) | TransportFailed(_)) => state,
            (
                state @ (State::Idle | State::Registered { .. } | State::Waiting { .. }),
                Located(_) | Received(_) | TransportFailed(_),
            ) => state,
            (State::Gone, Leave | Located(_) | Received(_) | TransportFailed(_)) => State::Gone,
        };
        self.pump(now);
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<RegistrationEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Asking(asking) => asking.tx.poll_timeout(),
            State::Registered { refresh_at } => Some(*refresh_at),
            State::Waiting { again_at } => Some(*again_at),
            State::Idle | State::Locating { .. } | State::Gone => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        let due = match &mut self.state {
            State::Asking(asking) => {
                asking.tx.handle_timeout(now);
                false
            }
            State::Registered { refresh_at } => now >= *refresh_at,
            State::Waiting { again_at } => now >= *again_at,
            State::Idle | State::Locating { .. } | State::Gone => false,
        };
        if due {
            self.handle(now, RegistrationInput::Register);
        }
        self.pump(now);
    }

    fn locate(&mut self, leaving: bool) -> State {
        self.effects.push_back(RegistrationEffect::Locate);
        State::Locating { leaving }
    }

    fn gone(&mut self) -> State {
        self.status(Status::Unregistered);
        match std::mem::take(&mut self.again) {
            true => self.locate(false),
            false => State::Gone,
        }
    }

    /// Wanted again while a REGISTER is out: one that gives it back is followed by another.
    fn stay(&mut self, mut asking: Box<Asking>) -> State {
        self.again = asking.leave;
        asking.leaving = asking.leave;
        State::Asking(asking)
    }

    fn status(&mut self, status: Status) {
        self.effects.push_back(RegistrationEffect::Status(status));
    }

    /// Sends a REGISTER; each has the next CSeq (§10.2).
    fn ask(&mut self, now: Duration, what: Try) -> State {
        self.cseq += 1;
        let branch = self.tokens.branch();
        let bytes = self.register(what.flow, &branch, what.leave);
        let reliable = what.flow.transport.is_reliable();
        State::Asking(Box::new(Asking {
            flow: what.flow,
            branch,
            tx: ClientTransaction::new(now, self.config.timers, reliable, bytes),
            answered: what.answered,
            response: None,
            raised: what.raised,
            leave: what.leave,
            leaving: what.leave,
        }))
    }

    fn answered(
        &mut self,
        now: Duration,
        mut asking: Box<Asking>,
        response: Box<Response>,
    ) -> State {
        let ours = response.via().branch() == Some(asking.branch.as_ref());
        if ours && response.cseq() == self.cseq {
            let status = response.status();
            asking.response = Some(response);
            let to = Bytes::new();
            asking.tx.handle(now, ClientInput::Response { status, to });
        }
        State::Asking(asking)
    }

    /// Carries out what the transaction wants.
    fn pump(&mut self, now: Duration) {
        while let State::Asking(asking) = &mut self.state {
            let Some(effect) = asking.tx.poll_effect() else {
                return;
            };
            let flow = asking.flow;
            match effect {
                ClientEffect::Send(bytes) => self
                    .effects
                    .push_back(RegistrationEffect::Transmit { flow, bytes }),
                ClientEffect::PassUp => self.news(now),
                ClientEffect::TimedOut => self.broken(now, "no answer"),
                ClientEffect::TransportFailed => self.broken(now, "it could not be sent"),
                ClientEffect::Terminated => {}
            }
        }
    }

    fn broken(&mut self, now: Duration, why: &str) {
        let state = std::mem::replace(&mut self.state, State::Gone);
        self.state = match state {
            State::Asking(asking) => self.lost(now, &asking, why.to_owned()),
            State::Idle
            | State::Locating { .. }
            | State::Registered { .. }
            | State::Waiting { .. }
            | State::Gone => state,
        };
    }

    fn lost(&mut self, now: Duration, asking: &Asking, why: String) -> State {
        match asking.leaving {
            true => self.gone(),
            false => self.failed(now, FailureClass::Network, why, None),
        }
    }

    /// A response to the REGISTER that is out.
    fn news(&mut self, now: Duration) {
        let state = std::mem::replace(&mut self.state, State::Gone);
        self.state = match state {
            State::Asking(mut asking) => match asking.response.take() {
                Some(response) if response.status() >= 200 => self.settled(now, *asking, &response),
                Some(_) | None => State::Asking(asking),
            },
            State::Idle
            | State::Locating { .. }
            | State::Registered { .. }
            | State::Waiting { .. }
            | State::Gone => state,
        };
    }

    fn settled(&mut self, now: Duration, asking: Asking, response: &Response) -> State {
        let leaving = asking.leaving;
        let what = Try {
            flow: asking.flow,
            answered: asking.answered,
            raised: asking.raised,
            leave: asking.leave,
        };
        match response.status() {
            200..=299 if what.leave => self.gone(),
            // A leave that was asked for while this one was out.
            200..=299 if leaving => self.ask(now, Try::at(what.flow, true)),
            200..=299 => self.granted(now, response),
            401 | 407 => {
                let leave = leaving;
                self.challenged(now, Try { leave, ..what }, response)
            }
            _ if leaving => self.gone(),
            423 if !what.raised => self.raise(now, what, response),
            403 => self.refused(now, FailureClass::AuthFailed, response),
            // §21.4.9, §21.5: may pass.
            408 | 500..=599 => self.refused(now, FailureClass::Unavailable, response),
            _ => self.refused(now, FailureClass::Rejected, response),
        }
    }

    fn granted(&mut self, now: Duration, response: &Response) -> State {
        self.failures = 0;
        let expires_s = request::granted(response, &self.config.contact, self.expires_s);
        self.status(Status::Registered { expires_s });
        let life = Duration::from_secs(expires_s.max(1).into());
        let refresh_at = now + life.mul_f64(0.8);
        State::Registered { refresh_at }
    }

    /// §22.2.
    fn challenged(&mut self, now: Duration, mut what: Try, response: &Response) -> State {
        let taken = match &mut self.asker {
            Some(asker) => {
                asker.challenged(response.status(), response.headers(), &mut what.answered)
            }
            None => Err(Refused::Unknown),
        };
        match taken {
            Ok(()) => self.ask(now, what),
            Err(_) if what.leave => self.gone(),
            Err(why) => {
                // The next round begins with a fresh challenge, not with an answer that was refused.
                self.asker = self.config.login.clone().map(Asker::new);
                self.failed(now, FailureClass::AuthFailed, why.to_string(), None)
            }
        }
    }

    /// §10.2.8: the registrar wants a longer life.
    fn raise(&mut self, now: Duration, what: Try, response: &Response) -> State {
        match request::min_expires(response) {
            Some(least) if (self.expires_s..=MOST_EXPIRES_S).contains(&least) => {
                self.expires_s = least;
                self.ask(
                    now,
                    Try {
                        raised: true,
                        ..what
                    },
                )
            }
            Some(_) | None => self.refused(now, FailureClass::Rejected, response),
        }
    }

    fn refused(&mut self, now: Duration, class: FailureClass, response: &Response) -> State {
        let phrase = String::from_utf8_lossy(response.reason()).into_owned();
        let reason = format!("{} {phrase}", response.status());
        self.failed(now, class, reason, request::retry_after(response))
    }

    fn failed(
        &mut self,
        now: Duration,
        class: FailureClass,
        reason: String,
        asked: Option<Duration>,
    ) -> State {
        let pause = self.pause(class).max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.status(Status::Failed {
            class,
            reason,
            retry_in: pause,
        });
        State::Waiting {
            again_at: now + pause,
        }
    }

    /// How long to wait; spread by a tenth, so that a thousand gateways do not come back in one second.
    fn pause(&mut self, class: FailureClass) -> Duration {
        let base = match class {
            FailureClass::AuthFailed | FailureClass::Rejected => self.config.retry_refused,
            FailureClass::Unavailable | FailureClass::Network => {
                let doubled = self.config.retry.saturating_mul(1 << self.failures.min(16));
                doubled.min(self.config.retry_max)
            }
        };
        base + base.mul_f64(self.tokens.below(1_000) as f64 / 10_000.0)
    }
}

impl Try {
    fn at(flow: Flow, leave: bool) -> Self {
        Self {
            flow,
            answered: Answered::default(),
            raised: false,
            leave,
        }
    }
}
