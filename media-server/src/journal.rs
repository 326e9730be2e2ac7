//! The journal: facts go to disk first, then to the office, exactly once.
//!
//! One writer thread owns the segments. Appending takes a short lock and never waits for a disk; the
//! writer gathers for a few milliseconds, seals each record with the segment's key and hands the
//! lot to the kernel in one `write`: from then on a SIGKILL cannot take it. A second thread syncs,
//! prepares the next segment and deletes old ones, so that a slow disk never holds up a write.
//!
//! A segment is deleted once the office has acknowledged its facts and each call in it has an
//! acknowledged end. When the spool is more than half full, the state of long calls is written
//! again at the front, so that one day-long call cannot hold a day of segments.

use std::{
    fs::{self, File},
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use model::{CallId, Fact, NodeId, fact::Started};
use tokio::sync::{Notify, oneshot};

mod calls;
mod folder;
mod queue;
mod record;
mod recover;
pub(crate) mod seal;
mod segment;
mod space;
mod store;
mod sync;
mod writer;

use queue::Queue;
pub use record::Record;
pub use seal::NodeKey;
pub use segment::Position;
pub use store::{Batch, BatchFact};

/// Why the journal cannot work.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The key is not a key.
    #[error("the node key must be 64 hex digits, or 32 bytes in base64")]
    KeyForm,
    /// The spool was written under another key.
    #[error(
        "{path} was sealed with another node key: start with that key, or move the folder away to begin anew",
        path = path.display()
    )]
    OtherKey {
        /// The segment.
        path: PathBuf,
    },
    /// Two processes must not write one journal.
    #[error("{path} is in use by another media-server", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// No random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// A record could not be sealed.
    #[error("a record could not be sealed")]
    Sealing,
    /// A thread could not be started.
    #[error("cannot start the journal's threads: {0}")]
    Thread(io::Error),
}

impl JournalError {
    pub(crate) fn disk(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk {
            what,
            path: path.to_path_buf(),
            source,
        }
    }
}

/// Why a record was not kept. The `seq` of a refused fact is still free: give it to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More records wait for the disk than the queue holds.
    #[error("the journal's queue is full")]
    QueueFull,
    /// The room that is left is kept for what matters more.
    #[error("the journal's spool is full")]
    SpoolFull,
    /// One record may have 256 KiB.
    #[error("the record is too large for the journal")]
    TooLarge,
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// How much the journal may hold, and how fast it writes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Size of a segment.
    pub segment_bytes: u64,
    /// How many segments the spool may fill.
    pub segments: u32,
    /// Kept for the calls that are already here; new calls get 503 when only this is left.
    pub reserve_bytes: u64,
    /// Records that may wait for the disk.
    pub queue_records: usize,
    /// How long a record nobody waits for may wait for company (at most 5 ms).
    pub gather: Duration,
    /// How long written records may stay unsynced (syncing itself comes on top).
    pub sync: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 4 << 20,
            segments: 64,
            reserve_bytes: 16 << 20,
            queue_records: 65_536,
            gather: Duration::from_millis(2),
            sync: Duration::from_millis(100),
        }
    }
}

impl Limits {
    pub(crate) fn total_bytes(&self) -> u64 {
        self.segment_bytes.saturating_mul(u64::from(self.segments))
    }
}

/// A call that was alive when the last process of this folder died.
#[derive(Debug, Clone, PartialEq)]
pub struct LostCall {
    /// The conversation.
    pub call: CallId,
    /// The boot of its facts; `ended(node_lost)` belongs to the same.
    pub boot: u64,
    /// The `seq` of the next fact.
    pub next_seq: u32,
    /// How it began (absent only if that record was damaged).
    pub started: Option<Started>,
    /// Wall clock of its last fact, milliseconds since 1970 UTC.
    pub last_at_unix_ms: i64,
    /// Offset of its last fact, milliseconds.
    pub last_offset_ms: u64,
    /// Offset of its answer, if it was answered: durations count from here.
    pub answered_offset_ms: Option<u64>,
    /// A recording was begun and not finished.
    pub recording_open: bool,
    /// The latest seed of each dialog that still stands.
    pub seeds: Vec<(u8, Vec<u8>)>,
}

