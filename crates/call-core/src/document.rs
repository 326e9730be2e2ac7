//! TOML documents that remember where everything stands.
//!
//! A [`Document`] is one file: values with the bytes they came from. Checks walk it and
//! push a [`Fault`] with file, line and column for everything they find, so that an
//! operator sees all faults at once instead of one per attempt.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

mod fault;
mod node;
mod shape;

pub use fault::{Fault, Severity};
pub use node::{Entry, Node, Origin, Value};
pub use shape::{Complaint, FormatCheck, Hint, Shape};

use std::fmt;

use node::node_from;
use serde::de::DeserializeOwned;

/// Largest file that is read, in bytes. Operators write a few kilobytes; a megabyte is a mistake.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A file's name as shown in faults, and its text. Debug output leaves the text out: it may hold secrets.
#[derive(Clone)]
pub struct SourceFile {
    /// Path as the operator knows it, for example `dialplans/public.toml`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One parsed TOML file. Debug output shows its name alone: it may hold secrets.
#[derive(Clone)]
pub struct Document {
    source: SourceFile,
    root: Node,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceFile({})", self.name)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.source.name)
    }
}

impl Document {
    /// Reads a file; syntax errors become faults and what could be read is still checked.
    pub fn parse(source: SourceFile, faults: &mut Vec<Fault>) -> Document {
        let root = Node::empty_table();
        let mut document = Document { source, root };
        if document.source.text.len() > MAX_FILE_BYTES {
            let message = format!("the file is larger than {MAX_FILE_BYTES} bytes");
            faults.push(document.fault_at_span(&(0..0), message));
            return document;
        }
        let (table, errors) = toml::de::DeTable::parse_recoverable(&document.source.text);
        let root = node_from(table.span(), toml::de::DeValue::Table(table.into_inner()));
        let syntax: Vec<Fault> = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                document.fault_at_span(&span, first_line(error.message()))
            })
            .collect();
        faults.extend(syntax);
        document.root = root;
        document
    }

    /// The name shown in faults.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The root table.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The root table, to lay overrides over it.
    pub fn root_mut(&mut self) -> &mut Node {
        &mut self.root
    }

    /// The node at a pointer such as `/route/0/when`, or its nearest ancestor that exists.
    pub fn nearest(&self, pointer: &str) -> &Node {
        self.root.nearest(pointer)
    }

    /// True when something stands exactly at the pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.root.find(pointer).is_some()
    }

    /// An error at a pointer.
    pub fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        self.fault_at(self.nearest(pointer), message)
    }

    /// A warning at a pointer.
    pub fn warning(&self, pointer: &str, message: impl Into<String>) -> Fault {
        let mut fault = self.fault(pointer, message);
        fault.severity = Severity::Warning;
        fault
    }

    /// An error at a node of this document.
    pub fn fault_at(&self, node: &Node, message: impl Into<String>) -> Fault {
        match &node.origin {
            Origin::File => self.fault_at_span(&node.span, message),
            Origin::Environment(variable) => Fault {
                severity: Severity::Error,
                file: variable.clone(),
                line: 1,
                column: 1,
                width: 1,
                source_line: String::new(),
                message: message.into(),
                hint: None,
            },
        }
    }

    /// An error at a byte range of the text.
    pub fn fault_at_span(
        &self,
        span: &std::ops::Range<usize>,
        message: impl Into<String>,
    ) -> Fault {
        fault::located(&self.source, span, message.into())
    }

    /// Line (from 1) of a pointer, for messages that name another place.
    pub fn line_of(&self, pointer: &str) -> u32 {
        fault::position(&self.source.text, self.nearest(pointer).span.start).0
    }

    /// Turns the document into `T`. Call it only on documents without errors: a refusal
    /// here is one fault at the top of the file.
    pub fn read<T: DeserializeOwned>(&self, faults: &mut Vec<Fault>) -> Option<T> {
        match serde_json::from_value(self.root.to_json()) {
            Ok(value) => Some(value),
            Err(error) => {
                faults.push(self.fault("", error.to_string()));
                None
            }
        }
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("syntax error").to_owned()
}
