//! Facts reach the office: all of them, once, in order.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use media_server::{
    journal::Journal,
    office::{Office, Shipper},
};
use model::{CallId, EndReason};

use crate::{
    build::{Dice, call, ended, fact, key, line, open, started},
    fake::{Fake, Mood, eventually},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn ship(journal: &Journal, office: Office, dir: &std::path::Path) -> tokio::task::JoinHandle<()> {
    let shipper = Shipper::new(journal.clone(), office, &dir.join("dead-letters"));
    tokio::spawn(shipper.run())
}

/// `calls` calls of `each` facts, interleaved as real calls are.
fn talk(journal: &Journal, calls: u128, each: u32) {
    for seq in 0..each {
        for n in 0..calls {
            let kind = match seq {
                0 => started(),
                last if last == each - 1 => ended(EndReason::CallerHangup),
                _ => line("on it goes"),
            };
            journal.append(fact(call(n), seq, kind)).unwrap();
        }
    }
}

fn assert_order(order: &[(CallId, u32)]) {
    let mut next: HashMap<CallId, u32> = HashMap::new();
    for (call, seq) in order {
        let wanted = next.entry(*call).or_default();
        assert_eq!(seq, wanted, "{call} out of order");
        *wanted += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_facts_through_a_failing_office_arrive_once_and_in_order() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let mut dice = Dice(4_711);
    fake.change(|world| {
        world.moods = (0..60)
            .map(|_| match dice.roll(5) {
                0 => Mood::Well,
                1 => Mood::Unwell,
                2 => Mood::DoneButSilent,
                3 => Mood::Half,
                _ => Mood::Says(500),
            })
            .collect();
    });
    let (journal, _) = open(dir.path());
    let shipping = ship(
        &journal,
        fake.client(Duration::from_millis(300)),
        dir.path(),
    );
    talk(&journal, 500, 20);
    fake.until(|world| world.facts.len() == 10_000).await;
    eventually(|| journal.stats().unacknowledged == 0).await;
    shipping.abort();
    fake.see(|world| {
        assert_eq!(world.order.len(), 10_000);
        assert!(world.duplicates > 0, "nothing was ever sent twice: no test");
        assert!(world.largest_batch <= 1_000);
        assert_eq!(world.strangers, 0);
        assert_order(&world.order);
    });
    eventually(|| journal.stats().segments == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_and_doubles_nothing() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (journal, _) = open(dir.path());
    talk(&journal, 100, 30);
    journal.flush().await.unwrap();
    fake.change(|world| world.moods = [Mood::Half, Mood::DoneButSilent].into());
    let shipping = ship(&journal, fake.client(PATIENCE), dir.path());
    // Killed while it waits for an answer that does not come.
    fake.until(|world| world.requests == 2 && world.facts.len() > 500)
        .await;
    shipping.abort();
    tokio::task::spawn_blocking(move || journal.close())
        .await
        .unwrap();

    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered.unacknowledged, 2_500);
    let shipping = ship(&journal, fake.client(PATIENCE), dir.path());
    fake.until(|world| world.facts.len() == 3_000).await;
    eventually(|| journal.stats().unacknowledged == 0).await;
    shipping.abort();
    fake.see(|world| assert_order(&world.order));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_the_office_never_takes_is_set_aside_and_holds_up_nothing() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.change(|world| world.refuse_line = Some("unwanted".into()));
    let (journal, _) = open(dir.path());
    for seq in 0..10 {
        let kind = match seq {
            0 => started(),
            3 | 7 => line("unwanted"),
            _ => line("fine"),
        };
        journal.append(fact(call(1), seq, kind)).unwrap();
    }
    journal.flush().await.unwrap();
    let dead = dir.path().join("dead");
    let shipper = Shipper::new(journal.clone(), fake.client(PATIENCE), &dead);
    let stats = shipper.stats();
    let shipping = tokio::spawn(shipper.run());
    fake.until(|world| world.facts.len() == 8).await;
    eventually(|| journal.stats().unacknowledged == 0).await;
    shipping.abort();
    assert_eq!(stats.dead_letters.load(Ordering::Relaxed), 2);
    assert_eq!(stats.shipped.load(Ordering::Relaxed), 8);

    let mut letters = Vec::new();
    for entry in std::fs::read_dir(&dead).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|w| w == b"unwanted"), "kept in clear");
        letters.extend(Journal::read_dead_letters(&bytes, &key()).unwrap());
    }
    letters.sort_by_key(|fact| fact.seq);
    let seqs: Vec<u32> = letters.iter().map(|fact| fact.seq).collect();
    assert_eq!(seqs, [3, 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_sent_in_halves() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.change(|world| world.most_facts = Some(60));
    let (journal, _) = open(dir.path());
    talk(&journal, 50, 20);
    let shipping = ship(&journal, fake.client(PATIENCE), dir.path());
    fake.until(|world| world.facts.len() == 1_000).await;
    shipping.abort();
    fake.see(|world| {
        assert_eq!(world.duplicates, 0);
        assert_order(&world.order);
    });
}

/// A disk at the office that needs seconds for what is due within one: the same batch again would
/// fail again, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_too_slow_for_a_whole_batch_gets_smaller_ones() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.change(|world| world.slow_beyond = Some(130));
    let (journal, _) = open(dir.path());
    talk(&journal, 50, 20);
    journal.flush().await.unwrap();
    let office = fake.client(Duration::from_millis(200));
    let shipping = ship(&journal, office.clone(), dir.path());
    eventually(|| office.shipping().trouble().is_some()).await;
    fake.until(|world| world.facts.len() == 1_000).await;
    eventually(|| office.shipping().trouble().is_none()).await;
    shipping.abort();
    fake.see(|world| assert_order(&world.order));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_says_nothing_of_the_facts_throws_none_away() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let strange = [404, 405, 409, 451, 302].map(Mood::Says);
    fake.change(|world| world.moods = strange.into());
    let (journal, _) = open(dir.path());
    talk(&journal, 1, 3);
    let shipping = ship(&journal, fake.client(PATIENCE), dir.path());
    fake.until(|world| world.facts.len() == 3).await;
    shipping.abort();
    assert!(!dir.path().join("dead-letters").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_fact_that_is_refused_as_a_request_is_set_aside_too() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.change(|world| world.moods = [Mood::Says(422)].into());
    let (journal, _) = open(dir.path());
    journal
        .append_written(fact(call(1), 0, started()))
        .await
        .unwrap();
    let dead = dir.path().join("dead");
    let shipper = Shipper::new(journal.clone(), fake.client(PATIENCE), &dead);
    let stats = shipper.stats();
    let shipping = tokio::spawn(shipper.run());
    eventually(|| stats.dead_letters.load(Ordering::Relaxed) == 1).await;
    journal.append(fact(call(1), 1, line("next"))).unwrap();
    fake.until(|world| world.facts.len() == 1).await;
    shipping.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_refused_is_tried_again_and_nothing_is_thrown_away() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.change(|world| world.moods = [Mood::Says(401), Mood::Says(403), Mood::Says(429)].into());
    let (journal, _) = open(dir.path());
    talk(&journal, 1, 3);
    let shipping = ship(&journal, fake.client(PATIENCE), dir.path());
    fake.until(|world| world.facts.len() == 3).await;
    shipping.abort();
    assert!(!dir.path().join("dead-letters").exists());
}
