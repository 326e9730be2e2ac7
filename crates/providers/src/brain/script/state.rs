//! Where a conversation stands, and the booking it is making.

use call_core::brain::ToolRunId;
use jiff::civil::{Date, DateTime};
use serde_json::Value;

use super::{
    calendar::Hours,
    slots::{Slot, day::Today, time::Spoken},
};

/// What the caller was asked last.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Nothing in particular: what can we do for him?
    Open,
    /// Whether there is anything else.
    More,
    /// A value.
    Asking(Slot),
    /// Whether to book what was summed up.
    Confirming,
    /// What to change in it.
    Changing,
    /// Nothing: the tool is out.
    Booking(Run),
    /// Which of the free tables; the wanted time was full.
    Choosing(Vec<DateTime>),
    /// Whether to try again; the tool failed.
    Retrying(Run),
}

/// A booking on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    /// The run; kept when it is tried again, so that it never books twice.
    pub(super) id: ToolRunId,
    /// Its arguments.
    pub(super) arguments: Value,
}

/// The number to call back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phone {
    /// The one the caller is calling from.
    Own,
    /// Digits he gave.
    Given(String),
}

/// A booking in the making.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Draft {
    /// The day.
    pub(super) day: Option<Date>,
    /// The time as it was said.
    pub(super) time: Option<Spoken>,
    /// How many.
    pub(super) party: Option<u32>,
    /// The number to call back.
    pub(super) phone: Option<Phone>,
    /// Digits of a number that is not complete.
    pub(super) phone_part: String,
}

impl Draft {
    /// Whether the caller has given anything.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The slots that have a value.
    pub(super) fn have(&self) -> Vec<Slot> {
        let have = [
            (Slot::Day, self.day.is_some()),
            (Slot::Time, self.time.is_some()),
            (Slot::Party, self.party.is_some()),
            (Slot::Phone, self.phone.is_some()),
        ];
        have.iter().filter(|one| one.1).map(|one| one.0).collect()
    }

    /// Empties one slot.
    pub(super) fn clear(&mut self, slot: Slot) {
        match slot {
            Slot::Day => self.day = None,
            Slot::Time => self.time = None,
            Slot::Party => self.party = None,
            Slot::Phone => {
                self.phone = None;
                self.phone_part.clear();
            }
        }
    }

    /// The time in minutes: of its readings the first that can be had.
    pub(super) fn minute(&self, hours: &Hours, clock: &Clock) -> Option<u16> {
        let readings = self.time?.readings();
        let open = |minute: &u16| match self.day {
            Some(day) => hours.is_open(day, *minute),
            None => hours.ever_open(*minute),
        };
        let ahead = |minute: &u16| self.day.is_none_or(|day| !clock.has_passed(day, *minute));
        let best = readings.iter().find(|minute| open(minute) && ahead(minute));
        let good = best.or_else(|| readings.iter().find(|minute| open(minute)));
        good.or(readings.first()).copied()
    }
}

/// What time it was at the answer, where the business is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// The date.
    pub(super) today: Date,
    /// Minutes since midnight.
    pub(super) minute: u16,
}

impl Clock {
    /// From the wall clock of the answer and the zone's offset.
    pub(super) fn new(unix_ms: i64, utc_offset_s: i32) -> Self {
        let seconds = unix_ms
            .div_euclid(1_000)
            .saturating_add(i64::from(utc_offset_s));
        let days = seconds.div_euclid(86_400);
        let epoch = Date::constant(1970, 1, 1);
        let today = i32::try_from(days)
            .ok()
            .and_then(|days| {
                epoch
                    .checked_add(jiff::Span::new().try_days(days).ok()?)
                    .ok()
            })
            .unwrap_or(epoch);
        let minute = u16::try_from(seconds.rem_euclid(86_400) / 60).unwrap_or(0);
        Self { today, minute }
    }

    /// Today, with whether it is too late for a table.
    pub(super) fn today(&self, hours: &Hours) -> Today {
        Today {
            date: self.today,
            over: hours.is_over(self.today, self.minute),
        }
    }

    /// Whether that time is over.
    pub(super) fn has_passed(&self, date: Date, minute: u16) -> bool {
        date < self.today || (date == self.today && minute <= self.minute)
    }
}

/// A booking that was made in this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Booked {
    /// In words.
    pub(super) what: String,
    /// Its code, spelled.
    pub(super) code: String,
}

/// All that a conversation remembers. Cloned before each turn, so that a turn can be taken back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Memory {
    pub(super) clock: Clock,
    pub(super) caller_number: Option<String>,
    pub(super) state: State,
    pub(super) draft: Draft,
    /// The one slot given last, for "make it eight".
    pub(super) last: Option<Slot>,
    pub(super) booked: Option<Booked>,
    /// How often in a row nothing was understood.
    pub(super) fails: u32,
    /// Answers given: makes variants take turns.
    pub(super) answers: usize,
    pub(super) last_said: String,
    /// The turn, for the names of tool runs.
    pub(super) turn: u32,
    /// Tool runs of this turn.
    pub(super) runs: u32,
    /// Speaking rate, 1 = the agent's own.
    pub(super) pace: f32,
}

impl Memory {
    /// At the start of a call.
    pub(super) fn new(clock: Clock, caller_number: Option<String>) -> Self {
        Self {
            clock,
            caller_number,
            state: State::Open,
            draft: Draft::default(),
            last: None,
            booked: None,
            fails: 0,
            answers: 0,
            last_said: String::new(),
            turn: 0,
            runs: 0,
            pace: 1.0,
        }
    }

    /// Whether a booking is being made.
    pub(super) fn is_booking(&self) -> bool {
        match self.state {
            State::Open | State::More => !self.draft.is_empty(),
            State::Asking(_)
            | State::Confirming
            | State::Changing
            | State::Booking(_)
            | State::Choosing(_)
            | State::Retrying(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_clock_reads_the_businesss_own_date() {
        // 2026-11-20T23:30:00Z is already the 21st in Paris.
        let clock = Clock::new(1_795_217_400_000, 3_600);
        assert_eq!((clock.today, clock.minute), (date(2026, 11, 21), 30));
        let clock = Clock::new(1_795_217_400_000, -5 * 3_600);
        assert_eq!(
            (clock.today, clock.minute),
            (date(2026, 11, 20), 18 * 60 + 30)
        );
        let clock = Clock::new(i64::MIN, i32::MIN);
        assert_eq!(clock.today, date(1970, 1, 1));
    }
}
