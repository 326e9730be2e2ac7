//! `bridge`: calls somebody else and joins both legs, the sound through us.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, BridgeOp, Callee, Op, Outline, Refer, Refused, Row, Template, Variables};
use crate::dialplan::target::Target;
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Bridge>(
    "bridge",
    r#"{ bridge = { to = ["sip:echo@127.0.0.1:5990"], ring_for = "25s" } }"#,
)
.short("to");

/// Calls and joins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bridge {
    /// Whom: an inner list rings together, the outer one in turn.
    to: Targets,
    /// How long each stage rings.
    #[serde(default = "half_a_minute")]
    ring_for: Length,
    /// Caller identity shown to the far side.
    from: Option<Template>,
    /// What to do when it does not come about.
    #[serde(default)]
    on: Outcomes,
}

/// Whom: one target, or stages in turn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Targets {
    One(Target),
    InTurn(Vec<Stage>),
}

/// One target, or several that ring together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Stage {
    One(Target),
    Together(Vec<Target>),
}

/// Sections by outcome.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcomes {
    /// Everybody was busy.
    pub(super) busy: Option<String>,
    /// Nobody answered in time.
    pub(super) no_answer: Option<String>,
    /// It could not be reached or refused.
    pub(super) failed: Option<String>,
}

pub(super) const fn half_a_minute() -> Length {
    Length::seconds(30)
}

impl Targets {
    pub(super) fn stages(&self) -> Vec<Vec<&Target>> {
        match self {
            Targets::One(target) => vec![vec![target]],
            Targets::InTurn(stages) => stages.iter().map(Stage::targets).collect(),
        }
    }
}

impl Stage {
    fn targets(&self) -> Vec<&Target> {
        match self {
            Stage::One(target) => vec![target],
            Stage::Together(targets) => targets.iter().collect(),
        }
    }
}

impl Action for Bridge {
    fn outline(&self) -> Outline<'_> {
        outline(&self.to, self.from.as_ref(), &self.on)
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        empty_stage(&self.to)
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        let op = calling(&self.to, self.from.as_ref(), &self.on, variables)?;
        Ok(vec![Op::Bridge(BridgeOp {
            ring_for: self.ring_for.0,
            ..op
        })])
    }
}

/// Whom to call, with the variables as they are now.
pub(super) fn calling(
    to: &Targets,
    from: Option<&Template>,
    on: &Outcomes,
    variables: &Variables,
) -> Result<BridgeOp, Refused> {
    let expand = |stage: Vec<&Target>| {
        stage
            .iter()
            .map(|target| target.callee(variables))
            .collect()
    };
    let stages: Result<Vec<Vec<Callee>>, Refused> = to.stages().into_iter().map(expand).collect();
    Ok(BridgeOp {
        stages: stages?,
        refer: Refer::Never,
        ring_for: half_a_minute().0,
        from: from.map(|from| from.target(variables)).transpose()?,
        on_busy: on.busy.clone(),
        on_no_answer: on.no_answer.clone(),
        on_failed: on.failed.clone(),
    })
}

/// What a list of targets and its outcomes refer to.
pub(super) fn outline<'a>(
    to: &'a Targets,
    from: Option<&'a Template>,
    on: &'a Outcomes,
) -> Outline<'a> {
    let sections = on.busy.iter().chain(&on.no_answer).chain(&on.failed);
    let targets = to.stages().concat().into_iter().map(|target| &target.0);
    Outline {
        templates: targets.chain(from).collect(),
        sections: sections.map(String::as_str).collect(),
        ..Outline::default()
    }
}

/// A stage that rings nobody.
pub(super) fn empty_stage(to: &Targets) -> Option<(&'static str, String)> {
    let stages = to.stages();
    let empty = stages.is_empty() || stages.iter().any(Vec::is_empty);
    empty.then(|| ("to", "a stage without targets rings nobody".to_owned()))
}
