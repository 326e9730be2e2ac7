//! Conditions of routes, evaluated against what is known of the call right now.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Pattern, Schedule, Variables};

/// A condition; every part that is there must hold.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Called number, any of these.
    pub number: Vec<String>,
    /// Whole called user part.
    pub to: Option<Pattern>,
    /// Anywhere in the called user part.
    pub to_contains: Option<Pattern>,
    /// Whole calling user part.
    pub from: Option<Pattern>,
    /// Trunk, any of these.
    pub trunk: Vec<String>,
    /// Profile, any of these.
    pub profile: Vec<String>,
    /// Header values.
    pub header: Vec<(String, Pattern)>,
    /// Variables.
    pub var: Vec<(String, Pattern)>,
    /// An open schedule.
    pub schedule: Option<String>,
    /// One of these.
    pub any: Vec<Condition>,
    /// All of these.
    pub all: Vec<Condition>,
    /// Not this.
    pub not: Option<Box<Condition>>,
}

/// What a condition is held against.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The call's variables (`to`, `from`, `number`, `profile`, `trunk` among them).
    pub variables: &'a Variables,
    /// Headers of the INVITE, in order.
    pub headers: &'a [(String, String)],
    /// Schedules of the context.
    pub schedules: &'a BTreeMap<String, Schedule>,
    /// Wall clock.
    pub at: Timestamp,
}

/// Captures of a match: `to.ext` → `1001`.
pub type Captures = Vec<(String, String)>;

/// What came of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds(Captures),
    /// Everything but the schedule holds.
    Closed {
        /// The schedule.
        schedule: String,
        /// Captures of the rest.
        captures: Captures,
    },
    /// It does not hold, because of this.
    No(String),
}

impl Condition {
    /// Holds the condition against the facts.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        let mut captures = Captures::new();
        if let Err(why) = self.plain(facts, &mut captures) {
            return Verdict::No(why);
        }
        match &self.schedule {
            Some(name) if !is_open(facts, name) => Verdict::Closed {
                schedule: name.clone(),
                captures,
            },
            Some(_) | None => Verdict::Holds(captures),
        }
    }

    /// True when every call matches.
    pub fn is_always(&self) -> bool {
        self.schedule.is_none() && self.is_plain_always()
    }

    /// True when nothing but `number` (and perhaps `schedule`) is asked for.
    pub(super) fn only_numbers(&self) -> Option<&[String]> {
        let rest = Condition {
            number: Vec::new(),
            schedule: None,
            ..self.clone()
        };
        (!self.number.is_empty() && rest.is_plain_always()).then_some(&self.number)
    }

    /// True when the route names numbers, so that it may override the office.
    pub fn names_number(&self) -> bool {
        let any = !self.any.is_empty() && self.any.iter().all(Condition::names_number);
        !self.number.is_empty() || any || self.all.iter().any(Condition::names_number)
    }

    /// Names that its captures define.
    pub(super) fn capture_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let sources = [
            ("to", &self.to),
            ("to", &self.to_contains),
            ("from", &self.from),
        ];
        for (prefix, pattern) in sources {
            let pattern = pattern.iter().flat_map(|pattern| pattern.capture_names());
            names.extend(pattern.map(|name| format!("{prefix}.{name}")));
        }
        let tagged = self
            .header
            .iter()
            .map(|pair| ("header", &pair.1))
            .chain(self.var.iter().map(|pair| ("var", &pair.1)));
        for (prefix, pattern) in tagged {
            names.extend(
                pattern
                    .capture_names()
                    .map(|name| format!("{prefix}.{name}")),
            );
        }
        for inner in self.any.iter().chain(&self.all) {
            names.extend(inner.capture_names());
        }
        names
    }

    fn is_plain_always(&self) -> bool {
        let lists = self.number.is_empty() && self.trunk.is_empty() && self.profile.is_empty();
        let patterns = self.to.is_none() && self.to_contains.is_none() && self.from.is_none();
        let maps = self.header.is_empty() && self.var.is_empty();
        let nested =
            self.any.is_empty() && self.all.iter().all(Condition::is_always) && self.not.is_none();
        lists && patterns && maps && nested
    }

    fn plain(&self, facts: &Facts<'_>, captures: &mut Captures) -> Result<(), String> {
        let variable = |name: &str| facts.variables.get(name).unwrap_or("");
        listed("number", &self.number, variable("number"))?;
        listed("trunk", &self.trunk, variable("trunk"))?;
        listed("profile", &self.profile, variable("profile"))?;
        matched("to", "to", self.to.as_ref(), variable("to"), captures)?;
        matched(
            "to_contains",
            "to",
            self.to_contains.as_ref(),
            variable("to"),
            captures,
        )?;
        matched(
            "from",
            "from",
            self.from.as_ref(),
            variable("from"),
            captures,
        )?;
        for (name, pattern) in &self.header {
            header(name, pattern, facts.headers, captures)?;
        }
        for (name, pattern) in &self.var {
            matched(name, "var", Some(pattern), variable(name), captures)?;
        }
        self.nested(facts, captures)
    }

    fn nested(&self, facts: &Facts<'_>, captures: &mut Captures) -> Result<(), String> {
        for inner in &self.all {
            captures.extend(inner.holds(facts)?);
        }
        if !self.any.is_empty() {
            let first = self.any.iter().find_map(|inner| inner.holds(facts).ok());
            captures.extend(first.ok_or("none of `any` holds")?);
        }
        match &self.not {
            Some(inner) if inner.holds(facts).is_ok() => Err("`not` holds".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> Result<Captures, String> {
        match self.evaluate(facts) {
            Verdict::Holds(captures) => Ok(captures),
            Verdict::Closed { schedule, .. } => Err(format!("schedule {schedule} is closed")),
            Verdict::No(why) => Err(why),
        }
    }
}

fn is_open(facts: &Facts<'_>, name: &str) -> bool {
    facts
        .schedules
        .get(name)
        .is_some_and(|schedule| schedule.is_open(facts.at))
}

fn listed(what: &str, wanted: &[String], found: &str) -> Result<(), String> {
    if wanted.is_empty() || wanted.iter().any(|one| one == found) {
        return Ok(());
    }
    Err(format!("{what} is {}", shown(found)))
}

fn matched(
    what: &str,
    prefix: &str,
    pattern: Option<&Pattern>,
    found: &str,
    captures: &mut Captures,
) -> Result<(), String> {
    let Some(pattern) = pattern else {
        return Ok(());
    };
    let Some(groups) = pattern.captures(found) else {
        return Err(format!(
            "{what} is {}, not {}",
            shown(found),
            pattern.source()
        ));
    };
    captures.extend(
        groups
            .into_iter()
            .map(|(name, value)| (format!("{prefix}.{name}"), value)),
    );
    Ok(())
}

/// Any occurrence of a header may match; names compare without case (RFC 3261 §7.3.1).
fn header(
    name: &str,
    pattern: &Pattern,
    headers: &[(String, String)],
    captures: &mut Captures,
) -> Result<(), String> {
    let values = headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let groups = values
        .filter_map(|(_, value)| pattern.captures(value))
        .next();
    let groups = groups.ok_or_else(|| format!("header {name} does not match"))?;
    captures.extend(
        groups
            .into_iter()
            .map(|(group, value)| (format!("header.{group}"), value)),
    );
    Ok(())
}

fn shown(found: &str) -> String {
    if found.is_empty() {
        "not there".to_owned()
    } else {
        found.to_owned()
    }
}
