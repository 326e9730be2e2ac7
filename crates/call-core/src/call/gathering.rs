//! Digits: to the entry that waits for them, else to the agent.

use std::time::Duration;

use model::PauseBy;

use super::{Call, CallFact, Effect, Task};
use crate::dialplan::action::{GatherOp, Prompt};
use crate::digits::{DigitEvent, Digits, Entry, Outcome};

/// An entry under way.
#[derive(Debug)]
pub(super) struct GatherRun {
    op: GatherOp,
    tries_left: u8,
    /// The prompt that is being played.
    prompt: Option<u64>,
}

impl GatherRun {
    pub(super) fn plays(&self) -> bool {
        self.prompt.is_some()
    }
}

impl Call {
    pub(super) fn gather(&mut self, now: Duration, op: GatherOp) {
        self.early_media();
        if op.secret {
            self.put(Effect::Mask(true));
            self.pause_recording(PauseBy::Secret, true);
        }
        let tries_left = op.tries;
        self.ask(
            now,
            GatherRun {
                op,
                tries_left,
                prompt: None,
            },
        );
    }

    fn ask(&mut self, now: Duration, mut run: GatherRun) {
        let GatherOp {
            min,
            max,
            timeout,
            digit_timeout,
            secret,
            ..
        } = run.op;
        let terminators = run.op.terminators.clone();
        self.digits.begin(Entry {
            min,
            max,
            first: timeout,
            between: digit_timeout,
            terminators,
            secret,
        });
        run.tries_left = run.tries_left.saturating_sub(1);
        run.prompt = run.op.prompt.clone().map(|prompt| self.prompt(prompt));
        if run.prompt.is_none() {
            self.digits.prompt_ended(now);
        }
        self.task = Task::Gathering(run);
    }

    fn prompt(&mut self, prompt: Prompt) -> u64 {
        let tag = self.tag();
        self.put(match prompt {
            Prompt::Play(source) => Effect::Play {
                tag,
                source,
                repeat: false,
            },
            Prompt::Say(text) => Effect::Say {
                tag,
                text,
                voice: None,
            },
        });
        tag
    }

    pub(super) fn prompt_finished(&mut self, now: Duration, tag: u64) {
        if let Task::Gathering(run) = &mut self.task
            && run.prompt == Some(tag)
        {
            run.prompt = None;
            self.digits.prompt_ended(now);
        }
    }

    pub(super) fn digit(&mut self, now: Duration, event: DigitEvent) {
        let Some(digit) = self.digits.press(now, event) else {
            return;
        };
        if !self.digits.is_secret() {
            self.fact(CallFact::Digit { digit });
        }
        match &mut self.task {
            Task::Gathering(run) => {
                if run.prompt.take().is_some() {
                    self.put(Effect::StopPlayout);
                    self.digits.prompt_ended(now);
                }
                let outcome = self.digits.feed(now, digit);
                self.gathered(now, outcome);
            }
            Task::Agent => self.put(Effect::AgentDigit { digit }),
            Task::Consenting(_) => self.consent_digit(now, digit),
            Task::Ready
            | Task::Answering
            | Task::AwaitingAck { .. }
            | Task::Playing { .. }
            | Task::Dialing(_)
            | Task::Joining(_)
            | Task::Joined(_)
            | Task::InRoom(_)
            | Task::Referring(_)
            | Task::Sounding
            | Task::Tone { .. }
            | Task::Sleeping { .. } => {}
        }
    }

    pub(super) fn gather_expired(&mut self, now: Duration) {
        let outcome = self.digits.expire(now);
        self.gathered(now, outcome);
    }

    fn gathered(&mut self, now: Duration, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        let run = match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Gathering(run) => run,
            task @ (Task::Ready
            | Task::Answering
            | Task::AwaitingAck { .. }
            | Task::Agent
            | Task::Playing { .. }
            | Task::Consenting(_)
            | Task::Dialing(_)
            | Task::Joining(_)
            | Task::Joined(_)
            | Task::InRoom(_)
            | Task::Referring(_)
            | Task::Sounding
            | Task::Tone { .. }
            | Task::Sleeping { .. }) => {
                self.task = task;
                return;
            }
        };
        match outcome {
            Outcome::Complete(digits) => match run.op.choices.get(digits.as_str()).cloned() {
                Some(section) => self.gather_done(now, &run, &digits, Some(section)),
                None if run.op.choices.is_empty() => self.gather_done(now, &run, &digits, None),
                None => self.gather_again(now, run, &digits),
            },
            Outcome::Incomplete(digits) => self.gather_again(now, run, &digits),
        }
    }

    fn gather_again(&mut self, now: Duration, run: GatherRun, digits: &Digits) {
        if run.tries_left > 0 {
            return self.ask(now, run);
        }
        let otherwise = run.op.or_else.clone();
        self.gather_done(now, &run, digits, otherwise);
    }

    fn gather_done(
        &mut self,
        now: Duration,
        run: &GatherRun,
        digits: &Digits,
        section: Option<String>,
    ) {
        if let Some(walk) = &mut self.walk {
            let variables = walk.variables_mut();
            if digits.is_secret() {
                variables.set_secret(&run.op.into, digits.as_str());
            } else {
                variables.set(&run.op.into, digits.as_str());
            }
        }
        if run.op.secret {
            self.put(Effect::Mask(false));
            self.pause_recording(PauseBy::Secret, false);
        }
        match section {
            Some(section) => self.go(now, &section),
            None => self.run(now),
        }
    }
}
