//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966); other schemes are kept as they are.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::scan::{escapes_are_whole, offset_in, share, unescape};
use super::{Host, Params, ValueError};

/// A URI: the bytes as they came, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    raw: Bytes,
    parts: Parts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parts {
    Sip(SipParts),
    Tel { number: Bytes, params: Params },
    Other { scheme: Bytes },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SipParts {
    secure: bool,
    user: Option<Bytes>,
    password: Option<Bytes>,
    host: Host,
    port: Option<u16>,
    params: Params,
    headers: Option<Bytes>,
}

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Anything else, as written.
    Other(Bytes),
}

impl Uri {
    /// Reads a URI. No white space, no angle brackets, whole escapes only.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        let bad = raw
            .iter()
            .position(|byte| *byte <= 0x20 || *byte == 0x7f || b"<>\"".contains(byte));
        if let Some(at) = bad {
            return Err(ValueError::new("a character that a URI cannot contain", at));
        }
        let colon = raw
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(ValueError::new("a URI without a scheme", 0))?;
        let (scheme, rest) = raw.split_at(colon);
        let rest = rest.get(1..).unwrap_or_default();
        if rest.is_empty() {
            return Err(ValueError::new(
                "a URI with nothing after its scheme",
                colon,
            ));
        }
        let parts = if scheme.eq_ignore_ascii_case(b"sip") {
            read_sip(raw, rest, false)?
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            read_sip(raw, rest, true)?
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            read_tel(raw, rest)?
        } else {
            read_other(raw, scheme)?
        };
        Ok(Self {
            raw: raw.clone(),
            parts,
        })
    }

    /// `sip:user@host:port`, the user part escaped as needed; `host` may be an IPv6 address with or without brackets.
    pub fn sip(user: Option<&str>, host: &str, port: Option<u16>) -> Result<Self, ValueError> {
        let mut text = String::from("sip:");
        if let Some(user) = user {
            text.push_str(&escape_user(user));
            text.push('@');
        }
        match host.parse::<std::net::Ipv6Addr>() {
            Ok(ip) => text.push_str(&format!("[{ip}]")),
            Err(_) => text.push_str(host),
        }
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        Self::parse(&Bytes::from(text))
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        match &self.parts {
            Parts::Sip(sip) if sip.secure => Scheme::Sips,
            Parts::Sip(_) => Scheme::Sip,
            Parts::Tel { .. } => Scheme::Tel,
            Parts::Other { scheme } => Scheme::Other(scheme.clone()),
        }
    }

    /// The user part without escapes (`sip:+4930…@host` → `+4930…`), or a tel URI's number.
    pub fn user(&self) -> Option<String> {
        self.user_raw()
            .map(|user| String::from_utf8_lossy(&unescape(user)).into_owned())
    }

    /// The user part, or a tel URI's number, as written.
    pub fn user_raw(&self) -> Option<&Bytes> {
        match &self.parts {
            Parts::Sip(sip) => sip.user.as_ref(),
            Parts::Tel { number, .. } => Some(number),
            Parts::Other { .. } => None,
        }
    }

    /// The password after the user, as written. Never log it.
    pub fn password(&self) -> Option<&Bytes> {
        self.sip_parts()?.password.as_ref()
    }

    /// The host of a SIP or SIPS URI.
    pub fn host(&self) -> Option<&Host> {
        self.sip_parts().map(|sip| &sip.host)
    }

    /// The port of a SIP or SIPS URI, when written.
    pub fn port(&self) -> Option<u16> {
        self.sip_parts()?.port
    }

    /// The value of a URI parameter.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params()?.value(name)
    }

    /// Whether a URI parameter is there, as in `;lr`.
    pub fn has_param(&self, name: &str) -> bool {
        self.params().is_some_and(|params| params.has(name))
    }

    /// What follows `?`, as written.
    pub fn headers(&self) -> Option<&Bytes> {
        self.sip_parts()?.headers.as_ref()
    }

    /// The text for logs and dialplans.
    pub fn as_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.raw)
    }

    fn params(&self) -> Option<&Params> {
        match &self.parts {
            Parts::Sip(sip) => Some(&sip.params),
            Parts::Tel { params, .. } => Some(params),
            Parts::Other { .. } => None,
        }
    }

    fn sip_parts(&self) -> Option<&SipParts> {
        match &self.parts {
            Parts::Sip(sip) => Some(sip),
            Parts::Tel { .. } | Parts::Other { .. } => None,
        }
    }
}

