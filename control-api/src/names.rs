//! Names that people give: slugs and telephone numbers.

use serde_json::Value;

use crate::{
    body::text,
    error::{FaultCode, Faults},
};

/// Checks `/slug`.
pub fn check_slug(body: &Value, faults: &mut Faults) {
    check_name(body, "slug", faults);
}

/// Checks a short name: lower-case letters, digits and inner dashes.
pub fn check_name(body: &Value, member: &str, faults: &mut Faults) {
    let Some(slug) = text(body, member).filter(|slug| !slug.is_empty()) else {
        return;
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !slug.bytes().all(plain) || slug.starts_with('-') || slug.ends_with('-') {
        let message = "must be made of a-z, 0-9 and inner dashes";
        faults.add(FaultCode::InvalidFormat, format!("/{member}"), message);
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

/// Whether a text is a host name or an address, lower case, without a port.
pub fn is_sip_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.len() <= 253 && text.split('.').all(label);
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    name || bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether a text can be the user part of a SIP address without escapes, and does not pass for a number.
pub fn is_sip_user(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+*".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::{is_e164, is_sip_domain, is_sip_user};

    #[test]
    fn a_domain_is_a_host_without_port_and_a_user_needs_no_escapes() {
        for good in [
            "pbx",
            "phones.example.com",
            "127.0.0.1",
            "[2001:db8::1]",
            "a-1.b",
        ] {
            assert!(is_sip_domain(good), "{good}");
        }
        for wrong in [
            "",
            "PBX.example",
            "a..b",
            "-a.b",
            "a:5060",
            "::1",
            "a b",
            "[x]",
            "ä.example",
            "a/",
        ] {
            assert!(!is_sip_domain(wrong), "{wrong}");
        }
        assert!(is_sip_user("1001") && is_sip_user("anna.k+desk") && is_sip_user("*97"));
        assert!(
            ["", "a b", "a@b", "a\"b", "ä", "a;b", "a:b"]
                .iter()
                .all(|wrong| !is_sip_user(wrong))
        );
    }

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
