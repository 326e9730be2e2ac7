//! `conference`: a room in which everybody hears all others, until they hang up.

use schemars::JsonSchema;
use serde::Deserialize;

use super::op::{Entry, RoomOp};
use super::{Action, Op, Outline, Refused, Row, Template, Variables};

pub(super) const ROW: Row = Row::new::<Conference>(
    "conference",
    r#"{ conference = { room = "sales", max = 30, music = "hold.wav" } }"#,
)
.short("room");

/// Takes the caller into a room of this tenant. The first one makes it, the last one closes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Conference {
    /// The room's name.
    room: Template,
    /// Callers who fit in.
    #[serde(default = "hundred")]
    max: u16,
    /// A sound for whoever is alone in it: a file below the media folder, or `prompt:NAME`.
    #[schemars(extend("format" = "media-name"))]
    music: Option<String>,
    /// The section when the room is full; without one the next action.
    full: Option<String>,
}

const fn hundred() -> u16 {
    100
}

impl Action for Conference {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: vec![&self.room],
            sections: self.full.iter().map(String::as_str).collect(),
            ..Outline::default()
        }
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        (self.max < 2).then(|| ("max", "a conference has at least two seats".to_owned()))
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Room(RoomOp {
            room: format!("conference/{}", self.room.text(variables)),
            seats: self.max,
            entry: Entry::Anybody,
            music: self.music.clone(),
            alone_for: None,
            refused: self.full.clone(),
            timed_out: None,
        })])
    }
}
