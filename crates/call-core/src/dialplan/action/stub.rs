//! `stub`: carries the sound to a separate agent process over AudioSocket, at `[loadtest] stub`. Answers first when nothing has.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, AgentSource, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Stub>("stub", r#""stub""#).bare();

/// The server carries the sound to a separate agent process over AudioSocket, at `[loadtest] stub`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stub {}

impl Action for Stub {
    fn outline(&self) -> Outline<'_> {
        Outline {
            agent: Some(AgentSource::Stub),
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Agent(AgentSource::Stub)])
    }
}
