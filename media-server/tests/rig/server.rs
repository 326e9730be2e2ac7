//! The server as operators have it: a process of its own, its signals, its commands over the unix
//! socket, its descriptors.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    fs::File,
    net::{SocketAddr, TcpStream, UdpSocket},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::rig::Site;

/// 32 bytes, hexadecimal, of no value anywhere else.
const NODE_KEY: &str = "6b1d0f5a9c3e7784a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0";
const LIMIT: Duration = Duration::from_secs(40);

/// See the module. Killed when it goes out of scope.
pub struct Server {
    child: Child,
    config: std::path::PathBuf,
    log: std::path::PathBuf,
    ops: SocketAddr,
}

impl Server {
    /// Starts it and waits until it answers commands.
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, Command::new(env!("CARGO_BIN_EXE_media-server")))
    }

    /// The same by another command: in a network namespace.
    pub fn start_with(site: &Site, mut command: Command) -> Self {
        let log = site.dir.path().join("server.log");
        let file = File::options().create(true).append(true).open(&log);
        let file = file.unwrap();
        command.args(["serve", "--config"]).arg(site.config());
        command.env("SIDETONE_NODE_KEY", NODE_KEY);
        let command = command
            .stdin(Stdio::null())
            .stderr(file.try_clone().unwrap());
        let child = command.stdout(file).spawn().unwrap();
        let server = Self {
            child,
            config: site.config(),
            log,
            ops: site.ops,
        };
        server.until("it answers commands", || {
            server.run(&["status"]).status.success()
        });
        server
    }

    /// Waits until it is so.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < until, "never: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let mut kill = Command::new("kill");
        let sent = kill.arg(format!("-{name}")).arg(pid).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn ends(&mut self, limit: Duration) -> ExitStatus {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs one of the commands that ask it.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_media-server"));
        command.arg(args[0]).arg("--config").arg(&self.config);
        command.args(&args[1..]).stdin(Stdio::null());
        command.env("SIDETONE_NODE_KEY", NODE_KEY).output().unwrap()
    }

    /// The same: what it printed; it must have gone well.
    pub fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}{error}");
        said
    }

    /// The same with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        serde_json::from_str(self.says(&args).trim()).unwrap()
    }

    /// The status of `/readyz`.
    pub fn ready(&self) -> u16 {
        let answer = get(self.ops, "/readyz");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        status.parse().unwrap_or(0)
    }

    /// A line of `/metrics` that begins so, its number.
    pub fn metric(&self, begins: &str) -> f64 {
        let text = get(self.ops, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with(begins));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Its open descriptors by kind. Only UDP sockets belong to calls; the others come and go beside them: a scrape of
    /// the metrics, a connection to the office, a file of the database.
    pub fn descriptors_by_kind(&self) -> Descriptors {
        let process = format!("/proc/{}", self.child.id());
        let udp: Vec<String> = ["udp", "udp6"]
            .iter()
            .flat_map(|kind| inodes(&format!("{process}/net/{kind}")))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let mut counted = Descriptors::default();
        for entry in std::fs::read_dir(format!("{process}/fd")).unwrap() {
            let Ok(target) = std::fs::read_link(entry.unwrap().path()) else {
                continue;
            };
            let is_udp = udp.iter().any(|one| target.as_os_str() == one.as_str());
            *(if is_udp {
                &mut counted.udp
            } else {
                &mut counted.others
            }) += 1;
        }
        counted
    }
}

/// What a process has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub udp: usize,
    pub others: usize,
}

/// The inodes of the sockets in a table of the kernel's: its tenth column.
fn inodes(table: &str) -> Vec<String> {
    let text = std::fs::read_to_string(table).unwrap();
    let column = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
    text.lines().skip(1).filter_map(column).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A SIP phone that can only write letters: requests out, responses in.
pub struct Letters {
    pub socket: UdpSocket,
    server: SocketAddr,
    count: u32,
}

impl Letters {
    pub fn to(server: SocketAddr) -> Self {
        Self::from("127.0.0.1", server)
    }

    /// From another address of this machine.
    pub fn from(ip: &str, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let patience = Some(Duration::from_secs(3));
        socket.set_read_timeout(patience).unwrap();
        Self {
            socket,
            server,
            count: 0,
        }
    }

    /// A request outside a dialog with more headers; its Call-ID.
    pub fn send(&mut self, method: &str, user: &str, headers: &str) -> String {
        self.count += 1;
        let from = self.socket.local_addr().unwrap();
        let (server, n) = (self.server, self.count);
        let id = format!("letter-{n}-{}", from.port());
        let sdp = match method {
            "INVITE" => format!(
                "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n",
                ip = from.ip()
            ),
            _ => String::new(),
        };
        let kind = if sdp.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let text = format!(
            "{method} sip:{user}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:letter@{from}>;tag={n}\r\nTo: <sip:{user}@{server}>\r\n\
             Call-ID: {id}\r\nCSeq: 1 {method}\r\nContact: <sip:letter@{from}>\r\n{headers}{kind}\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.socket.send_to(text.as_bytes(), server).unwrap();
        id
    }

    /// The next response, if one comes.
    pub fn receive(&self) -> Option<String> {
        let mut buffer = [0; 8_192];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// The final response to a request, `None` for silence.
    pub fn ask(&mut self, method: &str, user: &str, headers: &str) -> Option<String> {
        let id = self.send(method, user, headers);
        loop {
            let answer = self.receive()?;
            if answer.contains(&id) && !answer.starts_with("SIP/2.0 1") {
                return Some(answer);
            }
        }
    }
}
