//! Handing callers over (T15): each story with SIPp on both sides, what both truly heard, and what
//! the record says.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;
#[path = "rig/talker.rs"]
mod talker;

use std::time::{Duration, Instant};

use media_server::node::NodeHandle;
use rig::{Office, Site};
use serde_json::{Value, json};
use sipp::Sipp;
use talker::Talker;

const LIMIT: Duration = Duration::from_secs(58);

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A caller who talks with the demo agent of a node.
struct Story {
    /// Its folder goes with it.
    _site: Site,
    node: NodeHandle,
    office: Office,
    voice: Talker,
    caller: Sipp,
    id: String,
}

/// The story is over; its record can be read.
struct Ended {
    _site: Site,
    node: NodeHandle,
    office: Office,
    call: Value,
}

impl Ended {
    /// No dialog outlives its last transaction: an INVITE that was refused rests for 32 s (RFC 3261 §17.1.1.2, timer D).
    async fn leaves_nothing(&self) {
        let until = Instant::now() + s(40);
        while !self.node.services.book.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(self.node.services.book.is_empty(), "a dialog is left");
    }

    async fn facts(&self, kind: &str) -> Vec<Value> {
        self.office.facts(&self.call, kind).await
    }

    async fn agent_said(&self, words: &str) -> bool {
        let said = self.office.said(&self.call, "agent").await;
        said.iter()
            .any(|s| s["text"].as_str().is_some_and(|t| t.contains(words)))
    }
}

impl Story {
    async fn begin(scenario: &str) -> Self {
        let site = Site::new("", None);
        let node = site.start().await;
        let office = site.office();
        let voice = Talker::start();
        let keys = [("rtp_port", voice.key())];
        let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let caller = Sipp::call(site.sip, scenario, "agent", &keys);
        let mine = |call: &Value| call["state"] == "in_progress" && !call["agent"].is_null();
        let found = office.calls(1, mine).await;
        let id = found[0]["id"].as_str().unwrap().to_owned();
        voice.hears_speech(s(1), s(15));
        Self {
            _site: site,
            node,
            office,
            voice,
            caller,
            id,
        }
    }

    async fn transfer(&self, plan: Value) {
        let path = format!("/v1/calls/{}/transfer", self.id);
        let order = self.office.post(&path, &json!({ "plan": plan })).await;
        assert_eq!(order["state"], "queued", "{order:#}");
    }

    async fn call(&self) -> Value {
        self.office.get(&format!("/v1/calls/{}", self.id)).await
    }

