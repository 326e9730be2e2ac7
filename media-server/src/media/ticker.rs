//! The media threads. Each has 20 slots of one millisecond; slot n is due at every whole multiple of 20 ms plus n.
//! Deadlines are absolute, so nothing adds up; between its ticks a leg's socket is read every 5 ms.

use super::MediaError;
use super::effort::{Effort, LATE, Second};
use super::meters::{Meters, ThreadMeters, count};
use super::panics;
use super::seated::{Fate, LISTEN_MOMENTS, MAX_DATAGRAM, PATIENCE, Seated, slot_time};
use super::slots::{self, SLOTS};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Milliseconds after its tick at which a leg's socket is read again.
const LISTEN_AT: [u64; LISTEN_MOMENTS] = [5, 10, 15];

/// Over how long a thread's work is weighed.
const BUSY_OVER: Duration = Duration::from_secs(1);

/// A thread's inbox and handle.
type Worker = (Sender<Job>, Option<JoinHandle<()>>);

enum Job {
    Admit(Box<Seated>),
    Shutdown,
}

/// Hands legs to the thread that has fewest.
pub(super) struct TickerPool {
    threads: Mutex<Vec<Worker>>,
    meters: Arc<Meters>,
}

impl TickerPool {
    pub(super) fn start(epoch: Instant, meters: &Arc<Meters>) -> Result<Self, MediaError> {
        let start = |number: usize| {
            let (jobs, inbox) = channel();
            let meters = Arc::clone(meters);
            let builder = std::thread::Builder::new().name(format!("media-{number}"));
            let handle = builder.spawn(move || Ticker::new(epoch, number, meters).run(&inbox));
            Ok((jobs, Some(handle.map_err(MediaError::Thread)?)))
        };
        let threads = (0..meters.threads.len())
            .map(start)
            .collect::<Result<_, MediaError>>()?;
        Ok(Self {
            threads: Mutex::new(threads),
            meters: Arc::clone(meters),
        })
    }

    pub(super) fn admit(&self, seated: Box<Seated>) -> Result<(), MediaError> {
        let legs = self
            .meters
            .threads
            .iter()
            .map(|t| t.legs.load(Ordering::Relaxed));
        let number = legs
            .enumerate()
            .min_by_key(|(_, legs)| *legs)
            .map_or(0, |(number, _)| number);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let (jobs, _) = threads.get(number).ok_or(MediaError::Stopping)?;
        if let Some(meters) = self.meters.threads.get(number) {
            meters.legs.fetch_add(1, Ordering::Relaxed);
        }
        jobs.send(Job::Admit(seated))
            .map_err(|_| MediaError::Stopping)
    }

    pub(super) fn shutdown(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (jobs, _) in threads.iter() {
            let _ = jobs.send(Job::Shutdown);
        }
        for (_, handle) in threads.iter_mut() {
            if let Some(handle) = handle.take() {
                let _ = handle.join();
            }
        }
    }
}

type Slot = Vec<Box<Seated>>;

struct Ticker {
    epoch: Instant,
    number: usize,
    meters: Arc<Meters>,
    slots: [Slot; SLOTS],
    legs: usize,
    /// The millisecond to be worked next.
    next: u64,
    /// Work done since the moment, to tell how busy the thread is.
    worked: Duration,
    since: Duration,
    /// What its encoders may cost, and by what that is judged.
    effort: Effort,
    second: Second,
    buffer: Box<[u8; MAX_DATAGRAM]>,
}

impl Ticker {
    fn new(epoch: Instant, number: usize, meters: Arc<Meters>) -> Self {
        let slots = std::array::from_fn(|_| Vec::new());
        Self {
            epoch,
            number,
            meters,
            slots,
            legs: 0,
            next: 0,
            worked: Duration::ZERO,
            since: Duration::ZERO,
            effort: Effort::new(),
            second: Second::default(),
            buffer: Box::new([0; MAX_DATAGRAM]),
        }
    }

    fn run(mut self, inbox: &Receiver<Job>) {
        panics::this_is_a_media_thread();
        while self.wait(inbox) {
            let began = self.now();
            self.catch_up();
            self.work(self.next);
            self.note_wake();
            self.note_work(began);
            self.next += 1;
            while self.legs > 0 && !self.is_busy(self.next) {
                self.next += 1;
            }
        }
        for seated in std::mem::take(&mut self.slots).into_iter().flatten() {
            seated.shared.stop.store(true, Ordering::Release);
            seated.leave();
        }
    }

    fn note_wake(&self) {
        if let Some(thread) = self.meters.threads.get(self.number) {
            count(&thread.wakes);
        }
    }

