//! What the server really sends, cut anywhere. The fixtures are our own, in its shapes.

use call_core::brain::{ChatMessage, MindEvent, ThinkId, ThinkRequest, ToolSpec};
use proptest::prelude::*;
use serde_json::json;

use super::*;
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

fn call(id: &str, name: &str, arguments: &str) -> MindEvent {
    MindEvent::ToolCall {
        model_call_id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

const WORDS_AND_TOOLS: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":25}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: ping
data: {"type": "ping"}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Für "}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"vier 😀."}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"book_table","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"party_"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"size\":4}"}}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"end_call","input":{}}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;

fn all() -> Vec<MindEvent> {
    vec![
        MindEvent::Delta("Für ".into()),
        MindEvent::Delta("vier 😀.".into()),
        call("toolu_1", "book_table", "{\"party_size\":4}"),
        call("toolu_2", "end_call", "{}"),
        MindEvent::Done,
    ]
}

#[test]
fn words_are_streamed_and_tools_put_together_by_block() {
    assert_eq!(read(&[WORDS_AND_TOOLS.as_bytes()], true).unwrap(), all());
}

#[test]
fn an_answer_that_is_not_streamed_is_read_whole() {
    let body =
        json!({ "type": "message", "role": "assistant", "stop_reason": "tool_use", "content": [
        { "type": "text", "text": "Hello." },
        { "type": "tool_use", "id": "t", "name": "end_call", "input": { "why": "done" } },
    ] })
        .to_string();
    let events = read(&[body.as_bytes()], false).unwrap();
    let hello = MindEvent::Delta("Hello.".into());
    let end = call("t", "end_call", "{\"why\":\"done\"}");
    assert_eq!(events, [hello, end, MindEvent::Done]);
}

#[test]
fn what_breaks_off_or_fails_inside_is_told_apart() {
    let cut = &WORDS_AND_TOOLS[..WORDS_AND_TOOLS.find("event: message_stop").unwrap()];
    let error = read(&[cut.as_bytes()], true).unwrap_err();
    assert_eq!(error.class, Class::Retry { after: None });
    let inside = |kind: &str| {
        let event = json!({ "type": "error", "error": { "type": kind, "message": "no\nroom" } });
        read(
            &[format!("event: error\ndata: {event}\n\n").as_bytes()],
            true,
        )
        .unwrap_err()
    };
    let busy = inside("overloaded_error");
    assert_eq!(
        (busy.class, busy.why.as_str()),
        (Class::Retry { after: None }, "no room")
    );
    assert_eq!(inside("authentication_error").class, Class::FailOver);
    assert_eq!(inside("invalid_request_error").class, Class::Fatal);
    assert!(read(&[b"data: {\"type\":\n\n"], true).is_err());
}

fn think(messages: Vec<ChatMessage>) -> ThinkRequest {
    ThinkRequest {
        id: ThinkId(1),
        provider: "a".into(),
        model: "default".into(),
        messages,
        tools: vec![ToolSpec {
            name: "book_table".into(),
            description: "Books.".into(),
            schema: json!({ "type": "object" }),
        }],
        temperature: 1.5,
    }
}

#[test]
fn the_request_is_what_the_interface_wants() {
    let said = body(
        &think(vec![
            ChatMessage::System("Be brief.".into()),
            ChatMessage::Assistant("Hello, Ada here.".into()),
            ChatMessage::User("A table".into()),
            ChatMessage::User("for four.".into()),
            ChatMessage::Assistant("One moment.".into()),
            ChatMessage::ToolCall {
                model_call_id: "t1".into(),
                name: "book_table".into(),
                arguments: "{\"party_size\":4}".into(),
            },
            ChatMessage::User("Are you there?".into()),
            ChatMessage::ToolResult {
                model_call_id: "t1".into(),
                content: "{\"ok\":true}".into(),
            },
            ChatMessage::Assistant(" ".into()),
        ]),
        "m",
    );
    let text = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(said["system"][0]["text"], "Be brief.");
    assert_eq!(said["temperature"], 1.0);
    assert_eq!(
        said["tools"][0]["input_schema"],
        json!({ "type": "object" })
    );
    assert_eq!(
        said["messages"],
        json!([
            { "role": "user", "content": [text("(The caller is on the line.)")] },
            { "role": "assistant", "content": [text("Hello, Ada here.")] },
            { "role": "user", "content": [text("A table"), text("for four.")] },
            { "role": "assistant", "content": [text("One moment."),
                { "type": "tool_use", "id": "t1", "name": "book_table", "input": { "party_size": 4 } }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": "{\"ok\":true}" }, text("Are you there?")] },
        ])
    );
}

proptest! {
    #[test]
    fn where_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0usize..WORDS_AND_TOOLS.len(), 0..12)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (bytes, mut pieces, mut from) = (WORDS_AND_TOOLS.as_bytes(), Vec::new(), 0);
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        prop_assert_eq!(read(&pieces, true).unwrap(), all());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), streamed: bool) {
        let _ = read(&[&bytes], streamed);
    }
}
