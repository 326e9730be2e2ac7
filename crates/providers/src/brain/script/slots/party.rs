//! How many: "for four", "party of 6", "just me", "two adults and two kids".

use super::{Found, Taken};
use crate::brain::script::words::Words;

const PEOPLE: &[&str] = &[
    "people", "peoples", "persons", "person", "guests", "guest", "adults", "adult", "seats",
    "seat", "friends", "kids", "kid", "children", "child", "pax", "covers", "diners", "heads",
    "ppl",
];
const GROUP: &[&str] = &[
    "table",
    "party",
    "group",
    "family",
    "booking",
    "reservation",
    "tables",
    "parties",
];
const COMPANION: &[&str] = &[
    "wife",
    "husband",
    "partner",
    "girlfriend",
    "boyfriend",
    "friend",
    "mother",
    "father",
    "son",
    "daughter",
    "mum",
    "mom",
    "dad",
    "sister",
    "brother",
    "colleague",
];

/// Every party said in a way that leaves no doubt. `asked`: the caller was asked how many;
/// `time_asked`: he was asked what time, so "for seven" is one.
pub(in crate::brain::script) fn find(
    words: &Words,
    asked: bool,
    time_asked: bool,
    taken: &Taken,
) -> Vec<Found<u32>> {
    let mut found: Vec<Found<u32>> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match party_at(words, at, asked, time_asked) {
            Some((count, used)) if !taken.any(at, at + used) => {
                add(words, &mut found, count, at, used);
                at += used;
            }
            _ => at += 1,
        }
    }
    found
}

/// "two adults and two kids" are four, not two or two.
fn add(words: &Words, found: &mut Vec<Found<u32>>, count: u32, from: usize, used: usize) {
    let to = from + used;
    if let Some(last) = found.last_mut() {
        let adults = words.is(last.to.wrapping_sub(1), &["adults", "adult"]);
        let kids = words.is(to.wrapping_sub(1), &["kids", "kid", "children", "child"]);
        if adults && kids {
            last.value += count;
            last.to = to;
            return;
        }
    }
    found.push(Found {
        value: count,
        from,
        to,
    });
}

fn party_at(words: &Words, at: usize, asked: bool, time_asked: bool) -> Option<(u32, usize)> {
    alone(words, at)
        .or_else(|| company(words, at))
        .or_else(|| counted(words, at))
        .or_else(|| led(words, at, time_asked))
        .or_else(|| misheard_answer(words, asked))
}

/// "just me", "by myself", "on my own".
fn alone(words: &Words, at: usize) -> Option<(u32, usize)> {
    match (words.at(at), words.at(at + 1), words.at(at + 2)) {
        ("just" | "only", "me" | "myself" | "one", _) | ("by", "myself", _) => Some((1, 2)),
        ("on", "my", "own") => Some((1, 3)),
        ("alone", ..) => Some((1, 1)),
        _ => None,
    }
}

/// "me and my wife", "my wife and I", "me and three friends", "a couple".
fn company(words: &Words, at: usize) -> Option<(u32, usize)> {
    match (
        words.at(at),
        words.at(at + 1),
        words.at(at + 2),
        words.at(at + 3),
    ) {
        ("me" | "myself", "and" | "plus", "my" | "a", who) if COMPANION.contains(&who) => {
            Some((2, 4))
        }
        ("my", who, "and", "i" | "me" | "myself") if COMPANION.contains(&who) => Some((2, 4)),
        ("we", "are", "for", "") => Some((4, 3)),
        ("were", "for", "", _) => Some((4, 2)),
        ("me" | "myself", "and" | "plus", ..) => {
            let (more, used) = words.number(at + 2)?;
            Some((more + 1, 2 + used))
        }
        ("a", "couple", "of", "people" | "persons" | "guests") => Some((2, 4)),
        ("half", "a", "dozen", _) => Some((6, 3)),
        ("a", "dozen", ..) => Some((12, 2)),
        _ => None,
    }
}

