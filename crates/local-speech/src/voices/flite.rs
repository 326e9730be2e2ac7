//! The Debian program `flite` as a voice: one bounded subprocess for each sentence.
//!
//! The text goes through a file of mode 600 in a folder of its own: no shell, no argument
//! that could be taken for an option, nothing in the process list.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::SpeechError;
use crate::pool::Cancel;

/// Voices of the Debian package that are worth offering.
pub(crate) const VOICES: [&str; 4] = ["rms", "slt", "awb", "kal16"];
/// Where Debian and a local build put the program.
const PLACES: [&str; 2] = ["/usr/bin/flite", "/usr/local/bin/flite"];
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(2);
/// Ten minutes of sound: more than any sentence has.
const MAX_WAV_BYTES: u64 = 20 << 20;
const MAX_PHONES_BYTES: u64 = 1 << 20;

/// The installed program.
#[derive(Debug, Clone)]
pub(crate) struct Flite {
    program: PathBuf,
    limit: Duration,
}

/// One phone and where it ends, s.
pub(crate) type TimedPhone = (String, f32);

/// What one run gives.
pub(crate) struct Run {
    pub(crate) samples: Vec<i16>,
    pub(crate) rate_hz: u32,
    pub(crate) phones: Vec<TimedPhone>,
}

impl Flite {
    /// The program named, or else the installed one, if there is any.
    pub(crate) fn find(named: Option<&Path>, limit: Duration) -> Option<Flite> {
        let program = match named {
            Some(path) => path.to_path_buf(),
            None => PathBuf::from(PLACES.into_iter().find(|p| Path::new(p).is_file())?),
        };
        program.is_file().then_some(Flite { program, limit })
    }

    /// Speaks one sentence; blocks the calling thread for at most the limit.
    pub(crate) fn synthesise(
        &self,
        voice: &str,
        sentence: &str,
        stretch: f32,
        cancel: &Cancel,
    ) -> Result<Run, SpeechError> {
        let failed = |reason: String| SpeechError::Voice {
            name: voice.to_owned(),
            reason,
        };
        let scratch = tempfile::Builder::new()
            .prefix("voice-")
            .tempdir()
            .map_err(|e| failed(e.to_string()))?;
        let wav = scratch.path().join("out.wav");
        let child = self
            .spawn(scratch.path(), &wav, voice, sentence, stretch)
            .map_err(|e| failed(e.to_string()))?;
        let status = self.wait(child, voice, cancel)?;
        if !status.success() {
            return Err(failed(format!("it ended with {status}")));
        }
        let bytes = read_bounded(&wav, MAX_WAV_BYTES).map_err(failed)?;
        let table =
            read_bounded(&scratch.path().join("phones"), MAX_PHONES_BYTES).map_err(failed)?;
        let (samples, rate_hz) =
            pcm(&bytes).ok_or_else(|| failed("it wrote no 16-bit WAV".into()))?;
        Ok(Run {
            samples,
            rate_hz,
            phones: timed_phones(&String::from_utf8_lossy(&table)),
        })
    }

    fn spawn(
        &self,
        scratch: &Path,
        wav: &Path,
        voice: &str,
        sentence: &str,
        stretch: f32,
    ) -> std::io::Result<Child> {
        let text = scratch.join("text");
        let mut file = private(&text)?;
        file.write_all(sentence.as_bytes())?;
        file.write_all(b"\n")?;
        drop(file);
        Command::new(&self.program)
            .args(["-voice", voice, "--setf"])
            .arg(format!("duration_stretch={stretch:.3}"))
            .args(["-psdur", "-f"])
            .arg(&text)
            .arg("-o")
            .arg(wav)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(private(&scratch.join("phones"))?)
            .stderr(Stdio::null())
            .spawn()
    }

    fn wait(
        &self,
        mut child: Child,
        voice: &str,
        cancel: &Cancel,
    ) -> Result<ExitStatus, SpeechError> {
        let started = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if !cancel.is_cancelled() && started.elapsed() < self.limit => {
                    std::thread::sleep(POLL);
                }
                Ok(None) | Err(_) => break,
            }
        }
        // Both may fail only because it has ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        if cancel.is_cancelled() {
            return Err(SpeechError::Cancelled);
        }
        Err(SpeechError::Voice {
            name: voice.to_owned(),
            reason: format!("it took longer than {} ms", self.limit.as_millis()),
        })
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > limit {
        return Err(format!("it wrote {length} bytes, more than {limit}"));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}

/// Samples and rate of a mono 16-bit WAV.
fn pcm(bytes: &[u8]) -> Option<(Vec<i16>, u32)> {
    let field = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 12;
    let mut rate_hz = None;
    loop {
        let size = field(at + 4)? as usize;
        match bytes.get(at..at + 4)? {
            b"fmt " => rate_hz = Some(field(at + 12)?),
            b"data" => {
                let end = at.checked_add(8)?.checked_add(size)?.min(bytes.len());
                let data = bytes.get(at + 8..end)?.chunks_exact(2);
                let samples = data.map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
                return Some((samples, rate_hz?));
            }
            _ => {}
        }
        at = at.checked_add(8)?.checked_add(size.next_multiple_of(2))?;
    }
}

/// Reads `-psdur`: `pau:0.119 hh:0.212 …`; what is not of this form is passed over.
fn timed_phones(table: &str) -> Vec<TimedPhone> {
    table
        .split_whitespace()
        .filter_map(|item| {
            let (phone, end) = item.rsplit_once(':')?;
            Some((phone.to_owned(), end.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phone_table_is_read_and_rubbish_passed_over() {
        let phones = timed_phones("pau:0.119 hh:0.212 rubbish ax:x \n l:0.4");
        let names: Vec<&str> = phones.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(names, ["pau", "hh", "l"]);
    }

    #[test]
    fn a_truncated_wav_is_no_sound() {
        assert!(pcm(b"RIFF\0\0\0\0WAVEfmt \x10").is_none());
        assert!(pcm(&[0xff; 64]).is_none());
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("flite");
        let script = "#!/bin/sh\nexec /bin/sleep 600\n";
        std::fs::write(&program, script).expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("executable");
        let flite = Flite::find(Some(&program), Duration::from_millis(30)).expect("found");
        let outcome = flite.synthesise("rms", "hello", 1.0, &Cancel::new());
        assert!(
            matches!(outcome, Err(SpeechError::Voice { reason, .. }) if reason.contains("30 ms"))
        );
    }
}
