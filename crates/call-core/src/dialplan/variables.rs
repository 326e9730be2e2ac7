//! A call's variables: its own facts, captures of the routes it matched, what it set and gathered.

use std::collections::BTreeMap;

/// Most variables of one call.
const MAX_VARIABLES: usize = 256;
/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// Names a call brings along; `set` may not take them.
pub const RESERVED: [&str; 12] = [
    "to",
    "from",
    "number",
    "profile",
    "context",
    "trunk",
    "caller_name",
    "caller_hidden",
    "forwarded_by",
    "forwarded_reason",
    "verstat",
    "attestation",
];

/// Named values of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    plain: BTreeMap<String, String>,
    secret: BTreeMap<String, String>,
}

impl Variables {
    /// The value; secret ones are not readable here.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(String::as_str)
    }

    /// True when the variable holds secret digits.
    pub fn is_secret(&self, name: &str) -> bool {
        self.secret.contains_key(name)
    }

    /// The digits of a secret entry, for the one that checks them.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secret.get(name).map(String::as_str)
    }

    /// Sets a value, cut to 4 KiB; beyond 256 variables nothing is added.
    pub fn set(&mut self, name: &str, value: &str) {
        self.secret.remove(name);
        if self.plain.len() < MAX_VARIABLES || self.plain.contains_key(name) {
            self.plain.insert(name.to_owned(), cut(value).to_owned());
        }
    }

    /// Keeps secret digits apart: no template, log or trace sees them.
    pub fn set_secret(&mut self, name: &str, value: &str) {
        self.plain.remove(name);
        if self.secret.len() < MAX_VARIABLES || self.secret.contains_key(name) {
            self.secret.insert(name.to_owned(), cut(value).to_owned());
        }
    }

    /// Forgets a value.
    pub fn unset(&mut self, name: &str) {
        self.plain.remove(name);
        self.secret.remove(name);
    }
}

/// True for a name that `set`, `gather` and captures may use.
pub fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    let goes_on_well = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    starts_well && goes_on_well && name.len() <= 64
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(MAX_VALUE_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or("")
}
