//! The threads that speak: requests wait in one bounded queue and take turns by sentence.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::{Engines, SayRequest, SpokenSentence, spoken};
use crate::error::SpeechError;
use crate::pool::{Cancel, crashed};

type Sentence = Result<SpokenSentence, SpeechError>;

/// What the handles hold; dropping the last one ends the threads.
pub(super) struct Queue {
    shared: Arc<Shared>,
    limit: usize,
    refused: AtomicU64,
}

struct Shared {
    engines: Arc<Engines>,
    waiting: Mutex<Waiting>,
    work: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// A request and the sentences it still has to say.
struct Job {
    request: SayRequest,
    left: VecDeque<Range<usize>>,
    index: usize,
    cancel: Cancel,
    sender: mpsc::Sender<Sentence>,
}

impl Queue {
    pub(super) fn start(
        engines: Arc<Engines>,
        threads: usize,
        limit: usize,
    ) -> Result<Arc<Queue>, SpeechError> {
        let shared = Arc::new(Shared {
            engines,
            waiting: Mutex::default(),
            work: Condvar::new(),
        });
        let queue = Arc::new(Queue {
            shared: shared.clone(),
            limit,
            refused: AtomicU64::new(0),
        });
        for i in 0..threads.max(1) {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("voice-{i}"))
                .spawn(move || shared.serve())
                .map_err(|e| SpeechError::NoThreads {
                    reason: e.to_string(),
                })?;
        }
        Ok(queue)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Queues a request. A text without a word ends at once, without a sentence.
    pub(super) fn submit(
        &self,
        request: SayRequest,
        cancel: Cancel,
    ) -> Result<mpsc::Receiver<Sentence>, SpeechError> {
        let left: VecDeque<_> = spoken::sentences(&request.text).into();
        let (sender, receiver) = mpsc::channel(left.len().max(1));
        if left.is_empty() {
            return Ok(receiver);
        }
        let mut waiting = self.shared.lock();
        if waiting.jobs.len() >= self.limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SpeechError::PoolFull {
                lane: "voices",
                limit: self.limit,
            });
        }
        waiting.jobs.push_back(Job {
            request,
            left,
            index: 0,
            cancel,
            sender,
        });
        drop(waiting);
        self.shared.work.notify_one();
        Ok(receiver)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        waiting.closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            if let Some(job) = self.say_one(job) {
                self.lock().jobs.push_back(job);
                self.work.notify_one();
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            waiting = self
                .work
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says the next sentence of a job; gives the job back if there is more to say.
    fn say_one(&self, mut job: Job) -> Option<Job> {
        let span = job.left.pop_front()?;
        if job.sender.is_closed() {
            return None;
        }
        if job.cancel.is_cancelled() {
            let _ = job.sender.try_send(Err(SpeechError::Cancelled));
            return None;
        }
        let last = job.left.is_empty();
        let work = || self.engines.speak(&job.request, &span, last, &job.cancel);
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(crashed(panic.as_ref())))
            .map(|sentence| SpokenSentence {
                index: job.index,
                ..sentence
            });
        job.index += 1;
        let failed = outcome.is_err();
        // The channel has room for every sentence; only a reader that left can refuse one.
        let gone = job.sender.try_send(outcome).is_err();
        (!failed && !gone && !last).then_some(job)
    }
}
