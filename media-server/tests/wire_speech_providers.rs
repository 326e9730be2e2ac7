//! Agents whose voices and ears are elsewhere, in whole calls: aimock's, and fakes over WebSockets that break off where they are told.

#[path = "rig/aimock.rs"]
mod aimock;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/words.rs"]
mod words;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use aimock::Aimock;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use rig::{Office, Site};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

const LIMIT: Duration = Duration::from_secs(120);
const GREETING: &str = "Good evening, the kitchen is open until eleven tonight.";

/// Each agent answers at a number of its own name.
fn plan(names: &[&str]) -> String {
    let routes = names.iter().map(|name| {
        format!("[[route]]\nname = \"{name}\"\nwhen = {{ to = \"{name}\" }}\ndo = [{{ agent = \"demo/{name}\" }}]\n")
    });
    format!("context = \"internal\"\n{}", routes.collect::<String>())
}

/// An agent of this name that greets with this voice and hears with these ears.
async fn publish(office: &Office, name: &str, voice: &str, ears: &str) {
    let tenants = office.get("/v1/tenants").await;
    let tenants = tenants["data"].as_array().unwrap();
    let demo = tenants.iter().find(|t| t["slug"] == "demo").unwrap();
    let tenant = demo["id"].as_str().unwrap();
    let config = json!({
        "display_name": "Ada",
        "greeting": GREETING,
        "disclosure": false,
        "voice": { "provider": voice, "name": "default" },
        "stt": { "provider": ears },
        "brain": { "kind": "script", "business": "the house" },
    });
    let agent = json!({ "slug": name, "config": config });
    let agent = office.post_for(tenant, "/v1/agents", &agent).await;
    let id = agent["id"].as_str().unwrap_or_else(|| panic!("{agent:#}"));
    let path = format!("/v1/agents/{id}/publish?wait=10s");
    let published = office.post_for(tenant, &path, &json!({})).await;
    assert!(published["error"].is_null(), "{published:#}");
}

/// Calls it, takes this step and hangs up when it has fallen silent: the call's record and what the agent said.
async fn call_saying(site: &Site, office: &Office, name: &str, step: &str) -> (Value, Vec<Value>) {
    let phone = site.phone(name, &["--step", step, "--step", "hangup"]);
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
    if words::Words::open(&rig::root().join("models")).is_none() {
        println!("SKIP {test}: the local models are not here (scripts/models)");
        return;
    }
    let spoken = words::render(&[GREETING.to_owned()]).await;
    let at_24_khz: Vec<i16> = spoken.iter().flat_map(|sample| [*sample; 3]).collect();
    let voices = Aimock::start(&json!({ "fixtures": [
        { "match": { "endpoint": "speech" }, "response": { "audio": bytes(&at_24_khz), "format": "pcm" } },
        { "match": { "endpoint": "transcription" }, "response": { "transcription": { "text": HEARD } } },
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
        provider("scribe", "openai-transcription", voices.port, ""),
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
        let ears = if name == "openai" { "scribe" } else { "local" };
        publish(&office, name, name, ears).await;
    }
    let says = |name| match name {
        "openai" => "say:I would like a table for four on Friday, please.",
        _ => "wait:1s",
    };
    let calls = names.map(|name| call_saying(&site, &office, name, says(name)));
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
        if name == "openai" {
            let heard = office.said(&record, "caller").await;
            assert_eq!(heard[0]["text"], HEARD, "{heard:#?}");
        }
        assert_eq!(record["end_reason"], "caller_hangup", "{name}: {record:#}");
    }
    node.stop().await;
}

const HEARD: &str = "a table for four on Friday";
/// Of the fake voice: each letter takes so long.
const MS_PER_LETTER: usize = 55;

/// A server of WebSockets: recognisers at `/v1/listen`, of which the first stream is cut, and voices, of which `breaks` breaks off.
async fn sockets() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        static STREAMS: AtomicUsize = AtomicUsize::new(0);
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut path = String::new();
                #[allow(
                    clippy::result_large_err,
                    reason = "the handshake's callback is typed so"
                )]
                let keep = |request: &Request, response: Response| {
                    path = request.uri().path().to_owned();
                    Ok(response)
                };
                let Ok(mut socket) = accept_hdr_async(tcp, keep).await else {
                    return;
                };
                match path.as_str() {
                    "/v1/listen" => hear(&mut socket, &STREAMS).await,
                    voice => speak(&mut socket, voice.contains("breaks")).await,
                }
            });
        }
    });
    port
}

