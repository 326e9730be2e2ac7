//! The request's body.

use call_core::brain::{ChatMessage, ThinkRequest, ToolSpec};
use serde_json::{Value, json};

/// The JSON body of a streamed request for `model`.
pub fn body(think: &ThinkRequest, model: &str) -> Value {
    let mut body = json!({
        "model": model,
        "messages": messages(&think.messages),
        "stream": true,
        "temperature": think.temperature,
    });
    if !think.tools.is_empty() {
        body["tools"] = think.tools.iter().map(tool).collect();
    }
    body
}

fn tool(spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.schema,
        },
    })
}

fn messages(messages: &[ChatMessage]) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for message in messages {
        match message {
            ChatMessage::System(text) => out.push(json!({ "role": "system", "content": text })),
            ChatMessage::User(text) => out.push(json!({ "role": "user", "content": text })),
            ChatMessage::Assistant(text) => {
                out.push(json!({ "role": "assistant", "content": text }));
            }
            ChatMessage::ToolCall {
                model_call_id,
                name,
                arguments,
            } => push_call(&mut out, model_call_id, name, arguments),
            ChatMessage::ToolResult {
                model_call_id,
                content,
            } => out.push(json!({
                "role": "tool",
                "tool_call_id": model_call_id,
                "content": content,
            })),
        }
    }
    out
}

/// Calls of one answer stand in one message: servers refuse a result that does not follow its call.
fn push_call(out: &mut Vec<Value>, id: &str, name: &str, arguments: &str) {
    let call = json!({
        "id": id,
        "type": "function",
        "function": { "name": name, "arguments": arguments },
    });
    let last = out.last_mut().filter(|last| last["role"] == "assistant");
    match last {
        Some(last) => match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
            Some(calls) => calls.push(call),
            None => last["tool_calls"] = json!([call]),
        },
        None => out.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
    }
}
