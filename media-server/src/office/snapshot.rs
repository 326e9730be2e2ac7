//! The configuration this switch routes from: pulled, kept on disk, served without a lock.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use model::Snapshot;
use tokio::sync::watch;

use super::{Office, OfficeError, backoff::Backoff};
use crate::journal::{NodeKey, seal};

const LABEL: &str = "sidetone snapshot";

struct Inner {
    current: ArcSwap<Snapshot>,
    have: AtomicBool,
    changes: watch::Sender<u64>,
    file: PathBuf,
    key: NodeKey,
}

/// See the module. Clone it freely.
#[derive(Clone)]
pub struct SnapshotKeeper {
    inner: Arc<Inner>,
}

impl fmt::Debug for SnapshotKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotKeeper(revision {})", self.current().revision)
    }
}

impl SnapshotKeeper {
    /// Starts from the last good snapshot in `file` (sealed with `key`), else from the empty one. A
    /// file that cannot be used is told of and left to be replaced.
    pub fn open(file: &Path, key: &NodeKey) -> Self {
        let kept = read(file, key);
        let have = kept.is_some();
        let current = kept.unwrap_or_default();
        let (changes, _) = watch::channel(current.revision);
        let inner = Inner {
            current: ArcSwap::from_pointee(current),
            have: AtomicBool::new(have),
            changes,
            file: file.to_path_buf(),
            key: key.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The snapshot in force; a call keeps the `Arc` for life.
    pub fn current(&self) -> Arc<Snapshot> {
        self.inner.current.load_full()
    }

    /// Whether the office has ever told us what to route (on this disk).
    pub fn have(&self) -> bool {
        self.inner.have.load(Ordering::Relaxed)
    }

    /// The revision in force, as it changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Follows the office for ever; abort the task to stop.
    pub async fn run(self, office: Office) {
        let mut backoff = Backoff::new(office.timing());
        // The first answer is wanted now, changed or not: it tells whether the office is there.
        let mut wait = Duration::ZERO;
        loop {
            match self.follow(&office, wait).await {
                Ok(()) => {
                    backoff.reset();
                    wait = office.timing().poll;
                }
                Err(error) => {
                    tracing::debug!(%error, "no snapshot");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn follow(&self, office: &Office, wait: Duration) -> Result<(), OfficeError> {
        let known = self.current().revision;
        match office.snapshot(known, wait).await? {
            None => {
                self.inner.have.store(true, Ordering::Relaxed);
                Ok(())
            }
            // An office that answers at once with what we know would be asked in a circle.
            Some(same) if same.revision == known && self.have() => Err(OfficeError::Status {
                status: 200,
                message: format!("revision {known} again"),
            }),
            Some(next) => {
                self.take(next);
                self.keep().await;
                Ok(())
            }
        }
    }

    fn take(&self, next: Snapshot) {
        let revision = next.revision;
        self.inner.current.store(Arc::new(next));
        self.inner.have.store(true, Ordering::Relaxed);
        self.inner.changes.send_replace(revision);
        tracing::info!(revision, "new snapshot");
    }

    /// Writes the snapshot in force to disk. Failing costs nothing until the next start.
    async fn keep(&self) {
        let keeper = self.clone();
        let kept = tokio::task::spawn_blocking(move || keeper.write()).await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the snapshot could not be kept on disk"),
            Err(error) => tracing::warn!(%error, "the snapshot could not be kept on disk"),
        }
    }

    fn write(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let plain = serde_json::to_vec(&*self.current())?;
        seal::write_sealed(&self.inner.file, &self.inner.key, LABEL, &plain)?;
        Ok(())
    }
}

fn read(file: &Path, key: &NodeKey) -> Option<Snapshot> {
    let bytes = fs::read(file).ok()?;
    let snapshot = seal::open_sealed(&bytes, key, LABEL)
        .and_then(|plain| serde_json::from_slice::<Snapshot>(&plain).ok());
    if snapshot.is_none() {
        tracing::warn!(
            path = %file.display(),
            "the kept snapshot is damaged or sealed with another key: waiting for the office"
        );
    }
    snapshot
}
