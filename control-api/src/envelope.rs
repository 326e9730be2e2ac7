//! Secrets at rest and on their way: sealed with AES-256-GCM under keys that never lie beside them.
//!
//! Two kinds of seal. [`Keys`] seal what the database keeps (passwords of trunks and extensions): a text
//! `e1.KEYID.BASE64` that names its key, so that a new key can be put in front and the old one stays
//! readable until everything is sealed anew. [`NodeSeal`] seals what one switch may open: its key comes
//! from that switch's key for `/internal/v1`, so a snapshot on the wire or in a log shows no secret.
//!
//! What a secret is about (`table.column/id`) is bound into the seal: a sealed text copied to another
//! row, tenant or column does not open.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{clock::random, key_files, office::OfficeError, store::hex};

/// What a sealed text begins with.
const FORM: &str = "e1";
/// Bytes of an AES-GCM nonce; drawn at random, which is sound up to 2³² seals under one key.
const NONCE_BYTES: usize = 12;
/// Hex digits of a key's name.
const ID_DIGITS: usize = 8;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A key of another form.
    #[error("an envelope key is 32 bytes, written as 64 hex digits or in base64; one key a line")]
    KeyForm,
    /// No key at all.
    #[error("there is no envelope key: secrets cannot be kept")]
    NoKey,
    /// Sealed with a key that is not here.
    #[error("a secret was sealed with the envelope key {id}, which is not among ours ({ours})")]
    UnknownKey {
        /// The name of the missing key.
        id: String,
        /// The names of those that are here.
        ours: String,
    },
    /// Changed, moved to another place, or not a sealed text.
    #[error("a sealed secret is damaged or belongs to another place")]
    Broken,
}

/// Where the keys of the database come from.
#[derive(Clone)]
pub enum KeySource {
    /// A file, one key a line; made with one new key (mode 600) when it is missing.
    File(PathBuf),
    /// Keys handed over, the newest first.
    Keys(Keys),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Keys(keys) => keys.fmt(f),
        }
    }
}

impl KeySource {
    /// The keys; a missing file is made.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn load(&self) -> Result<Keys, OfficeError> {
        match self {
            Self::Keys(keys) => Ok(keys.clone()),
            Self::File(path) => from_file(path),
        }
    }
}

fn from_file(path: &Path) -> Result<Keys, OfficeError> {
    key_files::make_private(path, || hex(&random::<32>()))?;
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(OfficeError::file(path))?);
    Keys::read(&text).map_err(|_| OfficeError::KeyFile {
        path: path.to_path_buf(),
    })
}

/// One key and its cipher.
#[derive(Clone)]
struct Key {
    id: String,
    cipher: Aes256Gcm,
}

/// The keys of the database: the first seals, every one of them opens.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.ids().join(", "))
    }
}

impl Keys {
    /// Keys as operators hand them over: one a line (or separated by commas), the newest first, `#`
    /// begins a comment; 64 hex digits or base64 of 32 bytes each.
    ///
    /// # Errors
    /// [`EnvelopeError::KeyForm`], [`EnvelopeError::NoKey`].
    pub fn read(text: &str) -> Result<Self, EnvelopeError> {
        let lines = text.split(['\n', ',']).map(str::trim);
        let keys: Result<Vec<_>, _> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Key::read)
            .collect();
        let keys = keys?;
        if keys.is_empty() {
            return Err(EnvelopeError::NoKey);
        }
        Ok(Self(keys))
    }

    /// The names of the keys, the sealing one first. A name says nothing about its key.
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.id.as_str()).collect()
    }

    /// The name of the key that seals.
    pub fn active_id(&self) -> &str {
        self.0.first().map_or("", |key| &key.id)
    }

    /// Whether a key of this name is here.
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// Seals a secret for one place, `table.column/id`.
    ///
    /// # Errors
    /// [`EnvelopeError::NoKey`], never with keys that were read.
    pub fn seal(&self, place: &str, secret: &str) -> Result<String, EnvelopeError> {
        let key = self.0.first().ok_or(EnvelopeError::NoKey)?;
        let body = seal(&key.cipher, place, secret)?;
        Ok(format!("{FORM}.{}.{body}", key.id))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`EnvelopeError::UnknownKey`], [`EnvelopeError::Broken`].
    pub fn open(&self, place: &str, sealed: &str) -> Result<Zeroizing<String>, EnvelopeError> {
        let (id, body) = parts(sealed)?;
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| self.unknown(id))?;
        open(&key.cipher, place, body)
    }

    /// The sealed text under the newest key; `None` when it is sealed with that one already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reseal(&self, place: &str, sealed: &str) -> Result<Option<String>, EnvelopeError> {
        if key_id(sealed)? == self.active_id() {
            return Ok(None);
        }
        let secret = self.open(place, sealed)?;
        self.seal(place, &secret).map(Some)
    }

    /// The fault of a secret whose key is not here.
    pub fn unknown(&self, id: &str) -> EnvelopeError {
        EnvelopeError::UnknownKey {
            id: id.chars().take(64).collect(),
            ours: self.ids().join(", "),
        }
    }
}

