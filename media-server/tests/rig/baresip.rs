//! baresip as a far side: a real foreign phone, headless, with a folder of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

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
    /// What it decoded, 8 kHz.
    pub heard: Vec<i16>,
}

impl Call {
    /// The Call-ID of its INVITE.
    pub fn id(&self) -> &str {
        let mut lines = self.trace.lines();
        let line = lines.find_map(|line| line.trim().strip_prefix("Call-ID:"));
        line.unwrap_or_else(|| panic!("no call was made:\n{}", self.trace))
            .trim()
    }
}

/// Dials `user`, stays silent, hears, and hangs up (when nobody else has) after `seconds`.
pub fn dial(server: SocketAddr, user: &str, transport: &str, seconds: u32) -> Call {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write_config(path);
    let target = format!("/dial sip:{user}@{server};transport={transport}");
    let output = Command::new("baresip")
        .arg("-f")
        .arg(path)
        .args(["-s", "-t", &seconds.to_string(), "-e", &target])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let trace = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{trace}");
    let heard = heard(&path.join("heard"));
    Call { trace, heard }
}

/// No sound device: a silent file speaks, a bridge to nowhere listens, and sndfile keeps the sound.
fn write_config(path: &Path) {
    let port = super::rig::free_port();
    let at = path.display();
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{port}\ncall_max_calls 1\n\
         audio_source aufile,{at}/silence.wav\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
         module_path {MODULES}\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
         module_app account.so\nmodule_app menu.so\nsnd_path {at}/heard\n"
    );
    std::fs::create_dir(path.join("heard")).unwrap();
    std::fs::write(path.join("config"), config).unwrap();
    let account = "<sip:foreign@127.0.0.1>;regint=0;audio_codecs=PCMU/8000/1\n";
    std::fs::write(path.join("accounts"), account).unwrap();
    std::fs::write(path.join("contacts"), "").unwrap();
    std::fs::write(path.join("silence.wav"), silence(60)).unwrap();
}

/// A WAV file: 8 kHz, mono, 16 bit.
fn silence(seconds: u32) -> Vec<u8> {
    let bytes = seconds * 16_000;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.resize(wav.len() + bytes as usize, 0);
    wav
}

fn heard(folder: &Path) -> Vec<i16> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let decoded = files.find(|path| path.to_string_lossy().ends_with("-dec.wav"));
    decoded.map_or_else(Vec::new, |path| {
        let bytes = std::fs::read(path).unwrap();
        media_server::wav::Wav::read(&bytes).unwrap().mono()
    })
}
