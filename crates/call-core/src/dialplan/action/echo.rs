//! `echo`: every frame back through jitter buffer and codec, clocked by us, until the caller hangs up.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Variables};

pub(super) const ROW: Row = Row::new::<Echo>("echo", r#""echo""#)
    .bare()
    .freeswitch(&["delay_echo"]);

/// The caller hears itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {}

impl Action for Echo {
    fn outline(&self) -> Outline<'_> {
        Outline {
            ends: true,
            ..Outline::default()
        }
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Echo])
    }
}
