//! Kinds of calls beside the plain one: a share of a plan's calls that does something else, and what is right for it.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use serde::Deserialize;
use sip_core::value::Uri;

/// A share of the calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// What it is called in the result.
    pub name: String,
    /// Of a hundred calls.
    pub share: u32,
    /// Whom they call: `sip:USER@ADDRESS:PORT`.
    pub to: String,
    /// What they do.
    #[serde(default)]
    pub does: Deed,
    /// The refusal that is right for them; without one they are to be answered.
    pub refused: Option<u16>,
    /// `user:password` for whoever challenges them.
    pub login: Option<String>,
    /// Records that each leaves at the server: two where it calls itself.
    #[serde(default = "one")]
    pub records: usize,
}

/// What a call does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Speaks for the hold and hangs up.
    #[default]
    Talk,
    /// Gives up while it rings.
    Cancel,
    /// Speaks, holds the far side for a quarter of the time, speaks again.
    Hold,
    /// Speaks, and is asked to call somebody else (REFER): says that it did, and is hung up on.
    HandedOn,
}

const fn one() -> usize {
    1
}

impl Kind {
    /// The Request-URI.
    ///
    /// # Errors
    /// No SIP URI.
    pub fn target(&self) -> anyhow::Result<Uri> {
        let uri = Uri::parse(&self.to.clone().into());
        uri.with_context(|| format!("mix.to: '{}' is not a SIP URI", self.to))
    }

    /// Where it goes.
    ///
    /// # Errors
    /// A host that is no address.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let target = self.target()?;
        let ip = target.host().and_then(|host| host.ip());
        let ip = ip.context("mix.to: the host must be an address, not a name")?;
        Ok(SocketAddr::new(ip, target.port().unwrap_or(5060)))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.address()?;
        match &self.login {
            Some(login) if !login.contains(':') => bail!("mix.login: user:password"),
            _ => Ok(()),
        }
    }
}

/// Which of the kinds a call is of; none for a plain one. Every hundred calls have each kind's share, spread among them.
pub fn kind_of(kinds: &[Kind], call: usize) -> Option<usize> {
    // 37 has no divisor in common with 100: every place comes up once.
    let place = (call % 100 * 37 % 100) as u32;
    let mut until = 0;
    kinds.iter().position(|kind| {
        until += kind.share;
        place < until
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(share: u32) -> Kind {
        let text = format!("name = 'x'\nshare = {share}\nto = 'sip:a@127.0.0.1:5060'\n");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn every_hundred_calls_have_each_share() {
        let kinds = [kind(10), kind(0), kind(25)];
        for first in [0, 700] {
            let of = |wanted| {
                let calls = first..first + 100;
                calls
                    .filter(|call| kind_of(&kinds, *call) == wanted)
                    .count()
            };
            assert_eq!(
                [of(Some(0)), of(Some(1)), of(Some(2)), of(None)],
                [10, 0, 25, 65]
            );
        }
    }
}
