//! `sidetone.toml`: what a node is and where its things lie.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use call_core::length::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::{Dns, Outbound, Provider, Recordings, Registrar, Secret, Stir};

/// The server file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "sidetone.toml")]
pub struct Server {
    /// One process with its own office, or a switch that reports to an office elsewhere.
    pub mode: Mode,
    /// Folder of the SIP profiles, relative to this file. Without it: `sip-profiles` beside this
    /// file, else two profiles on loopback.
    pub profiles_dir: Option<PathBuf>,
    /// Folder of the dialplans, relative to this file. Without it: `dialplans` beside this file,
    /// else the built-in contexts.
    pub dialplans_dir: Option<PathBuf>,
    /// This node.
    pub node: Node,
    /// The office that a switch belongs to.
    pub control: Control,
    /// Where things are kept.
    pub data: Data,
    /// Where recordings are kept.
    pub recordings: Recordings,
    /// REST, console, WebSockets (all-in-one).
    pub http: Http,
    /// Health, metrics and the local socket of the switch.
    pub ops: Ops,
    /// Where host names are looked up.
    pub dns: Dns,
    /// Local speech models and voices.
    pub speech: Speech,
    /// A language model server.
    pub llm: Llm,
    /// Language models, voices and recognisers elsewhere, by name.
    pub providers: BTreeMap<String, Provider>,
    /// Media threads.
    pub media: Media,
    /// Limits of the whole node.
    pub limits: Limits,
    /// Registrations of phones.
    pub registrar: Registrar,
    /// The journal on disk.
    pub journal: Journal,
    /// What the node's own dialplans may call.
    pub outbound: Outbound,
    /// Proofs of who calls over a trunk.
    pub stir: Stir,
    /// What is kept of SIP messages.
    pub trace: Trace,
    /// Copies of SIP messages for a capture server.
    pub hep: Hep,
    /// Only for measurements.
    pub loadtest: Loadtest,
}

/// What runs in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mode {
    /// Switch and office.
    #[serde(rename = "all-in-one")]
    AllInOne,
    /// The switch alone; `control.url` names its office.
    #[serde(rename = "switch")]
    Switch,
}

/// This node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// The name in logs and metrics.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// The office.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Its base URL, `https://office.example`.
    #[schemars(with = "Option<String>", extend("format" = "http-url"))]
    pub url: Option<String>,
    /// This node's key there.
    pub key: Option<Secret>,
}

/// Folders. Relative paths count from the working directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Journal, recordings, snapshot, database. `temporary` is a fresh folder for each start,
    /// below the system's folder for such things.
    pub dir: PathBuf,
    /// Sounds that `play` may name. Without it: `media` in `dir`.
    #[serde(deserialize_with = "path_or_empty")]
    #[schemars(with = "Option<String>")]
    pub media_dir: PathBuf,
    /// Where the first start puts the admin key (mode 600).
    pub admin_key_file: PathBuf,
}

/// REST and console.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address.
    #[schemars(with = "String", extend("format" = "socket-addr"))]
    pub bind: SocketAddr,
    /// `sqlite://…` or `postgres://…`. Without it: `sidetone.db` in `data.dir`.
    #[serde(deserialize_with = "text_or_empty")]
    #[schemars(with = "Option<String>", extend("format" = "database-url"))]
    pub database: String,
}

/// Operations.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ops {
    /// `/healthz`, `/readyz`, `/metrics`: read-only.
    #[schemars(with = "String", extend("format" = "socket-addr"))]
    pub bind: SocketAddr,
    /// The unix socket of `media-server status` and its kin. Without it: `media-server.sock` in `data.dir`.
    #[serde(deserialize_with = "path_or_empty")]
    #[schemars(with = "Option<String>")]
    pub socket: PathBuf,
}

/// Local speech.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Speech {
    /// Folder of the model files.
    pub models_dir: PathBuf,
    /// Threads that recognise.
    #[schemars(range(min = 1, max = 256))]
    pub workers: u16,
}

/// The language model server that agents name `default`; more of them in `[providers.NAME]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Llm {
    /// What it speaks: `openai` (chat completions, also of compatible servers), `openai-responses` or `anthropic`.
    pub kind: String,
    /// Base URL, up to and including `/v1`.
    #[schemars(with = "Option<String>", extend("format" = "http-url"))]
    pub url: Option<String>,
    /// Its key.
    pub key: Option<Secret>,
    /// The model to ask when an agent says `default`.
    pub model: Option<String>,
    /// Others to ask, in turn, when it fails before its first word.
    #[schemars(length(max = 8))]
    pub fallbacks: Vec<String>,
}

/// Media threads.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Threads with a 20 ms ticker; 0 = by the number of cores.
    #[schemars(range(max = 256))]
    pub threads: u16,
}

/// Limits of the node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls at the same time; 0 = no limit.
    pub calls: u32,
    /// New calls per second; 0 = no limit.
    pub cps: u32,
    /// New calls at once beyond `cps`.
    pub burst: u32,
    /// The longest call.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub max_duration: Duration,
    /// The longest time from INVITE to answer.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub ring_for: Duration,
    /// The longest time an agent may take to get ready before the answer.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub prepare: Duration,
    /// How long live calls may go on after SIGTERM or `media-server drain`.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub drain: Duration,
}

