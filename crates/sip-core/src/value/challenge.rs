//! `WWW-Authenticate`, `Proxy-Authenticate`, `Authorization`, `Proxy-Authorization` (RFC 3261 §20.7, §20.27,
//! §20.28, §20.44): a scheme and comma-separated parameters. SIP allows one challenge or one set of
//! credentials a header field (RFC 3261 §7.3.1), so a comma never begins another one.

use bytes::Bytes;

use super::ValueError;
use super::scan::{cut, is_token, offset_in, share, trim, unquote};

/// Parameters read at most; real challenges have a dozen.
const MAX_PARAMS: usize = 32;

/// The value of one of the four headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: Bytes,
    params: Vec<(Bytes, Bytes)>,
}

impl Challenge {
    /// Reads `Digest realm="…", nonce="…"`. Parameters that are given twice are refused: two readers of one
    /// message must not disagree on what it says.
    ///
    /// # Errors
    /// No scheme, a parameter without a value, an open quote, a parameter twice, or more than 32.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        let text = trim(raw);
        let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t'));
        let (scheme, rest) = text.split_at(end.unwrap_or(text.len()));
        if !is_token(scheme) {
            return Err(ValueError::new("no scheme", offset_in(raw, scheme)));
        }
        let mut params: Vec<(Bytes, Bytes)> = Vec::new();
        let mut rest = Some(trim(rest)).filter(|rest| !rest.is_empty());
        while let Some(bytes) = rest {
            let (head, tail) = cut(bytes, b',', false)?;
            rest = tail;
            // Empty list elements are harmless (RFC 9110 §5.6.1).
            if trim(head).is_empty() {
                continue;
            }
            let param = read_one(raw, head)?;
            let twice = params.iter().any(|(n, _)| n.eq_ignore_ascii_case(&param.0));
            if twice || params.len() == MAX_PARAMS {
                let what = "a parameter twice, or too many of them";
                return Err(ValueError::new(what, offset_in(raw, head)));
            }
            params.push(param);
        }
        let scheme = share(raw, scheme);
        Ok(Self { scheme, params })
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"digest")
    }

    /// A parameter without quotes and escapes; `None` when it is absent.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.raw(name).map(|value| unquote(value))
    }

    /// The same as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// The elements of a parameter that is itself a list (`qop="auth,auth-int"`).
    pub fn has_element(&self, name: &str, element: &str) -> bool {
        let value = self.get(name).unwrap_or_default();
        let mut elements = value.split(|byte| *byte == b',').map(trim);
        elements.any(|known| known.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Whether a parameter is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
    }

    fn raw(&self, name: &str) -> Option<&Bytes> {
        let found = self
            .params
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value)
    }
}

fn read_one(whole: &Bytes, param: &[u8]) -> Result<(Bytes, Bytes), ValueError> {
    let fault = || ValueError::new("a parameter without a value", offset_in(whole, param));
    let at = param.iter().position(|byte| *byte == b'=');
    let (name, value) = param.split_at(at.ok_or_else(fault)?);
    let (name, value) = (trim(name), trim(value.get(1..).unwrap_or_default()));
    if !is_token(name) || !is_value(value) {
        return Err(fault());
    }
    Ok((share(whole, name), share(whole, value)))
}

/// A quoted string, or text without blanks and quotes (`uri` of old phones is not quoted).
fn is_value(value: &[u8]) -> bool {
    match value {
        [b'"', inner @ .., b'"'] => {
            inner.iter().filter(|byte| **byte == b'"').count() == 0 || closes_once(value)
        }
        _ => !value.is_empty() && !value.iter().any(|byte| b" \t\"".contains(byte)),
    }
}

/// Every quote inside is escaped.
fn closes_once(value: &[u8]) -> bool {
    let inner = value
        .get(1..value.len().saturating_sub(1))
        .unwrap_or_default();
    let mut escaped = false;
    inner.iter().all(|byte| {
        let fine = escaped || *byte != b'"';
        escaped = !escaped && *byte == b'\\';
        fine
    }) && !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Challenge, ValueError> {
        Challenge::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_challenge_gives_its_parameters_without_quotes_and_escapes() {
        let text = r#"Digest realm="a \"b\", c",nonce="n==" , ALGORITHM=SHA-256, qop="auth, auth-int",stale=TRUE,,"#;
        let challenge = read(text).unwrap();
        assert!(challenge.is_digest());
        assert_eq!(challenge.text("Realm").unwrap(), "a \"b\", c");
        assert_eq!(challenge.text("nonce").unwrap(), "n==");
        assert_eq!(challenge.text("algorithm").unwrap(), "SHA-256");
        assert!(challenge.has_element("qop", "auth-int") && !challenge.has_element("qop", "auth-"));
        assert!(challenge.is_true("stale") && !challenge.is_true("nonce"));
        assert_eq!(challenge.get("opaque"), None);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for text in [
            "",
            "=x",
            "Digest realm",
            "Digest realm=\"a",
            "Digest realm=\"a\"b\"",
            "Digest realm=a b",
            "Digest realm=\"a\\\"",
            "Digest realm=\"a\", REALM=\"b\"",
            "Digest =\"a\"",
            "Digest realm=",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let many: Vec<_> = (0..40).map(|n| format!("p{n}=v")).collect();
        assert!(read(&format!("Digest {}", many.join(","))).is_err());
        assert!(read("Basic").is_ok_and(|other| !other.is_digest()));
    }
}