/// A stream that has sound is understood once it is closed; the first of them is cut instead.
async fn hear(socket: &mut WebSocketStream<TcpStream>, streams: &AtomicUsize) {
    let mut bytes = 0;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(sound) => bytes += sound.len(),
            Message::Text(text) if text.contains("CloseStream") => break,
            _ => {}
        }
    }
    if bytes == 0 || streams.fetch_add(1, Ordering::Relaxed) == 0 {
        return;
    }
    let results = |text: &str, is_final: bool| {
        let alternatives = json!([{ "transcript": text, "confidence": 0.9 }]);
        json!({ "type": "Results", "is_final": is_final, "channel": { "alternatives": alternatives } })
    };
    let metadata = json!({ "type": "Metadata", "duration": 1.0 });
    for message in [results("a table", false), results(HEARD, true), metadata] {
        let _ = socket.send(Message::text(message.to_string())).await;
    }
}

/// Says the text in pieces of ten letters, each with the times of its letters; or half of it, and is gone.
async fn speak(socket: &mut WebSocketStream<TcpStream>, breaks: bool) {
    let mut text = String::new();
    while let Some(Ok(Message::Text(message))) = socket.next().await {
        let message: Value = serde_json::from_str(&message).unwrap();
        match message["text"].as_str().unwrap() {
            "" => break,
            more => text.push_str(more.trim_start()),
        }
    }
    let letters: Vec<String> = text.trim_end().chars().map(String::from).collect();
    let pieces = letters.chunks(10);
    let count = if breaks {
        pieces.len() / 2
    } else {
        pieces.len()
    };
    for piece in pieces.take(count) {
        let samples = piece.len() * MS_PER_LETTER * 8;
        let tone = (0..samples).map(|n| ((n as f32 * 0.3).sin() * 8_000.0) as i16);
        let starts: Vec<usize> = (0..piece.len()).map(|n| n * MS_PER_LETTER).collect();
        let durations = vec![MS_PER_LETTER; piece.len()];
        let alignment =
            json!({ "chars": piece, "charStartTimesMs": starts, "charDurationsMs": durations });
        let message = json!({ "audio": bytes(&tone.collect::<Vec<_>>()), "alignment": alignment });
        let _ = socket.send(Message::text(message.to_string())).await;
    }
    if !breaks {
        let last = json!({ "isFinal": true });
        let _ = socket.send(Message::text(last.to_string())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_break_off_cost_no_word_of_the_agent_nor_of_the_caller() {
    let test = "sockets_that_break_off_cost_no_word_of_the_agent_nor_of_the_caller";
    if words::Words::open(&rig::root().join("models")).is_none() {
        println!("SKIP {test}: the local models are not here (scripts/models)");
        return;
    }
    let port = sockets().await;
    let provider = |name: &str, kind: &str, more: &str| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{port}/v1\"\nkey = \"k\"\n{more}\n"
        )
    };
    let extra = [
        provider("whole", "elevenlabs", "voice = \"whole\""),
        provider(
            "breaks",
            "elevenlabs",
            "voice = \"breaks\"\nfallbacks = [\"whole\"]",
        ),
        provider("ears", "deepgram", ""),
    ];
    let names = ["whole", "breaks"];
    let site = Site::new(&extra.concat(), Some(&plan(&names)));
    let node = site.start().await;
    let office = site.office();
    for name in names {
        publish(&office, name, name, "ears").await;
    }
    let says = "say:I would like a table for four on Friday, please.";
    let calls = names.map(|name| call_saying(&site, &office, name, says));
    let calls = futures_util::future::join_all(calls).await;
    let length = (GREETING.len() * MS_PER_LETTER * 8) as u64;
    for (name, (record, said)) in names.into_iter().zip(calls) {
        let first = said.first().unwrap_or_else(|| panic!("{name}: {record:#}"));
        assert_eq!(first["heard_text"], GREETING, "{name}: {first:#}");
        assert_eq!(first["timing"], "exact", "{name}: {first:#}");
        let trouble = office.facts(&record, "provider_trouble").await;
        let of = |role: &str| trouble.iter().filter(|fact| fact["role"] == role).count();
        assert_eq!(of("tts") > 0, name == "breaks", "{name}: {trouble:#?}");
        assert_eq!(of("stt"), 0, "{name}: {trouble:#?}");
        let total = first["samples_total"].as_u64().unwrap();
        let more = if name == "breaks" {
            10 * MS_PER_LETTER * 8
        } else {
            0
        };
        assert!(
            total >= length && total <= length + more as u64,
            "{name}: {first:#}"
        );
        let heard = office.said(&record, "caller").await;
        assert_eq!(heard[0]["text"], HEARD, "{name}: {heard:#?}");
    }
    node.stop().await;
}
