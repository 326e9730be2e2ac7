//! What was written survives the process.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use media_server::journal::{Journal, Limits, NodeKey, Refused};
use model::EndReason;

use crate::{
    build::{NOW, call, ended, fact, key, line, open, started},
    folder::{copy_as_killed, seed, segments, unacknowledged},
};

#[test]
fn what_was_written_is_there_after_a_kill_without_any_close() {
    let (live, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, _) = open(live.path());
    for n in 0..200 {
        journal.append(fact(call(n), 0, started())).unwrap();
    }
    journal
        .append_written(fact(call(3), 1, line("last")))
        .wait()
        .unwrap();
    copy_as_killed(live.path(), killed.path());

    let (after, recovered) = open(killed.path());
    assert_eq!(recovered.unacknowledged, 201);
    assert_eq!(recovered.torn_bytes, 0);
    assert_eq!(recovered.lost.len(), 200);
    let facts = unacknowledged(&after);
    assert_eq!(facts.len(), 201);
    assert_eq!(facts[200].kind, line("last"));
}

#[test]
fn records_nobody_waits_for_are_written_by_a_flush_and_by_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.flush().wait().unwrap();
    assert_eq!(journal.stats().written, 1);
    let other = journal.clone();
    journal.append(fact(call(1), 1, line("close me"))).unwrap();
    journal.close();
    assert_eq!(
        other.append(fact(call(1), 2, line("too late"))),
        Err(Refused::Closed)
    );
    drop(other);
    let (again, recovered) = open(dir.path());
    assert_eq!(recovered.unacknowledged, 2);
    assert_eq!(unacknowledged(&again)[1].kind, line("close me"));
}

#[test]
fn each_start_counts_and_the_node_stays_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = open(dir.path());
    let node = first.node();
    assert_eq!(first.boot(), 1);
    first.close();
    let (second, _) = open(dir.path());
    assert_eq!((second.node(), second.boot()), (node, 2));
}

#[test]
fn a_damaged_identity_makes_a_new_node_and_loses_no_fact() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let node = journal.node();
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.close();
    std::fs::write(dir.path().join("node.json"), b"{\"node\":").unwrap();
    let (again, recovered) = open(dir.path());
    assert_ne!(again.node(), node);
    assert_eq!(recovered.unacknowledged, 1);
    assert!(dir.path().join("node.json.damaged").exists());
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open(dir.path());
    let second = Journal::open(dir.path(), &key(), Limits::default(), NOW);
    let error = second.err().expect("refused").to_string();
    assert!(error.contains("in use"), "{error}");
}

#[test]
fn nothing_that_was_said_lies_in_clear_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.append(seed(call(1), 0, b"branch=z9hG4bK")).unwrap();
    journal
        .append(fact(call(1), 1, line("a very private matter")))
        .unwrap();
    journal.close();
    for path in segments(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        for secret in ["private", "+15550101", "z9hG4bK", "started"] {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "'{secret}' is readable in {}", path.display());
        }
    }
}

#[test]
fn another_key_is_told_apart_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.close();
    let other = NodeKey::from_bytes([8; 32]);
    let opened = Journal::open(dir.path(), &other, Limits::default(), NOW);
    let error = opened.err().expect("refused").to_string();
    assert!(error.contains("another node key"), "{error}");
    assert_eq!(
        open(dir.path()).1.unacknowledged,
        1,
        "and nothing was lost by trying"
    );
}

/// What the killed process does: writes, waits until it is written, says so.
fn write_and_report(dir: &str) {
    let (journal, _) = open(dir.as_ref());
    for n in 0..u32::MAX {
        let call = call(u128::from(n / 3));
        let kind = match n % 3 {
            0 => started(),
            1 => line("in the middle"),
            _ => ended(EndReason::CallerHangup),
        };
        journal
            .append_written(fact(call, n % 3, kind))
            .wait()
            .unwrap();
        println!("written {n}");
    }
}

#[test]
fn a_real_sigkill_loses_nothing_that_was_reported_as_written() {
    // This test is also its own victim, in a second process.
    if let Ok(dir) = std::env::var("SIDETONE_TEST_JOURNAL") {
        return write_and_report(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::a_real_sigkill_loses_nothing_that_was_reported_as_written",
            "--nocapture",
        ])
        .env("SIDETONE_TEST_JOURNAL", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported = 0;
    for text in lines.map_while(Result::ok) {
        if let Some((_, n)) = text.split_once("written ") {
            reported = n.trim().parse::<u64>().unwrap() + 1;
            if reported == 500 {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(reported >= 500, "the child reported only {reported}");

    let (journal, recovered) = open(dir.path());
    let facts = unacknowledged(&journal);
    assert!(
        facts.len() as u64 >= reported,
        "{} < {reported}",
        facts.len()
    );
    assert_eq!(recovered.corrupt, 0);
    for (n, fact) in facts.iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        assert_eq!(
            (fact.conversation, fact.seq),
            (call(u128::from(n / 3)), n % 3)
        );
    }
    let unfinished = usize::from(!facts.len().is_multiple_of(3));
    assert_eq!(recovered.lost.len(), unfinished);
}
