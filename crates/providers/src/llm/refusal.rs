//! What a server's refusal means, whatever it speaks.

use std::time::Duration;

use serde_json::Value;

use crate::{Class, ProviderError};

/// Longest message of a server that is shown.
const SHOWN: usize = 200;

/// What a status and an error body mean. 529 is Anthropic's "overloaded".
pub fn refusal(
    name: &str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ProviderError {
    let error: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = text_at(&error, &["/error/code", "/error/type", "/code"]).unwrap_or_default();
    let spent = code.contains("insufficient_quota") || code.contains("billing");
    let class = match status {
        429 if spent => Class::FailOver,
        408 | 425 | 429 | 500..=599 => Class::Retry { after: retry_after },
        400 | 413 | 422 => Class::Fatal,
        _ => Class::FailOver,
    };
    let said = text_at(&error, &["/error/message", "/message", "/detail", "/error"]);
    let why = match said {
        Some(said) => format!("status {status}: {}", shown(&said)),
        None => format!("status {status}"),
    };
    ProviderError::new(name, class, why)
}

fn text_at(value: &Value, places: &[&str]) -> Option<String> {
    places
        .iter()
        .find_map(|place| value.pointer(place)?.as_str())
        .map(String::from)
}

/// A server's words, in one line, without control characters and not too long.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN).collect()
}
