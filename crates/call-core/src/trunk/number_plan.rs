//! How one carrier writes numbers, and how they are written to it.
//!
//! Inside, every number is E.164 with its plus. What stands on the wire differs: with and without
//! plus, national, behind an access code or a technical prefix (`12345678*+1206…`).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{country::Country, dialplan::e164, document::Complaint};

/// Fewest and most digits of an E.164 number (ITU-T E.164 §6.2.1).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Where the number goes in a template.
const SLOT: &str = "{number}";

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Spelling {
    /// Whatever it looks like: a plus, an international prefix, a national prefix, bare E.164.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// `+15550100001`.
    #[serde(rename = "+e164")]
    Plus,
    /// `15550100001`.
    #[serde(rename = "e164")]
    Bare,
    /// As inside the country, with its prefix where it has one.
    #[serde(rename = "national")]
    National,
}

/// The numbers of one trunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberPlan {
    /// Where national numbers belong.
    pub country: Option<&'static Country>,
    /// How the carrier writes to us.
    pub inbound: Spelling,
    /// How it wants to be written to; `Auto` is `+e164`.
    pub outbound: Spelling,
    /// Taken away from the front of what the carrier writes.
    pub strip: String,
    /// What stands around the number on the way out: `1234#{number}`.
    pub template: Option<String>,
}

/// A party as the carrier named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// E.164 with its plus.
    Number(String),
    /// A name, an extension, a short code: as it came.
    Other(String),
    /// The caller wants to stay unknown.
    Anonymous,
}

impl NumberPlan {
    /// A plan of which only the country is known.
    pub fn of_country(country: Option<&'static Country>) -> NumberPlan {
        NumberPlan {
            country,
            ..NumberPlan::default()
        }
    }

    /// What the carrier wrote in a user part.
    pub fn received(&self, user: &str) -> Received {
        if is_anonymous(user) {
            return Received::Anonymous;
        }
        let bare = user.strip_prefix(&*self.strip).unwrap_or(user);
        match self.read(bare, self.inbound) {
            Some(number) => Received::Number(number),
            None => Received::Other(bare.to_owned()),
        }
    }

    /// A number as somebody here dialled it, in E.164.
    pub fn dialled(&self, number: &str) -> Option<String> {
        self.read(number, Spelling::Auto)
    }

    /// A number (E.164 with its plus) as this carrier wants it. What is no E.164 number – an
    /// emergency code – is left as it is, without the template.
    pub fn written(&self, number: &str) -> String {
        let Some(digits) = number.strip_prefix('+') else {
            return number.to_owned();
        };
        let written = match self.outbound {
            Spelling::Auto | Spelling::Plus => number.to_owned(),
            Spelling::Bare => digits.to_owned(),
            Spelling::National => self.national(digits),
        };
        match &self.template {
            Some(template) => template.replace(SLOT, &written),
            None => written,
        }
    }

    /// Inside the country without the country's code; beyond it with the international prefix.
    fn national(&self, digits: &str) -> String {
        let Some(country) = self.country else {
            return digits.to_owned();
        };
        match digits.strip_prefix(country.calling) {
            // North American carriers take ten digits.
            Some(own) if country.is_nanp() => own.to_owned(),
            Some(own) => format!("{}{own}", country.national),
            None => format!("{}{digits}", country.international),
        }
    }

    fn read(&self, text: &str, spelling: Spelling) -> Option<String> {
        let text = plain(text);
        let digits: Cow<'_, str> = match text.strip_prefix('+') {
            Some(digits) => digits.into(),
            None => self.international(&text, spelling)?.into(),
        };
        let good = DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| format!("+{digits}"))
    }

    /// The digits with the country's code, out of a number without a plus.
    fn international(&self, text: &str, spelling: Spelling) -> Option<String> {
        let Some(country) = self.country else {
            return e164(text).map(|number| number.trim_start_matches('+').to_owned());
        };
        match spelling {
            Spelling::Plus | Spelling::Bare => Some(text.to_owned()),
            Spelling::National => Some(from_national(country, text)),
            Spelling::Auto => Some(guess(country, text)),
        }
    }
}

/// The digits of a national number with the country's code before them.
fn from_national(country: &Country, text: &str) -> String {
    let prefix = Some(country.national).filter(|prefix| !prefix.is_empty());
    let own = prefix.and_then(|prefix| text.strip_prefix(prefix));
    format!("{}{}", country.calling, own.unwrap_or(text))
}

/// A number without a plus, spelled in a way nobody told.
fn guess(country: &Country, text: &str) -> String {
    if country.is_nanp() {
        return match text.strip_prefix(country.international) {
            Some(abroad) => abroad.to_owned(),
            None if text.len() == 10 => format!("1{text}"),
            None => text.to_owned(),
        };
    }
    let abroad = text.strip_prefix(country.international);
    match abroad.or_else(|| text.strip_prefix("00")) {
        Some(abroad) => abroad.to_owned(),
        None if !country.national.is_empty() && text.starts_with(country.national) => {
            from_national(country, text)
        }
        None => text.to_owned(),
    }
}

/// A number without `tel:`, parameters and visual separators (RFC 3966 §5.1.1).
fn plain(text: &str) -> String {
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let text = text.split(';').next().unwrap_or(text);
    text.chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')'))
        .collect()
}