    /// The facts of one kind, once there are so many.
    async fn facts(&self, kind: &str, count: usize) -> Vec<Value> {
        let until = Instant::now() + s(40);
        loop {
            let facts = self.office.facts(&self.call().await, kind).await;
            if facts.len() >= count {
                return facts;
            }
            assert!(Instant::now() < until, "{kind}: {facts:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn hang_up(&self) {
        let path = format!("/v1/calls/{}/hangup", self.id);
        self.office.post(&path, &json!({})).await;
    }

    /// Everybody has hung up; the record.
    async fn end(self, reason: &str) -> Ended {
        self.caller.succeeds(LIMIT);
        let mine = |c: &Value| c["id"] == self.id.as_str() && c["state"] == "ended";
        let mut found = self.office.calls(1, mine).await;
        let call = found.pop().expect("a record");
        assert_eq!(call["end_reason"], reason, "{call:#}");
        assert_eq!(self.office.facts(&call, "ended").await.len(), 1);
        Ended {
            _site: self._site,
            node: self.node,
            office: self.office,
            call,
        }
    }
}

/// A sine of this frequency, 8 kHz.
fn tone(hz: f64, time: Duration) -> Vec<i16> {
    let samples = time.as_millis() as usize * 8;
    let step = std::f64::consts::TAU * hz / 8_000.0;
    let one = |at: usize| ((at as f64 * step).sin() * 8_000.0) as i16;
    (0..samples).map(one).collect()
}

/// How much of the sound's power lies at this frequency, 0 to 1 (Goertzel over 40 ms, the best of all).
fn share(pcm: &[i16], hz: f64) -> f64 {
    let omega = std::f64::consts::TAU * hz / 8_000.0;
    let best = pcm.chunks_exact(320).map(|block| {
        let power: f64 = block.iter().map(|s| f64::from(*s).powi(2)).sum();
        if power < 320.0 * 200.0_f64.powi(2) {
            return 0.0;
        }
        let (mut re, mut im) = (0.0, 0.0);
        for (at, sample) in block.iter().enumerate() {
            re += f64::from(*sample) * (omega * at as f64).cos();
            im += f64::from(*sample) * (omega * at as f64).sin();
        }
        2.0 * (re * re + im * im) / (320.0 * power)
    });
    best.fold(0.0, f64::max)
}

/// Both speak a tone of their own and hear the other's.
fn hear_each_other(caller: &Talker, callee: &Talker) {
    caller.say(tone(700.0, s(3)));
    callee.say(tone(1_100.0, s(3)));
    for (who, talker, hz) in [("callee", callee, 700.0), ("caller", caller, 1_100.0)] {
        talker::wait(s(10), &format!("the {who} does not hear {hz} Hz"), || {
            share(&talker.sound(), hz) > 0.8
        });
    }
}

fn missing(test: &str) -> bool {
    let models = rig::root().join("models/silero-vad-16k.onnx").is_file();
    if !models {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
    }
    !sipp::is_here(test) || !models
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_the_first_target_is_busy_the_second_answers_and_both_hear_each_other() {
    if missing("t15_the_first_target_is_busy_the_second_answers_and_both_hear_each_other") {
        return;
    }
    let story = Story::begin("t15-the-caller-stays").await;
    let desk = Talker::start();
    let busy = [("status", "486"), ("header", "X-Plain: yes")];
    let (busy, at_busy) = Sipp::serve("t14-refuses", &busy);
    let (far, at) = Sipp::serve("t14-answers-and-waits", &[("rtp_port", &desk.key())]);
    let targets = [[format!("sip:2000@{at_busy}")], [format!("sip:2001@{at}")]];
    story
        .transfer(json!({ "targets": targets, "ring_for_s": 20 }))
        .await;
    story.facts("transferred", 1).await;
    hear_each_other(&story.voice, &desk);
    assert!(
        share(&story.voice.sound(), 425.0) > 0.8,
        "no ringback was heard"
    );
    story.hang_up().await;
    far.succeeds(LIMIT);
    busy.succeeds(LIMIT);
    let over = story.end("operator_hangup").await;
    over.leaves_nothing().await;
    let attempts = over.facts("transfer_attempt").await;
    let outcomes: Vec<&str> = attempts
        .iter()
        .filter_map(|a| a["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["busy", "ringing", "answered"], "{attempts:#?}");
    assert_eq!(attempts[0]["sip_code"], 486);
    // The operator's sound is in the recording, on the side of what the caller heard.
    let wav = over.office.recording(&over.call).await;
    assert!(
        share(&wav.channel(0), 700.0) > 0.8,
        "the caller is not recorded"
    );
    assert!(
        share(&wav.channel(1), 1_100.0) > 0.8,
        "the operator is not recorded"
    );
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_all_ring_together_the_first_wins_and_the_call_ends_with_him() {
    if missing("t15_all_ring_together_the_first_wins_and_the_call_ends_with_him") {
        return;
    }
    let story = Story::begin("t15-the-caller-stays").await;
    let desk = Talker::start();
    let (loser, at_loser) = Sipp::serve("t14-rings-and-never-answers", &[("rtp_port", "40000")]);
    let (far, at) = Sipp::serve("t14-rings-and-answers", &[("rtp_port", &desk.key())]);
    let targets = [[format!("sip:2000@{at_loser}"), format!("sip:2001@{at}")]];
    story
        .transfer(json!({ "targets": targets, "ring_for_s": 20 }))
        .await;
    story.facts("transferred", 1).await;
    hear_each_other(&story.voice, &desk);
    loser.succeeds(LIMIT);
    far.succeeds(LIMIT);
    let over = story.end("bridge_ended").await;
    let moved = over.facts("transferred").await;
    assert_eq!(moved[0]["target"], format!("sip:2001@{at}"));
    assert_eq!(moved[0]["mode"], "bridge");
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_nobody_takes_the_caller_and_the_agent_apologises_and_goes_on() {
    if missing("t15_nobody_takes_the_caller_and_the_agent_apologises_and_goes_on") {
        return;
    }
    let story = Story::begin("t15-the-caller-stays").await;
    let busy = [("status", "486"), ("header", "X-Plain: yes")];
    let (busy, at_busy) = Sipp::serve("t14-refuses", &busy);
    let (rings, at_rings) = Sipp::serve("t14-rings-and-never-answers", &[("rtp_port", "40000")]);
    let targets = [
        [format!("sip:2000@{at_busy}")],
        [format!("sip:2001@{at_rings}")],
    ];
    let plan = json!({ "targets": targets, "ring_for_s": 5, "busy_text": "I am sorry, the kitchen is on the phone." });
    story.transfer(plan).await;
    let failed = story.facts("transfer_failed", 1).await;
    assert_eq!(
        (&failed[0]["reason"], &failed[0]["then"]),
        (&json!("busy"), &json!("resume"))
    );
    busy.succeeds(LIMIT);
    rings.succeeds(LIMIT);
    story.voice.hears_speech(s(1), s(10));
    story.voice.hears_silence(Duration::from_millis(900), s(15));
    assert_eq!(story.call().await["state"], "in_progress");
    // The agent is there again: it answers.
    story
        .voice
        .say(talker::spoken("What are your opening hours?").await);
    story.facts("turn", 1).await;
    story.hang_up().await;
    let over = story.end("operator_hangup").await;
    assert!(over.agent_said("the kitchen is on the phone").await);
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_the_target_hangs_up_and_the_agent_takes_the_caller_back() {
    if missing("t15_the_target_hangs_up_and_the_agent_takes_the_caller_back") {
        return;
    }
    let story = Story::begin("t15-the-caller-stays").await;
    let desk = Talker::start();
    let (far, at) = Sipp::serve("t14-rings-and-answers", &[("rtp_port", &desk.key())]);
    let targets = [[format!("sip:2001@{at}")]];
    let plan = json!({ "targets": targets, "ring_for_s": 20, "then": "resume_ai" });
    story.transfer(plan).await;
    story.facts("transferred", 1).await;
    hear_each_other(&story.voice, &desk);
    far.succeeds(LIMIT);
    story.facts("agent_resumed", 1).await;
    story.voice.hears_speech(s(1), s(15));
    story.hang_up().await;
    let over = story.end("operator_hangup").await;
    assert!(over.agent_said("back with me").await);
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_a_caller_who_hangs_up_while_it_rings_cancels_the_call_to_the_desk() {
    if missing("t15_a_caller_who_hangs_up_while_it_rings_cancels_the_call_to_the_desk") {
        return;
    }
    let story = Story::begin("t15-the-caller-hangs-up").await;
    let (rings, at) = Sipp::serve("t14-rings-and-never-answers", &[("rtp_port", "40000")]);
    let targets = [[format!("sip:2001@{at}")]];
    story
        .transfer(json!({ "targets": targets, "ring_for_s": 60 }))
        .await;
    rings.succeeds(LIMIT);
    let over = story.end("caller_hangup").await;
    over.leaves_nothing().await;
    let attempts = over.facts("transfer_attempt").await;
    assert_eq!(attempts[0]["outcome"], "ringing", "{attempts:#?}");
    assert!(over.facts("transferred").await.is_empty());
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_a_phone_that_takes_the_refer_calls_by_itself_and_this_call_ends() {
    if missing("t15_a_phone_that_takes_the_refer_calls_by_itself_and_this_call_ends") {
        return;
    }
    let story = Story::begin("t15-the-caller-takes-the-refer").await;
    let plan =
        json!({ "targets": [["sip:2001@127.0.0.1:5999"]], "ring_for_s": 20, "mode": "refer" });
    story.transfer(plan).await;
    let over = story.end("transferred").await;
    let moved = over.facts("transferred").await;
    assert_eq!(
        (&moved[0]["mode"], &moved[0]["target"]),
        (&json!("refer"), &json!("sip:2001@127.0.0.1:5999"))
    );
    assert!(
        over.facts("transfer_attempt").await.is_empty(),
        "we call nobody"
    );
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_a_refused_refer_becomes_a_bridge_and_both_hear_each_other() {
    if missing("t15_a_refused_refer_becomes_a_bridge_and_both_hear_each_other") {
        return;
    }
    let story = Story::begin("t15-the-caller-refuses-the-refer").await;
    let desk = Talker::start();
    let (far, at) = Sipp::serve("t14-answers-and-waits", &[("rtp_port", &desk.key())]);
    let targets = [[format!("sip:2001@{at}")]];
    let plan = json!({ "targets": targets, "ring_for_s": 20, "mode": "refer_or_bridge" });
    story.transfer(plan).await;
    story.facts("transferred", 1).await;
    hear_each_other(&story.voice, &desk);
    story.hang_up().await;
    far.succeeds(LIMIT);
    let over = story.end("operator_hangup").await;
    assert_eq!(over.facts("transferred").await[0]["mode"], "bridge");
    over.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t15_a_refer_that_finds_the_target_busy_gives_the_caller_back_to_the_agent() {
    if missing("t15_a_refer_that_finds_the_target_busy_gives_the_caller_back_to_the_agent") {
        return;
    }
    let story = Story::begin("t15-the-refer-reaches-nobody").await;
    let plan =
        json!({ "targets": [["sip:2001@127.0.0.1:5999"]], "ring_for_s": 20, "mode": "refer" });
    story.transfer(plan).await;
    let failed = story.facts("transfer_failed", 1).await;
    assert_eq!(failed[0]["reason"], "busy", "{failed:#?}");
    story.voice.hears_speech(s(1), s(15));
    story.hang_up().await;
    let over = story.end("operator_hangup").await;
    assert!(over.agent_said("the line is busy").await);
    over.node.stop().await;
}
