//! `stub_local`: runs the agent interface in process; the caller hears what it says. Answers first when nothing has.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, AgentSource, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<StubLocal>("stub_local", r#""stub_local""#).bare();

/// The server runs the agent interface in process; the caller hears what it says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StubLocal {}

impl Action for StubLocal {
    fn outline(&self) -> Outline<'_> {
        Outline {
            agent: Some(AgentSource::StubLocal),
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Agent(AgentSource::StubLocal)])
    }
}
