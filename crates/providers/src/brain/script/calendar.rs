//! The business's week: which hours a day has.

use jiff::civil::{Date, Weekday};
use model::agent::OpeningHours;

/// Monday first.
const WEEK: [(Weekday, &str, &str); 7] = [
    (Weekday::Monday, "mon", "Monday"),
    (Weekday::Tuesday, "tue", "Tuesday"),
    (Weekday::Wednesday, "wed", "Wednesday"),
    (Weekday::Thursday, "thu", "Thursday"),
    (Weekday::Friday, "fri", "Friday"),
    (Weekday::Saturday, "sat", "Saturday"),
    (Weekday::Sunday, "sun", "Sunday"),
];

/// Opening and closing, minutes since midnight.
pub(super) type Span = (u16, u16);

/// The hours of each weekday, Monday first; none = closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hours([Vec<Span>; 7]);

/// Weekdays in a row with equal hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Name of the first.
    pub(super) first: &'static str,
    /// Name of the last; the same as the first for a single day.
    pub(super) last: &'static str,
    /// How many days.
    pub(super) days: usize,
    /// Their hours.
    pub(super) spans: Vec<Span>,
}

impl Hours {
    /// Reads the configuration; what is no time of day is left out (publishing has refused it).
    pub(super) fn new(config: &[OpeningHours]) -> Self {
        let mut week: [Vec<Span>; 7] = Default::default();
        for row in config {
            let (Some(opens), Some(closes)) = (minutes(&row.opens), minutes(&row.closes)) else {
                continue;
            };
            for (day, spans) in WEEK.iter().zip(week.iter_mut()) {
                if opens < closes && row.days.iter().any(|name| name == day.1) {
                    spans.push((opens, closes));
                    spans.sort_unstable();
                }
            }
        }
        Self(week)
    }

    /// The hours of a date.
    pub(super) fn on(&self, date: Date) -> &[Span] {
        let at = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.0.get(at).map_or(&[], Vec::as_slice)
    }

    /// Whether a table may begin then.
    pub(super) fn is_open(&self, date: Date, minute: u16) -> bool {
        within(self.on(date), minute)
    }

    /// Whether that time of day lies in some day's hours.
    pub(super) fn ever_open(&self, minute: u16) -> bool {
        self.0.iter().any(|spans| within(spans, minute))
    }

    /// Whether no day has hours.
    pub(super) fn never_open(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// Whether nothing can begin any more on that date at or after `minute`.
    pub(super) fn is_over(&self, date: Date, minute: u16) -> bool {
        self.on(date).iter().all(|(_, closes)| *closes <= minute)
    }

    /// The week in stretches of days with equal hours, Monday first; closed days among them.
    pub(super) fn stretches(&self) -> Vec<Stretch> {
        let mut out: Vec<Stretch> = Vec::new();
        for ((_, _, name), spans) in WEEK.iter().zip(&self.0) {
            match out.last_mut().filter(|last| last.spans == *spans) {
                Some(last) => {
                    last.last = name;
                    last.days += 1;
                }
                None => out.push(Stretch {
                    first: name,
                    last: name,
                    days: 1,
                    spans: spans.clone(),
                }),
            }
        }
        out
    }
}

fn within(spans: &[Span], minute: u16) -> bool {
    spans
        .iter()
        .any(|(opens, closes)| (*opens..*closes).contains(&minute))
}

/// The English name of a weekday.
pub(super) fn weekday_name(date: Date) -> &'static str {
    WEEK.iter()
        .find(|(day, ..)| *day == date.weekday())
        .map_or("", |row| row.2)
}

/// Minutes since midnight of `HH:MM`, to `24:00`.
pub(super) fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && all <= 1_440).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn row(days: &[&str], opens: &str, closes: &str) -> OpeningHours {
        OpeningHours {
            days: days.iter().map(|day| (*day).to_owned()).collect(),
            opens: opens.into(),
            closes: closes.into(),
        }
    }

    #[test]
    fn the_week_is_read_and_grouped() {
        let hours = Hours::new(&[
            row(&["tue", "wed", "thu"], "17:00", "22:00"),
            row(&["fri", "sat"], "12:00", "14:00"),
            row(&["fri", "sat"], "17:00", "23:00"),
            row(&["mon"], "banana", "23:00"),
        ]);
        let friday = date(2026, 11, 20);
        assert_eq!(hours.on(friday), [(720, 840), (1_020, 1_380)]);
        assert!(hours.is_open(friday, 1_379) && !hours.is_open(friday, 1_380));
        assert!(!hours.is_open(friday, 900));
        assert!(hours.on(date(2026, 11, 23)).is_empty());
        let stretches = hours.stretches();
        let names: Vec<_> = stretches
            .iter()
            .map(|s| (s.first, s.last, s.days))
            .collect();
        assert_eq!(
            names,
            [
                ("Monday", "Monday", 1),
                ("Tuesday", "Thursday", 3),
                ("Friday", "Saturday", 2),
                ("Sunday", "Sunday", 1)
            ]
        );
    }
}
