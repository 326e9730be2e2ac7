//! The call machine: one call from INVITE to record.
//!
//! ```text
//! New ─Incoming→ Routing ─Resolved→ Early ─Answer→ Answered ─→ Ending ─MediaClosed→ Over
//!  └─Placing::Begin→ Calling ────Placing::Answered───┘
//! ```
//!
//! What signalling is in is the [`Phase`]; what the dialplan is doing meanwhile is the
//! [`Task`]. Whatever happens in whatever order, a call that began ends with exactly one
//! `ended` fact and exactly one [`Effect::Ended`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

mod agent;
mod answering;
mod attesting;
mod bridging;
mod consenting;
mod effect;
mod ending;
mod gathering;
mod input;
mod limits;
mod line;
mod moving;
mod placing;
mod plan;
mod rooms;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use attesting::{Attested, Attesting};
pub use bridging::{Handover, HandoverEnd, HandoverNews};
pub use consenting::RecordingNews;
pub use effect::{AgentStart, CallFact, Effect, Ending, MediaMode, Party};
pub use input::{AgentEnd, DialFailure, Incoming, Input, KillCause, LineNews, Unusable};
pub use limits::Limits;
pub use moving::{Leaving, Move, Side};
pub use placing::{Outgoing, Placing, Talks};
pub use rooms::RoomNews;
pub use state::CallState;

use crate::dialplan::action::{AgentSource, RecordSpec};
use crate::dialplan::{Binding, Dialplans, Walk};
use crate::digits::DigitCollector;
use agent::Seat;
use bridging::{BridgeRun, Hand};
use consenting::{ConsentRun, Keeping};
use ending::Close;
use gathering::GatherRun;
use rooms::RoomRun;

/// What a call starts with.
#[derive(Debug, Clone, Copy)]
pub struct CallConfig {
    /// The wall clock at the INVITE. Used for schedules only, never for durations.
    pub wall_at_start: Timestamp,
    /// Its limits.
    pub limits: Limits,
}

/// What signalling is in.
#[derive(Debug)]
enum Phase {
    /// No INVITE yet.
    New,
    /// Waiting for the number's owner until then.
    Routing { deadline: Duration },
    /// The INVITE is open.
    Early { sent: Provisional },
    /// Our own INVITE is out, or waits for the journal.
    Calling {
        outgoing: Box<Outgoing>,
        placed: bool,
        ringing: bool,
        deadline: Duration,
    },
    /// 200 was sent (or received) at that time.
    Answered { at: Duration, acknowledged: bool },
    /// The end is decided; media is being closed.
    Ending {
        ending: Box<Ending>,
        deadline: Duration,
    },
    /// The record is out.
    Over,
}

/// The last provisional response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provisional {
    None,
    Ringing,
    Media,
}

/// What the plan is waiting for.
#[derive(Debug)]
enum Task {
    /// Nothing: the next op is due.
    Ready,
    /// Journal and agent, before 200.
    Answering,
    /// ACK, or this time.
    AwaitingAck { until: Duration },
    /// The agent.
    Agent,
    /// The end of a sound.
    Playing { tag: u64 },
    /// Digits.
    Gathering(GatherRun),
    /// The caller's word on being recorded.
    Consenting(ConsentRun),
    /// Somebody to answer.
    Dialing(BridgeRun),
    /// Somebody whom the far side calls itself.
    Referring(BridgeRun),
    /// Our own 200, because the far side answered.
    Joining(BridgeRun),
    /// The end of a bridge; an agent that waits for it.
    Joined(Option<Hand>),
    /// The end of a room.
    InRoom(RoomRun),
    /// The caller to hang up.
    Sounding,
    /// The end of a tone.
    Tone { until: Duration },
    /// The end of a sleep.
    Sleeping { until: Duration },
}

/// Whether `started` is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Started {
    Unwritten { deadline: Duration },
    Written,
}

/// The machine of one call.
#[derive(Debug)]
pub struct Call {
    config: CallConfig,
    plan: Arc<Dialplans>,
    started_at: Duration,
    incoming: Incoming,
    phase: Phase,
    task: Task,
    walk: Option<Walk>,
    fallback: bool,
    started: Started,
    seat: Seat,
    record: Option<RecordSpec>,
    recording: bool,
    keeping: Keeping,
    digits: DigitCollector,
    next_tag: u64,
    route: Option<String>,
    agent: Option<AgentSource>,
    close: Close,
    line: line::Line,
    attesting: attesting::Proof,
    effects: VecDeque<Effect>,
}

