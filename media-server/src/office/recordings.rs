//! Recordings from the switch's disk to the office.
//!
//! A finished file gets a marker beside it (`NAME.wav.ready`) before anybody hears of it. The
//! markers are the queue: a killed switch finds them again. File and marker go once the office
//! has answered with the same hash.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{CallId, internal::RecordingAck};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::{Office, OfficeError, backoff::Backoff};
use crate::journal::seal;

/// A hash that does not fit is worth a few more tries: the line may have broken it.
const MOST_MISMATCHES: u32 = 3;

/// What a whole recording is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// File size.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Marker {
    call: CallId,
    #[serde(flatten)]
    finished: Finished,
}

#[derive(Debug, Clone)]
struct Pending {
    wav: PathBuf,
    marker: Marker,
    mismatches: u32,
}

struct Inner {
    office: Office,
    waiting: Mutex<VecDeque<Pending>>,
    more: Notify,
}

/// See the module. Clone it freely; one task runs it.
#[derive(Clone)]
pub struct RecordingUploader {
    inner: Arc<Inner>,
}

impl RecordingUploader {
    /// Finds what the last process had not handed over in `dir` (made when missing).
    pub fn open(dir: &Path, office: Office) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut waiting = VecDeque::new();
        for entry in fs::read_dir(dir)? {
            waiting.extend(pending(&entry?.path()));
        }
        let more = Notify::new();
        more.notify_one();
        let inner = Inner {
            office,
            waiting: Mutex::new(waiting),
            more,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// How many recordings wait for the office.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// A recording is whole: hashes it, marks it and queues it. Call this before `recording_ready`
    /// is written to the journal, which then tells these figures.
    pub async fn ready(&self, call: CallId, wav: &Path) -> Result<Finished, OfficeError> {
        let path = wav.to_path_buf();
        let marker = tokio::task::spawn_blocking(move || mark(call, &path))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| OfficeError::Disk {
                what: "a recording could not be marked as ready",
                source,
            })?;
        let finished = marker.finished.clone();
        self.lock().push_back(Pending {
            wav: wav.to_path_buf(),
            marker,
            mismatches: 0,
        });
        self.inner.more.notify_one();
        Ok(finished)
    }

    /// Uploads for ever, one at a time; abort the task to stop.
    pub async fn run(self) {
        let mut backoff = Backoff::new(self.inner.office.timing());
        loop {
            let next = self.lock().pop_front();
            let Some(pending) = next else {
                self.inner.more.notified().await;
                continue;
            };
            match self.upload(pending).await {
                None => backoff.reset(),
                Some(again) => {
                    self.lock().push_back(again);
                    backoff.wait().await;
                }
            }
        }
    }

    /// Tries once; what has to be tried again comes back.
    async fn upload(&self, mut pending: Pending) -> Option<Pending> {
        let Marker { call, finished } = &pending.marker;
        let sent = self
            .inner
            .office
            .upload(*call, &pending.wav, finished)
            .await;
        let mismatch = match sent {
            Ok(ack) if same(&ack, finished) => {
                remove(&pending.wav).await;
                return None;
            }
            Ok(_) => true,
            Err(error) if error.is_transient() => return Some(pending),
            Err(error) if error.status() == Some(422) => true,
            Err(error) => {
                give_up(&pending, &error.to_string());
                return None;
            }
        };
        pending.mismatches += u32::from(mismatch);
        if pending.mismatches < MOST_MISMATCHES {
            return Some(pending);
        }
        give_up(&pending, "its hash does not fit");
        None
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.inner
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn same(ack: &RecordingAck, finished: &Finished) -> bool {
    ack.sha256.eq_ignore_ascii_case(&finished.sha256) && ack.bytes == finished.bytes
}

fn marker_of(wav: &Path) -> PathBuf {
    let mut name = wav.as_os_str().to_owned();
    name.push(".ready");
    PathBuf::from(name)
}

/// The recording that `path` marks, if it is a marker and its recording is there.
fn pending(path: &Path) -> Option<Pending> {
    let wav = PathBuf::from(path.to_str()?.strip_suffix(".ready")?);
    let marker = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if wav.exists() {
        return Some(Pending {
            wav,
            marker,
            mismatches: 0,
        });
    }
    // Killed between removing the two.
    let _ = fs::remove_file(path);
    None
}

fn mark(call: CallId, wav: &Path) -> io::Result<Marker> {
    let mut file = fs::File::open(wav)?;
    let mut hasher = Sha256::new();
    let bytes = io::copy(&mut file, &mut HashWriter(&mut hasher))?;
    let finished = Finished {
        bytes,
        sha256: seal::encode_hex(&hasher.finalize()),
    };
    let marker = Marker { call, finished };
    seal::write_private(&marker_of(wav), &serde_json::to_vec(&marker)?)?;
    Ok(marker)
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The recording first: a marker alone is cleared away at the next start.
async fn remove(wav: &Path) {
    for path in [wav.to_path_buf(), marker_of(wav)] {
        if let Err(error) = tokio::fs::remove_file(&path).await {
            tracing::warn!(%error, path = %path.display(), "an uploaded recording could not be removed");
        }
    }
}

/// The file stays, its marker is renamed, so that no start tries it again.
fn give_up(pending: &Pending, why: &str) {
    let marker = marker_of(&pending.wav);
    let refused = marker.with_extension("refused");
    let call = pending.marker.call;
    tracing::error!(%call, why, path = %pending.wav.display(), "a recording was refused and stays here");
    if let Err(error) = fs::rename(&marker, &refused) {
        tracing::warn!(%error, path = %marker.display(), "its marker could not be renamed");
    }
}
