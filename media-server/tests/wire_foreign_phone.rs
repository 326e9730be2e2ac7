//! A phone that is not ours, baresip, calls the demo agent over UDP and TCP, and is hung up on.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/node.rs"]
mod rig;

use std::sync::Arc;

use local_speech::{
    Cancel, DecodeKind, DecodeRequest, Models, Pool, PoolConfig, UtteranceId, halfband::Up2,
};
use rig::Site;
use serde_json::{Value, json};

/// What our recogniser makes of telephone sound.
async fn understood(models: &Arc<Models>, pcm: &[i16]) -> String {
    let pool = Pool::start(models.clone(), PoolConfig::default()).unwrap();
    let mut wide = Vec::new();
    Up2::default().push(pcm, &mut wide);
    let length = wide.len() as u64 / 16;
    let request = DecodeRequest {
        utterance: UtteranceId(1),
        pass: 1,
        kind: DecodeKind::Final,
        audio: wide.iter().map(|s| f32::from(*s) / 32_768.0).collect(),
        start_ms: 0,
        end_ms: length,
        speech_ms: u32::try_from(length).unwrap(),
    };
    let text = pool.transcribe(request, &Cancel::default()).unwrap();
    text.await.unwrap().unwrap().text
}

fn assert_about(said: &str, heard: &str, most: f64) {
    let score = local_speech::wer::score(said, heard);
    println!("said  {said}\nheard {heard}\nwer   {:.2}", score.rate());
    assert!(score.rate() <= most, "'{heard}' is not '{said}'");
}

/// Mean magnitude of each 20 ms.
fn envelope(pcm: &[i16]) -> Vec<f64> {
    let mean = |frame: &[i16]| {
        frame
            .iter()
            .map(|s| f64::from(s.unsigned_abs()))
            .sum::<f64>()
            / 160.0
    };
    pcm.chunks_exact(160).map(mean).collect()
}

/// Correlation of two stretches, 1 for the same shape.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let pairs = || a.iter().zip(b).map(|(a, b)| (a - ma, b - mb));
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    let norm: f64 =
        pairs().map(|(a, _)| a * a).sum::<f64>() * pairs().map(|(_, b)| b * b).sum::<f64>();
    dot / norm.sqrt().max(1.0)
}

/// How alike two sounds rise and fall, second by second, each where it fits best. The phone is a
/// process of its own, and on a crowded machine it drops what it does not get to in time, which moves
/// what follows: laid over each other whole, the two were 1.000 alike on a quiet machine, 0.928 and
/// 0.600 at a load of 16 on two cores, with everything sent. What *we* sent is held to its bar where
/// the receiver is ours (`wire_ledger`, `wire_kill`); here the bar is what a starved phone reaches.
fn likeness(sent: &[i16], heard: &[i16]) -> f64 {
    let (sent, heard) = (envelope(sent), envelope(heard));
    let best = |second: &[f64]| {
        let places = heard.windows(second.len());
        places
            .map(|place| correlation(second, place))
            .fold(0.0, f64::max)
    };
    let seconds: Vec<_> = sent.chunks_exact(50).map(best).collect();
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

/// It dials, hears the greeting word for word, hangs up; the record says so.
async fn greets(test: &str, transport: &'static str) {
    if !baresip::is_here(test) {
        return;
    }
    let site = Site::new("", None);
    let node = site.start().await;
    let Some(models) = node.services.models.clone() else {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
        return node.stop().await;
    };
    let call = baresip::dial(site.sip, "agent", transport, 12);
    assert!(call.trace.contains("Call established"), "{}", call.trace);
    let office = site.office();
    let record = office.ended(&json!(call.id())).await;
    assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    assert_eq!(record["from"], "foreign");
    assert_eq!(record["codec"], "PCMU");
    let lasted = record["duration_ms"].as_u64().unwrap();
    assert!((9_000..13_000).contains(&lasted), "{record:#}");
    let greeting = office.said(&record, "agent").await;
    let text = |s: &Value| s["heard_text"].as_str().unwrap_or_default().to_owned();
    let said: Vec<_> = greeting.iter().map(text).collect();
    let said = said.join(" ");
    assert!(
        said.starts_with("Hello") && said.ends_with("How can I help you?"),
        "{said}"
    );
    let place = |s: &Value, field: &str| s[field].as_u64().unwrap() as usize * 8;
    let (start, end) = (
        place(&greeting[0], "start_ms"),
        place(&greeting[greeting.len() - 1], "end_ms"),
    );
    let sent = office.recording(&record).await.channel(1);
    // Its clock began near ours: two seconds on either side hold all of the greeting.
    let (before, after) = (
        start.saturating_sub(16_000),
        (end + 16_000).min(call.heard.len()),
    );
    let sound = &call.heard[before..after];
    let alike = likeness(&sent[start..end], sound);
    println!("alike {alike:.3}");
    assert!(
        alike > 0.85,
        "what arrived is not what the recording says was sent: {alike:.3}"
    );
    assert_about(&said, &understood(&models, sound).await, 0.45);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_hears_the_greeting_over_udp_and_hangs_up() {
    greets("baresip_hears_the_greeting_over_udp_and_hangs_up", "udp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_hears_the_greeting_over_tcp_and_hangs_up() {
    greets("baresip_hears_the_greeting_over_tcp_and_hangs_up", "tcp").await;
}

/// We say something and hang up: on UDP, and on TCP over the connection that it opened.
#[tokio::test(flavor = "multi_thread")]
async fn our_side_hangs_up_on_baresip() {
    if !baresip::is_here("our_side_hangs_up_on_baresip") {
        return;
    }
    let plan = r#"
context = "internal"

[[route]]
name = "bye"
when = { to = "bye" }
do = ["ring", { sleep = "500ms" }, "answer", { say = "We are closed." }, { hangup = "normal" }]
"#;
    let site = Site::new("", Some(plan));
    let node = site.start().await;
    for transport in ["udp", "tcp"] {
        let call = baresip::dial(site.sip, "bye", transport, 6);
        assert!(call.trace.contains("BYE sip:foreign"), "{}", call.trace);
        let record = site.office().ended(&json!(call.id())).await;
        assert_eq!(record["end_reason"], "dialplan_hangup", "{record:#}");
        let lasted = record["duration_ms"].as_u64().unwrap();
        assert!((700..4_500).contains(&lasted), "{record:#}");
        let said = &site.office().said(&record, "agent").await[0];
        assert_eq!(said["heard_text"], said["text"], "{said:#}");
        let loud = call.heard.iter().filter(|s| s.unsigned_abs() > 1_000);
        assert!(loud.count() > 800, "{}: its words were heard", transport);
    }
    assert!(node.services.book.is_empty(), "both answered the BYE");
    node.stop().await;
}
