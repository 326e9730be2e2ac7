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

const STREAM: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress"}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"Für "}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"vier 😀."}

event: response.output_text.done
data: {"type":"response.output_text.done","item_id":"msg_1","text":"Für vier 😀."}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Für vier 😀."}]}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":1,"delta":"{\"party_size\":"}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":1,"item":{"id":"fc_1","type":"function_call","call_id":"call_9","name":"book_table","arguments":"{\"party_size\":4}","status":"completed"}}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","usage":{"total_tokens":30}}}

"#;

fn all() -> Vec<MindEvent> {
    vec![
        MindEvent::Delta("Für ".into()),
        MindEvent::Delta("vier 😀.".into()),
        MindEvent::ToolCall {
            model_call_id: "call_9".into(),
            name: "book_table".into(),
            arguments: "{\"party_size\":4}".into(),
        },
        MindEvent::Done,
    ]
}

#[test]
fn words_are_streamed_once_and_tools_taken_whole() {
    assert_eq!(read(&[STREAM.as_bytes()], true).unwrap(), all());
}

#[test]
fn an_answer_that_is_not_streamed_is_read_whole() {
    let body = json!({ "object": "response", "status": "completed", "error": null, "output": [
        { "type": "reasoning", "summary": [] },
        { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Hello." }] },
    ] })
    .to_string();
    let events = read(&[body.as_bytes()], false).unwrap();
    assert_eq!(events, [MindEvent::Delta("Hello.".into()), MindEvent::Done]);
}

#[test]
fn an_answer_cut_by_its_length_is_one_and_what_fails_inside_is_told_apart() {
    let short = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"He\"}\n\ndata: {\"type\":\"response.incomplete\"}\n\n";
    assert_eq!(read(&[short.as_bytes()], true).unwrap().len(), 2);
    let cut = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"He\"}\n\n";
    assert_eq!(
        read(&[cut.as_bytes()], true).unwrap_err().class,
        Class::Retry { after: None }
    );
    let inside = |code: &str| {
        let error = json!({ "code": code, "message": "no\nroom" });
        let event = json!({ "type": "response.failed", "response": { "status": "failed", "error": error } });
        read(&[format!("data: {event}\n\n").as_bytes()], true).unwrap_err()
    };
    let busy = inside("server_error");
    assert_eq!(
        (busy.class, busy.why.as_str()),
        (Class::Retry { after: None }, "no room")
    );
    assert_eq!(inside("insufficient_quota").class, Class::FailOver);
    assert_eq!(inside("context_length_exceeded").class, Class::Fatal);
    let plain = "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oh\"}\n\n";
    assert_eq!(read(&[plain.as_bytes()], true).unwrap_err().why, "oh");
}

#[test]
fn the_request_says_the_whole_conversation_and_keeps_nothing_there() {
    let said = body(
        &ThinkRequest {
            id: ThinkId(1),
            provider: "a".into(),
            model: "default".into(),
            messages: vec![
                ChatMessage::System("Be brief.".into()),
                ChatMessage::User("Four.".into()),
                ChatMessage::ToolCall {
                    model_call_id: "c".into(),
                    name: "book_table".into(),
                    arguments: "{}".into(),
                },
                ChatMessage::ToolResult {
                    model_call_id: "c".into(),
                    content: "{\"ok\":true}".into(),
                },
                ChatMessage::Assistant("Booked.".into()),
            ],
            tools: vec![ToolSpec {
                name: "book_table".into(),
                description: "Books.".into(),
                schema: json!({ "type": "object" }),
            }],
            temperature: 0.0,
        },
        "m",
    );
    assert_eq!(
        (&said["store"], &said["stream"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(said["tools"][0]["name"], "book_table");
    assert_eq!(
        said["input"],
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Four." },
            { "type": "function_call", "call_id": "c", "name": "book_table", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c", "output": "{\"ok\":true}" },
            { "role": "assistant", "content": "Booked." },
        ])
    );
}

proptest! {
    #[test]
    fn where_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0usize..STREAM.len(), 0..12)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (bytes, mut pieces, mut from) = (STREAM.as_bytes(), Vec::new(), 0);
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
