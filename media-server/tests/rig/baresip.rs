//! baresip as a far side: a real foreign phone, headless, with a folder of its own.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Where Debian keeps its modules.
const MODULES: &str = "/usr/lib/baresip/modules";

/// Whether it is installed; if not, a SKIP line for this test.
pub fn is_here(test: &str) -> bool {
    let found = Command::new("baresip").arg("-h").output().is_ok();
    let modules = Path::new(MODULES).join("sndfile.so").exists();
    if !found || !modules {
        println!("SKIP {test}: baresip is not installed (Debian: baresip)");
    }
    found && modules
}

/// What a call with it left behind.
pub struct Call {
    /// Its SIP trace and what it says itself.
    pub trace: String,
    /// What it decoded, 8 kHz, one call after the other.
    pub heard: Vec<i16>,
    /// What it told, if it was watched.
    pub events: Vec<Value>,
}

impl Call {
    /// The Call-ID of its INVITE, where other requests came before it.
    pub fn invited(&self) -> &str {
        let at = self.trace.find("INVITE sip:");
        let rest = &self.trace[at.unwrap_or(0)..];
        let mut lines = rest.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix("Call-ID:"));
        line.unwrap_or_else(|| panic!("no call was made:\n{}", self.trace))
            .trim()
    }

    /// The Call-ID of its INVITE.
    pub fn id(&self) -> &str {
        let mut lines = self.trace.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix("Call-ID:"));
        line.unwrap_or_else(|| panic!("no call was made:\n{}", self.trace))
            .trim()
    }
}

/// How a baresip is set up.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How it reaches the server: `udp`, `tcp`, `tls`.
    pub transport: &'static str,
    /// Parameters of its account: `audio_codecs=PCMU/8000/1;mediaenc=srtp`.
    pub account: String,
    /// Its address of record, without the scheme: `1001@127.0.0.1:5060;transport=tcp`.
    pub aor: String,
    /// Modules besides G.711: `srtp`.
    pub modules: &'static [&'static str],
    /// What it says over and over, 8 kHz; silence when empty.
    pub says: Vec<i16>,
    /// Further lines of its configuration, for TLS.
    pub config: String,
    /// Rate of its sound source: its own way from 8 kHz to another rate muffles speech.
    pub rate_hz: u32,
    /// How long it lives.
    pub seconds: u32,
    /// Whether it can be watched and told what to do while it lives.
    pub watched: bool,
}

impl Default for Manner {
    /// PCMU over UDP, silent, eight seconds.
    fn default() -> Self {
        Self {
            transport: "udp",
            account: "audio_codecs=PCMU/8000/1".into(),
            aor: "foreign@127.0.0.1".into(),
            modules: &[],
            says: Vec::new(),
            config: String::new(),
            rate_hz: 8_000,
            seconds: 8,
            watched: false,
        }
    }
}

/// Dials `user`, stays silent, hears, and hangs up (when nobody else has) after `seconds`.
pub fn dial(server: SocketAddr, user: &str, transport: &'static str, seconds: u32) -> Call {
    let manner = Manner {
        transport,
        seconds,
        ..Manner::default()
    };
    Running::dial(server, user, &manner).finish()
}

/// A baresip at work, in a folder of its own.
pub struct Running {
    dir: tempfile::TempDir,
    child: Child,
    /// Where it listens.
    pub port: u16,
    watch: Option<Watch>,
}

/// What a watched one tells, and what it is told (its module `ctrl_tcp`: JSON in netstrings).
struct Watch {
    line: TcpStream,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Watch {
    /// Waits until it listens.
    fn open(port: u16) -> Self {
        let until = Instant::now() + Duration::from_secs(20);
        let line = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(line) => break line,
                Err(error) if Instant::now() > until => panic!("baresip does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut from = line.try_clone().unwrap();
        let (to, events) = channel();
        std::thread::spawn(move || {
            while let Some(event) = netstring(&mut from) {
                let _ = to.send(event);
            }
        });
        Self {
            line,
            events,
            seen: Vec::new(),
        }
    }
}

/// `5:hello,`, and in it JSON.
fn netstring(from: &mut impl Read) -> Option<Value> {
    let mut byte = [0];
    let mut len = 0;
    loop {
        from.read_exact(&mut byte).ok()?;
        match byte[0] {
            b':' => break,
            digit => len = len * 10 + usize::from(digit.checked_sub(b'0')?),
        }
    }
    let mut text = vec![0; len + 1];
    from.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text[..len]).ok()
}

impl Running {
    /// Dials `user` at once.
    pub fn dial(server: SocketAddr, user: &str, manner: &Manner) -> Self {
        let target = format!("/dial sip:{user}@{server};transport={}", manner.transport);
        Self::start(manner, ";regint=0", &["-e", &target])
    }

    /// Waits for calls and takes them at once.
    pub fn answer(manner: &Manner) -> Self {
        Self::start(manner, ";regint=0;answermode=auto", &[])
    }