/// What the folder held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Facts that still have to reach the office.
    pub unacknowledged: u64,
    /// Calls without an end, oldest first: each is owed a BYE and an `ended(node_lost)`.
    pub lost: Vec<LostCall>,
    /// Damaged stretches that were set aside.
    pub corrupt: u64,
    /// Bytes of torn tails that were cut off.
    pub torn_bytes: u64,
    /// Where the damaged stretches are, if there were any.
    pub set_aside: Option<PathBuf>,
}

/// The journal in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Records on their way to the disk.
    pub queued: u64,
    /// Records written since the start.
    pub written: u64,
    /// Records refused since the start.
    pub refused: u64,
    /// Damaged stretches met since the start.
    pub corrupt: u64,
    /// Bytes of the spool in use.
    pub used_bytes: u64,
    /// Bytes the spool may use.
    pub total_bytes: u64,
    /// Facts the office has not acknowledged.
    pub unacknowledged: u64,
    /// Calls without an end.
    pub live: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Writes the disk refused (each is tried again).
    pub write_errors: u64,
    /// Syncs done.
    pub syncs: u64,
}

const DEAD_LETTERS: &str = "sidetone dead letters";

/// What all threads and handles share.
pub(crate) struct Shared {
    dir: PathBuf,
    key: NodeKey,
    limits: Limits,
    identity: folder::Identity,
    queue: Queue,
    store: Mutex<store::Store>,
    ack: Mutex<folder::AckFile>,
    sync: sync::SyncQueue,
    facts: Notify,
    failing: AtomicBool,
    written: AtomicU64,
    write_errors: AtomicU64,
    syncs: AtomicU64,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, store::Store> {
        lock(&self.store)
    }

    /// Makes a segment; the guard shows that nobody else is making one.
    fn make_segment(
        &self,
        number: u64,
        _making: &MutexGuard<'_, ()>,
    ) -> Result<segment::Segment, JournalError> {
        let bytes = self.limits.segment_bytes;
        segment::Segment::create(&self.dir, number, self.identity.boot, bytes, &self.key)
    }
}

/// A panic elsewhere must not silence the journal: its data is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// A handle on the journal; clone it freely. When the last one goes, what was appended is still
/// written.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

impl Journal {
    /// Opens the journal in `dir`, reads back what the last process left and starts the threads.
    /// `now_unix_ms` is used once, for the id of a folder that is new.
    pub fn open(
        dir: &Path,
        key: &NodeKey,
        limits: Limits,
        now_unix_ms: i64,
    ) -> Result<(Self, Recovered), JournalError> {
        fs::create_dir_all(dir).map_err(|e| JournalError::disk("create", dir, e))?;
        let guard = exclusive(dir)?;
        let (shared, segment, recovered) = recover::open(dir, key.clone(), limits, now_unix_ms)?;
        let shared = Arc::new(shared);
        let threads = vec![
            sync::start(Arc::clone(&shared)).map_err(JournalError::Thread)?,
            writer::start(Arc::clone(&shared), segment, guard).map_err(JournalError::Thread)?,
        ];
        let inner = Inner {
            shared,
            threads: Mutex::new(threads),
        };
        let inner = Arc::new(inner);
        Ok((Self { inner }, recovered))
    }

    /// This folder's node.
    pub fn node(&self) -> NodeId {
        self.shared().identity.node
    }

    /// How often this folder was opened, from 1.
    pub fn boot(&self) -> u64 {
        self.shared().identity.boot
    }

    /// Appends without waiting. An error means that nothing was kept.
    pub fn append(&self, record: Record) -> Result<(), Refused> {
        self.shared().queue.push(record, None)
    }

    /// Appends, and resolves when the record is with the kernel. It is queued at once, in order.
    pub fn append_written(&self, record: Record) -> Written {
        let (done, written) = oneshot::channel();
        match self.shared().queue.push(record, Some(done)) {
            Ok(()) => Written(Waiting::Later(written)),
            Err(refused) => Written(Waiting::Refused(refused)),
        }
    }

    /// Resolves when everything appended before is with the kernel.
    pub fn flush(&self) -> Written {
        let (done, written) = oneshot::channel();
        match self.shared().queue.push_flush(done) {
            Ok(()) => Written(Waiting::Later(written)),
            Err(refused) => Written(Waiting::Refused(refused)),
        }
    }

