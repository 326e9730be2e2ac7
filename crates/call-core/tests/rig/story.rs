//! How every story of a call begins: a plan, a call, and a time that only goes when it is told to.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::Arc;
use std::time::Duration;

use call_core::call::{Call, CallConfig, Effect, Ending, Incoming, Input, Limits};
use call_core::dialplan::{Dialplans, Known};
use call_core::document::SourceFile;

/// A plan of this context: one route that does these actions, and more text below it.
pub fn plan(context: &str, actions: &str, more: &str) -> Arc<Dialplans> {
    let text =
        format!("context = \"{context}\"\n[[route]]\nname = \"it\"\ndo = [{actions}]\n{more}\n");
    let name = "plan.toml".to_owned();
    let (plans, faults) = Dialplans::parse(&[SourceFile { name, text }], &Known::default());
    Arc::new(plans.unwrap_or_else(|| panic!("{faults:?}")))
}

/// No plan at all: for calls that we place.
pub fn no_plan() -> Arc<Dialplans> {
    let (plans, faults) = Dialplans::parse(&[], &Known::default());
    Arc::new(plans.unwrap_or_else(|| panic!("{faults:?}")))
}

/// A call that has not begun.
pub fn call(plan: Arc<Dialplans>) -> Call {
    let config = CallConfig {
        wall_at_start: "2026-01-05T12:00:00Z".parse().unwrap(),
        limits: Limits::default(),
    };
    Call::new(config, plan)
}

/// Who calls, by this context.
pub fn caller(context: &str) -> Incoming {
    Incoming {
        context: context.to_owned(),
        to: "x".to_owned(),
        from: "2000".to_owned(),
        ..Incoming::default()
    }
}

/// Everything it wants done by now.
pub fn drain(call: &mut Call) -> Vec<Effect> {
    std::iter::from_fn(|| call.poll_effect()).collect()
}

/// A call and its time.
pub struct Story {
    pub call: Call,
    pub now: Duration,
}

impl Story {
    pub fn of(plan: Arc<Dialplans>) -> Story {
        Story {
            call: call(plan),
            now: Duration::from_secs(100),
        }
    }

    /// An inbound call that was answered and does these actions; what it wants after the ACK.
    pub fn answered(actions: &str, more: &str) -> (Story, Vec<Effect>) {
        let mut story = Story::of(plan("internal", actions, more));
        story.input(Input::Incoming(Box::new(caller("internal"))));
        story.input(Input::Journaled);
        story.input(Input::AgentReady);
        let effects = story.input(Input::Acknowledged);
        (story, effects)
    }

    pub fn input(&mut self, input: Input) -> Vec<Effect> {
        self.call.handle(self.now, input);
        drain(&mut self.call)
    }

    pub fn after(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += Duration::from_secs(seconds);
        self.call.handle_timeout(self.now);
        drain(&mut self.call)
    }

    /// The record.
    pub fn closed(&mut self) -> Ending {
        match self.input(Input::MediaClosed).pop() {
            Some(Effect::Ended(ending)) => *ending,
            other => panic!("no record but {other:?}"),
        }
    }
}
