use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    Class,
    tts::{PlannedWord, SpeechEvent},
};
use model::transcript::Timing;

fn speak(text: &str) -> SpeakRequest {
    SpeakRequest {
        text: text.into(),
        voice: "21m00Tcm4Tlv".into(),
        rate: 2.0,
    }
}

fn entry(url: &str) -> Entry {
    Entry {
        url: url.into(),
        key: Some("xi-secret".into()),
        ..Entry::built_in("eleven")
    }
}

/// A message with so many milliseconds of sound, in which each of these letters takes 50 ms.
fn message(ms: usize, letters: &str) -> String {
    let chars: Vec<String> = letters.chars().map(String::from).collect();
    let starts: Vec<usize> = (0..chars.len()).map(|n| n * 50).collect();
    json!({
        "audio": STANDARD.encode(vec![0_u8; ms * 16]),
        "isFinal": null,
        "normalizedAlignment": null,
        "alignment": {
            "chars": chars,
            "charStartTimesMs": starts,
            "charDurationsMs": vec![50; chars.len()],
        },
    })
    .to_string()
}

fn words(events: &[SpeechEvent], text: &str) -> Vec<(String, u64, u64)> {
    let plans = events.iter().filter_map(|event| match event {
        SpeechEvent::Plan(plan) => Some(&plan.words),
        _ => None,
    });
    let told = |word: &PlannedWord| {
        let source = text[word.source.clone()].to_owned();
        (source, word.samples.start, word.samples.end)
    };
    plans.flatten().map(told).collect()
}

fn read(messages: &[String], text: &str) -> (Vec<SpeechEvent>, Aligned) {
    let mut reading = Aligned::new("eleven", text);
    let mut events = Vec::new();
    for message in messages {
        events.extend(reading.push(message.as_bytes()).unwrap());
    }
    (events, reading)
}

#[test]
fn letters_become_words_with_the_samples_of_their_sound() {
    let text = "Hi there, Ada.";
    let last = r#"{"audio":"","isFinal":true}"#.to_owned();
    let (mut events, mut reading) = read(
        &[message(450, "Hi there,"), message(250, " Ada."), last],
        text,
    );
    assert!(reading.is_over());
    events.extend(reading.finish().unwrap());
    let expected = [
        ("Hi", 0, 800),
        ("there,", 1_200, 3_600),
        ("Ada.", 4_000, 5_600),
    ];
    let expected = expected.map(|(word, from, to)| (word.to_owned(), from, to));
    assert_eq!(words(&events, text), expected);
    assert_eq!(events.last(), Some(&SpeechEvent::Done));
    let exact = |event: &SpeechEvent| match event {
        SpeechEvent::Plan(plan) => plan.timing == Timing::Exact,
        _ => true,
    };
    assert!(events.iter().all(exact));
}

#[test]
fn a_word_cut_in_two_by_messages_is_one_and_is_told_when_its_sound_is_there() {
    let text = "wonderful day";
    let (events, reading) = read(&[message(250, "wonde"), message(450, "rful day")], text);
    assert_eq!(words(&events, text), [("wonderful".into(), 0, 3_600)]);
    drop(reading);
    // The times of all at once, the sound in two messages: nothing is told before its sound.
    let sound = json!({ "audio": STANDARD.encode(vec![0_u8; 3_200]) }).to_string();
    let (events, _) = read(&[message(100, "Yes we do"), sound], text_of("Yes we do"));
    assert_eq!(
        words(&events, "Yes we do"),
        [("Yes".into(), 0, 1_200), ("we".into(), 1_600, 2_400)]
    );
}

fn text_of(text: &'static str) -> &'static str {
    text
}

#[test]
fn letters_that_are_not_in_the_text_make_the_times_estimates() {
    let (mut events, mut reading) = read(&[message(500, "Ada \u{2026}§ two")], "Ada two");
    let over = reading.push(br#"{"isFinal":true}"#).unwrap();
    events.extend(over);
    events.extend(reading.finish().unwrap());
    let estimated = |event: &SpeechEvent| matches!(event, SpeechEvent::Plan(plan) if plan.timing == Timing::Estimated);
    assert!(events.iter().any(estimated));
}

#[test]
fn every_spelling_of_the_fields_is_read() {
    for (starts, durations) in [
        ("charStartTimesMs", "charDurationsMs"),
        ("charsStartTimesMs", "charsDurationsMs"),
        ("char_start_times_ms", "chars_durations_ms"),
    ] {
        let text = message(100, "Hi")
            .replace("charStartTimesMs", starts)
            .replace("charDurationsMs", durations);
        let (mut events, mut reading) = read(&[text, r#"{"is_final":true}"#.into()], "Hi");
        events.extend(reading.finish().unwrap());
        assert_eq!(words(&events, "Hi"), [("Hi".into(), 0, 800)], "{starts}");
    }
}

#[test]
fn refusals_are_told_apart_and_a_socket_that_just_closes_broke_off() {
    let mut reading = Aligned::new("eleven", "Hi");
    let spent =
        br#"{"message":"This request exceeds your quota.","error":"quota_exceeded","code":1008}"#;
    let error = reading.push(spent).unwrap_err();
    assert_eq!(error.class, Class::FailOver);
    assert!(error.why.contains("quota_exceeded"), "{error}");
    let busy = br#"{"message":"later","error":"too_many_concurrent_requests"}"#;
    let error = Aligned::new("eleven", "Hi").push(busy).unwrap_err();
    assert_eq!(error.class, Class::Retry { after: None });
    assert!(Aligned::new("eleven", "Hi").push(b"{\"audio\":").is_err());
    assert!(
        Aligned::new("eleven", "Hi")
            .push(br#"{"audio":"%%%"}"#)
            .is_err()
    );
    let (_, mut reading) = read(&[message(100, "H")], "Hi");
    assert_eq!(
        reading.finish().unwrap_err().class,
        Class::Retry { after: None }
    );
}

#[test]
fn the_socket_has_its_voice_and_key_and_the_text_is_begun_and_ended() {
    let wire = ElevenLabs::new(&entry("https://api.elevenlabs.io/v1/")).unwrap();
    let socket = SocketWire::open(&wire, "a/../b?c");
    let url = "wss://api.elevenlabs.io/v1/text-to-speech/abc/stream-input?model_id=eleven_flash_v2_5&output_format=pcm_8000&sync_alignment=true&auto_mode=true";
    assert_eq!(socket.url, url);
    assert_eq!(socket.headers, [("xi-api-key".into(), "xi-secret".into())]);
    let messages = wire.messages(&speak("Hello."));
    let read = |nth: usize| serde_json::from_str::<Value>(&messages[nth]).unwrap();
    assert_eq!(read(0)["text"], " ");
    assert!((read(0)["voice_settings"]["speed"].as_f64().unwrap() - 1.2).abs() < 1e-6);
    assert_eq!(
        (&read(1)["text"], &read(2)["text"]),
        (&json!("Hello. "), &json!(""))
    );
}
