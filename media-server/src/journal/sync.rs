//! The second thread: syncs what was written, prepares the next segment, deletes old ones. All of
//! it can take a slow disk's time without holding up a write.

use std::{
    fs::{self, File},
    io, mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
};

use super::{Shared, lock, segment::Segment};

#[derive(Default)]
struct Jobs {
    dirty: Vec<Arc<File>>,
    delete: Vec<PathBuf>,
    /// The number of the segment to prepare.
    prepare: Option<u64>,
    /// The number that the writer will ask for; none once it has gone on without us.
    wanted: Option<u64>,
    prepared: Option<Segment>,
    stop: bool,
}

/// What the writer leaves for this thread.
#[derive(Default)]
pub(crate) struct SyncQueue {
    jobs: Mutex<Jobs>,
    wake: Condvar,
    /// Held while a segment is made, so that both threads never make the same one.
    making: Mutex<()>,
}

impl SyncQueue {
    /// `file` has written bytes that are not synced.
    pub(crate) fn dirty(&self, file: &Arc<File>) {
        let mut jobs = lock(&self.jobs);
        if !jobs.dirty.iter().any(|known| Arc::ptr_eq(known, file)) {
            jobs.dirty.push(Arc::clone(file));
            self.wake.notify_one();
        }
    }

    /// These files can go, once everything that is dirty now is synced.
    pub(crate) fn delete(&self, paths: Vec<PathBuf>) {
        if !paths.is_empty() {
            lock(&self.jobs).delete.extend(paths);
            self.wake.notify_one();
        }
    }

    pub(crate) fn prepare(&self, number: u64) {
        let mut jobs = lock(&self.jobs);
        jobs.prepare = Some(number);
        jobs.wanted = Some(number);
        self.wake.notify_one();
    }

    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        lock(&self.making)
    }

    /// The prepared segment, if it is this one and ready.
    pub(crate) fn take_prepared(&self, number: u64) -> Option<Segment> {
        let mut jobs = lock(&self.jobs);
        jobs.prepare = None;
        jobs.wanted = None;
        jobs.prepared
            .take()
            .filter(|segment| segment.number == number)
    }

    pub(crate) fn stop(&self) {
        lock(&self.jobs).stop = true;
        self.wake.notify_one();
    }

    /// Waits for work, then for the rest of the sync interval so that more can gather.
    fn next(&self, shared: &Shared) -> Jobs {
        let mut jobs = lock(&self.jobs);
        while jobs.is_idle() {
            jobs = self.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        if !jobs.stop && jobs.prepare.is_none() {
            let waited = self
                .wake
                .wait_timeout_while(jobs, shared.limits.sync, |jobs| !jobs.stop);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Jobs {
            dirty: mem::take(&mut jobs.dirty),
            delete: mem::take(&mut jobs.delete),
            prepare: jobs.prepare.take(),
            wanted: None,
            prepared: None,
            stop: jobs.stop,
        }
    }
}

impl Jobs {
    fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.delete.is_empty() && self.prepare.is_none() && !self.stop
    }
}

pub(crate) fn start(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("journal-sync".into())
        .spawn(move || {
            let mut stop = false;
            while !stop {
                let jobs = shared.sync.next(&shared);
                stop = jobs.stop;
                run(&shared, jobs);
            }
        })
}

fn run(shared: &Shared, jobs: Jobs) {
    if !jobs.stop
        && let Some(number) = jobs.prepare
    {
        prepare(shared, number);
    }
    for file in &jobs.dirty {
        match file.sync_data() {
            Ok(()) => {
                shared.syncs.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                shared.write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the journal could not be synced");
            }
        }
    }
    for path in jobs.delete {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, path = %path.display(), "an old journal segment could not be deleted");
        }
    }
}

/// A failure here is not yet one: the writer makes the segment itself when it needs it.
fn prepare(shared: &Shared, number: u64) {
    let making = shared.sync.making();
    if lock(&shared.sync.jobs).wanted != Some(number) {
        return;
    }
    match shared.make_segment(number, &making) {
        Ok(segment) => lock(&shared.sync.jobs).prepared = Some(segment),
        Err(error) => tracing::warn!(%error, "the next journal segment could not be prepared"),
    }
}
