//! `reject`: a final refusal by name (busy, rejected …). After the answer it hangs up.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, HangupCause, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Reject>("reject", r#"{ reject = "busy" }"#)
    .bare()
    .short("cause");

/// Refuses the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reject {
    /// Why.
    #[serde(default = "rejected")]
    cause: HangupCause,
}

const fn rejected() -> HangupCause {
    HangupCause::Rejected
}

impl Action for Reject {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: true,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Reject {
            status: self.cause.status(),
            reason: None,
        }])
    }
}
