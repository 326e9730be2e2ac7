//! Dialplans: which call goes where, written in TOML, read whole, matched lazily.
//!
//! A context holds routes. The first route whose condition holds runs its actions; with
//! `continue = true` the search goes on, against the variables as they are by then. There
//! is no hunt that collects actions for later.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

pub mod action;
mod compile;
mod condition;
mod file;
mod number;
mod pattern;
mod reach;
mod schedule;
mod simulate;
mod target;
mod template;
mod variables;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use condition::{Condition, Facts, Verdict};
pub use file::{schema, shape};
pub use number::e164;
pub use pattern::Pattern;
pub use schedule::Schedule;
pub(crate) use simulate::own_variables;
pub use simulate::{Question, Simulation};
pub use template::{Refused, Template};
pub use variables::Variables;
pub use walk::{Stop, Traced, Walk};

use crate::consent::RecordingPolicy;
use crate::document::{Fault, SourceFile};
use action::Action;

/// Every context of a node, checked.
#[derive(Debug, Clone, Default)]
pub struct Dialplans {
    contexts: BTreeMap<String, Context>,
}

/// One context: who may reach what.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Its name, `public` or `internal` as a rule.
    pub name: String,
    /// Routes in the order in which they are tried.
    pub routes: Vec<Arc<Route>>,
    /// Named lists of actions, reached by `goto`.
    pub sections: BTreeMap<String, Arc<[Step]>>,
    /// Named opening hours.
    pub schedules: BTreeMap<String, Schedule>,
}

/// A route: a condition and what to do when it holds.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name shown in traces and records.
    pub name: String,
    /// When it applies.
    pub when: Condition,
    /// What it does.
    pub steps: Arc<[Step]>,
    /// What it does when everything but its schedule matched.
    pub otherwise: Option<Arc<[Step]>>,
    /// Whether the search goes on after its actions.
    pub goes_on: bool,
    /// Where it is written.
    pub place: Place,
}

/// An action at its place in a file.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does.
    pub action: Arc<dyn Action>,
    /// Where it is written.
    pub place: Place,
}

/// File and line, for traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File name.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Names from the rest of the configuration that a dialplan may refer to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Profile names; None: not checked.
    pub profiles: Option<Vec<String>>,
    /// Trunk names; None: not checked.
    pub trunks: Option<Vec<String>>,
}

/// A number's owner as the snapshot says: which agent answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `tenant/slug`.
    pub agent: String,
    /// When its calls are recorded.
    pub recording: RecordingPolicy,
}

impl Dialplans {
    /// Reads every file and checks them together. None when there is an error among the faults;
    /// warnings may come with a result.
    pub fn parse(files: &[SourceFile], known: &Known) -> (Option<Dialplans>, Vec<Fault>) {
        compile::dialplans(files, known)
    }

    /// A context by name; `default` is an alias of `internal`.
    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.get(canonical(name))
    }

    /// The names of all contexts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// What the dialplan would do with a call, step by step.
    pub fn simulate(&self, question: &Question) -> Simulation {
        simulate::run(self, question)
    }
}

/// `default`, FreeSWITCH's name, means `internal`.
pub(crate) fn canonical(context: &str) -> &str {
    if context == "default" {
        "internal"
    } else {
        context
    }
}
