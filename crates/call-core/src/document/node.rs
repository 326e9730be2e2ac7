//! TOML values with their places.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The file itself.
    File,
    /// An environment variable laid over the file.
    Environment(String),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Byte range in the file.
    pub span: Range<usize>,
    /// File or environment.
    pub origin: Origin,
    /// The value.
    pub value: Value,
}

/// A TOML value. Dates stay text: every date in our files is checked as a string.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string, or a date or time as written.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    Array(Vec<Node>),
    /// A table, keys in alphabetical order.
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Byte range of the key.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// An empty table at the top of the file.
    pub fn empty_table() -> Node {
        Node {
            span: 0..0,
            origin: Origin::File,
            value: Value::Table(Vec::new()),
        }
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The entries of a table; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Array(_) => &[],
        }
    }

    /// The items of a list; empty for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Array(items) => items,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Table(_) => &[],
        }
    }

    /// The entry of a table by key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The child by key or index.
    pub fn child(&self, step: &str) -> Option<&Node> {
        match self.entry(step) {
            Some(entry) => Some(&entry.node),
            None => self.items().get(step.parse::<usize>().ok()?),
        }
    }

    /// The node at a pointer (`/route/0/when`).
    pub fn find(&self, pointer: &str) -> Option<&Node> {
        steps(pointer).try_fold(self, Node::child)
    }

    /// The node at a pointer or the nearest ancestor that exists.
    pub fn nearest(&self, pointer: &str) -> &Node {
        let mut node = self;
        for step in steps(pointer) {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Puts a value at a pointer, making tables on the way. Lists are not extended.
    pub fn put(&mut self, pointer: &str, node: Node) {
        let mut here = self;
        for step in steps(pointer) {
            if !matches!(here.value, Value::Table(_)) {
                here.value = Value::Table(Vec::new());
            }
            let Value::Table(entries) = &mut here.value else {
                return;
            };
            let at = entries
                .iter()
                .position(|entry| entry.key == step)
                .unwrap_or_else(|| {
                    let (key, key_span) = (step.to_owned(), node.span.clone());
                    entries.push(Entry {
                        key,
                        key_span,
                        node: Node::empty_table(),
                    });
                    entries.len() - 1
                });
            let Some(entry) = entries.get_mut(at) else {
                return;
            };
            here = &mut entry.node;
        }
        *here = node;
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::String(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(truth) => (*truth).into(),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(entries) => {
                let pairs = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(pairs.collect())
            }
        }
    }
}

fn steps(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.split('/').filter(|step| !step.is_empty())
}

/// Reads a bare TOML value, for instance from an environment variable.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = node_from(0..0, value.into_inner());
    node.origin = origin.clone();
    Some(node)
}

pub(super) fn node_from(span: Range<usize>, value: DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| node_from(item.span(), item.into_inner()))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries_from(table)),
    };
    Node {
        span,
        origin: Origin::File,
        value,
    }
}

/// Integers beyond 64 bits become floats: no setting takes either, so the type check refuses them.
fn integer(digits: &str, radix: u32) -> Value {
    match i64::from_str_radix(digits, radix) {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Float(digits.parse().unwrap_or(f64::NAN)),
    }
}

fn entries_from(table: DeTable<'_>) -> Vec<Entry> {
    table
        .into_iter()
        .map(|(key, value)| Entry {
            key_span: key.span(),
            key: key.into_inner().into_owned(),
            node: node_from(value.span(), value.into_inner()),
        })
        .collect()
}
