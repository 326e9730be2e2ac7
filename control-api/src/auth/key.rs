//! API keys: `st_PREFIX_SECRET`. The office keeps the prefix to find it and a SHA-256 of the whole.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use model::{KeyId, TenantId};

use super::{Role, Scope};
use crate::{
    clock::{Stamp, fresh, now_ms, random},
    store::{ApiKey, NewKey, hex},
};

/// What keys begin with.
const MARK: &str = "st_";
/// Characters of the public part.
const PREFIX_CHARS: usize = 12;

/// A key with its secret: exists once, in the answer that shows it.
pub struct Secret {
    /// The public part, which finds it.
    pub prefix: String,
    /// The whole key.
    pub text: Zeroizing<String>,
}

impl Secret {
    /// A new key with 256 bits of secret.
    pub fn generate() -> Self {
        let prefix = hex(&random::<6>());
        let secret = URL_SAFE_NO_PAD.encode(random::<32>());
        let text = Zeroizing::new(format!("{MARK}{prefix}_{secret}"));
        Self { prefix, text }
    }

    /// A key that stands in a file, if it has the form of one.
    pub fn read(text: &str) -> Option<Self> {
        let prefix = prefix_of(text)?.to_owned();
        let text = Zeroizing::new(text.to_owned());
        Some(Self { prefix, text })
    }

    /// What the office stores.
    pub fn hash(&self) -> String {
        hash(&self.text)
    }
}

/// The public part of a key, if the text has the form of one.
pub fn prefix_of(text: &str) -> Option<&str> {
    let (prefix, secret) = text.strip_prefix(MARK)?.split_once('_')?;
    let formed = prefix.len() == PREFIX_CHARS && secret.len() >= 32 && secret.len() <= 128;
    formed.then_some(prefix)
}

/// SHA-256, hex.
pub fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Compares without telling by its time where the difference is.
pub fn same(a: &str, b: &str) -> bool {
    // Digests have one length, so nothing leaks about the secret's own.
    Sha256::digest(a.as_bytes())
        .ct_eq(&Sha256::digest(b.as_bytes()))
        .into()
}

/// A new key and its secret; nothing is stored yet.
pub fn make(
    tenant_id: Option<TenantId>,
    name: String,
    role: Role,
    scopes: Vec<Scope>,
    expires_at: Option<Stamp>,
) -> (NewKey, Secret) {
    let secret = Secret::generate();
    let key = ApiKey {
        id: fresh(KeyId::new),
        tenant_id,
        name,
        prefix: secret.prefix.clone(),
        role,
        scopes,
        expires_at,
        revoked_at: None,
        last_used_at: None,
        created_at: Stamp(now_ms()),
    };
    let hash = secret.hash();
    (NewKey { key, hash }, secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_found_by_its_prefix() {
        let key = Secret::generate();
        assert_eq!(prefix_of(&key.text), Some(key.prefix.as_str()));
        assert!(same(&key.hash(), &hash(&key.text)));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in [
            "",
            "st_",
            "st_short_x",
            "sk_0123456789ab_aaaa",
            "Bearer st_",
        ] {
            assert_eq!(prefix_of(text), None, "{text}");
        }
    }
}
