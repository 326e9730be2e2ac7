//! The Replaces header (RFC 3891): which dialog an INVITE takes the place of.

use std::fmt;

use bytes::Bytes;

use super::scan::{trim, unescape};
use super::{Params, ValueError};
use crate::dialog::DialogId;

/// One dialog, named by the side that is to give it up: its own tag is `to_tag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: Bytes,
    /// The tag of whoever receives this header.
    pub to_tag: Bytes,
    /// The tag of its present partner.
    pub from_tag: Bytes,
    /// Only while the dialog is early (RFC 3891 §3).
    pub early_only: bool,
}

impl Replaces {
    /// Reads a header value: `call-id;to-tag=x;from-tag=y[;early-only]`.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        let end = raw.iter().position(|byte| *byte == b';');
        let end = end.ok_or(ValueError::new("Replaces without tags", 0))?;
        let (call_id, params) = raw.split_at(end);
        let params = Params::read(raw, params)?;
        let tag = |name: &str| {
            let tag = params.value(name).map(Bytes::copy_from_slice);
            tag.ok_or(ValueError::new("Replaces without a tag", end))
        };
        let call_id = trim(call_id);
        if call_id.is_empty() || call_id.iter().any(|byte| *byte <= b' ') {
            return Err(ValueError::new("Replaces without a Call-ID", 0));
        }
        Ok(Self {
            call_id: Bytes::copy_from_slice(call_id),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.has("early-only"),
        })
    }

    /// The one in a Refer-To URI, `sip:x@y?Replaces=…`, escapes taken away.
    pub fn in_uri_headers(headers: &[u8]) -> Option<Self> {
        let mut fields = headers.split(|byte| *byte == b'&');
        let found = fields.find_map(|field| {
            let at = field.iter().position(|byte| *byte == b'=')?;
            let (name, value) = field.split_at(at);
            name.eq_ignore_ascii_case(b"Replaces")
                .then(|| value.get(1..))?
        })?;
        Self::parse(&Bytes::from(unescape(found))).ok()
    }

    /// The dialog as the receiver of this header knows it.
    pub fn dialog_id(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.clone(),
            local_tag: self.to_tag.clone(),
        }
    }

    /// For a Refer-To URI: `Replaces=` and the value with everything escaped that a URI header cannot hold (RFC 3261 §19.1.1).
    pub fn in_uri(&self) -> String {
        let mut out = String::from("Replaces=");
        for byte in self.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let (call_id, to, from) = (
            text(&self.call_id),
            text(&self.to_tag),
            text(&self.from_tag),
        );
        write!(f, "{call_id};to-tag={to};from-tag={from}")?;
        if self.early_only {
            f.write_str(";early-only")?;
        }
        Ok(())
    }
}
