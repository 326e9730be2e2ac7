//! What the office hears of our bindings, and what it knows of others'.

use std::collections::BTreeSet;

use model::{
    NodeId,
    internal::{RegisteredAddress, RegisteredContact, RegistrationReport, Registrations},
};
use sip_core::{registrar::Binding, value::Uri};

use super::{Destination, Registrar, keep::millis, lossy};
use crate::clock;

/// Addresses of one report.
const ADDRESSES: usize = 500;

/// Addresses whose change the office has not heard of.
#[derive(Default)]
pub(super) struct Outbox {
    /// The office knows everything before these.
    in_step: bool,
    waiting: BTreeSet<String>,
}

impl Outbox {
    pub(super) fn add(&mut self, changed: Vec<String>) {
        self.waiting.extend(changed);
    }

    /// Reports what waits; what the office does not take waits on.
    pub(super) async fn deliver(&mut self, registrar: &Registrar) {
        if !self.in_step {
            let machine = registrar.lock();
            let all = machine.all().map(|(aor, _)| aor.to_owned());
            self.waiting.extend(all);
        }
        while !self.in_step || !self.waiting.is_empty() {
            let batch: Vec<_> = self.waiting.iter().take(ADDRESSES).cloned().collect();
            let report = registrar.report(&batch, !self.in_step);
            if let Err(error) = registrar.parts.office.report_registrations(&report).await {
                tracing::debug!(%error, "registrations are not reported yet");
                // A report that may have been lost in the middle: begin anew.
                self.in_step = false;
                return;
            }
            self.in_step = true;
            for aor in &batch {
                self.waiting.remove(aor);
            }
        }
    }
}

impl Registrar {
    fn report(&self, aors: &[String], complete: bool) -> RegistrationReport {
        let (now, unix_ms) = (self.parts.clock.now(), clock::unix_ms());
        let machine = self.lock();
        let address = |aor: &String| RegisteredAddress {
            aor: aor.clone(),
            contacts: machine
                .bindings_of(now, aor)
                .into_iter()
                .map(|binding| {
                    let left = millis(binding.expires_at().saturating_sub(now));
                    contact(binding, unix_ms + left)
                })
                .collect(),
        };
        RegistrationReport {
            node: self.parts.node,
            complete,
            addresses: aors.iter().map(address).collect(),
        }
    }
}

fn contact(binding: &Binding, expires_unix_ms: i64) -> RegisteredContact {
    RegisteredContact {
        name: binding.name.clone(),
        contact: lossy(&binding.contact),
        path: binding.path.iter().map(lossy).collect(),
        profile: binding.profile.clone(),
        transport: binding.flow.transport.via_name().to_ascii_lowercase(),
        source: binding.flow.remote.to_string(),
        user_agent: binding.user_agent.clone(),
        expires_unix_ms,
    }
}

/// Ways to a phone whose flow another switch holds: by its Path, else by its Contact.
pub(super) fn elsewhere(known: &Registrations, us: NodeId) -> Vec<Destination> {
    let others = known.contacts.iter().filter(|held| held.node != us);
    others
        .filter_map(|held| {
            let contact = &held.contact;
            Some(Destination {
                target: Uri::parse(&contact.contact.clone().into()).ok()?,
                route: contact.path.clone(),
                flow: None,
                profile: contact.profile.as_str().into(),
            })
        })
        .collect()
}
