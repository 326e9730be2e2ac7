//! Filling up, being emptied, and what goes when.

use std::time::Duration;

use media_server::journal::{Journal, Limits, Record, Refused};
use model::EndReason;

use crate::{
    build::{Dice, call, ended, fact, line, open_with, started},
    folder::{seed, segments, small, unacknowledged},
};

const KB: u64 = 1024;

/// Ships everything, as an office that takes all.
fn acknowledge_all(journal: &Journal) -> usize {
    let mut shipped = 0;
    loop {
        let batch = journal.next_batch(100).unwrap();
        shipped += batch.facts.len();
        journal.acknowledge(&batch, batch.facts.len()).unwrap();
        if batch.facts.is_empty() {
            // Twice through the writer: the housekeeping asked for above is done by then.
            journal.flush().wait().unwrap();
            journal.flush().wait().unwrap();
            return shipped;
        }
    }
}

#[test]
fn a_full_spool_refuses_new_calls_first_and_never_the_end_of_a_live_one() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_with(dir.path(), small(64 * KB, 16, 256 * KB));
    let mut live = Vec::new();
    for n in 0.. {
        match journal.append_written(fact(call(n), 0, started())).wait() {
            Ok(()) => live.push(call(n)),
            Err(refused) => {
                assert_eq!(refused, Refused::SpoolFull);
                break;
            }
        }
        if live.len() > 200 {
            let _ = journal.append(fact(call(0), 1, line(&"x".repeat(4_000))));
        }
    }
    assert!(!journal.accepting());
    assert!(live.len() > 100, "only {} calls came in", live.len());
    // Live calls go on talking until only the room for their ends is left …
    let mut seq = 1_000;
    while journal
        .append_written(fact(call(0), seq, line("still talking")))
        .wait()
        .is_ok()
    {
        seq += 1;
    }
    assert!(seq > 1_000, "live calls had no room beyond the new ones'");
    // … which is there for each of them.
    for call in &live {
        journal
            .append(fact(*call, 2_000, ended(EndReason::CallerHangup)))
            .unwrap();
    }
    journal.flush().wait().unwrap();
    assert!(journal.stats().refused >= 2);
    assert_eq!(journal.stats().live, 0);

    assert!(acknowledge_all(&journal) > live.len());
    assert!(journal.accepting(), "{:?}", journal.stats());
}

#[test]
fn acknowledged_segments_go_and_the_unacknowledged_stay() {
    let dir = tempfile::tempdir().unwrap();
    let limits = || small(16 * KB, 64, 64 * KB);
    let (journal, _) = open_with(dir.path(), limits());
    for n in 0..400 {
        journal.append(fact(call(n), 0, started())).unwrap();
        journal
            .append(fact(call(n), 1, ended(EndReason::CallerHangup)))
            .unwrap();
    }
    journal.flush().wait().unwrap();
    let before = journal.stats().segments;
    assert!(before > 10, "{before} segments");
    let batch = journal.next_batch(400).unwrap();
    journal.acknowledge(&batch, 200).unwrap();
    journal.flush().wait().unwrap();
    journal.flush().wait().unwrap();
    assert!(journal.stats().segments < before);
    assert_eq!(journal.stats().unacknowledged, 600);
    assert_eq!(unacknowledged(&journal)[0].conversation, call(100));
    journal.close();

    let (journal, recovered) = open_with(dir.path(), limits());
    assert_eq!(recovered.unacknowledged, 600);
    assert_eq!(acknowledge_all(&journal), 600);
    assert_eq!(journal.stats().segments, 1, "only the one being written");
    journal.close();
    let (journal, recovered) = open_with(dir.path(), limits());
    assert_eq!((recovered.unacknowledged, recovered.lost.len()), (0, 0));
    journal.close();
    assert!(
        segments(dir.path()).len() <= 2,
        "one to write and one prepared"
    );
}

