//! The day: "today", "this Friday", "next Monday", "the 21st", "in two days", "a week on Tuesday".

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::{Found, Taken};
use crate::brain::script::{likeness::distance, words::Words};

/// What "today" is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::brain::script) struct Today {
    /// The date where the business is.
    pub(in crate::brain::script) date: Date,
    /// No table can start any more today: a weekday of this name is next week's.
    pub(in crate::brain::script) over: bool,
}

/// Every day named. `asked`: the caller was asked for one, so a bare "21st" or "21" is one too.
pub(in crate::brain::script) fn find(
    words: &Words,
    today: Today,
    asked: bool,
    taken: &Taken,
) -> Vec<Found<Date>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let bare = asked && found.is_empty();
        match day_at(words, at, today, bare) {
            Some((date, count)) if !taken.any(at, at + count) => {
                found.push(Found {
                    value: date,
                    from: at,
                    to: at + count,
                });
                at += count;
            }
            _ => at += 1,
        }
    }
    found
}

fn day_at(words: &Words, at: usize, today: Today, asked: bool) -> Option<(Date, usize)> {
    relative(words, at, today.date)
        .or_else(|| counted(words, at, today))
        .or_else(|| month_day(words, at, today.date))
        .or_else(|| weekday_with(words, at, today))
        .or_else(|| day_of_month(words, at, today.date, asked))
}

fn plus(date: Date, days: i64) -> Option<Date> {
    date.checked_add(days.days()).ok()
}

/// "today", "tonight", "this evening", "tomorrow", "the day after tomorrow".
fn relative(words: &Words, at: usize, today: Date) -> Option<(Date, usize)> {
    if words.is(at, &["day"]) && words.is(at + 1, &["after"]) && words.is(at + 2, &["tomorrow"]) {
        return Some((plus(today, 2)?, 3));
    }
    match words.at(at) {
        "today" | "tonight" => Some((today, 1)),
        "tomorrow" => Some((plus(today, 1)?, 1)),
        "this" if words.is(at + 1, &["evening", "afternoon", "lunchtime", "noon"]) => {
            Some((today, 1))
        }
        _ => None,
    }
}

/// "in two days", "three days from now", "in a week", "a week from today", "a week on Friday".
fn counted(words: &Words, at: usize, today: Today) -> Option<(Date, usize)> {
    let lead = usize::from(words.is(at, &["in"]));
    let (count, used) = count_at(words, at + lead)?;
    let unit = at + lead + used;
    let days = match words.at(unit) {
        "day" | "days" => i64::from(count),
        "week" | "weeks" => i64::from(count) * 7,
        _ => return None,
    };
    let after = unit + 1;
    if lead == 1 {
        return Some((plus(today.date, days)?, after - at));
    }
    if !words.is(after, &["from", "on"]) {
        return None;
    }
    if words.is(after + 1, &["now", "today"]) {
        return Some((plus(today.date, days)?, after + 2 - at));
    }
    let weekday = weekday(words, after + 1)?;
    Some((plus(coming(weekday, today)?, days)?, after + 2 - at))
}

fn count_at(words: &Words, at: usize) -> Option<(u32, usize)> {
    if words.is(at, &["a", "one"]) {
        return Some((1, 1));
    }
    words.number(at).filter(|(n, _)| (1..=60).contains(n))
}

/// "November 21st", "21 November", "the twenty-first of November", "the third of this month".
fn month_day(words: &Words, at: usize, today: Date) -> Option<(Date, usize)> {
    if let Some(month) = month(words.at(at)) {
        let skip = usize::from(words.is(at + 1, &["the"]));
        let (day, used) = day_number(words, at + 1 + skip)?;
        return Some((dated(today, month, day)?, 1 + skip + used));
    }
    let (day, used) = day_number(words, at)?;
    let of = usize::from(words.is(at + used, &["of"]));
    if of == 1 && words.is(at + used + 1, &["this"]) && words.is(at + used + 2, &["month"]) {
        return Some((next_with_day(today, day)?, used + 3));
    }
    let month = month(words.at(at + used + of))?;
    Some((dated(today, month, day)?, used + of + 1))
}

