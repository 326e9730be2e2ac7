//! On whose behalf a call of ours calls somebody, and whom a far side means that names somebody: what the rules for outbound
//! calls judge by.

use std::net::IpAddr;

use call_core::dialing::{By, Origin};
use model::TenantId;
use sip_core::value::{NameAddr, Uri, uri::Scheme};

use super::{
    State,
    facing::{self, Order},
};
use crate::{
    services::Line,
    targets::{Asker, Shown},
};

/// The context of the node's own phones, by both its names.
const INTERNAL: [&str; 2] = ["internal", "default"];

/// Who wants to call, showing `from`. Agents and orders go by the rules of their tenant, a dialplan
/// of the files by those of the node.
pub(super) fn asker(state: &State, by: By, from: &str) -> Asker {
    let (args, parties) = (&state.args, state.parties());
    let identity = args.identity.as_ref();
    let own = from == parties.from;
    // A call for somebody who waits in another one goes by that one's rules, also where it is handed on.
    if let Some(meets) = args.facing.order().and_then(Order::meets) {
        return Asker {
            by,
            origin: origin(state),
            caller: Shown {
                user: from.to_owned(),
                ..Shown::default()
            },
            ..meets.asker.clone()
        };
    }
    Asker {
        by,
        origin: origin(state),
        rules: rules(state, by),
        tenant: identity
            .map(|identity| identity.tenant)
            .or(args.arrived.tenant),
        domain: identity.map(|identity| identity.domain.clone()),
        line: line(state),
        caller: Shown {
            user: from.to_owned(),
            name: parties.name.clone().filter(|_| own),
            hidden: parties.hidden && own,
        },
    }
}

fn rules(state: &State, by: By) -> Option<TenantId> {
    match by {
        By::Api | By::Agent => state.handing.tenant().or(state.args.arrived.tenant),
        By::Dialplan | By::Refer | By::Redirect | By::Diversion | By::Fallback => None,
    }
}

/// Where the one comes from on whose behalf we call: our own far side, or whom it has met.
pub(super) fn origin(state: &State) -> Origin {
    match state.met_outside {
        true => Origin::Public,
        false => came_from(state),
    }
}

/// Whoever is not known to be one of our phones is anybody; what a trunk brings is, whatever the profile it comes in over.
pub(super) fn came_from(state: &State) -> Origin {
    let args = &state.args;
    if let Some(meets) = args.facing.order().and_then(Order::meets) {
        return meets.asker.origin;
    }
    let inside = INTERNAL.contains(&args.profile.settings.context.as_str());
    let ours = args.identity.is_some() || (inside && args.arrived.trunk.is_none());
    match (args.facing.order(), ours) {
        (Some(_), _) => Origin::Office,
        (None, true) => Origin::Internal,
        (None, false) => Origin::Public,
    }
}

/// The profile of our own leg. A call of ours may not have one yet.
pub(super) fn line(state: &State) -> Option<Line> {
    let args = &state.args;
    let known = args.facing.order().is_none() || state.placing.flow().is_some();
    known.then(|| Line {
        profile: args.profile.clone(),
        wire: args.wire.clone(),
        listener: args.listener.clone(),
    })
}

/// On whose behalf a 3xx is followed: the owner of a phone of ours answers for where it sends a call, by his own rules.
pub(super) fn redirected(state: &State, asker: Asker, phone: Option<&str>) -> Asker {
    let directory = state.services().registrar.directory();
    let tenant = phone.and_then(|aor| directory.tenant_of(aor));
    let domain = phone.and_then(|aor| aor.rsplit_once('@'));
    Asker {
        by: By::Redirect,
        rules: tenant.or(asker.rules),
        tenant: tenant.or(asker.tenant),
        domain: domain.map(|(_, domain)| domain.to_owned()).or(asker.domain),
        ..asker
    }
}

/// The extensions that a phone of ours can name.
#[derive(Clone, Copy)]
pub(super) struct Extensions<'a> {
    /// Whose.
    pub(super) tenant: Option<TenantId>,
    /// The domain in which a name is looked for first.
    pub(super) domain: Option<&'a str>,
}

impl<'a> Extensions<'a> {
    /// Those that the phone of this address of record can name.
    pub(super) fn of(aor: &'a str, tenant: Option<TenantId>) -> Self {
        let domain = aor.rsplit_once('@').map(|(_, domain)| domain);
        Self { tenant, domain }
    }
}

/// Whom a Refer-To or the Contact of a 3xx means: `user/NAME` or a number where it names us, else a URI for the gate to judge.
/// Only a phone of ours means our `extensions`. None for what nobody may ask for.
pub(super) fn target(
    state: &State,
    extensions: Option<Extensions<'_>>,
    to: &NameAddr,
) -> Option<String> {
    let uri = to.uri();
    match uri.scheme() {
        Scheme::Tel => return Some(uri.as_text().into_owned()),
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Other(_) => return None,
    }
    let method = uri.param("method");
    if method.is_some_and(|method| !method.eq_ignore_ascii_case(b"INVITE")) {
        return None;
    }
    let user = uri.user()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+*#._-".contains(&byte);
    if user.is_empty() || !user.bytes().all(plain) {
        return None;
    }
    if !is_us(state, uri) {
        return elsewhere(uri, &user);
    }
    let registrar = &state.services().registrar;
    let ours = extensions.and_then(|of| registrar.aor(&user, of.tenant, of.domain));
    Some(match ours {
        Some(_) => format!("user/{user}"),
        None => user,
    })
}

/// The URI without what a stranger has no business to say in our INVITE: of its parameters the transport alone.
fn elsewhere(uri: &Uri, user: &str) -> Option<String> {
    let scheme = match uri.scheme() {
        Scheme::Sips => "sips",
        _ => "sip",
    };
    let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
    let known = ["udp", "tcp", "tls", "ws", "wss"];
    let over = uri.param("transport").unwrap_or_default();
    let over = known
        .iter()
        .find(|known| known.as_bytes().eq_ignore_ascii_case(over));
    let over = over.map_or(String::new(), |over| format!(";transport={over}"));
    Some(format!("{scheme}:{user}@{}{port}{over}", uri.host()?))
}

/// Whether the URI is one of ours: a domain of our extensions, or an address that some profile listens at.
fn is_us(state: &State, uri: &Uri) -> bool {
    let Some(host) = uri.host() else {
        return false;
    };
    let services = state.services();
    let flow = facing::flow(state);
    let local = flow.map(|flow| flow.local.ip());
    let at = |wanted: IpAddr, listens: IpAddr| {
        wanted == listens || (listens.is_unspecified() && Some(wanted) == local)
    };
    let lines = services.lines.all();
    let mut places = lines.iter().flat_map(|line| {
        let announced = flow.map(|flow| line.profile.announced_ip(&flow));
        let listens = line.profile.listen().into_iter();
        listens.map(move |(transport, listens)| (transport, listens, announced))
    });
    let domain = services.registrar.directory().has_domain(&host.to_string());
    let port_is_ours = places.any(|(transport, listens, announced)| {
        let ip = host.ip();
        let here = ip.is_some_and(|ip| at(ip, listens.ip()) || Some(ip) == announced);
        let port = uri.port().unwrap_or_else(|| transport.default_port());
        listens.port() == port && (here || domain)
    });
    port_is_ours || (domain && uri.port().is_none())
}
