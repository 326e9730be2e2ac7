//! `respond`: a final refusal by SIP status. After the answer it hangs up.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Respond>("respond", "{ respond = 480 }").short("status");

/// Refuses the call with a status.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Respond {
    /// SIP status, 400 to 699.
    #[schemars(range(min = 400, max = 699))]
    status: u16,
    /// Reason phrase instead of the usual one.
    #[schemars(extend("format" = "reason-phrase"))]
    reason: Option<String>,
}

impl Action for Respond {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: true,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Reject {
            status: self.status,
            reason: self.reason.clone(),
        }])
    }
}
