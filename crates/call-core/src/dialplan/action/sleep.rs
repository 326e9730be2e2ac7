//! `sleep`: waits.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Refused, Row, Variables};
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Sleep>("sleep", r#"{ sleep = "2s" }"#).short("length");

/// Waits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sleep {
    /// For how long.
    length: Length,
}

impl Action for Sleep {
    fn fault(&self) -> Option<(&'static str, String)> {
        (self.length.0 == Duration::ZERO)
            .then(|| ("length", "a sleep of nothing does nothing".to_owned()))
    }

    fn ops(&self, _: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Sleep(self.length.0)])
    }
}
