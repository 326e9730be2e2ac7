//! The acceptance stories T01 to T10, told by SIPp against a whole node: each holds the SIP outcome
//! and the call's record over REST.

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
use sipp::{Ladder, Sipp, header};
use talker::Talker;

const LIMIT: Duration = Duration::from_secs(50);

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Routes that end in their own good time.
const PLAN: &str = r#"
context = "internal"

[[route]]
name = "slow"
when = { to = "slow" }
do = [{ sleep = "4s" }, "ring", { sleep = "5s" }, "answer", "echo"]

[[route]]
name = "ringing"
when = { to = "ringing" }
do = ["ring", { sleep = "8s" }, "answer", "echo"]

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "late"
when = { to = "late" }
do = [{ sleep = "800ms" }, "answer", "echo"]

[[route]]
name = "entry"
when = { to = "entry" }
do = ["answer", { gather = { say = "Please enter your number.", into = "code", max = 8, timeout = "10s" } }, { log = "entered {code}" }, { hangup = "normal" }]

[[route]]
name = "menu"
when = { to = "menu" }
do = ["answer", { gather = { say = "One for sales, two for the kitchen.", into = "choice", max = 1, timeout = "8s", choices = { "1" = "sales", "2" = "kitchen" }, or_else = "nothing" } }]

[section.sales]
do = [{ log = "to the sales" }, { hangup = "normal" }]

[section.kitchen]
do = [{ log = "to the kitchen" }, { say = "This is the kitchen." }, { hangup = "normal" }]

[section.nothing]
do = [{ log = "nothing was pressed" }, { hangup = "normal" }]
"#;

/// A node with the plan above.
async fn planned() -> (Site, NodeHandle) {
    let site = Site::new("", Some(PLAN));
    let node = site.start().await;
    (site, node)
}

/// A node with the shipped plan; none when it has no recogniser to understand callers with.
async fn understanding(test: &str) -> Option<(Site, NodeHandle)> {
    let site = Site::new("", None);
    let node = site.start().await;
    if node.services.models.is_none() {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
        node.stop().await;
        return None;
    }
    Some((site, node))
}

/// The one ended record of this call, held to what every record must say.
async fn record(office: &Office, sipp_call_id: &str) -> Value {
    let id = Value::String(sipp_call_id.to_owned());
    let call = office.ended(&id).await;
    assert_eq!(call["direction"], "inbound", "{call:#}");
    assert_eq!(call["from"], "+15550199");
    assert_eq!(call["provisional"], false);
    let ends = office.facts(&call, "ended").await;
    assert_eq!(ends.len(), 1, "one end: {ends:#?}");
    assert_eq!(ends[0]["reason"], call["end_reason"]);
    assert_eq!(ends[0]["duration_ms"], call["duration_ms"]);
    call
}

/// The record says how it ended and about how long it lasted.
fn holds(call: &Value, reason: &str, least: Duration, most: Duration) {
    assert_eq!(call["end_reason"], reason, "{call:#}");
    let lasted = Duration::from_millis(call["duration_ms"].as_u64().unwrap());
    assert!(
        (least..=most).contains(&lasted),
        "{lasted:?} is not within {least:?} and {most:?}: {call:#}"
    );
}

/// What a carrier looks for in the answer to an INVITE.
fn is_well_made(ladder: &Ladder) {
    let answer = ladder.first("SIP/2.0 200");
    for field in ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Allow"] {
        assert!(header(&answer, field).is_some(), "no {field} in\n{answer}");
    }
    assert_eq!(header(&answer, "Content-Type"), Some("application/sdp"));
    assert!(
        answer.contains("a=rtpmap:101 telephone-event/8000"),
        "{answer}"
    );
    assert!(header(&answer, "User-Agent").is_none(), "{answer}");
}

/// How well these words were understood.
fn assert_about(said: &str, heard: &str, most: f64) {
    let score = local_speech::wer::score(said, heard);
    assert!(score.rate() <= most, "'{heard}' is not '{said}'");
}