/// Whether a user part says that its owner wants to stay unknown (RFC 3323 §4.1.1.3 and what
/// carriers write instead).
pub fn is_anonymous(user: &str) -> bool {
    let names = [
        "",
        "anonymous",
        "restricted",
        "unavailable",
        "unknown",
        "private",
        "withheld",
    ];
    names.iter().any(|name| user.eq_ignore_ascii_case(name))
}

/// Takes a template with exactly one `{number}` and nothing that could leave the user part.
pub fn check_template(text: &str) -> Result<(), Complaint> {
    let around = text.replacen(SLOT, "", 1);
    let safe = around
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+*#-_.".contains(&byte));
    if text.contains(SLOT) && safe && text.len() <= 64 {
        return Ok(());
    }
    Err("expected a template with one {number}, such as \"12345678*{number}\"".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::country;

    fn plan(code: &str, inbound: Spelling, outbound: Spelling) -> NumberPlan {
        NumberPlan {
            inbound,
            outbound,
            ..NumberPlan::of_country(country::by_code(code))
        }
    }

    fn number(text: &str) -> Received {
        Received::Number(text.to_owned())
    }

    #[test]
    fn every_spelling_of_a_carrier_comes_to_one_number() {
        let us = plan("US", Spelling::Auto, Spelling::Auto);
        for text in [
            "+12065550100",
            "12065550100",
            "2065550100",
            "tel:+1-206-555-0100",
            "+12065550100;npdi;rn=x",
        ] {
            assert_eq!(us.received(text), number("+12065550100"), "{text}");
        }
        let fr = plan("FR", Spelling::Auto, Spelling::Auto);
        for text in ["+33100000001", "0033100000001", "33100000001", "0100000001"] {
            assert_eq!(fr.received(text), number("+33100000001"), "{text}");
        }
        assert_eq!(us.received("011 33 1 00 00 00 01"), number("+33100000001"));
        let national = plan("FR", Spelling::National, Spelling::Auto);
        assert_eq!(national.received("100000001"), number("+33100000001"));
        assert_eq!(national.received("+4420000001"), number("+4420000001"));
    }

    #[test]
    fn without_a_country_only_international_numbers_are_numbers() {
        let plan = NumberPlan::default();
        assert_eq!(plan.received("33100000001"), number("+33100000001"));
        assert_eq!(
            plan.received("0100000001"),
            Received::Other("0100000001".into())
        );
    }

    #[test]
    fn extensions_and_hidden_callers_are_no_numbers() {
        let plan = plan("US", Spelling::Auto, Spelling::Auto);
        assert_eq!(plan.received("1000"), Received::Other("1000".into()));
        assert_eq!(plan.received("alice"), Received::Other("alice".into()));
        for text in ["anonymous", "Anonymous", "Restricted", "unknown"] {
            assert_eq!(plan.received(text), Received::Anonymous, "{text}");
        }
    }

    #[test]
    fn an_access_code_is_stripped_and_a_technical_prefix_is_put_before() {
        let mut flow = plan("US", Spelling::Auto, Spelling::Bare);
        flow.strip = "9".into();
        flow.template = Some("12345678*{number}".into());
        assert_eq!(flow.received("9+12065550100"), number("+12065550100"));
        assert_eq!(flow.written("+12065550100"), "12345678*12065550100");
        assert_eq!(
            flow.written("911"),
            "911",
            "an emergency code is never dressed up"
        );
    }

    #[test]
    fn numbers_go_out_as_the_carrier_wants_them() {
        let us = |spelling| plan("US", Spelling::Auto, spelling);
        assert_eq!(us(Spelling::Auto).written("+12065550100"), "+12065550100");
        assert_eq!(us(Spelling::Bare).written("+12065550100"), "12065550100");
        assert_eq!(us(Spelling::National).written("+12065550100"), "2065550100");
        assert_eq!(
            us(Spelling::National).written("+33100000001"),
            "01133100000001"
        );
        let fr = plan("FR", Spelling::Auto, Spelling::National);
        assert_eq!(fr.written("+33100000001"), "0100000001");
        assert_eq!(fr.written("+12065550100"), "0012065550100");
    }

    #[test]
    fn what_is_written_is_read_back_as_the_same_number() {
        for code in country::codes() {
            let own = country::by_code(code).map_or("", |country| country.calling);
            let e164 = format!("+{own}612345678");
            for spelling in [Spelling::Plus, Spelling::Bare, Spelling::National] {
                let out = plan(code, spelling, spelling).written(&e164);
                // Ten digits make a number in the North American plan, not nine.
                if code == "US" || code == "CA" {
                    continue;
                }
                assert_eq!(
                    plan(code, spelling, spelling).received(&out),
                    number(&e164),
                    "{code} {out}"
                );
            }
        }
    }

    #[test]
    fn templates_hold_one_number_and_nothing_that_leaves_the_user_part() {
        for good in [
            "{number}",
            "1234{number}",
            "12345678*{number}",
            "9#{number}",
        ] {
            assert!(check_template(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1234",
            "{number}{number}",
            "{number}@evil",
            "a b{number}",
            "{number};x=y",
            "{to}{number}",
        ] {
            assert!(check_template(bad).is_err(), "{bad}");
        }
    }
}
