//! Trunks against their carriers, and what may be called: what costs money when it is wrong.

use call_core::dialing::{Emergency, Prefixes};
use call_core::document::{Document, Fault, Severity};

use super::Read;
use crate::{Carrier, Profile, Server, Trunk};

/// Fills each trunk from the carrier it names.
pub(crate) fn complete(
    document: &Document,
    profile: &mut Profile,
    carriers: &[Carrier],
    faults: &mut Vec<Fault>,
) {
    for (at, trunk) in profile.trunks.iter_mut().enumerate() {
        let Some(name) = &trunk.carrier else { continue };
        match carriers.iter().find(|carrier| carrier.name == *name) {
            Some(carrier) => {
                trunk.complete(carrier);
                shared(document, at, trunk, carrier, faults);
            }
            None => {
                let message = format!("there is no carrier `{name}`");
                let fault = document.fault(&format!("/trunk/{at}/carrier"), message);
                let names: Vec<&str> = carriers.iter().map(|c| c.name.as_str()).collect();
                faults.push(fault.hint(format!("there is: {}", names.join(", "))));
            }
        }
    }
}

/// Whether more than the source decides that a call belongs to this trunk.
pub(crate) fn is_told_apart(trunk: &Trunk) -> bool {
    trunk.tenant.is_some() || !trunk.hosts.is_empty() || !trunk.headers.is_empty()
}

/// An address that a carrier sends every customer's calls from proves nothing.
fn shared(
    document: &Document,
    at: usize,
    trunk: &Trunk,
    carrier: &Carrier,
    faults: &mut Vec<Fault>,
) {
    if !carrier.shared || is_told_apart(trunk) || trunk.sources.is_empty() {
        return;
    }
    let message = format!(
        "{} sends other customers' calls from the same addresses",
        carrier.name
    );
    let fault = document.fault(&format!("/trunk/{at}/carrier"), message);
    let hint = match &carrier.account_header {
        Some(header) => format!("headers = {{ {header} = \"…\" }} tells yours apart"),
        None => "tenant = \"…\" or hosts = [\"…\"] tells yours apart".to_owned(),
    };
    faults.push(Fault {
        severity: Severity::Warning,
        ..fault.hint(hint)
    });
}

/// Outbound without a decision about emergency numbers does not start.
pub(crate) fn policy(server: &Read<Server>, profiles: &[Read<Profile>], faults: &mut Vec<Fault>) {
    let outbound = &server.value.outbound;
    let on = !Prefixes::new(&outbound.prefixes).is_empty();
    match outbound.emergency() {
        None if on => {
            let message = "outbound is on, but nothing says what becomes of emergency numbers";
            let fault = server.document.fault("/outbound/prefixes", message);
            faults.push(fault.hint("emergency = \"route:TRUNK\" or \"reject\" in [outbound]"));
        }
        Some(Emergency::Route(name)) => route(server, profiles, &name, faults),
        Some(Emergency::Reject) | None => {}
    }
}

fn route(server: &Read<Server>, profiles: &[Read<Profile>], name: &str, faults: &mut Vec<Fault>) {
    let mut trunks = profiles.iter().flat_map(|profile| &profile.value.trunks);
    let message = match trunks.find(|trunk| trunk.name == name) {
        Some(trunk) if trunk.proxy.is_some() => return,
        Some(_) => format!("trunk `{name}` has no `proxy`: it cannot be called"),
        None => format!("there is no trunk `{name}`"),
    };
    let fault = server.document.fault("/outbound/emergency", message);
    faults.push(fault);
}
