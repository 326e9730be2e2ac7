//! Ids nobody can guess: tags, branches, Call-IDs, CSeq starts.
//!
//! The randomness is an argument: a secret 32-byte seed. From it a counter run through SHA-256 gives as many
//! ids as wanted, the same ones for the same seed (tests), unguessable without it (RFC 3261 §19.3 asks for 32 bits; we give 80 and more).

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A deterministic generator of SIP ids from a secret seed.
#[derive(Clone)]
pub struct TokenSource {
    seed: [u8; 32],
    counter: u64,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource(counter {})", self.counter)
    }
}

impl TokenSource {
    /// A source from a secret seed; whoever knows the seed knows all ids.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// An independent source for a child (a dialog), so that no two owners share a counter.
    pub fn fork(&mut self) -> Self {
        Self::new(self.block(b"fork"))
    }

    /// A From or To tag: 80 bits.
    pub fn tag(&mut self) -> Bytes {
        self.text(b"tag", "", 16)
    }

    /// A Via branch with the cookie of RFC 3261 §8.1.1.7: 100 bits.
    pub fn branch(&mut self) -> Bytes {
        self.text(b"branch", "z9hG4bK", 20)
    }

    /// A Call-ID without a host part (RFC 3261 §8.1.1.4): 120 bits.
    pub fn call_id(&mut self) -> Bytes {
        self.text(b"call-id", "", 24)
    }

    /// A first CSeq number: below 2³¹ with much room to count up (RFC 3261 §8.1.1.5).
    pub fn cseq_start(&mut self) -> u32 {
        (self.number(b"cseq") % 0x0010_0000) as u32 + 1
    }

    /// The numeric session id of an SDP origin line, below 2⁶².
    pub fn session_id(&mut self) -> u64 {
        self.number(b"sdp") >> 2
    }

    /// A secret of its own for whatever makes keys (SRTP).
    pub fn secret(&mut self) -> [u8; 32] {
        self.block(b"secret")
    }

    /// A number in `0..bound`, for back-off times.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number(b"below") % bound.max(1)
    }

    /// A tag that is a function of `parts` and the seed: a stateless answer carries the same tag
    /// on each retransmission (RFC 3261 §8.2.7).
    pub fn stateless_tag<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(b"stateless");
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        encode("", hash.finalize().as_slice(), 16)
    }

    fn text(&mut self, purpose: &[u8], prefix: &str, chars: usize) -> Bytes {
        let block = self.block(purpose);
        encode(prefix, &block, chars)
    }

    fn number(&mut self, purpose: &[u8]) -> u64 {
        let block = self.block(purpose);
        block
            .iter()
            .take(8)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    fn block(&mut self, purpose: &[u8]) -> [u8; 32] {
        self.counter += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.counter.to_be_bytes());
        hash.update(purpose);
        hash.finalize().into()
    }
}

/// Five bits of each byte as a character: all of them are token characters (RFC 3261 §25.1).
fn encode(prefix: &str, block: &[u8], chars: usize) -> Bytes {
    let mut out = Vec::with_capacity(prefix.len() + chars);
    out.extend_from_slice(prefix.as_bytes());
    out.extend(
        block
            .iter()
            .take(chars)
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 31))),
    );
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_no_id_twice() {
        let mut one = TokenSource::new([7; 32]);
        let mut two = TokenSource::new([7; 32]);
        let ids: Vec<_> = (0..10_000).map(|_| one.tag()).collect();
        assert!(ids.iter().all(|id| *id == two.tag() && id.len() == 16));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn forks_and_other_seeds_share_nothing() {
        let mut parent = TokenSource::new([1; 32]);
        let mut child = parent.fork();
        let mut other = TokenSource::new([2; 32]);
        let ids: HashSet<_> = [&mut parent, &mut child, &mut other]
            .into_iter()
            .map(TokenSource::branch)
            .collect();
        assert_eq!(ids.len(), 3);
        assert!(ids.iter().all(|branch| branch.starts_with(b"z9hG4bK")));
    }

    #[test]
    fn a_stateless_tag_depends_on_all_its_parts_and_their_borders() {
        let source = TokenSource::new([3; 32]);
        let tag = |parts: &[&'static [u8]]| source.stateless_tag(parts.iter().copied());
        assert_eq!(tag(&[b"ab", b"c"]), tag(&[b"ab", b"c"]));
        assert_ne!(tag(&[b"ab", b"c"]), tag(&[b"a", b"bc"]));
    }
}
