//! Conferences of twenty and more, parked callers and who picks them up, with real calls.

#[path = "rig/crowd.rs"]
mod crowd;
#[path = "rig/node.rs"]
mod rig;

use std::time::Duration;

use crowd::{Caller, Crowd, Plan, Voice};
use rig::Site;
use serde_json::Value;

const PARTIES: usize = 24;

fn plan() -> String {
    format!(
        r#"
context = "internal"

[[route]]
name = "room"
when = {{ to = "room" }}
do = [{{ conference = {{ room = "sales", max = {PARTIES}, full = "full" }} }}]

[[route]]
name = "waits"
when = {{ to = "waits" }}
do = [{{ park = {{ slot = "701", music = "prompt:welcome", taken = "full" }} }}, {{ tone = {{ hz = 440 }} }}]

[[route]]
name = "comes"
when = {{ to = "comes" }}
do = [{{ pickup = {{ slot = "701", empty = "full" }} }}]

[section.full]
do = [{{ hangup = "busy" }}]
"#
    )
}

fn crowd(site: &Site, user: &str, callers: usize) -> Crowd {
    Crowd::call(&Plan {
        server: site.sip,
        user: user.to_owned(),
        udp: callers,
        tcp: 0,
    })
}

/// The share of loud packets of the last 400 ms.
fn loud(crowd: &Crowd, number: usize) -> f64 {
    let now = crowd.now();
    let heard = crowd
        .caller(number)
        .between(now.saturating_sub(Duration::from_millis(400)), now);
    heard.iter().filter(|packet| packet.loud).count() as f64 / heard.len().max(1) as f64
}

fn is_up(caller: &Caller) -> bool {
    caller.answered.is_some() && caller.packets.len() > 20
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_conference_of_twenty_four_everybody_hears_the_others_and_nobody_himself() {
    let site = Site::new("", Some(&plan()));
    let node = site.start().await;
    let office = site.office();
    let all = crowd(&site, "room", PARTIES);
    for number in 0..PARTIES {
        all.speak(number, Voice::Silence);
    }
    all.all("answered", Duration::from_secs(20), is_up).await;
    let hears = |number| loud(&all, number) > 0.8;
    let silent = |number| loud(&all, number) == 0.0;
    until("it is quiet at first", || (0..PARTIES).all(silent)).await;
    // One after the other speaks; each time all others hear it, and whoever speaks does not.
    for speaker in [0, 11, PARTIES - 1] {
        all.speak(speaker, Voice::Tone);
        until("all others hear the one who speaks", || {
            (0..PARTIES).all(|number| {
                if number == speaker {
                    silent(number)
                } else {
                    hears(number)
                }
            })
        })
        .await;
        all.speak(speaker, Voice::Silence);
        until("it is quiet again", || (0..PARTIES).all(silent)).await;
    }
    let late = crowd(&site, "room", 1);
    late.all(
        "one more does not fit in",
        Duration::from_secs(15),
        |caller| caller.was_hung_up_on(),
    )
    .await;
    // Who leaves is heard no longer.
    all.speak(0, Voice::Tone);
    until("the first speaks", || hears(1)).await;
    all.hang_up(0);
    until("the first has left", || (1..PARTIES).all(silent)).await;
    assert_eq!(node.services.rooms.count(), (1, PARTIES - 1));
    all.hang_up_all();
    all.all("all are gone", Duration::from_secs(15), Caller::is_over)
        .await;
    let record = office.ended(&Value::String(all.caller(3).call_id)).await;
    let bridged = office.facts(&record, "bridged").await;
    assert_eq!(bridged.len(), 1, "{record:#}");
    until("the room is gone", || node.services.rooms.count() == (0, 0)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_caller_hears_music_then_whoever_picks_him_up_and_then_the_plan_again() {
    let site = Site::new("", Some(&plan()));
    let node = site.start().await;
    let office = site.office();
    let nobody = crowd(&site, "comes", 1);
    nobody
        .all("nobody waits yet", Duration::from_secs(15), |caller| {
            caller.was_hung_up_on()
        })
        .await;
    let waits = crowd(&site, "waits", 1);
    waits.speak(0, Voice::Silence);
    waits.all("answered", Duration::from_secs(15), is_up).await;
    until("music", || loud(&waits, 0) > 0.3).await;
    let second = crowd(&site, "waits", 1);
    second
        .all("the slot is taken", Duration::from_secs(15), |caller| {
            caller.was_hung_up_on()
        })
        .await;

    let comes = crowd(&site, "comes", 1);
    comes.speak(0, Voice::Silence);
    comes.all("answered", Duration::from_secs(15), is_up).await;
    until("the music stops", || loud(&waits, 0) == 0.0).await;
    comes.speak(0, Voice::Tone);
    until("whoever waited hears who came", || loud(&waits, 0) > 0.8).await;
    until("nobody hears himself", || loud(&comes, 0) == 0.0).await;
    comes.speak(0, Voice::Silence);
    waits.speak(0, Voice::Tone);
    until("who came hears whoever waited", || loud(&comes, 0) > 0.8).await;
    until("nobody hears himself", || loud(&waits, 0) == 0.0).await;

    waits.speak(0, Voice::Silence);
    comes.hang_up(0);
    until("the plan goes on, with a tone", || loud(&waits, 0) > 0.8).await;
    waits.hang_up(0);
    waits
        .all("over", Duration::from_secs(15), Caller::is_over)
        .await;
    for crowd in [&waits, &comes] {
        let record = office.ended(&Value::String(crowd.caller(0).call_id)).await;
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        let bridged = office.facts(&record, "bridged").await;
        assert_eq!(bridged.len(), 1, "{record:#}");
    }
    node.stop().await;
}
