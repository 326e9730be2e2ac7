//! The ledger is held to the recording: in fifty real calls that break off in every way a call
//! can, the agent's channel is laid over the utterance's own sound. The sample where the two part
//! is the ledger's, within 20 ms; and a recogniser finds the words that the ledger says were heard.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/words.rs"]
mod words;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use local_speech::wer;
use rig::{Office, Site, root};
use serde_json::{Value, json};
use simulator::overlay::{Parting, part};
use words::{Words, render};

const CALLS: usize = 50;
const PARALLEL: usize = 5;
/// 20 ms of the 8 kHz line.
const TOLERANCE: i64 = 160;
/// How far apart "lost" and "last heard" may be before a call proves nothing, samples.
const SHARP: i64 = 800;
const LIMIT: Duration = Duration::from_secs(60);

/// What is said; each sentence is a piece of its own on the way to the voice.
const STORY: [&str; 5] = [
    "The old harbour wall was built by seven brothers who came down from the northern islands in winter.",
    "They carried every stone across the frozen bay on wooden sledges drawn by their four white horses.",
    "When spring came the ice broke up and nine fishing boats followed them into the quiet water.",
    "Since then the lamp above the gate has burned each night and nobody remembers who first lit it.",
    "Children still count its windows from the beach on summer evenings while the ferry comes home.",
];

fn dialplan() -> String {
    let story = STORY.join(" ");
    let record = "{ record = { channels = 2, consent = \"given\" } }";
    format!(
        "context = \"internal\"\n\
         [[route]]\nname = \"story\"\nwhen = {{ to = \"story\" }}\n\
         do = [\"answer\", {record}, {{ say = \"{story}\" }}]\n\
         [[route]]\nname = \"menu\"\nwhen = {{ to = \"menu\" }}\n\
         do = [\"answer\", {record}, {{ gather = {{ say = \"{story}\", into = \"choice\", max = 1 }} }}, {{ sleep = \"1s\" }}]\n\
         [[route]]\nname = \"teller\"\nwhen = {{ to = \"teller\" }}\n\
         do = [{record}, {{ agent = \"demo/teller\" }}]\n"
    )
}

/// How a call breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The caller hangs up in the dialplan's `say`.
    HangUp,
    /// The caller hangs up while the agent speaks.
    HangUpOnAgent,
    /// A key stops the dialplan's prompt.
    KeyInMenu,
    /// A key interrupts the agent.
    KeyOnAgent,
    /// The caller talks over the agent.
    Voice,
}

impl Ending {
    fn of(call: usize) -> Self {
        match call % 10 {
            0..=2 => Self::HangUp,
            3 => Self::HangUpOnAgent,
            4 | 5 => Self::KeyInMenu,
            6 | 7 => Self::KeyOnAgent,
            _ => Self::Voice,
        }
    }

    fn number(self) -> &'static str {
        match self {
            Self::HangUp => "story",
            Self::KeyInMenu => "menu",
            Self::HangUpOnAgent | Self::KeyOnAgent | Self::Voice => "teller",
        }
    }
}

/// Places one call; its SIP Call-ID.
fn place(site: &Site, call: usize) -> Value {
    let ending = Ending::of(call);
    // No two calls break off at the same place.
    let after = Duration::from_millis(2_200 + 90 * call as u64);
    let wait = format!("wait:{}s", after.as_secs_f64());
    let steps = match ending {
        Ending::HangUp | Ending::HangUpOnAgent => vec!["--seconds", "60"],
        Ending::KeyInMenu | Ending::KeyOnAgent => {
            vec!["--step", &wait, "--step", "press:5", "--step", "wait:0.8s"]
        }
        Ending::Voice => vec![
            "--step",
            &wait,
            "--step",
            "tell:please stop the story now because I want to ask you something else",
            "--step",
            "wait:0.2s",
        ],
    };
    let mut phone = site.phone(ending.number(), &steps);
    phone.wait_for("answered", LIMIT);
    if matches!(ending, Ending::HangUp | Ending::HangUpOnAgent) {
        // From the first words on: a crowded machine takes its time to make them.
        phone.wait_for("speaking_started", LIMIT);
        std::thread::sleep(after);
        phone.interrupt();
    }
    let (summary, _) = phone.finish(LIMIT);
    summary["sip_call_id"].clone()
}

/// Calls from this number on, as long as there are any left to place.
fn caller(site: &Site, next: &AtomicUsize) -> Vec<(usize, Value)> {
    let mut placed = Vec::new();
    loop {
        let call = next.fetch_add(1, Ordering::Relaxed);
        if call >= CALLS {
            return placed;
        }
        placed.push((call, place(site, call)));
    }
}

