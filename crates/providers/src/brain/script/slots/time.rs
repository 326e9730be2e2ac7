//! The time of day: "seven", "7:30 p.m.", "half past seven", "quarter to eight", "seven thirty".

use super::{Found, Taken, party::homophone};
use crate::brain::script::words::{Words, unit};

/// Which half of the day was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::brain::script) enum Half {
    /// Before noon.
    Morning,
    /// After noon.
    Evening,
}

/// A time as it was said: "seven" may be 7:00 or 19:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::brain::script) struct Spoken {
    /// 0 to 23.
    pub(in crate::brain::script) hour: u16,
    /// 0 to 59.
    pub(in crate::brain::script) minute: u16,
    /// "a.m.", "in the evening", where said.
    pub(in crate::brain::script) half: Option<Half>,
}

impl Spoken {
    /// Minutes since midnight it may mean, the likelier first: a table is rather for the evening.
    pub(in crate::brain::script) fn readings(self) -> Vec<u16> {
        let as_said = self.hour * 60 + self.minute;
        let later = as_said + 720;
        match (self.hour, self.half) {
            (12, Some(Half::Morning)) => vec![self.minute],
            (12, None) => vec![as_said, self.minute],
            (1..=11, Some(Half::Morning)) => vec![as_said],
            (1..=11, Some(Half::Evening)) => vec![later],
            (1..=11, None) => vec![later, as_said],
            _ => vec![as_said],
        }
    }
}

/// Words before a number that make it a time.
const AT: &[&str] = &[
    "at", "around", "about", "by", "from", "after", "before", "until", "till",
];
/// Words after a number that make it people.
const PEOPLE: &[&str] = &[
    "people", "persons", "person", "guests", "guest", "of", "adults", "seats", "friends", "kids",
    "children", "pax", "covers", "diners",
];

/// Every time said in a way that leaves no doubt. `asked`: the caller was asked for one.
pub(in crate::brain::script) fn find(
    words: &Words,
    asked: bool,
    taken: &Taken,
) -> Vec<Found<Spoken>> {
    let hint = half_hint(words);
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match time_at(words, at, asked) {
            Some((spoken, count)) if !taken.any(at, at + count) => {
                let (half, more) = half_at(words, at + count);
                let half = spoken.half.or(half).or(hint);
                let to = at + count + more;
                let value = Spoken { half, ..spoken };
                found.push(Found {
                    value,
                    from: at,
                    to,
                });
                at = to;
            }
            _ => at += 1,
        }
    }
    found
}

fn time_at(words: &Words, at: usize, asked: bool) -> Option<(Spoken, usize)> {
    misheard_answer(words, asked)
        .or_else(|| named(words, at))
        .or_else(|| past_or_to(words, at))
        .or_else(|| clock(words, at))
        .or_else(|| hour_and_minutes(words, at))
        .or_else(|| compact(words, at, asked))
        .or_else(|| bare_hour(words, at))
}

fn spoken(hour: u32, minute: u32) -> Option<Spoken> {
    let fits = hour < 24 && minute < 60;
    fits.then_some(Spoken {
        hour: hour as u16,
        minute: minute as u16,
        half: None,
    })
}

/// The whole answer to "what time?" is one misheard word.
fn misheard_answer(words: &Words, asked: bool) -> Option<(Spoken, usize)> {
    let hour = homophone(words.at(0)).filter(|_| asked && words.len() == 1)?;
    Some((spoken(hour, 0)?, 1))
}

/// "noon", "midnight".
fn named(words: &Words, at: usize) -> Option<(Spoken, usize)> {
    let (hour, half) = match words.at(at) {
        "noon" | "midday" => (12, Half::Evening),
        "midnight" => (0, Half::Morning),
        _ => return None,
    };
    let half = Some(half);
    Some((
        Spoken {
            half,
            ..spoken(hour, 0)?
        },
        1,
    ))
}

/// "half past seven", "half seven", "quarter to eight", "ten past seven", "20 to 8".
fn past_or_to(words: &Words, at: usize) -> Option<(Spoken, usize)> {
    let (minutes, mut used) = match words.at(at) {
        "half" => (30, 1),
        "quarter" => (15, 1),
        // What stood before it was lost: it was "half".
        "past" | "passed" => (30, 0),
        _ => words
            .number(at)
            .filter(|(n, _)| matches!(n, 5 | 10 | 20 | 25))?,
    };
    used += usize::from(words.is(at + used, &["minutes"]));
    let sign = words.at(at + used);
    let later = matches!(sign, "past" | "after");
    let earlier = matches!(sign, "to" | "before" | "till") && minutes != 30;
    let british = minutes == 30 && !later;
    used += usize::from(later || earlier);
    if !(later || earlier || british) {
        return None;
    }
    let (hour, hours) = words
        .number(at + used)
        .filter(|(n, _)| (1..=12).contains(n))?;
    if words.is(at + used + hours, PEOPLE) {
        return None;
    }
    let oclock = usize::from(words.is(at + used + hours, &["oclock"]));
    let said = if earlier {
        spoken(if hour == 1 { 12 } else { hour - 1 }, 60 - minutes)
    } else {
        spoken(hour, minutes)
    };
    Some((said?, used + hours + oclock))
}

/// "7:30".
fn clock(words: &Words, at: usize) -> Option<(Spoken, usize)> {
    let (hour, minute) = words.at(at).split_once(':')?;
    Some((spoken(hour.parse().ok()?, minute.parse().ok()?)?, 1))
}

