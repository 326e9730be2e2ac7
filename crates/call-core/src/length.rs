//! Lengths of time as operators write them: `"250ms"`, `"30s"`, `"5m"`, `"4h"`, `"1d"`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::document::Complaint;

/// The JSON Schema `format` of a length of time.
pub const FORMAT: &str = "length-of-time";

/// A length of time read from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Duration);

impl Length {
    /// Seconds.
    pub const fn seconds(seconds: u64) -> Length {
        Length(Duration::from_secs(seconds))
    }

    /// Milliseconds.
    pub const fn millis(millis: u64) -> Length {
        Length(Duration::from_millis(millis))
    }
}

/// Checks the text; the error says what was expected.
pub fn check(text: &str) -> Result<(), Complaint> {
    Ok(parse(text).map(|_| ())?)
}

/// Reads a whole number with one unit (`ms`, `s`, `m`, `h`, `d`), at most 366 days.
pub fn parse(text: &str) -> Result<Length, String> {
    let expected =
        || "expected a length of time such as \"500ms\", \"30s\", \"5m\" or \"4h\"".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    match number.checked_mul(unit_ms) {
        Some(millis) if millis <= 366 * 86_400_000 => Ok(Length::millis(millis)),
        Some(_) | None => Err("expected at most 366 days".to_owned()),
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => write!(f, "0s"),
            _ if millis.is_multiple_of(3_600_000) => write!(f, "{}h", millis / 3_600_000),
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Length {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": FORMAT, "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_reads_back_what_it_prints() {
        for text in ["0s", "250ms", "30s", "90s", "5m", "4h", "48h"] {
            let length = parse(text).unwrap();
            assert_eq!(parse(&length.to_string()), Ok(length), "{text}");
        }
    }

    #[test]
    fn lengths_without_a_unit_or_beyond_a_year_are_refused() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "400d",
            "99999999999999999999s",
            "३s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
