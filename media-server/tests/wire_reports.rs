//! RTCP against a phone that is not ours: baresip calls with reports on ports of their own, with RTP, in clear and sealed. Its
//! reports must reach us – the record has round trip, loss and opinion score – and ours must reach it, right enough for its own
//! reckoning of the round trip.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/node.rs"]
mod rig;

use std::time::{Duration, Instant};

use baresip::{Call, Manner, Running};
use rig::{Office, Site};
use serde_json::{Value, json};

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;

/// It reports every five seconds; what it reckons of ours and we of its is whole after two.
const SECONDS: u32 = 13;

#[derive(Debug, Clone, Copy)]
struct Way {
    muxed: bool,
    sealed: bool,
}

const WAYS: [Way; 4] = [
    Way {
        muxed: false,
        sealed: false,
    },
    Way {
        muxed: true,
        sealed: false,
    },
    Way {
        muxed: false,
        sealed: true,
    },
    Way {
        muxed: true,
        sealed: true,
    },
];

fn dial(site: &Site, way: Way) -> Running {
    let encryption = if way.sealed {
        ";mediaenc=srtp-mand"
    } else {
        ""
    };
    let mux = if way.muxed { "yes" } else { "no" };
    let manner = Manner {
        account: format!("audio_codecs=PCMU/8000/1{encryption}"),
        modules: &["srtp"],
        config: format!("rtcp_mux {mux}\n"),
        seconds: SECONDS,
        watched: true,
        ..Manner::default()
    };
    Running::dial(site.sip, "echo", &manner)
}

/// What our answer says of RTCP, and the port it gives for RTP.
fn promised(call: &Call) -> (Vec<&str>, u16) {
    let at = call.trace.find("SIP/2.0 200 OK").expect("answered");
    let sdp = call.trace[at..].lines().map(str::trim);
    let sdp: Vec<&str> = sdp.take_while(|line| !line.starts_with("ACK ")).collect();
    let media = sdp.iter().find_map(|line| line.strip_prefix("m=audio "));
    let port = media
        .and_then(|rest| rest.split(' ').next())
        .expect("a port");
    let rtcp = sdp
        .iter()
        .copied()
        .filter(|line| line.starts_with("a=rtcp"));
    (rtcp.collect(), port.parse().expect("a number"))
}

fn assert_promised(way: Way, call: &Call) {
    let (rtcp, port) = promised(call);
    let expected = match way.muxed {
        true => "a=rtcp-mux".to_owned(),
        false => format!("a=rtcp:{}", port + 1),
    };
    assert_eq!(rtcp, [expected], "{way:?}\n{}", call.trace);
}

/// Its reckoning rests on what our reports say: when its last one came, and how long we kept it.
fn assert_reached(way: Way, call: &Call) {
    let reports = call.events.iter().filter(|e| e["type"] == "CALL_RTCP");
    let reports: Vec<&Value> = reports.map(|event| &event["rtcp_stats"]).collect();
    let last = reports
        .last()
        .unwrap_or_else(|| panic!("{way:?}: {:#?}", call.events));
    println!("{way:?}: it says {last}");
    let round_trip_us = last["rtt"].as_u64().unwrap_or(0);
    assert!((1..1_000_000).contains(&round_trip_us), "{way:?}: {last}");
    assert!(last["tx"]["sent"].as_u64() > Some(100), "{way:?}: {last}");
    assert!(last["rx"]["sent"].as_u64() > Some(100), "{way:?}: {last}");
    assert!(last["rx"]["lost"].as_i64() < Some(50), "{way:?}: {last}");
}

