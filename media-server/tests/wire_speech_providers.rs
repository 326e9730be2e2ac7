//! Agents whose voices are elsewhere, in whole calls.

#[path = "rig/aimock.rs"]
mod aimock;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/words.rs"]
mod words;

use std::{net::TcpListener, time::Duration};

use aimock::Aimock;
use base64::{Engine, engine::general_purpose::STANDARD};
use rig::{Office, Site};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);
const GREETING: &str = "Good evening, the kitchen is open until eleven tonight.";

/// Each agent answers at a number of its own name.
fn plan(names: &[&str]) -> String {
    let routes = names.iter().map(|name| {
        format!("[[route]]\nname = \"{name}\"\nwhen = {{ to = \"{name}\" }}\ndo = [{{ agent = \"demo/{name}\" }}]\n")
    });
    format!("context = \"internal\"\n{}", routes.collect::<String>())
}

/// An agent of this name that greets with this voice.
async fn publish(office: &Office, name: &str, voice: &str) {
    let tenants = office.get("/v1/tenants").await;
    let tenants = tenants["data"].as_array().unwrap();
    let demo = tenants.iter().find(|t| t["slug"] == "demo").unwrap();
    let tenant = demo["id"].as_str().unwrap();
    let config = json!({
        "display_name": "Ada",
        "greeting": GREETING,
        "disclosure": false,
        "voice": { "provider": voice, "name": "default" },
        "brain": { "kind": "script", "business": "the house" },
    });
    let agent = json!({ "slug": name, "config": config });
    let agent = office.post_for(tenant, "/v1/agents", &agent).await;
    let id = agent["id"].as_str().unwrap_or_else(|| panic!("{agent:#}"));
    let path = format!("/v1/agents/{id}/publish?wait=10s");
    let published = office.post_for(tenant, &path, &json!({})).await;
    assert!(published["error"].is_null(), "{published:#}");
}

/// Calls it and hangs up when it has fallen silent: the call's record and what the agent said.
async fn call(site: &Site, office: &Office, name: &str) -> (Value, Vec<Value>) {
    let phone = site.phone(name, &["--step", "wait:1s", "--step", "hangup"]);
    let finished = tokio::task::spawn_blocking(move || phone.finish(LIMIT));
    let (summary, _) = finished.await.unwrap();
    let call = office.ended(&summary["sip_call_id"]).await;
    let said = office.said(&call, "agent").await;
    (call, said)
}

fn bytes(pcm: &[i16]) -> String {
    let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn voices_elsewhere_speak_whole_calls_and_one_that_hangs_is_stood_in_for() {
    let test = "voices_elsewhere_speak_whole_calls_and_one_that_hangs_is_stood_in_for";
    if !Aimock::is_here(test) {
        return;
    }
    let spoken = words::render(&[GREETING.to_owned()]).await;
    let at_24_khz: Vec<i16> = spoken.iter().flat_map(|sample| [*sample; 3]).collect();
    let voices = Aimock::start(&json!({ "fixtures": [
        { "match": { "endpoint": "speech" }, "response": { "audio": bytes(&at_24_khz), "format": "pcm" } },
        { "match": { "endpoint": "elevenlabs-tts" }, "response": { "audio": bytes(&spoken), "format": "pcm" } },
    ] }));
    // It takes connections and never says a word.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let provider = |name: &str, kind: &str, port: u16, more: &str| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{port}/v1\"\nkey = \"k\"\nvoice = \"nova\"\n{more}\n"
        )
    };
    let extra = [
        provider("openai", "openai-speech", voices.port, ""),
        provider("eleven", "elevenlabs-http", voices.port, ""),
        provider(
            "hung",
            "openai-speech",
            hung.local_addr().unwrap().port(),
            "fallbacks = [\"eleven\"]",
        ),
    ];
    let names = ["openai", "eleven", "hung"];
    let site = Site::new(&extra.concat(), Some(&plan(&names)));
    let node = site.start().await;
    let office = site.office();
    for name in names {
        publish(&office, name, name).await;
    }
    let calls = names.map(|name| call(&site, &office, name));
    let calls = futures_util::future::join_all(calls).await;
    for (name, (record, said)) in names.into_iter().zip(calls) {
        let first = said.first().unwrap_or_else(|| panic!("{name}: {record:#}"));
        assert_eq!(first["text"], GREETING, "{name}: {first:#}");
        assert_eq!(first["timing"], "estimated", "{name}: {first:#}");
        let total = first["samples_total"].as_u64().unwrap();
        assert!(
            total.abs_diff(spoken.len() as u64) < 100,
            "{name}: {first:#}"
        );
        let trouble = office.facts(&record, "provider_trouble").await;
        match name {
            "hung" => assert_eq!(trouble[0]["provider"], "hung", "{trouble:#?}"),
            _ => assert!(trouble.is_empty(), "{name}: {trouble:#?}"),
        }
        assert_eq!(record["end_reason"], "caller_hangup", "{name}: {record:#}");
    }
    node.stop().await;
}
