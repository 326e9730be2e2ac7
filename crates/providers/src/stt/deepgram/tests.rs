use super::*;

fn results(is_final: bool, text: &str, confidence: f32) -> String {
    serde_json::json!({
        "type": "Results", "channel_index": [0, 1], "duration": 1.2, "start": 0.0, "is_final": is_final,
        "speech_final": is_final, "from_finalize": false,
        "channel": { "alternatives": [{ "transcript": text, "confidence": confidence, "words": [] }] },
        "metadata": { "request_id": "r", "model_info": { "name": "nova-3" } },
    })
    .to_string()
}

fn read(messages: &[String]) -> Reading {
    let mut reading = Reading::default();
    for message in messages {
        reading.push("d", message).unwrap();
    }
    reading
}

#[test]
fn final_results_make_the_text_and_words_so_far_do_not() {
    let reading = read(&[
        r#"{"type":"SpeechStarted","channel":[0],"timestamp":0.1}"#.into(),
        results(false, "a table", 0.4),
        results(true, "A table for four", 0.98),
        results(true, "", 0.0),
        results(false, "on", 0.3),
        results(true, "on Friday.", 0.9),
        r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.1}"#.into(),
        r#"{"type":"Metadata","request_id":"r","duration":2.4,"channels":1}"#.into(),
    ]);
    assert!(reading.is_over());
    let heard = reading.finish();
    assert_eq!(heard.text, "A table for four on Friday.");
    assert_eq!(heard.confidence, Some(0.9));
}

#[test]
fn what_is_not_known_is_passed_over_and_what_is_broken_is_a_failure() {
    let odd = [
        r#"{"type":"Telepathy","of":1}"#,
        r#"{"no":"type"}"#,
        r#"{"type":"Results","channel":7}"#,
        r#"{"type":"Results","is_final":true}"#,
    ];
    let reading = read(&odd.map(String::from));
    assert_eq!(reading.finish().text, "");
    let broken = Reading::default()
        .push("d", "{\"type\":\"Resu")
        .unwrap_err();
    assert_eq!(broken.class, Class::FailOver);
    let error = r#"{"type":"Error","description":"bad \n model","message":"m","variant":"v"}"#;
    let error = Reading::default().push("d", error).unwrap_err();
    assert_eq!(error.why, "bad   model");
}

#[test]
fn the_socket_names_the_sound_and_the_key() {
    let entry = Entry {
        url: "https://api.deepgram.com/v1/".into(),
        key: Some("dg".into()),
        model: Some("nova-3&x=".into()),
        ..Entry::built_in("d")
    };
    let request = Wire::new(&entry).unwrap().open();
    let url = "wss://api.deepgram.com/v1/listen?model=nova-3x&encoding=linear16&sample_rate=16000&channels=1&interim_results=true&smart_format=true";
    assert_eq!(request.url, url);
    assert_eq!(
        request.headers,
        [("authorization".into(), "Token dg".into())]
    );
}
