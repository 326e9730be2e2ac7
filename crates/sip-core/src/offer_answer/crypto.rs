//! Keys of SRTP in SDP: `a=crypto` (RFC 4568), read and written.
//!
//! A line we cannot honour to the letter – an unknown suite, several keys, a session parameter that changes the
//! protection – is passed over as if it were not there; among the rest the strongest suite wins.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::sdp::Media;

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrtpPolicy {
    /// Never: plain RTP.
    #[default]
    Off,
    /// When the far side wants it: it is offered beside plain RTP, and an offer of it is taken.
    Optional,
    /// Always: without it there is no call (488).
    Required,
}

/// The suites we speak, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CryptoSuite {
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 6188.
    Aes256CmSha1Tag80,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 4568 §6.2.1: the one that everybody has.
    Aes128CmSha1Tag80,
    /// RFC 4568 §6.2.2.
    Aes128CmSha1Tag32,
}

/// What we offer: the strongest, and the one that everybody has. More would only fill the datagram.
const OFFERED: [CryptoSuite; 2] = [CryptoSuite::AeadAes256Gcm, CryptoSuite::Aes128CmSha1Tag80];

impl CryptoSuite {
    const ALL: [Self; 5] = [
        Self::AeadAes256Gcm,
        Self::Aes256CmSha1Tag80,
        Self::AeadAes128Gcm,
        Self::Aes128CmSha1Tag80,
        Self::Aes128CmSha1Tag32,
    ];

    /// As registered for SDP (RFC 4568 §6.2, RFC 6188 §2, RFC 7714 §14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::Aes256CmSha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes128CmSha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmSha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::Aes256CmSha1Tag80 => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1Tag80 | Self::Aes128CmSha1Tag32 => 16,
        }
    }

    /// Bytes of the master salt, which follows the key in `inline:`.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes256CmSha1Tag80 | Self::Aes128CmSha1Tag80 | Self::Aes128CmSha1Tag32 => 14,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        let same = |suite: &Self| suite.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(same)
    }
}

/// Master key and salt of one direction. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MasterKey(Vec<u8>);

impl MasterKey {
    /// Key and salt, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn of_base64(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('=');
        STANDARD_NO_PAD.decode(text).ok().map(Self)
    }

    fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl From<MasterKey> for String {
    fn from(key: MasterKey) -> Self {
        key.to_base64()
    }
}

impl TryFrom<String> for MasterKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of_base64(&text).ok_or("not base64")
    }
}

/// One `a=crypto` line that we can honour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CryptoLine {
    /// RFC 4568 §4.1: names the line; the answer repeats it.
    pub tag: u32,
    /// The suite.
    pub suite: CryptoSuite,
    /// What its sender encrypts with.
    pub key: MasterKey,
    /// Bytes of the master key identifier in each packet of its sender; 0 without one (RFC 3711 §3.1).
    #[serde(default)]
    pub mki_len: u8,
}

/// What media is protected with, once agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedSrtp {
    /// For both directions.
    pub suite: CryptoSuite,
    /// What we encrypt with.
    pub send: MasterKey,
    /// What the far side encrypts with.
    pub receive: MasterKey,
    /// Bytes of the master key identifier in the packets we get.
    pub receive_mki_len: u8,
}

impl CryptoLine {
    /// Reads the value of an `a=crypto` attribute; `None` when we cannot honour it.
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next()?.parse().ok()?;
        let suite = CryptoSuite::by_name(fields.next()?)?;
        let (key, mki_len) = read_key(fields.next()?, suite)?;
        fields.all(is_harmless).then_some(Self {
            tag,
            suite,
            key,
            mki_len,
        })
    }

    /// The attribute's value, without lifetime: ours is the most that RFC 3711 §9.2 allows.
    pub fn to_text(&self) -> String {
        let (tag, suite) = (self.tag, self.suite.name());
        format!("{tag} {suite} inline:{}", self.key.to_base64())
    }
}

/// `inline:` key, salt, then lifetime and key identifier in this order, each optional (RFC 4568 §6.1).
fn read_key(text: &str, suite: CryptoSuite) -> Option<(MasterKey, u8)> {
    let (method, info) = text.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
        return None;
    }
    let mut parts = info.split('|');
    let key = MasterKey::of_base64(parts.next()?)?;
    if key.0.len() != suite.key_len() + suite.salt_len() {
        return None;
    }
    let mut mki_len = 0;
    for part in parts {
        match part.split_once(':') {
            Some((_, len)) => mki_len = mki_bytes(len)?,
            None => lifetime(part)?,
        }
    }
    Some((key, mki_len))
}

/// RFC 3711 §8.1 leaves the length open, RFC 4568 §6.1 says at most 128.
const MKI_BYTES: RangeInclusive<u8> = 1..=128;

fn mki_bytes(text: &str) -> Option<u8> {
    text.parse().ok().filter(|len| MKI_BYTES.contains(len))
}

/// Packets that the key may be used for, `2^20` or plain. Whoever set it re-keys in time, or the call ends.
fn lifetime(text: &str) -> Option<()> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(power.parse().ok()?),
        None => text.parse().ok(),
    };
    packets.filter(|packets| *packets > 0).map(|_| ())
}

/// RFC 4568 §6.3: what we do not know spoils the line unless its sender says that it may be ignored. The window of the
/// replay check is the receiver's business, and forward error correction is not used.
fn is_harmless(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    let known = |known: &&str| name.eq_ignore_ascii_case(known);
    let zero_rate = parameter.eq_ignore_ascii_case("KDR=0");
    parameter.starts_with('-') || zero_rate || ["WSH", "FEC_ORDER"].iter().any(known)
}

/// The lines of a media description that we can honour.
pub(super) fn lines_of(media: &Media) -> Vec<CryptoLine> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.key.eq_ignore_ascii_case("crypto"))
        .filter_map(|attribute| CryptoLine::parse(attribute.value.as_deref()?))
        .collect()
}

/// The strongest of an offer; among equals the one without a key identifier, else the first.
pub(super) fn strongest(lines: &[CryptoLine]) -> Option<&CryptoLine> {
    lines.iter().min_by_key(|line| (line.suite, line.mki_len))
}

/// Makes master keys from a secret seed: the randomness is an argument.
#[derive(Clone)]
pub(super) struct KeySource {
    seed: [u8; 32],
    made: u64,
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(…)")
    }
}

impl KeySource {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, made: 0 }
    }

    pub(super) fn line(&mut self, tag: u32, suite: CryptoSuite) -> CryptoLine {
        CryptoLine {
            tag,
            suite,
            key: self.key(suite),
            mki_len: 0,
        }
    }

    /// The lines of a first offer.
    pub(super) fn offer(&mut self) -> Vec<CryptoLine> {
        (1..)
            .zip(OFFERED)
            .map(|(tag, suite)| self.line(tag, suite))
            .collect()
    }

    fn key(&mut self, suite: CryptoSuite) -> MasterKey {
        let len = suite.key_len() + suite.salt_len();
        let mut bytes = Vec::with_capacity(64);
        while bytes.len() < len {
            self.made += 1;
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(b"srtp");
            hash.update(self.made.to_be_bytes());
            bytes.extend_from_slice(hash.finalize().as_slice());
        }
        bytes.truncate(len);
        MasterKey(bytes)
    }
}
