//! T03 against a phone that is not ours: baresip offers each codec, hears itself back over it, and is understood.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/talker.rs"]
mod talker;

use baresip::{Manner, Running};
use rig::Site;
use serde_json::json;

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "listen"
when = { to = "listen" }
do = ["answer", "listen"]
"#;

/// What baresip calls each codec, what we do, and what the answer must say of it.
const CODECS: [(&str, &str, &str); 5] = [
    ("PCMU/8000/1", "PCMU", "a=rtpmap:0 PCMU/8000"),
    ("PCMA/8000/1", "PCMA", "a=rtpmap:8 PCMA/8000"),
    ("G722/16000/1", "G722", "a=rtpmap:9 G722/8000"),
    ("opus/48000/2", "opus", "opus/48000/2"),
    ("L16/16000/1", "L16", "L16/16000"),
];

const ALL: &str = r#"["PCMU", "PCMA", "G722", "opus", "L16"]"#;

fn site(codecs: &str) -> Site {
    let site = Site::new("", Some(PLAN));
    takes(&site, codecs);
    site
}

fn takes(site: &Site, codecs: &str) {
    site.internal("", 200, "");
    let path = site.dir.path().join("profiles/internal.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("[\"PCMU\", \"PCMA\"]", codecs);
    std::fs::write(path, text).unwrap();
}

fn manner(codec: &str, says: Vec<i16>, seconds: u32) -> Manner {
    Manner {
        account: format!("audio_codecs={codec}"),
        modules: &["g722", "opus", "l16"],
        says,
        seconds,
        rate_hz: codec.split('/').nth(1).unwrap().parse().unwrap(),
        ..Manner::default()
    }
}

/// A tone that comes and goes, 8 kHz.
fn tone() -> Vec<i16> {
    let wave = |n: usize| (n as f64 * 0.125 * std::f64::consts::TAU).sin();
    let loud = |n: usize| n % 4_000 < 3_200;
    let sample = |n| {
        if loud(n) {
            (wave(n) * 8_000.0) as i16
        } else {
            0
        }
    };
    (0..8_000).map(sample).collect()
}

/// How much of it is loud: 80 % when the tone came back.
fn loud_share(heard: &[i16]) -> f64 {
    let frames = heard.chunks_exact(160);
    let count = frames.len().max(1) as f64;
    let mean = |f: &[i16]| f.iter().map(|s| i64::from(s.unsigned_abs())).sum::<i64>() / 160;
    frames.filter(|f| mean(f) > 2_000).count() as f64 / count
}

#[tokio::test(flavor = "multi_thread")]
async fn each_codec_carries_sound_both_ways() {
    if !baresip::is_here("each_codec_carries_sound_both_ways") {
        return;
    }
    let site = site(ALL);
    let node = site.start().await;
    for (offered, ours, answered) in CODECS {
        let call = Running::dial(site.sip, "echo", &manner(offered, tone(), 5)).finish();
        let answer = call.trace.split("SIP/2.0 200").nth(1).unwrap_or_default();
        assert!(answer.contains(answered), "{offered}: {}", call.trace);
        let share = loud_share(&call.heard);
        println!(
            "{ours}: {:.0} % of {} samples",
            share * 100.0,
            call.heard.len()
        );
        assert!(share > 0.4, "{offered}: {share}");
        let record = site.office().ended(&json!(call.id())).await;
        assert_eq!(record["codec"], ours, "{record:#}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_a_codec_of_ours_gets_488() {
    if !baresip::is_here("a_phone_without_a_codec_of_ours_gets_488") {
        return;
    }
    let site = site(r#"["PCMA", "PCMU"]"#);
    let node = site.start().await;
    let call = Running::dial(site.sip, "echo", &manner("G722/16000/1", tone(), 4)).finish();
    assert!(call.trace.contains("SIP/2.0 488"), "{}", call.trace);
    let record = site.office().ended(&json!(call.id())).await;
    assert_eq!(record["end_reason"], "no_common_codec", "{record:#}");
    node.stop().await;
}

/// The caller is understood over each of them; over those that carry it the recogniser has him at 16 kHz.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_understood_over_each_codec() {
    let test = "a_caller_is_understood_over_each_codec";
    if !baresip::is_here(test) {
        return;
    }
    let site = site(ALL);
    let node = site.start().await;
    if node.services.models.is_none() {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
        return node.stop().await;
    }
    let words = "I would like a table for four people on Friday at seven.";
    let mut says = vec![0; 12_000];
    says.extend(talker::spoken(words).await);
    says.resize(says.len() + 400_000, 0);
    for (offered, ours, _) in CODECS.into_iter().skip(1) {
        let call = Running::dial(site.sip, "listen", &manner(offered, says.clone(), 9)).finish();
        let record = site.office().ended(&json!(call.id())).await;
        let said = site.office().said(&record, "caller").await;
        let text = |s: &serde_json::Value| s["text"].as_str().unwrap_or_default().to_owned();
        let heard: Vec<_> = said.iter().map(text).collect();
        let heard = heard.join(" ");
        let score = local_speech::wer::score(words, &heard);
        println!("{ours}: '{heard}' {:.2}", score.rate());
        assert!(score.rate() <= 0.3, "{ours}: '{heard}'");
    }
    node.stop().await;
}

/// The server, and for each codec a profile of it that speaks nothing else and gives back what it hears.
fn far_sides() -> Site {
    let ports: Vec<u16> = CODECS.iter().map(|_| rig::free_port()).collect();
    let route = |(codec, port): (&(&str, &str, &str), &u16)| {
        let name = codec.1;
        format!(
            "[[route]]\nname = \"{name}\"\nwhen = {{ to = \"over-{name}\" }}\ndo = [{{ bridge = \"sip:echo@127.0.0.1:{port}\" }}]\n"
        )
    };
    let routes: String = CODECS.iter().zip(&ports).map(route).collect();
    let site = Site::new("", Some(&format!("context = \"internal\"\n{routes}")));
    takes(&site, ALL);
    site.write(
        "dialplans/far.toml",
        &PLAN.replace("\"internal\"", "\"far\""),
    );
    for (at, ((_, codec, _), port)) in (0_u16..).zip(CODECS.iter().zip(&ports)) {
        let first = site.first_rtp + 200 + at * 40;
        site.write(
            &format!("profiles/far-{}.toml", codec.to_lowercase()),
            &format!(
                "listen = [\"udp://127.0.0.1:{port}\"]\ncontext = \"far\"\nauth = \"none\"\ncodecs = [\"{codec}\"]\n\
                 rtp = {{ ports = \"{first}-{}\" }}\n",
                first + 39
            ),
        );
    }
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_carries_sound_between_any_two_codecs() {
    if !baresip::is_here("a_bridge_carries_sound_between_any_two_codecs") {
        return;
    }
    let site = far_sides();
    let node = site.start().await;
    for (_, far, _) in CODECS {
        let user = format!("over-{far}");
        let dial = |offered| Running::dial(site.sip, &user, &manner(offered, tone(), 6));
        let calls: Vec<_> = CODECS
            .map(|(offered, ..)| dial(offered))
            .into_iter()
            .collect();
        for ((_, near, _), call) in CODECS.into_iter().zip(calls) {
            let call = call.finish();
            let share = loud_share(&call.heard);
            println!(
                "{near} to {far} and back: {:.0} % of {} samples",
                share * 100.0,
                call.heard.len()
            );
            assert!(share > 0.4, "{near} to {far}: {share}\n{}", call.trace);
            let record = site.office().ended(&json!(call.id())).await;
            assert_eq!(record["codec"], near, "{record:#}");
        }
    }
    node.stop().await;
}
