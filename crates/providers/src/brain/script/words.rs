//! The caller's words as a recogniser writes them, made even: small letters, numbers read, split
//! words joined.

use serde::Deserialize;

/// Most words of one turn that are looked at; a turn of speech has fewer.
const MAX_WORDS: usize = 160;

/// What a recogniser splits or mishears, and what was meant.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Repair {
    /// Words as heard, separated by spaces.
    pub(super) heard: Vec<String>,
    /// Words as meant.
    pub(super) meant: String,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Small letters or digits; `7:30` for a time.
    pub(super) text: String,
}

/// The words of one turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words(Vec<Word>);

impl Words {
    /// Reads a turn.
    pub(super) fn read(text: &str, repairs: &[Repair]) -> Self {
        let mut words = Vec::new();
        for chunk in text.split_whitespace().take(MAX_WORDS) {
            split(&chunk.to_lowercase(), &mut words);
        }
        words.truncate(MAX_WORDS);
        Self(repaired(&words, repairs))
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The word at `at`; empty beyond the end.
    pub(super) fn at(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |word| word.text.as_str())
    }

    /// The word `back` places before `at`; empty before the start.
    pub(super) fn before(&self, at: usize, back: usize) -> &str {
        at.checked_sub(back).map_or("", |place| self.at(place))
    }

    /// Whether the word at `at` is one of those.
    pub(super) fn is(&self, at: usize, any: &[&str]) -> bool {
        any.contains(&self.at(at))
    }

    /// All words.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|word| word.text.as_str())
    }

    /// A number at `at`, in digits or words up to 99, and how many words it takes.
    pub(super) fn number(&self, at: usize) -> Option<(u32, usize)> {
        let word = self.at(at);
        if let Some(tens) = tens(word) {
            return match unit(self.at(at + 1)) {
                Some(one) if one > 0 => Some((tens + one, 2)),
                _ => Some((tens, 1)),
            };
        }
        if let Some(value) = unit(word).or_else(|| teen(word)) {
            return Some((value, 1));
        }
        let digits =
            !word.is_empty() && word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| word.parse().ok()).flatten().map(|n| (n, 1))
    }

    /// An ordinal at `at` (`21st`, `twenty first`) and how many words it takes.
    pub(super) fn ordinal(&self, at: usize) -> Option<(u32, usize)> {
        if let (Some(tens), Some(one)) = (tens(self.at(at)), ordinal_word(self.at(at + 1))) {
            return (one < 10).then_some((tens + one, 2));
        }
        let word = self.at(at);
        let digits = ["st", "nd", "rd", "th"]
            .iter()
            .find_map(|ending| word.strip_suffix(ending))
            .and_then(|digits| digits.parse().ok());
        digits.or_else(|| ordinal_word(word)).map(|n| (n, 1))
    }
}

/// Splits one chunk between spaces: punctuation away, `7pm` in two, `7:30` whole.
fn split(chunk: &str, words: &mut Vec<Word>) {
    let bare: String = chunk.chars().filter(|c| c.is_alphanumeric()).collect();
    if bare == "pm" || bare == "am" {
        return words.push(Word { text: bare });
    }
    let chars: Vec<char> = chunk.chars().collect();
    let mut current = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match c {
            '\'' | '\u{2019}' => {}
            '+' if next.is_ascii_digit() => push(words, &mut current, "plus"),
            '&' => push(words, &mut current, "and"),
            ':' | '.' if is_clock(&current, &chars[at + 1..]) => current.push(':'),
            c if c.is_alphanumeric() => {
                if current.ends_with(|last: char| last.is_ascii_digit()) && c.is_alphabetic() {
                    let rest: String = chars[at..].iter().collect();
                    if !is_ordinal_ending(&rest) {
                        push(words, &mut current, "");
                    }
                }
                current.push(c);
            }
            _ => push(words, &mut current, ""),
        }
    }
    push(words, &mut current, "");
}

