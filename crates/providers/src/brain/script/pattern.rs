//! Patterns of words, as the table of phrases writes them: `how much is|are the? .. menu`.
//!
//! A word, words to choose from (`a|b`), a word that may be missing (`please?`), or a gap of up to
//! three words (`..`).

use super::words::Words;

/// Longest run of words that `..` skips.
const GAP: usize = 3;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Element>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    One(Vec<String>),
    Maybe(Vec<String>),
    Gap,
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn new(text: &str) -> Self {
        Self(text.split_whitespace().map(element).collect())
    }

    /// Where it matches first, from and to.
    pub(super) fn find(&self, words: &Words) -> Option<(usize, usize)> {
        (0..words.len()).find_map(|from| Some((from, self.match_at(words, from)?)))
    }

    /// Whether it matches at `from`, and up to where.
    pub(super) fn match_at(&self, words: &Words, from: usize) -> Option<usize> {
        run(&self.0, words, from)
    }
}

fn element(text: &str) -> Element {
    if text == ".." {
        return Element::Gap;
    }
    let options = |text: &str| text.split('|').map(String::from).collect();
    match text.strip_suffix('?') {
        Some(maybe) => Element::Maybe(options(maybe)),
        None => Element::One(options(text)),
    }
}

fn run(pattern: &[Element], words: &Words, at: usize) -> Option<usize> {
    let Some((first, rest)) = pattern.split_first() else {
        return Some(at);
    };
    let hit = |options: &[String]| options.iter().any(|option| option == words.at(at));
    match first {
        Element::One(options) => hit(options).then(|| run(rest, words, at + 1)).flatten(),
        Element::Maybe(options) => hit(options)
            .then(|| run(rest, words, at + 1))
            .flatten()
            .or_else(|| run(rest, words, at)),
        Element::Gap => {
            let end = words.len().min(at + GAP);
            (at..=end).find_map(|next| run(rest, words, next))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_options_and_gaps_match() {
        let pattern = Pattern::new("how much is|are the? .. menu");
        let find = |text| pattern.find(&Words::read(text, &[]));
        assert_eq!(find("so how much is the tasting menu please"), Some((1, 7)));
        assert_eq!(find("how much are menu"), Some((0, 4)));
        assert_eq!(find("how much is it"), None);
        assert_eq!(find("how much is the a b c d menu"), None);
    }
}
