//! `ring`: 180 Ringing.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Ring>("ring", r#""ring""#)
    .bare()
    .freeswitch(&["ring_ready"]);

/// Lets the caller hear ringing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ring {}

impl Action for Ring {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Ring])
    }
}
