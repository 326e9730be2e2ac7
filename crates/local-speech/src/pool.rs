//! A few threads that run the recogniser, far from the media threads.
//!
//! Two bounded queues: finals wait, partials are dropped oldest first. One job's panic or
//! a caller's hang-up touches no other job. Each thread computes on one core only.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::ears::{DecodeKind, DecodeRequest};
use crate::error::SpeechError;
use crate::graph::Lane;
use crate::models::Models;
use crate::moonshine::Transcript;

/// What a job ends with.
pub type Outcome = Result<Transcript, SpeechError>;

/// How large a pool is.
#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    /// Threads; each keeps at most one core busy.
    pub threads: usize,
    /// Finals that may wait; one more is refused.
    pub finals: usize,
    /// Partials that may wait; one more drops the oldest.
    pub partials: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            threads: 2,
            finals: 64,
            partials: 32,
        }
    }
}

/// What the pool has done since it started, and what waits now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Finals that ended, well or badly.
    pub finals_done: u64,
    /// Partials that ended, well or badly.
    pub partials_done: u64,
    /// Partials given up unstarted: too many waited, or a newer job of the same call made them useless.
    pub partials_dropped: u64,
    /// Finals refused because too many waited.
    pub finals_refused: u64,
    /// Jobs of calls that had ended.
    pub cancelled: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Time the threads spent computing, µs.
    pub busy_us: u64,
    /// Finals waiting now.
    pub queued_finals: usize,
    /// Partials waiting now.
    pub queued_partials: usize,
}

/// Says that a call's speech work is no longer wanted. One per call, cloned into its jobs.
#[derive(Clone, Default, Debug)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A fresh one: nothing cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// All jobs that carry this end soon with [`SpeechError::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work is unwanted.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn same(&self, other: &Cancel) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A handle on the pool; the threads end when the last one is dropped.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    recogniser: Arc<dyn Recognise>,
    config: PoolConfig,
    queues: Mutex<Queues>,
    work: Condvar,
    counters: Counters,
}

#[derive(Default)]
struct Queues {
    finals: VecDeque<Job>,
    partials: VecDeque<Job>,
    closed: bool,
}

#[derive(Default)]
struct Counters {
    finals_done: AtomicU64,
    partials_done: AtomicU64,
    partials_dropped: AtomicU64,
    finals_refused: AtomicU64,
    cancelled: AtomicU64,
    panicked: AtomicU64,
    busy_us: AtomicU64,
}

/// What a pool thread does with a job; the tests put a scripted one in its place.
trait Recognise: Send + Sync {
    fn recognise(&self, lane: &Lane, request: &DecodeRequest, cancel: &Cancel) -> Outcome;
}

impl Recognise for Models {
    fn recognise(&self, lane: &Lane, request: &DecodeRequest, cancel: &Cancel) -> Outcome {
        let model = self.recogniser()?;
        lane.run(|| {
            model.transcribe(lane, &request.audio, request.speech_ms, &|| {
                cancel.is_cancelled()
            })
        })
    }
}

struct Job {
    request: DecodeRequest,
    cancel: Cancel,
    done: Box<dyn FnOnce(Outcome) + Send>,
}

impl Pool {
    /// Starts the threads. The models are loaded by the first job, or by [`Models::load`].
    pub fn start(models: Arc<Models>, config: PoolConfig) -> Result<Pool, SpeechError> {
        Pool::start_with(models, config)
    }

