//! A load plan: how many calls, whom, how fast, how long. And whom never.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use call_core::length::Length;
use media_core::codec::{self, CodecSpec};
use serde::Deserialize;
use sip_core::value::Uri;

use super::{
    mix::{self, Kind},
    orders::Orders,
};

/// Calls of one run: a number of a call must fit its mark.
const MAX_CALLS: u32 = 1 << 20;
/// Calls placed in a second.
const MAX_RATE: u32 = 5_000;
/// The longest hold.
const MAX_HOLD: Duration = Duration::from_secs(4 * 3_600);
/// RTP sockets, each with a thread that reads it.
const MAX_SOCKETS: usize = 16;

/// A plan file (`loadtest/plans/*.toml`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name in results.
    pub name: String,
    /// What it shows, one sentence.
    pub story: String,
    /// Whom to call.
    pub call: Call,
    /// How many, how fast, how long.
    pub load: Load,
    /// Sockets.
    #[serde(default)]
    pub rtp: Rtp,
    /// Kinds of calls beside the plain one; for plans whose calls come and go.
    #[serde(default)]
    pub mix: Vec<Kind>,
    /// Calls that the server is told to place meanwhile; each is one more record.
    #[serde(default)]
    pub orders: Option<Orders>,
}

/// Whom to call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// `sip:echo@127.0.0.1:5060`: the host is an address.
    pub to: String,
    /// The user part of From.
    #[serde(default = "caller")]
    pub from: String,
    /// The codec offered.
    #[serde(default = "codec")]
    pub codec: String,
    /// Whether the far side is to return what we say: then missing marks are counted.
    pub returns: bool,
    /// The private address of a network namespace of ours, when the target is one: nothing but
    /// loopback and this is ever called.
    pub namespace: Option<IpAddr>,
}

/// How many, how fast, how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Calls in all.
    pub calls: u32,
    /// New calls (and later farewells) a second.
    pub per_second: u32,
    /// How long calls are held.
    pub hold: Length,
    /// `true`: the hold begins once all calls are up, so all are up together. `false`: each call
    /// is held for itself; calls come and go.
    #[serde(default = "together")]
    pub together: bool,
}

/// Sockets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtp {
    /// RTP sockets; the calls share them.
    pub sockets: usize,
}

impl Default for Rtp {
    fn default() -> Self {
        Self { sockets: 1 }
    }
}

fn caller() -> String {
    "load".to_owned()
}

fn codec() -> String {
    "PCMU".to_owned()
}

fn together() -> bool {
    true
}

impl Plan {
    /// Reads and checks a plan file.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, a value out of bounds, a target that is not ours.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Checks the text of a plan.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// The same plan against another address: `127.0.0.1:15060`.
    ///
    /// # Errors
    /// A target that is not ours.
    pub fn towards(mut self, address: SocketAddr) -> anyhow::Result<Self> {
        let target = self.target()?;
        let user = target.user_raw().map(|user| String::from_utf8_lossy(user));
        let user = user.unwrap_or_default();
        self.call.to = format!("sip:{user}@{address}");
        self.check()?;
        Ok(self)
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// No SIP URI.
    pub fn target(&self) -> anyhow::Result<Uri> {
        let uri = Uri::parse(&self.call.to.clone().into());
        uri.with_context(|| format!("call.to: '{}' is not a SIP URI", self.call.to))
    }

    /// Where the target is.
    ///
    /// # Errors
    /// A host name: a generator of load asks no name server.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let target = self.target()?;
        let ip = target.host().and_then(|host| host.ip());
        let ip = ip.context("call.to: the host must be an address, not a name")?;
        Ok(SocketAddr::new(ip, target.port().unwrap_or(5060)))
    }

