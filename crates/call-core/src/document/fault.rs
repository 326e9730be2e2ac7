//! One thing that is wrong in a file, and how it is shown.

use std::fmt;
use std::ops::Range;

use super::SourceFile;

/// How bad a [`Fault`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration runs, but probably not as meant.
    Warning,
}

/// A fault with its place. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Error or warning.
    pub severity: Severity,
    /// File name, or the environment variable that brought the value.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters to underline.
    pub width: u32,
    /// The line as written; secrets are starred out.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// True for errors.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The fault with its source line and a caret under the place.
    pub fn render(&self) -> String {
        let mut text = format!("{self}\n");
        if !self.source_line.is_empty() {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            let indent = " ".repeat(self.column.saturating_sub(1) as usize);
            let carets = "^".repeat(self.width.max(1) as usize);
            text.push_str(&format!("{gutter} |\n{number} | {}\n", self.source_line));
            text.push_str(&format!("{gutter} | {indent}{carets}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Fault {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message}")
    }
}

/// A fault at a byte range of a file.
pub(super) fn located(source: &SourceFile, span: &Range<usize>, message: String) -> Fault {
    let (line, column) = position(&source.text, span.start);
    let whole = source.text.lines().nth(line as usize - 1).unwrap_or("");
    let room = whole.chars().count().saturating_sub(column as usize - 1);
    let wanted = source
        .text
        .get(span.clone())
        .map_or(1, |text| text.chars().count());
    Fault {
        severity: Severity::Error,
        file: source.name.clone(),
        line,
        column,
        width: wanted.clamp(1, room.max(1)) as u32,
        source_line: starred(whole),
        message,
        hint: None,
    }
}

/// Line and column (both from 1) of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or("").chars().count() + 1;
    (line as u32, column as u32)
}

/// Keys whose values never leave the process.
const SENSITIVE: [&str; 4] = ["password", "secret", "token", "key"];

/// True when a key holds a secret.
pub(super) fn is_sensitive(key: &str) -> bool {
    SENSITIVE.iter().any(|word| key.ends_with(word))
}

/// The line with quoted values of sensitive keys and passwords inside of URLs starred out, same length.
fn starred(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut hide_until: Option<char> = None;
    for c in line.chars() {
        match hide_until {
            Some(quote) if c == quote => {
                hide_until = None;
                out.push(c);
            }
            Some(_) => out.push('*'),
            None => {
                if (c == '"' || c == '\'') && follows_sensitive_key(&out) {
                    hide_until = Some(c);
                }
                out.push(c);
            }
        }
    }
    without_url_password(&out)
}

/// `postgres://user:password@host` → `postgres://user:********@host`.
fn without_url_password(line: &str) -> String {
    let Some((head, rest)) = line.split_once("://") else {
        return line.to_owned();
    };
    let end = rest.find(['/', '"', '\'', ' ']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let hidden = authority.rsplit_once('@').and_then(|(login, host)| {
        let (user, password) = login.split_once(':')?;
        Some(format!(
            "{user}:{}@{host}",
            "*".repeat(password.chars().count())
        ))
    });
    let tail = without_url_password(tail);
    format!(
        "{head}://{}{tail}",
        hidden.unwrap_or_else(|| authority.to_owned())
    )
}

/// True for a text that may carry a password.
pub(super) fn may_hold_password(text: &str) -> bool {
    text.contains("://") && text.contains('@')
}

fn follows_sensitive_key(before: &str) -> bool {
    let before = before.trim_end();
    before
        .strip_suffix('=')
        .is_some_and(|key| is_sensitive(key.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_at_their_length() {
        let cases = [
            ("key = \"abc\"", "key = \"***\""),
            (
                "{ password = 'x', user = 'y' }",
                "{ password = '*', user = 'y' }",
            ),
            (
                "database = \"postgres://me:pw@db/x\"",
                "database = \"postgres://me:**@db/x\"",
            ),
            (
                "a = \"http://u:p@h\", b = \"http://v:qq@h\"",
                "a = \"http://u:*@h\", b = \"http://v:**@h\"",
            ),
            ("url = \"http://h/a@b\"", "url = \"http://h/a@b\""),
            (
                "listen = [\"udp://127.0.0.1:5060\"]",
                "listen = [\"udp://127.0.0.1:5060\"]",
            ),
        ];
        for (line, shown) in cases {
            assert_eq!(starred(line), shown);
        }
    }

    #[test]
    fn places_count_characters_not_bytes() {
        assert_eq!(position("é = 1\nüü = 2", 0), (1, 1));
        assert_eq!(position("é = 1\nüü = 2", "é = 1\nüü".len()), (2, 3));
        assert_eq!(position("x", 99), (1, 2), "beyond the end");
        assert_eq!(position("é", 1), (1, 1), "inside a character");
    }
}
