//! Who is registered here, and everybody who may: the node's registrar.
//!
//! Bindings live in memory, are kept sealed on disk (a restart finds them again), and are reported to
//! the office, so that other switches know where a phone is. The switch that took the REGISTER keeps
//! its flow.

mod directory;
mod keep;
mod report;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use control_api::envelope::NodeSeal;
use model::{NodeId, TenantId};
use sip_core::{
    flow::{Flow, Transport},
    message::Request,
    registrar::{Answer, Binding, Place, Registrar as Machine, RegistrarConfig},
    value::Uri,
};

pub use directory::{Directory, Identity};

use crate::{
    clock::Clock,
    journal::NodeKey,
    office::{Office, SnapshotKeeper},
};

/// How long the office may take to say where a phone is.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How often what changed is written and reported.
const ROUND: Duration = Duration::from_millis(500);

/// One way to a registered phone.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The Request-URI: the Contact as it was registered.
    pub target: Uri,
    /// Path values, in the order of a Route.
    pub route: Vec<String>,
    /// The flow its REGISTER came over; none: to be found as any URI.
    pub flow: Option<Flow>,
    /// The profile it is reached over.
    pub profile: Arc<str>,
}

/// What a registrar is made of.
pub struct Parts {
    /// Limits of lives and numbers.
    pub config: RegistrarConfig,
    /// The clock.
    pub clock: Clock,
    /// Extensions.
    pub snapshots: SnapshotKeeper,
    /// Who hears of our bindings.
    pub office: Office,
    /// This switch.
    pub node: NodeId,
    /// Opens the snapshot's secrets.
    pub seal: NodeSeal,
    /// Where bindings are kept.
    pub file: PathBuf,
    /// What they are sealed with.
    pub key: NodeKey,
}

/// See the module.
pub struct Registrar {
    parts: Parts,
    machine: Mutex<Machine>,
    directory: ArcSwap<Directory>,
}

impl Registrar {
    /// Starts with what was kept.
    pub fn open(parts: Parts) -> Arc<Self> {
        let mut machine = Machine::new(parts.config.clone());
        keep::restore(&parts, &mut machine);
        let directory = Directory::of(&parts.snapshots.current(), parts.seal.clone());
        Arc::new(Self {
            machine: Mutex::new(machine),
            directory: ArcSwap::from_pointee(directory),
            parts,
        })
    }

    /// Who may register and call.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Carries out a REGISTER of somebody who may.
    pub fn register(&self, place: &Place<'_>, request: &Request) -> Answer {
        let now = self.parts.clock.now();
        self.lock().register(now, place, request)
    }

    /// A stream of a profile is closed.
    pub fn connection_lost(&self, profile: &str, connection: u64) {
        self.lock().connection_lost(profile, connection);
    }

    /// `1001`, or `1001@pbx.example`, as somebody of this tenant and domain means it: the address of
    /// an extension. None when there is no such extension for them.
    pub fn aor(
        &self,
        name: &str,
        tenant: Option<TenantId>,
        domain: Option<&str>,
    ) -> Option<String> {
        self.directory().aor(name, tenant, domain)
    }

    /// Every way to an address, the most wanted first. What is not registered here is asked of the
    /// office.
    pub async fn bindings_of(&self, aor: &str) -> Vec<Destination> {
        let here = self.here(aor);
        if !here.is_empty() {
            return here;
        }
        let asked = tokio::time::timeout(ASK_LIMIT, self.parts.office.registrations(aor)).await;
        match asked {
            Ok(Ok(known)) => report::elsewhere(&known, self.parts.node),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the office does not say where a phone is");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    fn here(&self, aor: &str) -> Vec<Destination> {
        let now = self.parts.clock.now();
        let machine = self.lock();
        let bindings = machine.bindings_of(now, aor).into_iter();
        bindings.filter_map(destination).collect()
    }

    /// Every binding held here: address, Contact, source, seconds left.
    pub fn listing(&self) -> Vec<Listed> {
        let now = self.parts.clock.now();
        let machine = self.lock();
        let all = machine.all().flat_map(|(aor, bindings)| {
            bindings
                .iter()
                .map(move |binding| Listed::of(aor, binding, now))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| (&a.aor, &a.contact).cmp(&(&b.aor, &b.contact)));
        all
    }

    /// Keeps and reports what changes, and follows the snapshot; abort the task to stop.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.parts.snapshots.changes();
        // What came between the start and now counts as well.
        changes.mark_changed();
        let mut outbox = report::Outbox::default();
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.reread();
                }
                () = tokio::time::sleep(ROUND) => {}
            }
            let changed = self.changed();
            if !changed.is_empty() {
                self.keep().await;
            }
            outbox.add(changed);
            outbox.deliver(&self).await;
        }
    }

    /// A new snapshot: who is no longer an extension is no longer bound.
    fn reread(&self) {
        let snapshot = self.parts.snapshots.current();
        let directory = Arc::new(Directory::of(&snapshot, self.parts.seal.clone()));
        self.directory.store(directory.clone());
        let mut machine = self.lock();
        let gone = machine.all().map(|(aor, _)| aor.to_owned());
        let gone: Vec<_> = gone.filter(|aor| !directory.knows(aor)).collect();
        for aor in gone {
            machine.remove(&aor);
        }
    }

    fn changed(&self) -> Vec<String> {
        let now = self.parts.clock.now();
        let mut machine = self.lock();
        machine.handle_timeout(now);
        machine.take_changed()
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is gone must be opened anew; a datagram finds its way by the flow alone.
fn destination(binding: &Binding) -> Option<Destination> {
    let flow = binding.flow;
    let usable = flow.transport == Transport::Udp || flow.connection != 0;
    Some(Destination {
        target: Uri::parse(&binding.contact).ok()?,
        route: binding.path.iter().map(lossy).collect(),
        flow: usable.then_some(flow),
        profile: binding.profile.as_str().into(),
    })
}

fn lossy(bytes: &bytes::Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A binding as `status` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// `user@domain`.
    pub aor: String,
    /// The URI of its Contact.
    pub contact: String,
    /// Transport and address it came from.
    pub source: String,
    /// The profile.
    pub profile: String,
    /// What the phone calls itself.
    pub user_agent: String,
    /// Seconds left.
    pub expires_s: u64,
}

impl Listed {
    fn of(aor: &str, binding: &Binding, now: Duration) -> Self {
        let flow = binding.flow;
        Self {
            aor: aor.to_owned(),
            contact: lossy(&binding.contact),
            source: format!("{} {}", flow.transport.via_name(), flow.remote),
            profile: binding.profile.clone(),
            user_agent: binding.user_agent.clone(),
            expires_s: binding.left_s(now),
        }
    }
}

#[cfg(test)]
mod tests;
