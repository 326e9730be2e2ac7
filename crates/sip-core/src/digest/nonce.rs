//! Nonces that need no memory until they are used: time and serial number, signed with a key of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::hex;

/// Hex digits of the time (milliseconds), the serial number and the signature.
const TIME: usize = 12;
const SERIAL: usize = 16;
const SIGNATURE: usize = 32;

/// How far behind the highest count a lower one may come (datagrams overtake each other).
const WINDOW: u32 = 64;

/// Makes, recognises and counts nonces.
#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    lifetime: Duration,
    limit: usize,
    serial: u64,
    /// By time and serial: what was counted. Only used nonces are here.
    used: BTreeMap<(u64, u64), Counted>,
    /// Nonces from before this time count as old: their counts were forgotten to make room.
    floor_ms: u64,
}

/// The counts seen of one nonce.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    highest: u32,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

/// What a nonce is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours, fresh, and this count was never seen.
    Good,
    /// Not ours, too old, or counted before.
    Stale,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32], lifetime: Duration, limit: usize) -> Self {
        Self {
            key,
            lifetime,
            limit: limit.max(1),
            serial: 0,
            used: BTreeMap::new(),
            floor_ms: 0,
        }
    }

    pub(super) fn remembered(&self) -> usize {
        self.used.len()
    }

    pub(super) fn make(&mut self, now: Duration) -> String {
        self.serial = self.serial.wrapping_add(1);
        let plain = format!("{:012x}{:016x}", millis(now), self.serial);
        let signature = self.sign(&plain);
        plain + &signature
    }

    /// Takes a use of a nonce into account; `nc` is 1 for each use of the old form without a count.
    pub(super) fn used(&mut self, now: Duration, nonce: &[u8], nc: u32) -> Standing {
        let Some((made_ms, serial)) = self.read(nonce) else {
            return Standing::Stale;
        };
        let now_ms = millis(now);
        let age_ms = now_ms.saturating_sub(made_ms);
        if made_ms > now_ms || age_ms > millis(self.lifetime) || made_ms < self.floor_ms {
            return Standing::Stale;
        }
        let name = (made_ms, serial);
        if !self.used.contains_key(&name) {
            self.forget(now_ms);
        }
        if self.used.entry(name).or_default().count(nc) {
            Standing::Good
        } else {
            Standing::Stale
        }
    }

    /// Old nonces go; when there are still too many, the oldest go and are never taken again.
    fn forget(&mut self, now_ms: u64) {
        let oldest_ms = now_ms.saturating_sub(millis(self.lifetime));
        while let Some(((made_ms, _), _)) = self.used.first_key_value() {
            let made_ms = *made_ms;
            if made_ms >= oldest_ms && self.used.len() < self.limit {
                return;
            }
            self.used.pop_first();
            if made_ms >= oldest_ms {
                self.floor_ms = self.floor_ms.max(made_ms + 1);
            }
        }
    }

    fn read(&self, nonce: &[u8]) -> Option<(u64, u64)> {
        let text = std::str::from_utf8(nonce).ok()?;
        let (plain, signature) = text.split_at_checked(TIME + SERIAL)?;
        if !same(self.sign(plain).as_bytes(), signature.as_bytes()) {
            return None;
        }
        let (time, serial) = plain.split_at_checked(TIME)?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some((number(time)?, number(serial)?))
    }

    /// The length-framed key goes first and the input has one fixed length: nothing can be appended.
    fn sign(&self, plain: &str) -> String {
        let mut inner = Sha256::new();
        inner.update(self.key);
        inner.update(b"sidetone nonce");
        inner.update(plain.as_bytes());
        let mut outer = Sha256::new();
        outer.update(self.key);
        outer.update(inner.finalize());
        let mut signature = hex(&outer.finalize());
        signature.truncate(SIGNATURE);
        signature
    }
}

impl Counted {
    /// Whether this count is new.
    fn count(&mut self, nc: u32) -> bool {
        if nc == 0 {
            return false;
        }
        if nc > self.highest {
            let ahead = nc - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = nc;
            return true;
        }
        let behind = self.highest - nc;
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        let fresh = behind < WINDOW && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Equal, in a time that does not depend on where they differ.
pub(super) fn same(one: &[u8], two: &[u8]) -> bool {
    let pairs = one.iter().zip(two);
    let differ = pairs.fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == two.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_count_is_taken_once_in_whatever_order_it_comes() {
        let mut nonces = Nonces::new([1; 32], MINUTE, 10);
        let nonce = nonces.make(at(5));
        let mut used = |nc| nonces.used(at(6), nonce.as_bytes(), nc) == Standing::Good;
        assert!(used(1) && !used(1) && used(3) && used(2) && !used(2) && !used(3));
        assert!(used(100) && !used(36) && used(37) && !used(37) && used(u32::MAX) && !used(100));
        assert!(!used(0));
    }

    #[test]
    fn old_forged_and_future_nonces_are_stale() {
        let mut nonces = Nonces::new([1; 32], MINUTE, 10);
        let nonce = nonces.make(at(100));
        assert_eq!(nonces.used(at(161), nonce.as_bytes(), 1), Standing::Stale);
        assert_eq!(nonces.used(at(99), nonce.as_bytes(), 1), Standing::Stale);
        let other = Nonces::new([2; 32], MINUTE, 10).make(at(100));
        assert_eq!(nonces.used(at(101), other.as_bytes(), 1), Standing::Stale);
        for cut in 0..nonce.len() {
            let short = &nonce.as_bytes()[..cut];
            assert_eq!(nonces.used(at(101), short, 1), Standing::Stale);
        }
        assert_eq!(nonces.used(at(160), nonce.as_bytes(), 1), Standing::Good);
    }

    #[test]
    fn the_memory_is_bounded_and_what_it_forgot_is_not_taken_again() {
        let mut nonces = Nonces::new([1; 32], MINUTE, 10);
        let made: Vec<_> = (0..100)
            .map(|n| nonces.make(at(1) + Duration::from_millis(n)))
            .collect();
        for nonce in &made {
            assert_eq!(nonces.used(at(2), nonce.as_bytes(), 1), Standing::Good);
            assert!(nonces.remembered() <= 10);
        }
        for nonce in &made {
            assert_eq!(nonces.used(at(2), nonce.as_bytes(), 1), Standing::Stale);
        }
        let late = nonces.make(at(300));
        assert_eq!(nonces.used(at(300), late.as_bytes(), 1), Standing::Good);
        assert_eq!(nonces.remembered(), 1);
    }
}
