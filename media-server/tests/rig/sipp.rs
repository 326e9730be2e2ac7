//! SIPp as a far side: one scenario of `loadtest/scenarios`, one call, its own folder.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Whether SIPp is installed; if not, a SKIP line for this test.
pub fn is_here(test: &str) -> bool {
    let found = Command::new("sipp").arg("-v").output().is_ok();
    if !found {
        println!("SKIP {test}: sipp is not installed (Debian: sip-tester)");
    }
    found
}

/// A SIPp process that plays one scenario once.
pub struct Sipp {
    child: Child,
    pub dir: tempfile::TempDir,
    pub call_id: String,
    scenario: String,
}

impl Sipp {
    /// Calls `user` at `server` with the scenario `NAME.xml`; `keys` fill its `[name]`s.
    pub fn call(server: SocketAddr, scenario: &str, user: &str, keys: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::call_in(dir, server, scenario, user, keys)
    }

    /// The same, but what comes twice does not make SIPp repeat what it said last: in a story about
    /// repetition that would go round for ever.
    pub fn call_unrepeated(
        server: SocketAddr,
        scenario: &str,
        user: &str,
        keys: &[(&str, &str)],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::spawn(dir, server, scenario, user, keys, &["-nr"])
    }

    /// The same in a folder that holds what the scenario plays.
    pub fn call_in(
        dir: tempfile::TempDir,
        server: SocketAddr,
        scenario: &str,
        user: &str,
        keys: &[(&str, &str)],
    ) -> Self {
        Self::spawn(dir, server, scenario, user, keys, &[])
    }

    /// Waits for one call at a port of its own and plays the scenario `NAME.xml` as the far side;
    /// where it listens.
    pub fn serve(scenario: &str, keys: &[(&str, &str)]) -> (Self, SocketAddr) {
        let dir = tempfile::tempdir().unwrap();
        let port = super::rig::free_port();
        let here = SocketAddr::from(([127, 0, 0, 1], port));
        // SIPp takes no variable for a status.
        let file = super::rig::root().join(format!("loadtest/scenarios/{scenario}.xml"));
        let status = keys.iter().find(|(name, _)| *name == "status");
        let text = read(&file).replace("[status]", status.map_or("500", |(_, value)| value));
        let file = dir.path().join("scenario.xml");
        std::fs::write(&file, text).unwrap();
        let mut command = Self::command(&file, port, keys);
        let child = command.current_dir(dir.path()).spawn().unwrap();
        let served = Self {
            child,
            dir,
            call_id: String::new(),
            scenario: scenario.to_owned(),
        };
        served.listens(port);
        (served, here)
    }

    /// Until SIPp has its socket: an INVITE that comes before is lost, and repeated only after 500 ms.
    fn listens(&self, port: u16) {
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < until, "SIPp does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn command(file: &Path, port: u16, keys: &[(&str, &str)]) -> Command {
        let (port, media) = (port.to_string(), super::rig::free_port().to_string());
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file);
        command.args([
            "-m",
            "1",
            "-nostdin",
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-mp",
            &media,
        ]);
        command.args(["-timeout", "60s", "-timeout_error"]);
        command.args(["-trace_err", "-error_file", "errors.log"]);
        command.args(["-trace_msg", "-message_file", "messages.log"]);
        for (name, value) in keys {
            command.args(["-key", name, value]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn spawn(
        dir: tempfile::TempDir,
        server: SocketAddr,
        scenario: &str,
        user: &str,
        keys: &[(&str, &str)],
        options: &[&str],
    ) -> Self {
        let call_id = format!("{scenario}-{}@sipp.invalid", super::rig::free_port());
        let file = super::rig::root().join(format!("loadtest/scenarios/{scenario}.xml"));
        let port = super::rig::free_port().to_string();
        let media = super::rig::free_port().to_string();
        let mut command = Command::new("sipp");
        command.arg(server.to_string()).arg("-sf").arg(&file);
        command.args(["-s", user, "-cid_str", &call_id, "-m", "1", "-nostdin"]);
        command.args(["-i", "127.0.0.1", "-p", &port, "-mp", &media]);
        command.args(["-timeout", "60s", "-timeout_error"]);
        command.args(["-trace_err", "-error_file", "errors.log"]);
        command.args(["-trace_msg", "-message_file", "messages.log"]);
        command.args(options);
        for (name, value) in keys {
            command.args(["-key", name, value]);
        }
        command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let scenario = scenario.to_owned();
        Self {
            child,
            dir,
            call_id,
            scenario,
        }
    }

    /// Waits until SIPp says that every message was as the scenario wants it.
    pub fn succeeds(mut self, limit: Duration) -> Ladder {
        let until = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > until => panic!(
                    "{} is not done after {limit:?}\n{}",
                    self.scenario,
                    self.traces()
                ),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert!(
            status.success(),
            "{} ended with {status}\n{}",
            self.scenario,
            self.traces()
        );
        let messages = read(&self.dir.path().join("messages.log"));
        if std::env::var_os("SHOW_LADDERS").is_some() {
            println!("===== {}\n{messages}", self.scenario);
        }
        Ladder(messages)
    }

    fn traces(&self) -> String {
        let file = |name| read(&self.dir.path().join(name));
        format!("{}\n{}", file("errors.log"), file("messages.log"))
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What SIPp sent and received.
pub struct Ladder(String);

impl Ladder {
    /// The messages that came from the server, in order.
    pub fn received(&self) -> Vec<String> {
        let parts = self.0.split("message received [").skip(1);
        parts
            .map(|part| {
                let body = part.split_once("bytes :\n\n").map_or("", |(_, body)| body);
                let end = body.find("\n-------").unwrap_or(body.len());
                body[..end].trim_end().to_owned()
            })
            .collect()
    }

    /// The first lines of what came from the server: `SIP/2.0 200 OK`, `BYE …`.
    pub fn statuses(&self) -> Vec<String> {
        let all = self.received();
        all.iter()
            .map(|message| message.lines().next().unwrap_or_default().trim().to_owned())
            .collect()
    }

    /// How many responses with this status came.
    pub fn count(&self, status: u16) -> usize {
        let start = format!("SIP/2.0 {status} ");
        let all = self.statuses();
        all.iter().filter(|line| line.starts_with(&start)).count()
    }

    /// The first message whose first line begins so.
    pub fn first(&self, start: &str) -> String {
        let mut all = self.received().into_iter();
        all.find(|message| message.starts_with(start))
            .unwrap_or_else(|| panic!("no '{start}' came:\n{}", self.0))
    }
}

/// A header's value in a message, as it stands there.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim().eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}
