//! Where sentences end.

use std::ops::Range;

/// A sentence without an end is cut at a space before this many bytes.
const MAX_BYTES: usize = 400;
/// A full stop after these ends no sentence.
const ABBREVIATIONS: [&str; 14] = [
    "mr", "mrs", "ms", "dr", "st", "no", "vs", "etc", "e.g", "i.e", "a.m", "p.m", "approx", "ext",
];

/// The byte spans of a text's sentences, without the white space around them.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut space = None;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if ends_sentence(text, at, c) {
            push(text, start..next, &mut spans);
            (start, space) = (next, None);
        } else if c.is_whitespace() {
            space = Some(next);
        }
        if next - start > MAX_BYTES
            && let Some(cut) = space.take()
        {
            push(text, start..cut, &mut spans);
            start = cut;
        }
    }
    push(text, start..text.len(), &mut spans);
    spans
}

fn push(text: &str, span: Range<usize>, spans: &mut Vec<Range<usize>>) {
    let piece = &text[span.clone()];
    let head = piece.len() - piece.trim_start().len();
    let body = piece.trim();
    if body.chars().any(char::is_alphanumeric) {
        let from = span.start + head;
        spans.push(from..from + body.len());
    }
}

fn ends_sentence(text: &str, at: usize, c: char) -> bool {
    let rest = &text[at + c.len_utf8()..];
    let gap = rest.starts_with(char::is_whitespace);
    match c {
        '\n' => true,
        '!' | '?' | '\u{2026}' => gap,
        '.' => gap && !abbreviates(text, at, rest),
        _ => false,
    }
}

/// Whether the full stop at `at` belongs to an abbreviation or an initial.
fn abbreviates(text: &str, at: usize, rest: &str) -> bool {
    let word = text[..at]
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    let lower = word.to_lowercase();
    let initial = word.len() == 1 && word.starts_with(|c: char| c.is_ascii_uppercase());
    // "at 7 p.m. We open": a capital letter after a time ends the sentence all the same.
    let goes_on = !rest.trim_start().starts_with(char::is_uppercase);
    match lower.as_str() {
        "a.m" | "p.m" | "etc" | "no" => goes_on,
        _ => initial && word != "I" || ABBREVIATIONS.contains(&lower.as_str()),
    }
}
