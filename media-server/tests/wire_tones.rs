//! T08 with keys in the sound: a profile that is set to tones offers no telephone events, reads each key once from what it
//! hears, and dials in what it says.

#[path = "rig/node.rs"]
mod rig;

use std::time::Duration;

use rig::{Phone, Site};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const KEYS: &str = "1559*0A#";

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "entry"
when = { to = "entry" }
do = ["answer", { gather = { play = "silence.wav", into = "code", max = 8, timeout = "20s" } }, { log = "entered {code}" }, { hangup = "normal" }]

[[route]]
name = "quiet"
when = { to = "quiet" }
do = ["answer", { sleep = "30s" }]
"#;

fn site(dtmf: &str) -> Site {
    let site = Site::new("", Some(PLAN));
    site.internal("", 60, &format!("dtmf = \"{dtmf}\""));
    site
}

/// Runs the phone to its end, off the runtime.
async fn finish(phone: Phone) -> (Value, Vec<Value>) {
    let run = move || {
        let mut phone = phone;
        let summary = phone.wait_for("summary", LIMIT);
        (summary, std::mem::take(&mut phone.events))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn digits(events: &[Value]) -> String {
    let digits = events.iter().filter_map(|event| event["digit"].as_str());
    digits.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_keys_in_the_sound_come_once_each_in_order() {
    let site = site("inband");
    let node = site.start().await;
    let step = format!("dtmf:{KEYS}");
    let (summary, _) = finish(site.phone("entry", &["--step", "wait:1s", "--step", &step, "--stay"])).await;
    let office = site.office();
    let call = office.ended(&summary["sip_call_id"]).await;
    assert_eq!(call["end_reason"], "dialplan_hangup", "{call:#}");
    assert_eq!(digits(&office.facts(&call, "digit").await), KEYS);
    let logged = office.facts(&call, "logged").await;
    assert_eq!(logged, [json!({ "line": "entered 1559*0A" })]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_keys_that_an_order_dials_are_tones_in_what_we_say() {
    let site = site("inband");
    let node = site.start().await;
    let mut phone = site.phone("quiet", &["--stay", "--seconds", "40"]);
    let answered = phone.wait_for("answered", LIMIT);
    let office = site.office();
    let calls = office.calls(1, |call| call["state"] == "in_progress").await;
    let id = calls[0]["id"].as_str().unwrap();
    let keys = json!({ "digits": KEYS });
    office.post(&format!("/v1/calls/{id}/dtmf"), &keys).await;
    while digits(&phone.events).len() < KEYS.len() {
        phone.wait_for("digit", LIMIT);
    }
    assert_eq!(digits(&phone.events), KEYS, "{answered:#}");
    phone.interrupt();
    finish(phone).await;
    node.stop().await;
}
