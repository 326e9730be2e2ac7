//! `pickup`: talks with the caller who waits in a slot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::op::{Entry, RoomOp};
use super::park::slot;
use super::{Action, Op, Outline, Refused, Row, Template, Variables};

pub(super) const ROW: Row = Row::new::<Pickup>("pickup", r#"{ pickup = "701" }"#).short("slot");

/// Picks up a parked caller.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pickup {
    /// Where the caller waits.
    slot: Template,
    /// The section when nobody waits there; without one the next action.
    empty: Option<String>,
}

impl Action for Pickup {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: vec![&self.slot],
            sections: self.empty.iter().map(String::as_str).collect(),
            ..Outline::default()
        }
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Room(RoomOp {
            refused: self.empty.clone(),
            ..slot(&self.slot.text(variables), Entry::PicksUp)
        })])
    }
}
