//! A way opened: what one INVITE needs, and the trunk's turn that it has.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use call_core::dialplan;
use sip_core::{
    dialog::{DialogConfig, OutboundCall},
    digest::Login,
    flow::Flow,
    locate::Wanted,
    offer_answer::MediaAddress,
    value::{NameAddr, Uri},
};

use super::{Asker, NoPlace, Shown, Way, broken};
use crate::{
    next_hop::Hops,
    profile::transport_of,
    registrar::Destination,
    services::{Line, Services},
    trunk_book::{TrunkLine, Turn},
};

/// Where one INVITE can be sent, now.
pub struct Place {
    /// The profile, its sockets and its listener.
    pub line: Line,
    /// The Request-URI.
    pub uri: Uri,
    /// To, when it is not the Request-URI.
    pub to: Option<NameAddr>,
    /// From, without tag.
    pub from: NameAddr,
    /// Further headers, such as P-Asserted-Identity.
    pub headers: Vec<(String, String)>,
    /// Values of Route headers.
    pub route: Vec<String>,
    /// Socket and address of its first target.
    pub flow: Flow,
    /// Whether there are more.
    pub more: bool,
    /// The others, for when the first is out of order.
    pub hops: Option<Hops>,
    /// What its challenges are answered with.
    pub login: Option<Login>,
    /// The trunk it goes over.
    pub trunk: Option<String>,
    /// The address of record of the phone it goes to.
    pub phone: Option<String>,
    /// Its place among the trunk's calls: kept while the call lives.
    pub turn: Option<Turn>,
}

/// Where a request goes: the way there, opened as far as its first target.
struct Reached {
    line: Line,
    flow: Flow,
    more: bool,
    hops: Option<Hops>,
}

impl Place {
    /// The INVITE.
    pub fn call(&self, media: MediaAddress, ring_for: Duration, max_forwards: u8) -> OutboundCall {
        OutboundCall {
            target: self.uri.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            flow: self.flow,
            route: self.route.clone(),
            media,
            delayed_offer: false,
            headers: self.headers.clone(),
            ring_timeout: Some(ring_for),
            max_forwards,
        }
    }

    /// Its dialog.
    pub fn config(&self) -> DialogConfig {
        DialogConfig {
            more_targets: self.more,
            login: self.login.clone(),
            ..self.line.profile.dialog_config(&self.flow)
        }
    }
}

/// Opens the first way that can be had, and gives those behind it. On a trunk it waits for its turn.
///
/// # Errors
/// None can be had: why the last cannot.
pub async fn open_first(
    services: &Arc<Services>,
    asker: &Asker,
    mut ways: VecDeque<Way>,
) -> Result<(Place, VecDeque<Way>), NoPlace> {
    let mut why = NoPlace::none();
    while let Some(way) = ways.pop_front() {
        match open(services, asker, way).await {
            Ok(place) => return Ok((place, ways)),
            Err(no) => {
                tracing::info!(why = no.why, left = ways.len(), "a way is closed");
                why = no;
            }
        }
    }
    Err(why)
}

/// Opens all ways that can be had, each by itself.
///
/// # Errors
/// None can be had: why the last cannot.
pub async fn open_all(
    services: &Arc<Services>,
    asker: &Asker,
    ways: VecDeque<Way>,
) -> Result<Vec<Place>, NoPlace> {
    let mut places = Vec::new();
    let mut why = NoPlace::none();
    for way in ways {
        match open(services, asker, way).await {
            Ok(place) => places.push(place),
            Err(no) => why = no,
        }
    }
    match places.is_empty() {
        true => Err(why),
        false => Ok(places),
    }
}

/// Makes a way a place.
///
/// # Errors
/// The trunk is busy, or it cannot be reached.
async fn open(services: &Arc<Services>, asker: &Asker, way: Way) -> Result<Place, NoPlace> {
    match way {
        Way::Uri(uri) => at_uri(services, asker, uri).await,
        Way::Phone { aor, destination } => at_phone(services, asker, &aor, *destination).await,
        Way::Trunk {
            line,
            number,
            paced,
        } => over_trunk(services, asker, &line, &number, paced).await,
    }
}

async fn at_uri(services: &Arc<Services>, asker: &Asker, uri: Uri) -> Result<Place, NoPlace> {
    let own = asker.line.clone();
    let line = own.or_else(|| services.lines.all().into_iter().next());
    let line = line.ok_or_else(|| NoPlace::lost("no profile is up to call from"))?;
    let wanted = Wanted::of(&uri).map_err(|_| broken(&uri.to_string()))?;
    let reached = reach(line, wanted, None).await?;
    let host = reached.line.profile.announced_ip(&reached.flow).to_string();
    let from = shown(&asker.caller, &host).ok_or_else(|| broken(&asker.caller.user))?;
    Ok(place(reached, uri, from))
}

