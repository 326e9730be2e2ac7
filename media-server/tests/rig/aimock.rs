//! aimock as the far side: other people's idea of what OpenAI and Anthropic send, from the package registry of npm.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A server of models that gives the answers of its fixtures. Killed when it goes out of scope.
pub struct Aimock {
    child: Child,
    dir: tempfile::TempDir,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Aimock {
    fn program() -> PathBuf {
        super::rig::root().join("target/aimock/node_modules/@copilotkit/aimock/dist/cli.js")
    }

    /// Whether it is installed; if not, a SKIP line for this test.
    pub fn is_here(test: &str) -> bool {
        let node = Command::new("node").arg("--version").output().is_ok();
        let found = node && Self::program().exists();
        if !found {
            println!("SKIP {test}: aimock is not installed (npm: @copilotkit/aimock)");
        }
        found
    }

    /// Starts it with these fixtures; a request that none of them matches is refused.
    pub fn start(fixtures: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fixtures.json");
        std::fs::write(&file, fixtures.to_string()).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let port = super::rig::free_port();
        let mut command = Command::new("node");
        command.arg(Self::program()).args(["-p", &port.to_string()]);
        command.arg("-f").arg(&file).args(["--strict", "-l", "20"]);
        let errors = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mock = Self {
            child: child.spawn().unwrap(),
            dir,
            port,
        };
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < until,
                "aimock does not start: {}",
                mock.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        mock
    }

    /// What it printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Aimock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
