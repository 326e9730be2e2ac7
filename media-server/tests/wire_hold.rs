//! T07: what happens within a call, on the wire.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;
#[path = "rig/talker.rs"]
mod talker;

use std::time::Duration;

use rig::Site;
use serde_json::{Value, json};
use sipp::Sipp;
use talker::Talker;

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "tone"
when = { to = "tone" }
do = ["answer", { tone = { hz = 1000 } }]
"#;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_a_held_call_rests_outlives_the_silence_and_goes_on() {
    if !sipp::is_here("t07_a_held_call_rests_outlives_the_silence_and_goes_on") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    // Without hold the first 1.2 s of silence would end it.
    let patience = ", timeout = \"1200ms\", hold_timeout = \"40s\"";
    site.internal(patience, 40, "");
    let node = site.start().await;
    let caller = Talker::start();
    let story = "t07-the-caller-holds-and-comes-back";
    let call = Sipp::call(site.sip, story, "tone", &[("rtp_port", &caller.key())]);
    let id = Value::String(call.call_id.clone());
    caller.hears_speech(ms(500), Duration::from_secs(10));
    // Three spellings, 1.5 s each: nothing is sent to whoever holds us, and his own silence is no loss.
    talker::wait(Duration::from_secs(10), "the sound does not rest", || {
        let last = caller.heard().last().map(|heard| heard.at);
        last.is_some_and(|at| at.elapsed() > ms(800))
    });
    caller.mute();
    let silent_from = caller.heard().len();
    talker::wait(
        Duration::from_secs(15),
        "the sound does not come back",
        || caller.heard().len() > silent_from + 25,
    );
    caller.unmute();
    call.succeeds(Duration::from_secs(40));

    let heard = caller.heard();
    let gaps = heard.windows(2).map(|pair| pair[1].at - pair[0].at);
    let rest = gaps.max().unwrap_or_default();
    assert!(rest > ms(3_000), "it rested for {rest:?} of 4.5 s");
    let office = site.office();
    let call = office.ended(&id).await;
    assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
    assert_eq!(call["sip"], json!({ "code": 200, "q850": 31 }), "{call:#}");
    for fact in ["held", "resumed"] {
        assert_eq!(office.facts(&call, fact).await.len(), 1, "{fact}: {call:#}");
    }
    assert!(node.services.book.is_empty(), "no dialog is left");
    node.stop().await;
}
