//! `bridge`: calls somebody else and joins both legs, the sound through us.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, BridgeOp, Op, Outline, Refused, Row, Template, Variables};
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Targets {
    One(Target),
    InTurn(Vec<Stage>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Stage {
    One(Target),
    Together(Vec<Target>),
}

/// Sections by outcome.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Outcomes {
    /// Everybody was busy.
    busy: Option<String>,
    /// Nobody answered in time.
    no_answer: Option<String>,
    /// It could not be reached or refused.
    failed: Option<String>,
}

const fn half_a_minute() -> Length {
    Length::seconds(30)
}

impl Targets {
    fn stages(&self) -> Vec<Vec<&Target>> {
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
        let on = &self.on;
        let sections = on.busy.iter().chain(&on.no_answer).chain(&on.failed);
        let targets = self.to.stages().concat();
        Outline {
            templates: targets
                .into_iter()
                .map(|target| &target.0)
                .chain(&self.from)
                .collect(),
            sections: sections.map(String::as_str).collect(),
            ..Outline::default()
        }
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let stages = self.to.stages();
        let empty = stages.is_empty() || stages.iter().any(Vec::is_empty);
        empty.then(|| ("to", "a stage without targets rings nobody".to_owned()))
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        let expand = |stage: Vec<&Target>| {
            stage
                .iter()
                .map(|target| target.0.target(variables))
                .collect()
        };
        let stages: Result<Vec<Vec<String>>, Refused> =
            self.to.stages().into_iter().map(expand).collect();
        let from = self
            .from
            .as_ref()
            .map(|from| from.target(variables))
            .transpose()?;
        Ok(vec![Op::Bridge(BridgeOp {
            stages: stages?,
            ring_for: self.ring_for.0,
            from,
            on_busy: self.on.busy.clone(),
            on_no_answer: self.on.no_answer.clone(),
            on_failed: self.on.failed.clone(),
        })])
    }
}