/// "seven thirty", "7 45", "seven oh five", "nineteen hundred".
fn hour_and_minutes(words: &Words, at: usize) -> Option<(Spoken, usize)> {
    let (hour, used) = hour_at(words, at)?;
    let next = at + used;
    if words.is(next, &["hundred"]) && hour >= 10 {
        return Some((spoken(hour, 0)?, used + 1));
    }
    if words.is(next, &["oh", "o", "zero"]) {
        let minute = unit(words.at(next + 1)).or_else(|| words.at(next + 1).parse().ok())?;
        return (1..10)
            .contains(&minute)
            .then(|| Some((spoken(hour, minute)?, used + 2)))?;
    }
    let (minute, more) = minutes_at(words, next)?;
    let people = words.is(next + more, PEOPLE);
    (!people).then(|| Some((spoken(hour, minute)?, used + more)))?
}

/// Minutes in steps of five: "forty five" is 45, but "thirty four people" begins with 30.
fn minutes_at(words: &Words, at: usize) -> Option<(u32, usize)> {
    let (minute, used) = words.number(at).filter(|(n, _)| (10..60).contains(n))?;
    let people = words.is(at + used, PEOPLE);
    match used {
        1 => (minute % 5 == 0).then_some((minute, 1)),
        _ if minute % 5 == 0 && !people => Some((minute, used)),
        _ => Some((minute - minute % 10, 1)),
    }
}

/// The hour alone: "twenty one thirty" is 21:30, but "twenty thirty" is 20:30.
fn hour_at(words: &Words, at: usize) -> Option<(u32, usize)> {
    words.number(at).filter(|(n, _)| (1..24).contains(n))
}

/// "730" or "1930" where only a time makes sense.
fn compact(words: &Words, at: usize, asked: bool) -> Option<(Spoken, usize)> {
    let word = words.at(at);
    let digits = (3..=4).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    let sure = asked || AT.contains(&words.before(at, 1)) || words.is(at + 1, &["pm", "am"]);
    let value: u32 = word.parse().ok().filter(|_| digits && sure)?;
    Some((spoken(value / 100, value % 100)?, 1))
}

/// "at seven", "seven o'clock", "7 pm".
fn bare_hour(words: &Words, at: usize) -> Option<(Spoken, usize)> {
    let (hour, used) = words.number(at).filter(|(n, _)| *n < 24)?;
    let after = at + used;
    let oclock = words.is(after, &["oclock"]);
    let (half, _) = half_at(words, after + usize::from(oclock));
    let led = AT.contains(&words.before(at, 1)) && !words.is(after, PEOPLE);
    let about_people = words.before(at, 1) == "about" && words.is(after, PEOPLE);
    // "A table for two tonight" names no hour.
    let half = half.filter(|_| !words.is(after, &["tonight"]));
    let sure = oclock || half.is_some() || led;
    (sure && !about_people).then(|| Some((spoken(hour, 0)?, used + usize::from(oclock))))?
}

/// "pm", "in the evening", "at night" and how many words that is.
fn half_at(words: &Words, at: usize) -> (Option<Half>, usize) {
    let (part, used) = match (words.at(at), words.at(at + 1)) {
        ("in", "the") => (words.at(at + 2), 3),
        ("at", part) => (part, 2),
        (part, _) => (part, 1),
    };
    match part {
        "pm" | "evening" | "night" | "afternoon" | "tonight" => (Some(Half::Evening), used),
        "am" | "morning" => (Some(Half::Morning), used),
        _ => (None, 0),
    }
}

/// What the rest of the sentence says about the half of the day.
fn half_hint(words: &Words) -> Option<Half> {
    words.iter().find_map(|word| match word {
        "evening" | "tonight" | "night" | "dinner" | "supper" | "afternoon" => Some(Half::Evening),
        "morning" | "breakfast" => Some(Half::Morning),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str, asked: bool) -> Vec<u16> {
        let words = Words::read(text, &[]);
        find(&words, asked, &Taken::none(&words))
            .iter()
            .map(|found| found.value.readings()[0])
            .collect()
    }

    #[test]
    fn times_are_found_however_they_are_said() {
        for (text, hour, minute) in [
            ("at seven", 19, 0),
            ("at 7", 19, 0),
            ("7:30 p.m.", 19, 30),
            ("7.30", 19, 30),
            ("seven thirty", 19, 30),
            ("7 30", 19, 30),
            ("half past seven", 19, 30),
            ("half seven", 19, 30),
            ("a quarter to eight", 19, 45),
            ("quarter past 8", 20, 15),
            ("ten past seven", 19, 10),
            ("twenty to eight", 19, 40),
            ("seven o'clock", 19, 0),
            ("nineteen thirty", 19, 30),
            ("19:30", 19, 30),
            ("twenty one fifteen", 21, 15),
            ("seven oh five", 19, 5),
            ("8 pm", 20, 0),
            ("eight at night", 20, 0),
            ("9 in the morning", 9, 0),
            ("10 am", 10, 0),
            ("at noon", 12, 0),
            ("12:30", 12, 30),
            ("about 730", 19, 30),
            ("six forty five", 18, 45),
            ("nineteen hundred", 19, 0),
        ] {
            assert_eq!(times(text, false), [hour * 60 + minute], "{text}");
        }
        assert_eq!(times("730", true), [19 * 60 + 30]);
    }

    #[test]
    fn people_and_other_numbers_are_no_times() {
        for text in [
            "four people",
            "about 6 people",
            "a table for four",
            "for two",
            "7",
            "555 0123",
        ] {
            assert!(times(text, false).is_empty(), "{text}");
        }
    }
}