fn texts(segments: &[Value], field: &str) -> String {
    let all = segments
        .iter()
        .filter_map(|segment| segment[field].as_str());
    all.collect::<Vec<_>>().join(" ")
}

fn loudness(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    (sum / pcm.len().max(1) as f64).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn t01_the_caller_asks_hears_the_answer_and_hangs_up() {
    const NAME: &str = "t01_the_caller_asks_hears_the_answer_and_hangs_up";
    if !sipp::is_here(NAME) {
        return;
    }
    let Some((site, node)) = understanding(NAME).await else {
        return;
    };
    let question = "What are your opening hours?";
    let dir = tempfile::tempdir().unwrap();
    let pcm = talker::spoken(question).await;
    let sound: Vec<u8> = pcm.into_iter().map(talker::mu_law).collect();
    std::fs::write(dir.path().join("caller.ulaw"), sound).unwrap();
    let story = "t01-the-caller-asks-and-hangs-up";
    let call = Sipp::call_in(dir, site.sip, story, "agent", &[]);
    let id = call.call_id.clone();
    let ladder = call.succeeds(LIMIT);
    is_well_made(&ladder);

    let office = site.office();
    let call = record(&office, &id).await;
    holds(&call, "caller_hangup", s(19), s(23));
    assert_eq!(call["codec"], "PCMU");
    assert_eq!(call["agent"]["slug"], "receptionist", "{call:#}");
    let caller = office.said(&call, "caller").await;
    assert_about(question, &texts(&caller, "text"), 0.4);
    let agent = office.said(&call, "agent").await;
    assert!(agent.len() >= 2, "greeting and reply: {agent:#?}");
    assert!(
        agent[0]["text"]
            .as_str()
            .unwrap()
            .contains("Harbour Restaurant")
    );
    let reply = texts(&agent[1..], "heard_text");
    assert!(reply.contains("open"), "{reply} to {caller:#?}");

    let wav = office.recording(&call).await;
    assert_eq!((wav.channels, wav.rate_hz), (2, 8_000));
    let seconds = wav.samples.len() as u64 / 2 / 8;
    let lasted = call["duration_ms"].as_u64().unwrap();
    assert!(seconds.abs_diff(lasted) < 400, "{seconds} ms of {lasted}");
    // The caller is left, the agent right, and each is where the transcript says.
    for (channel, segments) in [(0, &caller), (1, &agent)] {
        let pcm = wav.channel(channel);
        for segment in segments.iter() {
            let at = |field: &str| segment[field].as_u64().unwrap() as usize * 8;
            let (start, end) = (at("start_ms"), at("end_ms").min(pcm.len()));
            assert!(loudness(&pcm[start..end]) > 300.0, "{channel}: {segment:#}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_the_agent_says_its_farewell_to_the_end_and_hangs_up() {
    const NAME: &str = "t02_the_agent_says_its_farewell_to_the_end_and_hangs_up";
    if !sipp::is_here(NAME) {
        return;
    }
    let Some((site, node)) = understanding(NAME).await else {
        return;
    };
    let caller = Talker::start();
    let story = "t02-the-agent-hangs-up";
    let call = Sipp::call(site.sip, story, "agent", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    caller.hears_speech(s(2), s(15));
    caller.hears_silence(ms(900), s(15));
    caller.say(talker::spoken("No, that is all. Thank you, goodbye.").await);
    call.succeeds(LIMIT);
    let over = Instant::now();

    let office = site.office();
    let call = record(&office, &id).await;
    holds(&call, "agent_hangup", s(5), s(30));
    assert_eq!(call["sip"]["q850"], 16, "{call:#}");
    let agent = office.said(&call, "agent").await;
    let last = agent.last().unwrap();
    assert_eq!(last["text"], "Thank you for calling. Goodbye!");
    assert_eq!(
        last["heard_text"], last["text"],
        "heard to the end: {last:#}"
    );
    assert_eq!(last["samples_sent"], last["samples_total"], "{last:#}");
    assert_eq!(last["interrupted"], false);
    // Heard means heard here: its sound came before the BYE.
    let voiced = caller.last_voice().unwrap();
    let farewell = ms(last["end_ms"].as_u64().unwrap() - last["start_ms"].as_u64().unwrap());
    assert!(over.duration_since(voiced) < s(2), "{:?}", over - voiced);
    let heard = caller.heard();
    let frames = heard
        .iter()
        .filter(|h| h.voiced && over - h.at < farewell + s(1));
    let spoken = frames.count() as u32 * ms(20);
    assert!(spoken * 2 > farewell, "{spoken:?} voiced of {farewell:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_a_caller_who_gives_up_gets_487_and_a_record() {
    if !sipp::is_here("t04_a_caller_who_gives_up_gets_487_and_a_record") {
        return;
    }
    let (site, node) = planned().await;
    let keys = [("rtp_port", "40000")];
    let before = Sipp::call(
        site.sip,
        "t04-the-caller-gives-up-before-it-rings",
        "slow",
        &keys,
    );
    let while_ringing = Sipp::call(
        site.sip,
        "t04-the-caller-gives-up-while-it-rings",
        "ringing",
        &keys,
    );
    let office = site.office();
    for (call, ringing) in [(before, 0), (while_ringing, 1)] {
        let id = call.call_id.clone();
        let ladder = call.succeeds(LIMIT);
        assert_eq!(ladder.count(180), ringing, "{:?}", ladder.statuses());
        assert_eq!(ladder.count(487), 1, "{:?}", ladder.statuses());
        assert!(ladder.received().iter().all(|m| !m.starts_with("BYE")));
        let call = record(&office, &id).await;
        holds(&call, "cancelled", s(0), s(0));
        assert_eq!(call["sip"]["code"], 487, "{call:#}");
        assert_eq!(call["answered_at"], Value::Null);
    }
    assert!(node.services.book.is_empty(), "no dialog is left");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_a_cancel_that_crosses_the_answer_changes_nothing() {
    if !sipp::is_here("t04_a_cancel_that_crosses_the_answer_changes_nothing") {
        return;
    }
    let (site, node) = planned().await;
    let story = "t04-the-answer-crosses-the-cancel";
    let call = Sipp::call(site.sip, story, "echo", &[("rtp_port", "40000")]);
    let id = call.call_id.clone();
    let ladder = call.succeeds(LIMIT);
    assert_eq!(ladder.count(487), 0, "{:?}", ladder.statuses());
    let call = record(&site.office(), &id).await;
    holds(&call, "caller_hangup", ms(200), s(3));
    node.stop().await;
}

/// The three waits of T05 at the same time, each in its full length.
#[tokio::test(flavor = "multi_thread")]
async fn t05_no_ack_no_sound_and_sound_that_stops_end_a_call() {
    if !sipp::is_here("t05_no_ack_no_sound_and_sound_that_stops_end_a_call") {
        return;
    }
    let (site, node) = planned().await;
    let (talking, stopping, silent) = (Talker::start(), Talker::start(), Talker::start());
    silent.mute();
    let call = |story: &str, talker: &Talker| {
        Sipp::call(site.sip, story, "echo", &[("rtp_port", &talker.key())])
    };
    let unconfirmed = call("t05-the-caller-never-confirms", &talking);
    let never = call("t05-the-sound-stays-away", &silent);
    let stops = call("t05-the-sound-stays-away", &stopping);
    stopping.say(vec![3_000; 8_000]);
    stopping.hears_speech(ms(500), s(10));
    stopping.mute();
    let office = site.office();

    let id = never.call_id.clone();
    let ladder = never.succeeds(LIMIT);
    assert!(header(&ladder.first("BYE"), "Reason").is_some());
    let record_of_it = record(&office, &id).await;
    holds(&record_of_it, "media_timeout", ms(14_500), ms(16_500));
    assert_eq!(office.facts(&record_of_it, "media_started").await.len(), 0);

    let id = stops.call_id.clone();
    stops.succeeds(LIMIT);
    let record_of_it = record(&office, &id).await;
    holds(&record_of_it, "media_timeout", s(30), s(34));
    assert_eq!(office.facts(&record_of_it, "media_started").await.len(), 1);

    let id = unconfirmed.call_id.clone();
    let ladder = unconfirmed.succeeds(LIMIT);
    // RFC 3261 13.3.1.4: T1, doubling up to T2 = 4 s, for 64*T1 = 32 s: eleven answers.
    let answers = ladder.count(200);
    assert!((9..=12).contains(&answers), "{:?}", ladder.statuses());
    let record_of_it = record(&office, &id).await;
    holds(&record_of_it, "ack_timeout", ms(31_500), ms(34_000));
    assert_eq!(office.facts(&record_of_it, "ack_confirmed").await.len(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_an_invite_that_is_repeated_is_one_call() {
    if !sipp::is_here("t06_an_invite_that_is_repeated_is_one_call") {
        return;
    }
    let (site, node) = planned().await;
    let story = "t06-the-invite-comes-three-times";
    let call = Sipp::call_unrepeated(site.sip, story, "late", &[("rtp_port", "40000")]);
    let id = call.call_id.clone();
    let ladder = call.succeeds(LIMIT);
    let answers = ladder.received();
    let answers = answers.iter().filter(|m| m.contains("1 INVITE"));
    let mut tags: Vec<_> = answers
        .filter(|m| m.starts_with("SIP/2.0 200"))
        .filter_map(|m| header(m, "To"))
        .collect();
    tags.dedup();
    assert_eq!(tags.len(), 1, "one dialog: {:?}", ladder.statuses());
    let call = record(&site.office(), &id).await;
    holds(&call, "caller_hangup", ms(700), s(4));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_what_belongs_to_no_call_is_refused_and_makes_none() {
    if !sipp::is_here("t06_what_belongs_to_no_call_is_refused_and_makes_none") {
        return;
    }
    let (site, node) = planned().await;
    let keys = [("rtp_port", "40000")];
    let looped = Sipp::call(site.sip, "t06-too-many-hops", "echo", &keys).succeeds(LIMIT);
    assert_eq!(looped.statuses(), ["SIP/2.0 483 Too Many Hops"]);
    let lost = Sipp::call(site.sip, "t06-a-bye-without-a-dialog", "echo", &keys);
    let lost = lost.succeeds(LIMIT);
    // The ACK that belongs to nothing was not answered.
    assert_eq!(lost.count(481), 2, "{:?}", lost.statuses());
    assert_eq!(lost.statuses().len(), 2, "{:?}", lost.statuses());
    let made = site.office().get("/v1/calls").await;
    assert_eq!(made["data"], json!([]), "neither was a call");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_merged_invite_gets_482_and_the_first_goes_on() {
    if !sipp::is_here("t06_a_merged_invite_gets_482_and_the_first_goes_on") {
        return;
    }
    let (site, node) = planned().await;
    let story = "t06-the-invite-comes-by-two-ways";
    let call = Sipp::call(site.sip, story, "echo", &[("rtp_port", "40000")]);
    let id = call.call_id.clone();
    call.succeeds(LIMIT);
    let call = record(&site.office(), &id).await;
    holds(&call, "caller_hangup", ms(200), s(3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_one_call_id_with_two_tags_is_two_calls() {
    if !sipp::is_here("t06_one_call_id_with_two_tags_is_two_calls") {
        return;
    }
    let (site, node) = planned().await;
    let story = "t06-the-same-call-id-with-another-tag";
    let call = Sipp::call(site.sip, story, "echo", &[("rtp_port", "40000")]);
    let id = json!(call.call_id);
    call.succeeds(LIMIT);
    let office = site.office();
    let ended = |c: &Value| c["sip_call_id"] == id && c["state"] == "ended";
    let both = office.calls(2, ended).await;
    assert_eq!(both.len(), 2, "{both:#?}");
    for call in &both {
        holds(call, "caller_hangup", ms(200), s(4));
    }
    assert_ne!(both[0]["id"], both[1]["id"]);
    node.stop().await;
}

/// The digits of a call's timeline, in order.
async fn digits(office: &Office, call: &Value) -> String {
    let facts = office.facts(call, "digit").await;
    facts
        .iter()
        .filter_map(|fact| fact["digit"].as_str())
        .collect()
}

async fn logged(office: &Office, call: &Value) -> Vec<Value> {
    let facts = office.facts(call, "logged").await;
    facts.into_iter().map(|fact| fact["line"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_digits_in_rtp_come_once_each_in_order_and_tones_are_not_digits() {
    if !sipp::is_here("t08_digits_in_rtp_come_once_each_in_order_and_tones_are_not_digits") {
        return;
    }
    let (site, node) = planned().await;
    let caller = Talker::start();
    let story = "t08-a-call-that-the-server-ends";
    let call = Sipp::call(site.sip, story, "entry", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    caller.hears_speech(ms(300), s(15));
    // Tones in the sound first: they are sound, and no digit cuts the prompt.
    caller.say(
        [
            talker::tones('9', 200),
            vec![0; 800],
            talker::tones('1', 200),
        ]
        .concat(),
    );
    caller.hears_silence(ms(600), s(15));
    caller.press("1223*0A#");
    call.succeeds(LIMIT);
    let office = site.office();
    let call = record(&office, &id).await;
    holds(&call, "dialplan_hangup", s(2), s(20));
    assert_eq!(digits(&office, &call).await, "1223*0A#");
    assert_eq!(logged(&office, &call).await, ["entered 1223*0A"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_a_digit_cuts_the_prompt_and_takes_the_choice() {
    if !sipp::is_here("t08_a_digit_cuts_the_prompt_and_takes_the_choice") {
        return;
    }
    let (site, node) = planned().await;
    let caller = Talker::start();
    let story = "t08-a-call-that-the-server-ends";
    let call = Sipp::call(site.sip, story, "menu", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    caller.hears_speech(ms(300), s(15));
    caller.press("2");
    call.succeeds(LIMIT);
    let office = site.office();
    let call = record(&office, &id).await;
    assert_eq!(call["end_reason"], "dialplan_hangup", "{call:#}");
    assert_eq!(digits(&office, &call).await, "2");
    assert_eq!(logged(&office, &call).await, ["to the kitchen"]);
    let said = office.said(&call, "agent").await;
    let last = said.last().unwrap();
    assert_eq!(last["text"], "This is the kitchen.", "{said:#?}");
    assert_eq!(
        last["heard_text"], last["text"],
        "heard to the end: {last:#}"
    );
    let prompt = &said[0];
    let part = |field: &str| prompt[field].as_u64().unwrap();
    assert!(part("samples_sent") < part("samples_total"), "{prompt:#}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_digits_as_sip_info_come_once_each_in_order() {
    if !sipp::is_here("t08_digits_as_sip_info_come_once_each_in_order") {
        return;
    }
    let (site, node) = planned().await;
    let caller = Talker::start();
    let story = "t08-digits-as-sip-info";
    let call = Sipp::call(site.sip, story, "entry", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    call.succeeds(LIMIT);
    let office = site.office();
    let call = record(&office, &id).await;
    holds(&call, "dialplan_hangup", s(1), s(10));
    assert_eq!(digits(&office, &call).await, "47#");
    assert_eq!(logged(&office, &call).await, ["entered 47"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_a_press_that_comes_both_ways_is_one_digit() {
    if !sipp::is_here("t08_a_press_that_comes_both_ways_is_one_digit") {
        return;
    }
    let (site, node) = planned().await;
    let caller = Talker::start();
    let story = "t08-each-digit-both-ways";
    let call = Sipp::call(site.sip, story, "entry", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    talker::wait(s(10), "no sound is heard", || !caller.heard().is_empty());
    // The scenario's INFOs go out 1.5 s and 4.0 s after the ACK; the terminator ends it.
    tokio::time::sleep(ms(1_300)).await;
    caller.press("5");
    tokio::time::sleep(ms(2_500)).await;
    caller.press("5");
    tokio::time::sleep(ms(1_200)).await;
    caller.press("#");
    call.succeeds(LIMIT);
    let office = site.office();
    let call = record(&office, &id).await;
    assert_eq!(digits(&office, &call).await, "55#");
    assert_eq!(logged(&office, &call).await, ["entered 55"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_a_caller_who_interrupts_is_heard_and_the_agent_falls_silent() {
    const NAME: &str = "t10_a_caller_who_interrupts_is_heard_and_the_agent_falls_silent";
    if !sipp::is_here(NAME) {
        return;
    }
    let Some((site, node)) = understanding(NAME).await else {
        return;
    };
    let question = talker::spoken("What are your opening hours?").await;
    let goodbye = talker::spoken("No thank you. That is all. Goodbye.").await;
    let length = ms(goodbye.len() as u64 / 8);
    let caller = Talker::start();
    let story = "t10-the-caller-interrupts";
    let call = Sipp::call(site.sip, story, "agent", &[("rtp_port", &caller.key())]);
    let id = call.call_id.clone();
    // The greeting says that a machine speaks and may not be cut; the reply may.
    caller.hears_speech(s(2), s(15));
    caller.hears_silence(ms(900), s(15));
    caller.say(question);
    caller.hears_speech(ms(1_500), s(20));
    let began = Instant::now();
    caller.say(goodbye);
    call.succeeds(LIMIT);

    let heard = caller.heard();
    let meanwhile = |h: &&talker::Heard| h.voiced && h.at > began && h.at < began + length;
    let stopped = heard.iter().filter(meanwhile).map(|h| h.at - began).max();
    let stopped = stopped.unwrap_or_default();
    println!("outbound speech stopped {stopped:?} after the caller began, of {length:?}");
    let office = site.office();
    let call = record(&office, &id).await;
    let agent = office.said(&call, "agent").await;
    assert!(
        stopped < length / 2,
        "it talked all the while: {stopped:?} of {length:?}, {agent:#?}"
    );
    holds(&call, "agent_hangup", s(9), s(40));
    let cut = agent.iter().find(|segment| segment["interrupted"] == true);
    let cut = cut.unwrap_or_else(|| panic!("nothing was cut: {agent:#?}"));
    let text = cut["text"].as_str().unwrap();
    let part = cut["heard_text"].as_str().unwrap();
    assert!(text.starts_with(part) && part.len() < text.len(), "{cut:#}");
    assert!(!part.is_empty(), "1.5 s of it were heard: {cut:#}");
    let part = |field: &str| cut[field].as_u64().unwrap();
    assert!(part("samples_sent") < part("samples_total"), "{cut:#}");
    let interrupted = office.facts(&call, "interrupted").await;
    assert_eq!(interrupted.len(), 1);
    let yielded = ms(interrupted[0]["yield_ms"].as_u64().unwrap());
    println!("the record says {yielded:?}");
    assert!(
        yielded >= ms(60) && yielded.abs_diff(stopped) <= ms(70),
        "the record says {yielded:?}, the caller's socket {stopped:?}"
    );
    let last = agent.last().unwrap();
    assert_eq!(last["text"], "Thank you for calling. Goodbye!");
    assert_eq!(
        last["heard_text"], last["text"],
        "heard to the end: {last:#}"
    );
    node.stop().await;
}
