//! Every trunk of this node, from its files and from the office, ready to be chosen from.
//!
//! The [`Directory`] is made anew whenever files or snapshot change and is never changed: whoever
//! holds one decides by one state of things. What must outlive that – how many calls a trunk has,
//! when it may take the next – is in the [`Gate`]s.

mod arrival;
mod gate;
mod leases;
mod line;
mod policy;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use control_api::envelope::NodeSeal;
use model::{
    Snapshot, TenantId, TrunkId,
    internal::{Leased, Share},
};
use tokio::sync::watch;

pub use arrival::{Arrived, Parties};
pub use gate::{Busy, Gate, Turn};
use leases::Leases;
pub use line::{TrunkLine, TrunkLogin};

/// The trunks of one moment.
#[derive(Default)]
pub struct Directory {
    lines: Vec<Arc<TrunkLine>>,
    /// Who owns a number, by E.164.
    owners: HashMap<String, TenantId>,
    /// What tenants may call; the node's own dialplans under `None`.
    policies: BTreeMap<Option<TenantId>, policy::Terms>,
}

/// See the module. One per node, shared.
#[derive(Default)]
pub struct TrunkBook {
    current: ArcSwap<Directory>,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    /// Our part of what the office's trunks and tenants take, as the office last said.
    share: Mutex<Option<Share>>,
    leases: Leases,
}

impl TrunkBook {
    /// A book without trunks; `file` keeps which trunks of the office are ours to register at.
    pub fn open(file: &Path) -> Self {
        Self {
            leases: Leases::open(file),
            ..Self::default()
        }
    }

    /// The trunks as they are now.
    pub fn current(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// Takes over what files and office say now.
    pub fn rebuild(&self, settings: &settings::Settings, snapshot: &Snapshot, seal: &NodeSeal) {
        let directory = Directory::of(settings, snapshot, seal);
        self.set_gates(&directory);
        self.current.store(Arc::new(directory));
    }

    /// Takes over our part of what all switches together may do, and at which of the office's trunks we register. While we
    /// take no new calls we are given none, and keep the share that we had for the calls we still have.
    pub fn lease(&self, leased: Leased) {
        self.leases.take(leased.registers);
        let share = leased.share;
        if share == Share::NONE {
            return;
        }
        let before = self.share().replace(share);
        if before != Some(share) {
            self.set_gates(&self.current());
        }
    }

    /// A trunk of the files is this switch's alone. Before the office has said anything there is nobody to share with.
    fn set_gates(&self, directory: &Directory) {
        let share = self.our_share();
        for line in &directory.lines {
            let ours = if line.id.is_some() {
                share
            } else {
                Share::WHOLE
            };
            self.gate(&line.name).set(&line.pace(), ours);
        }
    }

    /// Our part of a limit that all switches have together.
    pub fn our_share(&self) -> Share {
        self.share().unwrap_or(Share::WHOLE)
    }

    /// Whether this switch registers at a trunk. A trunk of the files is this switch's alone.
    pub fn registers(&self, line: &TrunkLine) -> bool {
        line.settings.register && line.id.is_none_or(|id| self.leases.has(id))
    }

    /// Tells when [`Self::registers`] may have changed.
    pub fn leases(&self) -> watch::Receiver<BTreeSet<TrunkId>> {
        self.leases.changes()
    }

    fn share(&self) -> MutexGuard<'_, Option<Share>> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a trunk for one call of ours: when it may go. The call keeps the [`Turn`] while
    /// it lives.
    ///
    /// # Errors
    /// [`Busy`]: too many calls, or too long a line. The next trunk is tried.
    pub fn turn(&self, trunk: &str, now: Duration) -> Result<Turn, Busy> {
        self.gate(trunk).take(now)
    }

    fn gate(&self, trunk: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(trunk.to_owned()).or_default().clone()
    }
}

impl Directory {
    fn of(settings: &settings::Settings, snapshot: &Snapshot, seal: &NodeSeal) -> Directory {
        let slug = |id: TenantId| snapshot.tenants.iter().find(|tenant| tenant.id == id);
        let id = |slug: &str| {
            let tenant = snapshot.tenants.iter().find(|tenant| tenant.slug == slug);
            tenant.map(|tenant| tenant.id)
        };
        let files = settings.profiles.iter().flat_map(|profile| {
            let trunks = profile.trunks.iter();
            trunks.filter_map(|trunk| TrunkLine::of_file(profile, trunk, id))
        });
        let office = snapshot.trunks.iter().filter_map(|entry| {
            let slug = &slug(entry.tenant)?.slug;
            TrunkLine::of_office(settings, entry, slug, seal)
        });
        let numbers = snapshot.numbers.iter();
        Directory {
            lines: files.chain(office).map(Arc::new).collect(),
            owners: numbers.map(|n| (n.e164.clone(), n.tenant)).collect(),
            policies: policy::all(settings, snapshot),
        }
    }

    /// The trunks of a profile.
    pub fn of_profile<'a>(
        &'a self,
        profile: &'a str,
    ) -> impl Iterator<Item = &'a Arc<TrunkLine>> + 'a {
        self.lines
            .iter()
            .filter(move |line| line.profile == profile)
    }

    /// A trunk by its name.
    pub fn line(&self, name: &str) -> Option<&Arc<TrunkLine>> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// Whether any trunk of a profile takes calls from there.
    pub fn admits(&self, profile: &str, source: IpAddr) -> bool {
        self.of_profile(profile)
            .any(|line| line.bits(source).is_some())
    }
}
