//! `park`: the caller waits in a slot until somebody picks it up there.

use schemars::JsonSchema;
use serde::Deserialize;

use super::op::{Entry, RoomOp};
use super::{Action, Op, Outline, Refused, Row, Template, Variables};
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Park>(
    "park",
    r#"{ park = { slot = "701", music = "hold.wav", wait = "5m" } }"#,
)
.short("slot")
.freeswitch(&["valet_park"]);

/// Parks the caller. When whoever picked it up hangs up, the plan goes on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Park {
    /// Where: one caller waits in a slot of this tenant.
    slot: Template,
    /// A sound for the time: a file below the media folder, or `prompt:NAME`.
    #[schemars(extend("format" = "media-name"))]
    music: Option<String>,
    /// How long.
    #[serde(default = "ten_minutes")]
    wait: Length,
    /// The section when nobody came; without one the next action.
    forgotten: Option<String>,
    /// The section when the slot is taken; without one the next action.
    taken: Option<String>,
}

const fn ten_minutes() -> Length {
    Length::seconds(600)
}

/// The room of a slot: whoever parks and whoever picks up.
pub(super) fn slot(name: &str, entry: Entry) -> RoomOp {
    RoomOp {
        room: format!("park/{name}"),
        seats: 2,
        entry,
        music: None,
        alone_for: None,
        refused: None,
        timed_out: None,
    }
}

impl Action for Park {
    fn outline(&self) -> Outline<'_> {
        let sections = self.forgotten.iter().chain(&self.taken);
        Outline {
            templates: vec![&self.slot],
            sections: sections.map(String::as_str).collect(),
            ..Outline::default()
        }
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Room(RoomOp {
            music: self.music.clone(),
            alone_for: Some(self.wait.0),
            refused: self.taken.clone(),
            timed_out: self.forgotten.clone(),
            ..slot(&self.slot.text(variables), Entry::Parks)
        })])
    }
}
