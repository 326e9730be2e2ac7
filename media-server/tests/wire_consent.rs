//! Consent to a recording, with real calls: what was said before it, without it, or before it was
//! withdrawn, is in no byte of what switch and office keep.

#[path = "rig/node.rs"]
mod rig;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rig::{Office, Phone, Site, root};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);
/// A word that must not be found anywhere: callers say it when they have not agreed.
const SECRET: &str = "elephant";

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "asked"
when = { to = "asked" }
do = [{ record = { consent = "ask", say = "May this be recorded?" } }, { agent = "demo/keeper" }]

[[route]]
name = "own"
when = { to = "own" }
do = [{ agent = "demo/keeper" }]

[[route]]
name = "given"
when = { to = "given" }
do = ["answer", { record = { consent = "given" } }, "listen"]

[[route]]
name = "secret"
when = { to = "secret" }
do = ["answer", { record = { consent = "given" } }, { gather = { min = 4, max = 4, secret = true, timeout = "20s" } }, { tone = { hz = 1000, length = "2s" } }, "pause_recording", { tone = { hz = 1000, length = "2s" } }, "resume_recording", { tone = { hz = 1000, length = "2s" } }, { agent = "demo/mirror" }]
"#;

/// A published agent of the demo tenant.
async fn publish(office: &Office, slug: &str, config: Value) {
    let tenants = office.get("/v1/tenants").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap();
    let body = json!({ "slug": slug, "config": config });
    let agent = office.post_for(tenant, "/v1/agents", &body).await;
    let id = agent["id"].as_str().unwrap_or_else(|| panic!("{agent:#}"));
    let path = format!("/v1/agents/{id}/publish?wait=10s");
    let published = office.post_for(tenant, &path, &json!({})).await;
    assert_eq!(published["version"], 1, "{published:#}");
}

/// An agent that asks by itself.
async fn keeper(office: &Office) {
    let config = json!({
        "display_name": "Keeper", "greeting": "You have reached the harbour.",
        "disclosure": false, "recording": "ask", "recording_text": "May I record?",
        "brain": { "kind": "script", "business": "the harbour", "zone": "UTC" },
    });
    publish(office, "keeper", config).await;
}

/// A call to its end; its record.
async fn call(site: &Site, office: &Office, user: &str, steps: &[&str]) -> Value {
    let mut args = vec![];
    for step in steps {
        args.extend(["--step", step]);
    }
    let phone: Phone = site.phone(user, &args);
    let (summary, _) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    office.ended(&summary["sip_call_id"]).await
}

/// Files below `folder` in which `wanted` occurs, whatever the case of its letters.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let bytes = bytes.to_ascii_lowercase();
            if bytes.windows(wanted.len()).any(|window| window == wanted) {
                found.push(path);
            }
        }
    }
    found
}

/// Recordings below `folder`, finished or not.
fn sounds(folder: &Path) -> Vec<PathBuf> {
    files_with(folder, b"wavefmt ")
}

fn consent(record: &Value) -> [&str; 4] {
    ["mode", "state", "method", "party"]
        .map(|part| record["consent"][part].as_str().unwrap_or("nothing"))
}

