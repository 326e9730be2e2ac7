//! `play`: a sound file from the media folder. Before the answer it is early media (183).

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Play>("play", r#"{ play = "closed.wav" }"#)
    .short("source")
    .freeswitch(&["playback", "endless_playback"]);

/// Plays a sound.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Play {
    /// A file below the media folder, or `prompt:NAME` for one that is built in.
    #[schemars(extend("format" = "media-name"))]
    source: String,
    /// Start again at the end, until the caller hangs up.
    #[serde(default)]
    repeat: bool,
}

impl Action for Play {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: self.repeat,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Play {
            source: self.source.clone(),
            repeat: self.repeat,
        }])
    }
}
