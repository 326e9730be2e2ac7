//! Starting and stopping a node, in order.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use control_api::envelope::NodeSeal;
use control_api::envelope::{KeySource, Keys};
use local_speech::{Models, Pool, PoolConfig, Voices, VoicesConfig};
use providers::{Entry, Fakes, Providers, Shared};
use ractor::{Actor, ActorRef};
use settings::Mode;
use sip_core::{registrar::RegistrarConfig, tokens::TokenSource};
use tokio::{runtime, task::JoinHandle};

use super::{Args, Msg, Node};
use crate::{
    clock::{self, Clock},
    dialog_book::DialogBook,
    entropy,
    journal::{Journal, Limits, LostCall, NodeKey},
    media::{Media, MediaConfig},
    metrics::Metrics,
    next_hop::NextHop,
    office::{
        Office, OfficeConfig, OfficeTiming, Pulse, RecordingUploader, Shipper, SnapshotKeeper,
        follow_orders, heartbeats,
    },
    registrar::{self, Registrar},
    services::{Lines, Registry, Services},
    stir::Stir,
    trunk_book::TrunkBook,
};

/// Threads for voice activity detection: it is cheap, and two keep one slow frame from holding up
/// every call.
const EAR_THREADS: usize = 2;

/// Why a node does not start. Worded for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The configuration is not right; nothing was started.
    #[error("{0}")]
    Settings(#[from] settings::Faults),
    /// A folder or file of ours cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error("the journal cannot be opened: {0}")]
    Journal(#[from] crate::journal::JournalError),
    /// The office in this process cannot start.
    #[error("the office cannot start: {0}")]
    Office(#[from] control_api::OfficeError),
    /// The client of the office cannot be made.
    #[error("the office cannot be reached: {0}")]
    Client(#[from] crate::office::OfficeError),
    /// The media threads cannot start.
    #[error("media cannot start: {0}")]
    Media(#[from] crate::media::MediaError),
    /// Voices or recogniser cannot start.
    #[error("speech cannot start: {0}")]
    Speech(#[from] local_speech::SpeechError),
    /// A provider is declared wrongly.
    #[error("{0}")]
    Provider(#[from] providers::ProviderError),
    /// The way out cannot be made.
    #[error("{0}")]
    Egress(#[from] egress::EgressError),
    /// Something else that must not happen.
    #[error("{0}")]
    Other(String),
}

/// What a start may be told besides the settings.
pub struct Options {
    /// The checked settings.
    pub settings: settings::Settings,
    /// Scripts of the fake providers, for tests of what a provider may do.
    pub fakes: Fakes,
}

impl Options {
    /// A start with these settings and nothing special.
    pub fn of(settings: settings::Settings) -> Self {
        Self {
            settings,
            fakes: Fakes::default(),
        }
    }
}

/// A running node.
pub struct NodeHandle {
    /// The root actor.
    pub node: ActorRef<Msg>,
    /// Everything shared.
    pub services: Arc<Services>,
    office: Option<control_api::Office>,
    tasks: Vec<JoinHandle<()>>,
    ears: Option<runtime::Runtime>,
}

/// Starts everything; calls are taken when this returns.
///
/// # Errors
/// [`BootError`]: invalid configuration and unusable folders. Trouble in the world (a taken SIP
/// port, an office that does not answer) is not an error here.
pub async fn start(options: Options) -> Result<NodeHandle, BootError> {
    let Options { settings, fakes } = options;
    let data = settings.server.data.dir.clone();
    let spool = folder(&data.join("spool"))?;
    let (key, key_text) = node_key(&data)?;
    let office = own_office(&settings.server, &key_text).await?;
    if let Some(office) = &office {
        seed(office).await?;
    }
    let client = client(&settings.server, office.as_ref(), &key_text)?;
    let limits = journal_limits(&settings.server.journal);
    let (journal, recovered) = open_journal(&settings.server.journal.dir, &key, limits).await?;
    let uploader = RecordingUploader::open(&spool, client.clone());
    let uploader = uploader.map_err(|source| BootError::Folder {
        path: spool.clone(),
        source,
    })?;
    let ears = ears_runtime()?;
    let speech = speech(&settings.server.speech)?;
    let clock = Clock::start();
    let snapshots = SnapshotKeeper::open(&data.join("snapshot"), &key);
    let registrar = Registrar::open(registrar::Parts {
        config: registrar_config(&settings.server.registrar),
        clock,
        snapshots: snapshots.clone(),
        office: client.clone(),
        node: journal.node(),
        seal: NodeSeal::of(client.node_key()),
        file: data.join("registrations"),
        key: key.clone(),
    });
    let services = Arc::new(Services {
        clock,
        registrar,
        media: Media::start(media_config(&settings))?,
        journal,
        office: client.clone(),
        snapshots,
        uploader,
        providers: providers(&settings.server, &speech, fakes)?,
        speech_cache: Arc::default(),
        models: speech.models,
        recogniser: speech.pool,
        ears: ears.handle().clone(),
        next_hop: Arc::new(NextHop::new(&settings.server.dns)),
        settings: settings::Live::new(settings),
        book: Arc::new(DialogBook::default()),
        calls: Registry::default(),
        rooms: Arc::default(),
        lines: Lines::default(),
        trunk_book: Arc::new(TrunkBook::open(&data.join("leases"))),
        stir: Stir::default(),
        node_seal: NodeSeal::of(client.node_key()),
        trunks: Mutex::default(),
        gateways: Mutex::default(),
        metrics: Metrics::default(),
        tokens: Mutex::new(TokenSource::new(entropy::bytes())),
        draining: AtomicBool::new(false),
        tap: Arc::default(),
        watch: Services::watch_channel(),
        spool,
    });
    services.copy_messages(&services.settings.current().server.hep);
    services
        .stir
        .configure(&services.settings.current().server.stir);
    let mut tasks = background(&services, &data);
    first_snapshot(&services).await;
    services.refresh_trunks();
    let node = root(&services, recovered).await?;
    // Last of all: from here on the office may order calls.
    tasks.push(orders(&services, &node));
    Ok(NodeHandle {
        node,
        services,
        office,
        tasks,
        ears: Some(ears),
    })
}

fn orders(services: &Arc<Services>, node: &ActorRef<Msg>) -> JoinHandle<()> {
    let carry = super::orders::carrier(services.clone(), node.clone());
    let journal = &services.journal;
    tokio::spawn(follow_orders(
        services.office.clone(),
        journal.node(),
        journal.boot(),
        carry,
    ))
}

async fn root(services: &Arc<Services>, lost: Vec<LostCall>) -> Result<ActorRef<Msg>, BootError> {
    let args = Args {
        services: services.clone(),
        lost,
    };
    let spawned = Actor::spawn(None, Node, args).await;
    let (node, _) = spawned.map_err(|e| BootError::Other(e.to_string()))?;
    Ok(node)
}

fn folder(path: &Path) -> Result<PathBuf, BootError> {
    std::fs::create_dir_all(path).map_err(|source| BootError::Folder {
        path: path.into(),
        source,
    })?;
    Ok(path.into())
}

/// The key that seals the journal and the snapshot. In production it is a credential; on pure
/// loopback one is made in the user's state folder, never inside the data folder.
fn node_key(data: &Path) -> Result<(NodeKey, String), BootError> {
    if let Some(secret) = settings::variable("SIDETONE_NODE_KEY") {
        let key = NodeKey::from_text(secret.expose())?;
        return Ok((key, secret.expose().to_owned()));
    }
    let path = state_file(data, "key")?;
    let key = NodeKey::load_or_make(&path)?;
    let text =
        std::fs::read_to_string(&path).map_err(|source| BootError::Folder { path, source })?;
    Ok((key, text.trim().to_owned()))
}

/// The keys that seal passwords in the database of the office in this process.
fn envelope(data: &Path) -> Result<KeySource, BootError> {
    let Some(text) = settings::variable("SIDETONE_ENVELOPE_KEY") else {
        return Ok(KeySource::File(state_file(data, "envelope.key")?));
    };
    let keys = Keys::read(text.expose());
    let keys = keys.map_err(|fault| BootError::Other(format!("SIDETONE_ENVELOPE_KEY: {fault}")))?;
    Ok(KeySource::Keys(keys))
}

/// A file in the user's state folder that belongs to one data folder.
fn state_file(data: &Path, ending: &str) -> Result<PathBuf, BootError> {
    let state = settings::state_home().unwrap_or_else(std::env::temp_dir);
    let state = folder(&state.join("sidetone"))?;
    Ok(state.join(format!("{:016x}.{ending}", fold(&data.to_string_lossy()))))
}

/// One key file per data folder (FNV-1a over its path; only a file name, nothing secret).
fn fold(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

async fn own_office(
    server: &settings::Server,
    key: &str,
) -> Result<Option<control_api::Office>, BootError> {
    if server.mode != Mode::AllInOne {
        return Ok(None);
    }
    let config = control_api::OfficeConfig {
        database_url: server.http.database.clone(),
        listen: server.http.bind,
        data_dir: server.data.dir.clone(),
        node_keys: vec![bearer(key)],
        admin_key_file: server.data.admin_key_file.clone(),
        envelope: envelope(&server.data.dir)?,
        bucket: bucket(&server.recordings),
        ..control_api::OfficeConfig::local(&server.data.dir)
    };
    Ok(Some(control_api::Office::start(config).await?))
}

/// The bucket of the settings; `check` saw to its key.
fn bucket(recordings: &settings::Recordings) -> Option<control_api::Bucket> {
    let text = |secret: &Option<settings::Secret>| {
        let secret = secret.as_ref().map(|secret| secret.expose().to_owned());
        secret.unwrap_or_default()
    };
    Some(control_api::Bucket {
        name: recordings.bucket.clone()?,
        endpoint: recordings.endpoint.clone(),
        region: recordings.region.clone(),
        prefix: recordings.prefix.clone(),
        access_key: text(&recordings.access_key),
        secret_key: text(&recordings.secret_key),
    })
}

/// A server that starts for the first time gets the demo tenant.
async fn seed(office: &control_api::Office) -> Result<(), BootError> {
    if office.admin_key().created
        && let Err(error) = super::seed::demo(office, &door()?).await
    {
        tracing::warn!(%error, "the demo tenant could not be set up");
    }
    Ok(())
}

/// What the switch shows the office: derived from the node key, so that the one who sees it on the
/// wire cannot open the journal with it.
fn bearer(key: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("sidetone office {key}"));
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

fn client(
    server: &settings::Server,
    own: Option<&control_api::Office>,
    key: &str,
) -> Result<Office, BootError> {
    let base_url = match (own, &server.control.url) {
        (Some(office), _) => office.base_url(),
        (None, Some(url)) => url.clone(),
        (None, None) => return Err(BootError::Other("control.url is not set".into())),
    };
    let given = server.control.key.as_ref().map(|k| k.expose().to_owned());
    let key = match own {
        Some(_) => bearer(key),
        None => given.unwrap_or_else(|| bearer(key)),
    };
    let timing = OfficeTiming {
        heartbeat: Duration::from_secs(2),
        ..OfficeTiming::default()
    };
    let config = OfficeConfig {
        base_url,
        key,
        timing,
    };
    Ok(Office::new(config, door()?))
}

fn door() -> Result<egress::Egress, BootError> {
    Ok(egress::Egress::new(egress::EgressConfig::default())?)
}

fn journal_limits(journal: &settings::Journal) -> Limits {
    Limits {
        segment_bytes: u64::from(journal.segment_mb) << 20,
        segments: journal.segments,
        reserve_bytes: u64::from(journal.reserve_mb) << 20,
        sync: journal.sync,
        ..Limits::default()
    }
}

async fn open_journal(
    dir: &Path,
    key: &NodeKey,
    limits: Limits,
) -> Result<(Journal, Vec<LostCall>), BootError> {
    let (dir, key) = (dir.to_owned(), key.clone());
    let opened =
        tokio::task::spawn_blocking(move || Journal::open(&dir, &key, limits, clock::unix_ms()));
    let opened = opened.await.map_err(|e| BootError::Other(e.to_string()))?;
    let (journal, recovered) = opened?;
    if recovered.corrupt > 0 {
        tracing::error!(
            corrupt = recovered.corrupt,
            "journal records could not be read"
        );
    }
    Ok((journal, recovered.lost))
}

fn registrar_config(settings: &settings::Registrar) -> RegistrarConfig {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let max_expires_s = seconds(settings.max_expires);
    RegistrarConfig {
        min_expires_s: seconds(settings.min_expires).min(max_expires_s),
        max_expires_s,
        default_expires_s: max_expires_s,
        max_contacts: settings.contacts.into(),
        ..RegistrarConfig::default()
    }
}

fn ears_runtime() -> Result<runtime::Runtime, BootError> {
    let mut builder = runtime::Builder::new_multi_thread();
    builder
        .worker_threads(EAR_THREADS)
        .thread_name("ears")
        .enable_all();
    builder.build().map_err(|e| BootError::Other(e.to_string()))
}

fn media_config(settings: &settings::Settings) -> MediaConfig {
    let ranges = settings
        .profiles
        .iter()
        .map(|p| (p.rtp.first_port, p.rtp.last_port));
    let first = ranges.clone().map(|r| r.0).min();
    let last = ranges.map(|r| r.1).max();
    let default = MediaConfig::default();
    MediaConfig {
        threads: match settings.server.media.threads {
            0 => default.threads,
            n => n.into(),
        },
        ports: match (first, last) {
            (Some(first), Some(last)) => first..=last,
            _ => default.ports.clone(),
        },
        ..default
    }
}

struct SpeechParts {
    models: Option<Arc<Models>>,
    pool: Option<Pool>,
    voices: Voices,
}

/// The local recogniser needs its models; without them the node serves what needs no hearing.
fn speech(speech: &settings::Speech) -> Result<SpeechParts, BootError> {
    let voices = Voices::start(VoicesConfig::default())?;
    let models = match Models::open(&speech.models_dir) {
        Ok(models) => Some(models),
        Err(error) => {
            tracing::warn!(%error, "no local recogniser: agents cannot hear");
            None
        }
    };
    let config = PoolConfig {
        threads: usize::from(speech.workers.max(1)),
        ..PoolConfig::default()
    };
    let pool = models
        .clone()
        .map(|models| Pool::start(models, config))
        .transpose()?;
    Ok(SpeechParts {
        models,
        pool,
        voices,
    })
}

fn providers(
    server: &settings::Server,
    speech: &SpeechParts,
    fakes: Fakes,
) -> Result<Providers, BootError> {
    let shared = Shared {
        egress: door()?,
        pool: speech.pool.clone(),
        voices: Some(speech.voices.clone()),
        fakes,
    };
    let models = server.all_providers().into_iter();
    let entries = models.map(|(name, model)| Entry {
        name,
        kind: model.kind,
        url: model.url,
        key: model.key.map(|key| key.expose().to_owned()),
        model: model.model,
        voice: model.voice,
        fallbacks: model.fallbacks,
    });
    Ok(Providers::new(&shared, &entries.collect::<Vec<_>>())?)
}

/// What runs beside the calls for ever: snapshot, facts, recordings, the sign of life.
fn background(services: &Arc<Services>, data: &Path) -> Vec<JoinHandle<()>> {
    let office = services.office.clone();
    let dead_letters = data.join("refused-facts.jsonl");
    let shipper = Shipper::new(services.journal.clone(), office.clone(), &dead_letters);
    let (node, boot) = (services.journal.node(), services.journal.boot());
    let trunks = services.trunk_book.clone();
    let pulse = services.clone();
    let beat = move || Pulse {
        live: pulse.calls.all().iter().map(|e| e.dossier.call()).collect(),
        accepting: pulse.accepting(),
        revision: pulse.snapshots.current().revision,
        profiles: profile_names(&pulse.settings.current()),
    };
    vec![
        tokio::spawn(services.snapshots.clone().run(office.clone())),
        tokio::spawn(shipper.run()),
        tokio::spawn(services.uploader.clone().run()),
        tokio::spawn(services.registrar.clone().run()),
        tokio::spawn(heartbeats(
            office,
            node,
            boot,
            services.snapshots.changes(),
            beat,
            move |leased| trunks.lease(leased),
        )),
    ]
}

fn profile_names(settings: &settings::Settings) -> Vec<String> {
    let profiles = settings.profiles.iter();
    profiles.map(|profile| profile.name.clone()).collect()
}

/// Numbers should route from the first call on; an office that is away must not hold up the start.
async fn first_snapshot(services: &Services) {
    let mut changes = services.snapshots.changes();
    if !services.snapshots.have() {
        let _ = tokio::time::timeout(Duration::from_millis(1_500), changes.changed()).await;
    }
}

impl NodeHandle {
    /// The office in this process, if there is one.
    pub fn office(&self) -> Option<&control_api::Office> {
        self.office.as_ref()
    }

    /// Takes no new calls, waits for the live ones at most `limit`, ends the rest.
    pub async fn drain(&self, limit: Duration) {
        let _ = self.node.cast(Msg::Drain);
        self.unregister().await;
        let until = tokio::time::Instant::now() + limit;
        while !self.services.calls.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for entry in self.services.calls.all() {
            let _ = entry
                .actor
                .cast(crate::call::Msg::Kill(call_core::call::KillCause::Drain));
        }
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        while !self.services.book.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until carriers know that we are gone, but not for those that do not answer.
    async fn unregister(&self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(2);
        let gone = |gateway: &crate::gateway::Gateway| gateway.standing.state == "unregistered";
        while !self.services.gateways().values().all(gone) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops everything; facts are on the disk when this returns, and with the office in reach
    /// also there.
    pub async fn stop(mut self) {
        let _ = self.services.journal.flush().await;
        self.shipped(Duration::from_secs(3)).await;
        let _ = self.node.cast(Msg::Close);
        self.node.stop(None);
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.services.media.shutdown();
        if let Some(office) = self.office.take() {
            office.shutdown().await;
        }
        if let Some(ears) = self.ears.take() {
            ears.shutdown_background();
        }
        let journal = self.services.journal.clone();
        let _ = tokio::task::spawn_blocking(move || journal.close()).await;
    }

    async fn shipped(&self, limit: Duration) {
        let until = tokio::time::Instant::now() + limit;
        while self.services.journal.stats().unacknowledged > 0
            && self.services.office.reachable()
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