/// SIP messages in the timeline of their call. Bodies and secrets are never kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// How much of each message.
    pub ladder: Ladder,
}

/// How much of a SIP message a call's timeline keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ladder {
    /// Nothing.
    Off,
    /// First line, CSeq and Reason.
    Lines,
    /// All headers, secrets masked.
    #[default]
    Headers,
}

/// Copies of every SIP message over HEPv3. Secrets are masked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hep {
    /// The capture server, `udp://127.0.0.1:9060`. Without it nothing is copied.
    #[serde(deserialize_with = "collector")]
    #[schemars(with = "Option<String>", extend("format" = "collector"))]
    pub collector: Option<SocketAddr>,
    /// Our number as a capture agent.
    pub id: u32,
    /// What the capture server wants to see.
    pub key: Option<Secret>,
}

/// The journal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Its folder. Without it: `journal` in `data.dir`.
    #[serde(deserialize_with = "path_or_empty")]
    #[schemars(with = "Option<String>")]
    pub dir: PathBuf,
    /// Size of a segment, MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub segment_mb: u32,
    /// Most segments.
    #[schemars(range(min = 2, max = 4096))]
    pub segments: u32,
    /// Room kept for the ends of calls that are up, MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub reserve_mb: u32,
    /// The longest time until written facts are synced.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub sync: Duration,
}

/// Measurements.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loadtest {
    /// The separate agent process of the `stub` action, `tcp://127.0.0.1:9092`.
    #[serde(deserialize_with = "stub")]
    #[schemars(with = "Option<String>", extend("format" = "stub-url"))]
    pub stub: Option<SocketAddr>,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Server {
    fn default() -> Server {
        Server {
            mode: Mode::AllInOne,
            profiles_dir: None,
            dialplans_dir: None,
            node: Node::default(),
            control: Control::default(),
            data: Data::default(),
            recordings: Recordings::default(),
            http: Http::default(),
            ops: Ops::default(),
            speech: Speech::default(),
            llm: Llm::default(),
            providers: BTreeMap::new(),
            media: Media::default(),
            limits: Limits::default(),
            registrar: Registrar::default(),
            journal: Journal::default(),
            outbound: Outbound::default(),
            stir: Stir::default(),
            trace: Trace::default(),
            hep: Hep::default(),
            loadtest: Loadtest::default(),
            dns: Dns::default(),
        }
    }
}

impl Default for Llm {
    fn default() -> Llm {
        Llm {
            kind: crate::providers::chat(),
            url: None,
            key: None,
            model: None,
            fallbacks: Vec::new(),
        }
    }
}

impl Default for Node {
    fn default() -> Node {
        Node {
            name: "sidetone".to_owned(),
        }
    }
}

impl Default for Data {
    fn default() -> Data {
        Data {
            dir: "data".into(),
            media_dir: PathBuf::new(),
            admin_key_file: "data/admin.key".into(),
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        Http {
            bind: loopback(8080),
            database: String::new(),
        }
    }
}

// The database's URL may hold a password.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

impl Default for Ops {
    fn default() -> Ops {
        Ops {
            bind: loopback(9464),
            socket: PathBuf::new(),
        }
    }
}

impl Default for Speech {
    fn default() -> Speech {
        Speech {
            models_dir: "models".into(),
            workers: 2,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls: 1000,
            cps: 50,
            burst: 100,
            max_duration: Duration::from_secs(4 * 3600),
            ring_for: Duration::from_secs(180),
            prepare: Duration::from_secs(3),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            dir: PathBuf::new(),
            segment_mb: 8,
            segments: 64,
            reserve_mb: 8,
            sync: Duration::from_millis(200),
        }
    }
}

impl Server {
    /// Fills in the paths that hang on others.
    pub(crate) fn complete(&mut self, temporary: PathBuf) {
        if self.data.dir.as_os_str() == "temporary" {
            self.data.dir = temporary;
        }
        let dir = self.data.dir.clone();
        let fill = |path: &mut PathBuf, name: &str| {
            if path.as_os_str().is_empty() {
                *path = dir.join(name);
            }
        };
        fill(&mut self.data.media_dir, "media");
        fill(&mut self.ops.socket, "media-server.sock");
        fill(&mut self.journal.dir, "journal");
        if self.http.database.is_empty() {
            self.http.database = format!("sqlite://{}", dir.join("sidetone.db").display());
        }
    }
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Length::deserialize(deserializer).map(|length| length.0)
}

fn path_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Option::<PathBuf>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn stub<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| stub_address(&text)))
}

fn collector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| collector_address(&text)))
}

/// `udp://127.0.0.1:9060`.
pub(crate) fn collector_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("udp://")?.parse().ok()
}

/// `tcp://127.0.0.1:9092`.
pub(crate) fn stub_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("tcp://")?.parse().ok()
}
