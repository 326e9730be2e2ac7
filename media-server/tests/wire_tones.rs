//! T08 with keys in the sound: a profile that is set to tones agrees on no telephone events, so that the phone dials in what
//! it says, and each key is read once.

#[path = "rig/node.rs"]
mod rig;

use std::time::Duration;

use rig::Site;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const KEYS: &str = "1559*0A#";

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "entry"
when = { to = "entry" }
do = ["answer", { gather = { into = "code", max = 8, timeout = "20s" } }, { log = "entered {code}" }, { hangup = "normal" }]
"#;

fn digits(events: &[Value]) -> String {
    let digits = events.iter().filter_map(|event| event["digit"].as_str());
    digits.collect()
}

/// One call that dials; the digits of its record, and what the plan made of them.
async fn dialled(site: &Site) -> (String, Vec<Value>) {
    let step = format!("press:{KEYS}");
    let args = ["--step", "wait:1s", "--step", &step, "--stay"];
    let phone = site.phone("entry", &args);
    let ended = tokio::task::spawn_blocking(move || phone.finish(LIMIT)).await;
    let (summary, _) = ended.unwrap();
    let office = site.office();
    let call = office.ended(&summary["sip_call_id"]).await;
    let pressed = digits(&office.facts(&call, "digit").await);
    (pressed, office.facts(&call, "logged").await)
}

/// A phone or a server that stands still for longer than the pause between two keys makes two of one, as on any line: a busy
/// machine has three tries. That nothing else does is told in media-core's `keys_in_the_sound.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn t08_keys_in_the_sound_come_once_each_in_order() {
    let site = Site::new("", Some(PLAN));
    site.internal("", 60, "dtmf = \"inband\"");
    let node = site.start().await;
    let mut got = dialled(&site).await;
    for _ in 0..2 {
        if got.0 != KEYS {
            println!("{got:?}");
            got = dialled(&site).await;
        }
    }
    let logged = vec![json!({ "line": "entered 1559*0A" })];
    assert_eq!(got, (KEYS.to_owned(), logged));
    node.stop().await;
}
