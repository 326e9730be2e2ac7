//! What every call needs and nobody owns alone.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use call_core::dialing::Policy;
use control_api::envelope::NodeSeal;
use local_speech::Models;
use model::{CallId, Fact, TenantId};
use providers::Providers;
use ractor::ActorRef;
use sip_core::tokens::TokenSource;
use tokio::{runtime::Handle, sync::broadcast};

use crate::{
    call,
    clock::{self, Clock},
    dialog_book::DialogBook,
    dossier::Dossier,
    entropy, gateway,
    journal::Journal,
    listener,
    media::Media,
    metrics::Metrics,
    next_hop::NextHop,
    office::{Office, RecordingUploader, SnapshotKeeper},
    profile::Profile,
    registrar::Registrar,
    rooms::Rooms,
    speech_cache::SpeechCache,
    stir::Stir,
    tap::{self, Tap},
    trunk,
    trunk_book::{TrunkBook, TrunkLine},
    wire::Wire,
};

/// Facts a slow watcher may lag behind before it is told to resynchronise.
const WATCH_BOUND: usize = 1_024;

/// A profile that is up: what dialling out over it needs.
#[derive(Clone)]
pub struct Line {
    /// The profile.
    pub profile: Arc<Profile>,
    /// Its sockets.
    pub wire: Arc<Wire>,
    /// Its listener.
    pub listener: listener::Cell,
}

/// See the module. One per node, shared.
pub struct Services {
    /// Monotonic time.
    pub clock: Clock,
    /// The media threads.
    pub media: Media,
    /// Facts on disk.
    pub journal: Journal,
    /// The office, when one is configured.
    pub office: Office,
    /// Numbers and agents.
    pub snapshots: SnapshotKeeper,
    /// Who is registered here, and who may be.
    pub registrar: Arc<Registrar>,
    /// Finished recordings on their way to the office.
    pub uploader: RecordingUploader,
    /// Recognisers, voices, language models.
    pub providers: Providers,
    /// Greetings, rendered once.
    pub speech_cache: Arc<SpeechCache>,
    /// The local models (voice activity for every call); absent when they are not installed.
    pub models: Option<Arc<Models>>,
    /// The local recogniser's pool, for its numbers.
    pub recogniser: Option<local_speech::Pool>,
    /// Threads for voice activity detection.
    pub ears: Handle,
    /// Server file, profiles, dialplans.
    pub settings: settings::Live,
    /// Live dialogs.
    pub book: Arc<DialogBook>,
    /// Live calls.
    pub calls: Registry,
    /// Who is in which room.
    pub rooms: Arc<Rooms>,
    /// Profiles that are up.
    pub lines: Lines,
    /// Every trunk, of files and office.
    pub trunk_book: Arc<TrunkBook>,
    /// Proofs of who calls.
    pub stir: Stir,
    /// Opens what the office sealed to this node.
    pub node_seal: NodeSeal,
    /// How the trunks are.
    pub trunks: Mutex<trunk::Healths>,
    /// How the registrations at trunks stand.
    pub gateways: Mutex<gateway::Gateways>,
    /// Numbers for `/metrics`.
    pub metrics: Metrics,
    /// Finds where requests go.
    pub next_hop: Arc<NextHop>,
    /// Where tags and branches come from.
    pub tokens: Mutex<TokenSource>,
    /// Whether new calls are taken (drain turns it off).
    pub draining: AtomicBool,
    /// Who looks at SIP messages.
    pub tap: Arc<Tap>,
    /// Facts as they happen.
    pub watch: broadcast::Sender<Arc<Fact>>,
    /// Where recordings are written first.
    pub spool: PathBuf,
}

impl Services {
    /// A channel of the bounded size that watchers get.
    pub fn watch_channel() -> broadcast::Sender<Arc<Fact>> {
        broadcast::channel(WATCH_BOUND).0
    }

    /// A token source of its own for one dialog or listener.
    pub fn fork_tokens(&self) -> TokenSource {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.fork()
    }

    /// Opens the dossier of a new conversation.
    pub fn open_dossier(&self) -> Arc<Dossier> {
        self.dossier_of(self.new_call())
    }

    /// The id of a conversation that begins now.
    pub fn new_call(&self) -> CallId {
        let unix_ms = u64::try_from(clock::unix_ms()).unwrap_or(0);
        CallId::new(unix_ms, entropy::u128())
    }

