//! One direction of a bad network.

use std::{collections::BTreeMap, time::Duration};

use crate::dice::Dice;

/// Datagrams under way at most; what is beyond is dropped, as a router does.
pub const MAX_UNDER_WAY: usize = 4_096;

/// How bad. Chances in a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Impairment {
    /// Datagrams lost.
    pub loss_per_mille: u32,
    /// Datagrams that come twice.
    pub duplicate_per_mille: u32,
    /// Datagrams that are held back by `reorder_ms` more, so that later ones overtake them.
    pub reorder_per_mille: u32,
    /// See `reorder_per_mille`.
    pub reorder_ms: u64,
    /// Delay of each.
    pub delay_ms: u64,
    /// Up to so much more, drawn for each. Does not reorder.
    pub jitter_ms: u64,
}

/// What became of the datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Handed in.
    pub sent: u64,
    /// Handed out, duplicates included.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Dropped because too many were under way.
    pub overflowed: u64,
}

/// Takes datagrams and gives them out later, some never, some twice.
#[derive(Debug)]
pub struct Network {
    impairment: Impairment,
    dice: Dice,
    under_way: BTreeMap<(Duration, u64), Vec<u8>>,
    serial: u64,
    newest: Duration,
    counters: Counters,
}

impl Network {
    /// A direction with its own dice.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            dice: Dice::new(seed),
            under_way: BTreeMap::new(),
            serial: 0,
            newest: Duration::ZERO,
            counters: Counters::default(),
        }
    }

    /// A datagram enters.
    pub fn send(&mut self, now: Duration, datagram: &[u8]) {
        self.counters.sent += 1;
        if self.dice.chance(self.impairment.loss_per_mille) {
            self.counters.lost += 1;
            return;
        }
        let at = self.arrival(now);
        self.put(at, datagram);
        if self.dice.chance(self.impairment.duplicate_per_mille) {
            self.counters.duplicated += 1;
            self.put(at, datagram);
        }
    }

    /// The next datagram that has arrived.
    pub fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        let first = self
            .under_way
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        self.counters.delivered += 1;
        Some(first.remove())
    }

    /// When [`Self::poll`] has something.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Figures so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn arrival(&mut self, now: Duration) -> Duration {
        let Impairment {
            delay_ms,
            jitter_ms,
            reorder_ms,
            reorder_per_mille,
            ..
        } = self.impairment;
        let delay_ms = delay_ms + self.dice.roll(jitter_ms + 1);
        let in_order = (now + Duration::from_millis(delay_ms)).max(self.newest);
        if self.dice.chance(reorder_per_mille) {
            self.counters.reordered += 1;
            return in_order + Duration::from_millis(reorder_ms);
        }
        self.newest = in_order;
        in_order
    }

    fn put(&mut self, at: Duration, datagram: &[u8]) {
        if self.under_way.len() >= MAX_UNDER_WAY {
            self.counters.overflowed += 1;
            return;
        }
        self.serial += 1;
        self.under_way.insert((at, self.serial), datagram.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(impairment: Impairment) -> (Vec<u16>, Counters) {
        let mut network = Network::new(impairment, 7);
        let mut out = Vec::new();
        for nth in 0..1_000u16 {
            let now = Duration::from_millis(u64::from(nth) * 20);
            network.send(now, &nth.to_be_bytes());
            while let Some(datagram) = network.poll(now) {
                out.push(u16::from_be_bytes([datagram[0], datagram[1]]));
            }
        }
        while let Some(datagram) = network.poll(Duration::MAX) {
            out.push(u16::from_be_bytes([datagram[0], datagram[1]]));
        }
        (out, network.counters())
    }

    #[test]
    fn a_good_network_changes_nothing() {
        let (out, counters) = through(Impairment {
            delay_ms: 30,
            jitter_ms: 60,
            ..Impairment::default()
        });
        assert_eq!(out, (0..1_000).collect::<Vec<_>>());
        assert_eq!((counters.sent, counters.delivered), (1_000, 1_000));
    }

    #[test]
    fn a_bad_network_loses_doubles_and_reorders_as_it_is_told() {
        let bad = Impairment {
            loss_per_mille: 100,
            duplicate_per_mille: 50,
            reorder_per_mille: 50,
            reorder_ms: 50,
            ..Impairment::default()
        };
        let (out, counters) = through(bad);
        assert!((60..140).contains(&counters.lost), "{counters:?}");
        assert!((20..80).contains(&counters.duplicated), "{counters:?}");
        assert_eq!(
            counters.delivered,
            counters.sent - counters.lost + counters.duplicated
        );
        assert!(
            out.windows(2).any(|pair| pair[0] > pair[1]),
            "some are overtaken"
        );
        assert_eq!(out, through(bad).0, "a seed is a network");
    }
}
