//! `agent`: a published agent takes the call. Answers first when nothing has.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, AgentSource, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row =
    Row::new::<Agent>("agent", r#"{ agent = "demo/receptionist" }"#).short("name");

/// Hands the call to an agent; when the agent is done, the next action runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Agent {
    /// `tenant/agent-slug`.
    #[schemars(extend("format" = "agent-name"))]
    name: String,
}

impl Agent {
    fn source(&self) -> AgentSource {
        AgentSource::Named(self.name.clone())
    }
}

impl Action for Agent {
    fn outline(&self) -> Outline<'_> {
        Outline {
            agent: Some(self.source()),
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Agent(self.source())])
    }
}
