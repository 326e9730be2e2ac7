//! Which transaction a request belongs to (RFC 3261 §17.2.3).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::message::{Method, Request};

/// The identity of a server transaction: a 128-bit digest of what the RFC compares, so that a table of them is small
/// whatever was received. ACK has its INVITE's key; CANCEL its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransactionKey([u8; 16]);

impl TransactionKey {
    /// The key of a received request.
    pub fn of(request: &Request) -> Self {
        Self::with_method(request, request.method())
    }

    /// For a CANCEL: the key of the INVITE it means (§9.2).
    pub fn of_cancelled(cancel: &Request) -> Self {
        Self::with_method(cancel, &Method::Invite)
    }

    /// The identity by which a merged request is known (§8.2.2.2): Call-ID, From tag, CSeq.
    pub fn of_merge(request: &Request) -> Self {
        let mut hash = Parts::new(b"merge");
        hash.add(request.call_id());
        hash.add(request.from().tag().unwrap_or_default());
        hash.add(&request.cseq().to_be_bytes());
        hash.add(request.method().as_bytes());
        hash.key()
    }

    fn with_method(request: &Request, method: &Method) -> Self {
        let method = match method {
            Method::Ack => &Method::Invite,
            _ => method,
        };
        let via = request.via();
        match via.unique_branch() {
            Some(branch) => {
                let mut hash = Parts::new(b"rfc3261");
                hash.add(&branch.to_ascii_lowercase());
                hash.add(via.host().to_string().to_ascii_lowercase().as_bytes());
                hash.add(&via.port().unwrap_or(5060).to_be_bytes());
                hash.add(method.as_bytes());
                hash.key()
            }
            None => Self::of_old(request, method),
        }
    }

    /// RFC 2543 senders: the Request-URI, From tag, Call-ID, CSeq and top Via. The To tag is left out, so that
    /// the ACK, which carries the response's, is found by the same key.
    fn of_old(request: &Request, method: &Method) -> Self {
        let mut hash = Parts::new(b"rfc2543");
        hash.add(request.uri().raw());
        hash.add(request.from().tag().unwrap_or_default());
        hash.add(request.call_id());
        hash.add(&request.cseq().to_be_bytes());
        hash.add(method.as_bytes());
        hash.add(request.via().raw());
        hash.key()
    }
}

struct Parts(Sha256);

impl Parts {
    fn new(kind: &'static [u8]) -> Self {
        let mut parts = Self(Sha256::new());
        parts.add(kind);
        parts
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn key(self) -> TransactionKey {
        let digest = Bytes::copy_from_slice(&self.0.finalize());
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        TransactionKey(key)
    }
}
