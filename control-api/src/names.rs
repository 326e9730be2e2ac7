//! Names that people give: slugs and telephone numbers.

use serde_json::Value;

use crate::{
    body::text,
    error::{FaultCode, Faults},
};

/// Checks `/slug`: lower-case letters, digits and inner dashes.
pub fn check_slug(body: &Value, faults: &mut Faults) {
    let Some(slug) = text(body, "slug").filter(|slug| !slug.is_empty()) else {
        return;
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !slug.bytes().all(plain) || slug.starts_with('-') || slug.ends_with('-') {
        let message = "must be made of a-z, 0-9 and inner dashes";
        faults.add(FaultCode::InvalidFormat, "/slug", message);
    }
}

/// Whether a text is `+` and 3 to 15 digits (ITU-T E.164), not starting with 0.
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (3..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

#[cfg(test)]
mod tests {
    use super::is_e164;

    #[test]
    fn e164_is_a_plus_and_digits() {
        assert!(is_e164("+15550100"));
        for wrong in [
            "15550100",
            "+",
            "+0155",
            "+1 555",
            "+1234567890123456",
            "+1٣٤",
        ] {
            assert!(!is_e164(wrong), "{wrong}");
        }
    }
}