fn ms(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_without_consent_is_in_no_byte_of_what_is_kept() {
    let name = "what_is_said_without_consent_is_in_no_byte_of_what_is_kept";
    if !root().join("models/silero-vad-16k.onnx").exists() {
        println!("SKIP {name}: the local models are not here (scripts/models)");
        return;
    }
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    let office = site.office();
    keeper(&office).await;
    let data = site.dir.path().join("data");
    let said = "tell:the elephant knows the secret of the elephant";
    let kept = "tell:I would like a table for seven people";

    // Key 2: the call goes on, nothing of it is kept.
    let refused = call(
        &site,
        &office,
        "asked",
        &[said, "wait:4s", "press:2", "wait:1s", said, "wait:4s"],
    )
    .await;
    assert_eq!(consent(&refused), ["ask", "refused", "key", "caller"]);
    assert_eq!(refused["recording"], Value::Null, "{refused:#}");
    for speaker in ["caller", "agent"] {
        assert_eq!(office.said(&refused, speaker).await, [] as [Value; 0]);
    }
    assert_eq!(office.facts(&refused, "digit").await, [] as [Value; 0]);
    assert_eq!(sounds(&data), [] as [PathBuf; 0]);

    // "Stop recording": the file is gone, and so is what had been said.
    let withdrawn = call(
        &site,
        &office,
        "given",
        &[
            kept,
            "wait:5s",
            "tell:please stop recording",
            "wait:4s",
            said,
            "wait:4s",
        ],
    )
    .await;
    assert_eq!(consent(&withdrawn), ["on", "withdrawn", "voice", "caller"]);
    assert_eq!(withdrawn["recording"], Value::Null, "{withdrawn:#}");
    assert_eq!(office.said(&withdrawn, "caller").await, [] as [Value; 0]);
    assert_eq!(office.facts(&withdrawn, "recording_deleted").await.len(), 1);
    assert_eq!(sounds(&data), [] as [PathBuf; 0]);

    // A yes: kept is what comes after it.
    let agreed = call(
        &site,
        &office,
        "own",
        &[
            said,
            "wait:4s",
            "say:yes I agree",
            "wait:6s",
            kept,
            "wait:5s",
        ],
    )
    .await;
    assert_eq!(consent(&agreed), ["ask", "given", "voice", "caller"]);
    let greeting = office.said(&agreed, "agent").await;
    assert_eq!(greeting[0]["text"], "You have reached the harbour.");
    let words = office.said(&agreed, "caller").await;
    let words = words[0]["text"].as_str().unwrap().to_lowercase();
    let wav = office.recording(&agreed).await;
    let recorded_ms = wav.channel(0).len() as u64 * 1_000 / u64::from(wav.rate_hz);
    let answered = office.part(&agreed, "timeline?limit=500").await;
    let answered = answered["data"].as_array().unwrap().iter();
    let mut answered = answered.filter(|fact| fact["type"] == "answered");
    let answered_ms = ms(&answered.next().unwrap()["offset_ms"]);
    let before_ms = ms(&agreed["consent"]["offset_ms"]) - answered_ms;
    let most_ms = ms(&agreed["duration_ms"]) - before_ms + 500;
    assert!(before_ms > 4_000, "{agreed:#}");
    assert!(
        recorded_ms <= most_ms,
        "{recorded_ms} of {most_ms}: {agreed:#}"
    );

    node.stop().await;
    let found = files_with(&data, words.as_bytes());
    assert!(!found.is_empty(), "what may be kept is found: {words}");
    let found = files_with(&data, SECRET.as_bytes());
    assert_eq!(found, [] as [PathBuf; 0]);
}

/// Whether a channel has sound in a stretch of the recording, from one offset to another.
struct Sound {
    channel: Vec<i16>,
    rate_hz: u64,
    /// The offset of its first sample.
    begun_ms: u64,
}

impl Sound {
    fn is_loud(&self, from_ms: u64, to_ms: u64) -> bool {
        let index = |ms: u64| ((ms - self.begun_ms) * self.rate_hz / 1_000) as usize;
        let stretch = &self.channel[index(from_ms)..index(to_ms).min(self.channel.len())];
        assert!(stretch.len() > 800, "too short to tell");
        stretch.iter().any(|sample| sample.abs() > 1_000)
    }
}

/// When the facts of one kind came, milliseconds since the first fact.
async fn offsets(office: &Office, call: &Value, kind: &str) -> Vec<u64> {
    let timeline = office.part(call, "timeline?limit=500").await;
    let facts = timeline["data"].as_array().unwrap().iter();
    let mine = facts.filter(|fact| fact["type"] == kind);
    mine.map(|fact| ms(&fact["offset_ms"])).collect()
}

async fn until(what: &str, office: &Office, call: &Value, kind: &str, count: usize) {
    for _ in 0..600 {
        if offsets(office, call, kind).await.len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_silent_and_as_long_as_the_time_while_a_secret_is_keyed_or_somebody_wants_it_so()
 {
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    let office = site.office();
    publish(
        &office,
        "mirror",
        json!({ "display_name": "Mirror", "brain": { "kind": "echo" } }),
    )
    .await;
    let count = "tell:one two three four five six seven eight nine ten eleven twelve";
    let mut phone = site.phone(
        "secret",
        &[
            "--step",
            count,
            "--step",
            "wait:2s",
            "--step",
            "press:4711",
            "--stay",
        ],
    );
    phone.wait_for("answered", LIMIT);
    let live = office
        .calls(1, |call| {
            call["state"] == "in_progress" && call["agent"].is_object()
        })
        .await;
    let call = live.first().expect("an agent has the call");
    let path = format!("/v1/calls/{}/recording", call["id"].as_str().unwrap());
    for (action, kind, nth) in [
        ("pause", "recording_paused", 3),
        ("resume", "recording_resumed", 3),
    ] {
        let order = office.post(&path, &json!({ "action": action })).await;
        assert_eq!(order["action"], format!("{action}_recording"), "{order:#}");
        until("the order is carried out", &office, call, kind, nth).await;
    }
    phone.interrupt();
    let (summary, _) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    let record = office.ended(&summary["sip_call_id"]).await;
    let who = office.facts(&record, "recording_paused").await;
    let who: Vec<&str> = who.iter().filter_map(|fact| fact["by"].as_str()).collect();
    assert_eq!(who, ["secret", "dialplan", "operator"]);

    let wav = office.recording(&record).await;
    let begun_ms = offsets(&office, &record, "recording_started").await[0];
    let rate_hz = u64::from(wav.rate_hz);
    let [caller, agent] = [0, 1].map(|side| Sound {
        channel: wav.channel(side),
        rate_hz,
        begun_ms,
    });
    let recorded_ms = agent.channel.len() as u64 * 1_000 / rate_hz;
    let lasted_ms = ms(&record["duration_ms"]);
    assert!(
        recorded_ms.abs_diff(lasted_ms) < 700,
        "{recorded_ms} of {lasted_ms}"
    );
    let paused = offsets(&office, &record, "recording_paused").await;
    let resumed = offsets(&office, &record, "recording_resumed").await;
    // What the caller said while the secret was asked for is not in it; the tones are, but for the second.
    assert!(!caller.is_loud(paused[0] + 100, resumed[0]));
    assert!(agent.is_loud(resumed[0] + 700, paused[1] - 100));
    assert!(!agent.is_loud(paused[1] + 200, resumed[1] - 200));
    assert!(agent.is_loud(resumed[1] + 200, resumed[1] + 1_200));
    assert_eq!(office.facts(&record, "digit").await, [] as [Value; 0]);
    node.stop().await;
}
