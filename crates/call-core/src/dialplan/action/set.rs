//! `set`: variables, visible to the conditions and actions after it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::variables;
use super::{Action, Op, Outline, Refused, Row, Template, Variables};

pub(super) const ROW: Row = Row::new::<Set>("set", r#"{ set = { queue = "sales" } }"#)
    .short("variables")
    .freeswitch(&["export", "multiset"]);

/// Sets variables: name = value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Name → value.
    variables: BTreeMap<String, Template>,
}

impl Action for Set {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: self.variables.values().collect(),
            sets: self.variables.keys().map(String::as_str).collect(),
            ..Outline::default()
        }
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let odd = self.variables.keys().find(|name| !variables::is_name(name));
        let taken = self
            .variables
            .keys()
            .find(|name| variables::RESERVED.contains(&name.as_str()));
        let odd =
            odd.map(|name| format!("`{name}` is not a variable name: lower case, digits and _"));
        let taken = taken.map(|name| format!("`{name}` is the call's own variable"));
        odd.or(taken).map(|message| ("variables", message))
    }

    fn ops(&self, now: &Variables) -> Result<Vec<Op>, Refused> {
        let set = |(name, value): (&String, &Template)| Op::Set {
            name: name.clone(),
            value: value.text(now),
        };
        Ok(self.variables.iter().map(set).collect())
    }
}
