//! Word error: how far what was heard is from what was said.
//!
//! Both sides pass the same normaliser, so that spelling is not taken for hearing:
//! lower case, no punctuation, no bracketed stage directions, contractions and numbers
//! written out, common compounds split.

use crate::number_words;

/// Spellings that sound alike; both sides become the right-hand form.
const SPELLINGS: [(&str, &str); 34] = [
    ("cannot", "can not"),
    ("voicemail", "voice mail"),
    ("voicemails", "voice mails"),
    ("keypad", "key pad"),
    ("keywords", "key words"),
    ("keyword", "key word"),
    ("blacklist", "black list"),
    ("whitelist", "white list"),
    ("touchtone", "touch tone"),
    ("rerecord", "re record"),
    ("mailbox", "mail box"),
    ("mailboxes", "mail boxes"),
    ("filename", "file name"),
    ("goodbye", "good bye"),
    ("login", "log in"),
    ("logon", "log on"),
    ("logoff", "log off"),
    ("logout", "log out"),
    ("hangup", "hang up"),
    ("playback", "play back"),
    ("ok", "okay"),
    ("cancelled", "canceled"),
    ("labelled", "labeled"),
    ("centre", "center"),
    ("colour", "color"),
    ("mr", "mister"),
    ("mrs", "missus"),
    ("dr", "doctor"),
    ("st", "saint"),
    ("vs", "versus"),
    ("alright", "all right"),
    ("everyday", "every day"),
    ("sometime", "some time"),
    ("anymore", "any more"),
];

/// Endings of contracted words, written out.
const CONTRACTIONS: [(&str, &str); 6] = [
    ("n't", " not"),
    ("'re", " are"),
    ("'ve", " have"),
    ("'ll", " will"),
    ("'m", " am"),
    ("'d", " would"),
];

/// After these a final 's is "is" (or "us"), not a possessive.
const IS_AFTER: [&str; 11] = [
    "it", "that", "there", "here", "what", "who", "where", "he", "she", "how", "this",
];

/// Edits and words summed over a corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Words put in, left out or changed.
    pub edits: usize,
    /// Words of the reference.
    pub words: usize,
}

impl Score {
    /// Edits per reference word; 0 for an empty corpus without edits.
    pub fn rate(&self) -> f64 {
        self.edits as f64 / self.words.max(1) as f64
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Score) {
        self.edits += other.edits;
        self.words += other.words;
    }
}

/// Compares what was heard with what was said, both normalised.
pub fn score(said: &str, heard: &str) -> Score {
    let (said, heard) = (normalise(said), normalise(heard));
    Score {
        edits: distance(&said, &heard),
        words: said.len(),
    }
}

/// The words of a text in the form they are compared in.
pub fn normalise(text: &str) -> Vec<String> {
    let text = without_directions(text)
        .to_lowercase()
        .replace(['\u{2019}', '\u{2018}'], "'");
    let mut words = Vec::new();
    for token in tokens(&text) {
        for part in written_out(&token).split_whitespace() {
            words.extend(spelled(part));
        }
    }
    words
}

/// Takes away `[...]`, `(...)` and `<...>`; an opening bracket without its end stays.
pub fn without_directions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(['[', '(', '<']) {
        let close = match rest.as_bytes()[open] {
            b'[' => ']',
            b'(' => ')',
            _ => '>',
        };
        let Some(length) = rest[open..].find(close) else {
            break;
        };
        out.push_str(&rest[..open]);
        out.push(' ');
        rest = &rest[open + length + 1..];
    }
    out.push_str(rest);
    out
}

/// Splits at everything that is neither letter, digit nor apostrophe, and between letters
/// and digits; signs that are spoken become words; commas inside a number vanish.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut word = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|b| chars.get(b));
        let within = before.is_some_and(char::is_ascii_digit)
            && chars.get(i + 1).is_some_and(char::is_ascii_digit);
        if *c == ',' && within && thousands(&chars, i) {
            continue;
        }
        let last = word.chars().next_back();
        let turn = last.is_some_and(|b| b.is_ascii_digit() != c.is_ascii_digit());
        if !(c.is_alphanumeric() || *c == '\'') || (turn && !suffix(&chars, i)) {
            push(&mut tokens, &mut word);
        }
        match c {
            '#' => tokens.push("pound".into()),
            '*' => tokens.push("star".into()),
            '&' => tokens.push("and".into()),
            '%' => tokens.push("percent".into()),
            '@' => tokens.push("at".into()),
            '.' if within => tokens.push("point".into()),
            c if c.is_alphanumeric() || *c == '\'' => word.push(*c),
            _ => {}
        }
    }
    push(&mut tokens, &mut word);
    tokens
}

