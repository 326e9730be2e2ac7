//! The one gate that every outbound path passes: [`may_dial`].
//!
//! Outbound is deny by default. A number needs an allowed prefix, a call from outside never comes
//! back out over a trunk by what its caller supplied, and an emergency number goes out by an
//! explicit route or not at all. No `Route`, no INVITE.

mod prefixes;

use std::time::Duration;

pub use prefixes::{Prefixes, check as check_prefix};

use crate::country::{self, Country};
use crate::trunk::NumberPlan;

/// The longest a leg lasts when nobody says anything shorter.
pub const MAX_DURATION: Duration = Duration::from_secs(4 * 3600);

/// Emergency numbers that a raw URI of a policy without a country is held to.
const NEARLY_EVERYWHERE: [&str; 4] = ["000", "112", "911", "999"];

/// What is to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A number, over any trunk of the policy.
    Number(&'a str),
    /// A number over one trunk.
    OnTrunk {
        /// The trunk's name.
        trunk: &'a str,
        /// The number.
        number: &'a str,
    },
    /// One of our phones.
    Extension(&'a str),
    /// A SIP URI.
    Uri {
        /// Its user part.
        user: Option<&'a str>,
        /// Its host, without port and parameters.
        host: &'a str,
    },
}

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A dialplan.
    Dialplan,
    /// `POST /v1/calls` and the node commands.
    Api,
    /// An agent or one of its tools.
    Agent,
    /// A REFER of the far side.
    Refer,
    /// A 3xx of the far side.
    Redirect,
    /// A Diversion or History-Info header.
    Diversion,
    /// What runs because something else failed.
    Fallback,
}

/// Where the call that wants it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody called: the office orders it.
    Office,
    /// One of our own phones.
    Internal,
    /// Anybody outside.
    Public,
}

/// Who chose the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// The operator or the tenant, literally or as a named destination.
    Written,
    /// Somebody on the other side: a capture, To, keyed digits, Refer-To, a 3xx Contact.
    Supplied,
}

/// The question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// What is to be called.
    pub wanted: Wanted<'a>,
    /// Who wants it.
    pub by: By,
    /// Where the call that wants it came from.
    pub origin: Origin,
    /// Who chose the digits.
    pub digits: Digits,
}

/// What becomes of emergency numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emergency {
    /// They go out over this trunk.
    Route(String),
    /// They are refused.
    Reject,
}

/// A trunk as the gate sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Hosts it is reached at: a raw URI to one of them is a trunk call too.
    pub hosts: Vec<String>,
    /// Lower goes first.
    pub priority: u16,
    /// Its share among trunks of the same priority; 0 only when nobody else is there.
    pub weight: u16,
    /// Whether it answered when asked last.
    pub up: bool,
    /// Its country, where it differs from the policy's.
    pub country: Option<&'static Country>,
}

/// What a tenant, or the node by its own files, may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allowed and forbidden prefixes; empty allows nothing.
    pub prefixes: Prefixes,
    /// Numbers, in E.164, that a call from outside may be put through to.
    pub forward_to: Vec<String>,
    /// Where its national numbers belong.
    pub country: Option<&'static Country>,
    /// Emergency numbers; `None` was never decided and refuses.
    pub emergency: Option<Emergency>,
    /// Whether a 3xx of the far side is followed.
    pub redirects: bool,
    /// These are the rules of the operator's own files: what is redirected by them may go to a SIP URI that no trunk has.
    pub operator: bool,
    /// The longest a leg lasts; none = [`MAX_DURATION`].
    pub max_duration: Option<Duration>,
    /// Its trunks.
    pub trunks: Vec<Outlet>,
    /// Which of equals goes first; any number, a new one for each call.
    pub draw: u64,
}

/// Leave to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The way.
    pub way: Way,
    /// An emergency call: admission and pacing do not apply.
    pub emergency: bool,
    /// The longest the leg may last.
    pub max_duration: Duration,
}

/// The way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Over these trunks, one after the other.
    Trunks {
        /// E.164, or the emergency code.
        number: String,
        /// Names, the first to try first.
        trunks: Vec<String>,
    },
    /// To one of our phones.
    Extension(String),
    /// To the URI as written.
    Uri,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither a number nor anything else that can be called.
    #[error("this is not a number that can be dialled")]
    NotANumber,
    /// No prefix allows it.
    #[error("no prefix of the outbound policy allows this number")]
    NotAllowed,
    /// From outside back out over a trunk.
    #[error("a call from outside may not go out over a trunk: the number is not in forward_to")]
    Hairpin,
    /// An emergency number, and no way for it from here.
    #[error("emergency numbers go out only by an explicit route, from one of our own phones")]
    Emergency,
    /// Nobody decided what becomes of emergency numbers.
    #[error("`emergency` is not set: outbound stays off")]
    EmergencyUnset,
    /// A 3xx, and those are not followed.
    #[error("redirection is off")]
    RedirectOff,
    /// A raw URI from somebody who may not name one.
    #[error("only a dialplan may name a SIP URI")]
    ForeignUri,
    /// There is no trunk of that name, or none at all.
    #[error("there is no such trunk")]
    NoTrunk,
    /// Every trunk is down.
    #[error("every trunk is down")]
    TrunksDown,
}