    /// Opens the dossier of a conversation that has its id already.
    pub fn dossier_of(&self, call: CallId) -> Arc<Dossier> {
        let watch = self.watch.clone();
        let watcher = Arc::new(move |fact: &Fact| {
            if watch.receiver_count() > 0 {
                let _ = watch.send(Arc::new(fact.clone()));
            }
        });
        Dossier::open(call, self.journal.clone(), self.clock, watcher)
    }

    /// Keeps how a trunk is; how it was before.
    pub fn trunk(
        &self,
        profile: &Arc<str>,
        name: &str,
        health: trunk::Health,
    ) -> Option<trunk::Health> {
        let mut trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        trunks.insert((profile.clone(), name.to_owned()), health)
    }

    /// A trunk is gone.
    pub fn forget_trunk(&self, profile: &Arc<str>, name: &str) {
        let mut trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        trunks.remove(&(profile.clone(), name.to_owned()));
        self.forget_gateway(profile, name);
    }

    /// We do not register at a trunk any more.
    pub fn forget_gateway(&self, profile: &Arc<str>, name: &str) {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways.remove(&(profile.clone(), name.to_owned()));
    }

    /// Keeps how a registration at a trunk stands; how it stood before.
    pub fn gateway(
        &self,
        profile: &Arc<str>,
        name: &str,
        gateway: gateway::Gateway,
    ) -> Option<gateway::Gateway> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        gateways.insert((profile.clone(), name.to_owned()), gateway)
    }

    /// Every registration at a trunk.
    pub fn gateways(&self) -> gateway::Gateways {
        let gateways = self.gateways.lock();
        gateways.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the trunks of a profile are.
    pub fn trunks_of(&self, profile: &str) -> Vec<(String, trunk::Health)> {
        let trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = trunks.iter().filter(|((of, _), _)| &**of == profile);
        mine.map(|((_, name), health)| (name.clone(), health.clone()))
            .collect()
    }

    /// Makes the trunks anew from what files and office say now.
    pub fn refresh_trunks(&self) {
        let (settings, snapshot) = (self.settings.current(), self.snapshots.current());
        self.trunk_book
            .rebuild(&settings, &snapshot, &self.node_seal);
        self.lines
            .all()
            .iter()
            .for_each(|line| self.open_gate(line));
    }

    /// Lets the packets of a profile's trunks of the office through to the parser.
    pub fn open_gate(&self, line: &Line) {
        let directory = self.trunk_book.current();
        let trunks = directory.of_profile(&line.profile.name);
        let office = trunks.filter(|trunk| trunk.tenant.is_some());
        let networks = office.flat_map(|trunk| trunk.settings.sources.iter().copied());
        line.wire.gate().trust(networks.collect());
    }

    /// What `tenant` may call; none = the node's own dialplans.
    pub fn dialing(&self, tenant: Option<TenantId>) -> Policy {
        let trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        let up = |line: &TrunkLine| {
            let health = trunks.get(&(line.profile.as_str().into(), line.name.clone()));
            health.is_none_or(|health| health.state != "failed")
        };
        let draw = u64::try_from(entropy::u128() >> 64).unwrap_or_default();
        self.trunk_book.current().policy(tenant, up, draw)
    }

    /// How much of SIP messages the timelines keep.
    pub fn ladder(&self) -> settings::Ladder {
        self.settings.current().server.trace.ladder
    }

    /// Whether new calls are refused because the node is about to go.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Sends copies of SIP messages where the server file says now. A collector that cannot be had is
    /// trouble of its own.
    pub fn copy_messages(&self, hep: &settings::Hep) {
        let key = hep.key.as_ref().map(|key| key.expose().to_owned());
        let open = |address| tap::Collector::open(address, hep.id, key);
        let collector = hep.collector.map(open).transpose();
        if let Err(error) = &collector {
            tracing::error!(%error, "no copies for the capture server");
        }
        self.tap.copy_to(collector.unwrap_or_default());
    }

    /// Whether a new call may come in now.
    pub fn accepting(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.journal.accepting()
    }

    /// Numbers of the media threads, for `/metrics`.
    pub fn media_numbers(&self) -> Vec<(&'static str, u64)> {
        let stats = self.media.stats();
        vec![
            ("legs", stats.legs as u64),
            ("lateness_p50_us", stats.lateness.p50_us),
            ("lateness_p99_us", stats.lateness.p99_us),
            ("lateness_p999_us", stats.lateness.p999_us),
            ("lateness_max_us", stats.lateness.max_us),
            ("ports_free", stats.ports.free as u64),
            ("ports_leased", stats.ports.leased as u64),
            ("ports_resting", stats.ports.resting as u64),
            ("ports_hurried", stats.ports.hurried),
            ("ports_exhausted", stats.ports.exhausted),
            ("evictions", stats.evictions),
            ("skipped_ticks", stats.skipped_ticks),
            ("rtcp_drops", stats.rtcp_drops),
            ("wakes", stats.wakes),
            ("reads", stats.reads),
            ("empty_reads", stats.empty_reads),
            ("busy_permille", stats.busy_permille.into()),
            ("opus_complexity", stats.complexity.into()),
            ("opus_complexity_changes", stats.complexity_changes),
        ]
    }

    /// Numbers of the journal, for `/metrics`.
    pub fn journal_numbers(&self) -> Vec<(&'static str, u64)> {
        let stats = self.journal.stats();
        let shipping = self.office.shipping();
        vec![
            ("live", stats.live),
            ("segments", stats.segments),
            ("write_errors", stats.write_errors),
            ("shipped", shipping.shipped.load(Ordering::Relaxed)),
            ("ship_failures", shipping.failures.load(Ordering::Relaxed)),
            (
                "dead_letters",
                shipping.dead_letters.load(Ordering::Relaxed),
            ),
            ("queued", stats.queued),
            ("written", stats.written),
            ("refused", stats.refused),
            ("corrupt", stats.corrupt),
            ("used_bytes", stats.used_bytes),
            ("total_bytes", stats.total_bytes),
            ("unacknowledged", stats.unacknowledged),
        ]
    }

    /// Numbers of the local recogniser, for `/metrics`.
    pub fn recogniser_numbers(&self) -> Vec<(&'static str, u64)> {
        let Some(pool) = &self.recogniser else {
            return Vec::new();
        };
        let counters = pool.counters();
        vec![
            ("finals", counters.finals_done),
            ("partials", counters.partials_done),
            ("partials_dropped", counters.partials_dropped),
            ("finals_refused", counters.finals_refused),
            ("panicked", counters.panicked),
        ]
    }

    /// The wall clock's schedule time for a call that starts now.
    pub fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(clock::unix_ms()).unwrap_or_default()
    }
}

