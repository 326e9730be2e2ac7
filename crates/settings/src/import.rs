//! `media-server import-freeswitch DIR`: reads the XML of a FreeSWITCH configuration folder and writes
//! what can be carried over as our own files, and a list of what could not.
//!
//! What is written passes `media-server check`: a route or trunk that our own reader refuses is moved
//! to the list, with its reason. Nothing is guessed: a route with an application that has no
//! counterpart here is not carried at all, because half of it would do something else. Every profile
//! listens on loopback until somebody says where it may be reached, and by whom.

mod action;
mod expression;
mod plan;
mod profile;
mod report;
mod tree;
mod vars;
mod xml;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use report::{NotCarried, Report};

use crate::{Faults, Known};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A folder or file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no profile to carry over.
    #[error("{path} holds no SIP profile that can be read: {why}", path = path.display())]
    Nothing {
        /// The folder that was read.
        path: PathBuf,
        /// What became of its files.
        why: String,
    },
    /// Something that has to be there does not pass our own reader.
    #[error("what was carried over does not pass:\n{0}")]
    Refused(Faults),
}

impl ImportError {
    fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// One piece of an output file: a route, a trunk, a profile's own fields.
struct Piece {
    /// Its TOML, with a line break at the end.
    text: String,
    /// Where it came from.
    file: PathBuf,
    line: usize,
    /// What it was there.
    name: String,
    /// Whether the file makes sense without it.
    optional: bool,
}

/// A file to be written.
struct Output {
    path: PathBuf,
    pieces: Vec<Piece>,
}

impl Output {
    fn text(&self) -> String {
        let texts = self.pieces.iter().map(|piece| piece.text.as_str());
        texts.collect()
    }

    /// The piece that holds this line (from 1) of the text.
    fn piece_at(&self, line: u32) -> Option<usize> {
        let mut last = 0;
        self.pieces.iter().position(|piece| {
            last += piece.text.lines().count();
            line as usize <= last
        })
    }
}

/// Reads the folder `from`, writes below `into`; what was carried and what was not.
///
/// # Errors
/// [`ImportError`].
pub fn freeswitch(from: &Path, into: &Path, known: &Known<'_>) -> Result<Report, ImportError> {
    let mut report = Report::default();
    let tree = tree::Tree::read(from, &mut report)?;
    let mut outputs = profile::profiles(&tree, known, &mut report);
    if outputs.is_empty() {
        return Err(ImportError::Nothing {
            path: from.join("sip_profiles"),
            why: report.to_string(),
        });
    }
    outputs.extend(plan::dialplans(&tree, &outputs, &mut report));
    outputs.push(server_file());
    loop {
        write(into, &outputs)?;
        let Err(faults) = crate::load(Some(&into.join("sidetone.toml")), known) else {
            report.carried = outputs.iter().map(|output| output.pieces.len()).sum();
            put(&into.join("not-carried.md"), &report.to_string())?;
            return Ok(report);
        };
        if !drop_refused(&faults, &mut outputs, &mut report) {
            return Err(ImportError::Refused(faults));
        }
    }
}

/// Moves the first piece that our reader refuses to the list; whether there was one.
fn drop_refused(faults: &Faults, outputs: &mut [Output], report: &mut Report) -> bool {
    for fault in faults.list().iter().filter(|fault| fault.is_error()) {
        for output in outputs.iter_mut() {
            if !Path::new(&fault.file).ends_with(&output.path) {
                continue;
            }
            let at = output.piece_at(fault.line);
            let at = at.filter(|at| output.pieces.get(*at).is_some_and(|piece| piece.optional));
            if let Some(at) = at {
                let piece = output.pieces.remove(at);
                report.not(&piece.file, piece.line, &piece.name, fault.message.clone());
                return true;
            }
        }
    }
    false
}

fn server_file() -> Output {
    let text = "# Carried over from FreeSWITCH; not-carried.md lists what was not.\n\
                profiles_dir = \"sip-profiles\"\ndialplans_dir = \"dialplans\"\n";
    Output {
        path: "sidetone.toml".into(),
        pieces: vec![Piece {
            text: text.into(),
            file: PathBuf::new(),
            line: 0,
            name: "sidetone.toml".into(),
            optional: false,
        }],
    }
}

fn write(into: &Path, outputs: &[Output]) -> Result<(), ImportError> {
    for folder in ["sip-profiles", "dialplans"] {
        let folder = into.join(folder);
        fs::create_dir_all(&folder).map_err(|e| ImportError::disk(&folder, e))?;
    }
    for output in outputs {
        put(&into.join(&output.path), &output.text())?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), ImportError> {
    fs::write(path, text).map_err(|e| ImportError::disk(path, e))
}

/// `text` as a TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
