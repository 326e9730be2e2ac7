//! The proof of who calls: Identity (RFC 8224) with a SHAKEN PASSporT (RFC 8225, RFC 8588).
//!
//! Bytes in, verdict out. What a token says is read and compared here; certificate, chain and
//! signature are checked by whoever can fetch and has a crypto library:
//!
//! ```text
//! passports(headers) ─► Passport ─ judge(wall clock, caller, called) ─► certificate_url()
//!                                       fetched, trusted, signed() × signature() ─► Verdict
//! ```
//!
//! Everything cheap comes before the fetch, so that a stranger's token does not make us fetch what
//! it likes. The `Date` header is not looked at: `iat` is signed and says the same.

mod passport;

use std::fmt;

use crate::message::Headers;
pub use passport::Passport;
use passport::is_shaken;

/// Identity headers that are looked at, and those of them that are read as SHAKEN. Beyond them
/// nobody signs honestly.
const MOST_HEADERS: usize = 16;
const MOST_PASSPORTS: usize = 4;
/// How far `iat` may lie from now, seconds, either way (RFC 8224 §6.2, ATIS-1000074).
const FRESH_S: u64 = 60;
/// The longest telephone number that is compared, digits.
const MOST_DIGITS: usize = 32;

/// What the signer knows of the caller (RFC 8588 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attest {
    /// `A`: the customer, and that the number is his.
    Full,
    /// `B`: the customer, not the number.
    Partial,
    /// `C`: only where the call came in.
    Gateway,
}

impl Attest {
    fn of(letter: &str) -> Option<Attest> {
        match letter {
            "A" => Some(Attest::Full),
            "B" => Some(Attest::Partial),
            "C" => Some(Attest::Gateway),
            _ => None,
        }
    }

    /// `A`, `B` or `C`.
    pub fn letter(self) -> &'static str {
        match self {
            Attest::Full => "A",
            Attest::Partial => "B",
            Attest::Gateway => "C",
        }
    }
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too long, no token, no JSON, claims missing.
    Malformed,
    /// Signed with something else than ES256, `none` among it (RFC 8225 §4.2).
    Algorithm,
    /// Made too long ago, or ahead of time.
    Stale,
    /// Another number is signed as the caller's.
    Caller,
    /// Signed for a call to somebody else.
    Called,
    /// Where its certificate lies cannot be used, or header and token disagree about it.
    Reference,
    /// The certificate could not be had, or not in time.
    Unreachable,
    /// The certificate is none that we trust now.
    Untrusted,
    /// The signature is not the certificate's.
    Signature,
}

impl Failure {
    /// Every failure, for tables and tests.
    pub const ALL: [Failure; 9] = [
        Failure::Malformed,
        Failure::Algorithm,
        Failure::Stale,
        Failure::Caller,
        Failure::Called,
        Failure::Reference,
        Failure::Unreachable,
        Failure::Untrusted,
        Failure::Signature,
    ];

    /// Status and phrase of the refusal (RFC 8224 §6.2.2).
    pub fn refusal(self) -> (u16, &'static str) {
        match self {
            Failure::Stale => (403, "Stale Date"),
            Failure::Reference | Failure::Unreachable => (436, "Bad Identity Info"),
            Failure::Untrusted => (437, "Unsupported Credential"),
            Failure::Malformed
            | Failure::Algorithm
            | Failure::Caller
            | Failure::Called
            | Failure::Signature => (438, "Invalid Identity Header"),
        }
    }

    /// One word for records: `signature`.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Malformed => "malformed",
            Failure::Algorithm => "algorithm",
            Failure::Stale => "stale",
            Failure::Caller => "caller",
            Failure::Called => "called",
            Failure::Reference => "reference",
            Failure::Unreachable => "unreachable",
            Failure::Untrusted => "untrusted",
            Failure::Signature => "signature",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Verified {
        /// What the signer knows.
        attest: Attest,
        /// The caller's number: digits, without a plus.
        orig: String,
        /// The signer's own name for where the call came from.
        origid: String,
    },
    /// It does not.
    Failed(Failure),
    /// There is none.
    NoSignature,
}

impl Verdict {
    /// The refusal of whoever wants a proof: [`Failure::refusal`], or 428 without one
    /// (RFC 8224 §6.2.2).
    pub fn refusal(&self) -> Option<(u16, &'static str)> {
        match self {
            Verdict::Verified { .. } => None,
            Verdict::Failed(failure) => Some(failure.refusal()),
            Verdict::NoSignature => Some((428, "Use Identity Header")),
        }
    }
}

/// Who is said to call whom, as the call itself has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// The caller's number as it is shown: E.164, with or without a plus.
    pub caller: String,
    /// The called numbers: Request-URI and To.
    pub called: Vec<String>,
}

/// The SHAKEN tokens among the Identity headers, in order. Tokens of another kind (`div`, `rph`, none
/// named) are passed over as RFC 8224 §6.2 wants.
pub fn passports(headers: &Headers) -> Vec<Result<Passport, Failure>> {
    let values = headers.all("Identity").take(MOST_HEADERS);
    let shaken = values.filter(|value| is_shaken(value));
    shaken.take(MOST_PASSPORTS).map(Passport::read).collect()
}

/// A telephone number as it is compared: digits, `*` and `#` without visual separators and plus
/// (RFC 8224 §8.3). `None` for what is no number.
pub fn canonical(number: &str) -> Option<String> {
    let number = number.trim();
    let number = number.strip_prefix('+').unwrap_or(number);
    let kept = number.chars().filter(|c| !"-.() ".contains(*c));
    let kept: String = kept.take(MOST_DIGITS + 1).collect();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#');
    let fits = (1..=MOST_DIGITS).contains(&kept.len());
    (fits && kept.chars().all(is_number)).then_some(kept)
}
