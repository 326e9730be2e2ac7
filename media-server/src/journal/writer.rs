//! The writer thread: the only one that appends.

use std::{
    fs::File,
    io, mem,
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    JournalError, Shared,
    queue::{Item, Work},
    record::{self, Entry, Record},
    segment::{FIRST_RECORD, Position, Segment, size_on_disk},
};

/// Between two tries on a disk that refuses.
const DISK_RETRY: Duration = Duration::from_millis(50);
/// One `write` takes at most about this much.
const WRITE_BYTES: usize = 1 << 20;

struct Writer {
    shared: Arc<Shared>,
    segment: Segment,
    /// Where the next record goes.
    offset: u64,
    /// Sealed, but not with the kernel yet.
    buffer: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Records and bytes in `buffer` that came through the queue.
    records: u64,
    queued_bytes: u64,
}

/// Starts the thread; `guard` keeps other processes out until it ends.
pub(crate) fn start(
    shared: Arc<Shared>,
    segment: Segment,
    guard: File,
) -> io::Result<JoinHandle<()>> {
    shared.sync.prepare(segment.number + 1);
    let mut writer = Writer {
        shared,
        segment,
        offset: FIRST_RECORD,
        buffer: Vec::new(),
        waiting: Vec::new(),
        records: 0,
        queued_bytes: 0,
    };
    thread::Builder::new()
        .name("journal".into())
        .spawn(move || {
            writer.run();
            writer.shared.sync.stop();
            // Explicitly: a child that is just being started holds a copy of the descriptor, and
            // closing ours alone would leave the lock with it for a moment.
            let _ = guard.unlock();
        })
}

impl Writer {
    fn run(&mut self) {
        loop {
            match self.shared.queue.next_work() {
                Work::Write(items) => self.write(items),
                Work::Housekeeping => self.housekeeping(),
                Work::Stop => break,
            }
        }
    }

    fn write(&mut self, items: Vec<Item>) {
        for item in items {
            if let Some((record, plain)) = item.record {
                self.stage_record(record, plain);
            }
            self.waiting.extend(item.done);
            if self.buffer.len() > WRITE_BYTES {
                self.commit();
            }
        }
        self.commit();
    }

    fn stage_record(&mut self, record: Record, mut plain: Vec<u8>) {
        let bytes = size_on_disk(plain.len());
        let late = match &record {
            Record::Fact(fact) => self.shared.store().calls.is_late(fact),
            Record::Seed { .. } => false,
        };
        let mut entry = Entry::from(record);
        if let Entry::Fact { late: flag, .. } = &mut entry {
            *flag = late;
        }
        if late {
            record::mark_late(&mut plain);
        }
        self.records += 1;
        self.queued_bytes += bytes;
        self.stage(entry, plain);
    }

    /// Seals a record into the buffer and notes what it says.
    fn stage(&mut self, entry: Entry, plain: Vec<u8>) {
        let room = self.shared.limits.segment_bytes;
        if self.offset + size_on_disk(plain.len()) > room && self.offset > FIRST_RECORD {
            self.commit();
            self.roll();
        }
        match self.segment.seal_into(self.offset, plain, &mut self.buffer) {
            Ok(end) => {
                self.offset = end;
                let after = self.position();
                self.shared.store().apply(entry, after);
            }
            Err(error) => tracing::error!(%error, "a journal record was lost"),
        }
    }

    fn position(&self) -> Position {
        Position {
            segment: self.segment.number,
            offset: self.offset,
        }
    }

    /// Hands the buffer to the kernel, however often that has to be tried, and tells who waits.
    fn commit(&mut self) {
        let start = self.offset - self.buffer.len() as u64;
        while !self.buffer.is_empty() {
            match self.segment.file.write_all_at(&self.buffer, start) {
                Ok(()) => break,
                Err(error) => {
                    if !self.survive(&error) {
                        return;
                    }
                }
            }
        }
        if !self.buffer.is_empty() {
            self.shared.sync.dirty(&self.segment.file);
            self.shared.failing.store(false, Ordering::Relaxed);
        }
        self.buffer.clear();
        self.settle();
    }

    fn settle(&mut self) {
        let used = {
            let mut store = self.shared.store();
            store.written(self.position());
            store.used()
        };
        let bytes = mem::take(&mut self.queued_bytes);
        self.shared.queue.settled(bytes, used);
        let records = mem::take(&mut self.records);
        self.shared.written.fetch_add(records, Ordering::Relaxed);
        for done in self.waiting.drain(..) {
            // Whoever waited may have gone; the record is written all the same.
            let _ = done.send(());
        }
        if records > 0 {
            self.shared.facts.notify_one();
        }
    }

    /// Counts a refusal of the disk and waits; false when the journal is closing and must give up.
    fn survive(&mut self, error: &dyn std::fmt::Display) -> bool {
        self.shared.write_errors.fetch_add(1, Ordering::Relaxed);
        if !self.shared.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the journal's disk refuses: no new calls until it works again");
        }
        if self.shared.queue.is_closing() {
            self.buffer.clear();
            self.waiting.clear();
            return false;
        }
        thread::sleep(DISK_RETRY);
        true
    }

    /// Closes the full segment and goes on in the next one.
    fn roll(&mut self) {
        let number = self.segment.number + 1;
        // The zeros behind the last record are not needed any more; failing to cut them is harmless.
        let _ = self.segment.file.set_len(self.offset);
        self.shared.sync.dirty(&self.segment.file);
        let next = loop {
            match self.next_segment(number) {
                Ok(segment) => break segment,
                Err(error) => {
                    if !self.survive(&error) {
                        return;
                    }
                }
            }
        };
        self.shared.store().add(next.clone());
        self.shared.sync.prepare(number + 1);
        self.segment = next;
        self.offset = FIRST_RECORD;
    }

    fn next_segment(&self, number: u64) -> Result<Segment, JournalError> {
        let making = self.shared.sync.making();
        match self.shared.sync.take_prepared(number) {
            Some(prepared) => Ok(prepared),
            None => self.shared.make_segment(number, &making),
        }
    }

    /// Lets go of what nobody needs; when room is short, carries long calls forward.
    fn housekeeping(&mut self) {
        let current = self.segment.number;
        let free = self.shared.store().free(current);
        self.shared.sync.delete(free);
        let held = self.shared.store().held_by_calls(current);
        for oldest in held {
            if self.shared.store().used() <= self.shared.limits.total_bytes() / 2 {
                break;
            }
            self.carry_out_of(oldest);
        }
        self.settle();
    }

    /// Writes the state of the calls that hold `segment` again, then lets the segment go. The
    /// file is deleted only after the copy is synced.
    fn carry_out_of(&mut self, segment: u64) {
        let calls = self.shared.store().calls.holding(segment);
        for call in calls {
            let state = self.shared.store().calls.state(call).cloned();
            if let Some(state) = state.filter(|state| state.ended_at.is_none()) {
                let plain = record::carry(call, &state);
                self.stage(Entry::Carry(Box::new((call, state))), plain);
            }
        }
        self.commit();
        let path = self.shared.store().drop_segment(segment);
        self.shared.sync.delete(path.into_iter().collect());
    }
}
