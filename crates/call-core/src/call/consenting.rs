//! Whether this conversation may be kept: the caller is told or asked, may withdraw, and secrets stay out.
//!
//! ```text
//! withheld ──told, key 1 or yes──► kept ──"stop recording"──► withdrawn: deleted, withheld
//!     └────key 2, no or silence──► withheld to the end
//! ```
//!
//! While it is withheld, nobody writes down what is said: no sound, no transcript, no digit.

use std::time::Duration;

use model::{Consent, ConsentMethod, ConsentParty, ConsentState, PauseBy, RecordingMode};

use super::{Call, CallFact, Effect, Task};
use crate::consent::{self, Answer, RecordingPolicy};
use crate::dialplan::action::{self, AgentSource, ConsentOp, Op, RecordSpec};
use crate::dialplan::{Stop, Walk};

/// How often the question is asked.
const TRIES: u8 = 2;
/// From the end of the question to the end of the patience.
const PATIENCE: Duration = Duration::from_secs(7);
/// The keys of the question.
const YES: char = '1';
const NO: char = '2';

/// News of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingNews {
    /// What the number or the agent want, where the dialplan does not say.
    Policy(RecordingPolicy),
    /// The caller said this.
    Said(String),
    /// Somebody wants the recording silent (true), or with sound again.
    Pause(PauseBy, bool),
}

/// A question under way.
#[derive(Debug)]
pub(super) struct ConsentRun {
    op: ConsentOp,
    /// The prompt that is being played.
    prompt: Option<u64>,
    tries_left: u8,
    until: Option<Duration>,
}

impl ConsentRun {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until
    }

    pub(super) fn plays(&self) -> bool {
        self.prompt.is_some()
    }
}

/// What is known of consent and recording.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    policy: Option<RecordingPolicy>,
    /// The dialplan or a policy has been followed.
    settled: bool,
    withheld: bool,
    /// The consent that stands.
    given: Option<RecordingMode>,
    paused: bool,
    secret: bool,
}

impl Keeping {
    fn silent(&self) -> bool {
        self.paused || self.secret
    }
}

impl Call {
    /// Whether it is still open if this call is recorded.
    pub fn recording_is_open(&self) -> bool {
        !self.keeping.settled
    }