/// The teller: an agent whose first words are the story, and free to be cut.
async fn teller(office: &Office) {
    let config = json!({
        "display_name": "Teller", "greeting": STORY.join(" "), "disclosure": false, "record": true,
        "brain": { "kind": "script", "business": "the harbour", "zone": "UTC" },
    });
    let tenants = office.get("/v1/tenants").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap();
    let body = json!({ "slug": "teller", "config": config });
    let agent = office.post_for(tenant, "/v1/agents", &body).await;
    let id = agent["id"].as_str().unwrap_or_else(|| panic!("{agent:#}"));
    let path = format!("/v1/agents/{id}/publish?wait=10s");
    let published = office.post_for(tenant, &path, &json!({})).await;
    assert_eq!(published["version"], 1, "{published:#}");
}

struct Proof<'a> {
    call: usize,
    segment: &'a Value,
    channel: &'a [i16],
    parting: Parting,
}

impl Proof<'_> {
    /// The ledger's sample, which must lie where the sound really ends.
    fn check(&self) -> i64 {
        let sent = self.segment["samples_sent"].as_i64().unwrap();
        let Parting { last, lost, .. } = self.parting;
        assert!(
            last - TOLERANCE <= sent && sent <= lost + TOLERANCE,
            "call {} ({:?}): the ledger says {sent}, the recording {:?}",
            self.call,
            Ending::of(self.call),
            self.parting,
        );
        sent
    }

    /// What was heard is what the ledger says, give or take what a recogniser makes of a machine's voice
    /// that is cut in a word: of the same six words it made "was was built" and "what was built". The
    /// sample is held to the bar by [`Proof::check`]; this is a smoke check.
    async fn recognise(&self, words: &Words) {
        let heard_text = self.segment["heard_text"].as_str().unwrap();
        let from = self.parting.begins;
        let to = (from + self.parting.lost as usize + 400).min(self.channel.len());
        let heard = words.hear(&self.channel[from..to]).await;
        let score = wer::score(heard_text, &heard);
        println!("call {:>2}: {heard_text} | {heard}", self.call);
        let allowed = 1 + score.words / 8;
        assert!(
            score.edits <= allowed,
            "call {}: the ledger says '{heard_text}', the recogniser hears '{heard}'",
            self.call,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_fifty_calls_the_recording_ends_where_the_ledger_says() {
    let name = "in_fifty_calls_the_recording_ends_where_the_ledger_says";
    let Some(words) = Words::open(&root().join("models")) else {
        println!("SKIP {name}: the local models are not here (scripts/models)");
        return;
    };
    let site = Arc::new(Site::new("", Some(&dialplan())));
    let node = site.start().await;
    let office = site.office();
    teller(&office).await;
    let pieces = STORY.map(String::from);
    let whole = render(&[STORY.join(" ")]).await;
    let in_pieces = render(&pieces).await;
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..PARALLEL).map(|_| {
        let (site, next) = (site.clone(), next.clone());
        tokio::task::spawn_blocking(move || caller(&site, &next))
    });
    let mut placed = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        placed.extend(caller.await.unwrap());
    }
    placed.sort_by_key(|(call, _)| *call);
    assert_eq!(placed.len(), CALLS);
    let (mut sharp, mut widest) = (0, 0);
    for (call, sip_call_id) in placed {
        let record = office.ended(&sip_call_id).await;
        let segments = office.said(&record, "agent").await;
        let segment = segments
            .first()
            .unwrap_or_else(|| panic!("call {call}: nothing said: {record:#}"));
        assert_eq!(segment["interrupted"], true, "call {call}: {segment:#}");
        assert_eq!(segment["text"], STORY.join(" "), "call {call}");
        let heard_text = segment["heard_text"].as_str().unwrap();
        assert!(STORY.join(" ").starts_with(heard_text), "{heard_text}");
        let wav = office.recording(&record).await;
        let channel = wav.channel(1);
        let meant = match Ending::of(call).number() {
            "teller" => &in_pieces,
            _ => &whole,
        };
        let parting = part(&channel, meant)
            .unwrap_or_else(|| panic!("call {call}: not in the recording: {segment:#}"));
        let proof = Proof {
            call,
            segment,
            channel: &channel,
            parting,
        };
        let sent = proof.check();
        let Parting { last, lost, .. } = proof.parting;
        if lost - last <= SHARP {
            sharp += 1;
            widest = widest.max((last - sent).max(sent - lost));
        }
        println!(
            "call {call:>2} {:?}: ledger {sent}, heard to {last}, lost from {lost}",
            Ending::of(call)
        );
        if call % 10 == 9 {
            proof.recognise(&words).await;
        }
    }
    println!(
        "{sharp} of {CALLS} calls end within sound; the ledger is at most {widest} samples off there"
    );
    assert!(
        sharp >= CALLS * 3 / 4,
        "only {sharp} calls end within sound"
    );
    node.stop().await;
}
