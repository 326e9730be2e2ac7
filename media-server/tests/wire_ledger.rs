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

use egress::{Egress, EgressConfig};
use local_speech::{Voices, VoicesConfig, wer};
use model::agent::VoiceConfig;
use providers::{
    Fakes, Providers, Shared,
    tts::{SpeakRequest, SpeechEvent},
};
use rig::{Office, Site, root};
use serde_json::{Value, json};
use words::Words;

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

/// The story's sound, rendered here once more: as one text, or sentence after sentence.
async fn render(pieces: &[String]) -> Vec<i16> {
    let shared = Shared {
        egress: Egress::new(EgressConfig::default()).unwrap(),
        pool: None,
        voices: Some(Voices::start(VoicesConfig::default()).unwrap()),
        fakes: Fakes::default(),
    };
    let voice = VoiceConfig::default();
    let tts = Providers::new(shared, &[]).unwrap().tts(&voice.provider);
    let tts = tts.unwrap();
    let mut pcm = Vec::new();
    for text in pieces {
        let request = SpeakRequest {
            text: text.clone(),
            voice: voice.name.clone(),
            rate: voice.rate,
        };
        let mut speech = tts.speak(request).unwrap();
        while let Some(event) = speech.next().await {
            match event {
                SpeechEvent::Audio(more) => pcm.extend_from_slice(&more),
                SpeechEvent::Failed(error) => panic!("{error}"),
                SpeechEvent::Plan(_) | SpeechEvent::Done => {}
            }
        }
    }
    pcm
}

/// Where an utterance's sound ends in a channel.
#[derive(Debug)]
struct Parting {
    /// Where in the channel the utterance begins.
    begins: usize,
    /// After the last sample that is surely there: beyond it, up to `lost`, the voice is silent.
    last: i64,
    /// The first sample that is surely missing.
    lost: i64,
}

const PROBE: usize = 480;
const AUDIBLE: i16 = 200;

/// How alike two stretches are: 1 is the same but for loudness.
fn alike(a: &[i16], b: &[i16]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum()
    };
    let energy = (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt();
    if energy < 1.0 {
        return 0.0;
    }
    sum(|a, b| a * b) / energy
}

/// The place between `from` and `to` of a channel where a probe fits best, if it fits.
fn locate(channel: &[i16], probe: &[i16], from: usize, to: usize) -> Option<usize> {
    let to = to.min(channel.len().saturating_sub(probe.len()));
    let fits = (from..to).map(|at| (alike(&channel[at..at + probe.len()], probe), at));
    let (best, at) = fits.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best > 0.95).then_some(at)
}

/// Sample against sample, as far as µ-law lets them be the same.
fn same(heard: i16, meant: i16) -> bool {
    (i32::from(heard) - i32::from(meant)).abs() <= i32::from(meant).abs() / 16 + 16
}

/// Lays an utterance over a channel. A pause within it is stepped over.
fn part(channel: &[i16], utterance: &[i16]) -> Option<Parting> {
    let first = utterance.iter().position(|s| s.abs() > AUDIBLE).unwrap();
    let probe = &utterance[first..first + PROBE];
    let at = locate(channel, probe, first, 24_000)?;
    let begins = at - first;
    let (mut lag, mut i) = (begins, 0);
    while i < utterance.len() {
        if channel
            .get(lag + i)
            .is_some_and(|heard| same(*heard, utterance[i]))
        {
            i += 1;
            continue;
        }
        let Some(next) = resumes(channel, utterance, lag, i) else {
            break;
        };
        (i, lag) = (next.0 + 1, next.1);
    }
    let heard = &utterance[..i];
    let last = heard.iter().rposition(|s| s.abs() > AUDIBLE);
    Some(Parting {
        begins,
        last: last.map_or(0, |at| at as i64 + 1),
        lost: i as i64,
    })
}

/// Where the utterance goes on after a pause at sample `i`: the next audible sample, and the lag
/// from there on. A machine that is too busy makes such pauses too, now and then frame after
/// frame: so what is looked for lies within one frame and must be there sample for sample.
fn resumes(channel: &[i16], utterance: &[i16], lag: usize, i: usize) -> Option<(usize, usize)> {
    let quiet = utterance[i..].iter().position(|s| s.abs() > AUDIBLE)?;
    let next = i + quiet;
    let end = (next + 40).next_multiple_of(160);
    let probe = utterance.get(next..end)?;
    let range = channel.get(lag + i..channel.len().min(lag + end + 16_000))?;
    let mut windows = range.windows(probe.len());
    let fits = |heard: &[i16]| heard.iter().zip(probe).all(|(h, m)| same(*h, *m));
    let at = lag + i + windows.position(fits)?;
    Some((next, at.checked_sub(next)?))
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

    /// What was heard is what the ledger says, give or take a word.
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
