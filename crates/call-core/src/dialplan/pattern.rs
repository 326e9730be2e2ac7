//! Regular expressions of a dialplan: the whole string, linear time, explained when refused.

use regex::{Regex, RegexBuilder};

use crate::document::Complaint;

/// Largest compiled expression, in bytes; keeps a file from taking the memory of the calls.
const SIZE_LIMIT: usize = 256 * 1024;

/// A compiled expression with its source.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Matches whole strings only.
    pub fn whole(source: &str) -> Result<Pattern, Complaint> {
        Pattern::build(source, &format!(r"\A(?:{source})\z"))
    }

    /// Matches anywhere in a string.
    pub fn anywhere(source: &str) -> Result<Pattern, Complaint> {
        Pattern::build(source, source)
    }

    fn build(source: &str, text: &str) -> Result<Pattern, Complaint> {
        // The source alone first: `a)(b` must not become valid by being wrapped.
        let check = |text: &str| RegexBuilder::new(text).size_limit(SIZE_LIMIT).build();
        check(source).map_err(|error| explain(source, &error))?;
        let regex = check(text).map_err(|error| explain(source, &error))?;
        Ok(Pattern {
            source: source.to_owned(),
            regex,
        })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True when it matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The names of its named groups.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }

    /// Named groups of a match, in order; None without a match.
    pub fn captures(&self, text: &str) -> Option<Vec<(String, String)>> {
        let found = self.regex.captures(text)?;
        let named = self.capture_names().filter_map(|name| {
            let value = found.name(name)?;
            Some((name.to_owned(), value.as_str().to_owned()))
        });
        Some(named.collect())
    }
}

fn explain(source: &str, error: &regex::Error) -> Complaint {
    let text = error.to_string();
    let say = |message: &str, hint: &str| Complaint {
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
    };
    if text.contains("look-around") {
        return say(
            "look-ahead and look-behind are not supported in regular expressions",
            "expressions here always run in linear time; exclude with a second condition: not = { to = '…' }",
        );
    }
    if text.contains("backreferences") {
        return say(
            "backreferences are not supported in regular expressions",
            "expressions here always run in linear time; name the group and compare it in the next route",
        );
    }
    if text.contains("exceeds size limit") || matches!(error, regex::Error::CompiledTooBig(_)) {
        return say(
            "the regular expression is too large",
            "shorten its repetitions, or list numbers with number = [ … ]",
        );
    }
    let reason = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    let hint = source
        .starts_with("^")
        .then(|| "anchors are not needed: the whole string must match".to_owned());
    Complaint {
        message: format!(
            "the regular expression does not parse: {}",
            reason.unwrap_or("syntax error")
        ),
        hint,
    }
}
