//! What the words say about whether the caller has finished.

use std::time::Duration;

use model::agent::TurnConfig;

/// Words after which nobody stops.
const UNFINISHED: &[&str] = &[
    "a", "about", "an", "and", "around", "at", "because", "between", "but", "by", "for", "from",
    "i'd", "if", "in", "is", "like", "maybe", "my", "of", "on", "or", "our", "so", "that", "the",
    "then", "this", "to", "uh", "um", "until", "with", "would", "your",
];
/// Words for one digit.
const DIGITS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];

/// The silence that makes these words a turn.
pub(super) fn endpoint_wait(text: &str, config: &TurnConfig) -> Duration {
    let (min, max) = (
        config.endpoint_min_ms,
        config.endpoint_max_ms.max(config.endpoint_min_ms),
    );
    let wait_ms = match ending(text) {
        Ending::Finished => min,
        Ending::Open => min + (max - min) / 4,
        Ending::MaybeMore => min + (max - min) / 2,
        Ending::Unfinished => max,
    };
    Duration::from_millis(u64::from(wait_ms))
}

/// How a phrase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Finished,
    /// Nothing tells: the recogniser writes no punctuation.
    Open,
    /// It could be whole and could go on.
    MaybeMore,
    Unfinished,
}

fn ending(text: &str) -> Ending {
    let text = text.trim();
    if ["...", "…", ",", "-", "–", "—", ":"]
        .iter()
        .any(|mark| text.ends_with(mark))
    {
        return Ending::Unfinished;
    }
    let words = bare_words(text);
    if words
        .last()
        .is_some_and(|last| UNFINISHED.contains(&last.as_str()))
    {
        return Ending::Unfinished;
    }
    match trailing_digits(&words) {
        3..=6 | 8 | 9 => return Ending::Unfinished,
        7 | 10.. => return Ending::MaybeMore,
        _ => {}
    }
    if text.ends_with(['.', '?', '!']) || words.len() == 1 {
        Ending::Finished
    } else if text.contains(['.', ',', '?', '!']) || text.starts_with(char::is_uppercase) {
        Ending::MaybeMore
    } else {
        Ending::Open
    }
}

/// Digits of a number that is being read out at the end; a time or a party size is none.
fn trailing_digits(words: &[String]) -> usize {
    let read_out: Vec<usize> = words
        .iter()
        .rev()
        .map_while(|word| digits_in(word))
        .collect();
    let digits = read_out.iter().sum();
    if read_out.len() >= 2 || digits >= 5 {
        digits
    } else {
        0
    }
}

fn digits_in(word: &str) -> Option<usize> {
    if DIGITS.contains(&word) {
        return Some(1);
    }
    let digits = word.chars().filter(char::is_ascii_digit).count();
    (digits > 0 && word.chars().all(|c| c.is_ascii_digit() || c == '-')).then_some(digits)
}

/// Lower case, without punctuation at the edges.
fn bare_words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// How many of the words are more than a listener's noise. Listed phrases may have several words.
pub(super) fn words_that_count(text: &str, backchannel: &[String]) -> usize {
    let words = bare_words(text);
    let listed: Vec<Vec<String>> = backchannel
        .iter()
        .map(|phrase| bare_words(phrase))
        .filter(|p| !p.is_empty())
        .collect();
    let mut rest = words.as_slice();
    let mut count = 0;
    while let Some((_, after)) = rest.split_first() {
        let longest = listed
            .iter()
            .filter(|phrase| starts_with(rest, phrase))
            .map(Vec::len)
            .max();
        count += usize::from(longest.is_none());
        rest = longest
            .and_then(|length| rest.get(length..))
            .unwrap_or(after);
    }
    count
}

/// Whether words begin with a phrase, hyphens aside ("mm hmm", "mm-hmm").
fn starts_with(words: &[String], phrase: &[String]) -> bool {
    words.len() >= phrase.len()
        && words
            .iter()
            .zip(phrase)
            .all(|(word, wanted)| same(word, wanted))
}

fn same(word: &str, wanted: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| *c != '-').collect::<String>();
    word == wanted || letters(word) == letters(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u128 {
        let config = TurnConfig {
            endpoint_min_ms: 400,
            endpoint_max_ms: 1_200,
            ..TurnConfig::default()
        };
        endpoint_wait(text, &config).as_millis()
    }

    #[test]
    fn words_tell_how_long_to_wait() {
        for (text, wait_ms) in [
            ("A table for four, please.", 400),
            ("yes", 400),
            ("a table for four on friday", 600),
            ("A table for four on Friday", 800),
            ("a table for four and", 1_200),
            ("I would like to come at", 1_200),
            ("my number is five five five", 1_200),
            ("555 01", 1_200),
            ("five five five zero one zero zero", 800),
            ("for four at seven", 600),
            ("well,", 1_200),
        ] {
            assert_eq!(ms(text), wait_ms, "{text}");
        }
    }

    #[test]
    fn a_listeners_noises_do_not_count() {
        let list = TurnConfig::default().backchannel;
        assert_eq!(
            words_that_count(
                "Mm hmm. Yeah, okay!",
                &[list, vec!["mm hmm".into()]].concat()
            ),
            0
        );
        assert_eq!(
            words_that_count("yeah but wait", &TurnConfig::default().backchannel),
            2
        );
        assert_eq!(
            words_that_count("uh-huh", &TurnConfig::default().backchannel),
            0
        );
    }
}
