//! `unset`: forgets a variable.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Unset>("unset", r#"{ unset = "queue" }"#).short("name");

/// Forgets a variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unset {
    /// The variable.
    #[schemars(extend("format" = "variable-name"))]
    name: String,
}

impl Action for Unset {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Unset {
            name: self.name.clone(),
        }])
    }
}
