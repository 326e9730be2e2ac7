//! `"Name" <uri>;params`: From, To, Contact, Route, Record-Route and their like (RFC 3261 §20.10, §25.1).

use std::fmt;

use bytes::Bytes;

use super::scan::{cut, offset_in, share, split_list, trim, unquote};
use super::{Params, Uri, ValueError};

/// A name, an address and header parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    raw: Bytes,
    display: Option<Bytes>,
    uri: Uri,
    params: Params,
}

impl NameAddr {
    /// Reads one element; a comma outside quotes and brackets is an error.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        if let (_, Some(rest)) = cut(raw, b',', true)? {
            return Err(ValueError::new(
                "a comma outside quotes",
                offset_in(raw, rest),
            ));
        }
        match cut(raw, b'<', false)? {
            (display, Some(rest)) => read_bracketed(raw, display, rest),
            (_, None) => read_bare(raw),
        }
    }

    /// Reads all elements of a comma-separated value.
    pub fn parse_list(raw: &Bytes) -> Result<Vec<Self>, ValueError> {
        split_list(raw)?
            .into_iter()
            .map(|element| Self::parse(&share(raw, element)))
            .collect()
    }

    /// A value of our own: `"display" <uri>`, the display name quoted and escaped.
    pub fn new(display: Option<&str>, uri: &Uri) -> Result<Self, ValueError> {
        let mut raw = Vec::new();
        if let Some(display) = display {
            raw.push(b'"');
            for byte in display.bytes() {
                match byte {
                    b'"' | b'\\' => raw.extend([b'\\', byte]),
                    b'\r' | b'\n' => raw.push(b' '),
                    _ => raw.push(byte),
                }
            }
            raw.extend_from_slice(b"\" ");
        }
        raw.push(b'<');
        raw.extend_from_slice(uri.raw());
        raw.push(b'>');
        Self::parse(&Bytes::from(raw))
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The display name without quotes and escapes; bytes that are not UTF-8 are replaced.
    pub fn display(&self) -> Option<String> {
        let display = unquote(self.display.as_ref()?);
        Some(String::from_utf8_lossy(&display).into_owned())
    }

    /// The address.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The header parameters (not the URI's).
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The value of a header parameter.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params.value(name)
    }

    /// The tag of a From or To.
    pub fn tag(&self) -> Option<&[u8]> {
        self.param("tag")
    }

    /// The bytes without any tag parameter: what a dialog keeps as its local or remote URI (RFC 3261 §12.1).
    pub fn without_tag(&self) -> Bytes {
        if !self.params.has("tag") {
            return self.raw.clone();
        }
        let mut out = Vec::with_capacity(self.raw.len());
        if let Some(display) = &self.display {
            out.extend_from_slice(display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(self.uri.raw());
        out.push(b'>');
        for (name, value) in self.params.iter() {
            if name.eq_ignore_ascii_case(b"tag") {
                continue;
            }
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(value) = value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        Bytes::from(out)
    }
}

fn read_bracketed(raw: &Bytes, display: &[u8], rest: &[u8]) -> Result<NameAddr, ValueError> {
    let at = |part: &[u8]| offset_in(raw, part);
    let close = rest
        .iter()
        .position(|byte| *byte == b'>')
        .ok_or(ValueError::new("an angle bracket is not closed", at(rest)))?;
    let (uri, params) = rest.split_at(close);
    let display = trim(display);
    if !is_display(display) {
        return Err(ValueError::new("a malformed display name", at(display)));
    }
    Ok(NameAddr {
        raw: raw.clone(),
        display: (!display.is_empty()).then(|| share(raw, display)),
        uri: read_uri(raw, uri)?,
        params: Params::read(raw, params.get(1..).unwrap_or_default())?,
    })
}

/// RFC 3261 §20.10: without brackets all parameters are the header's, and the URI may hold neither `?` nor `,`.
fn read_bare(raw: &Bytes) -> Result<NameAddr, ValueError> {
    let end = raw
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(raw.len());
    let (uri, params) = raw.split_at(end);
    let uri = trim(uri);
    if let Some(at) = uri.iter().position(|byte| *byte == b'?') {
        return Err(ValueError::new(
            "a URI with headers needs angle brackets",
            at,
        ));
    }
    Ok(NameAddr {
        raw: raw.clone(),
        display: None,
        uri: read_uri(raw, uri)?,
        params: Params::read(raw, params)?,
    })
}

fn read_uri(raw: &Bytes, uri: &[u8]) -> Result<Uri, ValueError> {
    let at = offset_in(raw, uri);
    Uri::parse(&share(raw, uri)).map_err(|fault| ValueError {
        at: fault.at + at,
        ..fault
    })
}

/// A quoted string or words; bytes above ASCII are let through, carriers send them unquoted.
fn is_display(display: &[u8]) -> bool {
    match display {
        [] => true,
        [b'"', .., b'"'] if display.len() > 1 => true,
        _ => !display
            .iter()
            .any(|byte| b"\"<>,;:@\\".contains(byte) || *byte == 0x7f),
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw))
    }
}
