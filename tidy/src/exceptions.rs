//! What is excused, and why. An excuse without a reason, or for nothing, is itself a finding.

use serde::Deserialize;

use crate::Finding;

/// `exceptions.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// One excuse.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    rule: String,
    place: String,
    reason: String,
}

/// Fewer characters explain nothing.
const SHORTEST_REASON: usize = 30;

impl Exceptions {
    /// Reads the list.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// What is left of the findings of `rule`: those not excused, and excuses that are no good.
    pub fn judge(&self, rule: &'static str, findings: Vec<Finding>) -> Vec<Finding> {
        let mut left = Vec::new();
        for excuse in self.exception.iter().filter(|excuse| excuse.rule == rule) {
            if excuse.reason.trim().len() < SHORTEST_REASON {
                left.push(Finding::new(
                    rule,
                    &excuse.place,
                    "its exception says no reason",
                ));
            }
            if !findings.iter().any(|finding| finding.place == excuse.place) {
                let what = "is excused for nothing: take it out of exceptions.toml";
                left.push(Finding::new(rule, &excuse.place, what));
            }
        }
        let excused = |place: &str| {
            let mut rules = self.exception.iter().filter(|excuse| excuse.rule == rule);
            rules.any(|excuse| excuse.place == place)
        };
        left.extend(
            findings
                .into_iter()
                .filter(|finding| !excused(&finding.place)),
        );
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[exception]]
        rule = "function-length"
        place = "a.rs::long"
        reason = "a table of 90 entries that reads best in one piece"
        [[exception]]
        rule = "function-length"
        place = "b.rs::short"
        reason = "because"
    "#;

    #[test]
    fn an_excused_place_is_silent_and_every_other_is_not() {
        let list = Exceptions::parse(LIST).unwrap();
        let finding = |place: &str| Finding::new("function-length", place, "90 lines");
        let left = list.judge(
            "function-length",
            vec![finding("a.rs::long"), finding("c.rs::x")],
        );
        let places: Vec<&str> = left.iter().map(|left| left.place.as_str()).collect();
        // b.rs::short twice: its reason is none, and nothing is wrong with it any more.
        assert_eq!(places, ["b.rs::short", "b.rs::short", "c.rs::x"]);
    }

    #[test]
    fn an_excuse_holds_for_its_rule_alone() {
        let list = Exceptions::parse(LIST).unwrap();
        let other = vec![Finding::new("file-length", "a.rs::long", "700 lines")];
        assert_eq!(list.judge("file-length", other).len(), 1);
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(Exceptions::parse("[[exception]]\nrule='a'\nplace='b'\nwhy='c'").is_err());
    }
}
