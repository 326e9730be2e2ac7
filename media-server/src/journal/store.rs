//! The segments on disk as one sequence: what is in them, how far they are acknowledged, and
//! which of them can go.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use super::{
    JournalError, JournalStats,
    calls::Calls,
    lock,
    record::{self, Entry},
    segment::{FIRST_RECORD, Position, Segment},
};

/// One stretch of a segment is read at a time (more than the largest record).
const STRETCH_BYTES: u64 = 512 << 10;
/// A batch ends with the stretch that fills it to this.
const BATCH_BYTES: u64 = 1 << 20;

/// A segment and what is known of it.
pub(crate) struct Held {
    pub segment: Segment,
    /// Where its last written record ends.
    pub end: u64,
    /// Behind its last fact; 0 when it has none.
    pub last_fact: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Store {
    pub calls: Calls,
    held: BTreeMap<u64, Held>,
    acked: Position,
    unacknowledged: u64,
    corrupt: u64,
}

/// Facts in journal order, as they were written.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The facts.
    pub facts: Vec<BatchFact>,
    /// Behind everything that was looked at.
    end: Position,
}

/// One fact of a batch.
#[derive(Debug, Clone)]
pub struct BatchFact {
    /// The fact in JSON, as `/internal/v1/journal` wants it.
    pub json: Vec<u8>,
    after: Position,
}

impl Batch {
    /// The position when the first `accepted` facts are done with.
    pub(crate) fn position_after(&self, accepted: usize) -> Option<Position> {
        if accepted >= self.facts.len() {
            Some(self.end)
        } else {
            let last = accepted.checked_sub(1)?;
            self.facts.get(last).map(|fact| fact.after)
        }
    }
}

impl Store {
    pub(crate) fn starting_at(acked: Position) -> Self {
        Self {
            acked,
            ..Self::default()
        }
    }

    /// Takes in a record at its place.
    pub(crate) fn apply(&mut self, entry: Entry, after: Position) {
        if matches!(entry, Entry::Fact { .. }) {
            if after > self.acked {
                self.unacknowledged += 1;
            }
            if let Some(held) = self.held.get_mut(&after.segment) {
                held.last_fact = after.offset;
            }
        }
        self.calls.apply(entry, after);
    }

    pub(crate) fn add(&mut self, segment: Segment) {
        let number = segment.number;
        let held = Held {
            segment,
            end: FIRST_RECORD,
            last_fact: 0,
        };
        self.held.insert(number, held);
    }

    /// The kernel has everything before `position`.
    pub(crate) fn written(&mut self, position: Position) {
        if let Some(held) = self.held.get_mut(&position.segment) {
            held.end = position.offset;
        }
    }

    pub(crate) fn note_corrupt(&mut self, stretches: u64) {
        self.corrupt += stretches;
    }

    /// Bytes on disk.
    pub(crate) fn used(&self) -> u64 {
        self.held.values().map(|held| held.end).sum()
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        self.unacknowledged
    }

    pub(crate) fn add_stats(&self, stats: &mut JournalStats) {
        stats.unacknowledged = self.unacknowledged;
        stats.segments = self.held.len() as u64;
        stats.corrupt = self.corrupt;
    }

    /// Whether `position` acknowledges anything new.
    pub(crate) fn is_news(&self, position: Position) -> bool {
        position > self.acked
    }

    pub(crate) fn acknowledged(&mut self, position: Position, facts: u64) {
        if position > self.acked {
            self.acked = position;
            self.unacknowledged = self.unacknowledged.saturating_sub(facts);
            self.calls.acknowledged(position);
        }
    }

    /// Closed segments before `current` whose facts are all acknowledged, oldest first.
    fn shipped(&self, current: u64) -> Vec<u64> {
        let acked = self.acked;
        self.held
            .range(..current)
            .filter(|(number, held)| {
                let last = Position {
                    segment: **number,
                    offset: held.last_fact,
                };
                held.last_fact == 0 || last <= acked
            })
            .map(|(number, _)| *number)
            .collect()
    }

    /// Lets go of the segments that nobody needs; their files can be deleted.
    pub(crate) fn free(&mut self, current: u64) -> Vec<PathBuf> {
        let shipped = self.shipped(current);
        let free: Vec<u64> = shipped
            .into_iter()
            .filter(|number| self.calls.holding(*number).is_empty())
            .collect();
        free.into_iter()
            .filter_map(|number| self.drop_segment(number))
            .collect()
    }

    /// The shipped segments that only calls still hold, oldest first (after [`Store::free`]).
    pub(crate) fn held_by_calls(&self, current: u64) -> Vec<u64> {
        self.shipped(current)
    }

    /// Lets go of one segment.
    pub(crate) fn drop_segment(&mut self, number: u64) -> Option<PathBuf> {
        self.calls.release(number);
        self.held.remove(&number).map(|held| held.segment.path)
    }

    /// Where the next unread records are: segment, from, to.
    fn unread(&self, from: Position) -> Option<(Segment, u64, u64)> {
        let mut candidates = self.held.range(from.segment..);
        candidates.find_map(|(number, held)| {
            let start = if *number == from.segment {
                from.offset.max(FIRST_RECORD)
            } else {
                FIRST_RECORD
            };
            (start < held.end).then(|| (held.segment.clone(), start, held.end))
        })
    }
}

/// Reads the first facts behind the acknowledged position; holds the lock only to look up places.
pub(crate) fn next_batch(store: &Mutex<Store>, max: usize) -> Result<Batch, JournalError> {
    let mut at = lock(store).acked;
    let mut batch = Batch {
        facts: Vec::new(),
        end: at,
    };
    let mut bytes = 0;
    while batch.facts.len() < max && bytes < BATCH_BYTES {
        let Some((segment, from, to)) = lock(store).unread(at) else {
            break;
        };
        bytes += read_facts(&segment, (from, to), max, &mut batch)?;
        at = batch.end;
    }
    Ok(batch)
}

/// Adds the facts of one stretch; answers how many bytes were read.
fn read_facts(
    segment: &Segment,
    (from, to): (u64, u64),
    max: usize,
    batch: &mut Batch,
) -> Result<u64, JournalError> {
    let cut = to.min(from + STRETCH_BYTES);
    let scan = segment
        .scan(from, cut)
        .map_err(|e| JournalError::disk("read", &segment.path, e))?;
    let place = |offset| Position {
        segment: segment.number,
        offset,
    };
    for scanned in scan.records {
        if let Some(json) = record::fact_json(&scanned.plain) {
            batch.facts.push(BatchFact {
                json: json.to_vec(),
                after: place(scanned.after),
            });
        }
        batch.end = place(scanned.after);
        if batch.facts.len() >= max {
            return Ok(scanned.after - from);
        }
    }
    // A stretch that was cut short ends in the middle of a record.
    let end = if cut < to && scan.end > from {
        scan.end
    } else {
        cut
    };
    batch.end = place(end);
    Ok(end - from)
}
