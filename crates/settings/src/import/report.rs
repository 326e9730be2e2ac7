//! What could not be carried over, each with its place and why.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One thing that stays behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCarried {
    /// The XML file.
    pub file: PathBuf,
    /// The line in it.
    pub line: usize,
    /// What it is there: `param rtp-ip`, `extension voicemail`.
    pub what: String,
    /// Why, or what to do about it.
    pub why: String,
}

/// The outcome of an import.
#[derive(Debug, Default)]
pub struct Report {
    /// Pieces that were written: profiles, trunks, routes.
    pub carried: usize,
    /// Everything else.
    pub not_carried: Vec<NotCarried>,
}

impl Report {
    pub(super) fn not(&mut self, file: &Path, line: usize, what: &str, why: impl Into<String>) {
        self.not_carried.push(NotCarried {
            file: file.to_path_buf(),
            line,
            what: what.to_owned(),
            why: why.into(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Not carried over from FreeSWITCH\n")?;
        for one in &self.not_carried {
            let (file, line) = (one.file.display(), one.line);
            writeln!(f, "- `{file}:{line}` {}: {}", one.what, one.why)?;
        }
        Ok(())
    }
}
