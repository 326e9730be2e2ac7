//! What servers really send, cut anywhere. The fixtures are our own, in the shapes that OpenAI, vLLM,
//! llama.cpp and Ollama give.

use call_core::brain::{ChatMessage, MindEvent, ThinkId, ThinkRequest};
use proptest::prelude::*;
use serde_json::json;

use super::{refusal::refusal, *};
use crate::Class;

fn read(pieces: &[&[u8]], streamed: bool) -> Result<Vec<MindEvent>, ProviderError> {
    let mut reading = Reading::new("p", streamed);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(reading.push(piece)?);
    }
    out.extend(reading.finish()?);
    Ok(out)
}

fn text(events: &[MindEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            MindEvent::Delta(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn tools(events: &[MindEvent]) -> Vec<(&str, &str, &str)> {
    events
        .iter()
        .filter_map(|event| match event {
            MindEvent::ToolCall {
                model_call_id,
                name,
                arguments,
            } => Some((model_call_id.as_str(), name.as_str(), arguments.as_str())),
            _ => None,
        })
        .collect()
}

const WORDS: &str = ": ping\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Für \"}}]}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\",\"content\":null}}]}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"vier 😀.\"},\"finish_reason\":null}]}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n\
data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\r\n\r\n\
data: [DONE]\r\n\r\n";

#[test]
fn words_are_streamed() {
    let events = read(&[WORDS.as_bytes()], true).unwrap();
    assert_eq!(text(&events), "Für vier 😀.");
    assert_eq!(events.last(), Some(&MindEvent::Done));
    assert_eq!(events.len(), 3);
}

#[test]
fn tool_calls_are_put_together_from_fragments_by_index() {
    let stream = r#"
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"book_table","arguments":""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"end_call","arguments":"{"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"party_"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"id":"a","function":{"name":"book_table","arguments":"size\":4}"}}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]
"#;
    let events = read(&[stream.as_bytes()], true).unwrap();
    assert_eq!(
        tools(&events),
        [
            ("a", "book_table", "{\"party_size\":4}"),
            ("b", "end_call", "{}")
        ]
    );
    assert_eq!(events.last(), Some(&MindEvent::Done));
}

#[test]
fn servers_that_leave_out_index_id_done_or_send_values_are_borne() {
    let whole = r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"book_table","arguments":{"party_size":4}}}]},"finish_reason":"tool_calls"}]}"#;
    let events = read(&[whole.as_bytes()], true).unwrap();
    assert_eq!(
        tools(&events),
        [("call_0", "book_table", "{\"party_size\":4}")]
    );
    let by_id = r#"
data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"x","arguments":"{"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"arguments":"}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"y","arguments":null}}]},"finish_reason":"stop"}]}

"#;
    let events = read(&[by_id.as_bytes()], true).unwrap();
    assert_eq!(tools(&events), [("a", "x", "{}"), ("b", "y", "{}")]);
}

#[test]
fn an_answer_that_is_not_streamed_is_read_whole() {
    let body = json!({ "choices": [{ "message": { "role": "assistant", "content": "Hello." },
        "finish_reason": "stop" }] });
    let body = body.to_string();
    let (a, b) = body.as_bytes().split_at(17);
    let events = read(&[a, b], false).unwrap();
    assert_eq!(events, [MindEvent::Delta("Hello.".into()), MindEvent::Done]);
}

#[test]
fn broken_streams_and_errors_inside_them_are_failures() {
    let cut = "data: {\"choices\":[{\"delta\":{\"content\":\"He\"}}]}\n\n";
    let error = read(&[cut.as_bytes()], true).unwrap_err();
    assert_eq!(error.class, Class::Retry { after: None });
    assert!(read(&[b""], true).is_err());
    assert!(read(&[b"data: {oops\n\n"], true).is_err());
    let inside = "data: {\"error\":{\"message\":\"over\\nloaded\",\"code\":503}}\n\n";
    let error = read(&[inside.as_bytes()], true).unwrap_err();
    assert_eq!(error.why, "over loaded");
    let many: String = (0..9)
        .map(|n| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":{n},\"function\":{{\"name\":\"x\"}}}}]}}}}]}}\n\n"))
        .collect();
    assert_eq!(
        read(&[many.as_bytes()], true).unwrap_err().class,
        Class::Fatal
    );
    let long = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]}}}}]}}\n\n",
        "x".repeat(20_000)
    );
    assert_eq!(
        read(&[long.as_bytes()], true).unwrap_err().class,
        Class::Fatal
    );
}

#[test]
fn refusals_say_what_to_do() {
    let after = Some(Duration::from_secs(1));
    let body = br#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    let error = refusal("p", 429, after, body);
    assert_eq!(error.class, Class::Retry { after });
    assert_eq!(error.to_string(), "p: status 429: Rate limit reached");
    let spent = br#"{"error":{"message":"quota","code":"insufficient_quota"}}"#;
    assert_eq!(refusal("p", 429, None, spent).class, Class::FailOver);
    assert_eq!(
        refusal("p", 503, None, b"<html>").class,
        Class::Retry { after: None }
    );
    assert_eq!(
        refusal("p", 401, None, b"{\"detail\":\"no\"}").why,
        "status 401: no"
    );
    assert_eq!(refusal("p", 401, None, b"").class, Class::FailOver);
    assert_eq!(
        refusal("p", 400, None, b"{\"error\":\"bad\"}").class,
        Class::Fatal
    );
}

#[test]
fn the_body_groups_tool_calls_with_the_words_before_them() {
    let call = |id: &str| ChatMessage::ToolCall {
        model_call_id: id.into(),
        name: "book_table".into(),
        arguments: "{}".into(),
    };
    let result = |id: &str| ChatMessage::ToolResult {
        model_call_id: id.into(),
        content: "{\"ok\":1}".into(),
    };
    let think = ThinkRequest {
        id: ThinkId(1),
        provider: "p".into(),
        model: "m".into(),
        messages: vec![
            ChatMessage::System("s".into()),
            ChatMessage::User("u".into()),
            ChatMessage::Assistant("one moment".into()),
            call("a"),
            call("b"),
            result("a"),
            result("b"),
            call("c"),
        ],
        tools: crate::brain::tools::specs(&["book_table".into()]),
        temperature: 0.5,
    };
    let body = body(&think, "m");
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "tool", "assistant"]
    );
    assert_eq!(messages[2]["content"], "one moment");
    assert_eq!(messages[2]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(messages[5]["content"], json!(null));
    assert_eq!(body["stream"], true);
    assert_eq!(body["tools"][0]["function"]["name"], "book_table");
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0usize..WORDS.len(), 0..12)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let bytes = WORDS.as_bytes();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        let events = read(&pieces, true).unwrap();
        prop_assert_eq!(text(&events), "Für vier 😀.");
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), streamed: bool) {
        let _ = read(&[b"data: ", &bytes, b"\n\n"], streamed);
    }
}
