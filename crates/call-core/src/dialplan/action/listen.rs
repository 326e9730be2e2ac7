//! `listen`: says nothing and transcribes what the caller says. Answers first when nothing has.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, AgentSource, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Listen>("listen", r#""listen""#).bare();

/// The server says nothing and transcribes what the caller says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listen {}

impl Action for Listen {
    fn outline(&self) -> Outline<'_> {
        Outline {
            agent: Some(AgentSource::Listen),
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Agent(AgentSource::Listen)])
    }
}