    /// Whether it is being recorded.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    pub(super) fn recording_news(&mut self, now: Duration, news: RecordingNews) {
        match news {
            RecordingNews::Policy(policy) => self.policy(policy),
            RecordingNews::Said(text) => self.said(now, &text),
            RecordingNews::Pause(by, silent) => self.pause_recording(by, silent),
        }
    }

    /// A policy counts where the plan says nothing of its own before its agent talks.
    fn policy(&mut self, policy: RecordingPolicy) {
        let planned = self.walk.as_ref().is_some_and(Walk::says_of_recording);
        if self.keeping.settled || self.record.is_some() || planned {
            return;
        }
        if policy.mode.waits() {
            self.withhold(true);
        }
        let agent = self
            .agent
            .clone()
            .filter(|_| matches!(self.task, Task::Agent));
        match (agent, policy.mode) {
            (None, _) => self.keeping.policy = Some(policy),
            (Some(_), RecordingMode::Off) => {}
            (Some(_), RecordingMode::On) => {
                if let Some(Op::Record(spec)) = policy.op() {
                    self.want_record(spec);
                }
            }
            // Whoever told us has not let the agent talk: it takes the call anew.
            (Some(agent), RecordingMode::Announce | RecordingMode::Ask) => {
                self.keeping.policy = Some(policy);
                self.seat = super::agent::Seat::Empty;
                self.take_agent(agent);
            }
        }
    }

    /// An agent takes the call, after what has to come before it.
    pub(super) fn take_agent(&mut self, agent: AgentSource) {
        let policy = self.keeping.policy.take();
        let first = policy.filter(|_| !self.keeping.settled);
        self.keeping.settled |= first.is_some();
        match first.and_then(RecordingPolicy::op) {
            Some(Op::Consent(op)) => {
                self.put_back(Op::Agent(agent));
                self.ask_consent(op);
            }
            Some(Op::Record(spec)) => {
                self.want_record(spec);
                self.start_agent(agent);
            }
            Some(_) | None => self.start_agent(agent),
        }
    }

    /// From now on nothing that is said is written down, or it is again.
    pub(super) fn withhold(&mut self, withheld: bool) {
        if std::mem::replace(&mut self.keeping.withheld, withheld) != withheld {
            self.put(Effect::Withhold(withheld));
        }
    }

    /// The plan will ask: until then nothing is kept.
    pub(super) fn look_ahead(&mut self, next: &Stop) {
        let ahead = self.walk.as_ref().is_some_and(Walk::asks_for_consent);
        let asks = ahead || matches!(next, Stop::Op(Op::Consent(_)));
        if asks && !self.keeping.settled {
            self.withhold(true);
        }
    }

    /// Tells or asks the caller.
    pub(super) fn ask_consent(&mut self, op: ConsentOp) {
        self.keeping.settled = true;
        self.withhold(true);
        let tries_left = match op.mode {
            RecordingMode::Ask => TRIES,
            RecordingMode::Off | RecordingMode::On | RecordingMode::Announce => 1,
        };
        if op.mode == RecordingMode::Ask && self.can_hear_the_answer() {
            self.put(Effect::HearAnswer(true));
        }
        self.put_question(ConsentRun {
            op,
            prompt: None,
            tries_left,
            until: None,
        });
    }

    /// An agent that wants the sound itself leaves the caller his keys.
    fn can_hear_the_answer(&self) -> bool {
        let agent = self.walk.as_ref().and_then(Walk::upcoming_agent);
        !matches!(agent, Some(AgentSource::Stub | AgentSource::StubLocal))
    }

    fn put_question(&mut self, mut run: ConsentRun) {
        let (tag, text) = (self.tag(), run.op.text.clone());
        self.put(Effect::Say {
            tag,
            text,
            voice: None,
        });
        run.prompt = Some(tag);
        run.until = None;
        run.tries_left = run.tries_left.saturating_sub(1);
        self.task = Task::Consenting(run);
    }

    /// The words were heard to their end, or never were.
    pub(super) fn question_put(&mut self, now: Duration, tag: u64, heard: bool) {
        let Task::Consenting(run) = &mut self.task else {
            return;
        };
        if run.prompt != Some(tag) {
            return;
        }
        run.prompt = None;
        match (run.op.mode, heard) {
            (RecordingMode::Ask, _) => run.until = Some(now.saturating_add(PATIENCE)),
            (_, true) => self.agreed(now, ConsentMethod::Announcement),
            (_, false) => self.declined(now, ConsentMethod::Announcement),
        }
    }

    pub(super) fn consent_digit(&mut self, now: Duration, digit: char) {
        match (digit, self.asked()) {
            (YES, true) => self.agreed(now, ConsentMethod::Key),
            (NO, true) => self.declined(now, ConsentMethod::Key),
            (_, true | false) => {}
        }
    }

    fn asked(&self) -> bool {
        matches!(&self.task, Task::Consenting(run) if run.op.mode == RecordingMode::Ask)
    }

    fn said(&mut self, now: Duration, text: &str) {
        if self.asked() {
            return match consent::answer(text) {
                Some(Answer::Yes) => self.agreed(now, ConsentMethod::Voice),
                Some(Answer::No) => self.declined(now, ConsentMethod::Voice),
                None => {}
            };
        }
        if let Some(mode) = self.keeping.given.filter(|_| consent::withdraws(text)) {
            self.withdrawn(mode);
        }
    }

    /// Nobody answered: once more, then it is a no.
    pub(super) fn consent_expired(&mut self, now: Duration, run: ConsentRun) {
        if run.tries_left > 0 {
            return self.put_question(run);
        }
        self.task = Task::Consenting(run);
        self.declined(now, ConsentMethod::Silence);
    }

    fn agreed(&mut self, now: Duration, method: ConsentMethod) {
        let Some(op) = self.question_over() else {
            return;
        };
        self.withhold(false);
        let spec = RecordSpec {
            channels: op.channels,
            consent: match op.mode {
                RecordingMode::Ask => action::Consent::Ask,
                _ => action::Consent::Announce,
            },
        };
        self.consented(op.mode, method, ConsentParty::Caller);
        self.record = Some(spec);
        self.start_record();
        self.run(now);
    }

    fn declined(&mut self, now: Duration, method: ConsentMethod) {
        let Some(op) = self.question_over() else {
            return;
        };
        self.consent(op.mode, ConsentState::Refused, method, ConsentParty::Caller);
        self.run(now);
    }

    /// What was asked, once it is answered.
    fn question_over(&mut self) -> Option<ConsentOp> {
        let Task::Consenting(run) = std::mem::replace(&mut self.task, Task::Ready) else {
            return None;
        };
        if run.plays() {
            self.put(Effect::StopPlayout);
        }
        if run.op.mode == RecordingMode::Ask && self.can_hear_the_answer() {
            self.put(Effect::HearAnswer(false));
        }
        Some(run.op)
    }

    fn withdrawn(&mut self, mode: RecordingMode) {
        self.keeping.given = None;
        self.withhold(true);
        let (state, method) = (ConsentState::Withdrawn, ConsentMethod::Voice);
        self.consent(mode, state, method, ConsentParty::Caller);
        if std::mem::replace(&mut self.recording, false) {
            self.put(Effect::DropRecord);
            self.fact(CallFact::RecordingDeleted);
        }
    }

    /// Consent by the plan's own word, for a recording that begins without a question.
    pub(super) fn consented_by(&mut self, spec: RecordSpec) {
        self.keeping.settled = true;
        match spec.consent {
            action::Consent::Given => {
                let by = (ConsentMethod::Configured, ConsentParty::Operator);
                self.consented(RecordingMode::On, by.0, by.1);
            }
            action::Consent::Announce => {
                let by = (ConsentMethod::Announcement, ConsentParty::Caller);
                self.consented(RecordingMode::Announce, by.0, by.1);
            }
            // The caller's answer has been written down.
            action::Consent::Ask => {}
        }
    }

    fn consented(&mut self, mode: RecordingMode, method: ConsentMethod, party: ConsentParty) {
        self.keeping.given = Some(mode);
        self.consent(mode, ConsentState::Given, method, party);
    }

    fn consent(
        &mut self,
        mode: RecordingMode,
        state: ConsentState,
        method: ConsentMethod,
        party: ConsentParty,
    ) {
        self.fact(CallFact::Consent(Consent {
            mode,
            state,
            method,
            party,
        }));
    }

    /// Makes the recording silent, or gives it its sound back once nobody wants it silent.
    pub(super) fn pause_recording(&mut self, by: PauseBy, silent: bool) {
        let before = self.keeping.silent();
        match by {
            PauseBy::Secret => self.keeping.secret = silent,
            PauseBy::Dialplan | PauseBy::Agent | PauseBy::Operator => self.keeping.paused = silent,
        }
        if self.keeping.silent() != before && self.recording {
            self.tell_pause(by);
        }
    }

    /// A recording that begins while it should be silent begins silent.
    pub(super) fn begin_paused(&mut self) {
        if self.keeping.silent() {
            let by = match self.keeping.secret {
                true => PauseBy::Secret,
                false => PauseBy::Dialplan,
            };
            self.tell_pause(by);
        }
    }

    fn tell_pause(&mut self, by: PauseBy) {
        let silent = self.keeping.silent();
        self.put(Effect::PauseRecord { silent, by });
        self.fact(match silent {
            true => CallFact::RecordingPaused { by },
            false => CallFact::RecordingResumed { by },
        });
    }
}
