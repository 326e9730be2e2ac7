//! What holds for every row of every table, and for the fakes that load and fault tests rely on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use call_core::brain::{BrainEffect, BrainInput, CallContext, MindEvent, ThinkId, ThinkRequest};
use egress::{Egress, EgressConfig};
use model::agent::AgentConfig;
use providers::{
    Class, Entry, Fakes, Providers, Shared, brain,
    llm::{
        self,
        fake::{FakeLlm, Turn},
    },
    stt::{
        self, HearKind, HearRequest,
        fake::{self as ears, FakeEars, FakeStt},
    },
    tts::{
        self, SpeakRequest, SpeechEvent,
        fake::{self as voice, FakeTts, FakeVoice},
    },
};
use tokio::time::{Instant, timeout};

fn shared(fakes: Fakes) -> Shared {
    Shared {
        egress: Egress::new(EgressConfig::default()).unwrap(),
        pool: None,
        voices: Some(local_speech::Voices::start(local_speech::VoicesConfig::default()).unwrap()),
        fakes,
    }
}

fn entry(name: &str, kind: &str, fallbacks: &[&str]) -> Entry {
    Entry {
        name: name.into(),
        kind: kind.into(),
        url: "http://127.0.0.1:9/v1".into(),
        key: Some("s3cret".into()),
        model: None,
        voice: None,
        fallbacks: fallbacks.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn think() -> ThinkRequest {
    ThinkRequest {
        id: ThinkId(1),
        provider: "p".into(),
        model: "m".into(),
        messages: Vec::new(),
        tools: Vec::new(),
        temperature: 1.0,
    }
}

fn say(text: &str) -> SpeakRequest {
    SpeakRequest {
        text: text.into(),
        voice: "rms".into(),
        rate: 1.0,
    }
}

fn stretch() -> HearRequest {
    HearRequest {
        audio: vec![0.0; 1_600].into(),
        kind: HearKind::Final,
        start_ms: 0,
        end_ms: 100,
        speech_ms: 100,
    }
}

fn agents() -> Vec<AgentConfig> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

#[test]
fn names_are_unique_in_every_table() {
    let tables: [Vec<&str>; 5] = [
        tts::ALL.iter().map(|row| row.kind).collect(),
        stt::ALL.iter().map(|row| row.kind).collect(),
        llm::ALL.iter().map(|row| row.kind).collect(),
        brain::ALL.iter().map(|row| row.kind).collect(),
        brain::tools::ALL.iter().map(|row| row.name).collect(),
    ];
    for names in tables {
        assert!(!names.is_empty());
        assert_eq!(
            names.iter().collect::<BTreeSet<_>>().len(),
            names.len(),
            "{names:?}"
        );
    }
}

#[test]
fn an_unknown_name_is_told_with_the_known_ones_and_keys_are_never_shown() {
    let providers =
        Providers::new(&shared(Fakes::default()), &[entry("a", "openai", &[])]).unwrap();
    let error = providers.tts("nobody").err().unwrap();
    assert!(error.to_string().contains("fake, local"), "{error}");
    assert_eq!(error.class, Class::FailOver);
    assert!(providers.stt("nobody").is_err());
    assert!(
        providers
            .llm("nobody")
            .err()
            .unwrap()
            .to_string()
            .contains("there are: a")
    );
    assert!(Providers::new(&shared(Fakes::default()), &[entry("a", "nothing", &[])]).is_err());
    assert!(Providers::new(&shared(Fakes::default()), &[entry("a", "fake", &["gone"])]).is_err());
    assert!(!format!("{:?}", entry("a", "openai", &[])).contains("s3cret"));
}

/// Every voice: plans before sound, samples that add up, words in order and within the text, one end.
#[tokio::test]
async fn every_voice_keeps_the_contract() {
    let shared = shared(Fakes::default());
    let text = "Your table costs $12.50. See you on Friday at 7 PM.";
    for row in tts::ALL.iter().filter(|row| row.built_in) {
        let tts = (row.open)(&shared, &Entry::built_in(row.kind)).unwrap();
        assert!(!tts.voices().is_empty(), "{}", row.kind);
        let mut speech = tts.speak(say(text)).unwrap();
        let (mut planned, mut sent, mut ends) = (0, 0, 0);
        let mut source = 0;
        while let Some(event) = speech.next().await {
            assert_eq!(ends, 0, "{}: something after the end", row.kind);
            match event {
                SpeechEvent::Plan(plan) => {
                    assert_eq!(plan.samples.start, planned, "{}", row.kind);
                    planned = plan.samples.end;
                    for word in plan.words {
                        assert!(text.get(word.source.clone()).is_some(), "{}", row.kind);
                        assert!(plan.spoken_text.get(word.spoken).is_some(), "{}", row.kind);
                        assert!(
                            word.samples.start <= word.samples.end && word.samples.end <= planned
                        );
                        assert!(word.source.start >= source, "{}", row.kind);
                        source = word.source.start;
                    }
                }
                SpeechEvent::Audio(pcm) => {
                    sent += pcm.len() as u64;
                    assert!(sent <= planned, "{}: sound before its plan", row.kind);
                }
                SpeechEvent::Done => ends += 1,
                SpeechEvent::Trouble(error) | SpeechEvent::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!((ends, sent), (1, planned), "{}", row.kind);
        assert!(planned > 8_000, "{}: {planned}", row.kind);
        assert_eq!(speech.next().await, None);
    }
}

/// Every voice elsewhere: without an address it does not open; where nobody answers it says so, once, and of a class that lets
/// another speak.
#[tokio::test]
async fn every_voice_elsewhere_that_cannot_be_reached_says_so_once() {
    let shared = shared(Fakes::default());
    for row in tts::ALL.iter().filter(|row| !row.built_in) {
        assert!(
            (row.open)(&shared, &Entry::built_in("v")).is_err(),
            "{}",
            row.kind
        );
        let nowhere = entry("v", row.kind, &[]);
        let mut speech = (row.open)(&shared, &nowhere)
            .unwrap()
            .speak(say("Hello."))
            .unwrap();
        let Some(SpeechEvent::Failed(error)) = speech.next().await else {
            panic!("{}: it speaks", row.kind);
        };
        assert!(
            error.class != Class::Fatal && error.provider == "v",
            "{error}"
        );
        assert_eq!(speech.next().await, None);
    }
}

#[tokio::test]
async fn a_slower_rate_is_longer_and_a_missing_voice_is_replaced() {
    let shared = shared(Fakes::default());
    for row in tts::ALL.iter().filter(|row| row.built_in) {
        let tts = (row.open)(&shared, &Entry::built_in(row.kind)).unwrap();
        let mut lengths = Vec::new();
        for rate in [1.0, 0.7] {
            let request = SpeakRequest {
                rate,
                voice: "no such voice".into(),
                ..say("One two three four five six.")
            };
            let mut speech = tts.speak(request).unwrap();
            let mut length = 0;
            while let Some(event) = speech.next().await {
                if let SpeechEvent::Audio(pcm) = event {
                    length += pcm.len();
                }
            }
            lengths.push(length);
        }
        assert!(
            lengths[1] > lengths[0] * 12 / 10,
            "{}: {lengths:?}",
            row.kind
        );
    }
}

#[tokio::test]
async fn every_recogniser_that_opens_answers() {
    let shared = shared(Fakes::default());
    for row in stt::ALL.iter().filter(|row| row.built_in) {
        match (row.open)(&shared, &Entry::built_in(row.kind)) {
            Ok(stt) => assert!(
                stt.hear(stretch()).unwrap().text().await.is_ok(),
                "{}",
                row.kind
            ),
            Err(error) => assert_eq!(error.class, Class::FailOver, "{}", row.kind),
        }
    }
}

#[tokio::test]
async fn every_recogniser_elsewhere_that_cannot_be_reached_says_so() {
    let shared = shared(Fakes::default());
    for row in stt::ALL.iter().filter(|row| !row.built_in) {
        assert!(
            (row.open)(&shared, &Entry::built_in("r")).is_err(),
            "{}",
            row.kind
        );
        let stt = (row.open)(&shared, &entry("r", row.kind, &[])).unwrap();
        let error = stt.hear(stretch()).unwrap().text().await.unwrap_err();
        assert!(
            error.class != Class::Fatal && error.provider == "r",
            "{error}"
        );
    }
}

#[test]
fn every_sample_agent_has_a_brain_that_gets_ready() {
    let agents = agents();
    assert!(agents.len() >= 2);
    for config in agents {
        assert_eq!(brain::tools::unknown(&config.tools), Vec::<String>::new());
        let tools = brain::tools::specs(&config.tools);
        let mut brain = brain::build(&config, &tools).unwrap();
        let context = CallContext {
            call_id: "cal_1".into(),
            caller_number: None,
            called_number: "+15550100".into(),
            unix_ms: 1_795_194_000_000,
            utc_offset_s: 0,
            history: Vec::new(),
        };
        brain.handle(Duration::ZERO, BrainInput::Prepare(Box::new(context)));
        let effects: Vec<_> = std::iter::from_fn(|| brain.poll_effect()).collect();
        assert!(
            effects.contains(&BrainEffect::Ready),
            "{}: {effects:?}",
            config.display_name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_fake_voice_waits_hangs_and_fails_as_told() {
    let begin = Instant::now();
    let mut speech = speak_fake(None);
    assert!(matches!(speech.next().await, Some(SpeechEvent::Plan(_))));
    assert_eq!(begin.elapsed(), Duration::from_millis(500));

    let mut hung = speak_fake(Some(voice::Fault::Hang));
    assert!(
        timeout(Duration::from_secs(3_600), hung.next())
            .await
            .is_err()
    );

    let mut fails = speak_fake(Some(voice::Fault::FailAfter { samples: 1_000 }));
    let mut sent = 0;
    let mut failed = false;
    while let Some(event) = fails.next().await {
        match event {
            SpeechEvent::Audio(pcm) => sent += pcm.len(),
            SpeechEvent::Failed(_) => failed = true,
            _ => {}
        }
    }
    assert!(failed && sent == 1_000);
    let class = Class::FailOver;
    let tts = FakeTts::new(FakeVoice {
        fault: Some(voice::Fault::Refuse(class)),
        ..FakeVoice::default()
    });
    assert_eq!(tts::Tts::speak(&tts, say("x")).err().unwrap().class, class);
}

fn speak_fake(fault: Option<voice::Fault>) -> tts::Speech {
    let tts = FakeTts::new(FakeVoice {
        first_audio: Duration::from_millis(500),
        ms_per_char: 60,
        fault,
    });
    tts::Tts::speak(&tts, say("hello there you")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn fake_ears_hear_their_script() {
    let stt = FakeStt::new(FakeEars {
        delay: Duration::from_millis(80),
        texts: vec!["a table".into(), String::new()],
        fault: None,
    });
    let begin = Instant::now();
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(
            stt::Stt::hear(&stt, stretch())
                .unwrap()
                .text()
                .await
                .unwrap()
                .text,
        );
    }
    assert_eq!(texts, ["a table", "", ""]);
    assert_eq!(begin.elapsed(), Duration::from_millis(240));
    assert_eq!(stt.finals(), 3);
    let deaf = FakeStt::new(FakeEars {
        fault: Some(ears::Fault::Hang),
        ..FakeEars::default()
    });
    let hearing = stt::Stt::hear(&deaf, stretch()).unwrap();
    assert!(
        timeout(Duration::from_secs(60), hearing.text())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_fake_mind_follows_its_script_and_a_fallback_takes_over_before_the_first_word() {
    let fakes = Fakes {
        llm: Arc::new(FakeLlm::new(vec![
            Turn::fail(Duration::from_millis(50), "down"),
            Turn::say("Hello there."),
            Turn::say_and_hang("Half a "),
        ])),
        ..Fakes::default()
    };
    let asked = fakes.llm.clone();
    let entries = vec![entry("a", "fake", &["b"]), entry("b", "fake", &[])];
    let providers = Providers::new(&shared(fakes), &entries).unwrap();
    let llm = providers.llm("a").unwrap();
    let mut thinking = llm.think(think());
    let mut told = Vec::new();
    while let Some(event) = thinking.next().await {
        told.push(event);
    }
    assert_eq!(
        told,
        [
            MindEvent::Delta("Hello ".into()),
            MindEvent::Delta("there.".into()),
            MindEvent::Done
        ]
    );
    assert_eq!(asked.asked(), 2);
    let mut stalled = llm.think(think());
    assert_eq!(stalled.next().await, Some(MindEvent::Delta("Half ".into())));
    assert_eq!(stalled.next().await, Some(MindEvent::Delta("a ".into())));
    assert!(
        timeout(Duration::from_secs(600), stalled.next())
            .await
            .is_err()
    );
}
