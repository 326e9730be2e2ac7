//! Reading back what the last process left.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use model::CallId;
use tokio::sync::Notify;

use super::{
    JournalError, Limits, LostCall, NodeKey, Queue, Recovered, Shared,
    calls::CallState,
    folder::{self, AckFile, Identity},
    record,
    segment::{self, Position, Segment},
    store::Store,
    sync::SyncQueue,
};

/// Opens the folder: everything shared, the fresh segment to write to, and what was found.
pub(crate) fn open(
    dir: &Path,
    key: NodeKey,
    limits: Limits,
    now_unix_ms: i64,
) -> Result<(Shared, Segment, Recovered), JournalError> {
    let identity = Identity::next(dir, now_unix_ms)?;
    let (ack, acked) = AckFile::open(dir)?;
    let mut store = Store::starting_at(acked);
    let mut recovered = Recovered::default();
    let numbers = numbers(dir)?;
    for number in &numbers {
        read_back(dir, *number, &key, &mut store, &mut recovered)?;
    }
    store.calls.acknowledged(acked);
    store.note_corrupt(recovered.corrupt);
    recovered.unacknowledged = store.unacknowledged();
    recovered.lost = lost_calls(&store);

    // Never a number that the acknowledged position already covers.
    let last = numbers.last().copied().unwrap_or(0).max(acked.segment);
    let segment = Segment::create(dir, last + 1, identity.boot, limits.segment_bytes, &key)?;
    store.add(segment.clone());
    for path in store.free(segment.number) {
        fs::remove_file(&path).map_err(|e| JournalError::disk("delete", &path, e))?;
    }
    let live: HashSet<CallId> = store.calls.live().map(|(call, _)| call).collect();
    let facts = Notify::new();
    facts.notify_one();
    let shared = Shared {
        dir: dir.to_path_buf(),
        queue: Queue::new(&limits, store.used(), live),
        key,
        limits,
        identity,
        store: Mutex::new(store),
        ack: Mutex::new(ack),
        sync: SyncQueue::default(),
        facts,
        failing: AtomicBool::new(false),
        written: 0.into(),
        write_errors: 0.into(),
        syncs: 0.into(),
    };
    Ok((shared, segment, recovered))
}

/// The numbers of the segments in the folder, rising.
fn numbers(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let fail = |e| JournalError::disk("list", dir, e);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        numbers.extend(name.to_str().and_then(segment::number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads one segment back into `store`, cutting its torn tail and setting damage aside.
fn read_back(
    dir: &Path,
    number: u64,
    key: &NodeKey,
    store: &mut Store,
    recovered: &mut Recovered,
) -> Result<(), JournalError> {
    let path = dir.join(segment::file_name(number));
    let opened = Segment::open(&path, key)?.filter(|segment| segment.number == number);
    let Some(segment) = opened else {
        return set_whole_aside(dir, &path, recovered);
    };
    let fail = |e: io::Error| JournalError::disk("read", &path, e);
    let length = segment.file.metadata().map_err(fail)?.len();
    let mut scan = segment.scan(segment::FIRST_RECORD, length).map_err(fail)?;
    store.add(segment.clone());
    for scanned in scan.records {
        let after = Position {
            segment: number,
            offset: scanned.after,
        };
        match record::read(&scanned.plain) {
            Some(entry) => store.apply(entry, after),
            None => scan.damaged.push((scanned.from, scanned.after)),
        }
    }
    store.written(Position {
        segment: number,
        offset: scan.end,
    });
    if !scan.damaged.is_empty() {
        recovered.corrupt += scan.damaged.len() as u64;
        recovered.set_aside = Some(folder::set_aside(dir, &segment, &scan.damaged)?);
    }
    recovered.torn_bytes += scan.torn_bytes;
    segment.file.set_len(scan.end).map_err(fail)
}

/// A file without a readable header: prepared and never used, or damaged beyond use.
fn set_whole_aside(
    dir: &Path,
    path: &PathBuf,
    recovered: &mut Recovered,
) -> Result<(), JournalError> {
    let fail = |e| JournalError::disk("set aside", path, e);
    let bytes = fs::read(path).map_err(fail)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return fs::remove_file(path).map_err(fail);
    }
    let folder = dir.join("set-aside");
    fs::create_dir_all(&folder).map_err(fail)?;
    let name = path.file_name().unwrap_or_default();
    fs::rename(path, folder.join(name)).map_err(fail)?;
    recovered.corrupt += 1;
    recovered.set_aside = Some(folder);
    Ok(())
}

fn lost_calls(store: &Store) -> Vec<LostCall> {
    let mut lost: Vec<LostCall> = store
        .calls
        .live()
        .map(|(call, state)| lost_call(call, state))
        .collect();
    lost.sort_by_key(|lost| lost.call);
    lost
}

fn lost_call(call: CallId, state: &CallState) -> LostCall {
    LostCall {
        call,
        boot: state.boot,
        next_seq: state.next_seq,
        started: state.started.clone(),
        last_at_unix_ms: state.last_at_unix_ms,
        last_offset_ms: state.last_offset_ms,
        answered_offset_ms: state.answered_offset_ms,
        recording_open: state.recording_open,
        seeds: state
            .seeds
            .iter()
            .map(|(leg, bytes)| (*leg, bytes.clone()))
            .collect(),
    }
}
