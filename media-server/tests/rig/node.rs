//! A whole node in this process, on free ports, with its own folder; and phones as processes.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use egress::{Egress, EgressConfig, Policy, Request};
use media_server::node::{self, NodeHandle, Options};
use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// An even port that is free for UDP and TCP at this moment and that this program has not been given before; the odd one after it
/// is nobody's either. Below the RTP ports of [`Site`] and below those that the kernel gives to whoever asks for none by number:
/// between two questions nobody holds a port, and one of the kernel's may well be another socket's by then.
pub fn free_port() -> u16 {
    const PAIRS: u32 = 3_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(nth < PAIRS, "no port is free");
        let port = 10_000 + 2 * ((std::process::id() * 61 + nth) % PAIRS) as u16;
        let udp = UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if udp && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The files of a server on free ports.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub sip: SocketAddr,
    pub http: SocketAddr,
    pub ops: SocketAddr,
    /// The first RTP port of the `internal` profile.
    pub first_rtp: u16,
}

impl Site {
    /// `extra` is appended to the server file, `dialplan` replaces the shipped internal one.
    pub fn new(extra: &str, dialplan: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = |()| SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (sip, http, ops) = (port(()), port(()), port(()));
        // Below the ports that the kernel gives out by itself, from which `sip` and the others come.
        // Sites of one program lie apart: a port in use costs a lease a try.
        static SITES: AtomicU16 = AtomicU16::new(0);
        let nth = SITES.fetch_add(1, Ordering::Relaxed) % 100;
        let first = 16_400 + (std::process::id() as u16 % 100 + nth * 37) % 100 * 120;
        let path = dir.path();
        std::fs::create_dir_all(path.join("profiles")).unwrap();
        std::fs::create_dir_all(path.join("dialplans")).unwrap();
        std::fs::write(
            path.join("profiles/internal.toml"),
            format!(
                "listen = [\"udp://{sip}\", \"tcp://{sip}\"]\ncontext = \"internal\"\nauth = \"none\"\n\
                 codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{}\" }}\n",
                first + 3_999
            ),
        )
        .unwrap();
        let shipped = std::fs::read_to_string(root().join("dialplans/internal.toml")).unwrap();
        let plan = dialplan.map_or(shipped, str::to_owned);
        std::fs::write(path.join("dialplans/internal.toml"), plan).unwrap();
        let models = root().join("models");
        std::fs::write(
            path.join("sidetone.toml"),
            format!(
                "mode = \"all-in-one\"\nprofiles_dir = \"profiles\"\ndialplans_dir = \"dialplans\"\n\
                 [data]\ndir = \"{0}/data\"\nadmin_key_file = \"{0}/data/admin.key\"\n\
                 [http]\nbind = \"{http}\"\n[ops]\nbind = \"{ops}\"\nsocket = \"{0}/ctl.sock\"\n[journal]\ndir = \"{0}/data/journal\"\n\
                 [speech]\nmodels_dir = \"{1}\"\n{extra}\n",
                path.display(),
                models.display(),
            ),
        )
        .unwrap();
        Self {
            dir,
            sip,
            http,
            ops,
            first_rtp: first,
        }
    }

    /// Writes (or writes over) a file of the site: `profiles/external.toml`.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).unwrap();
    }

    /// The `internal` profile with these fields of `rtp` besides `ports`, and more lines below.
    pub fn internal(&self, rtp: &str, ports: u16, more: &str) {
        let (sip, first) = (self.sip, self.first_rtp);
        let last = first + ports - 1;
        let text = format!(
            "listen = [\"udp://{sip}\", \"tcp://{sip}\"]\ncontext = \"internal\"\nauth = \"none\"\n\
             codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{last}\"{rtp} }}\n{more}\n"
        );
        self.write("profiles/internal.toml", &text);
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("sidetone.toml")
    }

    /// The node, in this process.
    pub async fn start(&self) -> NodeHandle {
        self.start_with(providers::Fakes::default()).await
    }

    /// The node, with fake providers that behave as told.
    pub async fn start_with(&self, fakes: providers::Fakes) -> NodeHandle {
        egress::tls::install();
        let codecs = media_server::profile::codec_names();
        let known = settings::Known {
            codecs: &codecs,
            language_models: &providers::llm::kinds(),
            voices: &providers::tts::kinds(),
            recognisers: &providers::stt::kinds(),
        };
        let settings = settings::load(Some(&self.config()), &known);
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        node::start(Options { settings, fakes }).await.unwrap()
    }

    /// A phone process that calls `user` on this server.
    pub fn phone(&self, user: &str, args: &[&str]) -> Phone {
        Phone::call(&format!("sip:{user}@{}", self.sip), args)
    }

    /// The office over REST.
    pub fn office(&self) -> Office {
        let key = std::fs::read_to_string(self.dir.path().join("data/admin.key")).unwrap();
        Office::new(format!("http://{}", self.http), key.trim().to_owned()).of(self)
    }
}

