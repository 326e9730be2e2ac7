//! Makes the generated OpenAPI document fit for strict readers: operation ids of their own, and
//! tagged choices without `allOf` over closed objects, which nothing could satisfy.

use serde_json::{Map, Value, json};

/// The document, put right.
pub fn put_right(mut document: Value) -> Value {
    name_operations(&mut document);
    let before = document.clone();
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        flatten(schemas, &before);
    }
    document
}

/// `get /v1/agents/{id}/draft` becomes `get_agents_id_draft`.
fn name_operations(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        let words = path
            .trim_start_matches("/v1")
            .split(['/', '{', '}', '.', '-']);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let mut name = vec![method.as_str()];
            name.extend(&words);
            operation["operationId"] = name.join("_").into();
        }
    }
}

/// Replaces each `allOf` with a closed part by one closed object.
fn flatten(schema: &mut Value, document: &Value) {
    if let Some(merged) = closed_union(schema, document) {
        *schema = merged;
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(|one| flatten(one, document)),
        Value::Array(items) => items.iter_mut().for_each(|one| flatten(one, document)),
        _ => {}
    }
}

fn closed_union(schema: &Value, document: &Value) -> Option<Value> {
    let parts: Vec<&Value> = schema
        .get("allOf")?
        .as_array()?
        .iter()
        .map(|part| resolve(part, document))
        .collect();
    let is_closed = |part: &&Value| part.get("additionalProperties") == Some(&json!(false));
    if !parts.iter().any(is_closed) {
        return None;
    }
    let mut properties = Map::new();
    let mut required = Vec::new();
    for part in parts {
        let of_part = part.get("properties").and_then(Value::as_object);
        properties.extend(of_part.cloned().unwrap_or_default());
        let of_part = part.get("required").and_then(Value::as_array);
        required.extend(of_part.cloned().unwrap_or_default());
    }
    Some(json!({
        "type": "object",
        "description": schema.get("description"),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

fn resolve<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| document.pointer(path.trim_start_matches('#')))
        .unwrap_or(schema)
}
