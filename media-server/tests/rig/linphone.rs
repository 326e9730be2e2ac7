//! linphone as a far side: another foreign phone, headless, told what to do on its console.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use media_server::wav::Wav;

const LIMIT: Duration = Duration::from_secs(20);

/// Whether it is installed; if not, a SKIP line for this test.
pub fn is_here(test: &str) -> bool {
    let found = Command::new("linphonec").arg("--version").output().is_ok();
    if !found {
        println!("SKIP {test}: linphonec is not installed (Debian: linphone-cli)");
    }
    found
}

/// Whom it registers as, and how.
pub struct Account<'a> {
    /// The user of the extension.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The host of the address of record, and the realm.
    pub domain: &'a str,
    /// The registrar.
    pub at: SocketAddr,
    /// `udp`, `tcp`, `tls`.
    pub transport: &'static str,
}

/// A linphone at work, in a folder of its own. It answers by itself; its sound card are files.
pub struct Linphone {
    dir: tempfile::TempDir,
    child: Child,
    /// Console output that was waited for already.
    read: usize,
}

impl Linphone {
    /// Registers, and says this (8 kHz) in every call from its beginning.
    pub fn register(account: &Account<'_>, says: &[i16]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".local/share/linphone");
        std::fs::create_dir_all(home).unwrap();
        std::fs::write(dir.path().join("rc"), config(account)).unwrap();
        std::fs::write(dir.path().join("says.wav"), wav(says)).unwrap();
        let out = std::fs::File::create(dir.path().join("console")).unwrap();
        let child = Command::new("linphonec")
            .args(["-a", "-c"])
            .arg(dir.path().join("rc"))
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut phone = Self {
            dir,
            child,
            read: 0,
        };
        phone.wait_for("linphonec>");
        phone.tell("soundcard use files");
        let says = phone.file("says.wav");
        phone.tell(&format!("play {}", says.display()));
        phone
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A line on its console.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// All it has written.
    pub fn console(&self) -> String {
        let text = std::fs::read(self.file("console")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until its console says this after what was waited for before.
    pub fn wait_for(&mut self, words: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let console = self.console();
            let new = console.get(self.read..).unwrap_or_default();
            if let Some(at) = new.find(words) {
                self.read += at + words.len();
                return;
            }
            assert!(Instant::now() < end, "no '{words}':\n{console}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Keeps what it hears in the next call.
    pub fn keep(&mut self, name: &str) {
        let file = self.file(name);
        self.tell(&format!("record {}", file.display()));
    }

    /// What it has kept, and its rate.
    pub fn kept(&self, name: &str) -> (Vec<i16>, u32) {
        let bytes = std::fs::read(self.file(name)).unwrap_or_default();
        match Wav::read(&bytes) {
            Ok(wav) => (wav.mono(), wav.rate_hz),
            Err(why) => panic!("{why}:\n{}", self.console()),
        }
    }

    /// Unregisters and ends.
    pub fn quit(mut self) {
        self.tell("quit");
        let end = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not quit");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(account: &Account<'_>) -> String {
    let Account {
        user,
        password,
        domain,
        at,
        transport,
    } = account;
    let port = |own: &str| match own == *transport {
        true => super::rig::free_port(),
        false => 0,
    };
    let (udp, tcp, tls) = (port("udp"), port("tcp"), port("tls"));
    format!(
        "[sip]\nsip_port={udp}\nsip_tcp_port={tcp}\nsip_tls_port={tls}\nuse_ipv6=0\nverify_server_certs=0\n\
         verify_server_cn=0\nmedia_encryption=none\ndefault_proxy=0\n\
         [rtp]\naudio_rtp_port={}\n\
         [proxy_0]\nreg_proxy=<sip:{at};transport={transport}>\nreg_identity=<sip:{user}@{domain}>\nreg_expires=600\n\
         reg_sendregister=1\npublish=0\n\
         [auth_info_0]\nusername={user}\npasswd={password}\nrealm={domain}\n",
        super::rig::free_port()
    )
}

/// 8 kHz mono.
fn wav(says: &[i16]) -> Vec<u8> {
    let bytes = 2 * says.len() as u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(says.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}
