//! When something can be booked: opening hours, slots, parties. Pure; the time is an argument.
//!
//! Slots lie on a grid counted from local midnight, so that a change of opening hours never moves
//! them under bookings that stand.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use model::agent::{BookingRules, OpeningHours};

use crate::agent_rules::{DAYS, read_minute};

/// How far ahead bookings are taken.
const DAYS_AHEAD: i32 = 366;

/// A wish that the rules allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Local start, `YYYY-MM-DDTHH:MM`.
    pub starts_local: String,
    /// Local start of the slot it falls in.
    pub slot_local: String,
    /// The local day.
    pub date: Date,
}

/// A time of one day when people may come, in minutes after midnight.
#[derive(Debug, Clone, Copy)]
struct Window {
    opens: u32,
    last_start: u32,
}

/// The rules of one published version.
pub struct Rules {
    booking: BookingRules,
    zone: TimeZone,
}

impl Rules {
    /// These rules, if their zone is one.
    pub fn of(booking: BookingRules) -> Option<Self> {
        let zone = TimeZone::get(&booking.zone).ok()?;
        Some(Self { booking, zone })
    }

    /// What is booked, and how many there are of it in a slot.
    pub fn booking(&self) -> &BookingRules {
        &self.booking
    }

    /// Checks a wish; a refusal is words for the caller's ear.
    pub fn wish(&self, starts_local: &str, party: u32, now: Timestamp) -> Result<Wish, String> {
        let start = read_local(starts_local).ok_or("I did not understand the time.")?;
        if party == 0 {
            return Err("How many people will come?".to_owned());
        }
        if party > self.booking.max_party {
            let most = self.booking.max_party;
            return Err(format!("We take bookings for at most {most} people."));
        }
        let here = self.zone.to_datetime(now);
        if start <= here {
            return Err("That time has already passed.".to_owned());
        }
        if here
            .checked_add(DAYS_AHEAD.days())
            .is_ok_and(|end| start > end)
        {
            return Err("We do not take bookings that far ahead.".to_owned());
        }
        self.open_at(start)?;
        Ok(self.slot(start))
    }

    fn open_at(&self, start: DateTime) -> Result<(), String> {
        let minute = minute_of(start);
        let windows = self.windows(start.date());
        let fits = |window: &Window| window.opens <= minute && minute <= window.last_start;
        if windows.iter().any(fits) {
            return Ok(());
        }
        let day = start.strftime("%A");
        if windows.is_empty() {
            return Err(format!("We are closed on {day}."));
        }
        let times: Vec<String> = windows.iter().map(Window::words).collect();
        Err(format!(
            "On {day} we take bookings {}.",
            times.join(" and ")
        ))
    }

    fn slot(&self, start: DateTime) -> Wish {
        let length = self.booking.slot_minutes.max(1);
        let slot = minute_of(start) / length * length;
        Wish {
            starts_local: local(start.date(), minute_of(start)),
            slot_local: local(start.date(), slot),
            date: start.date(),
        }
    }

    /// The starts of a day's slots that lie ahead.
    pub fn slots(&self, date: Date, now: Timestamp) -> Vec<String> {
        let length = self.booking.slot_minutes.max(1);
        let here = local_of(self.zone.to_datetime(now));
        let mut starts: Vec<u32> = (0..24 * 60)
            .step_by(usize::try_from(length).unwrap_or(1))
            .filter(|minute| {
                let inside = |w: &Window| w.opens <= *minute && *minute <= w.last_start;
                self.windows(date).iter().any(inside)
            })
            .collect();
        starts.dedup();
        let slots = starts.into_iter().map(|minute| local(date, minute));
        slots.filter(|slot| *slot > here).collect()
    }

    /// At most three other starts of the same day for which `free` holds, nearest first.
    pub fn alternatives(
        &self,
        wish: &Wish,
        now: Timestamp,
        free: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let distance = |slot: &str| {
            let minute = |text: &str| read_local(text).map_or(0, minute_of);
            minute(slot).abs_diff(minute(&wish.starts_local))
        };
        let mut slots = self.slots(wish.date, now);
        slots.retain(|slot| *slot != wish.slot_local && free(slot));
        slots.sort_by_key(|slot| distance(slot));
        slots.truncate(3);
        slots
    }

    fn windows(&self, date: Date) -> Vec<Window> {
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        let hours = self.booking.opening_hours.iter();
        hours
            .filter(|hours| {
                hours
                    .days
                    .iter()
                    .any(|name| Some(&name.as_str()) == DAYS.get(day))
            })
            .filter_map(|hours| self.window(hours))
            .collect()
    }

    fn window(&self, hours: &OpeningHours) -> Option<Window> {
        let (opens, closes) = (read_minute(&hours.opens)?, read_minute(&hours.closes)?);
        let last_start = closes.saturating_sub(self.booking.slot_minutes).max(opens);
        Some(Window { opens, last_start })
    }
}

impl Window {
    fn words(&self) -> String {
        format!("from {} to {}", clock(self.opens), clock(self.last_start))
    }
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn minute_of(start: DateTime) -> u32 {
    u32::try_from(i32::from(start.hour()) * 60 + i32::from(start.minute())).unwrap_or(0)
}

fn local(date: Date, minute: u32) -> String {
    format!("{date}T{}", clock(minute))
}

fn local_of(moment: DateTime) -> String {
    local(moment.date(), minute_of(moment))
}

/// The moment that `YYYY-MM-DDTHH:MM` names.
pub fn read_local(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y-%m-%dT%H:%M", text).ok()
}

/// The day that `YYYY-MM-DD` names.
pub fn read_date(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text).ok()
}

#[cfg(test)]
mod tests;
