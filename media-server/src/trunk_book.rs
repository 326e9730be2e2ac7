//! Every trunk of this node, from its files and from the office, ready to be chosen from.
//!
//! The [`Directory`] is made anew whenever files or snapshot change and is never changed: whoever
//! holds one decides by one state of things. What must outlive that – how many calls a trunk has,
//! when it may take the next – is in the [`Gate`]s.

mod arrival;
mod gate;
mod line;
mod policy;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use control_api::envelope::NodeSeal;
use model::{Snapshot, TenantId, internal::Share};

pub use arrival::{Arrived, Parties};
pub use gate::{Busy, Gate, Turn};
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
    /// Our part of what the office's trunks take, as the office last said.
    share: Mutex<Option<Share>>,
}

impl TrunkBook {
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

    /// Takes over our part of what all switches together may place over the office's trunks. While we take no new calls we
    /// are given none, and keep what we had for the calls we still have.
    pub fn lease(&self, share: Share) {
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
        let share = self.share().unwrap_or(Share::WHOLE);
        for line in &directory.lines {
            let ours = if line.shared { share } else { Share::WHOLE };
            self.gate(&line.name).set(&line.pace(), ours);
        }
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
