//! The snapshot: followed, kept, and good for ever when the office is gone.

use std::time::Duration;

use media_server::{journal::NodeKey, office::SnapshotKeeper};
use model::{
    Snapshot, TenantId,
    snapshot::{TenantEntry, TenantLimits},
};

use crate::{
    build::key,
    fake::{Fake, Mood, eventually},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn revision(revision: u64) -> Snapshot {
    Snapshot {
        revision,
        tenants: vec![TenantEntry {
            id: TenantId::new(1, 1),
            slug: "demo-tenant".into(),
            outbound: None,
            limits: TenantLimits::default(),
        }],
        ..Snapshot::default()
    }
}

#[tokio::test]
async fn changes_arrive_and_a_call_keeps_what_it_pinned() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let keeper = SnapshotKeeper::open(&dir.path().join("snapshot"), &key());
    assert!(!keeper.have());
    let mut changes = keeper.changes();
    let running = tokio::spawn(keeper.clone().run(fake.client(PATIENCE)));
    fake.change(|world| world.snapshot = revision(7));
    changes.wait_for(|revision| *revision == 7).await.unwrap();
    let pinned = keeper.current();
    fake.change(|world| {
        world.moods = [Mood::Unwell, Mood::Unwell].into();
        world.snapshot = revision(8);
    });
    changes.wait_for(|revision| *revision == 8).await.unwrap();
    assert_eq!((pinned.revision, keeper.current().revision), (7, 8));
    // A database that was restored has a lower number; the office is right all the same.
    fake.change(|world| world.snapshot = revision(3));
    changes.wait_for(|revision| *revision == 3).await.unwrap();
    running.abort();
}

#[tokio::test]
async fn the_last_good_one_is_there_at_the_next_start_without_any_office() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("state/snapshot");
    fake.change(|world| world.snapshot = revision(41));
    let keeper = SnapshotKeeper::open(&file, &key());
    let running = tokio::spawn(keeper.clone().run(fake.client(PATIENCE)));
    eventually(|| SnapshotKeeper::open(&file, &key()).current().revision == 41).await;
    running.abort();
    let bytes = std::fs::read(&file).unwrap();
    assert!(
        !bytes.windows(11).any(|w| w == b"demo-tenant"),
        "kept in clear"
    );

    let again = SnapshotKeeper::open(&file, &key());
    assert!(again.have());
    assert_eq!(*again.current(), revision(41));
    let stranger = SnapshotKeeper::open(&file, &NodeKey::from_bytes([9; 32]));
    assert!(!stranger.have(), "another key opens nothing");
}

#[tokio::test]
async fn a_file_damaged_at_any_byte_is_ignored_and_replaced() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("snapshot");
    fake.change(|world| world.snapshot = revision(5));
    let keeper = SnapshotKeeper::open(&file, &key());
    let running = tokio::spawn(keeper.run(fake.client(PATIENCE)));
    eventually(|| file.exists()).await;
    running.abort();
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        std::fs::write(&file, &broken).unwrap();
        assert!(!SnapshotKeeper::open(&file, &key()).have(), "byte {at}");
        std::fs::write(&file, &whole[..at]).unwrap();
        assert!(!SnapshotKeeper::open(&file, &key()).have(), "cut at {at}");
    }
    let keeper = SnapshotKeeper::open(&file, &key());
    let running = tokio::spawn(keeper.clone().run(fake.client(PATIENCE)));
    eventually(|| SnapshotKeeper::open(&file, &key()).have()).await;
    running.abort();
}

#[tokio::test]
async fn an_office_without_any_configuration_counts_as_heard() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let keeper = SnapshotKeeper::open(&dir.path().join("snapshot"), &key());
    let office = fake.client(PATIENCE);
    let running = tokio::spawn(keeper.clone().run(office.clone()));
    eventually(|| keeper.have()).await;
    assert_eq!(*keeper.current(), Snapshot::default());
    assert!(office.reachable());
    running.abort();
}
