//! A whole node in this process, on free ports, with its own folder; and phones as processes.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

/// A port that is free for UDP and TCP at this moment.
pub fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
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
}

impl Site {
    /// `extra` is appended to the server file, `dialplan` replaces the shipped internal one.
    pub fn new(extra: &str, dialplan: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = |()| SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (sip, http, ops) = (port(()), port(()), port(()));
        let first = 20_000 + (std::process::id() as u16 % 100) * 120;
        let path = dir.path();
        std::fs::create_dir_all(path.join("profiles")).unwrap();
        std::fs::create_dir_all(path.join("dialplans")).unwrap();
        std::fs::write(
            path.join("profiles/internal.toml"),
            format!(
                "listen = [\"udp://{sip}\", \"tcp://{sip}\"]\ncontext = \"internal\"\nauth = \"none\"\n\
                 codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{}\" }}\n",
                first + 8_000
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
        }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("sidetone.toml")
    }

    /// The node, in this process.
    pub async fn start(&self) -> NodeHandle {
        egress::tls::install();
        let codecs = media_server::profile::codec_names();
        let known = settings::Known { codecs: &codecs };
        let settings = settings::load(Some(&self.config()), &known);
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        node::start(Options { settings }).await.unwrap()
    }

    /// A phone process that calls `user` on this server.
    pub fn phone(&self, user: &str, args: &[&str]) -> Phone {
        Phone::call(&format!("sip:{user}@{}", self.sip), args)
    }

    /// The office over REST.
    pub fn office(&self) -> Office {
        let key = std::fs::read_to_string(self.dir.path().join("data/admin.key")).unwrap();
        Office::new(format!("http://{}", self.http), key.trim().to_owned())
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_media-server"));
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

    /// Waits for the end; the summary and whether the phone was content.
    pub fn finish(mut self, limit: Duration) -> (Value, bool) {
        let summary = self.wait_for("summary", limit);
        let status = self.child.wait().unwrap();
        (summary, status.success())
    }

    /// Hangs up (Ctrl-C).
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
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
}

impl Office {
    pub fn new(base: String, key: String) -> Self {
        let egress = Egress::new(EgressConfig::default()).unwrap();
        Self { egress, base, key }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send(Request::get(format!("{}{path}", self.base)))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Request::post(format!("{}{path}", self.base)).json(body))
            .await
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

    /// The calls of which `wanted` says yes, once there are at least `count`.
    pub async fn calls(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let page = self.get("/v1/calls?limit=100").await;
            let all = page["data"].as_array().cloned().unwrap_or_default();
            let found: Vec<Value> = all.into_iter().filter(&wanted).collect();
            if found.len() >= count || Instant::now() > until {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
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
