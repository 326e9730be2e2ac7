//! `tone`: a sine wave. Before the answer it is early media (183).

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Variables};
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Tone>("tone", "{ tone = { hz = 1000 } }")
    .bare()
    .short("hz")
    .freeswitch(&["gentones"]);

/// Plays a tone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tone {
    /// Frequency in Hz.
    #[serde(default = "one_kilohertz")]
    #[schemars(range(min = 50, max = 3800))]
    hz: u16,
    /// Level in dBm0.
    #[serde(default = "minus_ten")]
    #[schemars(range(min = -60, max = 0))]
    level_dbm0: i8,
    /// For how long; without it until the caller hangs up.
    length: Option<Length>,
}

const fn one_kilohertz() -> u16 {
    1000
}

const fn minus_ten() -> i8 {
    -10
}

impl Action for Tone {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: self.length.is_none(),
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        let length = self.length.map(|length| length.0);
        Ok(vec![Op::Tone {
            hz: self.hz,
            level_dbm0: self.level_dbm0,
            length,
        }])
    }
}