impl Call {
    /// A call that has not begun. It keeps this plan for life.
    pub fn new(config: CallConfig, plan: Arc<Dialplans>) -> Call {
        Call {
            config,
            plan,
            started_at: Duration::ZERO,
            incoming: Incoming::default(),
            phase: Phase::New,
            task: Task::Ready,
            walk: None,
            fallback: false,
            started: Started::Written,
            seat: Seat::Empty,
            record: None,
            recording: false,
            keeping: Keeping::default(),
            digits: DigitCollector::default(),
            next_tag: 0,
            route: None,
            agent: None,
            close: Close::dialplan(),
            line: line::Line::default(),
            attesting: attesting::Proof::default(),
            effects: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Takes one input. Inputs that mean nothing in the present state change nothing.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match self.phase {
            Phase::New => self.in_new(now, input),
            Phase::Routing { .. } => self.in_routing(now, input),
            Phase::Early { .. } => self.in_early(now, input),
            Phase::Calling { .. } => self.in_calling(now, input),
            Phase::Answered { .. } => self.in_answered(now, input),
            Phase::Ending { .. } => self.in_ending(&input),
            Phase::Over => {}
        }
    }

    fn in_new(&mut self, now: Duration, input: Input) {
        match input {
            Input::Incoming(incoming) => self.begin(now, *incoming),
            Input::Placing(Placing::Begin(outgoing)) => self.place(now, *outgoing),
            Input::Kill(cause) => {
                self.started_at = now;
                self.kill(now, cause);
            }
            Input::Resolved(_)
            | Input::Journaled
            | Input::JournalRefused
            | Input::Unusable(_)
            | Input::Acknowledged
            | Input::AckTimeout
            | Input::Cancelled
            | Input::RemoteBye
            | Input::Line(_)
            | Input::TransportLost
            | Input::PlayFinished { .. }
            | Input::PlayFailed { .. }
            | Input::Digit(_)
            | Input::MediaTimeout
            | Input::LegLost
            | Input::MediaClosed
            | Input::AgentReady
            | Input::AgentFailed { .. }
            | Input::AgentEnded(_)
            | Input::DialRinging { .. }
            | Input::DialAnswered { .. }
            | Input::DialFailed { .. }
            | Input::Placing(_)
            | Input::Handover(_)
            | Input::Room(_)
            | Input::Recording(_)
            | Input::Moved(_)
            | Input::BridgeEnded => {}
        }
    }

    fn in_routing(&mut self, now: Duration, input: Input) {
        match input {
            Input::Resolved(binding) => self.route_call(now, binding),
            Input::Journaled => self.started = Started::Written,
            Input::JournalRefused => self.journal_refused(now),
            Input::Unusable(why) => self.unusable(now, why),
            Input::Cancelled | Input::RemoteBye => self.given_up(now),
            Input::Line(news) => self.early_line_news(now, news),
            Input::TransportLost => self.transport_lost(now),
            Input::LegLost => self.leg_lost(now),
            Input::Kill(cause) => self.kill(now, cause),
            Input::Incoming(_)
            | Input::Acknowledged
            | Input::AckTimeout
            | Input::PlayFinished { .. }
            | Input::PlayFailed { .. }
            | Input::Digit(_)
            | Input::MediaTimeout
            | Input::MediaClosed
            | Input::AgentReady
            | Input::AgentFailed { .. }
            | Input::AgentEnded(_)
            | Input::DialRinging { .. }
            | Input::DialAnswered { .. }
            | Input::DialFailed { .. }
            | Input::Placing(_)
            | Input::Handover(_)
            | Input::Room(_)
            | Input::Recording(_)
            | Input::Moved(_)
            | Input::BridgeEnded => {}
        }
    }

    fn in_early(&mut self, now: Duration, input: Input) {
        match input {
            Input::Journaled => {
                self.started = Started::Written;
                self.answer_when_ready(now);
            }
            Input::JournalRefused => self.journal_refused(now),
            Input::Unusable(why) => self.unusable(now, why),
            // RFC 3261 §9.2: the INVITE gets 487. §15: a BYE on the early dialog has the same end.
            Input::Cancelled | Input::RemoteBye => self.given_up(now),
            Input::Line(news) => self.early_line_news(now, news),
            Input::TransportLost => self.transport_lost(now),
            Input::LegLost => self.leg_lost(now),
            Input::Kill(cause) => self.kill(now, cause),
            Input::PlayFinished { tag } => self.play_finished(now, tag),
            Input::PlayFailed { tag, reason } => self.play_failed(now, tag, &reason),
            Input::Digit(event) => self.digit(now, event),
            Input::AgentReady => self.agent_ready(now),
            Input::AgentFailed { reason } => self.agent_failed(now, reason),
            Input::DialRinging { attempt } => self.dial_ringing(attempt),
            Input::DialAnswered { attempt, target } => self.dial_answered(now, attempt, target),
            Input::DialFailed { attempt, failure } => self.dial_failed(now, attempt, failure),
            // Before the answer there is no ACK, no agent at work, and nobody owes us RTP.
            Input::Incoming(_)
            | Input::Resolved(_)
            | Input::Acknowledged
            | Input::AckTimeout
            | Input::MediaTimeout
            | Input::MediaClosed
            | Input::Placing(_)
            | Input::Handover(_)
            | Input::Room(_)
            | Input::AgentEnded(_) => {}
            Input::BridgeEnded => self.bridge_ended(now),
            Input::Recording(news) => self.recording_news(now, news),
            Input::Moved(moved) => self.moved(now, *moved),
        }
    }

    fn in_answered(&mut self, now: Duration, input: Input) {
        if self.caller_has_left() && moving::is_of_his_line(&input) {
            return;
        }
        match input {
            Input::Acknowledged => self.acknowledged(now),
            Input::AckTimeout => self.ack_timeout(now),
            Input::RemoteBye => self.caller_hung_up(now),
            Input::Unusable(Unusable::NoRoom) => self.never_answered(now),
            Input::Unusable(why) => self.unusable(now, why),
            Input::Line(news) => self.line_news(now, news),
            Input::TransportLost => self.transport_lost(now),
            Input::MediaTimeout => self.media_timeout(now),
            Input::LegLost => self.leg_lost(now),
            Input::Kill(cause) => self.kill(now, cause),
            Input::PlayFinished { tag } => self.play_finished(now, tag),
            Input::PlayFailed { tag, reason } => self.play_failed(now, tag, &reason),
            Input::Digit(event) => self.digit(now, event),
            Input::AgentReady => self.agent_ready(now),
            Input::AgentFailed { reason } => self.agent_failed(now, reason),
            Input::AgentEnded(end) => self.agent_ended(now, end),
            Input::DialRinging { attempt } => self.dial_ringing(attempt),
            Input::DialAnswered { attempt, target } => self.dial_answered(now, attempt, target),
            Input::DialFailed { attempt, failure } => self.dial_failed(now, attempt, failure),
            Input::BridgeEnded => self.bridge_ended(now),
            Input::Handover(news) => self.handover(now, news),
            Input::Room(news) => self.room_news(now, news),
            Input::Recording(news) => self.recording_news(now, news),
            Input::Moved(moved) => self.moved(now, *moved),
            // RFC 3261 §9.2: a CANCEL after the final response has no effect.
            Input::Cancelled => {}
            Input::Incoming(_)
            | Input::Resolved(_)
            | Input::Journaled
            | Input::JournalRefused
            | Input::Placing(_)
            | Input::MediaClosed => {}
        }
    }

    fn in_ending(&mut self, input: &Input) {
        match input {
            Input::MediaClosed => self.file(),
            Input::Incoming(_)
            | Input::Resolved(_)
            | Input::Journaled
            | Input::JournalRefused
            | Input::Unusable(_)
            | Input::Acknowledged
            | Input::AckTimeout
            | Input::Cancelled
            | Input::RemoteBye
            | Input::Line(_)
            | Input::TransportLost
            | Input::PlayFinished { .. }
            | Input::PlayFailed { .. }
            | Input::Digit(_)
            | Input::MediaTimeout
            | Input::LegLost
            | Input::AgentReady
            | Input::AgentFailed { .. }
            | Input::AgentEnded(_)
            | Input::DialRinging { .. }
            | Input::DialAnswered { .. }
            | Input::DialFailed { .. }
            | Input::Placing(_)
            | Input::Handover(_)
            | Input::Room(_)
            | Input::Recording(_)
            | Input::Moved(_)
            | Input::BridgeEnded
            | Input::Kill(_) => {}
        }
    }

    /// When [`Call::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let limits = &self.config.limits;
        let phase = match &self.phase {
            Phase::New | Phase::Over => return None,
            Phase::Ending { deadline, .. } => return Some(*deadline),
            Phase::Routing { deadline } | Phase::Calling { deadline, .. } => Some(*deadline),
            Phase::Early { .. } => Some(self.started_at.saturating_add(limits.ringing)),
            Phase::Answered { at, .. } => Some(at.saturating_add(limits.duration)),
        };
        let journal = match self.started {
            Started::Unwritten { deadline } => Some(deadline),
            Started::Written => None,
        };
        let rest = [
            journal,
            self.task_deadline(),
            self.seat.deadline(),
            self.digits.deadline(),
            self.attesting.deadline(),
        ];
        rest.into_iter().chain([phase]).flatten().min()
    }

