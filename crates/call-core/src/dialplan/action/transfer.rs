//! `transfer`: hands the caller to somebody, by REFER where the far side takes it, else through us.

use schemars::JsonSchema;
use serde::Deserialize;

use super::bridge::{Outcomes, Targets, calling, empty_stage, half_a_minute, outline};
use super::{Action, BridgeOp, Op, Outline, Refer, Refused, Row, Template, Variables};
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Transfer>(
    "transfer",
    r#"{ transfer = { to = "sip:desk@127.0.0.1:5990", mode = "refer_or_bridge" } }"#,
)
.short("to")
.freeswitch(&["deflect"]);

/// Hands the caller over. A REFER asks for the first target alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// Whom: an inner list rings together, the outer one in turn.
    to: Targets,
    /// How: `refer_or_bridge`, `refer` or `bridge`.
    #[serde(default = "refer_first")]
    mode: Refer,
    /// How long each stage rings.
    #[serde(default = "half_a_minute")]
    ring_for: Length,
    /// Caller identity shown to the far side, where we call it.
    from: Option<Template>,
    /// What to do when it does not come about.
    #[serde(default)]
    on: Outcomes,
}

const fn refer_first() -> Refer {
    Refer::First
}

impl Action for Transfer {
    fn outline(&self) -> Outline<'_> {
        outline(&self.to, self.from.as_ref(), &self.on)
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        empty_stage(&self.to)
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        let op = calling(&self.to, self.from.as_ref(), &self.on, variables)?;
        Ok(vec![Op::Bridge(BridgeOp {
            refer: self.mode,
            ring_for: self.ring_for.0,
            ..op
        })])
    }
}
