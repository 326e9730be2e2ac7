//! Heartbeats say what is true, and at once when a revision was taken.

use std::time::Duration;

use media_server::office::{Office, OfficeConfig, OfficeTiming, Pulse, heartbeats};
use model::{
    NodeId, TrunkId,
    internal::{Leased, Share},
};
use tokio::sync::watch;

use crate::{
    build::call,
    fake::{Fake, KEY, Mood},
};

#[tokio::test]
async fn beats_carry_the_live_calls_and_go_on_after_failures() {
    let fake = Fake::start().await;
    fake.change(|world| world.moods = [Mood::Unwell, Mood::Says(401)].into());
    let (_keep, changes) = watch::channel(0);
    let mut beats = 0;
    let pulse = move || {
        beats += 1;
        Pulse {
            live: vec![call(beats)],
            accepting: true,
            revision: 9,
            profiles: vec!["external".into()],
        }
    };
    let office = fake.client(Duration::from_secs(5));
    let node = NodeId::new(1, 2);
    let (told, shares) = std::sync::mpsc::channel();
    let keep = move |share| told.send(share).unwrap();
    let beating = tokio::spawn(heartbeats(office, node, 3, changes, pulse, keep));
    fake.until(|world| world.beats.len() >= 3).await;
    beating.abort();
    let leased = Leased {
        share: Share { part: 1, of: 3 },
        registers: vec![TrunkId::new(7, 7)],
    };
    assert_eq!(shares.recv().unwrap(), leased);
    fake.see(|world| {
        let beat = &world.beats[0];
        assert_eq!((beat.node, beat.boot, beat.revision), (node, 3, 9));
        assert_eq!(beat.live, [call(3)], "the first two were lost");
        assert!(beat.accepting && beat.profiles == ["external"]);
    });
}

#[tokio::test]
async fn a_new_revision_is_told_without_waiting_for_the_next_beat() {
    let fake = Fake::start().await;
    let config = OfficeConfig {
        base_url: fake.url.clone(),
        key: KEY.into(),
        timing: OfficeTiming {
            heartbeat: Duration::from_hours(1),
            ..OfficeTiming::default()
        },
    };
    let egress = egress::Egress::new(egress::EgressConfig::default()).unwrap();
    let (tell, changes) = watch::channel(1);
    let seen = changes.clone();
    let pulse = move || Pulse {
        revision: *seen.borrow(),
        ..Pulse::default()
    };
    let office = Office::new(config, egress);
    let beating = tokio::spawn(heartbeats(
        office,
        NodeId::new(1, 1),
        1,
        changes,
        pulse,
        drop,
    ));
    fake.until(|world| world.beats.len() == 1).await;
    tell.send(2).unwrap();
    fake.until(|world| world.beats.len() == 2).await;
    assert_eq!(fake.see(|world| world.beats[1].revision), 2);
    beating.abort();
}