fn day_number(words: &Words, at: usize) -> Option<(u32, usize)> {
    let found = words.ordinal(at).or_else(|| words.number(at))?;
    (1..=31).contains(&found.0).then_some(found)
}

/// The next date of that day and month.
fn dated(today: Date, month: i8, day: u32) -> Option<Date> {
    let day = i8::try_from(day).ok()?;
    let this = Date::new(today.year(), month, day).ok();
    match this {
        Some(date) if date >= today => Some(date),
        _ => Date::new(today.year() + 1, month, day).ok().or(this),
    }
}

/// "Friday", "this Friday", "next Friday", "Friday next week", "Friday the 27th".
fn weekday_with(words: &Words, at: usize, today: Today) -> Option<(Date, usize)> {
    let lead = usize::from(words.is(at, &["this", "next", "coming", "following"]));
    if words.is(at, &["next"]) && words.is(at + 1, &["week"]) {
        let on = usize::from(words.is(at + 2, &["on"]));
        let weekday = weekday(words, at + 2 + on)?;
        return Some((week_after(today.date, weekday)?, 3 + on));
    }
    let weekday = weekday(words, at + lead)?;
    let after = at + lead + 1;
    if words.is(at, &["next"]) {
        return Some((week_after(today.date, weekday)?, 2));
    }
    if words.is(after, &["next"]) && words.is(after + 1, &["week"]) {
        return Some((week_after(today.date, weekday)?, lead + 3));
    }
    if words.is(after, &["week"]) {
        return Some((plus(coming(weekday, today)?, 7)?, lead + 2));
    }
    let the = usize::from(words.is(after, &["the"]));
    if let Some((day, used)) = words
        .ordinal(after + the)
        .filter(|(n, _)| (1..=31).contains(n))
    {
        let of_month = month_day(words, after + the, today.date);
        let (date, used) = of_month.or(next_with_day(today.date, day).map(|date| (date, used)))?;
        return Some((date, lead + 1 + the + used));
    }
    Some((coming(weekday, today)?, lead + 1))
}

/// The first such weekday from today on.
fn coming(weekday: Weekday, today: Today) -> Option<Date> {
    let ahead = i64::from(today.date.weekday().until(weekday));
    plus(today.date, if ahead == 0 && today.over { 7 } else { ahead })
}

/// That weekday of the week (from Monday) after this one.
fn week_after(today: Date, weekday: Weekday) -> Option<Date> {
    let to_monday = 7 - i64::from(today.weekday().to_monday_zero_offset());
    plus(
        today,
        to_monday + i64::from(weekday.to_monday_zero_offset()),
    )
}

/// "the 21st", "on the first"; bare when a day was asked for.
fn day_of_month(words: &Words, at: usize, today: Date, asked: bool) -> Option<(Date, usize)> {
    if let Some((day, used)) = words.ordinal(at) {
        let digits = words.at(at).starts_with(|c: char| c.is_ascii_digit());
        let named = words.before(at, 1) == "the" && words.before(at, 2) != "of";
        let counting = words.is(
            at + used,
            &["one", "option", "time", "choice", "slot", "course"],
        );
        let sure = asked || digits || (named && day > 3) || words.before(at, 2) == "on";
        let waits = words.before(at, 1) == "a" || words.before(at, 1) == "one";
        return (sure && !counting && !waits)
            .then(|| next_with_day(today, day))
            .flatten()
            .map(|date| (date, used));
    }
    // "Twenty one" may be a day; "three" is rather a party, and so is "five people".
    let (day, used) = words.number(at).filter(|(day, _)| *day > 12)?;
    let alone = at == 0 && words.len() == used;
    let date = next_with_day(today, day).filter(|_| asked && alone)?;
    Some((date, used))
}

/// The next date whose day of the month is `day`.
pub(in crate::brain::script) fn next_with_day(today: Date, day: u32) -> Option<Date> {
    let day = i8::try_from(day)
        .ok()
        .filter(|day| (1..=31).contains(day))?;
    let first = today.first_of_month();
    (0..12).find_map(|months: i64| {
        let month = first.checked_add(months.months()).ok()?;
        Date::new(month.year(), month.month(), day)
            .ok()
            .filter(|date| *date >= today)
    })
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let hit = |name: &&str| {
        **name == *word || (word.len() >= 3 && word != "mar" && name.starts_with(word))
    };
    let at = MONTHS.iter().position(hit)?;
    i8::try_from(at + 1).ok()
}