    /// The codec's table entry.
    ///
    /// # Errors
    /// A codec whose payload is not one byte a sample: marks would not survive it.
    pub fn codec(&self) -> anyhow::Result<&'static CodecSpec> {
        let name = &self.call.codec;
        match codec::by_name(name) {
            Some(spec) if spec.rate.hz() == spec.rtp_clock && spec.rtp_clock == 8_000 => Ok(spec),
            _ => bail!("call.codec: '{name}' is neither PCMU nor PCMA"),
        }
    }

    /// What a call of this run is; none for a plain one.
    pub fn kind(&self, call: usize) -> Option<&Kind> {
        mix::kind_of(&self.mix, call).and_then(|kind| self.mix.get(kind))
    }

    /// Records that the run leaves at the server.
    pub fn records(&self) -> usize {
        let calls = 0..self.load.calls as usize;
        let placed = calls.map(|call| self.kind(call).map_or(1, |kind| kind.records));
        let ordered = self.orders.map_or(0, |orders| orders.calls as usize);
        placed.sum::<usize>() + ordered
    }

    fn check(&self) -> anyhow::Result<()> {
        self.codec()?;
        within("load.calls", self.load.calls, MAX_CALLS)?;
        within("load.per_second", self.load.per_second, MAX_RATE)?;
        if !(1..=MAX_SOCKETS).contains(&self.rtp.sockets) {
            bail!("rtp.sockets: 1 to {MAX_SOCKETS}");
        }
        if self.load.hold.0 > MAX_HOLD {
            bail!("load.hold: at most {} h", MAX_HOLD.as_secs() / 3_600);
        }
        if let Some(orders) = self.orders {
            within("orders.calls", orders.calls, MAX_CALLS)?;
            within("orders.per_second", orders.per_second, MAX_RATE)?;
        }
        for kind in &self.mix {
            kind.check()?;
            ours(kind.address()?.ip(), self.call.namespace)?;
        }
        if !self.mix.is_empty() && self.load.together {
            bail!("mix: its calls come and go (load.together = false)");
        }
        within(
            "mix.share, all together",
            1 + self.mix.iter().map(|kind| kind.share).sum::<u32>(),
            101,
        )?;
        ours(self.address()?.ip(), self.call.namespace)
    }
}

fn within(field: &str, value: u32, most: u32) -> anyhow::Result<()> {
    if !(1..=most).contains(&value) {
        bail!("{field}: 1 to {most}, not {value}");
    }
    Ok(())
}

/// Load goes to this machine, or to a namespace that the plan names itself and that can only be private.
fn ours(target: IpAddr, namespace: Option<IpAddr>) -> anyhow::Result<()> {
    if target.is_loopback() {
        return Ok(());
    }
    let private = match target {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    if private && namespace == Some(target) {
        return Ok(());
    }
    bail!(
        "call.to: {target} is not loopback, and not the private address of a namespace of ours (call.namespace)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(to: &str, more: &str) -> anyhow::Result<Plan> {
        Plan::parse(&format!(
            "name = 'x'\nstory = 'y'\n[call]\nto = '{to}'\nreturns = true\n{more}\n\
             [load]\ncalls = 2\nper_second = 1\nhold = '1s'\n"
        ))
    }

    #[test]
    fn only_loopback_and_a_namespace_named_in_the_plan_are_called() {
        assert!(plan("sip:echo@127.0.0.1:5060", "").is_ok());
        assert!(plan("sip:echo@[::1]:5060", "").is_ok());
        assert!(plan("sip:echo@10.77.0.2:5060", "namespace = '10.77.0.2'").is_ok());
        for (to, more) in [
            ("sip:echo@10.77.0.2", ""),
            ("sip:echo@10.77.0.2", "namespace = '10.77.0.3'"),
            ("sip:echo@203.0.113.7", "namespace = '203.0.113.7'"),
            ("sip:echo@example.com", ""),
        ] {
            let refused = plan(to, more).unwrap_err().to_string();
            assert!(refused.contains("call.to"), "{to}: {refused}");
        }
    }

    #[test]
    fn an_override_keeps_the_user_and_the_rule() {
        let moved = plan("sip:echo@127.0.0.1:5060", "").unwrap();
        let there = SocketAddr::from(([127, 0, 0, 1], 15_060));
        assert_eq!(
            moved.clone().towards(there).unwrap().call.to,
            "sip:echo@127.0.0.1:15060"
        );
        let abroad = SocketAddr::from(([192, 0, 2, 1], 5060));
        assert!(moved.towards(abroad).is_err());
    }

    #[test]
    fn bounds_and_unknown_keys_are_refused_by_name() {
        for more in ["codec = 'opus'", "speed = 3"] {
            assert!(plan("sip:echo@127.0.0.1", more).is_err(), "{more}");
        }
        let many = "name = 'x'\nstory = 'y'\n[call]\nto = 'sip:a@127.0.0.1'\nreturns = false\n\
                    [load]\ncalls = 0\nper_second = 1\nhold = '1s'\n";
        let refused = Plan::parse(many).unwrap_err().to_string();
        assert!(refused.contains("load.calls"), "{refused}");
    }
}
