//! Everything that is wrong with a configuration, at once.

use std::fmt;

use call_core::document::Fault;

/// The faults of a refused configuration: errors, and the warnings that came along.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(mut list: Vec<Fault>) -> Faults {
        list.sort_by(|a, b| {
            (a.severity, &a.file, a.line, a.column).cmp(&(b.severity, &b.file, b.line, b.column))
        });
        list.dedup();
        Faults { list }
    }

    /// The faults: errors first, by file, line and column.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            writeln!(f, "{}", fault.render())?;
        }
        let errors = self.list.iter().filter(|fault| fault.is_error()).count();
        let warnings = self.list.len() - errors;
        write!(
            f,
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        )
    }
}

fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
