//! E.164 numbers out of what peers write in a user part.

/// Fewest digits of a number. Anything shorter is an extension.
const MIN_DIGITS: usize = 7;
/// Most digits of a number (ITU-T E.164 §6.2.1).
const MAX_DIGITS: usize = 15;

/// The number in E.164 form with its `+`, or None when the text is not one.
///
/// Takes `+33 1 00 00 00 01`, `0033100000001`, `tel:+33-100000001`, and, because most
/// carriers leave the plus out, `33100000001`. A leading single zero is a national
/// number of an unknown country and is refused.
pub fn e164(raw: &str) -> Option<String> {
    let raw = raw.strip_prefix("tel:").unwrap_or(raw).trim();
    let raw = raw.split(';').next().unwrap_or(raw);
    let (plus, rest) = match raw.strip_prefix('+').or_else(|| raw.strip_prefix("00")) {
        Some(rest) => (true, rest),
        None => (false, raw),
    };
    let mut digits = String::with_capacity(MAX_DIGITS + 1);
    digits.push('+');
    for c in rest.chars() {
        match c {
            '0'..='9' if digits.len() > MAX_DIGITS => return None,
            '0'..='9' => digits.push(c),
            ' ' | '-' | '.' | '(' | ')' if plus => {}
            _ => return None,
        }
    }
    let long_enough = digits.len() > MIN_DIGITS;
    (long_enough && !digits.starts_with("+0")).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_number_agree() {
        for raw in [
            "+33100000001",
            "0033100000001",
            "33100000001",
            "tel:+33-1-00-00-00-01",
            "+33 1 00 00 00 01",
            "+33100000001;npdi",
        ] {
            assert_eq!(e164(raw).as_deref(), Some("+33100000001"), "{raw}");
        }
    }

    #[test]
    fn extensions_names_and_national_numbers_are_not_e164() {
        for raw in [
            "",
            "+",
            "1000",
            "echo",
            "0100000001",
            "+0123456789",
            "+1234567890123456",
            "anonymous",
            "+1555x01",
        ] {
            assert_eq!(e164(raw), None, "{raw}");
        }
    }
}
