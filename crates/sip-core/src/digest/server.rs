//! The server's side: challenges, and whether credentials are good.

use std::time::Duration;

use super::nonce::{Nonces, Standing, same};
use super::{Algorithm, Ha1, Said, quoted};
use crate::message::{Headers, Method};
use crate::value::Challenge;
use crate::value::scan::is_token;

/// Longest user name, nonce, cnonce or uri looked at.
const LONGEST: usize = 1_024;

/// What a client presents in `Authorization` or `Proxy-Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub user: String,
    /// Computed with.
    pub algorithm: Algorithm,
    nonce: Vec<u8>,
    uri: Vec<u8>,
    response: Vec<u8>,
    counted: Option<Counted>,
}

/// `qop=auth`: count and cnonce.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    number: u32,
    digits: String,
    cnonce: Vec<u8>,
}

impl Credentials {
    /// The first readable digest credentials for `realm` in the headers of this name. Others are not ours.
    pub fn find(headers: &Headers, header: &str, realm: &str) -> Option<Self> {
        let values = headers
            .all(header)
            .filter_map(|raw| Challenge::parse(raw).ok());
        let mut ours = values.filter(|value| {
            value.is_digest() && value.get("realm").is_some_and(|r| r == realm.as_bytes())
        });
        ours.find_map(|value| Self::read(&value))
    }

    fn read(value: &Challenge) -> Option<Self> {
        let get = |name| value.get(name).filter(|text| text.len() <= LONGEST);
        let algorithm = match value.get("algorithm") {
            Some(name) => Algorithm::named(&name)?,
            None => Algorithm::Md5,
        };
        let counted = match value.get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case(b"auth") => Some(Counted::read(value)?),
            Some(_) => return None,
            None => None,
        };
        Some(Self {
            user: String::from_utf8(get("username")?).ok()?,
            algorithm,
            nonce: get("nonce")?,
            uri: get("uri")?,
            response: get("response")?,
            counted,
        })
    }

    /// The same with the response that `secret` gives.
    #[cfg(test)]
    pub(super) fn forged(&self, secret: &Ha1, method: &Method) -> Self {
        let response = secret.response(&self.said(method)).into_bytes();
        Self {
            response,
            ..self.clone()
        }
    }

    fn said<'a>(&'a self, method: &'a Method) -> Said<'a> {
        let counted = self.counted.as_ref();
        Said {
            method: method.as_bytes(),
            uri: &self.uri,
            nonce: &self.nonce,
            counted: counted.map(|c| (c.digits.as_str(), c.cnonce.as_slice())),
        }
    }
}

impl Counted {
    fn read(value: &Challenge) -> Option<Self> {
        let digits = value.text("nc").filter(|nc| nc.len() == 8)?;
        let number = u32::from_str_radix(&digits, 16).ok();
        let number = number.filter(|_| is_token(digits.as_bytes()) && !digits.starts_with('+'))?;
        let cnonce = value.get("cnonce").filter(|text| text.len() <= LONGEST)?;
        Some(Self {
            number,
            digits,
            cnonce,
        })
    }
}

/// What credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right and nothing was seen before.
    Good,
    /// The password is right, but the nonce is old, not ours or was used: the client may try again by itself.
    Stale,
    /// No.
    Bad,
}

/// Challenges and judges. Keep one for each listener.
#[derive(Debug)]
pub struct DigestServer {
    nonces: Nonces,
    algorithms: Vec<Algorithm>,
}

impl DigestServer {
    /// `key` must be secret; `algorithms` in order of preference, the strongest first (RFC 8760 §2.3); nonces in
    /// use are remembered up to `limit`.
    pub fn new(
        key: [u8; 32],
        lifetime: Duration,
        limit: usize,
        algorithms: Vec<Algorithm>,
    ) -> Self {
        Self {
            nonces: Nonces::new(key, lifetime, limit),
            algorithms,
        }
    }

    /// The values of as many `WWW-Authenticate` headers as there are algorithms (RFC 8760 §2.3), with one nonce.
    pub fn challenges(&mut self, now: Duration, realm: &str, stale: bool) -> Vec<String> {
        let nonce = self.nonces.make(now);
        let realm = quoted(realm);
        let stale = if stale { ", stale=true" } else { "" };
        let one = |algorithm: &Algorithm| {
            let name = algorithm.name();
            format!(
                "Digest realm={realm}, nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}"
            )
        };
        self.algorithms.iter().map(one).collect()
    }

    /// Judges credentials. `secret` is the user's for the algorithm of the credentials; none (there is no such
    /// user, or no such domain) costs the same time and gives the same answer as a wrong password.
    pub fn judge(
        &mut self,
        now: Duration,
        method: &Method,
        credentials: &Credentials,
        secret: Option<&Ha1>,
    ) -> Verdict {
        let decoy = Ha1::of(credentials.algorithm, &credentials.user, "", "");
        let fits = |secret: &&Ha1| secret.algorithm == credentials.algorithm;
        let known = secret.filter(fits);
        let expected = known.unwrap_or(&decoy).response(&credentials.said(method));
        let given = credentials.response.to_ascii_lowercase();
        let right = same(expected.as_bytes(), &given)
            && known.is_some()
            && self.algorithms.contains(&credentials.algorithm);
        if !right {
            return Verdict::Bad;
        }
        // Without a count a nonce is good for one request.
        let number = credentials.counted.as_ref().map_or(1, |c| c.number);
        match self.nonces.used(now, &credentials.nonce, number) {
            Standing::Good => Verdict::Good,
            Standing::Stale => Verdict::Stale,
        }
    }

    /// Nonces whose counts are remembered.
    pub fn remembered(&self) -> usize {
        self.nonces.remembered()
    }
}
