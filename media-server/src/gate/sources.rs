//! What is known of the sources that no trunk names: rates, offences, bans. Pure; bounded.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use settings::Guard;

/// Sources that are told apart; beyond, new ones share the rate of all strangers alone.
const MAX_SOURCES: usize = 8_192;
/// Acquaintances that are remembered.
const MAX_KNOWN: usize = 16_384;
/// How long an acquaintance lasts after our last word to it.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// A source that sent nothing for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// One line for each source in this time.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// A full table is swept at most so often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Why a packet was not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its source is banned.
    Banned,
    /// Its source sends too much.
    Rate,
    /// All strangers together send too much.
    Total,
    /// Its source is in no trunk's networks.
    Acl,
    /// It calls itself a scanner.
    Scanner,
    /// It does not know its password.
    Auth,
}

impl Why {
    /// The word in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Acl => "acl",
            Self::Scanner => "scanner",
            Self::Auth => "auth",
        }
    }
}

/// A source that is banned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ban {
    /// Which.
    pub source: IpAddr,
    /// Seconds until it ends.
    pub seconds_left: u64,
}

/// Something to write into the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) source: IpAddr,
    pub(super) why: Why,
    /// Packets dropped since the line before.
    pub(super) packets: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sources {
    table: HashMap<IpAddr, Source>,
    known: HashMap<IpAddr, Duration>,
    total: Option<Bucket>,
    swept: Duration,
}

#[derive(Debug)]
struct Source {
    bucket: Option<Bucket>,
    seen: Duration,
    offences: u32,
    banned_until: Option<Duration>,
    line_at: Option<Duration>,
    packets: u64,
}

/// Tokens at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn full(now: Duration, burst: u32) -> Self {
        let tokens = f64::from(burst.max(1));
        Self { tokens, at: now }
    }

    /// Whether there is a token.
    pub(crate) fn has(&mut self, now: Duration, per_second: impl Into<f64>, burst: u32) -> bool {
        let gained = now.saturating_sub(self.at).as_secs_f64() * per_second.into();
        self.tokens = (self.tokens + gained).min(f64::from(burst.max(1)));
        self.at = self.at.max(now);
        self.tokens >= 1.0
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Duration, per_second: impl Into<f64>, burst: u32) -> bool {
        let has = self.has(now, per_second, burst);
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// How long until there is one.
    pub(crate) fn until_next(&self, per_second: f64) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / per_second).unwrap_or(Duration::MAX)
    }
}

/// Whom an address stands for: in IPv6 everybody has a network of 64 bits to choose from.
fn group(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

impl Sources {
    pub(super) fn is_banned(&self, now: Duration, source: IpAddr) -> bool {
        let until = self.table.get(&group(source)).and_then(|s| s.banned_until);
        until.is_some_and(|until| now < until)
    }

    pub(super) fn knows(&self, now: Duration, source: IpAddr) -> bool {
        self.known.get(&source).is_some_and(|until| now < *until)
    }

    pub(super) fn acquaint(&mut self, now: Duration, source: IpAddr) {
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&source) {
            self.known.retain(|_, until| now < *until);
        }
        if self.known.len() < MAX_KNOWN || self.known.contains_key(&source) {
            self.known.insert(source, now.saturating_add(KNOWN_FOR));
        }
    }

    /// Whether the source keeps its own rate.
    pub(super) fn has_turn(&mut self, now: Duration, source: IpAddr, guard: &Guard) -> bool {
        let Some(entry) = self.entry(now, source) else {
            return true;
        };
        let full = || Bucket::full(now, guard.burst);
        let bucket = entry.bucket.get_or_insert_with(full);
        guard.pps == 0 || bucket.take(now, guard.pps, guard.burst)
    }

    /// Whether all strangers together keep theirs.
    pub(super) fn strangers_have_turn(&mut self, now: Duration, guard: &Guard) -> bool {
        let full = || Bucket::full(now, guard.total_pps);
        let bucket = self.total.get_or_insert_with(full);
        guard.total_pps == 0 || bucket.take(now, guard.total_pps, guard.total_pps)
    }

    /// An offence; the one too many bans.
    pub(super) fn offend(&mut self, now: Duration, source: IpAddr, guard: &Guard) {
        let Some(entry) = self.entry(now, source) else {
            return;
        };
        entry.offences += 1;
        if guard.ban_after > 0 && entry.offences >= guard.ban_after {
            self.ban(now, source, guard);
        }
    }

    pub(super) fn ban(&mut self, now: Duration, source: IpAddr, guard: &Guard) {
        if let Some(entry) = self.entry(now, source) {
            entry.offences = 0;
            entry.banned_until = Some(now.saturating_add(guard.ban));
        }
    }

    pub(super) fn lift(&mut self, source: IpAddr) -> bool {
        let entry = self.table.get_mut(&group(source));
        entry.is_some_and(|entry| entry.banned_until.take().is_some())
    }

    pub(super) fn bans(&self, now: Duration) -> Vec<Ban> {
        let left = |source: &Source| source.banned_until?.checked_sub(now);
        let banned = self.table.iter().filter_map(|(ip, source)| {
            Some(Ban {
                source: *ip,
                seconds_left: left(source)?.as_secs(),
            })
        });
        let mut banned: Vec<_> = banned.collect();
        banned.sort_by_key(|ban| ban.source);
        banned
    }

    /// Counts a dropped packet; a line, if this source had none in the last minute.
    pub(super) fn note(&mut self, now: Duration, source: IpAddr, why: Why) -> Option<Notice> {
        let entry = self.entry(now, source)?;
        entry.packets += 1;
        let due = |at: Duration| now.saturating_sub(at) >= LINE_EVERY;
        if !entry.line_at.is_none_or(due) {
            return None;
        }
        entry.line_at = Some(now);
        let packets = std::mem::take(&mut entry.packets);
        Some(Notice {
            source,
            why,
            packets,
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn entry(&mut self, now: Duration, source: IpAddr) -> Option<&mut Source> {
        let key = group(source);
        if self.table.len() >= MAX_SOURCES && !self.table.contains_key(&key) && !self.sweep(now) {
            return None;
        }
        let entry = self.table.entry(key).or_insert(Source {
            bucket: None,
            seen: now,
            offences: 0,
            banned_until: None,
            line_at: None,
            packets: 0,
        });
        entry.seen = now;
        Some(entry)
    }

    /// Forgets who has been quiet and is not banned; whether there is room now.
    fn sweep(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.swept) < SWEEP_EVERY {
            return false;
        }
        self.swept = now;
        self.table.retain(|_, source| {
            let banned = source.banned_until.is_some_and(|until| now < until);
            banned || now.saturating_sub(source.seen) < FORGOTTEN_AFTER
        });
        self.table.len() < MAX_SOURCES
    }
}