async fn assert_recorded(way: Way, call: &Call, office: &Office) {
    let record = office.ended(&json!(call.id())).await;
    let media = office.facts(&record, "media").await;
    println!("{way:?}: we say {media:?}");
    let media = &media[0];
    let number = |name: &str| {
        let value = media[name].as_f64();
        value.unwrap_or_else(|| panic!("{way:?}: no {name} in {media:#}"))
    };
    let round_trip_ms = number("round_trip_ms");
    assert!((0.0..1_000.0).contains(&round_trip_ms), "{media:#}");
    assert!((2.0..=4.5).contains(&number("mos")), "{media:#}");
    assert!(number("jitter_ms") < 200.0, "{media:#}");
    assert!(number("loss_percent") < 20.0, "{media:#}");
    assert!(number("remote_loss_percent") < 20.0, "{media:#}");
    let told = record["metrics"]["media"]["mos"].as_f64();
    let told = told.unwrap_or_else(|| panic!("{record:#}"));
    assert!((told - number("mos")).abs() < 0.01, "{record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_reach_both_sides_beside_rtp_and_with_it_in_clear_and_sealed() {
    let test = "reports_reach_both_sides_beside_rtp_and_with_it_in_clear_and_sealed";
    if !baresip::is_here(test) {
        return;
    }
    let site = Site::new("", Some(PLAN));
    site.internal("", 200, "srtp = \"optional\"");
    let node = site.start().await;
    let running = WAYS.map(|way| (way, dial(&site, way)));
    for (way, running) in running {
        let call = running.finish();
        assert_eq!(call.trace.contains("a=crypto:"), way.sealed);
        assert_promised(way, &call);
        assert_reached(way, &call);
        assert_recorded(way, &call, &site.office()).await;
    }
    let metrics = node.services.metrics.render(&node.services, 1, 0);
    for name in ["mos", "jitter_ms", "loss_percent", "round_trip_ms"] {
        let line = format!("ms_call_{name}_count 4\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    node.stop().await;
}

/// What the call's timeline says of how its caller was heard, once `enough` of it is there.
async fn qualities(
    office: &Office,
    call: &Value,
    enough: impl Fn(&[String]) -> bool,
) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let facts = office.facts(call, "quality_changed").await;
        let told = facts.iter().filter_map(|fact| fact["quality"].as_str());
        let told: Vec<String> = told.map(str::to_owned).collect();
        if enough(&told) || Instant::now() > until {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// bC11: a phone that stands still for a while is lost, and excellent when it goes on; both are told while the call lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_not_heard_for_a_while_is_told_of_while_the_call_lasts() {
    let site = Site::new("", Some(PLAN));
    site.internal(", timeout = \"120s\"", 60, "");
    let node = site.start().await;
    let mut phone = site.phone("echo", &["--stay", "--seconds", "170"]);
    let phone = tokio::task::spawn_blocking(move || {
        phone.wait_for("answered", Duration::from_secs(60));
        phone
    });
    let phone = phone.await.unwrap();
    let office = site.office();
    let calls = office.calls(1, |call| call["state"] == "in_progress").await;
    let gauge = || node.services.metrics.render(&node.services, 1, 0);
    let counted = |quality: &str| format!("ms_calls_by_quality{{quality=\"{quality}\"}} 1\n");
    let until = Instant::now() + Duration::from_secs(60);
    while !gauge().contains("ms_calls_by_quality") && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    phone.signal("-STOP");
    let is_lost = |told: &[String]| told.last().is_some_and(|last| last == "lost");
    let told = qualities(&office, &calls[0], is_lost).await;
    assert!(is_lost(&told), "{told:?}");
    assert!(gauge().contains(&counted("lost")), "{}", gauge());
    phone.signal("-CONT");
    let is_back = |told: &[String]| told.last().is_some_and(|last| last != "lost");
    let told = qualities(&office, &calls[0], is_back).await;
    println!("{told:?}");
    assert!(is_back(&told), "{told:?}");
    phone.interrupt();
    let ended = tokio::task::spawn_blocking(move || phone.finish(Duration::from_secs(60)));
    let (summary, _) = ended.await.unwrap();
    office.ended(&summary["sip_call_id"]).await;
    assert!(!gauge().contains(&counted("excellent")), "{}", gauge());
    node.stop().await;
}
