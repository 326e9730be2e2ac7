//! Encrypted media (T13) against a phone that is not ours: baresip with SRTP calls, and is called. What each side says must be
//! heard by the other, and what is not allowed must be refused.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/node.rs"]
mod rig;

use baresip::{Call, Manner, Running};
use rig::Site;
use serde_json::json;

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;

/// A tone that comes and goes.
fn tone(hz: f64) -> Vec<i16> {
    let sample = |n: usize| {
        let on = n % 4_000 < 3_200;
        let wave = (n as f64 * hz / 8_000.0 * std::f64::consts::TAU).sin();
        if on { (wave * 8_000.0) as i16 } else { 0 }
    };
    (0..8_000).map(sample).collect()
}

/// How many 20 ms of it are this tone and little else (Goertzel).
fn frames_of(hz: f64, heard: &[i16]) -> usize {
    let is_tone = |frame: &[i16]| {
        let power: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
        let angle = hz / 8_000.0 * std::f64::consts::TAU;
        let parts = frame.iter().enumerate().map(|(n, s)| {
            let (sin, cos) = (angle * n as f64).sin_cos();
            (f64::from(*s) * cos, f64::from(*s) * sin)
        });
        let (re, im) = parts.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let share = (re * re + im * im) * 2.0 / (frame.len() as f64 * power.max(1.0));
        power / frame.len() as f64 > 250_000.0 && share > 0.8
    };
    heard.chunks_exact(160).filter(|f| is_tone(f)).count()
}

fn manner(encryption: &str, hz: f64) -> Manner {
    let encryption = match encryption {
        "plain" => String::new(),
        other => format!(";mediaenc={other}"),
    };
    Manner {
        account: format!("audio_codecs=PCMU/8000/1{encryption}"),
        modules: &["srtp"],
        says: tone(hz),
        seconds: 6,
        ..Manner::default()
    }
}

fn site(srtp: &str, plan: &str) -> Site {
    let site = Site::new("", Some(plan));
    site.internal("", 200, &format!("srtp = \"{srtp}\""));
    site
}

/// The SDP that the server answered with.
fn answer(call: &Call) -> &str {
    let at = call.trace.find("SIP/2.0 200 OK");
    at.map_or("", |at| &call.trace[at..])
}

/// One row of T13: who offers what to whom, and what comes of it.
async fn row(site: &Site, offers: &str, expected: &str) {
    let call = Running::dial(site.sip, "echo", &manner(offers, 1_000.0)).finish();
    let story = format!("{offers}: {}", call.trace);
    if expected == "488" {
        assert!(call.trace.contains("SIP/2.0 488"), "{story}");
        let record = site.office().ended(&json!(call.id())).await;
        assert_eq!(record["end_reason"], "no_common_codec", "{record:#}");
        return;
    }
    let encrypted = answer(&call).contains("a=crypto:");
    assert_eq!(encrypted, expected == "srtp", "{story}");
    let frames = frames_of(1_000.0, &call.heard);
    assert!(frames > 60, "it hears itself: {frames} frames\n{story}");
    let record = site.office().ended(&json!(call.id())).await;
    assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_meets_each_offer_as_it_says() {
    let test = "each_policy_meets_each_offer_as_it_says";
    if !baresip::is_here(test) {
        return;
    }
    let table = [
        (
            "off",
            [("plain", "plain"), ("srtp", "plain"), ("srtp-mand", "488")],
        ),
        (
            "optional",
            [("plain", "plain"), ("srtp", "srtp"), ("srtp-mand", "srtp")],
        ),
        (
            "required",
            [("plain", "488"), ("srtp", "srtp"), ("srtp-mand", "srtp")],
        ),
    ];
    for (policy, rows) in table {
        let site = site(policy, PLAN);
        let node = site.start().await;
        for (offers, expected) in rows {
            println!("{policy} meets {offers}: {expected}");
            row(&site, offers, expected).await;
        }
        node.stop().await;
    }
}

/// Both phones insist on SRTP; each leg has keys of its own, and we are the offerer of the second.
#[tokio::test(flavor = "multi_thread")]
async fn two_encrypted_phones_hear_each_other_through_us() {
    let test = "two_encrypted_phones_hear_each_other_through_us";
    if !baresip::is_here(test) {
        return;
    }
    for (policy, encryption) in [("required", "srtp-mand"), ("optional", "srtp")] {
        let called = Running::answer(&Manner {
            seconds: 12,
            ..manner(encryption, 1_600.0)
        });
        let plan = format!(
            "context = \"internal\"\n[[route]]\nname = \"over\"\nwhen = {{ to = \"over\" }}\n\
             do = [{{ bridge = {{ to = \"sip:foreign@127.0.0.1:{}\", ring_for = \"5s\" }} }}]\n",
            called.port
        );
        let site = site(policy, &plan);
        let node = site.start().await;
        let call = Running::dial(site.sip, "over", &manner(encryption, 1_000.0)).finish();
        let record = site.office().ended(&json!(call.id())).await;
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        let called = called.finish();
        let (there, back) = (
            frames_of(1_000.0, &called.heard),
            frames_of(1_600.0, &call.heard),
        );
        println!("{policy}: {there} frames one way, {back} the other");
        assert!(there > 60, "the caller is heard\n{}", called.trace);
        assert!(back > 60, "the called party is heard\n{}", call.trace);
        assert!(called.trace.contains("a=crypto:"), "{}", called.trace);
        node.stop().await;
    }
}
