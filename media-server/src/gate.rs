//! The gate of a profile: which packets are worth parsing. Judged on the socket task, by source
//! address and a few bytes, before any mailbox; the table of sources is bounded.
//!
//! Sources that a trunk names always pass. The others have a rate of their own and one together; who
//! offends too often is banned for a while. Who has a live dialog with us is an acquaintance: a flood
//! of strangers does not take its turn. One log line per source and minute, of a form that fail2ban
//! can hold on to:
//!
//! ```text
//! sip-guard: blocked 198.51.100.7 reason=rate packets=1 profile=external
//! ```

mod scanner;
mod sources;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use settings::{Auth, Cidr, Guard, Scanners, Strangers};

pub(crate) use sources::Bucket;
pub use sources::{Ban, Why};
use sources::{Notice, Sources};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is parsed.
    Pass,
    /// It is forgotten.
    Drop(Why),
}

/// Packets that were not parsed, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// From a banned source.
    pub banned: u64,
    /// Beyond the rate of their source.
    pub rate: u64,
    /// Beyond the rate of all strangers together.
    pub total: u64,
    /// From outside of the trunks' networks, where silence is asked for.
    pub acl: u64,
    /// From scanners.
    pub scanner: u64,
}

/// See the module.
pub struct Gate {
    inner: Mutex<Inner>,
}

struct Inner {
    profile: settings::Profile,
    /// Networks of trunks that the profile's file does not know: those of the office.
    networks: Vec<Cidr>,
    sources: Sources,
    dropped: Dropped,
}

impl Gate {
    /// The gate of a profile.
    pub fn new(profile: settings::Profile) -> Self {
        Self {
            inner: Mutex::new(Inner {
                profile,
                networks: Vec::new(),
                sources: Sources::default(),
                dropped: Dropped::default(),
            }),
        }
    }

    /// The profile was written anew: its rules count from now on, bans stay.
    pub fn rule(&self, profile: settings::Profile) {
        self.lock().profile = profile;
    }

    /// The office's trunks come from these networks from now on.
    pub fn trust(&self, networks: Vec<Cidr>) {
        self.lock().networks = networks;
    }

    /// Judges a packet. `bytes` is the datagram, or a stream's message.
    pub fn judge(&self, now: Duration, source: IpAddr, bytes: &[u8]) -> Verdict {
        let mut inner = self.lock();
        let Err(why) = inner.judge(now, source.to_canonical(), bytes) else {
            return Verdict::Pass;
        };
        inner.dropped.count(why);
        let notice = inner.sources.note(now, source.to_canonical(), why);
        let name = notice.is_some().then(|| inner.profile.name.clone());
        drop(inner);
        say(notice, name.as_deref());
        Verdict::Drop(why)
    }

    /// Whether a new stream connection is worth its descriptor.
    pub fn welcomes(&self, now: Duration, source: IpAddr) -> bool {
        let inner = self.lock();
        let source = source.to_canonical();
        let silent = inner.is_acl() && inner.profile.guard.strangers == Strangers::Drop;
        inner.trusts(source) || (!inner.sources.is_banned(now, source) && !silent)
    }

    /// A source did what it may not: a call from outside the ACL, a wrong password.
    pub fn offend(&self, now: Duration, source: IpAddr, why: Why) {
        let mut inner = self.lock();
        let source = source.to_canonical();
        if inner.trusts(source) {
            return;
        }
        let guard = inner.profile.guard;
        inner.sources.offend(now, source, &guard);
        let notice = inner.sources.note(now, source, why);
        let name = notice.is_some().then(|| inner.profile.name.clone());
        drop(inner);
        say(notice, name.as_deref());
    }

    /// We talk with this source: its packets have a turn of their own for an hour.
    pub fn acquaint(&self, now: Duration, source: IpAddr) {
        self.lock().sources.acquaint(now, source.to_canonical());
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.lock().dropped
    }

    /// Sources that are banned now.
    pub fn bans(&self, now: Duration) -> Vec<Ban> {
        self.lock().sources.bans(now)
    }

    /// Lifts the ban of a source; whether there was one.
    pub fn lift(&self, source: IpAddr) -> bool {
        self.lock().sources.lift(source.to_canonical())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_acl(&self) -> bool {
        self.profile.auth == Auth::Acl
    }

    fn trusts(&self, source: IpAddr) -> bool {
        let open = self.profile.auth == Auth::None && source.is_loopback();
        let office = || self.networks.iter().any(|network| network.contains(source));
        open || self.profile.trunk_of(source).is_some() || office()
    }

    fn judge(&mut self, now: Duration, source: IpAddr, bytes: &[u8]) -> Result<(), Why> {
        if self.trusts(source) {
            return Ok(());
        }
        if self.sources.is_banned(now, source) {
            return Err(Why::Banned);
        }
        let guard = self.profile.guard;
        let known = self.sources.knows(now, source);
        if !known {
            self.stranger(now, source, bytes, &guard)?;
        }
        if !self.sources.has_turn(now, source, &guard) {
            if !known {
                self.sources.offend(now, source, &guard);
            }
            return Err(Why::Rate);
        }
        let turn = known || self.sources.strangers_have_turn(now, &guard);
        if turn { Ok(()) } else { Err(Why::Total) }
    }

    fn stranger(
        &mut self,
        now: Duration,
        source: IpAddr,
        bytes: &[u8],
        guard: &Guard,
    ) -> Result<(), Why> {
        if guard.scanners == Scanners::Drop && scanner::is_one(bytes) {
            self.sources.ban(now, source, guard);
            return Err(Why::Scanner);
        }
        let silent = self.is_acl() && guard.strangers == Strangers::Drop;
        if silent { Err(Why::Acl) } else { Ok(()) }
    }
}

impl Dropped {
    /// By name.
    pub const fn numbers(&self) -> [(&'static str, u64); 5] {
        [
            ("banned", self.banned),
            ("rate", self.rate),
            ("total", self.total),
            ("acl", self.acl),
            ("scanner", self.scanner),
        ]
    }

    const fn count(&mut self, why: Why) {
        let counter = match why {
            Why::Banned => &mut self.banned,
            Why::Rate => &mut self.rate,
            Why::Total => &mut self.total,
            Why::Acl => &mut self.acl,
            Why::Scanner | Why::Auth => &mut self.scanner,
        };
        *counter += 1;
    }
}

/// The line that fail2ban reads: its form is a promise.
fn say(notice: Option<Notice>, profile: Option<&str>) {
    if let (Some(notice), Some(profile)) = (notice, profile) {
        tracing::warn!(
            "sip-guard: blocked {} reason={} packets={} profile={profile}",
            notice.source,
            notice.why.name(),
            notice.packets
        );
    }
}

#[cfg(test)]
mod tests;
