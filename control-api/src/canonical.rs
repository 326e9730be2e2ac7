//! One text for one configuration: object members sorted, defaults filled in.

use model::AgentConfig;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::store::hex;

/// The configuration as canonical JSON.
///
/// # Panics
/// Never: a configuration has no map with keys that are not text.
pub fn canonical_json(config: &AgentConfig) -> String {
    let value = serde_json::to_value(config).expect("a configuration is JSON");
    sorted(value).to_string()
}

/// SHA-256 of the canonical JSON, hex.
pub fn config_hash(config: &AgentConfig) -> String {
    hex(&Sha256::digest(canonical_json(config).as_bytes()))
}

/// The same value with the members of every object in the order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_does_not_change_the_hash() {
        let a = r#"{"display_name":"Ada","brain":{"kind":"echo"},"language":"en"}"#;
        let b = r#"{"brain":{"kind":"echo"},"display_name":"Ada"}"#;
        let read = |text| serde_json::from_str::<AgentConfig>(text).unwrap();
        assert_eq!(config_hash(&read(a)), config_hash(&read(b)));
        let other = r#"{"brain":{"kind":"echo"},"display_name":"Ida"}"#;
        assert_ne!(config_hash(&read(a)), config_hash(&read(other)));
    }
}
