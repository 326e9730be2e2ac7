//! `gather`: digits from the caller into a variable, or to a section by choice.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::variables;
use super::{Action, GatherOp, Op, Outline, Prompt, Refused, Row, Template, Variables};
use crate::length::Length;

pub(super) const ROW: Row = Row::new::<Gather>(
    "gather",
    r#"{ gather = { say = "One for sales.", into = "choice", max = 1 } }"#,
)
.freeswitch(&["read", "play_and_get_digits"]);

/// Collects digits. A digit cuts the prompt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Gather {
    /// A sound that asks.
    #[schemars(extend("format" = "media-name"))]
    play: Option<String>,
    /// A text that asks.
    say: Option<Template>,
    /// The variable that takes the digits.
    #[serde(default = "digits")]
    #[schemars(extend("format" = "variable-name"))]
    into: String,
    /// Fewest digits.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    min: u8,
    /// Most digits.
    #[serde(default = "most")]
    #[schemars(range(min = 1, max = 64))]
    max: u8,
    /// Wait for the first digit.
    #[serde(default = "five_seconds")]
    timeout: Length,
    /// Wait for each further digit.
    #[serde(default = "three_seconds")]
    digit_timeout: Length,
    /// Digits that end the entry.
    #[serde(default = "hash")]
    #[schemars(extend("format" = "digits"))]
    terminators: String,
    /// How often to ask.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    tries: u8,
    /// Keep the digits out of journal, transcript, recording and traces.
    #[serde(default)]
    secret: bool,
    /// Digits → section.
    #[serde(default)]
    choices: BTreeMap<String, String>,
    /// Section when every try failed.
    or_else: Option<String>,
}

fn digits() -> String {
    "digits".to_owned()
}

fn hash() -> String {
    "#".to_owned()
}

const fn one() -> u8 {
    1
}

const fn most() -> u8 {
    32
}

const fn five_seconds() -> Length {
    Length::seconds(5)
}

const fn three_seconds() -> Length {
    Length::seconds(3)
}

impl Action for Gather {
    fn outline(&self) -> Outline<'_> {
        let sections = self
            .choices
            .values()
            .chain(&self.or_else)
            .map(String::as_str)
            .collect();
        let templates = self.say.iter().collect();
        Outline {
            templates,
            sections,
            sets: vec![&self.into],
            ..Outline::default()
        }
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        if self.min > self.max {
            return Some((
                "min",
                format!("`min` is {}, above `max` {}", self.min, self.max),
            ));
        }
        if self.play.is_some() && self.say.is_some() {
            return Some(("say", "`play` and `say` exclude each other".to_owned()));
        }
        if variables::RESERVED.contains(&self.into.as_str()) {
            return Some((
                "into",
                format!("`{}` is the call's own variable", self.into),
            ));
        }
        let odd = self
            .choices
            .keys()
            .find(|digits| super::super::file::check_digits(digits).is_err());
        odd.map(|digits| {
            (
                "choices",
                format!("`{digits}` is not made of digits 0-9, *, #, A-D"),
            )
        })
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        let said = self
            .say
            .as_ref()
            .map(|text| Prompt::Say(text.text(variables)));
        Ok(vec![Op::Gather(GatherOp {
            prompt: said.or_else(|| self.play.clone().map(Prompt::Play)),
            into: self.into.clone(),
            min: self.min,
            max: self.max,
            timeout: self.timeout.0,
            digit_timeout: self.digit_timeout.0,
            terminators: self.terminators.clone(),
            tries: self.tries,
            secret: self.secret,
            choices: self.choices.clone(),
            or_else: self.or_else.clone(),
        })])
    }
}
