//! Dates, times, prices and digits as they are said. Figures stay figures where a voice reads them
//! well ("$12.50", "7:30 PM").

use jiff::civil::Date;

use super::calendar::{Hours, Span, Stretch, weekday_name};

/// "today, Friday", "tomorrow, Saturday", "Wednesday the 25th", "Friday, December 4th".
pub(super) fn date(date: Date, today: Date) -> String {
    let weekday = weekday_name(date);
    let day = ordinal(u32::from(date.day().unsigned_abs()));
    let ahead = today.until(date).map_or(i32::MAX, |span| span.get_days());
    match ahead {
        0 => format!("today, {weekday}"),
        1 => format!("tomorrow, {weekday}"),
        2..=6 => format!("{weekday} the {day}"),
        _ => format!("{weekday}, {} {day}", month(date)),
    }
}

fn month(date: Date) -> &'static str {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let at = usize::from(date.month().unsigned_abs()).saturating_sub(1);
    MONTHS.get(at).copied().unwrap_or_default()
}

fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// "7 PM", "7:30 PM", "noon", "midnight".
pub(super) fn time(minutes: u16) -> String {
    let (hour, minute) = (minutes / 60, minutes % 60);
    match (hour, minute) {
        (12, 0) => return "noon".into(),
        (0 | 24, 0) => return "midnight".into(),
        _ => {}
    }
    let half = if (12..24).contains(&hour) { "PM" } else { "AM" };
    let shown = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    match minute {
        0 => format!("{shown} {half}"),
        _ => format!("{shown}:{minute:02} {half}"),
    }
}

/// "four", "14".
pub(super) fn count(n: u32) -> String {
    const SMALL: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    let small = usize::try_from(n).ok().and_then(|at| SMALL.get(at));
    small.map_or_else(|| n.to_string(), |word| (*word).to_owned())
}

/// "$85", "$12.50", "12.50 CHF".
pub(super) fn price(cents: u32, currency: &str) -> String {
    let amount = match cents % 100 {
        0 => (cents / 100).to_string(),
        rest => format!("{}.{rest:02}", cents / 100),
    };
    match currency {
        "USD" => format!("${amount}"),
        "EUR" => format!("€{amount}"),
        "GBP" => format!("£{amount}"),
        other => format!("{amount} {other}"),
    }
}

/// "5 5 5, 0 1 2 3": in groups, as people say them.
pub(super) fn digits(number: &str) -> String {
    let plus = if number.starts_with('+') { "plus " } else { "" };
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let mut groups: Vec<String> = Vec::new();
    let mut rest = digits.as_slice();
    while !rest.is_empty() {
        let size = match rest.len() {
            4 => 4,
            n => n.min(3),
        };
        let (group, more) = rest.split_at(size);
        groups.push(
            group
                .iter()
                .map(char::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        );
        rest = more;
    }
    plus.to_owned() + &groups.join(", ")
}

/// "R 4 4 7 1" of `R-4471`.
pub(super) fn code(code: &str) -> String {
    let marks: Vec<String> = code
        .chars()
        .filter(|c| c.is_alphanumeric())
        .take(16)
        .map(|c| c.to_string())
        .collect();
    marks.join(" ")
}

/// "a", "a or b", "a, b or c".
pub(super) fn choice(items: &[String], word: &str) -> String {
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
    }
}

/// "from noon to 2 PM and from 5 PM to 10 PM".
pub(super) fn spans(spans: &[Span]) -> String {
    let parts: Vec<String> = spans
        .iter()
        .map(|(opens, closes)| format!("from {} to {}", time(*opens), time(*closes)))
        .collect();
    choice(&parts, "and")
}

/// The week: "We are open Tuesday to Thursday from 5 PM to 10 PM. We are closed on Monday."
pub(super) fn week(hours: &Hours) -> String {
    let (open, closed): (Vec<Stretch>, Vec<Stretch>) = hours
        .stretches()
        .into_iter()
        .partition(|stretch| !stretch.spans.is_empty());
    let open: Vec<String> = open
        .iter()
        .map(|stretch| format!("{} {}", days(stretch), spans(&stretch.spans)))
        .collect();
    let closed: Vec<String> = closed.iter().map(days).collect();
    let mut text = format!("We are open {}.", choice(&open, "and"));
    if !closed.is_empty() {
        text += &format!(" We are closed on {}.", choice(&closed, "and"));
    }
    text
}

fn days(stretch: &Stretch) -> String {
    match stretch.days {
        7 => "every day".into(),
        1 => stretch.first.into(),
        2 => format!("{} and {}", stretch.first, stretch.last),
        _ => format!("{} to {}", stretch.first, stretch.last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date as on;

    #[test]
    fn things_are_said_as_people_say_them() {
        let today = on(2026, 11, 20);
        assert_eq!(date(today, today), "today, Friday");
        assert_eq!(date(on(2026, 11, 21), today), "tomorrow, Saturday");
        assert_eq!(date(on(2026, 11, 22), today), "Sunday the 22nd");
        assert_eq!(date(on(2026, 12, 4), today), "Friday, December 4th");
        assert_eq!(time(1_140), "7 PM");
        assert_eq!(time(1_170), "7:30 PM");
        assert_eq!(time(720), "noon");
        assert_eq!(time(750), "12:30 PM");
        assert_eq!(time(1_440), "midnight");
        assert_eq!(time(570), "9:30 AM");
        assert_eq!(price(8_500, "USD"), "$85");
        assert_eq!(price(1_250, "USD"), "$12.50");
        assert_eq!(price(905, "CHF"), "9.05 CHF");
        assert_eq!(digits("5550123"), "5 5 5, 0 1 2 3");
        assert_eq!(digits("+15550100"), "plus 1 5 5, 5 0 1, 0 0");
        assert_eq!(code("R-4471"), "R 4 4 7 1");
        assert_eq!(
            choice(&["a".into(), "b".into(), "c".into()], "or"),
            "a, b or c"
        );
    }
}
