//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), as server and as client.
//!
//! Both sides are plain state without a clock: time, keys and cnonces are handed in. We offer and take MD5 and
//! SHA-256 with `qop="auth"`; what else a challenge asks for is not ours to answer.

mod client;
mod nonce;
mod server;

use std::fmt;

use md5::Md5;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use client::{Answered, Asker, Login, Refused};
pub use server::{Credentials, DigestServer, Verdict};

/// How a digest is computed; the stronger one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RFC 3261 §22.4; the default where none is named.
    Md5,
    /// RFC 8760 §2.1.
    Sha256,
}

impl Algorithm {
    /// As it stands in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of this name, in any case. The `-sess` kinds are not among ours.
    pub fn named(name: &[u8]) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))
    }

    fn hex(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hex(&joined(Md5::new(), parts)),
            Self::Sha256 => hex(&joined(Sha256::new(), parts)),
        }
    }
}

/// The parts with colons between them.
fn joined<D: sha2::Digest>(mut hash: D, parts: &[&[u8]]) -> Vec<u8> {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pairs = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    pairs
        .filter_map(|digit| DIGITS.get(usize::from(digit)))
        .map(|digit| char::from(*digit))
        .collect()
}

/// What a password becomes for one user of one realm (RFC 7616 §3.4.2, A1): as good as the password there, so
/// it is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: Zeroizing<String>,
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({})", self.algorithm.name())
    }
}

impl Ha1 {
    /// H(user:realm:password).
    pub fn of(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        let parts = [user.as_bytes(), realm.as_bytes(), password.as_bytes()];
        let hex = Zeroizing::new(algorithm.hex(&parts));
        Self { algorithm, hex }
    }

    /// Which algorithm it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The response to a challenge (RFC 7616 §3.4.1); without `qop` in the old form of RFC 2069.
    fn response(&self, said: &Said<'_>) -> String {
        let ha2 = self.algorithm.hex(&[said.method, said.uri]);
        let (ha1, ha2) = (self.hex.as_bytes(), ha2.as_bytes());
        match &said.counted {
            Some((nc, cnonce)) => {
                let parts = [ha1, said.nonce, nc.as_bytes(), cnonce, b"auth", ha2];
                self.algorithm.hex(&parts)
            }
            None => self.algorithm.hex(&[ha1, said.nonce, ha2]),
        }
    }
}

/// What goes into a response beside the secret.
struct Said<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    nonce: &'a [u8],
    /// `nc` as eight hex digits, and the cnonce.
    counted: Option<(&'a str, &'a [u8])>,
}

/// A value between quotes: what would end it is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
