//! What a dialplan would do with a call, told step by step (`media-server route`).

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::action::Op;
use super::{Binding, Dialplans, Stop, Traced, Variables, Walk, e164};

/// Most steps that are told; a menu that returns to itself goes on for ever.
const MAX_STEPS: usize = 100;

/// A call that might come.
#[derive(Debug, Clone)]
pub struct Question {
    /// Called user part.
    pub to: String,
    /// Calling user part.
    pub from: String,
    /// Profile it comes in on.
    pub profile: String,
    /// That profile's context.
    pub context: String,
    /// Trunk it comes over.
    pub trunk: Option<String>,
    /// Headers of the INVITE.
    pub headers: Vec<(String, String)>,
    /// When.
    pub at: Timestamp,
    /// The agent that the office gives for the number.
    pub bound: Option<Binding>,
}

/// The story of a [`Question`]: one line per step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// The lines.
    pub lines: Vec<String>,
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The variables that a call brings along.
pub(crate) fn own_variables(
    to: &str,
    from: &str,
    profile: &str,
    context: &str,
    trunk: Option<&str>,
) -> Variables {
    let mut variables = Variables::default();
    variables.set("to", to);
    variables.set("from", from);
    variables.set("profile", profile);
    variables.set("context", super::canonical(context));
    if let Some(trunk) = trunk {
        variables.set("trunk", trunk);
    }
    if let Some(number) = e164(to) {
        variables.set("number", &number);
    }
    variables
}

pub(super) fn run(plan: &Dialplans, question: &Question) -> Simulation {
    let Question {
        to,
        from,
        profile,
        context,
        trunk,
        ..
    } = question;
    let variables = own_variables(to, from, profile, context, trunk.as_deref());
    let mut lines = vec![format!(
        "{from} calls {to} on {profile}, context {}, at {}",
        super::canonical(context),
        question.at
    )];
    if let Some(number) = variables.get("number") {
        lines.push(format!("number {number}"));
    }
    let (headers, bound) = (question.headers.clone(), question.bound.clone());
    let mut walk = Walk::new(Arc::new(plan.clone()), context, variables, headers, bound);
    for _ in 0..MAX_STEPS {
        let stop = walk.next(question.at, &mut |traced| lines.push(told(&traced)));
        let place = walk
            .place()
            .map_or(String::new(), |place| format!("   ({place})"));
        let end = match stop {
            Stop::Op(op) => {
                lines.push(format!("  {op}{place}"));
                ends_here(&op).map(str::to_owned)
            }
            Stop::NoRoute => Some("no route matched: 404 Not Found".to_owned()),
            Stop::End => Some("the plan is done: hang up (before an answer: 480)".to_owned()),
            Stop::Broken(why) => Some(format!("the call fails here: {why}")),
        };
        if let Some(end) = end {
            lines.push(end);
            return Simulation { lines };
        }
    }
    lines.push(format!("… and so on; stopped after {MAX_STEPS} steps"));
    Simulation { lines }
}

fn ends_here(op: &Op) -> Option<&'static str> {
    match op {
        Op::Reject { .. } => Some("the call is refused"),
        Op::Hangup(_) => Some("the call is over"),
        Op::Echo | Op::Tone { length: None, .. } | Op::Play { repeat: true, .. } => {
            Some("until the caller hangs up")
        }
        _ => None,
    }
}

fn told(traced: &Traced) -> String {
    match traced {
        Traced::Passed { route, place, why } => format!("- {route} ({place}): {why}"),
        Traced::Took {
            route,
            place,
            closed: None,
        } => format!("✓ {route} ({place})"),
        Traced::Took {
            route,
            place,
            closed: Some(schedule),
        } => {
            format!("✓ {route} ({place}), but schedule {schedule} is closed: else")
        }
        Traced::Bound { agent } => format!("✓ the number belongs to agent {agent}"),
        Traced::Went { section } => format!("  goto {section}"),
        Traced::Set { name, value } => format!("  set {name} = {value:?}"),
    }
}
