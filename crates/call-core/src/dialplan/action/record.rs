//! `record`: a stereo recording on the call's timeline, from the answer on.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Consent, Op, RecordSpec, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Record>(
    "record",
    r#"{ record = { channels = 2, consent = "announce" } }"#,
)
.bare()
.freeswitch(&["record_session"]);

/// Records the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// 1 = both sides mixed, 2 = caller left, agent right.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 2))]
    channels: u8,
    /// How consent is obtained.
    #[serde(default = "announce")]
    consent: Consent,
}

const fn two() -> u8 {
    2
}

const fn announce() -> Consent {
    Consent::Announce
}

impl Action for Record {
    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Record(RecordSpec {
            channels: self.channels,
            consent: self.consent,
        })])
    }
}
