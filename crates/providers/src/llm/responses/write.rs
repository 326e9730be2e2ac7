//! The request's body.

use call_core::brain::{ChatMessage, ThinkRequest, ToolSpec};
use serde_json::{Value, json};

/// The JSON body of a streamed request for `model`.
pub fn body(think: &ThinkRequest, model: &str) -> Value {
    let mut body = json!({
        "model": model,
        "input": think.messages.iter().map(item).collect::<Vec<_>>(),
        "stream": true,
        "store": false,
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
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.schema,
        "strict": false,
    })
}

fn item(message: &ChatMessage) -> Value {
    match message {
        ChatMessage::System(text) => json!({ "role": "system", "content": text }),
        ChatMessage::User(text) => json!({ "role": "user", "content": text }),
        ChatMessage::Assistant(text) => json!({ "role": "assistant", "content": text }),
        ChatMessage::ToolCall {
            model_call_id,
            name,
            arguments,
        } => json!({
            "type": "function_call",
            "call_id": model_call_id,
            "name": name,
            "arguments": arguments,
        }),
        ChatMessage::ToolResult {
            model_call_id,
            content,
        } => json!({
            "type": "function_call_output",
            "call_id": model_call_id,
            "output": content,
        }),
    }
}
