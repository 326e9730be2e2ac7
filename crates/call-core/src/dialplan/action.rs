//! Dialplan actions: one file each, one line each in [`ALL`].
//!
//! An action is its fields (a struct: serde reads it, the JSON Schema comes from it), its
//! outline (what it refers to, for checking) and its steps (the [`Op`]s that the call
//! machine carries out, with variables filled in at the moment it runs).

mod agent;
mod answer;
mod bridge;
mod conference;
mod early_media;
mod echo;
mod gather;
mod goto;
mod hangup;
mod listen;
mod log;
mod op;
mod park;
mod pause_recording;
mod pickup;
mod play;
mod record;
mod reject;
mod respond;
mod resume_recording;
mod ring;
mod say;
mod set;
mod sleep;
mod stub;
mod stub_local;
mod tone;
mod transfer;
mod unset;

use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use op::{
    AgentSource, BridgeOp, Callee, Consent, ConsentOp, Entry, GatherOp, HangupCause, Op, Prompt,
    RecordSpec, Refer, RoomOp,
};

use super::{Refused, Template, Variables};

/// What the check of a file needs to know about an action.
#[derive(Debug, Default)]
pub struct Outline<'a> {
    /// Templates whose variables must exist.
    pub templates: Vec<&'a Template>,
    /// Sections it may go to.
    pub sections: Vec<&'a str>,
    /// Variables it sets.
    pub sets: Vec<&'a str>,
    /// True when nothing after it runs.
    pub ends: bool,
    /// The agent it brings, to be prepared before the answer.
    pub agent: Option<AgentSource>,
    /// True when it says if and how the call is recorded.
    pub records: bool,
    /// True when the caller is told or asked before that: until then nothing is kept.
    pub asks: bool,
}

/// A thing a dialplan can do.
pub trait Action: fmt::Debug + Send + Sync {
    /// What it refers to. The default refers to nothing.
    fn outline(&self) -> Outline<'_> {
        Outline::default()
    }

    /// A fault that the types cannot express: field name and message.
    fn fault(&self) -> Option<(&'static str, String)> {
        None
    }

    /// What the call machine does, against the variables as they are now.
    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused>;
}

/// One row of the table of actions.
#[derive(Debug)]
pub struct Row {
    /// The word in the file.
    pub name: &'static str,
    /// The field that a value without a table fills: `play = "x"` is `play = { source = "x" }`.
    pub short: Option<&'static str>,
    /// True when the word alone will do: `"answer"`.
    pub bare: bool,
    /// A correct use, for the schema, the docs and the conformance test.
    pub example: &'static str,
    /// FreeSWITCH applications that mean the same.
    pub freeswitch: &'static [&'static str],
    schema: fn(&mut SchemaGenerator) -> Schema,
    build: fn(Json) -> Result<Arc<dyn Action>, String>,
}

/// Every action.
pub const ALL: [Row; 28] = [
    agent::ROW,
    answer::ROW,
    bridge::ROW,
    conference::ROW,
    early_media::ROW,
    echo::ROW,
    gather::ROW,
    goto::ROW,
    hangup::ROW,
    listen::ROW,
    log::ROW,
    park::ROW,
    pause_recording::ROW,
    pickup::ROW,
    play::ROW,
    record::ROW,
    reject::ROW,
    respond::ROW,
    resume_recording::ROW,
    ring::ROW,
    say::ROW,
    set::ROW,
    sleep::ROW,
    stub::ROW,
    stub_local::ROW,
    tone::ROW,
    transfer::ROW,
    unset::ROW,
];

/// Actions that are named in the plan of the product but do not work yet.
pub const LATER: [&str; 4] = ["http_decide", "call", "limit", "send_digits"];

impl Row {
    const fn new<T: Action + DeserializeOwned + JsonSchema + 'static>(
        name: &'static str,
        example: &'static str,
    ) -> Row {
        Row {
            name,
            short: None,
            bare: false,
            example,
            freeswitch: &[],
            schema: |generator| T::json_schema(generator),
            build: |fields| match serde_json::from_value::<T>(fields) {
                Ok(action) => Ok(Arc::new(action)),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    const fn short(self, field: &'static str) -> Row {
        Row {
            short: Some(field),
            ..self
        }
    }

    const fn bare(self) -> Row {
        Row { bare: true, ..self }
    }

    const fn freeswitch(self, names: &'static [&'static str]) -> Row {
        Row {
            freeswitch: names,
            ..self
        }
    }
}

/// Builds an action from its checked JSON: a word, or a table with one key.
pub(super) fn build(value: &Json) -> Result<Arc<dyn Action>, String> {
    let (name, fields) = match value {
        Json::String(word) => (word.as_str(), Json::Object(serde_json::Map::new())),
        Json::Object(table) => match table.iter().next() {
            Some((name, fields)) => (name.as_str(), fields.clone()),
            None => return Err("an empty table is no action".to_owned()),
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
            return Err("not an action".to_owned());
        }
    };
    let row = ALL
        .iter()
        .find(|row| row.name == name)
        .ok_or_else(|| format!("unknown action `{name}`"))?;
    let fields = match (fields, row.short) {
        (Json::Object(fields), None) => Json::Object(fields),
        (Json::Object(fields), Some(short)) if is_long_form(row, &fields, short) => {
            Json::Object(fields)
        }
        (fields, Some(short)) => Json::Object([(short.to_owned(), fields)].into_iter().collect()),
        (_, None) => return Err(format!("`{name}` takes a table")),
    };
    (row.build)(fields)
}

/// A table is the long form unless the short field itself is a table (`set = { name = "value" }`).
fn is_long_form(row: &Row, fields: &serde_json::Map<String, Json>, short: &str) -> bool {
    row.name != "set" || fields.contains_key(short)
}

/// The JSON Schema of an action: a bare word, or a table with one key.
pub(super) fn action_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut tags = serde_json::Map::new();
    let mut tables = serde_json::Map::new();
    for row in &ALL {
        let value = row_schema(row, generator);
        tables.insert(row.name.to_owned(), value.clone());
        let mut tag = value;
        if let (true, Some(tag)) = (row.bare, tag.as_object_mut()) {
            tag.insert("x-bare".to_owned(), Json::Bool(true));
        }
        tags.insert(row.name.to_owned(), tag);
    }
    let words: Vec<&str> = ALL
        .iter()
        .filter(|row| row.bare)
        .map(|row| row.name)
        .collect();
    schemars::json_schema!({
        "x-tagged": tags,
        "anyOf": [
            { "enum": words },
            { "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": tables },
        ],
    })
}

fn row_schema(row: &Row, generator: &mut SchemaGenerator) -> Json {
    let fields = (row.schema)(generator).to_value();
    let short = row
        .short
        .and_then(|short| fields.pointer(&format!("/properties/{short}")).cloned());
    match short {
        Some(short) => serde_json::json!({ "anyOf": [short, fields] }),
        None => fields,
    }
}