/// The weekday at `at`, slips of the recogniser forgiven.
fn weekday(words: &Words, at: usize) -> Option<Weekday> {
    let word = words.at(at).trim_end_matches('s');
    let short = match word {
        "mon" => Some(Weekday::Monday),
        "tue" | "tues" => Some(Weekday::Tuesday),
        "wed" | "weds" => Some(Weekday::Wednesday),
        "thu" | "thur" | "thurs" => Some(Weekday::Thursday),
        "fri" => Some(Weekday::Friday),
        "sat" | "sun" if !words.is(at.wrapping_sub(1), &["on", "this", "next"]) => None,
        "sat" => Some(Weekday::Saturday),
        "sun" => Some(Weekday::Sunday),
        // Nobody says "thirty" for the thirtieth; recognisers write it for "Thursday".
        "thirty" if words.len() == 1 => Some(Weekday::Thursday),
        _ => None,
    };
    short.or_else(|| near_weekday(word))
}

fn near_weekday(word: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    if word.len() < 5 || !word.ends_with('y') {
        return None;
    }
    let slips = |name: &str| match name.len() {
        0..=7 => 1,
        _ => 2,
    };
    NAMES
        .iter()
        .map(|(name, day)| (distance(word, name), *name, *day))
        .filter(|(off, name, _)| *off <= slips(name))
        .min_by_key(|(off, ..)| *off)
        .map(|(.., day)| day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    /// 2026-11-20 is a Friday.
    fn days(text: &str, asked: bool) -> Vec<String> {
        let words = Words::read(text, &[]);
        let today = Today {
            date: date(2026, 11, 20),
            over: false,
        };
        find(&words, today, asked, &Taken::none(&words))
            .iter()
            .map(|found| found.value.to_string())
            .collect()
    }

    #[test]
    fn days_are_found_however_they_are_said() {
        for (text, expected) in [
            ("today", "2026-11-20"),
            ("for tonight please", "2026-11-20"),
            ("tomorrow night", "2026-11-21"),
            ("the day after tomorrow", "2026-11-22"),
            ("on friday", "2026-11-20"),
            ("this friday at seven", "2026-11-20"),
            ("next friday", "2026-11-27"),
            ("next monday", "2026-11-23"),
            ("monday", "2026-11-23"),
            ("wensday", "2026-11-25"),
            ("on thirsday", "2026-11-26"),
            ("saturday next week", "2026-11-28"),
            ("next week on tuesday", "2026-11-24"),
            ("friday week", "2026-11-27"),
            ("a week on tuesday", "2026-12-01"),
            ("in two days", "2026-11-22"),
            ("3 days from now", "2026-11-23"),
            ("in a week", "2026-11-27"),
            ("the 21st", "2026-11-21"),
            ("the twenty first", "2026-11-21"),
            ("on the 5th", "2026-12-05"),
            ("on the third", "2026-12-03"),
            ("november 27th", "2026-11-27"),
            ("the 1st of december", "2026-12-01"),
            ("december 24", "2026-12-24"),
            ("3 january", "2027-01-03"),
            ("friday the 27th", "2026-11-27"),
            ("friday the 4th of december", "2026-12-04"),
            ("the thirty first", "2026-12-31"),
        ] {
            assert_eq!(days(text, false), [expected], "{text}");
        }
    }

    #[test]
    fn bare_numbers_are_days_only_when_a_day_was_asked() {
        assert_eq!(days("21", true), ["2026-11-21"]);
        assert_eq!(days("twenty second", true), ["2026-11-22"]);
        assert!(days("21", false).is_empty());
        assert!(days("32", true).is_empty());
    }

    #[test]
    fn other_words_are_no_days() {
        for text in [
            "wait a second",
            "the first one",
            "my birthday",
            "you may",
            "yesterday",
            "the holiday",
            "one second please",
            "midday",
            "someday",
            "party of six",
            "a table for five",
        ] {
            assert!(
                days(text, false).is_empty(),
                "{text}: {:?}",
                days(text, false)
            );
        }
    }
}
