//! Checks a document against the JSON Schema generated from our own types.
//!
//! The schema is the one definition of what a file may hold: editors complete from it,
//! this walker refuses by it, serde reads by the same types. Unlike serde it does not
//! stop at the first fault. It knows the part of JSON Schema that schemars writes.

use serde_json::Value as Json;

use super::fault::{is_sensitive, may_hold_password};
use super::{Document, Entry, Fault, Node, Origin, Value};

/// Checks a string beyond its type: the JSON Schema `format` and the check.
pub type FormatCheck = (&'static str, fn(&str) -> Result<(), Complaint>);

/// What is wrong with a string. A message that begins with "expected" gets the found text appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl From<String> for Complaint {
    fn from(message: String) -> Complaint {
        Complaint {
            message,
            hint: None,
        }
    }
}

impl From<&str> for Complaint {
    fn from(message: &str) -> Complaint {
        Complaint::from(message.to_owned())
    }
}

/// What to say about a key (or `key=value`) that we do not take.
#[derive(Debug, Clone, Copy)]
pub struct Hint {
    /// The key as somebody may write it, or `key=value` for one value of a key we take.
    pub name: &'static str,
    /// The advice.
    pub advice: &'static str,
    /// True when the key is planned: the message then says so instead of "unknown".
    pub later: bool,
}

impl Hint {
    /// A name from elsewhere that has an equivalent here.
    pub const fn renamed(name: &'static str, advice: &'static str) -> Hint {
        Hint {
            name,
            advice,
            later: false,
        }
    }

    /// A name of ours that does not work yet.
    pub const fn later(name: &'static str, advice: &'static str) -> Hint {
        Hint {
            name,
            advice,
            later: true,
        }
    }
}

/// A schema with its hints and string formats.
#[derive(Debug, Clone)]
pub struct Shape {
    schema: Json,
    hints: Vec<Hint>,
    formats: Vec<FormatCheck>,
}

impl Shape {
    /// A shape from a generated schema.
    pub fn new(schema: schemars::Schema, hints: &[Hint], formats: &[FormatCheck]) -> Shape {
        Shape {
            schema: schema.to_value(),
            hints: hints.to_vec(),
            formats: formats.to_vec(),
        }
    }

    /// Checks a whole document; true when it added no error.
    pub fn check(&self, document: &Document, faults: &mut Vec<Fault>) -> bool {
        let mut walk = Walk {
            shape: self,
            document,
            faults: Vec::new(),
        };
        walk.node(&self.schema, document.root(), "");
        let clean = !walk.faults.iter().any(Fault::is_error);
        faults.extend(walk.faults);
        clean
    }

    /// Lays a setting from the environment over a document: the text as it is when the
    /// schema takes a string there, else as a TOML value. False when the pointer names no setting.
    pub fn lay_over(
        &self,
        document: &mut Document,
        pointer: &str,
        text: &str,
        variable: &str,
    ) -> bool {
        let Some(schema) = self.schema_at(pointer) else {
            return false;
        };
        let origin = Origin::Environment(variable.to_owned());
        let plain = Node {
            span: 0..0,
            origin: origin.clone(),
            value: Value::String(text.to_owned()),
        };
        let parsed = super::node::parse_value(text, &origin);
        let fits = |node: &Node| self.takes(schema, node);
        let node = match parsed {
            Some(parsed) if !fits(&plain) && fits(&parsed) => parsed,
            Some(_) | None => plain,
        };
        document.root_mut().put(pointer, node);
        true
    }

    fn takes(&self, schema: &Json, node: &Node) -> bool {
        let schema = self.resolve(schema);
        let Some(choices) = alternatives(schema) else {
            return takes_kind(schema, node);
        };
        choices.iter().any(|choice| self.takes(choice, node))
    }

    fn schema_at(&self, pointer: &str) -> Option<&Json> {
        pointer
            .split('/')
            .filter(|step| !step.is_empty())
            .try_fold(&self.schema, |schema, step| {
                self.resolve(schema).get("properties")?.get(step)
            })
    }

    fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        match schema
            .get("$ref")
            .and_then(Json::as_str)
            .and_then(|at| at.strip_prefix('#'))
        {
            Some(pointer) => self.schema.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }
}