fn push(words: &mut Vec<Word>, current: &mut String, then: &str) {
    for text in [std::mem::take(current), then.to_owned()] {
        if !text.is_empty() {
            words.push(Word { text });
        }
    }
}

/// `7` before and exactly two digits after: a time of day, not a telephone number or the end of a
/// sentence.
fn is_clock(before: &str, after: &[char]) -> bool {
    let hour = (1..=2).contains(&before.len()) && before.bytes().all(|b| b.is_ascii_digit());
    let digits = after.iter().take_while(|c| c.is_ascii_digit()).count();
    hour && digits == 2
}

fn is_ordinal_ending(rest: &str) -> bool {
    let letters: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    matches!(letters.as_str(), "st" | "nd" | "rd" | "th")
}

fn repaired(words: &[Word], repairs: &[Repair]) -> Vec<Word> {
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        match repairs
            .iter()
            .find_map(|r| Some((r, heard(r, &words[at..])?)))
        {
            Some((repair, taken)) => {
                out.extend(
                    repair
                        .meant
                        .split(' ')
                        .map(|word| Word { text: word.into() }),
                );
                at += taken;
            }
            None => {
                out.push(words[at].clone());
                at += 1;
            }
        }
    }
    out
}

fn heard(repair: &Repair, words: &[Word]) -> Option<usize> {
    repair.heard.iter().find_map(|heard| {
        let mut count = 0;
        for part in heard.split(' ') {
            if words.get(count).map(|word| word.text.as_str()) != Some(part) {
                return None;
            }
            count += 1;
        }
        Some(count)
    })
}

/// Zero to nine.
pub(super) fn unit(word: &str) -> Option<u32> {
    const UNITS: [&str; 10] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    place(&UNITS, word)
}

/// Ten to nineteen.
pub(super) fn teen(word: &str) -> Option<u32> {
    const TEENS: [&str; 10] = [
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    place(&TEENS, word).map(|n| n + 10)
}

/// Twenty to ninety.
pub(super) fn tens(word: &str) -> Option<u32> {
    const TENS: [&str; 8] = [
        "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    place(&TENS, word).map(|n| (n + 2) * 10)
}

fn ordinal_word(word: &str) -> Option<u32> {
    const ORDINALS: [&str; 20] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
        "twentieth",
    ];
    if word == "thirtieth" {
        return Some(30);
    }
    place(&ORDINALS, word).map(|n| n + 1)
}

fn place(row: &[&str], word: &str) -> Option<u32> {
    row.iter()
        .position(|entry| *entry == word)
        .map(|n| n as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let repairs = [Repair {
            heard: vec!["fry day".into()],
            meant: "friday".into(),
        }];
        Words::read(text, &repairs)
            .iter()
            .map(String::from)
            .collect()
    }

    #[test]
    fn spellings_of_a_recogniser_come_out_even() {
        for (text, expected) in [
            ("At 7:30 p.m., please.", "at 7:30 pm please"),
            ("7pm", "7 pm"),
            ("7.30", "7:30"),
            ("Seven o'clock.", "seven oclock"),
            ("the 21st", "the 21st"),
            ("555-0123", "555 0123"),
            ("+1 (555) 010-0123", "plus 1 555 010 0123"),
            ("fry day", "friday"),
            ("It's for 4.", "its for 4"),
            ("5, 5, 5...", "5 5 5"),
            ("\u{fffd}\0", ""),
        ] {
            assert_eq!(texts(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn numbers_and_ordinals_are_read_in_digits_and_words() {
        let words = Words::read("twenty one people on the twenty-first or 22nd at 19", &[]);
        assert_eq!(words.number(0), Some((21, 2)));
        assert_eq!(words.ordinal(5), Some((21, 2)));
        assert_eq!(words.ordinal(8), Some((22, 1)));
        assert_eq!(words.number(10), Some((19, 1)));
        assert_eq!(words.number(99), None);
    }
}
