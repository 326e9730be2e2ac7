//! A carrier that signs its calls (STIR/SHAKEN), and the authority that vouches for it.

#![allow(dead_code, reason = "each test program uses its part")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

/// Who is believed, or not.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A certificate for somebody's public key.
    pub fn certificate(&self, key: &impl PublicKeyData) -> String {
        let signed = params("SHAKEN 1234").signed_by(key, &self.issuer());
        signed.unwrap().pem()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let common = rcgen::DnType::CommonName;
    params.distinguished_name.push(common, name);
    params
}

/// Who signs. Its certificate hangs on the authority by one in between.
pub struct Signer {
    key: EcdsaKeyPair,
    /// Its certificate and the one above, as they are fetched.
    pub chain: String,
}

impl Signer {
    pub fn new(root: &Authority) -> Self {
        Self::valid(root, |_| ())
    }

    /// With a certificate that differs.
    pub fn valid(root: &Authority, differs: impl Fn(&mut CertificateParams)) -> Self {
        let between = Authority::new("between");
        let above = between.params.signed_by(&between.key, &root.issuer());
        let key = KeyPair::generate().unwrap();
        let mut own = params("SHAKEN 1234");
        differs(&mut own);
        let own = own.signed_by(&key, &between.issuer()).unwrap();
        let signing = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &key.serialize_der(),
            &SystemRandom::new(),
        );
        Self {
            key: signing.unwrap(),
            chain: own.pem() + &above.unwrap().pem(),
        }
    }

    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        let signature = self.key.sign(&SystemRandom::new(), text).unwrap();
        signature.as_ref().try_into().unwrap()
    }

    /// The value of an Identity header.
    pub fn identity(&self, url: &str, claims: &Claims) -> String {
        let jose = format!(r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{url}"}}"#);
        let signed = format!("{}.{}", encode(&jose), encode(&claims.json()));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature};info=<{url}>;alg=ES256;ppt=\"shaken\"")
    }
}

pub fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// What is claimed of a call.
#[derive(Clone)]
pub struct Claims {
    pub attest: &'static str,
    pub orig: &'static str,
    pub dest: &'static str,
    pub iat: i64,
}

impl Claims {
    pub fn json(&self) -> String {
        let Claims {
            attest,
            orig,
            dest,
            iat,
        } = self;
        format!(
            r#"{{"attest":"{attest}","dest":{{"tn":["{dest}"]}},"iat":{iat},"orig":{{"tn":"{orig}"}},"origid":"123e4567-e89b-12d3-a456-426655440000"}}"#
        )
    }
}

/// The same header with another payload under the old signature.
pub fn forged(identity: &str, claims: &Claims) -> String {
    let mut parts = identity.splitn(3, '.');
    let [jose, _, rest] = [(); 3].map(|()| parts.next().unwrap());
    format!("{jose}.{}.{rest}", encode(&claims.json()))
}