struct Walk<'a> {
    shape: &'a Shape,
    document: &'a Document,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Json, node: &Node, key: &str) {
        let schema = self.shape.resolve(schema);
        if schema.get("x-tagged").is_some() {
            return self.tagged(schema, node);
        }
        if let Some(allowed) = constants(schema) {
            return self.constant(&allowed, node, key);
        }
        if let Some(choices) = alternatives(schema) {
            return self.choice(choices, node, key);
        }
        if !takes_kind(schema, node) {
            let message = format!("expected {}, found {}", expected(schema), node.kind());
            return self.push(node, message);
        }
        match &node.value {
            Value::String(text) => self.string(schema, node, text, key),
            Value::Integer(number) => self.range(schema, node, *number),
            Value::Array(items) => self.array(schema, node, items, key),
            Value::Table(entries) => self.table(schema, node, entries),
            Value::Float(_) | Value::Bool(_) => {}
        }
    }

    fn push(&mut self, node: &Node, message: String) {
        self.faults.push(self.document.fault_at(node, message));
    }

    /// A word or a table with one key, the key naming what it is (dialplan actions).
    fn tagged(&mut self, schema: &Json, node: &Node) {
        let empty = serde_json::Map::new();
        let tags = schema
            .pointer("/x-tagged")
            .and_then(Json::as_object)
            .unwrap_or(&empty);
        match &node.value {
            Value::String(word) => self.bare_word(tags, node, word),
            Value::Table(entries) => match entries.as_slice() {
                [entry] => match tags.get(&entry.key) {
                    Some(tag) => self.node(tag, &entry.node, &entry.key),
                    None => self.unknown("action", entry, tags.keys()),
                },
                _ => self.push(
                    node,
                    format!("expected one action, found {} keys", entries.len()),
                ),
            },
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Array(_) => {
                let message = format!(
                    "expected an action such as \"answer\" or {{ play = … }}, found {}",
                    node.kind()
                );
                self.push(node, message);
            }
        }
    }

    fn bare_word(&mut self, tags: &serde_json::Map<String, Json>, node: &Node, word: &str) {
        match tags.get(word) {
            Some(tag) if tag.get("x-bare").is_some() => {}
            Some(_) => self.push(node, format!("`{word}` needs a value: {{ {word} = … }}")),
            None => {
                let entry = Entry {
                    key: word.to_owned(),
                    key_span: node.span.clone(),
                    node: node.clone(),
                };
                self.unknown("action", &entry, tags.keys());
            }
        }
    }

    fn constant(&mut self, allowed: &[String], node: &Node, key: &str) {
        let found = match &node.value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Float(_) | Value::Array(_) | Value::Table(_) => node.kind().to_owned(),
        };
        if allowed.contains(&found) {
            return;
        }
        let pair = format!("{key}={found}");
        let fault = match self.shape.hints.iter().find(|hint| hint.name == pair) {
            Some(hint) if hint.later => {
                let message = format!("`{key} = \"{found}\"` is not available yet");
                self.document.fault_at(node, message).hint(hint.advice)
            }
            Some(hint) => self
                .document
                .fault_at(node, one_of(allowed, &found))
                .hint(hint.advice),
            None => self.document.fault_at(node, one_of(allowed, &found)),
        };
        self.faults.push(fault);
    }

    /// Takes the first alternative without a fault, else shows the faults of the one that fits best.
    fn choice(&mut self, choices: &[Json], node: &Node, key: &str) {
        let shape = self.shape;
        let fitting: Vec<&Json> = choices
            .iter()
            .filter(|choice| shape.takes(choice, node))
            .collect();
        let mut best: Option<Vec<Fault>> = None;
        for choice in fitting {
            let mut walk = Walk {
                shape,
                document: self.document,
                faults: Vec::new(),
            };
            walk.node(choice, node, key);
            if walk.faults.is_empty() {
                return;
            }
            best.get_or_insert(walk.faults);
        }
        match best {
            Some(faults) => self.faults.extend(faults),
            None => {
                let names: Vec<String> = choices
                    .iter()
                    .map(|choice| expected(shape.resolve(choice)))
                    .collect();
                let names: Vec<String> =
                    names.into_iter().filter(|name| name != "nothing").collect();
                self.push(
                    node,
                    format!("expected {}, found {}", names.join(" or "), node.kind()),
                );
            }
        }
    }

    fn string(&mut self, schema: &Json, node: &Node, text: &str, key: &str) {
        if text.is_empty() && schema.get("minLength").is_some() {
            return self.push(node, "may not be empty".to_owned());
        }
        let Some(format) = schema.get("format").and_then(Json::as_str) else {
            return;
        };
        let Some((_, check)) = self.shape.formats.iter().find(|(name, _)| *name == format) else {
            return;
        };
        let Err(Complaint { message, hint }) = check(text) else {
            return;
        };
        let show =
            message.starts_with("expected") && !is_sensitive(key) && !may_hold_password(text);
        let message = if show {
            format!("{message}, found {text:?}")
        } else {
            message
        };
        let fault = self.document.fault_at(node, message);
        self.faults.push(Fault { hint, ..fault });
    }

    fn range(&mut self, schema: &Json, node: &Node, number: i64) {
        let wide = schema.get("format").and_then(Json::as_str) == Some("uint32");
        let low = schema
            .get("minimum")
            .and_then(Json::as_i64)
            .unwrap_or(i64::MIN);
        let most = if wide { i64::from(u32::MAX) } else { i64::MAX };
        let high = schema.get("maximum").and_then(Json::as_i64).unwrap_or(most);
        if number < low || number > high {
            self.push(node, format!("expected {low} to {high}, found {number}"));
        }
    }

    fn array(&mut self, schema: &Json, node: &Node, items: &[Node], key: &str) {
        if items.is_empty() && schema.get("minItems").is_some() {
            self.push(node, "may not be empty".to_owned());
        }
        if let Some(item_schema) = schema.get("items") {
            for item in items {
                self.node(item_schema, item, key);
            }
        }
    }

    fn table(&mut self, schema: &Json, node: &Node, entries: &[Entry]) {
        let empty = serde_json::Map::new();
        let properties = schema
            .get("properties")
            .and_then(Json::as_object)
            .unwrap_or(&empty);
        let others = schema
            .get("additionalProperties")
            .filter(|other| other.is_object());
        for entry in entries {
            match properties.get(&entry.key).or(others) {
                Some(schema) => self.node(schema, &entry.node, &entry.key),
                None if schema.get("additionalProperties") == Some(&Json::Bool(false)) => {
                    self.unknown("key", entry, properties.keys());
                }
                None => {}
            }
        }
        for name in schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let name = name.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == name) {
                self.push(node, format!("`{name}` is missing"));
            }
        }
    }

    fn unknown<'k>(&mut self, what: &str, entry: &Entry, known: impl Iterator<Item = &'k String>) {
        let key = &entry.key;
        let place = Node {
            span: entry.key_span.clone(),
            ..entry.node.clone()
        };
        let hint = self.shape.hints.iter().find(|hint| hint.name == key);
        let near = known
            .min_by_key(|name| distance(name, key))
            .filter(|name| distance(name, key) <= 2);
        let fault = |message: String| self.document.fault_at(&place, message);
        let fault = match (hint, near) {
            (Some(hint), _) if hint.later => {
                fault(format!("`{key}` is not available yet")).hint(hint.advice)
            }
            (Some(hint), _) => fault(format!("unknown {what} `{key}`")).hint(hint.advice),
            (None, Some(near)) => {
                fault(format!("unknown {what} `{key}`")).hint(format!("did you mean `{near}`?"))
            }
            (None, None) => fault(format!("unknown {what} `{key}`")),
        };
        self.faults.push(fault);
    }
}

