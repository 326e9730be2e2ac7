//! The request's body.

use call_core::brain::{ChatMessage, ThinkRequest, ToolSpec};
use serde_json::{Value, json};

/// Longest answer, tokens: a spoken turn is far shorter, and the field is required.
const MAX_TOKENS: u32 = 1_024;
/// What the caller is taken to have said before the agent's greeting: a conversation has to begin with the user.
const OPENING: &str = "(The caller is on the line.)";

/// The JSON body of a streamed request for `model`. Instructions are marked as worth caching: they come with every turn.
pub fn body(think: &ThinkRequest, model: &str) -> Value {
    let mut body = json!({
        "model": model,
        "max_tokens": MAX_TOKENS,
        "messages": messages(&think.messages),
        "stream": true,
        "temperature": think.temperature.clamp(0.0, 1.0),
    });
    let system = system(&think.messages);
    if !system.is_empty() {
        let cached = json!({ "type": "ephemeral" });
        body["system"] = json!([{ "type": "text", "text": system, "cache_control": cached }]);
    }
    if !think.tools.is_empty() {
        body["tools"] = think.tools.iter().map(tool).collect();
    }
    body
}

fn system(messages: &[ChatMessage]) -> String {
    let texts = messages.iter().filter_map(|message| match message {
        ChatMessage::System(text) => Some(text.as_str()),
        ChatMessage::User(_)
        | ChatMessage::Assistant(_)
        | ChatMessage::ToolCall { .. }
        | ChatMessage::ToolResult { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

fn tool(spec: &ToolSpec) -> Value {
    json!({ "name": spec.name, "description": spec.description, "input_schema": spec.schema })
}

fn messages(messages: &[ChatMessage]) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for message in messages {
        let Some((role, block)) = block(message) else {
            continue;
        };
        if out.is_empty() && role == "assistant" {
            push(&mut out, "user", json!({ "type": "text", "text": OPENING }));
        }
        push(&mut out, role, block);
    }
    out
}

/// Who says it, and what; nothing of instructions and of empty texts, which are refused.
fn block(message: &ChatMessage) -> Option<(&'static str, Value)> {
    let text = |text: &str| match text.trim() {
        "" => None,
        _ => Some(json!({ "type": "text", "text": text })),
    };
    Some(match message {
        ChatMessage::System(_) => return None,
        ChatMessage::User(said) => ("user", text(said)?),
        ChatMessage::Assistant(said) => ("assistant", text(said)?),
        ChatMessage::ToolCall {
            model_call_id,
            name,
            arguments,
        } => {
            // The model wrote them: what is no object was already refused where the tool was to run.
            let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
            let id = model_call_id;
            let call = json!({ "type": "tool_use", "id": id, "name": name, "input": input });
            ("assistant", call)
        }
        ChatMessage::ToolResult {
            model_call_id,
            content,
        } => {
            let id = model_call_id;
            let result = json!({ "type": "tool_result", "tool_use_id": id, "content": content });
            ("user", result)
        }
    })
}

/// Speakers take turns: what the same one says next belongs to the same message, results of tools before words.
fn push(out: &mut Vec<Value>, role: &str, block: Value) {
    let last = out.last_mut().filter(|last| last["role"] == role);
    let content = last.and_then(|last| last.get_mut("content")?.as_array_mut());
    match content {
        Some(blocks) if block["type"] == "tool_result" => {
            let is_result = |block: &Value| block["type"] == "tool_result";
            let results = blocks.iter().filter(|block| is_result(block)).count();
            blocks.insert(results, block);
        }
        Some(blocks) => blocks.push(block),
        None => out.push(json!({ "role": role, "content": [block] })),
    }
}