#[test]
fn numbers_never_start_again_so_an_old_acknowledgement_covers_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let limits = || small(16 * KB, 64, 64 * KB);
    for round in 0..5 {
        let (journal, recovered) = open_with(dir.path(), limits());
        assert_eq!(recovered.unacknowledged, 0, "round {round}");
        for n in 0..60 {
            journal
                .append(fact(call(round * 100 + n), 0, started()))
                .unwrap();
            journal
                .append(fact(call(round * 100 + n), 1, ended(EndReason::Busy)))
                .unwrap();
        }
        journal.flush().wait().unwrap();
        assert_eq!(acknowledge_all(&journal), 120, "round {round}");
        journal.close();
        for path in segments(dir.path()) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_day_long_call_does_not_hold_a_day_of_segments() {
    let dir = tempfile::tempdir().unwrap();
    let limits = || small(16 * KB, 16, 32 * KB);
    let (journal, _) = open_with(dir.path(), limits());
    journal.append(fact(call(0), 0, started())).unwrap();
    journal.append(seed(call(0), 0, b"the dialog")).unwrap();
    let mut written = 0_u32;
    for n in 1..2_000_u32 {
        // The long call says something now and then, so it has records everywhere.
        journal
            .append(fact(call(0), n, line("still here")))
            .unwrap();
        journal
            .append(fact(call(u128::from(n)), 0, started()))
            .unwrap();
        journal
            .append(fact(call(u128::from(n)), 1, ended(EndReason::CallerHangup)))
            .unwrap();
        written += 3;
        if n % 20 == 0 {
            journal.flush().wait().unwrap();
            acknowledge_all(&journal);
        }
    }
    assert!(
        u64::from(written) * 300 > 16 * 16 * KB,
        "the spool was filled many times over"
    );
    assert!(journal.accepting(), "{:?}", journal.stats());
    journal.close();
    let (_, recovered) = open_with(dir.path(), limits());
    assert_eq!(recovered.lost.len(), 1);
    let lost = &recovered.lost[0];
    assert_eq!((lost.call, lost.next_seq), (call(0), 2_000));
    assert_eq!(lost.seeds, [(0, b"the dialog".to_vec())]);
    assert!(lost.started.is_some());
}

#[test]
fn a_refused_fact_leaves_its_number_free_and_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_with(dir.path(), Limits::default());
    journal.append(fact(call(1), 0, started())).unwrap();
    let huge = "x".repeat(300 * 1024);
    assert_eq!(
        journal.append(fact(call(1), 1, line(&huge))),
        Err(Refused::TooLarge)
    );
    journal.append(fact(call(1), 1, line("shorter"))).unwrap();
    journal.flush().wait().unwrap();
    let seqs: Vec<u32> = unacknowledged(&journal).iter().map(|f| f.seq).collect();
    assert_eq!(seqs, [0, 1]);
    assert_eq!(journal.stats().refused, 1);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        queue_records: 50,
        gather: Duration::from_millis(5),
        ..Limits::default()
    };
    let (journal, _) = open_with(dir.path(), limits);
    let (mut kept, mut refused) = (0_u64, 0_u64);
    for n in 0..20_000 {
        match journal.append(fact(call(n), 0, started())) {
            Ok(()) => kept += 1,
            Err(why) => {
                assert_eq!(why, Refused::QueueFull);
                refused += 1;
            }
        }
    }
    // Flushing is allowed at a full queue: it adds nothing to the disk.
    journal.flush().wait().unwrap();
    assert!(refused > 0, "20,000 records went through a queue of 50");
    assert_eq!(journal.stats().refused, refused);
    assert_eq!(journal.stats().written, kept);
    assert_eq!(journal.stats().unacknowledged, kept);
}

#[test]
fn many_writers_keep_the_order_of_each_call() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_with(dir.path(), small(64 * KB, 256, 64 * KB));
    std::thread::scope(|scope| {
        for n in 0..8_u128 {
            let journal = journal.clone();
            scope.spawn(move || {
                let mut dice = Dice(u64::try_from(n).unwrap());
                for seq in 0..500 {
                    let kind = if seq == 0 { started() } else { line("x") };
                    let record: Record = fact(call(n), seq, kind);
                    if dice.roll(10) == 0 {
                        journal.append_written(record).wait().unwrap();
                    } else {
                        journal.append(record).unwrap();
                    }
                }
            });
        }
    });
    journal.flush().wait().unwrap();
    let mut next = [0_u32; 8];
    let mut seen = 0;
    loop {
        let batch = journal.next_batch(333).unwrap();
        if batch.facts.is_empty() {
            break;
        }
        for fact in &batch.facts {
            let fact = fact.fact().unwrap();
            let n = (0..8)
                .position(|n| call(n as u128) == fact.conversation)
                .unwrap();
            assert_eq!(fact.seq, next[n]);
            next[n] += 1;
            seen += 1;
        }
        journal.acknowledge(&batch, batch.facts.len()).unwrap();
    }
    assert_eq!(seen, 4_000);
}