    fn task_deadline(&self) -> Option<Duration> {
        match &self.task {
            Task::AwaitingAck { until } | Task::Tone { until } | Task::Sleeping { until } => {
                Some(*until)
            }
            Task::Dialing(run) | Task::Referring(run) => Some(run.deadline()),
            Task::InRoom(run) => run.deadline(),
            Task::Consenting(run) => run.deadline(),
            Task::Ready
            | Task::Answering
            | Task::Agent
            | Task::Playing { .. }
            | Task::Gathering(_)
            | Task::Joining(_)
            | Task::Joined(_)
            | Task::Sounding => None,
        }
    }

    /// Lets time act. Early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        let due = |deadline: Duration| deadline <= now;
        match self.phase {
            Phase::New | Phase::Over => return,
            Phase::Ending { deadline, .. } => {
                return if due(deadline) {
                    self.file()
                };
            }
            Phase::Routing { deadline } if due(deadline) => self.route_call(now, None),
            Phase::Early { .. }
                if due(self.started_at.saturating_add(self.config.limits.ringing)) =>
            {
                return self.rang_too_long(now);
            }
            Phase::Calling { deadline, .. } if due(deadline) => return self.rang_too_long(now),
            Phase::Answered { at, .. } if due(at.saturating_add(self.config.limits.duration)) => {
                return self.too_long(now);
            }
            Phase::Routing { .. }
            | Phase::Early { .. }
            | Phase::Calling { .. }
            | Phase::Answered { .. } => {}
        }
        if matches!(self.started, Started::Unwritten { deadline } if due(deadline)) {
            return self.journal_refused(now);
        }
        if self.attesting.deadline().is_some_and(due) {
            self.attested(now, Attested::late());
        }
        if self.seat.deadline().is_some_and(due) {
            self.agent_late(now);
        }
        self.gather_expired(now);
        self.task_due(now);
    }

    fn task_due(&mut self, now: Duration) {
        if self.task_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Tone { .. } => {
                self.put(Effect::Mode(MediaMode::Normal));
                self.run(now);
            }
            Task::AwaitingAck { .. } | Task::Sleeping { .. } => self.run(now),
            Task::Dialing(run) => self.dial_timed_out(now, run),
            Task::Referring(run) => self.refer_timed_out(now, run),
            Task::InRoom(run) => self.alone_too_long(now, run),
            Task::Consenting(run) => self.consent_expired(now, run),
            // These have no deadline; named so that a new task must choose.
            task @ (Task::Ready
            | Task::Answering
            | Task::Agent
            | Task::Playing { .. }
            | Task::Gathering(_)
            | Task::Joining(_)
            | Task::Joined(_)
            | Task::Sounding) => self.task = task,
        }
    }

    fn begin(&mut self, now: Duration, incoming: Incoming) {
        let limits = self.config.limits;
        self.started_at = now;
        self.started = Started::Unwritten {
            deadline: now.saturating_add(limits.journal),
        };
        self.fact(CallFact::Started);
        let number = crate::dialplan::e164(&incoming.to);
        self.incoming = incoming;
        self.attest(now);
        if let Some(op) = self.incoming.takes.take() {
            return self.take_place(now, op);
        }
        match number {
            Some(number) => {
                self.phase = Phase::Routing {
                    deadline: now.saturating_add(limits.lookup),
                };
                self.put(Effect::Lookup { number });
            }
            None => self.route_call(now, None),
        }
    }

    fn route_call(&mut self, now: Duration, binding: Option<Binding>) {
        let Incoming {
            to,
            from,
            profile,
            context,
            trunk,
            headers,
            about,
            attesting: _,
            takes: _,
        } = &self.incoming;
        let mut variables =
            crate::dialplan::own_variables(to, from, profile, context, trunk.as_deref());
        about
            .iter()
            .for_each(|(name, value)| variables.set(name, value));
        self.attesting.tell(&mut variables);
        let walk = Walk::new(
            Arc::clone(&self.plan),
            context,
            variables,
            headers.clone(),
            binding,
        );
        self.walk = Some(walk);
        self.phase = Phase::Early {
            sent: Provisional::None,
        };
        self.run(now);
    }

    fn put(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn fact(&mut self, fact: CallFact) {
        self.put(Effect::Journal(fact));
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }
}
