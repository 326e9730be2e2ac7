//! `pause_recording`: the recording is silent from here on.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<PauseRecording>("pause_recording", r#""pause_recording""#)
    .bare()
    .freeswitch(&["record_session_mask", "record_session_pause"]);

/// Makes the recording silent until `resume_recording`; it stays as long as the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseRecording {}

impl Action for PauseRecording {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::PauseRecording(true)])
    }
}
