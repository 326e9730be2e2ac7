//! One token: its header parameters, its JSON, its claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Attest, FRESH_S, Failure, Parties, Verdict, canonical};
use crate::value::scan::{cut, trim, unquote};

/// The longest Identity header that is read, bytes; those in the field have 600 to 1,000.
const MOST_BYTES: usize = 4_096;
/// The longest URL of a certificate, bytes.
const MOST_URL: usize = 512;
/// Parameters of the header that are looked at.
const MOST_PARAMS: usize = 16;
/// Called numbers in a token that are looked at.
const MOST_DEST: usize = 64;
/// The longest `origid`, bytes; a UUID has 36.
const MOST_ORIGID: usize = 64;

/// A SHAKEN token as it was read: nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passport {
    signed: String,
    signature: [u8; 64],
    x5u: String,
    attest: Attest,
    orig: Option<String>,
    dest: Vec<String>,
    iat: i64,
    origid: String,
}

/// JOSE header (RFC 8225 §4, RFC 8588 §3).
#[derive(Deserialize)]
struct Jose {
    alg: String,
    ppt: Option<String>,
    typ: String,
    x5u: Option<String>,
}

/// Claims (RFC 8225 §5, RFC 8588 §4 and §5).
#[derive(Deserialize)]
struct Claims {
    attest: String,
    orig: Orig,
    dest: Dest,
    iat: i64,
    origid: String,
}

#[derive(Deserialize)]
struct Orig {
    tn: Option<String>,
}

#[derive(Deserialize)]
struct Dest {
    #[serde(default)]
    tn: Vec<String>,
}

/// What stands behind the token in the header (RFC 8224 §4.1).
#[derive(Default)]
struct Params<'a> {
    info: Option<&'a [u8]>,
    alg: Option<Vec<u8>>,
    ppt: Option<Vec<u8>>,
}

/// Whether an Identity header calls itself SHAKEN. What is too long to be looked at counts as one
/// that cannot be read.
pub(super) fn is_shaken(value: &Bytes) -> bool {
    value.len() > MOST_BYTES || parts(value).is_some_and(|(_, params)| params.is_shaken())
}

impl Params<'_> {
    fn is_shaken(&self) -> bool {
        let ppt = self.ppt.as_deref();
        ppt.is_some_and(|ppt| ppt.eq_ignore_ascii_case(b"shaken"))
    }

    /// `info=<URI>`.
    fn url(&self) -> Option<&str> {
        let info = self.info?.strip_prefix(b"<")?.strip_suffix(b">")?;
        std::str::from_utf8(info).ok()
    }
}

fn parts(value: &[u8]) -> Option<(&[u8], Params<'_>)> {
    let (token, mut rest) = cut(value, b';', true).ok()?;
    let mut params = Params::default();
    for _ in 0..MOST_PARAMS {
        let Some(more) = rest else { break };
        let (param, behind) = cut(more, b';', true).ok()?;
        rest = behind;
        let (name, text) = cut(param, b'=', true).ok()?;
        let (name, text) = (trim(name), trim(text.unwrap_or_default()));
        if name.eq_ignore_ascii_case(b"info") {
            params.info = Some(text);
        } else if name.eq_ignore_ascii_case(b"alg") {
            params.alg = Some(unquote(text));
        } else if name.eq_ignore_ascii_case(b"ppt") {
            params.ppt = Some(unquote(text));
        }
    }
    Some((trim(token), params))
}

impl Passport {
    /// Reads the value of an Identity header. The compact form, a signature without its claims, is
    /// refused: SHAKEN wants the full form (ATIS-1000074 §5.2).
    ///
    /// # Errors
    /// [`Failure::Malformed`], [`Failure::Algorithm`] or [`Failure::Reference`].
    pub fn read(value: &Bytes) -> Result<Passport, Failure> {
        if value.len() > MOST_BYTES {
            return Err(Failure::Malformed);
        }
        let (token, params) = parts(value).ok_or(Failure::Malformed)?;
        let token = std::str::from_utf8(token).map_err(|_| Failure::Malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Failure::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Failure::Malformed)?;
        let jose: Jose = json(header)?;
        let signs = |alg: &[u8]| alg == b"ES256";
        let named = params.alg.as_deref().is_none_or(signs);
        if !signs(jose.alg.as_bytes()) || !named {
            return Err(Failure::Algorithm);
        }
        if jose.ppt.as_deref() != Some("shaken") || jose.typ != "passport" {
            return Err(Failure::Malformed);
        }
        let x5u = url(&jose, params.url())?;
        let signature = decode(signature)?.try_into();
        let signature = signature.map_err(|_| Failure::Malformed)?;
        Passport::of(json(payload)?, signed, signature, x5u)
    }

    fn of(
        claims: Claims,
        signed: &str,
        signature: [u8; 64],
        x5u: String,
    ) -> Result<Passport, Failure> {
        if claims.origid.len() > MOST_ORIGID || claims.dest.tn.len() > MOST_DEST {
            return Err(Failure::Malformed);
        }
        Ok(Passport {
            signed: signed.to_owned(),
            signature,
            x5u,
            attest: Attest::of(&claims.attest).ok_or(Failure::Malformed)?,
            orig: claims.orig.tn.as_deref().and_then(canonical),
            dest: claims.dest.tn.iter().filter_map(|n| canonical(n)).collect(),
            iat: claims.iat,
            origid: claims.origid,
        })
    }

    /// Whether it is about this call and made for it: `now_s` is the wall clock, seconds since 1970.
    ///
    /// # Errors
    /// [`Failure::Stale`], [`Failure::Caller`] or [`Failure::Called`].
    pub fn judge(&self, now_s: i64, parties: &Parties) -> Result<(), Failure> {
        if now_s.abs_diff(self.iat) > FRESH_S {
            return Err(Failure::Stale);
        }
        let caller = canonical(&parties.caller);
        if caller.is_none() || caller != self.orig {
            return Err(Failure::Caller);
        }
        let mut called = parties.called.iter().filter_map(|number| canonical(number));
        if !called.any(|number| self.dest.contains(&number)) {
            return Err(Failure::Called);
        }
        Ok(())
    }

    /// Where the certificate is: `https`, no longer than 512 bytes.
    pub fn certificate_url(&self) -> &str {
        &self.x5u
    }

    /// The bytes that are signed.
    pub fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// The signature of ES256: r and s, 32 bytes each (RFC 7518 §3.4).
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The verdict once everything holds.
    pub fn verified(&self) -> Verdict {
        Verdict::Verified {
            attest: self.attest,
            orig: self.orig.clone().unwrap_or_default(),
            origid: self.origid.clone(),
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|_| Failure::Malformed)
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_slice(&decode(text)?).map_err(|_| Failure::Malformed)
}

/// `x5u` and `info` name the same place (RFC 8224 §4.1), and it is one that may be asked.
fn url(jose: &Jose, info: Option<&str>) -> Result<String, Failure> {
    let x5u = jose.x5u.as_deref().ok_or(Failure::Reference)?;
    let usable = x5u.starts_with("https://") && x5u.len() <= MOST_URL;
    let printable = x5u.bytes().all(|byte| byte.is_ascii_graphic());
    if !usable || !printable || info != Some(x5u) {
        return Err(Failure::Reference);
    }
    Ok(x5u.to_owned())
}
