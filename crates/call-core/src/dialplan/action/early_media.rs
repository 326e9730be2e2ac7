//! `early_media`: 183 Session Progress with SDP, so that sound runs before the answer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<EarlyMedia>("early_media", r#""early_media""#)
    .bare()
    .freeswitch(&["pre_answer"]);

/// Opens the sound path without answering.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EarlyMedia {}

impl Action for EarlyMedia {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::EarlyMedia])
    }
}
