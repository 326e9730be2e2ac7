//! `hangup`: BYE after the answer, a refusal before it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, HangupCause, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Hangup>("hangup", r#"{ hangup = "normal" }"#)
    .bare()
    .short("cause");

/// Ends the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hangup {
    /// Why.
    #[serde(default = "normal")]
    cause: HangupCause,
}

const fn normal() -> HangupCause {
    HangupCause::Normal
}

impl Action for Hangup {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: true,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Hangup(self.cause)])
    }
}