    fn note_work(&mut self, began: Duration) {
        let now = self.now();
        self.worked += now.saturating_sub(began);
        let passed = now.saturating_sub(self.since);
        if passed < BUSY_OVER {
            return;
        }
        let permille = self.worked.as_micros() * 1_000 / passed.as_micros().max(1);
        self.second.busy_permille = u32::try_from(permille).unwrap_or(u32::MAX);
        (self.worked, self.since) = (Duration::ZERO, now);
        self.judge(now);
    }

    /// A second is over: how busy was it, and what may encoders cost in the next?
    fn judge(&mut self, now: Duration) {
        let second = std::mem::take(&mut self.second);
        let complexity = self.effort.on_second(now, second);
        let Some(thread) = self.meters.threads.get(self.number) else {
            return;
        };
        thread
            .busy_permille
            .store(second.busy_permille, Ordering::Relaxed);
        if thread.complexity.swap(complexity, Ordering::Relaxed) != complexity {
            count(&self.meters.complexity_changes);
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Waits for the next millisecond that has work, taking in new legs meanwhile; false when it is over.
    fn wait(&mut self, inbox: &Receiver<Job>) -> bool {
        loop {
            let job = if self.legs == 0 {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(slot_time(self.next).saturating_sub(self.now()))
            };
            match job {
                Ok(Job::Admit(seated)) => self.admit(seated),
                Ok(Job::Shutdown) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn admit(&mut self, seated: Box<Seated>) {
        let soonest = self.now().as_millis() as u64 + 1;
        if self.legs == 0 {
            self.next = soonest;
        }
        let legs = std::array::from_fn(|at| self.slots.get(at).map_or(0, Vec::len));
        let ahead = slots::ahead(&legs, slot_of(soonest, 0)) as u64;
        if let Some(slot) = self.slots.get_mut(slot_of(soonest + ahead, 0)) {
            slot.push(seated);
            self.legs += 1;
        }
        self.next = self.next.min(soonest + ahead);
    }

    fn is_busy(&self, millisecond: u64) -> bool {
        let occupied = |back: u64| {
            self.slots
                .get(slot_of(millisecond, back))
                .is_some_and(|slot| !slot.is_empty())
        };
        occupied(0) || LISTEN_AT.into_iter().any(occupied)
    }

    /// After a standstill of more than three ticks the missed ones are given up: a burst would only be late sound.
    fn catch_up(&mut self) {
        let late = self.now().saturating_sub(slot_time(self.next));
        if late <= PATIENCE {
            return;
        }
        let rounds = late.as_millis() as u64 / SLOTS as u64;
        self.next += rounds * SLOTS as u64;
        for seated in self.slots.iter_mut().flatten() {
            seated.skip(rounds);
        }
        let lost = rounds * self.legs as u64;
        self.meters.skipped_ticks.fetch_add(lost, Ordering::Relaxed);
    }

    fn work(&mut self, millisecond: u64) {
        self.tick_slot(millisecond);
        for (moment, back) in LISTEN_AT.into_iter().enumerate() {
            self.listen_slot(slot_of(millisecond, back), moment);
        }
    }

    fn tick_slot(&mut self, millisecond: u64) {
        let (epoch, due) = (self.epoch, slot_time(millisecond));
        let (mut ticks, mut late) = (0, 0);
        self.walk(slot_of(millisecond, 0), |seated, buffer, meters, thread| {
            let complexity = thread.complexity.load(Ordering::Relaxed);
            let fate = seated.tick(epoch.elapsed(), due, buffer, meters, complexity);
            let behind = epoch.elapsed().saturating_sub(due);
            thread.lateness.record(behind);
            (ticks, late) = (ticks + 1, late + u32::from(behind >= LATE));
            fate
        });
        self.second.ticks += ticks;
        self.second.late += late;
    }

    fn listen_slot(&mut self, slot: usize, moment: usize) {
        let epoch = self.epoch;
        self.walk(slot, |seated, buffer, meters, _| {
            seated.listen(moment, epoch.elapsed(), buffer, meters)
        });
    }

    /// Does something with each leg of a slot and lets those go whose time is over.
    fn walk(
        &mut self,
        slot: usize,
        mut step: impl FnMut(&mut Seated, &mut [u8], &Meters, &ThreadMeters) -> Fate,
    ) {
        let Self {
            meters,
            slots,
            legs,
            buffer,
            number,
            ..
        } = self;
        let (Some(slot), Some(thread)) = (slots.get_mut(slot), meters.threads.get(*number)) else {
            return;
        };
        let mut at = 0;
        while let Some(seated) = slot.get_mut(at) {
            if step(seated, &mut buffer[..], meters, thread) == Fate::Stays {
                at += 1;
                continue;
            }
            *legs -= 1;
            thread.legs.fetch_sub(1, Ordering::Relaxed);
            slot.swap_remove(at).leave();
        }
    }
}

/// The slot whose tick was `back` milliseconds before.
const fn slot_of(millisecond: u64, back: u64) -> usize {
    ((millisecond + SLOTS as u64 - back) % SLOTS as u64) as usize
}
