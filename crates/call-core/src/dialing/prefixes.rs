//! Which numbers may be called: `+33` allows, `!+33899` forbids, the longest match decides.

use std::collections::BTreeMap;

use crate::document::Complaint;

/// Fewest digits after the plus: a country code.
const MAX_DIGITS: usize = 15;

/// A set of prefixes. Empty allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefixes(BTreeMap<String, bool>);

impl Prefixes {
    /// From texts that passed [`check`]; others are left out, which can only forbid more: a
    /// forbidding one that cannot be read forbids everything.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Prefixes {
        let mut all = BTreeMap::new();
        for text in texts {
            let text = text.as_ref();
            let (allowed, prefix) = match text.strip_prefix('!') {
                Some(prefix) => (false, prefix),
                None => (true, text),
            };
            match check(text) {
                // What is both allowed and forbidden is forbidden.
                Ok(()) => {
                    let kept = all.entry(prefix.to_owned()).or_insert(allowed);
                    *kept &= allowed;
                }
                Err(_) if allowed => {}
                Err(_) => return Prefixes::default(),
            }
        }
        Prefixes(all)
    }

    /// True when nothing is allowed.
    pub fn is_empty(&self) -> bool {
        !self.0.values().any(|allowed| *allowed)
    }

    /// What the longest prefix of `number` (E.164 with its plus) says.
    pub fn allow(&self, number: &str) -> bool {
        let mut ends = (1..=number.len()).rev();
        let longest = ends.find_map(|end| self.0.get(number.get(..end)?));
        longest.copied().unwrap_or(false)
    }
}

/// Takes `+` and digits, with `!` before it to forbid; `+` alone is every number.
pub fn check(text: &str) -> Result<(), Complaint> {
    let prefix = text.strip_prefix('!').unwrap_or(text);
    let digits = prefix.strip_prefix('+');
    let good = digits.is_some_and(|digits| {
        digits.len() <= MAX_DIGITS
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if good {
        return Ok(());
    }
    Err("expected a prefix such as \"+33\", or \"!+33899\" to forbid one".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_decides() {
        let prefixes = Prefixes::new(["+33", "!+33899", "+338990"]);
        for (number, allowed) in [
            ("+33100000001", true),
            ("+33899100001", false),
            ("+33899000001", true),
            ("+44200000001", false),
            ("", false),
        ] {
            assert_eq!(prefixes.allow(number), allowed, "{number}");
        }
    }

    #[test]
    fn nothing_is_allowed_by_nothing_and_doubt_forbids() {
        assert!(Prefixes::new::<&str>([]).is_empty());
        assert!(Prefixes::new(["!+33"]).is_empty());
        assert!(!Prefixes::new(["+33", "!+33"]).allow("+33100000001"));
        assert!(!Prefixes::new(["33", "0033", "x"]).allow("+33100000001"));
        assert!(!Prefixes::new(["+33", "!33899"]).allow("+33100000001"));
        assert!(Prefixes::new(["+"]).allow("+4420000001"));
    }
}