/// Live calls by id.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<HashMap<CallId, Entry>>,
}

/// A live call.
#[derive(Clone)]
pub struct Entry {
    /// Its actor.
    pub actor: ActorRef<call::Msg>,
    /// Its facts.
    pub dossier: Arc<Dossier>,
    /// The profile it came over.
    pub profile: Arc<str>,
    /// The trunk it came over.
    pub trunk: Option<String>,
    /// Whose it is, as far as it was known when it came.
    pub tenant: Option<TenantId>,
    /// Calling party as received.
    pub from: String,
    /// Called party as received.
    pub to: String,
    /// When it came.
    pub since: Duration,
}

impl Registry {
    /// A call lives.
    pub fn enter(&self, entry: Entry) {
        self.lock().insert(entry.dossier.call(), entry);
    }

    /// A call is over.
    pub fn remove(&self, call: CallId) -> Option<Entry> {
        self.lock().remove(&call)
    }

    /// One call.
    pub fn get(&self, call: CallId) -> Option<Entry> {
        self.lock().get(&call).cloned()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Entry> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|entry| entry.dossier.call());
        all
    }

    /// How many live.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many live on one profile.
    pub fn on_profile(&self, profile: &str) -> usize {
        let entries = self.lock();
        entries.values().filter(|e| &*e.profile == profile).count()
    }

    /// How many live on one trunk.
    pub fn on_trunk(&self, trunk: &str) -> usize {
        let entries = self.lock();
        let on = |entry: &&Entry| entry.trunk.as_deref() == Some(trunk);
        entries.values().filter(on).count()
    }

    /// How many live of one tenant.
    pub fn of_tenant(&self, tenant: TenantId) -> usize {
        let entries = self.lock();
        let of = |entry: &&Entry| entry.tenant == Some(tenant);
        entries.values().filter(of).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Profiles that are up, by name.
#[derive(Default)]
pub struct Lines {
    up: Mutex<HashMap<Arc<str>, Line>>,
}

impl Lines {
    /// A profile is up.
    pub fn enter(&self, line: Line) {
        self.lock().insert(line.profile.name.clone(), line);
    }

    /// A profile is down.
    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<Line> {
        self.lock().get(name).cloned()
    }

    /// All that are up.
    pub fn all(&self) -> Vec<Line> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Line>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
