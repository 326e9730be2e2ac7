//! The load generator against a node: what it says comes back, and what it reports is what the
//! office recorded. Judged by counts alone.

#[path = "rig/node.rs"]
mod rig;

use media_server::load::{self, Plan, Report};
use rig::Site;

const CALLS: usize = 10;

async fn load(site: &Site, context: &str) -> Report {
    let plan = Plan::parse(&format!(
        "name = '{context}'\nstory = 'ten callers hear themselves'\n\
         [call]\nto = 'sip:{context}@{}'\nreturns = true\n\
         [load]\ncalls = {CALLS}\nper_second = 20\nhold = '2s'\n[rtp]\nsockets = 2\n",
        site.sip
    ));
    let plan = plan.unwrap();
    tokio::task::spawn_blocking(move || load::generate(&plan, None).unwrap())
        .await
        .unwrap()
}

fn all_came_back(report: &Report) {
    let (calls, sound) = (&report.calls, &report.sound);
    assert_eq!((calls.placed, calls.answered), (CALLS, CALLS), "{report}");
    assert_eq!((calls.dropped, calls.refused.len()), (0, 0), "{report}");
    assert_eq!(
        (sound.silent_calls, sound.markless_calls),
        (0, 0),
        "{report}"
    );
    assert_eq!((sound.lost, sound.send_errors), (0, 0), "{report}");
    assert_eq!(sound.foreign, 0, "nobody hears another: {report}");
    // Two seconds at 50 frames, and the way out and back: a crowded machine may hide some frames
    // behind concealment, never most of them.
    assert!(sound.sent >= 50 * CALLS as u64, "{report}");
    assert!(sound.returned * 2 > sound.sent, "{report}");
    assert!(sound.packets * 2 > sound.sent, "{report}");
}

async fn all_are_recorded(site: &Site, context: &str) {
    let to = serde_json::json!(context);
    let mine = |call: &serde_json::Value| call["state"] == "ended" && call["to"] == to;
    let calls = site.office().calls(CALLS, mine).await;
    assert_eq!(calls.len(), CALLS, "a record for each call: {calls:#?}");
    for call in calls {
        assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
        assert_eq!(call["codec"], "PCMU", "{call:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_callers_of_each_kind_hear_themselves_and_have_their_records() {
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stub = format!(
        "[loadtest]\nstub = \"tcp://{}\"",
        agent.local_addr().unwrap()
    );
    let agent = tokio::spawn(load::stub_agent::serve(agent));
    let site = Site::new(&stub, None);
    let node = site.start().await;
    for context in ["echo", "stub-local", "stub"] {
        let report = load(&site, context).await;
        all_came_back(&report);
        all_are_recorded(&site, context).await;
    }
    agent.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_refused_are_told_apart_from_calls_that_are_answered() {
    let site = Site::new("", None);
    let node = site.start().await;
    let report = load(&site, "nobody").await;
    assert_eq!((report.calls.placed, report.calls.answered), (CALLS, 0));
    assert_eq!(report.calls.refused.get(&404), Some(&CALLS), "{report}");
    assert!(!report.is_good());
    node.stop().await;
}
