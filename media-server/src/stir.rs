//! Proofs of who calls (STIR/SHAKEN): what `sip_core::shaken` cannot do for want of a network, a disk
//! and a crypto library.
//!
//! ```text
//! verify ─► judge (pure) ─► certificates: kept, else fetched through the one door out
//!                       ─► chain: trusted now? its signature?  ─► Verdict
//! ```
//!
//! The call machine holds the limit of time. A fetch goes on beyond it for a while, so that a slow
//! server costs its first caller alone.

mod certificates;
mod chain;

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use egress::{Egress, EgressConfig, EgressError, Limits, Policy, Request};
use sip_core::shaken::{Failure, Parties, Passport, Verdict};

pub use certificates::{Certificates, Fetch, Fetched, Fetching};
pub use chain::{Chain, Roots};

/// The longest a fetch may take, everything included.
const FETCH: Duration = Duration::from_secs(5);
/// The largest answer, bytes: a chain of four has 6 KB.
const MOST_BYTES: u64 = 64 * 1024;

/// One moment's proof: the wall clock judges it, the node's clock ages what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Seconds since 1970 UTC.
    pub unix_s: i64,
    /// Since the node's start.
    pub now: Duration,
}

/// See the module. One per node, shared.
pub struct Stir {
    terms: ArcSwap<Terms>,
    door: Arc<ArcSwapOption<Egress>>,
    certificates: Certificates,
}

struct Terms {
    roots: Roots,
    max_age: Duration,
}

impl Default for Stir {
    fn default() -> Self {
        let door: Arc<ArcSwapOption<Egress>> = Arc::default();
        let fetch = through(door.clone());
        Self {
            door,
            ..Self::of(fetch, Roots::default(), Duration::ZERO)
        }
    }
}

impl Stir {
    /// With another way to fetch and these authorities.
    pub fn of(fetch: Fetch, roots: Roots, max_age: Duration) -> Self {
        Self {
            terms: ArcSwap::from_pointee(Terms { roots, max_age }),
            door: Arc::default(),
            certificates: Certificates::new(fetch),
        }
    }

    /// Takes over what the files say now. Authorities that cannot be read are trouble of their own: every
    /// proof fails then, and the log says why.
    pub fn configure(&self, settings: &settings::Stir) {
        let Some(path) = &settings.roots else {
            return self.door.store(None);
        };
        let roots = Roots::read(path).unwrap_or_else(|why| {
            tracing::error!(path = %path.display(), why, "no proof of who calls is believed");
            Roots::default()
        });
        let max_age = settings.max_age;
        self.terms.store(Arc::new(Terms { roots, max_age }));
        let config = EgressConfig {
            exempt: settings.private.clone(),
            connect: FETCH,
            ..EgressConfig::default()
        };
        let door = Egress::new(config).inspect_err(|error| {
            tracing::error!(%error, "no certificate can be fetched");
        });
        self.door.store(door.ok().map(Arc::new));
    }

    /// What becomes of a call's tokens: one that holds is enough, else the first says why not.
    pub async fn verify(
        &self,
        at: Moment,
        passports: &[Result<Passport, Failure>],
        parties: &Parties,
    ) -> Verdict {
        let mut failure = None;
        for passport in passports {
            let checked = match passport {
                Ok(passport) => self.check(at, passport, parties).await,
                Err(failure) => Err(*failure),
            };
            match checked {
                Ok(verdict) => return verdict,
                Err(why) => failure = failure.or(Some(why)),
            }
        }
        failure.map_or(Verdict::NoSignature, Verdict::Failed)
    }

    async fn check(
        &self,
        at: Moment,
        passport: &Passport,
        parties: &Parties,
    ) -> Result<Verdict, Failure> {
        passport.judge(at.unix_s, parties)?;
        let terms = self.terms.load_full();
        let url = passport.certificate_url();
        let chain = self.certificates.chain(url, at.now, terms.max_age).await?;
        let (signed, signature) = (passport.signed(), passport.signature());
        terms.roots.verify(&chain, at.unix_s, signed, signature)?;
        Ok(passport.verified())
    }
}

/// Certificates are named by strangers: public addresses only, https as the token was read, no redirect
/// that could lead away from it.
fn through(door: Arc<ArcSwapOption<Egress>>) -> Fetch {
    Arc::new(move |url| {
        let door = door.load_full();
        Box::pin(async move {
            let door = door.ok_or("nobody may be asked")?;
            let fetched = fetch(&door, url).await;
            fetched.map_err(|error| error.to_string())
        })
    })
}

async fn fetch(door: &Egress, url: String) -> Result<Fetched, EgressError> {
    let limits = Limits {
        head: FETCH,
        idle: FETCH,
        total: FETCH,
        body_bytes: MOST_BYTES,
        redirects: 0,
    };
    let request = Request::get(url).limits(limits);
    let response = door.send(Policy::Untrusted, request).await?;
    let fresh_for = response.header("cache-control").and_then(max_age);
    let found = response.status() == 200;
    let body = response.bytes().await?;
    let pem = if found { body } else { Default::default() };
    Ok(Fetched { pem, fresh_for })
}

/// RFC 9111 §5.2.2: how long the server says that its answer is good.
fn max_age(header: &str) -> Option<Duration> {
    let mut directives = header.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}

#[cfg(test)]
mod tests;
