//! The bounded queue between everybody and the writer thread.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::{CallId, FactKind};
use tokio::sync::oneshot;

use super::{
    JournalStats, Limits, Refused, lock,
    record::Record,
    segment::{MAX_RECORD, size_on_disk},
    space::{Class, Space},
};

/// Nobody's record waits longer than this for company.
const LONGEST_GATHER: Duration = Duration::from_millis(5);

/// One thing for the writer.
pub(crate) struct Item {
    /// The record and its bytes; none for a mere flush.
    pub record: Option<(Record, Vec<u8>)>,
    /// Who waits for it.
    pub done: Option<oneshot::Sender<()>>,
}

/// What the writer finds when it is woken.
pub(crate) enum Work {
    Write(Vec<Item>),
    Housekeeping,
    Stop,
}

struct State {
    items: VecDeque<Item>,
    space: Space,
    live: HashSet<CallId>,
    /// When the oldest record has waited long enough.
    due: Option<Instant>,
    /// Somebody waits: no gathering.
    urgent: bool,
    housekeeping: bool,
    closing: bool,
    refused: u64,
}

/// See the module.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    most: usize,
    gather: Duration,
}

impl Queue {
    pub(crate) fn new(limits: &Limits, used: u64, live: HashSet<CallId>) -> Self {
        let space = Space {
            total: limits.total_bytes(),
            reserve: limits.reserve_bytes,
            used,
            queued: 0,
            live: live.len() as u64,
        };
        let state = State {
            items: VecDeque::new(),
            space,
            live,
            due: None,
            urgent: false,
            housekeeping: false,
            closing: false,
            refused: 0,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            most: limits.queue_records,
            gather: limits.gather.min(LONGEST_GATHER),
        }
    }

    /// Takes a record in, or refuses it at once.
    pub(crate) fn push(
        &self,
        record: Record,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<(), Refused> {
        let plain = record.to_plain();
        let mut state = lock(&self.state);
        if let Err(refused) = state.admit(&record, plain.len(), self.most) {
            state.refused += 1;
            return Err(refused);
        }
        state.note(&record);
        state.space.queued += size_on_disk(plain.len());
        let item = Item {
            record: Some((record, plain)),
            done,
        };
        self.enqueue(&mut state, item);
        Ok(())
    }

    /// Queues a wait for everything before it.
    pub(crate) fn push_flush(&self, done: oneshot::Sender<()>) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        if state.closing {
            return Err(Refused::Closed);
        }
        let item = Item {
            record: None,
            done: Some(done),
        };
        self.enqueue(&mut state, item);
        Ok(())
    }

    /// Wakes the writer for the first record, and for one that somebody waits for.
    fn enqueue(&self, state: &mut State, item: Item) {
        let wake = state.items.is_empty() || (item.done.is_some() && !state.urgent);
        state.urgent |= item.done.is_some();
        if state.items.is_empty() {
            state.due = Some(Instant::now() + self.gather);
        }
        state.items.push_back(item);
        if wake {
            self.wake.notify_one();
        }
    }

    /// The writer's next work; waits for it.
    pub(crate) fn next_work(&self) -> Work {
        let mut state = lock(&self.state);
        loop {
            if let Some(work) = state.ready(Instant::now()) {
                return work;
            }
            state = match state.due {
                Some(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    let waited = self.wake.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// `bytes` of queued records reached the disk, which now holds `used`.
    pub(crate) fn settled(&self, bytes: u64, used: u64) {
        let mut state = lock(&self.state);
        state.space.queued = state.space.queued.saturating_sub(bytes);
        state.space.used = used;
    }

    pub(crate) fn ask_for_housekeeping(&self) {
        lock(&self.state).housekeeping = true;
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closing = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Whether a `started` of ordinary size would be kept.
    pub(crate) fn accepting(&self) -> bool {
        const STARTED: u64 = 2 * 1024;
        let state = lock(&self.state);
        !state.closing
            && state.items.len() < self.most
            && state.space.admit(Class::NewCall, STARTED).is_ok()
    }

    pub(crate) fn stats(&self) -> JournalStats {
        let state = lock(&self.state);
        JournalStats {
            queued: state.items.len() as u64,
            refused: state.refused,
            used_bytes: state.space.used,
            total_bytes: state.space.total,
            live: state.space.live,
            ..JournalStats::default()
        }
    }
}

impl State {
    fn admit(&self, record: &Record, bytes: usize, most: usize) -> Result<(), Refused> {
        let class = match record {
            Record::Fact(fact) => Class::of(&fact.kind),
            Record::Seed { .. } => Class::Ordinary,
        };
        // What ends a call may overtake the bound once: a call has one end.
        let most = if class == Class::End { most * 2 } else { most };
        if self.closing {
            Err(Refused::Closed)
        } else if bytes > MAX_RECORD || bytes <= 1 {
            Err(Refused::TooLarge)
        } else if self.items.len() >= most {
            Err(Refused::QueueFull)
        } else {
            self.space.admit(class, size_on_disk(bytes))
        }
    }

    /// Keeps count of the calls without an end.
    fn note(&mut self, record: &Record) {
        let Record::Fact(fact) = record else {
            return;
        };
        if matches!(fact.kind, FactKind::Started(_)) {
            self.live.insert(fact.conversation);
        } else if matches!(fact.kind, FactKind::Ended(_)) {
            self.live.remove(&fact.conversation);
        }
        self.space.live = self.live.len() as u64;
    }

    fn ready(&mut self, now: Instant) -> Option<Work> {
        let gathered = self.due.is_some_and(|due| due <= now);
        if !self.items.is_empty() && (self.urgent || self.closing || gathered) {
            self.urgent = false;
            self.due = None;
            return Some(Work::Write(mem::take(&mut self.items).into()));
        }
        if self.closing {
            return Some(Work::Stop);
        }
        mem::take(&mut self.housekeeping).then_some(Work::Housekeeping)
    }
}