impl Key {
    fn read(text: &str) -> Result<Self, EnvelopeError> {
        let bytes = Zeroizing::new(if text.len() == 64 {
            from_hex(text).ok_or(EnvelopeError::KeyForm)?
        } else {
            let text = text.trim_end_matches('=');
            STANDARD_NO_PAD
                .decode(text)
                .map_err(|_| EnvelopeError::KeyForm)?
        });
        let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| EnvelopeError::KeyForm)?;
        let name = Sha256::digest([b"sidetone envelope key\0".as_slice(), &bytes].concat());
        let mut id = hex(&name);
        id.truncate(ID_DIGITS);
        Ok(Self { id, cipher })
    }
}

/// The name of the key that a text was sealed with.
///
/// # Errors
/// [`EnvelopeError::Broken`] when it is no sealed text.
pub fn key_id(sealed: &str) -> Result<&str, EnvelopeError> {
    parts(sealed).map(|(id, _)| id)
}

fn parts(sealed: &str) -> Result<(&str, &str), EnvelopeError> {
    let rest = sealed
        .strip_prefix(FORM)
        .and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.split_once('.'))
        .ok_or(EnvelopeError::Broken)
}

/// Seals for one switch and opens on it; both derive the key from the switch's key for `/internal/v1`.
#[derive(Clone)]
pub struct NodeSeal(Aes256Gcm);

impl fmt::Debug for NodeSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSeal(***)")
    }
}

impl NodeSeal {
    /// The seal of the switch with this key.
    pub fn of(node_key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sidetone secrets of a switch\0");
        hash.update(node_key.as_bytes());
        Self(Aes256Gcm::new(&hash.finalize()))
    }

    /// Seals a secret for one place.
    ///
    /// # Errors
    /// [`EnvelopeError::Broken`] beyond what AES-GCM can take (64 GiB).
    pub fn seal(&self, place: &str, secret: &str) -> Result<String, EnvelopeError> {
        seal(&self.0, place, secret)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`EnvelopeError::Broken`].
    pub fn open(&self, place: &str, sealed: &str) -> Result<Zeroizing<String>, EnvelopeError> {
        open(&self.0, place, sealed)
    }
}

fn seal(cipher: &Aes256Gcm, place: &str, secret: &str) -> Result<String, EnvelopeError> {
    let nonce = random::<NONCE_BYTES>();
    let payload = Payload {
        msg: secret.as_bytes(),
        aad: place.as_bytes(),
    };
    let sealed = cipher.encrypt(&nonce.into(), payload);
    let sealed = sealed.map_err(|_| EnvelopeError::Broken)?;
    Ok(STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
}

fn open(cipher: &Aes256Gcm, place: &str, body: &str) -> Result<Zeroizing<String>, EnvelopeError> {
    let bytes = STANDARD_NO_PAD.decode(body);
    let bytes = bytes.map_err(|_| EnvelopeError::Broken)?;
    let (nonce, sealed) = bytes
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(EnvelopeError::Broken)?;
    let payload = Payload {
        msg: sealed,
        aad: place.as_bytes(),
    };
    let plain = cipher.decrypt(&(*nonce).into(), payload);
    let plain = plain.map_err(|_| EnvelopeError::Broken)?;
    let text = String::from_utf8(plain).map_err(|_| EnvelopeError::Broken)?;
    Ok(Zeroizing::new(text))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests;