impl Refusal {
    /// The SIP status that says it to whoever asked.
    pub fn sip_status(self) -> u16 {
        match self {
            Refusal::NotANumber => 484,
            Refusal::NoTrunk => 404,
            Refusal::TrunksDown => 503,
            Refusal::NotAllowed
            | Refusal::Hairpin
            | Refusal::Emergency
            | Refusal::EmergencyUnset
            | Refusal::RedirectOff
            | Refusal::ForeignUri => 403,
        }
    }

    /// A stable word for records and errors.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::NotANumber => "not_a_number",
            Refusal::NotAllowed => "outbound_not_allowed",
            Refusal::Hairpin => "hairpin",
            Refusal::Emergency => "emergency",
            Refusal::EmergencyUnset => "emergency_unset",
            Refusal::RedirectOff => "redirect_off",
            Refusal::ForeignUri => "foreign_uri",
            Refusal::NoTrunk => "no_trunk",
            Refusal::TrunksDown => "trunks_down",
        }
    }
}

impl<'a> Wanted<'a> {
    /// Reads `trunk/NAME/NUMBER`, `user/NAME`, `sip:user@host`, `tel:NUMBER` and a bare number.
    pub fn parse(text: &'a str) -> Option<Wanted<'a>> {
        if let Some(rest) = text.strip_prefix("trunk/") {
            let (trunk, number) = rest.split_once('/')?;
            return Some(Wanted::OnTrunk { trunk, number });
        }
        if let Some(user) = text.strip_prefix("user/") {
            return Some(Wanted::Extension(user));
        }
        match text.split_once(':') {
            Some((scheme, rest)) if is_sip(scheme) => Some(uri(rest)),
            Some((scheme, number)) if scheme.eq_ignore_ascii_case("tel") => {
                Some(Wanted::Number(number))
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("urn") => Some(Wanted::Number(text)),
            Some(_) => None,
            None => Some(Wanted::Number(text)),
        }
    }

    /// What would be dialled, where that can be a number.
    fn digits(self) -> Option<&'a str> {
        match self {
            Wanted::Number(number) | Wanted::OnTrunk { number, .. } => Some(number),
            Wanted::Extension(user) => Some(user),
            Wanted::Uri { user, .. } => user,
        }
    }
}

fn is_sip(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

fn uri(rest: &str) -> Wanted<'_> {
    let (user, host) = match rest.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let host = host.split([';', '?']).next().unwrap_or(host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    // `sip:911:x@host` and `sip:911;phone-context=…@host` dial 911 just the same.
    let user = user.map(|user| user.split([':', ';']).next().unwrap_or(user));
    Wanted::Uri { user, host }
}

/// Whether this may be called, and how.
///
/// # Errors
/// [`Refusal`]: the reason, for the record and for whoever asked.
pub fn may_dial(ask: &Ask<'_>, policy: &Policy) -> Result<Route, Refusal> {
    if ask.by == By::Redirect && !policy.redirects {
        return Err(Refusal::RedirectOff);
    }
    if let Some(code) = emergency_of(ask, policy) {
        return emergency_call(ask, policy, code);
    }
    let way = match ask.wanted {
        Wanted::Extension(user) => Way::Extension(user.to_owned()),
        Wanted::Number(number) => over_trunks(ask, policy, number, None)?,
        Wanted::OnTrunk { trunk, number } => over_trunks(ask, policy, number, Some(trunk))?,
        Wanted::Uri { user, host } => raw_uri(ask, policy, user, host)?,
    };
    Ok(policy.route(way, false))
}

/// Whether the digits are an emergency number in the policy's country or that of a trunk they
/// could leave by.
fn emergency_of(ask: &Ask<'_>, policy: &Policy) -> Option<String> {
    let digits = ask.wanted.digits()?;
    let own = country::emergency(digits, policy.country).filter(|code| {
        // A raw URI may name a PBX's extension 100; only what is an emergency nearly everywhere counts.
        let raw = matches!(ask.wanted, Wanted::Uri { .. });
        !raw || policy.country.is_some() || NEARLY_EVERYWHERE.contains(&code.as_str())
    });
    own.or_else(|| {
        let mut abroad = policy.trunks.iter().filter_map(|trunk| trunk.country);
        abroad.find_map(|country| country::emergency(digits, Some(country)))
    })
    // An extension that happens to be called 110 is a phone of ours, not the police.
    .filter(|_| !matches!(ask.wanted, Wanted::Extension(_)))
}

fn emergency_call(ask: &Ask<'_>, policy: &Policy, code: String) -> Result<Route, Refusal> {
    if ask.by != By::Dialplan || ask.origin != Origin::Internal {
        return Err(Refusal::Emergency);
    }
    match &policy.emergency {
        None => Err(Refusal::EmergencyUnset),
        Some(Emergency::Reject) => Err(Refusal::Emergency),
        // The trunk is tried whether or not it answered our last question.
        Some(Emergency::Route(trunk)) if policy.outlet(trunk).is_some() => {
            let trunks = vec![trunk.clone()];
            let number = code;
            Ok(policy.route(Way::Trunks { number, trunks }, true))
        }
        Some(Emergency::Route(_)) => Err(Refusal::NoTrunk),
    }
}

fn over_trunks(
    ask: &Ask<'_>,
    policy: &Policy,
    number: &str,
    only: Option<&str>,
) -> Result<Way, Refusal> {
    let plan = NumberPlan::of_country(policy.country);
    let number = plan.dialled(number).ok_or(Refusal::NotANumber)?;
    policy.allows(ask, &number)?;
    let trunks = policy.order(only)?;
    Ok(Way::Trunks { number, trunks })
}

/// A raw URI is for the one who wrote the files, and never a way around the rules for trunks.
fn raw_uri(ask: &Ask<'_>, policy: &Policy, user: Option<&str>, host: &str) -> Result<Way, Refusal> {
    let trusted = matches!(ask.by, By::Dialplan | By::Fallback);
    let reaches = |trunk: &&Outlet| trunk.hosts.iter().any(|h| h.eq_ignore_ascii_case(host));
    if let Some(trunk) = policy.trunks.iter().find(reaches) {
        return over_trunks(ask, policy, user.unwrap_or_default(), Some(&trunk.name));
    }
    // Who switched redirection on in his own files trusts those whom he calls, but no caller from outside.
    let redirected = ask.by == By::Redirect && policy.operator && ask.origin != Origin::Public;
    match (trusted, ask.digits) {
        (false, _) if redirected => redirected_uri(ask, policy, user.unwrap_or_default()),
        (true, Digits::Written) => Ok(Way::Uri),
        (true, Digits::Supplied) if ask.origin != Origin::Public => Ok(Way::Uri),
        (true, Digits::Supplied) | (false, _) => Err(Refusal::ForeignUri),
    }
}

/// A carrier has more addresses than a trunk names, and some ask nobody from our address for a password: a number needs its prefix
/// wherever a 3xx says that it is.
fn redirected_uri(ask: &Ask<'_>, policy: &Policy, user: &str) -> Result<Way, Refusal> {
    let named = user.is_empty() || user.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !named {
        let plan = NumberPlan::of_country(policy.country);
        let number = plan.dialled(user).ok_or(Refusal::NotANumber)?;
        policy.allows(ask, &number)?;
    }
    Ok(Way::Uri)
}

impl Policy {
    fn route(&self, way: Way, emergency: bool) -> Route {
        let max_duration = self.max_duration.unwrap_or(MAX_DURATION);
        Route {
            way,
            emergency,
            max_duration,
        }
    }

    fn outlet(&self, name: &str) -> Option<&Outlet> {
        self.trunks.iter().find(|trunk| trunk.name == name)
    }

    /// Prefixes for everybody; from outside also the list of numbers to put through to.
    fn allows(&self, ask: &Ask<'_>, number: &str) -> Result<(), Refusal> {
        if !self.prefixes.is_empty() && self.emergency.is_none() {
            return Err(Refusal::EmergencyUnset);
        }
        let listed = self.forward_to.iter().any(|listed| listed == number);
        let outside = ask.origin == Origin::Public || ask.by == By::Diversion;
        if outside && (ask.digits == Digits::Supplied || !listed) {
            return Err(Refusal::Hairpin);
        }
        if self.prefixes.allow(number) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// Trunks that are up, by priority; among equals each goes first as often as its weight says.
    fn order(&self, only: Option<&str>) -> Result<Vec<String>, Refusal> {
        let named = |trunk: &&Outlet| only.is_none_or(|name| trunk.name == name);
        let mut found: Vec<&Outlet> = self.trunks.iter().filter(named).collect();
        if found.is_empty() {
            return Err(Refusal::NoTrunk);
        }
        found.retain(|trunk| trunk.up);
        if found.is_empty() {
            return Err(Refusal::TrunksDown);
        }
        found.sort_by_key(|trunk| trunk.priority);
        let mut draw = self.draw;
        let groups = found.chunk_by_mut(|a, b| a.priority == b.priority);
        groups.for_each(|group| shuffle(group, &mut draw));
        Ok(found.iter().map(|trunk| trunk.name.clone()).collect())
    }
}

/// RFC 2782's way with weights: draw one after the other, each with its share of what is left.
fn shuffle(group: &mut [&Outlet], draw: &mut u64) {
    for at in 0..group.len() {
        let rest = group.get_mut(at..).unwrap_or_default();
        let total: u64 = rest.iter().map(|trunk| u64::from(trunk.weight)).sum();
        *draw = draw
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let Some(mut point) = (*draw >> 33).checked_rem(total) else {
            continue;
        };
        let drawn = rest.iter().position(|trunk| {
            let weight = u64::from(trunk.weight);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        });
        rest.swap(0, drawn.unwrap_or(0));
    }
}