async fn at_phone(
    services: &Arc<Services>,
    asker: &Asker,
    aor: &str,
    phone: Destination,
) -> Result<Place, NoPlace> {
    let line = services.lines.get(&phone.profile);
    let line = line.ok_or_else(|| NoPlace::lost(format!("{} is not up", phone.profile)))?;
    let reached = match phone.flow {
        Some(flow) => Reached {
            line,
            flow,
            more: false,
            hops: None,
        },
        None => reach(line, wanted_of(&phone)?, None).await?,
    };
    let domain = aor.rsplit_once('@').map_or(aor, |(_, domain)| domain);
    let from = shown(&asker.caller, domain).ok_or_else(|| broken(&asker.caller.user))?;
    let to = Uri::parse(&format!("sip:{aor}").into()).and_then(|uri| NameAddr::new(None, &uri));
    Ok(Place {
        route: phone.route,
        to: to.ok(),
        phone: Some(aor.to_owned()),
        ..place(reached, phone.target, from)
    })
}

/// The first edge on its Path, else the Contact (RFC 3327 §5.3).
fn wanted_of(phone: &Destination) -> Result<Wanted, NoPlace> {
    let first = phone.route.first().cloned();
    let first = first.and_then(|route| NameAddr::parse(&route.into()).ok());
    let hop = first.as_ref().map_or(&phone.target, NameAddr::uri);
    Wanted::of(hop).map_err(|_| broken(&hop.to_string()))
}

async fn over_trunk(
    services: &Arc<Services>,
    asker: &Asker,
    trunk: &TrunkLine,
    number: &str,
    paced: bool,
) -> Result<Place, NoPlace> {
    let line = services.lines.get(&trunk.profile);
    let line = line.ok_or_else(|| NoPlace::lost(format!("{} is not up", trunk.profile)))?;
    let uri = trunk.target(number).ok_or_else(|| broken(number))?;
    let turn = match paced {
        true => Some(turn(services, trunk).await?),
        false => None,
    };
    let proxy = trunk.settings.proxy.clone().unwrap_or_default();
    let wanted = Wanted::at(&proxy).map_err(|_| broken(&proxy))?;
    let wanted = wanted.over(trunk.settings.transport.map(transport_of));
    let name = trunk.settings.tls_server_name.as_deref();
    let reached = reach(line, wanted, name).await?;
    let host = reached.line.profile.announced_ip(&reached.flow).to_string();
    let caller = &asker.caller;
    let known = dialplan::e164(&caller.user);
    let named = trunk.named(
        known.as_deref(),
        caller.name.as_deref(),
        caller.hidden,
        &host,
    );
    let named = named.ok_or_else(|| broken(&caller.user))?;
    Ok(Place {
        headers: named.headers,
        login: trunk.answers(),
        trunk: Some(trunk.name.clone()),
        turn,
        ..place(reached, uri, named.from)
    })
}

/// A place in the trunk's line, and the time until it is due.
async fn turn(services: &Services, trunk: &TrunkLine) -> Result<Turn, NoPlace> {
    let clock = services.clock;
    let turn = services.trunk_book.turn(&trunk.name, clock.now())?;
    tokio::time::sleep_until(clock.instant(turn.at)).await;
    Ok(turn)
}

/// From; nobody, where the caller does not want to be known (RFC 3323 §4.1.1.3).
fn shown(caller: &Shown, host: &str) -> Option<NameAddr> {
    if caller.hidden {
        let nobody = Uri::sip(Some("anonymous"), "anonymous.invalid", None).ok()?;
        return NameAddr::new(Some("Anonymous"), &nobody).ok();
    }
    let uri = Uri::sip(Some(&caller.user), host, None).ok()?;
    let named = NameAddr::new(caller.name.as_deref(), &uri);
    named.or_else(|_| NameAddr::new(None, &uri)).ok()
}

fn place(reached: Reached, uri: Uri, from: NameAddr) -> Place {
    Place {
        line: reached.line,
        uri,
        to: None,
        from,
        headers: Vec::new(),
        route: Vec::new(),
        flow: reached.flow,
        more: reached.more,
        hops: reached.hops,
        login: None,
        trunk: None,
        phone: None,
        turn: None,
    }
}

/// The way to the next hop (RFC 3263).
async fn reach(line: Line, wanted: Wanted, name: Option<&str>) -> Result<Reached, NoPlace> {
    let hops = Hops::find(&line.profile, &line.wire, wanted, name).await;
    let mut hops = hops.map_err(NoPlace::lost)?;
    let Some(hop) = hops.next().await else {
        return Err(NoPlace::lost(hops.why().to_owned()));
    };
    Ok(Reached {
        line,
        flow: hop.flow,
        more: hop.more,
        hops: Some(hops),
    })
}