    /// Whether a new call's `started` would be kept; when not, new calls get 503.
    pub fn accepting(&self) -> bool {
        !self.shared().failing.load(Ordering::Relaxed) && self.shared().queue.accepting()
    }

    /// The journal in numbers.
    pub fn stats(&self) -> JournalStats {
        let shared = self.shared();
        let mut stats = shared.queue.stats();
        shared.store().add_stats(&mut stats);
        stats.written = shared.written.load(Ordering::Relaxed);
        stats.write_errors = shared.write_errors.load(Ordering::Relaxed);
        stats.syncs = shared.syncs.load(Ordering::Relaxed);
        stats
    }

    /// The first facts (at most `max`, about 1 MiB) behind the acknowledged position. Reads the
    /// disk: not for a runtime's own threads.
    pub fn next_batch(&self, max: usize) -> Result<Batch, JournalError> {
        store::next_batch(&self.shared().store, max)
    }

    /// The office has the first `accepted` facts of `batch`. Writes to the disk.
    pub fn acknowledge(&self, batch: &Batch, accepted: usize) -> Result<(), JournalError> {
        let shared = self.shared();
        let Some(position) = batch.position_after(accepted) else {
            return Ok(());
        };
        if !shared.store().is_news(position) {
            return Ok(());
        }
        lock(&shared.ack).keep(position)?;
        shared.store().acknowledged(position, accepted as u64);
        shared.queue.ask_for_housekeeping();
        Ok(())
    }

    /// Keeps facts that the office will never take in a sealed file of their own in `folder`, one
    /// JSON line each.
    pub(crate) fn keep_dead_letters(
        &self,
        folder: &Path,
        facts: &[BatchFact],
    ) -> Result<(), JournalError> {
        let mut lines = Vec::new();
        for fact in facts {
            lines.extend_from_slice(&fact.json);
            lines.push(b'\n');
        }
        let mut random = [0; 8];
        seal::random(&mut random)?;
        let name = format!("{}.facts", seal::encode_hex(&random));
        seal::write_sealed(&folder.join(name), &self.shared().key, DEAD_LETTERS, &lines)
    }

    /// The facts in such a file; none when it is damaged or sealed with another key.
    pub fn read_dead_letters(bytes: &[u8], key: &NodeKey) -> Option<Vec<Fact>> {
        let lines = seal::open_sealed(bytes, key, DEAD_LETTERS)?;
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).ok())
            .collect()
    }

    /// Resolves when facts may be waiting for the office. For one waiter: the shipper.
    pub async fn wait_for_facts(&self) {
        self.shared().facts.notified().await;
    }

    /// Writes what was appended, syncs it and ends the threads. Other handles are refused from now on.
    pub fn close(self) {
        self.shared().queue.close();
        for thread in lock(&self.inner.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a journal thread had panicked");
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }
}

/// Resolves when a record is with the kernel (it then survives the death of this process).
#[must_use = "the record is queued anyhow, but nobody learns whether it was written"]
pub struct Written(Waiting);

enum Waiting {
    Refused(Refused),
    Later(oneshot::Receiver<()>),
}

impl Written {
    /// Waits on a thread that is not a runtime's.
    pub fn wait(self) -> Result<(), Refused> {
        match self.0 {
            Waiting::Refused(refused) => Err(refused),
            Waiting::Later(written) => written.blocking_recv().map_err(|_| Refused::Closed),
        }
    }
}

impl Future for Written {
    type Output = Result<(), Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Waiting::Refused(refused) => Poll::Ready(Err(*refused)),
            Waiting::Later(written) => Pin::new(written)
                .poll(context)
                .map(|done| done.map_err(|_| Refused::Closed)),
        }
    }
}

/// One process per folder; the lock goes with the writer thread.
fn exclusive(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|e| JournalError::disk("create", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse {
            path: dir.to_path_buf(),
        }),
        Err(fs::TryLockError::Error(e)) => Err(JournalError::disk("lock", &path, e)),
    }
}

/// The fact a batch carries, as the journal wrote it.
impl BatchFact {
    /// The fact itself.
    pub fn fact(&self) -> Option<Fact> {
        serde_json::from_slice(&self.json).ok()
    }
}
