//! `X-PRE-PROCESS cmd="set"` and `$${name}`.

use std::collections::BTreeMap;

use super::xml::Element;

/// The global variables of a configuration.
#[derive(Debug, Default)]
pub(super) struct Vars(BTreeMap<String, String>);

impl Vars {
    /// Takes in the `set`s of this element and those within, in order.
    pub(super) fn learn(&mut self, element: &Element) {
        let set = matches!(element.get("cmd"), Some("set" | "stun-set" | "exec-set"));
        if set
            && element.name.eq_ignore_ascii_case("X-PRE-PROCESS")
            && let Some((name, value)) = element.get("data").and_then(|data| data.split_once('='))
        {
            let value = self.fill(value);
            self.0
                .insert(name.trim().to_owned(), value.trim().to_owned());
        }
        for child in &element.children {
            self.learn(child);
        }
    }

    /// `text` with `$${name}` replaced where the name is known.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$${") {
            out.push_str(before);
            let known = after.split_once('}');
            let known = known.and_then(|(name, more)| Some((self.0.get(name)?, more)));
            match known {
                Some((value, more)) => {
                    out.push_str(value);
                    rest = more;
                }
                None => {
                    out.push_str("$${");
                    rest = after;
                }
            }
        }
        out + rest
    }
}
