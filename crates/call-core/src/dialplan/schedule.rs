//! Opening hours in a time zone.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// A named schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: TimeZone,
    open: Vec<Hours>,
    closed_on: Vec<Date>,
}

/// Hours on some days. `until` before `from` runs past midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    days: Vec<Weekday>,
    from: Time,
    /// None is midnight at the end of the day.
    until: Option<Time>,
}

impl Schedule {
    /// A schedule from checked parts.
    pub fn new(zone: TimeZone, open: Vec<Hours>, closed_on: Vec<Date>) -> Schedule {
        Schedule {
            zone,
            open,
            closed_on,
        }
    }

    /// True when the schedule is open at a moment. A closed day closes the hours that
    /// begin on it, also past midnight.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let (today, time) = (local.date(), local.time());
        let started_today = self
            .open
            .iter()
            .any(|hours| hours.covers(today.weekday(), time));
        let yesterday = today.yesterday().ok();
        let runs_over = yesterday.is_some_and(|day| {
            !self.closed_on.contains(&day)
                && self
                    .open
                    .iter()
                    .any(|hours| hours.runs_over(day.weekday(), time))
        });
        (started_today && !self.closed_on.contains(&today)) || runs_over
    }
}

impl Hours {
    /// Reads `mon-fri 09:00-18:00`, `sat,sun 10:00-12:00`, `daily 22:00-06:00`.
    pub fn parse(text: &str) -> Result<Hours, String> {
        let expected = || "expected days and hours such as \"mon-fri 09:00-18:00\"".to_owned();
        let (days, times) = text.trim().split_once(' ').ok_or_else(expected)?;
        let (from, until) = times.trim().split_once('-').ok_or_else(expected)?;
        let from = clock(from.trim()).ok_or_else(expected)?;
        let until = match until.trim() {
            "24:00" => None,
            until => Some(clock(until).ok_or_else(expected)?),
        };
        if until == Some(from) {
            return Err("opening and closing time are the same".to_owned());
        }
        Ok(Hours {
            days: days_of(days).ok_or_else(expected)?,
            from,
            until,
        })
    }

    fn covers(&self, day: Weekday, time: Time) -> bool {
        let before_end = match self.until {
            Some(until) if until > self.from => time < until,
            Some(_) | None => true,
        };
        self.days.contains(&day) && time >= self.from && before_end
    }

    fn runs_over(&self, yesterday: Weekday, time: Time) -> bool {
        let spill = self.until.filter(|until| *until < self.from);
        self.days.contains(&yesterday) && spill.is_some_and(|until| time < until)
    }
}

fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = hour.len() == 2 && minute.len() == 2;
    two_digits
        .then(|| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok())
        .flatten()
}

fn days_of(text: &str) -> Option<Vec<Weekday>> {
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => days.extend(day_range(day(first)?, day(last)?)),
            None if part == "daily" => days.extend(day_range(Weekday::Monday, Weekday::Sunday)),
            None => days.push(day(part)?),
        }
    }
    Some(days)
}

/// `fri-mon` goes over the weekend.
fn day_range(first: Weekday, last: Weekday) -> Vec<Weekday> {
    let span = first.until(last).clamp(0, 6);
    (0..=span)
        .map(|offset| first.wrapping_add(offset))
        .collect()
}

fn day(text: &str) -> Option<Weekday> {
    match text {
        "mon" => Some(Weekday::Monday),
        "tue" => Some(Weekday::Tuesday),
        "wed" => Some(Weekday::Wednesday),
        "thu" => Some(Weekday::Thursday),
        "fri" => Some(Weekday::Friday),
        "sat" => Some(Weekday::Saturday),
        "sun" => Some(Weekday::Sunday),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(zone: &str, open: &[&str], closed: &[&str]) -> Schedule {
        let open = open
            .iter()
            .map(|text| Hours::parse(text).unwrap())
            .collect();
        let closed = closed.iter().map(|text| text.parse().unwrap()).collect();
        Schedule::new(TimeZone::get(zone).unwrap(), open, closed)
    }

    fn open_at(schedule: &Schedule, at: &str) -> bool {
        schedule.is_open(at.parse().unwrap())
    }

    #[test]
    fn office_hours_follow_the_zone_and_its_summer_time() {
        let office = schedule("Europe/Paris", &["mon-fri 09:00-18:00"], &["2026-12-25"]);
        assert!(open_at(&office, "2026-01-05T08:00:00Z"), "09:00 in winter");
        assert!(!open_at(&office, "2026-01-05T07:59:59Z"));
        assert!(open_at(&office, "2026-07-06T07:00:00Z"), "09:00 in summer");
        assert!(!open_at(&office, "2026-07-06T16:00:00Z"), "18:00 is closed");
        assert!(!open_at(&office, "2026-07-05T10:00:00Z"), "a Sunday");
        assert!(!open_at(&office, "2026-12-25T10:00:00Z"), "a closed day");
    }

    #[test]
    fn hours_may_run_past_midnight_and_days_past_the_weekend() {
        let bar = schedule("UTC", &["fri-mon 22:00-02:00"], &["2026-06-07"]);
        assert!(open_at(&bar, "2026-06-05T23:00:00Z"), "Friday evening");
        assert!(open_at(&bar, "2026-06-06T01:59:59Z"), "its night");
        assert!(!open_at(&bar, "2026-06-06T02:00:00Z"));
        assert!(
            open_at(&bar, "2026-06-07T01:00:00Z"),
            "Saturday's night, on the closed Sunday"
        );
        assert!(
            !open_at(&bar, "2026-06-08T01:00:00Z"),
            "the closed Sunday's night"
        );
        assert!(open_at(&bar, "2026-06-09T01:00:00Z"), "Monday's night");
        assert!(!open_at(&bar, "2026-06-09T23:00:00Z"), "Tuesday");
    }

    #[test]
    fn midnight_at_the_end_of_the_day_can_be_written() {
        let day = schedule("UTC", &["daily 00:00-24:00"], &[]);
        assert!(open_at(&day, "2026-06-05T00:00:00Z") && open_at(&day, "2026-06-05T23:59:59Z"));
    }

    #[test]
    fn hours_that_say_nothing_are_refused() {
        for text in [
            "",
            "mon",
            "mon 9:00-18:00",
            "mon 09:00-25:00",
            "mo-fr 09:00-18:00",
            "mon 09:00-09:00",
            "mon 09:00",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
    }
}
