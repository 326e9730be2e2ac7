//! T07: how long a session lasts (RFC 4028), on the wire: too short, refreshed by us in both ways, and not refreshed at all.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;
#[path = "rig/talker.rs"]
mod talker;

use std::time::Duration;

use rig::Site;
use serde_json::{Value, json};
use sipp::{Ladder, Sipp};
use talker::Talker;

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "tone"
when = { to = "tone" }
do = ["answer", { tone = { hz = 1000 } }]
"#;

const LIMIT: Duration = Duration::from_secs(40);

/// Plays a story on a profile whose sessions last four seconds; what came, and the record.
async fn story(name: &str) -> Option<(Ladder, Value)> {
    if !sipp::is_here(name) {
        return None;
    }
    let site = Site::new("", Some(PLAN));
    site.internal("", 40, "session_timer = { expires = 4, min = 2 }");
    let node = site.start().await;
    let caller = Talker::start();
    let call = Sipp::call(site.sip, name, "tone", &[("rtp_port", &caller.key())]);
    let id = Value::String(call.call_id.clone());
    let done = tokio::task::spawn_blocking(move || call.succeeds(LIMIT));
    let ladder = done.await.expect("the story went as it should");
    // An INVITE that was refused with 422 leaves no record: the one that comes after it is the call.
    let mine = |c: &Value| c["sip_call_id"] == id;
    let mut records = site
        .office()
        .calls(1, |c| mine(c) && c["state"] == "ended")
        .await;
    assert_eq!(records.len(), 1, "{records:#?}");
    let record = records.remove(0);
    node.stop().await;
    Some((ladder, record))
}

fn origin(message: &str) -> &str {
    let line = message.lines().find(|line| line.starts_with("o="));
    line.expect("a description").trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_too_short_is_refused_with_the_least_and_then_refreshed_at_half() {
    let name = "t07-the-session-is-too-short-and-then-refreshed";
    let Some((ladder, record)) = story(name).await else {
        return;
    };
    assert_eq!(ladder.count(422), 1);
    let updates = ladder.received().into_iter();
    let updates: Vec<_> = updates.filter(|m| m.starts_with("UPDATE")).collect();
    assert!(updates.len() >= 2, "{updates:#?}");
    for update in updates {
        assert_eq!(
            sipp::header(&update, "Content-Length"),
            Some("0"),
            "{update}"
        );
    }
    assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    let lasted = record["duration_ms"].as_u64().expect("answered");
    assert!(lasted >= 3_500, "two refreshes: {record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_update_the_refresh_is_an_invite_that_changes_nothing_and_481_ends_the_call() {
    let name = "t07-the-session-is-refreshed-by-invite-and-then-gone";
    let Some((ladder, record)) = story(name).await else {
        return;
    };
    let ours = ladder.first("SIP/2.0 200");
    let again = ladder.first("INVITE");
    assert_eq!(origin(&again), origin(&ours), "the same description");
    assert_eq!(record["end_reason"], "session_expired", "{record:#}");
    assert_eq!(record["sip"]["q850"], json!(102), "{record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_refreshes_ends_with_bye_before_it_is_over() {
    let Some((_, record)) = story("t07-the-caller-does-not-refresh").await else {
        return;
    };
    assert_eq!(record["end_reason"], "session_expired", "{record:#}");
    let lasted = record["duration_ms"].as_u64().expect("answered");
    assert!(lasted >= 2_000, "{record:#}");
}