/// A `media-server call --json` process.
pub struct Phone {
    child: Child,
    pub events: Vec<Value>,
    lines: std::sync::mpsc::Receiver<Value>,
}

impl Phone {
    pub fn call(uri: &str, args: &[&str]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_media-server"));
        Self::call_with(program, uri, args)
    }

    /// The same by another command: in a network namespace.
    pub fn call_with(mut command: Command, uri: &str, args: &[&str]) -> Self {
        command.arg("call").arg(uri).arg("--json").args(args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = to.send(value);
                }
            }
        });
        Self {
            child,
            events: Vec::new(),
            lines,
        }
    }

    /// Waits for an event of this name.
    pub fn wait_for(&mut self, name: &str, limit: Duration) -> Value {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(event) = self.lines.recv_timeout(left) else {
                panic!("no '{name}' within {limit:?}; events: {:#?}", self.events);
            };
            self.events.push(event.clone());
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Whether an event of this name has come by now.
    pub fn has_happened(&mut self, name: &str) -> bool {
        self.events.extend(self.lines.try_iter());
        self.events.iter().any(|event| event["event"] == name)
    }

    /// Waits for the end; the summary and whether the phone was content.
    pub fn finish(mut self, limit: Duration) -> (Value, bool) {
        let summary = self.wait_for("summary", limit);
        let status = self.child.wait().unwrap();
        (summary, status.success())
    }

    /// Hangs up (Ctrl-C).
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Stops it where it stands (`-STOP`), lets it go on (`-CONT`), …
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([signal, &pid]).status();
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The office over REST, as an admin.
pub struct Office {
    egress: Egress,
    pub base: String,
    key: String,
    /// The switch's own HTTP, to tell where a record is that does not come.
    switch: Option<SocketAddr>,
}

impl Office {
    pub fn new(base: String, key: String) -> Self {
        let egress = Egress::new(EgressConfig::default()).unwrap();
        Self {
            egress,
            base,
            key,
            switch: None,
        }
    }

    /// The office of this site's switch.
    pub fn of(mut self, site: &Site) -> Self {
        self.switch = Some(site.ops);
        self
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send(Request::get(format!("{}{path}", self.base)))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Request::post(format!("{}{path}", self.base)).json(body))
            .await
    }

    /// The same within a tenant.
    pub async fn post_for(&self, tenant: &str, path: &str, body: &Value) -> Value {
        let request = Request::post(format!("{}{path}", self.base)).json(body);
        self.send(request.header("x-tenant-id", tenant)).await
    }

    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let limits = egress::Limits {
            body_bytes: 1 << 30,
            ..egress::Limits::default()
        };
        let request = Request::get(format!("{}{path}", self.base))
            .bearer(&self.key)
            .limits(limits);
        let response = self.egress.send(Policy::Named, request).await.unwrap();
        response.bytes().await.unwrap().to_vec()
    }

    pub async fn send(&self, request: Request) -> Value {
        let response = self
            .egress
            .send(Policy::Named, request.bearer(&self.key))
            .await
            .unwrap();
        response.json().await.unwrap_or(Value::Null)
    }

    /// `/v1/calls/{id}/…` of a call, as JSON.
    pub async fn part(&self, call: &Value, part: &str) -> Value {
        let id = call["id"].as_str().unwrap();
        self.get(&format!("/v1/calls/{id}/{part}")).await
    }

    /// The orders to a call, once each of them is done or refused: a report may come after the call's last fact.
    pub async fn settled_orders(&self, call: &Value) -> Vec<Value> {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let orders = self.part(call, "commands").await;
            let orders = orders["data"].as_array().unwrap();
            let settled = |order: &Value| order["state"] == "done" || order["state"] == "refused";
            if !orders.is_empty() && orders.iter().all(settled) {
                return orders.clone();
            }
            assert!(tokio::time::Instant::now() < until, "{orders:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The facts of one kind from a call's timeline, their `data` in order.
    pub async fn facts(&self, call: &Value, kind: &str) -> Vec<Value> {
        let timeline = self.part(call, "timeline?limit=500").await;
        let all = timeline["data"].as_array().cloned().unwrap_or_default();
        let mine = all.into_iter().filter(|fact| fact["type"] == kind);
        mine.map(|fact| fact["data"].clone()).collect()
    }

    /// The transcript's segments by one speaker.
    pub async fn said(&self, call: &Value, speaker: &str) -> Vec<Value> {
        let transcript = self.part(call, "transcript").await;
        let all = transcript["segments"].as_array().cloned();
        let all = all.unwrap_or_default().into_iter();
        all.filter(|segment| segment["speaker"] == speaker)
            .collect()
    }

    /// The recording, once the office has it: a stereo WAV.
    pub async fn recording(&self, call: &Value) -> media_server::wav::Wav {
        let id = call["id"].as_str().unwrap();
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let bytes = self.bytes(&format!("/v1/calls/{id}/recording")).await;
            match media_server::wav::Wav::read(&bytes) {
                Ok(wav) => return wav,
                Err(error) if Instant::now() > until => panic!("no recording of {id}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The calls of which `wanted` says yes, once there are at least `count`.
    pub async fn calls(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let found: Vec<Value> = self.all_calls().await.into_iter().filter(&wanted).collect();
            if found.len() < count && Instant::now() > until {
                println!(
                    "{} of {count} calls: {}",
                    found.len(),
                    self.whereabouts().await
                );
                return found;
            }
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What each stage between a call and its record holds: the live calls, the journal's queue,
    /// what the office has not acknowledged and why, and the calls as the office knows them.
    pub async fn whereabouts(&self) -> String {
        let mut told = String::new();
        if let Some(switch) = self.switch {
            let ops = Self::new(format!("http://{switch}"), String::new());
            let ready = ops.get("/readyz").await;
            let metrics = ops.bytes("/metrics").await;
            let metrics = String::from_utf8_lossy(&metrics).into_owned();
            let mine = |line: &&str| line.starts_with("ms_journal") || line.starts_with("ms_calls");
            let lines: Vec<&str> = metrics.lines().filter(mine).collect();
            told = format!("{ready:#}\n{}\n", lines.join("\n"));
        }
        for call in self.all_calls().await {
            let timeline = self.part(&call, "timeline?limit=500").await;
            let facts = timeline["data"].as_array().cloned().unwrap_or_default();
            let names: Vec<&str> = facts.iter().filter_map(|f| f["type"].as_str()).collect();
            told += &format!(
                "{} {} {} {}: {}\n",
                call["id"],
                call["sip_call_id"],
                call["state"],
                call["end_reason"],
                names.join(" ")
            );
        }
        told
    }

    async fn all_calls(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = "/v1/calls?limit=100".to_owned();
        loop {
            let page = self.get(&path).await;
            all.extend(page["data"].as_array().cloned().unwrap_or_default());
            let Some(cursor) = page["page"]["next_cursor"].as_str() else {
                return all;
            };
            path = format!("/v1/calls?limit=100&cursor={cursor}");
        }
    }

    /// The one ended call with this SIP Call-ID.
    pub async fn ended(&self, sip_call_id: &Value) -> Value {
        let mine = |c: &Value| c["sip_call_id"] == *sip_call_id && c["state"] == "ended";
        let mut found = self.calls(1, mine).await;
        assert_eq!(
            found.len(),
            1,
            "exactly one record of {sip_call_id}: {found:#?}"
        );
        found.remove(0)
    }
}