/// RFC 3261 §19.1.1: `[user[:password]@]host[:port][;params][?headers]`. The user part may hold `;` and `?`, so `@` is looked for first.
fn read_sip(raw: &Bytes, rest: &[u8], secure: bool) -> Result<Parts, ValueError> {
    let mut ats = rest.iter().enumerate().filter(|(_, byte)| **byte == b'@');
    let at = ats.next().map(|(at, _)| at);
    if let Some((second, _)) = ats.next() {
        let second = second + offset_in(raw, rest);
        return Err(ValueError::new("more than one @ in a URI", second));
    }
    let (userinfo, hostport) = match at {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    };
    let (user, password) = match userinfo {
        Some(userinfo) => read_userinfo(raw, userinfo)?,
        None => (None, None),
    };
    let (hostport, headers) = match hostport.iter().position(|byte| *byte == b'?') {
        Some(at) => (
            hostport.get(..at).unwrap_or_default(),
            hostport.get(at + 1..),
        ),
        None => (hostport, None),
    };
    let end = hostport
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(hostport.len());
    let (host, params) = hostport.split_at(end);
    let (host, port) = Host::read_with_port(raw, host, offset_in(raw, host))?;
    Ok(Parts::Sip(SipParts {
        secure,
        user,
        password,
        host,
        port,
        params: Params::read(raw, params)?,
        headers: headers.map(|headers| share(raw, headers)),
    }))
}

type UserAndPassword = (Option<Bytes>, Option<Bytes>);

fn read_userinfo(raw: &Bytes, userinfo: &[u8]) -> Result<UserAndPassword, ValueError> {
    let at = offset_in(raw, userinfo);
    if !escapes_are_whole(userinfo) {
        return Err(ValueError::new("a broken % escape in the user part", at));
    }
    let (user, password) = match userinfo.iter().position(|byte| *byte == b':') {
        Some(colon) => (
            userinfo.get(..colon).unwrap_or_default(),
            userinfo.get(colon + 1..),
        ),
        None => (userinfo, None),
    };
    if user.is_empty() {
        return Err(ValueError::new("an empty user part", at));
    }
    Ok((
        Some(share(raw, user)),
        password.map(|password| share(raw, password)),
    ))
}

/// RFC 3966: `tel:+1-201-555-0123;phone-context=…`; the digits are not judged here.
fn read_tel(raw: &Bytes, rest: &[u8]) -> Result<Parts, ValueError> {
    let end = rest
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(rest.len());
    let (number, params) = rest.split_at(end);
    let fits = !number.is_empty()
        && number
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.()*#".contains(byte));
    if !fits {
        return Err(ValueError::new(
            "a tel URI without a number",
            offset_in(raw, rest),
        ));
    }
    Ok(Parts::Tel {
        number: share(raw, number),
        params: Params::read(raw, params)?,
    })
}

fn read_other(raw: &Bytes, scheme: &[u8]) -> Result<Parts, ValueError> {
    let fits = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if !fits {
        return Err(ValueError::new("not a URI scheme", 0));
    }
    Ok(Parts::Other {
        scheme: share(raw, scheme),
    })
}

/// Escapes what RFC 3261's `user` does not allow as it is.
fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_text())
    }
}

impl std::str::FromStr for Uri {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }
}
