//! The environment: `SIDETONE_<SECTION>__<KEY>` over the server file, and secrets by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use call_core::document::{Document, Fault, Node, Origin, Shape, Value};

use crate::Secret;

/// Every variable of the process whose name and value are text.
pub(crate) fn all() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// A variable by name, treated as a secret; empty ones count as not set.
pub fn variable(name: &str) -> Option<Secret> {
    let value = std::env::var(name).ok()?;
    (!value.is_empty()).then(|| Secret::new(value))
}

/// The user's state folder: `$XDG_STATE_HOME`, else `~/.local/state`.
pub fn state_home() -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))
}

/// The folder of `data.dir = "temporary"`: the same for the life of the process.
pub(crate) fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("sidetone-{}", std::process::id()))
}

/// Lays `SIDETONE_<SECTION>__<KEY>` (and `SIDETONE_<KEY>` for keys outside of sections) over
/// the server file. A double underscore that leads nowhere is an error; other `SIDETONE_…`
/// variables belong to somebody else.
pub(crate) fn lay_over(
    document: &mut Document,
    shape: &Shape,
    environment: &BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) {
    for (name, value) in environment {
        let Some(path) = name.strip_prefix("SIDETONE_") else {
            continue;
        };
        let pointer = format!("/{}", path.to_lowercase().replace("__", "/"));
        let found = shape.lay_over(document, &pointer, value, name);
        if !found && path.contains("__") {
            let nowhere = Node {
                span: 0..0,
                origin: Origin::Environment(name.clone()),
                value: Value::Bool(false),
            };
            faults.push(
                document
                    .fault_at(&nowhere, "names no setting")
                    .hint("SIDETONE_<SECTION>__<KEY>, for example SIDETONE_HTTP__BIND"),
            );
        }
    }
}

/// Puts the text in the place of `{ env = "NAME" }` and `{ file = "PATH" }`.
pub(crate) fn resolve_secret(
    document: &mut Document,
    pointer: &str,
    environment: &BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) {
    let Some(node) = document.root().find(pointer) else {
        return;
    };
    let named = |key: &str| match node.entry(key).map(|entry| &entry.node.value) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let text = match (named("env"), named("file")) {
        (Some(name), _) => environment
            .get(&name)
            .cloned()
            .ok_or(format!("the environment variable {name} is not set")),
        (None, Some(path)) => read(&path),
        (None, None) => return,
    };
    match text {
        Ok(text) => {
            let replaced = Node {
                value: Value::String(text),
                ..node.clone()
            };
            document.root_mut().put(pointer, replaced);
        }
        Err(message) => faults.push(document.fault(pointer, message)),
    }
}

fn read(path: &str) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(text.trim_end().to_owned())
}