/// "four people", "4 of us", "four hungry people".
fn counted(words: &Words, at: usize) -> Option<(u32, usize)> {
    let misheard = homophone(words.at(at)).filter(|_| words.is(at + 1, &["people", "persons"]));
    let (count, used) = words.number(at).or(misheard.map(|n| (n, 1)))?;
    let after = at + used;
    if words.is(after, PEOPLE) {
        return Some((count, used + 1));
    }
    if words.is(after, &["of"]) && words.is(after + 1, &["us", "them"]) {
        return Some((count, used + 2));
    }
    let adjective = !words.at(after).is_empty() && words.number(after).is_none();
    let people = words.is(after + 1, &["people", "guests", "friends"]);
    (adjective && people && !words.is(after, &["and", "for", "at", "on", "with"]))
        .then_some((count, used + 2))
}

/// "for four", "party of six", "a table four", and what the recogniser makes of them.
fn led(words: &Words, at: usize, time_asked: bool) -> Option<(u32, usize)> {
    let group = GROUP.contains(&words.at(at));
    let lead = match words.at(at) {
        "for" if !time_asked => 1,
        _ if group && words.is(at + 1, &["for", "of"]) => 2,
        _ if group => 1,
        _ => return None,
    };
    let the = usize::from(words.is(at + lead, &["the", "about", "maybe", "a"]));
    // "A table for two", heard as "a table four two".
    let heard_four = lead == 1 && group && words.is(at + 1, &["four", "4"]);
    let the = the + usize::from(heard_four && words.number(at + 2).is_some());
    let number = at + lead + the;
    if group && lead == 2 && words.is(number, &["party", "group", "family"]) {
        return None;
    }
    let (count, used) = words.number(number).or_else(|| misheard(words, number))?;
    let people = usize::from(words.is(number + used, PEOPLE));
    (count < 100).then_some((count, lead + the + used + people))
}

/// Number words that sound like others.
fn misheard(words: &Words, at: usize) -> Option<(u32, usize)> {
    let ends = |next: &str| {
        next.is_empty()
            || matches!(
                next,
                "on" | "at" | "for" | "people" | "please" | "tomorrow" | "tonight" | "today"
            )
            || next.ends_with("day")
    };
    homophone(words.at(at))
        .filter(|_| ends(words.at(at + 1)) && !words.is(at, &["it", "every", "do", "mine"]))
        .map(|n| (n, 1))
}

/// The whole answer to "how many?" is one misheard word.
fn misheard_answer(words: &Words, asked: bool) -> Option<(u32, usize)> {
    (asked && words.len() == 1)
        .then(|| homophone(words.at(0)))
        .flatten()
        .map(|n| (n, 1))
}

/// The number a word sounds like.
pub(in crate::brain::script) fn homophone(word: &str) -> Option<u32> {
    match word {
        "won" => Some(1),
        "to" | "too" | "do" => Some(2),
        "tree" | "free" => Some(3),
        "for" | "fore" | "full" => Some(4),
        "sex" | "sick" => Some(6),
        "fife" | "fire" => Some(5),
        "ate" | "aid" | "hate" | "it" | "abe" | "bait" | "eat" | "age" | "late" | "every" => {
            Some(8)
        }
        "nein" | "night" | "mine" => Some(9),
        "tan" => Some(10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties(text: &str, asked: bool) -> Vec<u32> {
        let words = Words::read(text, &[]);
        find(&words, asked, false, &Taken::none(&words))
            .iter()
            .map(|found| found.value)
            .collect()
    }

    #[test]
    fn parties_are_found_however_they_are_said() {
        for (text, expected) in [
            ("a table for four", 4),
            ("a table for 4 on friday", 4),
            ("a table four on friday at seven", 4),
            ("a table for for on friday", 4),
            ("a table four two tonight", 2),
            ("make it free people", 3),
            ("table for to please", 2),
            ("party of six", 6),
            ("there will be five of us", 5),
            ("8 people", 8),
            ("four hungry people", 4),
            ("just me", 1),
            ("me and my wife", 2),
            ("me and 3 friends", 4),
            ("two adults and two kids", 4),
            ("for twenty two", 22),
            ("a dozen", 12),
        ] {
            assert_eq!(parties(text, false), [expected], "{text}");
        }
        assert_eq!(parties("to", true), [2]);
    }

    #[test]
    fn other_sentences_have_no_party() {
        for text in [
            "a table for friday",
            "for tomorrow",
            "i would like to book",
            "one moment",
            "4",
        ] {
            assert!(
                parties(text, false).is_empty(),
                "{text}: {:?}",
                parties(text, false)
            );
        }
    }
}
