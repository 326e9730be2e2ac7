//! Sealing at rest: the node's key, and one derived key for each file.
//!
//! AES-256-GCM breaks when a nonce repeats under a key. A counter would have to survive restarts,
//! restored backups and copied folders; so each file draws a random 32-byte salt instead, and its
//! own key is HMAC-SHA256(node key, label ‖ salt). Within a file the nonce is the byte offset, and
//! no file is ever reopened for appending.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::JournalError;

/// Bytes that sealing adds to each record.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a file's salt.
pub(crate) const SALT_BYTES: usize = 32;

/// The node's key: 32 bytes, wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct NodeKey(Zeroizing<[u8; 32]>);

impl NodeKey {
    /// The key made of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key as operators hand it over (`SIDETONE_NODE_KEY`): 64 hex digits, or 32 bytes in base64.
    pub fn from_text(text: &str) -> Result<Self, JournalError> {
        let text = text.trim();
        let bytes = Zeroizing::new(if text.len() == 64 {
            decode_hex(text).ok_or(JournalError::KeyForm)?
        } else {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| JournalError::KeyForm)?
        });
        let key: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| JournalError::KeyForm)?;
        Ok(Self::from_bytes(key))
    }

    /// The key in `path`; made there (mode 600) when the file does not exist yet. Only for the
    /// loopback defaults: a server that others can reach wants its key from outside its disks.
    pub fn load_or_make(path: &Path) -> Result<Self, JournalError> {
        match fs::read_to_string(path) {
            Ok(text) => return Self::from_text(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(JournalError::disk("read", path, e)),
        }
        let mut bytes = Zeroizing::new([0_u8; 32]);
        random(bytes.as_mut())?;
        write_private(path, encode_hex(bytes.as_ref()).as_bytes())
            .map_err(|e| JournalError::disk("write", path, e))?;
        Ok(Self(bytes))
    }

    /// The key of one file.
    pub(crate) fn file_key(&self, label: &str, salt: &[u8; SALT_BYTES]) -> FileKey {
        let derived = self.mac(label, salt);
        FileKey {
            cipher: Aes256Gcm::new(&(*derived).into()),
            check: u32::from_be_bytes(first_four(&self.mac("sidetone key check", salt))),
        }
    }

    fn mac(&self, label: &str, salt: &[u8; SALT_BYTES]) -> Zeroizing<[u8; 32]> {
        // A key of any length is a valid HMAC key; the fallback is never reached.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_ref()) else {
            return Zeroizing::new([0; 32]);
        };
        mac.update(label.as_bytes());
        mac.update(&[0]);
        mac.update(salt);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(***)")
    }
}

/// Why a sealed piece could not be opened: wrong key, wrong place or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// The key of one file.
pub(crate) struct FileKey {
    cipher: Aes256Gcm,
    check: u32,
}

impl FileKey {
    /// Tells a wrong key from a damaged file, and reveals nothing about either.
    pub(crate) fn check(&self) -> u32 {
        self.check
    }

    /// Seals `plain` in place for `place` (the byte offset: used once per file).
    pub(crate) fn seal(&self, place: u64, about: u64, plain: &mut Vec<u8>) -> Result<(), Broken> {
        self.cipher
            .encrypt_in_place(&nonce(place).into(), &about.to_be_bytes(), plain)
            .map_err(|_| Broken)
    }

    /// Opens in place what was sealed for `place`.
    pub(crate) fn open(&self, place: u64, about: u64, sealed: &mut Vec<u8>) -> Result<(), Broken> {
        self.cipher
            .decrypt_in_place(&nonce(place).into(), &about.to_be_bytes(), sealed)
            .map_err(|_| Broken)
    }
}

/// Fills `bytes` from the operating system.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), JournalError> {
    getrandom::fill(bytes).map_err(|_| JournalError::NoRandomness)
}

/// Writes a whole small file that only its owner may read, durably, in one step.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let next = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    fs::File::open(folder)?.sync_all()
}

/// Magic of a whole sealed file.
const WHOLE: &[u8; 8] = b"SDTWHOL1";

/// Writes `plain` to `path`, sealed under a fresh salt.
pub(crate) fn write_sealed(
    path: &Path,
    key: &NodeKey,
    label: &str,
    plain: &[u8],
) -> Result<(), JournalError> {
    let mut salt = [0; SALT_BYTES];
    random(&mut salt)?;
    let mut body = plain.to_vec();
    key.file_key(label, &salt)
        .seal(0, 0, &mut body)
        .map_err(|_| JournalError::Sealing)?;
    let whole = [WHOLE.as_slice(), &salt, &body].concat();
    write_private(path, &whole).map_err(|e| JournalError::disk("write", path, e))
}

/// Opens what [`write_sealed`] wrote; none when it is damaged or was sealed with another key.
pub(crate) fn open_sealed(bytes: &[u8], key: &NodeKey, label: &str) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(WHOLE.as_slice())?;
    let (salt, body) = rest.split_first_chunk::<SALT_BYTES>()?;
    let mut body = body.to_vec();
    key.file_key(label, salt).open(0, 0, &mut body).ok()?;
    Some(body)
}

/// Lower-case hex.
pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn nonce(place: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&place.to_be_bytes());
    nonce
}

fn first_four(bytes: &[u8; 32]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}
