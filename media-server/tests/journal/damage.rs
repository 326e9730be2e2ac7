//! Torn tails and flipped bits: the rest is read, the damage is counted and set aside.

use std::{fs, path::Path};

use media_server::journal::{Journal, Recovered};
use model::Fact;

use crate::{
    build::{Dice, call, fact, line, open_with, started},
    folder::{segments, small, unacknowledged},
};

/// Small segments: these tests open hundreds of folders.
fn open(dir: &Path) -> (Journal, Recovered) {
    open_with(dir, small(16 * 1024, 64, 64 * 1024))
}

/// A folder with one call of `facts` facts; answers its only used segment's bytes.
fn written(dir: &Path, facts: u32) -> Vec<u8> {
    let (journal, _) = open(dir);
    journal.append(fact(call(1), 0, started())).unwrap();
    for seq in 1..facts {
        let text = format!("line number {seq}");
        journal.append(fact(call(1), seq, line(&text))).unwrap();
    }
    journal.flush().wait().unwrap();
    let end = usize::try_from(journal.stats().used_bytes).unwrap();
    let first = segments(dir).remove(0);
    let mut bytes = fs::read(&first).unwrap();
    assert!(bytes[end..].iter().all(|byte| *byte == 0));
    bytes.truncate(end);
    journal.close();
    for path in segments(dir) {
        fs::remove_file(path).unwrap();
    }
    bytes
}

fn seqs(facts: &[Fact]) -> Vec<u32> {
    facts.iter().map(|fact| fact.seq).collect()
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_record_costs_that_record_alone() {
    let dir = tempfile::tempdir().unwrap();
    let short = written(dir.path(), 3).len();
    let other = tempfile::tempdir().unwrap();
    let whole = written(other.path(), 4);
    for cut in short..whole.len() {
        let torn = tempfile::tempdir().unwrap();
        fs::write(torn.path().join("0000000000000001.seg"), &whole[..cut]).unwrap();
        let (journal, recovered) = open(torn.path());
        assert_eq!(seqs(&unacknowledged(&journal)), [0, 1, 2], "cut at {cut}");
        // Zeros at the cut cannot be told from zeros that were never written over.
        let bytes = recovered.torn_bytes;
        assert!(bytes <= (cut - short) as u64, "cut at {cut}: {bytes}");
        assert_eq!(bytes > 0, cut > short, "cut at {cut}: {bytes}");
        assert_eq!(recovered.corrupt, 0);
        assert_eq!(recovered.lost[0].next_seq, 3);
        journal.append(fact(call(1), 3, line("again"))).unwrap();
        journal.close();
        let (again, _) = open(torn.path());
        assert_eq!(seqs(&unacknowledged(&again)), [0, 1, 2, 3], "cut at {cut}");
    }
}

#[test]
fn a_damaged_record_in_the_middle_is_set_aside_and_its_neighbours_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = written(dir.path(), 9);
    let mut dice = Dice(20_260_101);
    for _ in 0..200 {
        let mut broken = bytes.clone();
        let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
        broken[at] ^= 1 << dice.roll(8);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0000000000000001.seg"), &broken).unwrap();
        let (journal, recovered) = open(folder.path());
        let got = seqs(&unacknowledged(&journal));
        // One bit can hit one record, or one of the two headers; never a neighbour.
        assert!(got.len() >= 8, "flip at {at}: {got:?}");
        assert!(got.is_sorted() && got.iter().all(|seq| *seq < 9));
        let missing = 9 - got.len() as u64;
        let last_lost = missing == 1 && !got.contains(&8);
        if last_lost {
            assert!(recovered.torn_bytes > 0, "flip at {at}");
        } else {
            assert_eq!(recovered.corrupt, missing, "flip at {at}");
            assert_eq!(recovered.set_aside.is_some(), missing == 1);
        }
    }
}

#[test]
fn ten_thousand_random_bytes_in_a_segment_panic_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = written(dir.path(), 30);
    let mut dice = Dice(77);
    for _ in 0..50 {
        let mut broken = bytes.clone();
        for _ in 0..200 {
            let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
            broken[at] = u8::try_from(dice.roll(256)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0000000000000001.seg"), &broken).unwrap();
        let (journal, recovered) = open(folder.path());
        assert!(unacknowledged(&journal).len() < 30);
        assert!(recovered.corrupt + recovered.torn_bytes > 0);
    }
}

#[test]
fn a_damaged_acknowledgement_means_that_all_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for n in 0..10 {
        journal.append(fact(call(n), 0, started())).unwrap();
    }
    journal.flush().wait().unwrap();
    let batch = journal.next_batch(4).unwrap();
    journal.acknowledge(&batch, 4).unwrap();
    assert_eq!(journal.stats().unacknowledged, 6);
    journal.close();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.unacknowledged, 6);
    journal.close();
    fs::write(dir.path().join("acknowledged"), [0x55; 64]).unwrap();
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.unacknowledged, 10);
}

#[test]
fn files_that_are_not_the_journals_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("zz.seg"), "not a number").unwrap();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.corrupt, 0);
    drop(journal);
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
    assert!(segments(dir.path()).len() >= 2);
}
