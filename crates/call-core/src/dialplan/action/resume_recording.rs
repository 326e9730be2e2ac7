//! `resume_recording`: the recording has sound again.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};

pub(super) const ROW: Row =
    Row::new::<ResumeRecording>("resume_recording", r#""resume_recording""#)
        .bare()
        .freeswitch(&["record_session_unmask", "record_session_resume"]);

/// Ends `pause_recording`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResumeRecording {}

impl Action for ResumeRecording {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::PauseRecording(false)])
    }
}
