//! Checks a JSON value against a schema of our own OpenAPI document and names every fault by its
//! pointer. It knows what our documents use: `$ref`, `type`, `properties`, `required`,
//! `additionalProperties`, `items`, `enum`, `const`, `oneOf`, `allOf`, lengths and ranges.

use serde_json::{Map, Value};

use crate::error::{FaultCode, Faults};

/// How deep a value may nest.
const DEPTH: usize = 32;

/// Checks values against the schemas of one document.
pub struct Shape<'a> {
    schemas: &'a Value,
    faults: &'a mut Faults,
}

impl<'a> Shape<'a> {
    /// `document` is the OpenAPI document.
    pub fn new(document: &'a Value, faults: &'a mut Faults) -> Self {
        let schemas = document
            .pointer("/components/schemas")
            .unwrap_or(&Value::Null);
        Self { schemas, faults }
    }

    /// Checks `value`, which stands at `at`, against the schema called `name`.
    pub fn check(&mut self, name: &str, value: &Value, at: &str) {
        match self.schemas.get(name) {
            Some(schema) => self.value(schema, value, at, DEPTH),
            None => self.fault(FaultCode::InvalidType, at, "this cannot be checked"),
        }
    }

    fn fault(&mut self, code: FaultCode, at: &str, message: impl Into<String>) {
        self.faults.add(code, at, message);
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.strip_prefix("#/components/schemas/"))
            .and_then(|name| self.schemas.get(name))
            .unwrap_or(schema)
    }

    fn value(&mut self, schema: &'a Value, value: &Value, at: &str, depth: usize) {
        let schema = self.resolve(schema);
        if depth == 0 {
            self.fault(FaultCode::InvalidType, at, "nested too deep");
        } else if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
            self.one_of(choices, value, at, depth - 1);
        } else if schema.get("allOf").is_some() {
            let merged = self.members(schema);
            self.object(&merged, value, at, depth - 1);
        } else if self.typed(schema, value, at) {
            self.limits(schema, value, at);
            match value {
                Value::Object(_) if schema.get("properties").is_some() => {
                    let members = self.members(schema);
                    self.object(&members, value, at, depth - 1);
                }
                Value::Array(items) => {
                    if let Some(schema) = schema.get("items") {
                        for (index, item) in items.iter().enumerate() {
                            self.value(schema, item, &format!("{at}/{index}"), depth - 1);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the value has one of the schema's types.
    fn typed(&mut self, schema: &Value, value: &Value, at: &str) -> bool {
        let allowed: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let fits = allowed.iter().any(|name| has_type(name, value));
        if !fits {
            let message = format!("must be {}", allowed.join(" or "));
            self.fault(FaultCode::InvalidType, at, message);
        }
        fits
    }

    fn limits(&mut self, schema: &Value, value: &Value, at: &str) {
        if value.is_null() {
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            self.fault(FaultCode::UnknownValue, at, one_of_text(allowed));
        }
        // utoipa names u32 so; what does not fit would fail in serde without a place.
        if schema.get("format").and_then(Value::as_str) == Some("int32")
            && value
                .as_f64()
                .is_some_and(|number| number > f64::from(u32::MAX))
        {
            self.fault(
                FaultCode::OutOfRange,
                at,
                format!("must be at most {}", u32::MAX),
            );
        }
        let size = match value {
            Value::String(text) => Some(("Length", as_f64(text.chars().count()))),
            Value::Array(items) => Some(("Items", as_f64(items.len()))),
            Value::Number(number) => number.as_f64().map(|number| ("imum", number)),
            _ => None,
        };
        if let Some((suffix, size)) = size {
            self.range(schema, suffix, size, at);
        }
    }

    fn range(&mut self, schema: &Value, suffix: &str, size: f64, at: &str) {
        let bound = |prefix: &str| {
            let name = format!("{prefix}{suffix}");
            schema.get(name).and_then(Value::as_f64)
        };
        let unit = match suffix {
            "Length" => " characters",
            "Items" => " items",
            _ => "",
        };
        if let Some(min) = bound("min").filter(|min| size < *min) {
            let message = format!("must be at least {min}{unit}");
            self.fault(FaultCode::OutOfRange, at, message);
        }
        if let Some(max) = bound("max").filter(|max| size > *max) {
            let message = format!("must be at most {max}{unit}");
            self.fault(FaultCode::OutOfRange, at, message);
        }
    }

    /// The members of an object schema, those of all its parts together.
    fn members(&self, schema: &'a Value) -> Members<'a> {
        let mut members = Members::default();
        self.collect(schema, &mut members);
        members
    }

    fn collect(&self, schema: &'a Value, members: &mut Members<'a>) {
        let schema = self.resolve(schema);
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            members.properties.extend(properties);
        }
        if let Some(required) = schema.get("required").and_then(Value::as_array) {
            let names = required.iter().filter_map(Value::as_str);
            members.required.extend(names);
        }
        members.closed |= schema.get("additionalProperties") == Some(&Value::Bool(false));
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.collect(part, members);
        }
    }

    fn object(&mut self, members: &Members<'a>, value: &Value, at: &str, depth: usize) {
        let Some(object) = value.as_object() else {
            self.fault(FaultCode::InvalidType, at, "must be object");
            return;
        };
        for name in &members.required {
            if !object.contains_key(*name) {
                let message = format!("{name} is required");
                self.fault(FaultCode::Required, &child(at, name), message);
            }
        }
        for (name, value) in object {
            match members.properties.iter().find(|(known, _)| *known == name) {
                Some((_, schema)) => self.value(schema, value, &child(at, name), depth),
                None if members.closed => {
                    let message = unknown_text(name, members);
                    self.fault(FaultCode::UnknownField, &child(at, name), message);
                }
                None => {}
            }
        }
    }

    /// Takes the choice that the value's tag names; without tags, any choice that fits.
    fn one_of(&mut self, choices: &'a [Value], value: &Value, at: &str, depth: usize) {
        if choices.iter().any(is_null_schema) {
            if !value.is_null()
                && let Some(choice) = choices.iter().find(|choice| !is_null_schema(choice))
            {
                self.value(choice, value, at, depth);
            }
            return;
        }
        let tagged: Vec<(Members<'a>, &str, &str)> = choices
            .iter()
            .filter_map(|choice| {
                let members = self.members(choice);
                let (tag, name) = members.tag()?;
                Some((members, tag, name))
            })
            .collect();
        let Some((_, tag, _)) = tagged.first() else {
            return;
        };
        let tag = *tag;
        let given = value.get(tag).and_then(Value::as_str);
        match tagged.iter().find(|(_, _, name)| Some(*name) == given) {
            Some((members, _, _)) => self.object(members, value, at, depth),
            None if !value.is_object() => {
                self.fault(FaultCode::InvalidType, at, "must be object");
            }
            None => {
                let names: Vec<Value> = tagged.iter().map(|(_, _, name)| (*name).into()).collect();
                let code = match value.get(tag) {
                    None => FaultCode::Required,
                    Some(_) => FaultCode::UnknownValue,
                };
                self.fault(code, &child(at, tag), one_of_text(&names));
            }
        }
    }
}

/// What an object may and must hold.
#[derive(Default)]
struct Members<'a> {
    properties: Vec<(&'a String, &'a Value)>,
    required: Vec<&'a str>,
    closed: bool,
}

impl<'a> Members<'a> {
    /// The member that allows exactly one text, and that text.
    fn tag(&self) -> Option<(&'a str, &'a str)> {
        self.properties.iter().find_map(|(name, schema)| {
            let constant = schema.get("const").or_else(|| {
                let allowed = schema.get("enum")?.as_array()?;
                allowed.first().filter(|_| allowed.len() == 1)
            });
            Some((name.as_str(), constant?.as_str()?))
        })
    }
}

fn is_null_schema(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

/// The pointer of a member (RFC 6901 §3).
fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn one_of_text(allowed: &[Value]) -> String {
    let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
    format!("must be one of {}", names.join(", "))
}

fn unknown_text(name: &str, members: &Members<'_>) -> String {
    let known: Vec<&str> = members.properties.iter().map(|(n, _)| n.as_str()).collect();
    let shown: String = name.chars().take(60).collect();
    format!("'{shown}' is unknown here; known are {}", known.join(", "))
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Applies a JSON merge patch (RFC 7396 §2).
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(name);
        } else {
            merge_patch(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests;
