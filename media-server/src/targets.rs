//! Where an INVITE of ours goes: from what a dialplan, an agent or the office names to sockets and
//! addresses.
//!
//! Nothing is invited, and nobody is asked to invite, without [`leave`]: it is the one place that
//! asks [`may_dial`]. What it gives are ways; [`open_first`] makes one a place that can be invited,
//! when its turn has come.

mod place;
mod redirect;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use call_core::dialing::{
    Ask, By, Digits, MAX_DURATION, Origin, Policy, Refusal, Route, Wanted as Whom, Way as Allowed,
    may_dial,
};
use model::{EndReason, FailureClass, TenantId};
use sip_core::{locate::Wanted, value::Uri};

pub use place::{Place, open_all, open_first};
pub use redirect::Redirects;

use crate::{
    registrar::Destination,
    services::{Line, Services},
    trunk_book::{Busy, TrunkLine},
};

/// Who wants to call, and on whose behalf.
#[derive(Clone)]
pub struct Asker {
    /// Who.
    pub by: By,
    /// Where the call that wants it came from.
    pub origin: Origin,
    /// Whose rules count; none = the node's own dialplans.
    pub rules: Option<TenantId>,
    /// Whose extensions a name means.
    pub tenant: Option<TenantId>,
    /// The domain in which an extension is looked for first.
    pub domain: Option<String>,
    /// The profile that a URI is called over; none = any that is up.
    pub line: Option<Line>,
    /// Who is shown.
    pub caller: Shown,
}

/// Who is shown to whom we call.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// A user part.
    pub user: String,
    /// For people.
    pub name: Option<String>,
    /// He does not want to be known.
    pub hidden: bool,
}

/// Leave to call somebody.
pub struct Leave {
    /// The ways to him, the first to try first.
    pub ways: VecDeque<Way>,
    /// Whether they all ring, and not one after the other.
    pub together: bool,
    /// The longest the leg may last.
    pub max_duration: Duration,
}

/// One way to somebody.
#[derive(Clone)]
pub enum Way {
    /// Over a trunk.
    Trunk {
        /// Which.
        line: Arc<TrunkLine>,
        /// E.164, or an emergency code.
        number: String,
        /// Whether it waits for its turn; emergency calls do not.
        paced: bool,
    },
    /// To a phone of an extension.
    Phone {
        /// `user@domain`.
        aor: String,
        /// Where it is.
        destination: Box<Destination>,
    },
    /// To a URI as it stands.
    Uri(Uri),
}

/// Why somebody cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace {
    /// What the record says.
    pub reason: EndReason,
    /// The SIP status that says the same.
    pub status: u16,
    /// One line.
    pub why: String,
}

impl NoPlace {
    /// A name that leads nowhere.
    pub fn none() -> Self {
        Self::new(EndReason::NotFound, 404, "it leads nowhere")
    }

    /// Whoever ordered it was told meanwhile that it was not done.
    pub fn too_late() -> Self {
        Self::new(EndReason::Capacity, 503, "its order is over")
    }

    fn new(reason: EndReason, status: u16, why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            reason,
            status,
            why,
        }
    }

    fn lost(why: impl Into<String>) -> Self {
        Self::new(EndReason::TransportFailed, 503, why)
    }
}

impl From<Busy> for NoPlace {
    fn from(busy: Busy) -> Self {
        Self::new(EndReason::Capacity, 503, busy.to_string())
    }
}

impl From<Refusal> for NoPlace {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.sip_status();
        let reason = match refusal {
            Refusal::TrunksDown => FailureClass::of(status, None).end_reason(),
            _ => EndReason::Forbidden,
        };
        Self::new(reason, status, refusal.to_string())
    }
}

/// Whether a rule allows this call, and what the rule says of it ([`may_dial`]).
///
/// # Errors
/// The refusal; [`EndReason::Forbidden`] mostly.
pub fn admit(
    services: &Services,
    asker: &Asker,
    target: &str,
    digits: Digits,
) -> Result<Route, NoPlace> {
    let policy = services.dialing(asker.rules);
    let wanted = Whom::parse(target).ok_or(Refusal::NotANumber)?;
    let trunk = own_trunk(&policy, asker, wanted);
    let wanted = match (wanted, &trunk) {
        (Whom::OnTrunk { number, .. }, Some(trunk)) => Whom::OnTrunk { trunk, number },
        (wanted, _) => wanted,
    };
    let ask = Ask {
        wanted,
        by: asker.by,
        origin: asker.origin,
        digits,
    };
    match may_dial(&ask, &policy) {
        Err(Refusal::ForeignUri) if is_trial(services, asker, target) => Ok(Route {
            way: Allowed::Uri,
            emergency: false,
            max_duration: policy.max_duration.unwrap_or(MAX_DURATION),
        }),
        judged => Ok(judged?),
    }
}

