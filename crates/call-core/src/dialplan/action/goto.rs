//! `goto`: on with a section of the same context. It does not come back.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Goto>("goto", r#"{ goto = "closed" }"#)
    .short("section")
    .freeswitch(&["execute_extension"]);

/// Goes on with a section.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Goto {
    /// A `[section.NAME]` of this context.
    section: String,
}

impl Action for Goto {
    fn outline(&self) -> Outline<'_> {
        Outline {
            sections: vec![&self.section],
            ends: true,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Goto {
            section: self.section.clone(),
        }])
    }
}
