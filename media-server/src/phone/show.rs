//! What the person at the phone sees: the picture, or JSON lines.

use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};

use super::picture::{Line, Picture};

/// Writes to stdout, and to a file of events where one is wanted.
pub(super) struct Show {
    json: bool,
    colour: bool,
    picture: Picture,
    events: Option<File>,
}

impl Show {
    /// Colours only on a terminal.
    pub(super) fn new(json: bool, events: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        Ok(Self {
            json,
            colour: !json && std::io::stdout().is_terminal(),
            picture: Picture::default(),
            events: events.map(open).transpose()?,
        })
    }

    /// Something the phone itself saw, with its own clock.
    pub(super) fn event(&mut self, at: Duration, name: &str, mut fields: Value) {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("event".into(), json!(name));
            fields.insert("at_ms".into(), json!(millis(at)));
        }
        self.json(&fields);
    }

    fn json(&mut self, line: &Value) {
        if self.json {
            println!("{line}");
        }
        // A full disk must not end a call.
        if let Some(events) = &mut self.events {
            let _ = events.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// A line of the picture.
    pub(super) fn line(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// An event of the server about our call.
    pub(super) fn server(&mut self, event: &Value) {
        self.json(&json!({ "event": "server", "server": event }));
        for line in self.picture.take(event) {
            let line = match line {
                Line::Plain(text) => text,
                Line::Dim(text) => self.paint(&text, 90),
                Line::Caller(text) => self.paint_first(&text, 36),
                Line::Agent(text) => self.paint_first(&text, 33),
            };
            self.line(&line);
        }
    }

    /// Only the first word: who speaks.
    fn paint_first(&self, text: &str, colour: u8) -> String {
        match text.split_once(' ') {
            Some((who, rest)) => format!("{} {rest}", self.paint(who, colour)),
            None => text.to_owned(),
        }
    }

    fn paint(&self, text: &str, colour: u8) -> String {
        match self.colour {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
