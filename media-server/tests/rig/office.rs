//! The office as a process of its own.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What a switch shows it.
pub const OFFICE_KEY: &str = "sn_only-for-this-test-0123456789";
const LIMIT: Duration = Duration::from_secs(30);

/// `control-api`, beside our own program; built when it is not there yet.
pub fn control_api() -> PathBuf {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_media-server"));
    let program = ours.with_file_name("control-api");
    if !program.is_file() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let target = ours.parent().unwrap().parent().unwrap();
        // The whole workspace: alone it would be built with other features, and all it needs with it.
        let built = Command::new(cargo)
            .args(["build", "-q", "--workspace", "--bin", "control-api"])
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(built.unwrap().success());
    }
    program
}

/// A process that is gone when this is.
pub struct Desk(Child);

impl Desk {
    /// Starts it on the files of this folder, by a command that may lead into a network namespace.
    pub fn start(folder: &Path, mut command: Command, listen: SocketAddr) -> Self {
        let log = folder.join("office.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        std::fs::write(folder.join("node.key"), OFFICE_KEY).unwrap();
        let database = format!("sqlite://{}", folder.join("office.db").display());
        command.args(["serve", "--database-url", &database]);
        command.args(["--listen", &listen.to_string()]);
        command.arg("--data-dir").arg(folder.join("office"));
        for name in ["node", "admin", "envelope"] {
            let file = folder.join(format!("{name}.key"));
            command.arg(format!("--{name}-key-file")).arg(file);
        }
        let command = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        Self(command.stderr(log).spawn().unwrap())
    }

    /// Waits until it listens, where it can be reached from here.
    pub fn listens(&self, listen: SocketAddr) {
        let until = Instant::now() + LIMIT;
        while TcpStream::connect(listen).is_err() {
            assert!(Instant::now() < until, "the office does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