    /// Registers with its password, and again before it ends; takes calls at once.
    pub fn register(manner: &Manner, password: &str) -> Self {
        let account = format!(";regint=60;auth_pass={password};answermode=auto");
        Self::start(manner, &account, &[])
    }

    fn start(manner: &Manner, account: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = super::rig::free_port();
        let control = manner.watched.then(super::rig::free_port);
        write_config(dir.path(), port, manner, account, control);
        let out = std::fs::File::create(dir.path().join("trace")).unwrap();
        let child = Command::new("baresip")
            .arg("-f")
            .arg(dir.path())
            .args(["-s", "-t", &manner.seconds.to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let watch = control.map(Watch::open);
        Self {
            dir,
            child,
            port,
            watch,
        }
    }

    /// Waits until its trace has this.
    pub fn says(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let trace = std::fs::read(self.dir.path().join("trace")).unwrap_or_default();
            let trace = String::from_utf8_lossy(&trace);
            if trace.contains(text) {
                return;
            }
            assert!(Instant::now() < until, "no '{text}':\n{trace}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells a watched one to do something: `dial`, `sip:…`.
    pub fn tell(&mut self, command: &str, params: &str) {
        let watch = self.watch.as_mut().expect("it is watched");
        let text = json!({ "command": command, "params": params }).to_string();
        write!(watch.line, "{}:{text},", text.len()).unwrap();
    }

    /// Waits until a watched one tells of this: `REGISTER_OK`, `CALL_ESTABLISHED`.
    pub fn wait_for(&mut self, kind: &str) -> Value {
        let watch = self.watch.as_mut().expect("it is watched");
        loop {
            let Ok(event) = watch.events.recv_timeout(Duration::from_secs(30)) else {
                let trace = std::fs::read(self.dir.path().join("trace")).unwrap_or_default();
                let trace = String::from_utf8_lossy(&trace);
                panic!("no {kind}: {:#?}\n{trace}", watch.seen);
            };
            watch.seen.push(event.clone());
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Call {
        let status = self.child.wait().unwrap();
        let trace = std::fs::read(self.dir.path().join("trace")).unwrap();
        let trace = String::from_utf8_lossy(&trace).into_owned();
        assert!(status.success(), "{trace}");
        let heard = heard(&self.dir.path().join("heard"));
        let mut events = Vec::new();
        if let Some(watch) = self.watch {
            events = watch.seen;
            events.extend(watch.events.iter());
        }
        Call {
            trace,
            heard,
            events,
        }
    }
}

/// No sound device: a file speaks, a bridge to nowhere listens, and sndfile keeps the sound.
fn write_config(path: &Path, port: u16, manner: &Manner, account: &str, control: Option<u16>) {
    let (at, rate) = (path.display(), manner.rate_hz);
    let more = manner.modules.iter();
    let mut more: String = more.map(|name| format!("module {name}.so\n")).collect();
    if let Some(control) = control {
        more += &format!("module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{control}\n");
    }
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{port}\ncall_max_calls 1\n\
         audio_source aufile,{at}/says.wav\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
         ausrc_srate {rate}\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
         module_path {MODULES}\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n{more}\
         module_app account.so\nmodule_app menu.so\nsnd_path {at}/heard\n{}",
        manner.config
    );
    std::fs::create_dir(path.join("heard")).unwrap();
    std::fs::write(path.join("config"), config).unwrap();
    let account = format!("<sip:{}>;{}{account}\n", manner.aor, manner.account);
    std::fs::write(path.join("accounts"), account).unwrap();
    std::fs::write(path.join("contacts"), "").unwrap();
    std::fs::write(path.join("says.wav"), wav(&manner.says, rate)).unwrap();
}

/// A WAV file of a minute: mono, 16 bit, the sound (8 kHz) again and again.
fn wav(says: &[i16], rate_hz: u32) -> Vec<u8> {
    let mut resampler = media_core::resample::Resampler::new(8_000, rate_hz).unwrap();
    let mut sound = Vec::new();
    resampler.push(says, &mut sound);
    let bytes = 60 * 2 * rate_hz as usize;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(rate_hz.to_le_bytes());
    wav.extend((2 * rate_hz).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((bytes as u32).to_le_bytes());
    let whole = wav.len() + bytes;
    let sound = sound.iter().cycle().take(bytes / 2);
    wav.extend(sound.flat_map(|sample| sample.to_le_bytes()));
    wav.resize(whole, 0);
    wav
}

fn heard(folder: &Path) -> Vec<i16> {
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut decoded: Vec<_> = files
        .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
        .collect();
    decoded.sort();
    let sound = decoded.iter().flat_map(|path| {
        let bytes = std::fs::read(path).unwrap();
        media_server::wav::Wav::read(&bytes).unwrap().mono()
    });
    sound.collect()
}
