//! `answer`: 200 OK. With an agent further down, the agent is prepared first.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Answer>("answer", r#""answer""#).bare();

/// Answers the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {}

impl Action for Answer {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Answer])
    }
}
