//! The thread that everything hangs on, over real UDP: a call comes in, sound flows, the record is
//! true.

#[path = "rig/node.rs"]
mod rig;

use std::time::Duration;

use rig::Site;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_call_is_heard_and_recorded_in_the_office() {
    let site = Site::new("", None);
    let node = site.start().await;
    let (summary, content) = tokio::task::spawn_blocking({
        let phone = site.phone(
            "echo",
            &["--step", "tell:one two three four five", "--seconds", "4"],
        );
        move || phone.finish(LIMIT)
    })
    .await
    .unwrap();
    assert!(content, "{summary:#}");
    assert!(
        summary["voiced_ms"].as_u64().unwrap() > 500,
        "our words come back: {summary:#}"
    );
    let call = site.office().ended(&summary["sip_call_id"]).await;
    assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
    assert_eq!(call["codec"], "PCMU");
    let talked = summary["talked_ms"].as_i64().unwrap();
    let recorded = call["duration_ms"].as_i64().unwrap();
    assert!(
        (talked - recorded).abs() < 500,
        "{talked} ms talked, {recorded} ms in the record"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_nobody_has_is_404_and_has_its_record() {
    let site = Site::new("", None);
    let node = site.start().await;
    let phone = site.phone("nobody", &[]);
    let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    assert!(!content);
    assert_eq!(summary["status"], 404, "{summary:#}");
    let call = site.office().ended(&summary["sip_call_id"]).await;
    assert_eq!(call["end_reason"], "no_route", "{call:#}");
    assert_eq!(call["sip"]["code"], 404);
    assert_eq!(call["duration_ms"], 0);
    node.stop().await;
}