    fn start_with(recogniser: Arc<dyn Recognise>, config: PoolConfig) -> Result<Pool, SpeechError> {
        let shared = Arc::new(Shared {
            recogniser,
            config,
            queues: Mutex::default(),
            work: Condvar::new(),
            counters: Counters::default(),
        });
        let owner = Arc::new(Owner {
            shared: shared.clone(),
        });
        for i in 0..config.threads.max(1) {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("speech-{i}"))
                .spawn(move || shared.serve(&Lane::new()))
                .map_err(|e| SpeechError::NoThreads {
                    reason: e.to_string(),
                })?;
        }
        Ok(Pool { owner })
    }

    /// Queues a recognition; its outcome comes through the receiver.
    pub fn transcribe(
        &self,
        request: DecodeRequest,
        cancel: &Cancel,
    ) -> Result<oneshot::Receiver<Outcome>, SpeechError> {
        let (sender, receiver) = oneshot::channel();
        self.transcribe_with(request, cancel, move |outcome| {
            // A receiver that is gone is a call that is gone.
            let _ = sender.send(outcome);
        })?;
        Ok(receiver)
    }

    /// The same with a callback, run on a thread of the pool (or on the thread whose job
    /// pushed this one out): it must be quick and must not block.
    pub fn transcribe_with(
        &self,
        request: DecodeRequest,
        cancel: &Cancel,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) -> Result<(), SpeechError> {
        let job = Job {
            request,
            cancel: cancel.clone(),
            done: Box::new(done),
        };
        let dropped = self.owner.shared.enqueue(job)?;
        for job in dropped {
            self.owner.shared.drop_partial(job);
        }
        Ok(())
    }

    /// A snapshot of the counters.
    pub fn counters(&self) -> PoolCounters {
        let shared = &self.owner.shared;
        let (queued_finals, queued_partials) = {
            let queues = shared.lock();
            (queues.finals.len(), queues.partials.len())
        };
        let read = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &shared.counters;
        PoolCounters {
            finals_done: read(&c.finals_done),
            partials_done: read(&c.partials_done),
            partials_dropped: read(&c.partials_dropped),
            finals_refused: read(&c.finals_refused),
            cancelled: read(&c.cancelled),
            panicked: read(&c.panicked),
            busy_us: read(&c.busy_us),
            queued_finals,
            queued_partials,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let left: Vec<Job> = {
            let mut queues = self.shared.lock();
            queues.closed = true;
            let finals = std::mem::take(&mut queues.finals);
            finals
                .into_iter()
                .chain(queues.partials.drain(..))
                .collect()
        };
        self.shared.work.notify_all();
        for job in left {
            (job.done)(Err(SpeechError::Cancelled));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in its queue; gives back the partials it pushed out.
    fn enqueue(&self, job: Job) -> Result<Vec<Job>, SpeechError> {
        let mut queues = self.lock();
        let mut dropped = queues.take_older_partials(&job);
        match job.request.kind {
            DecodeKind::Final if queues.finals.len() >= self.config.finals => {
                self.counters.finals_refused.fetch_add(1, Ordering::Relaxed);
                let limit = self.config.finals;
                // What this job made useless stays useless, but is not lost silently.
                queues.partials.extend(dropped);
                return Err(SpeechError::PoolFull {
                    lane: "finals",
                    limit,
                });
            }
            DecodeKind::Final => queues.finals.push_back(job),
            DecodeKind::Partial => {
                if queues.partials.len() >= self.config.partials {
                    dropped.extend(queues.partials.pop_front());
                }
                queues.partials.push_back(job);
            }
        }
        drop(queues);
        self.work.notify_one();
        Ok(dropped)
    }

    fn drop_partial(&self, job: Job) {
        self.counters
            .partials_dropped
            .fetch_add(1, Ordering::Relaxed);
        (job.done)(Err(SpeechError::PoolFull {
            lane: "partials",
            limit: self.config.partials,
        }));
    }

    /// A thread's life: finals first.
    fn serve(&self, lane: &Lane) {
        while let Some(job) = self.next() {
            self.run(lane, job);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            let finals_first = queues.finals.pop_front();
            if let Some(job) = finals_first.or_else(|| queues.partials.pop_front()) {
                return Some(job);
            }
            queues = self
                .work
                .wait(queues)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, lane: &Lane, job: Job) {
        let Job {
            request,
            cancel,
            done,
        } = job;
        let started = Instant::now();
        let work = || match cancel.is_cancelled() {
            true => Err(SpeechError::Cancelled),
            false => self.recogniser.recognise(lane, &request, &cancel),
        };
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(crashed(panic.as_ref())));
        let spent_us = started.elapsed().as_micros() as u64;
        self.count(request.kind, &outcome, spent_us);
        let outcome = outcome.map(|transcript| Transcript {
            compute_us: spent_us,
            ..transcript
        });
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("the receiver of a transcript panicked");
        }
    }

    fn count(&self, kind: DecodeKind, outcome: &Outcome, spent_us: u64) {
        let c = &self.counters;
        let done = match kind {
            DecodeKind::Final => &c.finals_done,
            DecodeKind::Partial => &c.partials_done,
        };
        done.fetch_add(1, Ordering::Relaxed);
        c.busy_us.fetch_add(spent_us, Ordering::Relaxed);
        match outcome {
            Err(SpeechError::Cancelled) => c.cancelled.fetch_add(1, Ordering::Relaxed),
            Err(SpeechError::Panicked { .. }) => c.panicked.fetch_add(1, Ordering::Relaxed),
            Ok(_) | Err(_) => 0,
        };
    }
}

impl Queues {
    /// Partials of the same call are useless once a newer job of it is queued.
    fn take_older_partials(&mut self, job: &Job) -> Vec<Job> {
        let (useless, rest) = std::mem::take(&mut self.partials)
            .into_iter()
            .partition::<Vec<Job>, _>(|waiting| waiting.cancel.same(&job.cancel));
        self.partials = rest.into();
        useless
    }
}

pub(crate) fn crashed(panic: &(dyn std::any::Any + Send)) -> SpeechError {
    let reason = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned());
    SpeechError::Panicked { reason }
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
