//! What a start after a crash knows of the calls that were alive.

use model::{EndReason, FactKind};

use crate::{
    build::{call, ended, fact, line, open, started},
    folder::seed,
};

fn answered() -> FactKind {
    FactKind::Answered {
        codec: "PCMU".into(),
        setup_ms: 41,
    }
}

#[test]
fn a_lost_call_comes_back_with_all_that_its_end_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for (seq, kind) in [
        started(),
        FactKind::Ringing,
        answered(),
        FactKind::RecordingStarted { channels: 2 },
        line("hello"),
    ]
    .into_iter()
    .enumerate()
    {
        let seq = u32::try_from(seq).unwrap();
        journal.append(fact(call(1), seq, kind)).unwrap();
    }
    for text in ["first", "second", "third"] {
        journal.append(seed(call(1), 0, text.as_bytes())).unwrap();
    }
    journal.append(seed(call(1), 1, b"the other leg")).unwrap();
    journal.close();

    let (_, recovered) = open(dir.path());
    let lost = &recovered.lost[0];
    assert_eq!(recovered.lost.len(), 1);
    assert_eq!((lost.call, lost.boot, lost.next_seq), (call(1), 1, 5));
    assert_eq!(lost.started.as_ref().unwrap().profile, "external");
    assert_eq!(
        (lost.answered_offset_ms, lost.last_offset_ms),
        (Some(40), 80)
    );
    assert!(lost.recording_open);
    let seeds = [(0, b"third".to_vec()), (1, b"the other leg".to_vec())];
    assert_eq!(lost.seeds, seeds, "the latest of each leg");
}

#[test]
fn a_dialog_that_is_over_is_owed_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.append(seed(call(1), 0, b"a")).unwrap();
    journal.append(seed(call(1), 1, b"b")).unwrap();
    journal.append(seed(call(1), 1, b"")).unwrap();
    journal.close();
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.lost[0].seeds, [(0, b"a".to_vec())]);
}

#[test]
fn an_ended_call_is_not_lost_and_what_comes_after_its_end_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let ready = FactKind::RecordingReady {
        duration_ms: 1_000,
        bytes: 32_044,
        sha256: "00".into(),
    };
    journal.append(fact(call(1), 0, started())).unwrap();
    journal
        .append(fact(call(1), 1, ended(EndReason::CallerHangup)))
        .unwrap();
    journal.append(fact(call(1), 2, ready.clone())).unwrap();
    journal.append(seed(call(1), 0, b"late seed")).unwrap();
    journal.close();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.lost, []);
    assert_eq!(recovered.unacknowledged, 3);

    // Also when the end was acknowledged and forgotten before the straggler came.
    let batch = journal.next_batch(100).unwrap();
    journal.acknowledge(&batch, 3).unwrap();
    journal.append(fact(call(1), 3, ready)).unwrap();
    journal.close();
    let (_, recovered) = open(dir.path());
    assert_eq!((recovered.lost.len(), recovered.unacknowledged), (0, 1));
}

#[test]
fn a_call_stays_lost_until_its_end_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.append(fact(call(1), 0, started())).unwrap();
    journal.close();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.lost.len(), 1);
    journal.close();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.lost.len(), 1, "nobody ended it");
    let seq = recovered.lost[0].next_seq;
    journal
        .append(fact(call(1), seq, ended(EndReason::NodeLost)))
        .unwrap();
    journal.close();
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.lost, []);
    assert_eq!(recovered.unacknowledged, 2);
}

#[test]
fn a_fresh_folder_has_nothing_to_recover() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovered) = open(dir.path());
    assert_eq!((recovered.unacknowledged, recovered.corrupt), (0, 0));
    assert!(recovered.lost.is_empty() && journal.accepting());
    assert!(journal.next_batch(10).unwrap().facts.is_empty());
}