fn push(tokens: &mut Vec<String>, word: &mut String) {
    let trimmed = word.trim_matches('\'');
    if !trimmed.is_empty() {
        tokens.push(trimmed.to_owned());
    }
    word.clear();
}

/// Whether the comma at `at` groups exactly three digits.
fn thousands(chars: &[char], at: usize) -> bool {
    let digits = chars[at + 1..]
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .count();
    digits == 3
}

/// Whether an ordinal ending (1st, 22nd) starts at `at`: it stays with its number.
fn suffix(chars: &[char], at: usize) -> bool {
    let ending: String = chars[at..].iter().take(2).collect();
    let ends = !chars.get(at + 2).is_some_and(|c| c.is_alphanumeric());
    ends && matches!(ending.as_str(), "st" | "nd" | "rd" | "th")
}

/// Contractions and numbers of one token, written out.
fn written_out(token: &str) -> String {
    if token.starts_with(|c: char| c.is_ascii_digit()) {
        return number(token);
    }
    match token {
        "can't" => return "can not".into(),
        "won't" => return "will not".into(),
        "let's" => return "let us".into(),
        "o'clock" => return "oclock".into(),
        _ => {}
    }
    for (ending, long) in CONTRACTIONS {
        if let Some(stem) = token.strip_suffix(ending) {
            return format!("{stem}{long}");
        }
    }
    match token.strip_suffix("'s") {
        Some(stem) if IS_AFTER.contains(&stem) => format!("{stem} is"),
        _ => token.replace('\'', ""),
    }
}

fn number(token: &str) -> String {
    let figures = token.trim_end_matches(|c: char| !c.is_ascii_digit());
    let words = match figures.parse::<u64>() {
        Ok(n) if n > number_words::MAX_CARDINAL => number_words::digits(figures),
        Ok(_) if figures.len() > 1 && figures.starts_with('0') => number_words::digits(figures),
        Ok(n) if figures.len() < token.len() => number_words::ordinal(n),
        Ok(n) => number_words::cardinal(n),
        Err(_) => number_words::digits(figures),
    };
    words.join(" ")
}

fn spelled(word: &str) -> Vec<String> {
    let form = SPELLINGS
        .iter()
        .find(|(from, _)| *from == word)
        .map_or(word, |(_, to)| to);
    form.split(' ').map(str::to_owned).collect()
}

/// Levenshtein distance in words.
fn distance(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let change = corner + usize::from(word != other);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[heard.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(normalise(a), normalise(b));
    }

    #[test]
    fn spelling_is_not_hearing() {
        same(
            "You're logged-on, aren't you?",
            "you are logged on are not you",
        );
        same("Press 1, or 22!", "press one or twenty two");
        same(
            "1,250 calls on the 3rd",
            "one thousand two hundred fifty calls on the third",
        );
        same("It\u{2019}s in the voicemail", "it is in the voice mail");
        same("press the # key", "press the pound key");
        same("at 7:30", "at seven thirty");
        same("ext. 4B", "ext four b");
    }

    #[test]
    fn stage_directions_are_not_said() {
        same("Leave a message. (simple tone plays)", "leave a message");
        same("[beep]", "");
        assert_eq!(without_directions("a < b"), "a < b");
    }

    #[test]
    fn edits_are_counted_over_reference_words() {
        let mut sum = score("a b c d", "a x c");
        assert_eq!(sum, Score { edits: 2, words: 4 });
        sum += score("one two", "");
        assert_eq!(sum, Score { edits: 4, words: 6 });
        assert_eq!(score("", "you").edits, 1);
    }
}