/// A tenant names its trunks without its own slug.
fn own_trunk(policy: &Policy, asker: &Asker, wanted: Whom<'_>) -> Option<String> {
    let (Whom::OnTrunk { trunk, .. }, Some(_)) = (wanted, asker.rules) else {
        return None;
    };
    let own = |name: &str| name.split_once('/').is_some_and(|(_, own)| own == trunk);
    let mut names = policy.trunks.iter().map(|outlet| &outlet.name);
    names.find(|name| own(name)).cloned()
}

/// A server that listens to nobody outside may be tried out against its own machine: an agent or an
/// order may name a URI there. No caller from outside may, and no trunk is reached that way.
fn is_trial(services: &Services, asker: &Asker, target: &str) -> bool {
    // What counts is where it would be sent to, `maddr` and all.
    let wanted = uri(target).ok().and_then(|uri| Wanted::of(&uri).ok());
    let address = wanted.and_then(|wanted| wanted.host.ip());
    let inside = address.is_some_and(|address| address.is_loopback());
    let lines = services.lines.all();
    let mut listens = lines.iter().flat_map(|line| line.profile.listen());
    inside && asker.origin != Origin::Public && listens.all(|(_, at)| at.ip().is_loopback())
}

/// Leave to call somebody, and the ways there are.
///
/// # Errors
/// No rule allows it, or nobody can say where it is.
pub async fn leave(
    services: &Arc<Services>,
    asker: &Asker,
    target: &str,
    digits: Digits,
) -> Result<Leave, NoPlace> {
    let route = admit(services, asker, target, digits)?;
    let together = matches!(route.way, Allowed::Extension(_));
    let ways = match route.way {
        Allowed::Trunks { number, trunks } => over(services, &number, &trunks, !route.emergency),
        Allowed::Extension(name) => phones(services, asker, &name).await?,
        Allowed::Uri => VecDeque::from([Way::Uri(uri(target)?)]),
    };
    if ways.is_empty() {
        return Err(NoPlace::none());
    }
    Ok(Leave {
        ways,
        together,
        max_duration: route.max_duration,
    })
}

fn over(services: &Services, number: &str, trunks: &[String], paced: bool) -> VecDeque<Way> {
    let directory = services.trunk_book.current();
    let lines = trunks.iter().filter_map(|name| directory.line(name));
    let way = |line: &Arc<TrunkLine>| Way::Trunk {
        line: line.clone(),
        number: number.to_owned(),
        paced,
    };
    lines.map(way).collect()
}

/// All phones of an extension (RFC 3261 §16.5); none is like nobody answering.
async fn phones(services: &Services, asker: &Asker, name: &str) -> Result<VecDeque<Way>, NoPlace> {
    let registrar = &services.registrar;
    let aor = registrar.aor(name, asker.tenant, asker.domain.as_deref());
    let aor = aor.ok_or_else(|| {
        let why = format!("there is no extension '{name}'");
        NoPlace::new(EndReason::NotFound, 404, why)
    })?;
    let found = registrar.bindings_of(&aor).await;
    if found.is_empty() {
        let why = format!("{aor} is not registered");
        return Err(NoPlace::new(EndReason::Unavailable, 480, why));
    }
    let way = |destination| Way::Phone {
        aor: aor.clone(),
        destination: Box::new(destination),
    };
    Ok(found.into_iter().map(way).collect())
}

fn uri(target: &str) -> Result<Uri, NoPlace> {
    Uri::parse(&target.to_owned().into()).map_err(|_| broken(target))
}

fn broken(target: &str) -> NoPlace {
    let why = format!("'{target}' is not an address");
    NoPlace::new(EndReason::NotFound, 404, why)
}

/// A target as a URI that somebody else can dial; none for what only we can reach.
///
/// # Errors
/// No rule allows it.
pub fn address(
    services: &Services,
    asker: &Asker,
    target: &str,
    digits: Digits,
) -> Result<Option<String>, NoPlace> {
    let route = admit(services, asker, target, digits)?;
    Ok(match route.way {
        Allowed::Uri => Some(target.to_owned()),
        Allowed::Extension(_) => None,
        Allowed::Trunks { number, trunks } => {
            let directory = services.trunk_book.current();
            let line = trunks.first().and_then(|name| directory.line(name));
            line.and_then(|line| line.target(&number))
                .map(|uri| uri.to_string())
        }
    })
}
