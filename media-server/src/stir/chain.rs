//! Certificates: the one file that knows the X.509 library. Revocation lists are not looked at.

use std::{path::Path, time::Duration};

use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, pem::PemObject,
};
use sip_core::shaken::Failure;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

/// Certificates of one chain that are looked at.
const MOST_CERTIFICATES: usize = 8;

/// What a chain may be signed with; the PASSporT itself is ES256 and nothing else.
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA384];

/// A certificate and those above it, as they were fetched.
#[derive(Debug, PartialEq, Eq)]
pub struct Chain(Vec<CertificateDer<'static>>);

/// The authorities that are believed.
#[derive(Debug, Default)]
pub struct Roots(Vec<TrustAnchor<'static>>);

impl Chain {
    /// Reads PEM; `None` without any certificate in it.
    pub fn read(pem: &[u8]) -> Option<Chain> {
        let found = CertificateDer::pem_slice_iter(pem).take(MOST_CERTIFICATES);
        let chain: Vec<_> = found.collect::<Result<_, _>>().ok()?;
        (!chain.is_empty()).then_some(Chain(chain))
    }
}

impl Roots {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// In the operator's words: not readable, not a certificate, or none at all.
    pub fn read(path: &Path) -> Result<Roots, String> {
        let pem = std::fs::read(path).map_err(|error| error.to_string())?;
        Roots::of(&pem)
    }

    /// The authorities of a PEM text.
    ///
    /// # Errors
    /// As [`Roots::read`].
    pub fn of(pem: &[u8]) -> Result<Roots, String> {
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            let anchor = anchor_from_trusted_cert(&certificate);
            roots.push(anchor.map_err(|error| error.to_string())?.to_owned());
        }
        if roots.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        Ok(Roots(roots))
    }

    /// Whether the chain leads to one of us now, and its first certificate made the signature: ES256 as
    /// JSON Web Signatures write it, r and s.
    ///
    /// # Errors
    /// [`Failure::Untrusted`] or [`Failure::Signature`].
    pub fn verify(
        &self,
        chain: &Chain,
        unix_s: i64,
        signed: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), Failure> {
        let [own, above @ ..] = chain.0.as_slice() else {
            return Err(Failure::Untrusted);
        };
        let own = EndEntityCert::try_from(own).map_err(|_| Failure::Untrusted)?;
        let since = Duration::from_secs(u64::try_from(unix_s).unwrap_or_default());
        let now = UnixTime::since_unix_epoch(since);
        // A certificate for telephone numbers has no extended key usage (RFC 8226 §4).
        let usage = KeyUsage::client_auth();
        own.verify_for_usage(CHAIN_ALGORITHMS, &self.0, above, now, usage, None, None)
            .map_err(|_| Failure::Untrusted)?;
        own.verify_signature(ring::ECDSA_P256_SHA256, signed, &der(signature))
            .map_err(|_| Failure::Signature)
    }
}

/// The same signature as X.509 writes it: two INTEGERs in a SEQUENCE (RFC 5480 §2.2, X.690 §8.3).
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let body = [integer(r), integer(s)].concat();
    // 2 × (2 + 33) bytes at most: the short form of a length.
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    [&[0x30, length], body.as_slice()].concat()
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros.min(31)..).unwrap_or_default();
    let negative = digits.first().is_some_and(|first| *first >= 0x80);
    let padding: &[u8] = if negative { &[0] } else { &[] };
    let length = u8::try_from(padding.len() + digits.len()).unwrap_or(u8::MAX);
    [&[0x02, length], padding, digits].concat()
}
