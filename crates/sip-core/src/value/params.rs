//! `;name=value` parameters of headers and URIs (RFC 3261 §25.1 `generic-param`, `uri-parameter`).

use bytes::Bytes;

use super::ValueError;
use super::scan::{cut, offset_in, share, trim};

/// Parameters in order, unknown ones too; values as written, quotes included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(Bytes, Option<Bytes>)>);

impl Params {
    /// Reads `;a=b;c` from `rest`, a part of `whole`; white space around names and values is allowed.
    pub(crate) fn read(whole: &Bytes, rest: &[u8]) -> Result<Self, ValueError> {
        let mut params = Vec::new();
        let at = |part: &[u8]| offset_in(whole, part);
        let rest = trim(rest);
        let mut tail = match rest {
            [] => None,
            [b';', tail @ ..] => Some(tail),
            _ => return Err(ValueError::new("text where a parameter belongs", at(rest))),
        };
        while let Some(bytes) = tail {
            let (param, next) = cut(bytes, b';', false)?;
            params
                .push(read_one(whole, param).ok_or_else(|| {
                    ValueError::new("an empty or malformed parameter", at(param))
                })?);
            tail = next;
        }
        Ok(Self(params))
    }

    /// The value of `name`, without quotes; `None` when it is absent or has no value.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let value = self.find(name)?.as_deref()?;
        Some(match value {
            [b'"', inner @ .., b'"'] => inner,
            _ => value,
        })
    }

    /// Whether `name` is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All parameters in order: name, value as written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_deref()))
    }

    fn find(&self, name: &str) -> Option<&Option<Bytes>> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

fn read_one(whole: &Bytes, param: &[u8]) -> Option<(Bytes, Option<Bytes>)> {
    let (name, value) = match param.iter().position(|byte| *byte == b'=') {
        Some(at) => (param.get(..at)?, Some(trim(param.get(at + 1..)?))),
        None => (param, None),
    };
    let name = trim(name);
    let fits = is_param_text(name) && value.is_none_or(is_param_value);
    fits.then(|| (share(whole, name), value.map(|value| share(whole, value))))
}

/// Wider than `token`: URI parameters, IPv6 addresses and UTF-8 occur here.
fn is_param_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| *byte > 0x20 && *byte != 0x7f && !b";,=\"<>".contains(byte))
}

fn is_param_value(bytes: &[u8]) -> bool {
    match bytes {
        [b'"', .., b'"'] if bytes.len() > 1 => cut(bytes, 0, false).is_ok(),
        _ => {
            !bytes.is_empty()
                && bytes
                    .iter()
                    .all(|byte| *byte > 0x20 && *byte != 0x7f && !b";,\"<>".contains(byte))
        }
    }
}