fn one_of(allowed: &[String], found: &str) -> String {
    let quoted: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [only] => format!("expected {only}, found {found:?}"),
        _ => format!("expected one of {}, found {found:?}", quoted.join(", ")),
    }
}

/// The words of an `enum`, a `const`, or a `oneOf` made of consts.
fn constants(schema: &Json) -> Option<Vec<String>> {
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return Some(
            values
                .iter()
                .filter(|value| !value.is_null())
                .map(word)
                .collect(),
        );
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![word(value)]);
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    let words: Option<Vec<Vec<String>>> = choices.iter().map(constants).collect();
    words.map(|words| words.concat())
}

fn word(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn alternatives(schema: &Json) -> Option<&Vec<Json>> {
    let any = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    any.and_then(Json::as_array)
}

/// True when the JSON types of a schema take this kind of node.
fn takes_kind(schema: &Json, node: &Node) -> bool {
    if schema.get("x-tagged").is_some() {
        return true;
    }
    let names = type_names(schema);
    let is = |name: &str| names.contains(&name);
    match &node.value {
        _ if names.is_empty() => {
            constants(schema).is_none() || matches!(node.value, Value::String(_))
        }
        Value::String(_) => is("string"),
        Value::Integer(_) => is("integer") || is("number"),
        Value::Float(_) => is("number"),
        Value::Bool(_) => is("boolean"),
        Value::Array(_) => is("array"),
        Value::Table(_) => is("object"),
    }
}

fn type_names(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) | None => Vec::new(),
    }
}

/// What a schema takes, in words.
fn expected(schema: &Json) -> String {
    let names = type_names(schema);
    let words: Vec<&str> = names
        .iter()
        .filter(|name| **name != "null")
        .map(|name| in_words(name))
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(" or ")
    }
}

fn in_words(name: &str) -> &str {
    match name {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

/// Edit distance (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut next = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let swap = row.get(j).copied().unwrap_or(0) + usize::from(ca != *cb);
            let drop = row.get(j + 1).copied().unwrap_or(0) + 1;
            let add = next.last().copied().unwrap_or(0) + 1;
            next.push(swap.min(drop).min(add));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
