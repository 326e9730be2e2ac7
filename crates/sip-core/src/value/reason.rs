//! The Reason header (RFC 3326): why a call ended, in SIP or Q.850 terms.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Params;
use super::scan::{decimal, split_list, trim, unquote};
use bytes::Bytes;

/// One reason value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `Q.850`, `SIP` or what else was written.
    pub protocol: String,
    /// The cause, when one is given.
    pub cause: Option<u16>,
    /// Words for people.
    pub text: Option<String>,
}

impl Reason {
    /// A Q.850 cause, e.g. `16, "Normal call clearing"`.
    pub fn q850(cause: u16, text: &str) -> Self {
        Self {
            protocol: "Q.850".into(),
            cause: Some(cause),
            text: Some(text.into()),
        }
    }

    /// A SIP status as reason, e.g. `200, "Call completed elsewhere"`.
    pub fn sip(cause: u16, text: &str) -> Self {
        Self {
            protocol: "SIP".into(),
            ..Self::q850(cause, text)
        }
    }

    /// The values of a Reason header; malformed ones are left out, since nothing depends on them.
    pub fn parse_list(raw: &Bytes) -> Vec<Self> {
        let Ok(elements) = split_list(raw) else {
            return Vec::new();
        };
        elements
            .into_iter()
            .filter_map(|element| Self::read(&Bytes::copy_from_slice(element)))
            .collect()
    }

    fn read(raw: &Bytes) -> Option<Self> {
        let end = raw
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(raw.len());
        let (protocol, params) = raw.split_at(end);
        let params = Params::read(raw, params).ok()?;
        let protocol = String::from_utf8_lossy(trim(protocol)).into_owned();
        let text = params
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"text"))
            .and_then(|(_, value)| value)
            .map(|value| String::from_utf8_lossy(&unquote(value)).into_owned());
        (!protocol.is_empty()).then(|| Self {
            protocol,
            cause: params
                .value("cause")
                .and_then(|cause| decimal(cause, 65_535))
                .and_then(|cause| u16::try_from(cause).ok()),
            text,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            let safe: String = text
                .chars()
                .filter(|c| !c.is_control() && *c != '"' && *c != '\\')
                .collect();
            write!(f, ";text=\"{safe}\"")?;
        }
        Ok(())
    }
}
