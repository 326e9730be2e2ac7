//! Things break inside live calls: only what broke is affected, its sound is back at once on the
//! same stream, and every call has its one record.
//!
//! Gaps are measured where they matter, on the far end's socket. A busy machine makes gaps too: what
//! it stood still (two threads that only sleep tell) is taken off, and each fault is injected three
//! times or more, for what it causes it causes each time: the lower quartile has to be within the
//! bar (for the sound of the broken call itself: the median).
//! Sequence numbers and sources are held to exactly, in every call, always.

#[path = "rig/crowd.rs"]
mod crowd;
#[path = "rig/node.rs"]
mod rig;

use std::{collections::HashMap, sync::Arc, time::Duration};

use crowd::{Caller, Crowd, Plan, Voice};
use local_speech::{
    Cancel,
    voices::{SampleRate, SayRequest, Voices, VoicesConfig},
};
use media_server::{
    call::{self, Fault},
    node::{self, NodeHandle},
};
use providers::{
    Fakes,
    stt::fake::{self as stt, FakeEars, FakeStt},
    tts::fake::{self as tts, FakeTts, FakeVoice},
};
use rig::Site;
use serde_json::{Value, json};

/// For what has no bar of its own on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// The bar for sound that broke.
const BACK: Duration = Duration::from_millis(200);
/// The bar for the sound of everybody else.
const GAP: Duration = Duration::from_millis(40);
/// Speech of the agent ends so soon after the caller's begins.
const PAUSE: Duration = Duration::from_millis(300);

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "taped"
when = { to = "taped" }
do = ["answer", { record = { channels = 2, consent = "announce" } }, "echo"]

[[route]]
name = "talker"
when = { to = "talker" }
do = [{ agent = "demo/talker" }]
"#;

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn call(site: &Site, user: &str, callers: usize) -> Crowd {
    Crowd::call(&Plan {
        server: site.sip,
        user: user.into(),
        udp: callers,
        tcp: 0,
    })
}

fn inject(node: &NodeHandle, caller: &Caller, fault: Fault) {
    let live = node.services.calls.all();
    let entry = live.iter().find(|entry| entry.from == caller.name);
    let entry = entry.unwrap_or_else(|| panic!("{} has no call", caller.name));
    entry.actor.cast(call::Msg::Fault(fault)).unwrap();
}

/// Each caller's one record, in the callers' order.
async fn records(site: &Site, crowd: &Crowd) -> Vec<Value> {
    let callers = crowd.callers();
    let office = site.office();
    let ended = office.calls(callers.len(), |c| c["state"] == "ended").await;
    let all = office.calls(callers.len(), |_| true).await;
    assert_eq!(all.len(), callers.len(), "a record too many or too few");
    let mut by_id: HashMap<String, Value> = ended
        .into_iter()
        .map(|call| (call["sip_call_id"].as_str().unwrap().to_owned(), call))
        .collect();
    let mut records = Vec::new();
    for caller in &callers {
        let record = by_id.remove(&caller.call_id);
        if record.is_none() {
            let mine = |c: &Value| c["sip_call_id"] == *caller.call_id;
            let open = office.calls(1, mine).await;
            let facts = office.part(&open[0], "timeline?limit=500").await;
            panic!("{} has not ended: {facts:#}", caller.name);
        }
        records.extend(record);
    }
    records
}

