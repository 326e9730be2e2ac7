//! The rules of the house, as functions from the workspace to findings.
//!
//! Each rule lives in a file of its own with a self-test that feeds it something wrong: a rule
//! that cannot fail holds nothing. `tests/workspace.rs` runs them all over this repository.
//! What is excused stands in `exceptions.toml`, each line with its reason.

pub mod claims;
pub mod direction;
pub mod environment;
pub mod exceptions;
pub mod files;
pub mod functions;
pub mod hosts;
pub mod manifests;
pub mod metrics;
pub mod migrations;
pub mod packages;
pub mod sql;
pub mod stubs;
pub mod workspace;

use std::fmt;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule's name, as `exceptions.toml` uses it.
    pub rule: &'static str,
    /// Where: a path, `path::function`, or `crate -> crate`.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Finding {
    /// A finding.
    pub fn new(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            rule,
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.rule, self.place, self.what)
    }
}
