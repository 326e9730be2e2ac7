//! From written text to the words a voice should say, and back to their place in the text.
//!
//! Every spoken word knows the span of source text it stands for, so that the ledger can
//! say in the source's own words how far the caller heard.

mod sentences;
mod token;

use std::ops::Range;

pub use sentences::sentences;

/// Text ready for a voice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spoken {
    /// The words with the punctuation that shapes phrases, ASCII, one space between words.
    pub text: String,
    /// One entry for each word of `text`, in order.
    pub words: Vec<Aligned>,
}

/// Where one spoken word comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// Bytes of the source text; several spoken words may stand for one span.
    pub source: Range<usize>,
    /// Bytes of [`Spoken::text`], without punctuation.
    pub spoken: Range<usize>,
}

/// One written token, split from its punctuation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) core: &'a str,
    /// What follows it directly: the phrase mark.
    pub(crate) mark: Option<char>,
    /// Core of the token before, if any.
    pub(crate) before: &'a str,
    /// Core of the token after, if any.
    pub(crate) after: &'a str,
}

/// Reads a text the way a speaker would: times, money, dates, codes and telephone numbers
/// become words. Source spans count from the start of `text`.
pub fn normalise(text: &str) -> Spoken {
    let tokens = split(text);
    let mut spoken = Spoken::default();
    for (i, (range, mark)) in tokens.iter().enumerate() {
        let neighbour = |at: Option<usize>| {
            at.and_then(|n| tokens.get(n))
                .map_or("", |(r, _)| &text[r.clone()])
        };
        let written = Written {
            core: &text[range.clone()],
            mark: *mark,
            before: neighbour(i.checked_sub(1)),
            after: neighbour(Some(i + 1)),
        };
        let words = token::words(&written);
        spoken.append(range, &words, token::phrase_mark(&written));
    }
    spoken
}

impl Spoken {
    /// Adds the words of one token; a word ending in a comma asks for a short pause after it.
    fn append(&mut self, source: &Range<usize>, words: &[String], mark: Option<char>) {
        for word in words {
            let pause = word.ends_with(',');
            let word = word.trim_end_matches(',');
            if word.is_empty() {
                continue;
            }
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            let start = self.text.len();
            self.text.push_str(word);
            self.words.push(Aligned {
                source: source.clone(),
                spoken: start..self.text.len(),
            });
            if pause {
                self.text.push(',');
            }
        }
        if let Some(mark) = mark
            && !self.text.is_empty()
        {
            while self.text.ends_with([',', '.', '!', '?']) {
                self.text.pop();
            }
            self.text.push(mark);
        }
    }
}

/// Tokens: the byte span of each core, and the phrase mark behind it.
fn split(text: &str) -> Vec<(Range<usize>, Option<char>)> {
    let mut tokens = Vec::new();
    for (start, token) in pieces(text) {
        let head = token.trim_start_matches(opens);
        let core = head.trim_end_matches(closes);
        let from = start + token.len() - head.len();
        let mark = mark(&head[core.len()..]);
        if core.is_empty() {
            lone_dash(&mut tokens, token);
        } else {
            tokens.push((from..from + core.len(), mark));
        }
    }
    tokens
}

/// Whitespace-separated pieces with their place; a long dash separates too.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive(|c: char| c.is_whitespace() || c == '\u{2014}')
        .filter_map(move |piece| {
            let start = at;
            at += piece.len();
            let token = piece.trim_end();
            (!token.is_empty()).then_some((start, token))
        })
}

/// A dash standing alone is a short pause after the word before it.
fn lone_dash(tokens: &mut [(Range<usize>, Option<char>)], token: &str) {
    let dash = token.contains(['-', '\u{2013}', '\u{2014}']);
    if let Some((_, mark @ None)) = tokens.last_mut()
        && dash
    {
        *mark = Some(',');
    }
}

fn opens(c: char) -> bool {
    !c.is_alphanumeric() && !matches!(c, '$' | '£' | '€' | '+' | '#' | '&' | '@' | '*')
}

fn closes(c: char) -> bool {
    !c.is_alphanumeric() && !matches!(c, '%' | '#' | '&' | '@' | '+' | '*' | '$' | '€')
}

/// The strongest phrase mark among what follows a word.
fn mark(punctuation: &str) -> Option<char> {
    let has = |marks: &[char]| punctuation.chars().find(|c| marks.contains(c));
    has(&['?', '!', '.'])
        .or_else(|| has(&['\u{2026}']).map(|_| '.'))
        .or_else(|| has(&[',', ';', ':', ')', '\u{2014}', '\u{2013}']).map(|_| ','))
}

#[cfg(test)]
mod tests;
