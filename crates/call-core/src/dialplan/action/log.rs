//! `log`: a line in the call's timeline and the server's log.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Template, Variables};

pub(super) const ROW: Row = Row::new::<Log>("log", r#"{ log = "call from {from}" }"#)
    .short("text")
    .freeswitch(&["info"]);

/// Writes a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Log {
    /// The line.
    text: Template,
}

impl Action for Log {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: vec![&self.text],
            ..Outline::default()
        }
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Log {
            text: self.text.text(variables),
        }])
    }
}