/// What the caller saw of the call's length is what the record says.
fn is_as_long_as_the_caller_says(record: &Value, caller: &Caller) {
    let (ended, _) = caller.ended.as_ref().unwrap();
    let talked = (*ended - caller.answered.unwrap()).as_millis() as i64;
    let recorded = record["duration_ms"].as_i64().unwrap();
    assert!(
        (talked - recorded).abs() < 1_000,
        "{talked} ms talked, {recorded} ms in the record of {}",
        caller.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_a_leg_or_dialog_stays_in_its_call_and_the_sound_is_back_on_the_same_stream() {
    const FAULTS: [(Fault, &str); 5] = [
        (Fault::Parse, "leg_restarted"),
        (Fault::Decode, "leg_restarted"),
        (Fault::Playout, "leg_restarted"),
        (Fault::Dialog, "dialog_restarted"),
        (Fault::LegActor, "leg_restarted"),
    ];
    const ROUNDS: usize = 3;
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    let victims = FAULTS.len() * ROUNDS;
    let crowd = call(&site, "echo", victims + 3);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(1.0)).await;
    let mut moments = Vec::new();
    for victim in 0..victims {
        moments.push(crowd.now());
        let (fault, _) = FAULTS[victim % FAULTS.len()];
        inject(&node, &crowd.caller(victim), fault);
        tokio::time::sleep(seconds(0.45)).await;
    }
    tokio::time::sleep(seconds(0.6)).await;

    let bystanders: Vec<usize> = (victims..victims + 3).collect();
    for (kind, (fault, _)) in FAULTS.into_iter().enumerate() {
        let mine = (kind..victims).step_by(FAULTS.len());
        let back = |n: usize| crowd.gap_in(n, moments[n], moments[n] + seconds(1.0), |p| p.loud);
        let mut gaps: Vec<Duration> = mine.clone().map(back).collect();
        gaps.sort_unstable();
        println!("{fault:?}: without sound for {gaps:?}");
        assert!(gaps[ROUNDS / 2] <= BACK, "{fault:?}: {gaps:?}");
        let mine: Vec<Duration> = mine.map(|n| moments[n]).collect();
        let others = crowd.disturbed(&bystanders, &mine);
        assert!(others <= GAP, "{fault:?}: others were quiet for {others:?}");
    }
    crowd.callers().iter().for_each(Caller::heard_one_stream);
    crowd.hang_up_all();
    crowd
        .all("answered in their BYE", LIMIT, Caller::is_over)
        .await;
    let office = site.office();
    let records = records(&site, &crowd).await;
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        is_as_long_as_the_caller_says(record, &crowd.caller(number));
        let (fault, kind) = FAULTS[number % FAULTS.len()];
        let expected = usize::from(number < victims);
        let facts = office.facts(record, kind).await;
        assert_eq!(facts.len(), expected, "{fault:?} in {}", record["from"]);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_do_not_notice_that_their_listener_breaks() {
    const CALLS: usize = 50;
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    let crowd = call(&site, "echo", CALLS);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(1.0)).await;

    let mut moments = Vec::new();
    for _ in 0..5 {
        moments.push(crowd.now());
        let profile: Arc<str> = "internal".into();
        node.node.cast(node::Msg::BreakListener(profile)).unwrap();
        tokio::time::sleep(seconds(0.6)).await;
    }
    let restarts = &node.services.metrics.restarts;
    assert_eq!(restarts.with_label_values(&["listener"]).get(), 5);
    let everybody: Vec<usize> = (0..CALLS).collect();
    let quiet = crowd.disturbed(&everybody, &moments);
    assert!(quiet <= GAP, "calls were quiet for {quiet:?}");
    for caller in crowd.callers() {
        caller.heard_one_stream();
        let heard = caller.between(moments[0], moments[4] + seconds(0.5));
        let loud = heard.iter().filter(|p| p.loud).count();
        assert!(loud > 110, "{} heard {loud} frames of 145", caller.name);
    }
    assert!(crowd.callers().iter().all(|c| c.ended.is_none()));

    // The rebuilt listener knows them all, takes new ones, and hangs up for us.
    let late = call(&site, "echo", 1);
    late.settled(LIMIT).await;
    late.hang_up(0);
    (0..CALLS / 2).for_each(|number| crowd.hang_up(number));
    let live = node.services.calls.all();
    let ours = live.iter().filter(|e| e.from.as_str() >= "caller-25");
    for entry in ours {
        let cause = call_core::call::KillCause::Operator;
        entry.actor.cast(call::Msg::Kill(cause)).unwrap();
    }
    crowd.all("ended", LIMIT, Caller::is_over).await;
    late.all("ended", LIMIT, Caller::is_over).await;

    let all = site
        .office()
        .calls(CALLS + 1, |c| c["state"] == "ended")
        .await;
    assert_eq!(all.len(), CALLS + 1);
    for caller in crowd.callers() {
        let mut mine = all.iter().filter(|c| c["sip_call_id"] == *caller.call_id);
        let record = mine.next().unwrap();
        assert!(mine.next().is_none(), "{} has two records", caller.name);
        let by_us = caller.was_hung_up_on();
        assert_eq!(by_us, *caller.name >= *"caller-25", "{}", caller.name);
        if !by_us {
            assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        }
        is_as_long_as_the_caller_says(record, &caller);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_says_goodbye_and_keeps_its_record_and_recording() {
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    let crowd = call(&site, "taped", 5);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(2.0)).await;
    let mut moments = Vec::new();
    for victim in 0..3 {
        moments.push(crowd.now());
        inject(&node, &crowd.caller(victim), Fault::Call);
        tokio::time::sleep(seconds(0.5)).await;
        crowd
            .one(victim, "told goodbye", seconds(5.0), Caller::was_hung_up_on)
            .await;
        let (_, ended) = crowd.caller(victim).ended.unwrap();
        assert_eq!(ended.reason.and_then(|r| r.cause), Some(41));
    }
    let quiet = crowd.disturbed(&[3, 4], &moments);
    assert!(quiet <= GAP, "others were quiet for {quiet:?}");
    crowd.hang_up_all();
    crowd.all("ended", LIMIT, Caller::is_over).await;
    let records = records(&site, &crowd).await;
    for (number, record) in records.iter().enumerate() {
        let reason = match number {
            0..3 => "internal_error",
            _ => "caller_hangup",
        };
        assert_eq!(record["end_reason"], reason, "{record:#}");
        let caller = crowd.caller(number);
        caller.heard_one_stream();
        is_as_long_as_the_caller_says(record, &caller);
        let wav = site.office().recording(record).await;
        let seconds = wav.channel(0).len() as f64 / f64::from(wav.rate_hz);
        assert!(seconds > 1.5, "{seconds} s recorded of {}", caller.name);
    }
    node.stop().await;
}

/// The demo tenant gets an agent with fake ears and voice, `talker`.
async fn publish_talker(site: &Site, node: &NodeHandle, greeting: &str, ears: &str, voice: &str) {
    let office = site.office();
    let tenants = office.get("/v1/tenants").await;
    let demo = tenants["data"].as_array().unwrap();
    let demo = demo.iter().find(|t| t["slug"] == "demo").unwrap();
    let tenant = demo["id"].as_str().unwrap();
    let config = json!({
        "display_name": "Ada",
        "greeting": greeting,
        "disclosure": false,
        "apology": "I am sorry, I cannot go on.",
        "voice": { "provider": voice, "name": "fake" },
        "stt": { "provider": ears },
        "brain": { "kind": "script", "business": "the house" },
    });
    let post = async |path: String, body: Value| {
        let request = egress::Request::post(format!("{}{path}", office.base));
        let answer = office
            .send(request.header("x-tenant-id", tenant).json(&body))
            .await;
        assert!(answer["error"].is_null(), "{path}: {answer:#}");
        answer
    };
    let agent = json!({ "slug": "talker", "config": config });
    let agent = post("/v1/agents".into(), agent).await;
    let id = agent["id"].as_str().unwrap();
    post(format!("/v1/agents/{id}/publish"), json!({ "note": "" })).await;
    let snapshots = &node.services.snapshots;
    while snapshots
        .current()
        .agent_by_name("demo", "talker")
        .is_none()
    {
        tokio::time::sleep(seconds(0.05)).await;
    }
}

fn fakes(ears: FakeEars, voice: FakeVoice) -> Fakes {
    Fakes {
        stt: Arc::new(FakeStt::new(ears)),
        tts: Arc::new(FakeTts::new(voice)),
        ..Fakes::default()
    }
}

/// 60 ms a character: some twelve seconds.
const MONOLOGUE: &str = "Welcome to this house where there is so much to tell about that a \
    greeting takes its time, and more of it, and more of it, and more of it, and still more of \
    it, until it is at its end.";

fn skipped(test: &str) -> bool {
    let missing = !rig::root().join("models/silero-vad-16k.onnx").is_file();
    if missing {
        println!("SKIP {test}: the local models are not here (scripts/models)");
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_reflex_works_while_the_agent_hangs() {
    if skipped("the_pause_reflex_works_while_the_agent_hangs") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let node = site
        .start_with(fakes(FakeEars::default(), FakeVoice::default()))
        .await;
    publish_talker(&site, &node, MONOLOGUE, "fake", "fake").await;
    let crowd = call(&site, "talker", 2);
    (0..2).for_each(|number| crowd.speak(number, Voice::Silence));
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(1.5)).await;

    inject(&node, &crowd.caller(0), Fault::AgentHang(seconds(6.0)));
    tokio::time::sleep(seconds(0.3)).await;
    let onset = crowd.now();
    crowd.speak(0, Voice::Noise);
    tokio::time::sleep(seconds(0.5)).await;
    crowd.speak(0, Voice::Silence);
    tokio::time::sleep(seconds(1.5)).await;
    let heard = crowd.caller(0).between(onset, onset + seconds(2.0));
    let pause = heard
        .windows(5)
        .find(|five| five.iter().all(|p| !p.loud))
        .map(|five| five[0].at);
    let pause = pause.expect("the agent never fell silent") - onset;
    let slack = crowd.stalled(onset, onset + pause);
    println!("silent {pause:?} after the caller began ({slack:?} the machine's)");
    assert!(pause <= PAUSE + slack, "silent only after {pause:?}");
    // How long, by the clock of the stream itself.
    let silent = heard.iter().skip_while(|p| p.at < onset + pause);
    let silent = silent.take_while(|p| !p.loud).count();
    println!("{silent} silent frames");
    assert!(silent < heard.len(), "the agent never went on");
    assert!(
        (13..=18).contains(&silent),
        "{silent} silent frames, not 15"
    );
    for number in 0..2 {
        let caller = crowd.caller(number);
        caller.heard_one_stream();
        let heard = caller.between(onset, onset + seconds(2.0)).len();
        assert!(heard > 80, "{heard} packets of 100: RTP itself paused");
    }
    crowd.hang_up_all();
    crowd.all("ended", LIMIT, Caller::is_over).await;
    for record in records(&site, &crowd).await {
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_actor_that_breaks_misses_nothing_that_its_leg_tells() {
    const GREETING: &str = "Welcome to this house. What can I do for you?";
    if skipped("a_leg_actor_that_breaks_misses_nothing_that_its_leg_tells") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let node = site
        .start_with(fakes(FakeEars::default(), FakeVoice::default()))
        .await;
    publish_talker(&site, &node, GREETING, "fake", "fake").await;
    let crowd = call(&site, "talker", 1);
    crowd.speak(0, Voice::Silence);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(0.5)).await;
    // The next thing its leg tells is that the greeting is over.
    inject(&node, &crowd.caller(0), Fault::LegActor);
    let quiet = |c: &Caller| {
        let last = c.packets.iter().rev().find(|p| p.loud).map(|p| p.ticks);
        let now = c.packets.last().map(|p| p.ticks);
        last.zip(now)
            .is_some_and(|(last, now)| now.wrapping_sub(last) > 8_000)
    };
    crowd.all("quiet", LIMIT, quiet).await;
    let mut watch = node.services.watch.subscribe();
    crowd.hang_up_all();
    crowd.all("over", LIMIT, Caller::is_over).await;
    let records = records(&site, &crowd).await;
    let office = site.office();
    assert_eq!(office.facts(&records[0], "leg_restarted").await.len(), 1);
    let said = office.said(&records[0], "agent").await;
    assert_eq!(said[0]["heard_text"], GREETING, "{said:#?}");
    while let Ok(fact) = watch.try_recv() {
        let late = matches!(fact.kind, model::FactKind::Segment(_));
        assert!(!late, "the segment was only settled by the end of the call");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_breaks_is_replaced_once_and_then_apologises() {
    if skipped("an_agent_that_breaks_is_replaced_once_and_then_apologises") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let node = site
        .start_with(fakes(FakeEars::default(), FakeVoice::default()))
        .await;
    publish_talker(&site, &node, MONOLOGUE, "fake", "fake").await;
    let crowd = call(&site, "talker", 3);
    (0..3).for_each(|number| crowd.speak(number, Voice::Silence));
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(1.0)).await;
    let begin = crowd.now();
    inject(&node, &crowd.caller(0), Fault::Agent);
    inject(&node, &crowd.caller(1), Fault::Agent);
    tokio::time::sleep(seconds(1.0)).await;
    // What it was saying goes on.
    for caller in crowd.callers() {
        let heard = caller.between(begin, begin + seconds(1.0));
        let loud = heard.iter().filter(|p| p.loud).count();
        assert!(loud > 35, "{} heard {loud} frames of 50", caller.name);
    }
    inject(&node, &crowd.caller(1), Fault::Agent);
    crowd
        .one(1, "said goodbye to", LIMIT, Caller::was_hung_up_on)
        .await;
    crowd.callers().iter().for_each(Caller::heard_one_stream);
    crowd.hang_up_all();
    crowd.all("ended", LIMIT, Caller::is_over).await;
    let records = records(&site, &crowd).await;
    let office = site.office();
    for (record, restarts) in records.iter().zip([1, 1, 0]) {
        let facts = office.facts(record, "agent_restarted").await;
        assert_eq!(facts.len(), restarts, "{record:#}");
    }
    assert_eq!(records[0]["end_reason"], "caller_hangup");
    assert_eq!(records[1]["end_reason"], "agent_failed", "{:#}", records[1]);
    assert_eq!(office.facts(&records[1], "provider_trouble").await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recogniser_that_hangs_leads_to_an_apology_and_a_record() {
    if skipped("a_recogniser_that_hangs_leads_to_an_apology_and_a_record") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let ears = FakeEars {
        fault: Some(stt::Fault::Hang),
        ..FakeEars::default()
    };
    let node = site.start_with(fakes(ears, FakeVoice::default())).await;
    publish_talker(&site, &node, "Hello.", "fake", "fake").await;
    let plan = Plan {
        server: site.sip,
        user: "talker".into(),
        udp: 1,
        tcp: 0,
    };
    let words = spoken("What are your opening hours, please?").await;
    let crowd = Crowd::call_saying(&plan, &words);
    crowd.speak(0, Voice::Silence);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(1.0)).await;
    crowd.speak(0, Voice::Words);
    crowd
        .all("said goodbye to", LIMIT, Caller::was_hung_up_on)
        .await;
    crowd.caller(0).heard_one_stream();
    let records = records(&site, &crowd).await;
    let office = site.office();
    assert_eq!(records[0]["end_reason"], "agent_failed", "{:#}", records[0]);
    let trouble = office.facts(&records[0], "provider_trouble").await;
    assert_eq!(trouble[0]["role"], "stt", "{trouble:#?}");
    let said = office.said(&records[0], "agent").await;
    let last = said.last().unwrap();
    assert_eq!(
        last["heard_text"], "I am sorry, I cannot go on.",
        "{said:#?}"
    );
    node.stop().await;
}

/// A text in the voice that is always there, 8 kHz.
async fn spoken(text: &str) -> Vec<i16> {
    let voices = Voices::start(VoicesConfig::default()).unwrap();
    let request = SayRequest {
        text: text.to_owned(),
        voice: "kal".to_owned(),
        stretch: 1.0,
        rate: SampleRate::Hz8000,
    };
    let mut sentences = voices.say(request, &Cancel::default()).unwrap();
    let mut pcm = Vec::new();
    while let Some(sentence) = sentences.recv().await {
        pcm.extend_from_slice(&sentence.unwrap().pcm);
    }
    pcm
}

#[tokio::test(flavor = "multi_thread")]
async fn another_voice_speaks_in_the_place_of_one_that_hangs_and_the_call_goes_on() {
    if skipped("another_voice_speaks_in_the_place_of_one_that_hangs_and_the_call_goes_on") {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let voice = FakeVoice {
        fault: Some(tts::Fault::Hang),
        ..FakeVoice::default()
    };
    let node = site.start_with(fakes(FakeEars::default(), voice)).await;
    publish_talker(&site, &node, "Hello.", "fake", "fake").await;
    let crowd = call(&site, "talker", 1);
    crowd.speak(0, Voice::Silence);
    let heard = |caller: &Caller| {
        let all = caller.between(Duration::ZERO, Duration::MAX);
        all.iter().filter(|packet| packet.loud).count() > 10
    };
    crowd.all("heard somebody speak", LIMIT, heard).await;
    tokio::time::sleep(seconds(1.0)).await;
    crowd.caller(0).heard_one_stream();
    crowd.hang_up_all();
    let records = records(&site, &crowd).await;
    assert_eq!(
        records[0]["end_reason"], "caller_hangup",
        "{:#}",
        records[0]
    );
    let office = site.office();
    let said = office.said(&records[0], "agent").await;
    assert_eq!(said[0]["text"], "Hello.", "{said:#?}");
    let trouble = office.facts(&records[0], "provider_trouble").await;
    assert_eq!(trouble[0]["role"], "tts", "{trouble:#?}");
    assert_eq!(trouble[0]["provider"], "fake", "{trouble:#?}");
    node.stop().await;
}
