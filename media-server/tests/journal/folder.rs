//! Folders of journals, whole and killed.

use std::{fs, path::Path};

use media_server::journal::{Journal, Limits, Record};
use model::{CallId, Fact};

/// Small segments, so that a test sees many of them.
pub fn small(segment_bytes: u64, segments: u32, reserve_bytes: u64) -> Limits {
    Limits {
        segment_bytes,
        segments,
        reserve_bytes,
        ..Limits::default()
    }
}

pub fn seed(call: CallId, leg: u8, bytes: &[u8]) -> Record {
    Record::Seed {
        call,
        leg,
        bytes: bytes.to_vec(),
    }
}

/// Everything that the office has not acknowledged, in order.
pub fn unacknowledged(journal: &Journal) -> Vec<Fact> {
    let batch = journal.next_batch(1_000_000).expect("readable");
    batch
        .facts
        .iter()
        .map(|fact| fact.fact().expect("a fact"))
        .collect()
}

/// What a process killed at this moment leaves: all that the kernel has.
pub fn copy_as_killed(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        if entry.file_type().expect("type").is_file() {
            // The writer may delete a segment while we copy: a killed process has no such race.
            let _ = fs::copy(entry.path(), to.join(entry.file_name()));
        }
    }
}

/// The segment files, oldest first.
pub fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("list")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .collect();
    paths.sort();
    paths
}
