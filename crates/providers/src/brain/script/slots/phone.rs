//! A telephone number in groups: "five five five oh one two three", "555-0123", "double seven".

use super::Found;
use crate::brain::script::words::{Words, teen, tens, unit};

use super::party::homophone;

/// Digits that make a number complete.
pub(in crate::brain::script) const ENOUGH: usize = 7;
/// Digits that make one when the caller says that it is whole.
pub(in crate::brain::script) const SHORTEST: usize = 5;
/// Most digits of a number (E.164).
pub(in crate::brain::script) const MOST: usize = 15;

/// Whether the caller was asked for his number: then misheard digits between digits count, and three
/// digits are a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::brain::script) enum Asked {
    /// No.
    No,
    /// For all of it.
    Whole,
    /// A part is there; what comes goes on with it.
    TheRest,
}

/// The longest run of spoken digits.
pub(in crate::brain::script) fn find(words: &Words, asked: Asked) -> Option<(String, Found<()>)> {
    let mut best: Option<(String, Found<()>)> = None;
    let mut at = 0;
    while at < words.len() {
        let (digits, to) = run(words, at, asked);
        // "at seven thirty" is a time, however many digits it has.
        let timed = words.is(at.wrapping_sub(1), &["at", "around", "on", "past", "for"]);
        let short = timed && digits.len() < ENOUGH;
        let longer = !short
            && best
                .as_ref()
                .is_none_or(|(known, _)| digits.len() > known.len());
        if longer && !digits.is_empty() {
            let place = Found {
                value: (),
                from: at,
                to,
            };
            best = Some((digits, place));
        }
        at = to.max(at + 1);
    }
    let least = if asked == Asked::No { ENOUGH } else { 3 };
    best.filter(|(digits, _)| digits.trim_start_matches('+').len() >= least)
}

fn run(words: &Words, from: usize, asked: Asked) -> (String, usize) {
    let mut digits = String::new();
    let (mut at, mut to) = (from, from);
    while at < words.len() && digits.len() <= MOST {
        match group(words, at, asked, !digits.is_empty()) {
            Some((more, used)) => {
                digits.push_str(&more);
                at += used;
                to = at;
            }
            None if !digits.is_empty() && between(words.at(at)) => at += 1,
            None => break,
        }
    }
    (digits, to)
}

/// Words people put between groups of digits.
fn between(word: &str) -> bool {
    matches!(
        word,
        "and" | "um" | "uh" | "er" | "then" | "dash" | "hyphen" | "space" | "comma"
    )
}

fn group(words: &Words, at: usize, asked: Asked, inside: bool) -> Option<(String, usize)> {
    let word = words.at(at);
    if word == "plus" && !inside {
        return Some(("+".into(), 1));
    }
    if let Some(times) = repeat(word) {
        let (digit, used) = single(words.at(at + 1)).map(|digit| (digit, 2))?;
        return Some((digit.repeat(times), used));
    }
    if let Some(tens) = tens(word) {
        let one = unit(words.at(at + 1)).filter(|one| *one > 0);
        let used = 1 + usize::from(one.is_some());
        return Some(((tens + one.unwrap_or(0)).to_string(), used));
    }
    let hundred = words.is(at + 1, &["hundred"]);
    let digits = single(word)
        .or_else(|| teen(word).map(|n| n.to_string()))
        .or_else(|| written(word))
        .or_else(|| zero(words, at, asked, inside))
        .or_else(|| sounds_like(words, at, asked != Asked::No && inside))?;
    if hundred {
        return Some((digits + "00", 2));
    }
    Some((digits, 1))
}

fn repeat(word: &str) -> Option<usize> {
    match word {
        "double" => Some(2),
        "triple" | "treble" => Some(3),
        _ => None,
    }
}

fn single(word: &str) -> Option<String> {
    match word {
        "oh" | "o" | "nought" | "naught" | "nil" | "ow" => Some("0".into()),
        _ => unit(word)
            .map(|n| n.to_string())
            .or_else(|| written(word).filter(|digits| digits.len() == 1)),
    }
}

/// Digits as written; the recogniser may see a time in three of them (`5:55`).
fn written(word: &str) -> Option<String> {
    let digits: String = word.chars().filter(|c| *c != ':').collect();
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (all && digits.len() <= MOST).then_some(digits)
}

/// "Oh" as recognisers write it: before or between digits of a number that was asked for.
fn zero(words: &Words, at: usize, asked: Asked, inside: bool) -> Option<String> {
    let leads = ["or", "bo", "so", "a", "ore", "all", "no"];
    let begins = asked == Asked::TheRest && words.is(at, &leads);
    let goes_on = inside && words.is(at, &["or", "bo", "ore", "all", "our"]);
    let digit = |ahead| {
        let word = words.at(at + ahead);
        single(word).is_some() || homophone(word).is_some()
    };
    let fits = match inside {
        true => goes_on && digit(1),
        false => begins && (1..=3).all(digit),
    };
    (asked != Asked::No && fits).then(|| "0".to_owned())
}

/// A misheard digit counts only between others.
fn sounds_like(words: &Words, at: usize, allowed: bool) -> Option<String> {
    let digit = homophone(words.at(at)).filter(|_| allowed)?;
    let next = words.at(at + 1);
    let more = single(next).is_some() || written(next).is_some() || homophone(next).is_some();
    (more || next.is_empty()).then(|| digit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, asked: bool) -> Option<String> {
        let asked = if asked { Asked::Whole } else { Asked::No };
        find(&Words::read(text, &[]), asked).map(|found| found.0)
    }

    #[test]
    fn numbers_are_found_however_they_are_said() {
        for (text, expected) in [
            ("five five five oh one two three", "5550123"),
            ("my number is 555-0123", "5550123"),
            ("555 01 23", "5550123"),
            ("five double five zero one double two", "5550122"),
            ("triple five oh one twenty three", "5550123"),
            ("plus one five five five zero one zero zero", "+15550100"),
            ("+1 (555) 010-0123", "+15550100123"),
            ("it is 5, 5, 5, 0, 1, 2, 3 thank you", "5550123"),
            ("five five five eight hundred one two", "55580012"),
            ("5,550,123", "5550123"),
            ("5:55 0123", "5550123"),
        ] {
            assert_eq!(number(text, false).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn misheard_digits_count_only_when_a_number_was_asked() {
        let text = "five five for oh won to three";
        assert_eq!(number(text, true).as_deref(), Some("5540123"));
        assert_eq!(number(text, false), None);
    }

    #[test]
    fn the_rest_of_a_number_may_begin_with_a_misheard_zero() {
        for text in [
            "oh one two three",
            "A one, two, three.",
            "No one to three.",
            "So one, two, three.",
        ] {
            let found = find(&Words::read(text, &[]), Asked::TheRest).map(|found| found.0);
            assert_eq!(found.as_deref(), Some("0123"), "{text}");
        }
        assert_eq!(number("no one two three", true).as_deref(), Some("123"));
    }

    #[test]
    fn parts_count_only_when_asked_and_bookings_are_no_numbers() {
        assert_eq!(number("five five five", true).as_deref(), Some("555"));
        assert_eq!(number("five five five", false), None);
        assert_eq!(
            number("a table for four on friday at seven thirty", true),
            None
        );
    }
}
