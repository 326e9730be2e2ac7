//! The booking: values taken in, checked against the house's hours and rules, summed up, booked.

use call_core::brain::{ToolOutcome, ToolRunId};
use jiff::civil::{Date, DateTime};
use model::booking::BookingOutcome;
use serde_json::json;

use super::{
    calendar::weekday_name,
    flow::Turn,
    reading::Reading,
    slots::{Slot, phone},
    spell,
    state::{Booked, Phone, Run, State},
    talk::Intent,
};

/// Most alternatives that are read out.
const OFFERED: usize = 3;

impl Turn<'_> {
    /// The caller gave values, or wants a table.
    pub(super) fn booking_words(&mut self, reading: &Reading) {
        if self.facts.booking.is_none() {
            self.say("no_bookings", &[]);
            return self.ask_more();
        }
        let begins = self.mind.is_booking() || reading.has(Intent::Book);
        if let Some(booked) = self.mind.booked.clone().filter(|_| !begins) {
            return self.say("booked_already", &[("what", &booked.what)]);
        }
        let wants_own = reading.has(Intent::OwnNumber) && reading.digits.is_none();
        let changed = self.absorb(reading);
        if wants_own && !self.use_own_number() {
            return;
        }
        let confirming = self.mind.state == State::Confirming && !changed;
        let (yes, no) = (reading.has(Intent::Yes), reading.has(Intent::No));
        match confirming {
            true if yes && !no => self.book(),
            true if no && !yes && !wants_own => self.ask_anew(self.mind.last.unwrap_or(Slot::Time)),
            true | false => self.proceed(noted_how(reading)),
        }
    }

    /// A value came by keypad.
    pub(super) fn proceed_pressed(&mut self, slot: Slot) {
        self.mind.last = Some(slot);
        self.proceed(Some("noted"));
    }

    /// Takes the values in; whether anything is new.
    fn absorb(&mut self, reading: &Reading) -> bool {
        let before = self.mind.draft.clone();
        let draft = &mut self.mind.draft;
        draft.day = reading.day.or(draft.day);
        draft.time = reading.time.or(draft.time);
        draft.party = reading.party.or(draft.party);
        self.next_week_if_over(reading);
        if let Some(digits) = &reading.digits {
            if reading.has(Intent::No) {
                // "No, it's five five …": a new number, not the rest of the old one.
                self.mind.draft.clear(Slot::Phone);
            }
            self.take_digits(digits);
        }
        self.mind.last = match reading.given()[..] {
            [one] => Some(one),
            _ => None,
        };
        self.mind.draft != before
    }

    /// "Friday at seven", said on a Friday at eight, means next week.
    fn next_week_if_over(&mut self, reading: &Reading) {
        let clock = self.mind.clock;
        let outright = |word| matches!(word, "today" | "tonight" | "this");
        if reading.day != Some(clock.today) || reading.words.iter().any(outright) {
            return;
        }
        let minute = self.mind.draft.minute(&self.facts.hours, &clock);
        if minute.is_some_and(|minute| clock.has_passed(clock.today, minute)) {
            self.mind.draft.day = clock.today.checked_add(jiff::Span::new().days(7)).ok();
        }
    }

    /// Digits of a telephone number: a whole one, or the next part of one.
    pub(super) fn take_digits(&mut self, digits: &str) {
        let going_on = !self.mind.draft.phone_part.is_empty();
        let whole = digits.trim_start_matches('+').len() >= phone::ENOUGH;
        let more = match (&self.mind.draft.phone, self.mind.last) {
            _ if whole => String::new(),
            (Some(Phone::Given(known)), Some(Slot::Phone)) if digits.len() < phone::ENOUGH => {
                known.clone()
            }
            _ if going_on => std::mem::take(&mut self.mind.draft.phone_part),
            _ => String::new(),
        };
        let all: String = (more + digits).chars().take(phone::MOST + 1).collect();
        if all.trim_start_matches('+').len() >= phone::ENOUGH {
            self.mind.draft.phone_part.clear();
            self.mind.draft.phone = Some(Phone::Given(all));
        } else {
            self.mind.draft.phone_part = all;
        }
    }

    /// "That's it" makes a short number a whole one. False when it is too short for that.
    pub(super) fn accept_part(&mut self) -> bool {
        if self.mind.draft.phone_part.len() < phone::SHORTEST {
            return false;
        }
        let number = std::mem::take(&mut self.mind.draft.phone_part);
        self.mind.draft.phone = Some(Phone::Given(number));
        self.proceed(None);
        true
    }

    /// False when the number is not known: it has been asked for then.
    fn use_own_number(&mut self) -> bool {
        if self.mind.caller_number.is_some() {
            self.mind.draft.phone = Some(Phone::Own);
            self.mind.draft.phone_part.clear();
            return true;
        }
        self.mind.state = State::Asking(Slot::Phone);
        self.say("phone_unknown", &[]);
        false
    }

    /// Checks what is there, then asks for what is missing or sums up.
    /// `noted` is the sentence that says back what is known, when something new was given.
    fn proceed(&mut self, noted: Option<&str>) {
        self.mind.fails = 0;
        if self.refuse() {
            return;
        }
        match self.missing() {
            None => self.confirm(),
            Some(Slot::Phone) if !self.mind.draft.phone_part.is_empty() => {
                self.mind.state = State::Asking(Slot::Phone);
                let digits = spell::digits(&self.mind.draft.phone_part);
                self.say("phone_more", &[("digits", &digits)]);
            }
            Some(slot) => {
                let what = self.what();
                if let Some(key) = noted.filter(|_| !what.is_empty()) {
                    self.say(key, &[("what", &what)]);
                }
                self.ask(slot);
            }
        }
    }

    fn missing(&mut self) -> Option<Slot> {
        let draft = &mut self.mind.draft;
        if draft.phone.is_none() && draft.phone_part.is_empty() && self.mind.caller_number.is_some()
        {
            // Offered in the summing-up, where the caller can give another one.
            let others = [
                draft.day.is_some(),
                draft.time.is_some(),
                draft.party.is_some(),
            ];
            draft.phone = others.iter().all(|there| *there).then_some(Phone::Own);
        }
        let have = draft.have();
        let order = [Slot::Day, Slot::Time, Slot::Party, Slot::Phone];
        order.into_iter().find(|slot| !have.contains(slot))
    }

    /// "Friday the 27th at 7 PM for four", as far as it is known.
    fn what(&self) -> String {
        let draft = &self.mind.draft;
        let day = draft.day.map(|day| spell::date(day, self.mind.clock.today));
        let minute = draft.minute(&self.facts.hours, &self.mind.clock);
        let time = minute.map(|minute| format!("at {}", spell::time(minute)));
        let party = draft
            .party
            .map(|party| format!("for {}", spell::count(party)));
        let parts: Vec<String> = [day, time, party].into_iter().flatten().collect();
        match (&parts[..], draft.party) {
            ([only], Some(_)) => format!("a table {only}"),
            _ => parts.join(" "),
        }
    }

    /// Refuses, in words, the first value that the house's rules forbid, and asks for another.
    fn refuse(&mut self) -> bool {
        self.refuse_party() || self.refuse_day() || self.refuse_time()
    }

    fn refuse_party(&mut self) -> bool {
        let max = self
            .facts
            .booking
            .as_ref()
            .map_or(0, |booking| booking.max_party);
        match self.mind.draft.party {
            Some(0) => self.ask_instead(Slot::Party, "too_few", &[]),
            Some(party) if party > max => {
                self.ask_instead(Slot::Party, "too_many", &[("max", &spell::count(max))])
            }
            Some(_) | None => false,
        }
    }

    fn refuse_day(&mut self) -> bool {
        let Some(day) = self.mind.draft.day else {
            return false;
        };
        if day < self.mind.clock.today {
            return self.ask_instead(Slot::Day, "past_day", &[]);
        }
        if self.facts.hours.on(day).is_empty() && !self.facts.hours.never_open() {
            let day = weekday_name(day);
            return self.ask_instead(Slot::Day, "closed_day", &[("day", day)]);
        }
        false
    }

    fn refuse_time(&mut self) -> bool {
        let Some(minute) = self.mind.draft.minute(&self.facts.hours, &self.mind.clock) else {
            return false;
        };
        let hours = &self.facts.hours;
        let time = spell::time(minute);
        match self.mind.draft.day {
            _ if hours.never_open() => false,
            Some(day) if !hours.is_open(day, minute) => self.refuse_closed(day, &time),
            Some(day) if self.mind.clock.has_passed(day, minute) => {
                self.ask_instead(Slot::Time, "past_time", &[])
            }
            None if !hours.ever_open(minute) => {
                let week = spell::week(hours);
                self.ask_instead(
                    Slot::Time,
                    "closed_always",
                    &[("time", &time), ("hours", &week)],
                )
            }
            Some(_) | None => false,
        }
    }

    fn refuse_closed(&mut self, day: Date, time: &str) -> bool {
        let name = weekday_name(day);
        let spans = spell::spans(self.facts.hours.on(day));
        let values = [("day", name), ("spans", spans.as_str())];
        let hours = self.talk.say("hours_day", 0, &values);
        let values = [("time", time), ("day", name), ("hours", hours.as_str())];
        self.ask_instead(Slot::Time, "closed_time", &values)
    }

    fn ask_instead(&mut self, slot: Slot, key: &str, values: &[(&str, &str)]) -> bool {
        self.mind.draft.clear(slot);
        self.mind.state = State::Asking(slot);
        self.say(key, values);
        true
    }

    /// Asks for a slot; more plainly after a failure, by keypad after two.
    pub(super) fn ask(&mut self, slot: Slot) {
        self.mind.state = State::Asking(slot);
        let way = match self.mind.fails {
            0 => "",
            1 => "_again",
            _ => "_keys",
        };
        if self.mind.fails == 1 {
            self.say("unclear", &[]);
        }
        self.say(&format!("ask_{}{way}", slot.key()), &[]);
        self.expect_digits(if slot == Slot::Time { 4 } else { 32 });
    }

    /// Asks for a slot as if for the first time.
    pub(super) fn ask_plainly(&mut self, slot: Slot) {
        self.mind.fails = 0;
        self.ask(slot);
    }

    /// The value is wrong: forget it and ask for another.
    pub(super) fn ask_anew(&mut self, slot: Slot) {
        self.mind.draft.clear(slot);
        self.ask_plainly(slot);
    }

    /// Sums up and asks whether to book. With something missing that is asked for instead.
    pub(super) fn confirm(&mut self) {
        if let Some(slot) = self.missing() {
            return self.ask_plainly(slot);
        }
        self.mind.state = State::Confirming;
        let what = self.what();
        match self.mind.draft.phone.clone() {
            Some(Phone::Given(number)) => {
                let digits = spell::digits(&number);
                self.say("confirm_given", &[("what", &what), ("digits", &digits)]);
            }
            Some(Phone::Own) | None => self.say("confirm_own", &[("what", &what)]),
        }
        self.expect_digits(1);
    }

    /// The caller agreed: books.
    pub(super) fn book(&mut self) {
        let draft = &self.mind.draft;
        let minute = draft.minute(&self.facts.hours, &self.mind.clock);
        let phone = match &draft.phone {
            Some(Phone::Given(number)) => Some(number.clone()),
            Some(Phone::Own) => self.mind.caller_number.clone(),
            None => None,
        };
        let (Some(day), Some(minute), Some(party), Some(phone)) =
            (draft.day, minute, draft.party, phone)
        else {
            return self.confirm();
        };
        self.mind.runs += 1;
        let starts = format!("{day}T{:02}:{:02}", minute / 60, minute % 60);
        self.run(Run {
            id: ToolRunId(format!("{}/{}", self.mind.turn, self.mind.runs)),
            arguments: json!({ "starts_local": starts, "party_size": party, "phone": phone }),
        });
    }

    pub(super) fn run(&mut self, run: Run) {
        self.mind.fails = 0;
        self.say("booking", &[]);
        self.mind.state = State::Booking(run.clone());
        self.out.tool = Some(run);
    }

    /// What the office said. False when it is not the booking that is waited for.
    pub(super) fn booked(&mut self, id: &ToolRunId, outcome: ToolOutcome) -> bool {
        let State::Booking(run) = &self.mind.state else {
            return false;
        };
        if run.id != *id {
            return false;
        }
        let run = run.clone();
        let outcome = match outcome {
            ToolOutcome::Ok(value) => serde_json::from_value(value).ok(),
            ToolOutcome::Failed { .. } => None,
        };
        match outcome {
            Some(BookingOutcome::Booked { code, .. }) => self.tell_booked(&code),
            Some(BookingOutcome::Full { alternatives }) => self.offer(&alternatives),
            Some(BookingOutcome::Refused { reason }) => {
                self.say("refused", &[("reason", &as_sentence(&reason))]);
                self.mind.draft.clear(Slot::Time);
                self.mind.state = State::Asking(Slot::Time);
            }
            None => {
                self.mind.state = State::Retrying(run);
                self.again();
            }
        }
        true
    }

    fn tell_booked(&mut self, code: &str) {
        let booked = Booked {
            what: self.what(),
            code: spell::code(code),
        };
        self.mind.booked = Some(booked.clone());
        self.mind.draft = super::state::Draft::default();
        self.mind.last = None;
        self.mind.state = State::More;
        self.say("booked", &[("what", &booked.what), ("code", &booked.code)]);
    }

    fn offer(&mut self, alternatives: &[String]) {
        let parsed = alternatives.iter().filter_map(|text| text.parse().ok());
        let mut offered: Vec<DateTime> = parsed.take(OFFERED).collect();
        offered.sort();
        let when = self.when();
        let times = self.times(&offered, "or");
        let day = self
            .mind
            .draft
            .day
            .map(|day| spell::date(day, self.mind.clock.today));
        self.mind.draft.time = None;
        let key = match offered.len() {
            0 => {
                self.mind.draft.day = None;
                self.mind.state = State::Asking(Slot::Day);
                return self.say("full_none", &[("day", &day.unwrap_or_default())]);
            }
            1 => "full_one",
            _ => "full",
        };
        self.mind.state = State::Choosing(offered);
        self.say(key, &[("when", &when), ("times", &times)]);
        self.expect_digits(1);
    }

    fn when(&self) -> String {
        let draft = &self.mind.draft;
        let minute = draft.minute(&self.facts.hours, &self.mind.clock);
        let time = minute.map(spell::time).unwrap_or_default();
        let day = draft.day.map(|day| spell::date(day, self.mind.clock.today));
        format!("{} at {time}", day.unwrap_or_default())
    }

    /// "6:30 PM, 7:30 PM or 8 PM".
    pub(super) fn times(&self, offered: &[DateTime], word: &str) -> String {
        let times: Vec<String> = offered
            .iter()
            .map(|at| spell::time(minute_of(*at)))
            .collect();
        spell::choice(&times, word)
    }

    /// An answer to "which would you like?". False when it is none.
    pub(super) fn choose(&mut self, reading: &Reading) -> bool {
        let State::Choosing(offered) = self.mind.state.clone() else {
            return false;
        };
        let other_day = reading
            .day
            .is_some_and(|day| self.mind.draft.day != Some(day));
        if other_day || reading.digits.is_some() {
            return false;
        }
        if let Some(at) = picked(&offered, reading) {
            self.take(at);
            return true;
        }
        if reading.any() || reading.has(Intent::Hours) || reading.has(Intent::Price) {
            return false;
        }
        if reading.has(Intent::No) {
            self.choose_none();
            return true;
        }
        if reading.has(Intent::Yes) {
            self.again();
            return true;
        }
        false
    }

    /// Books one of the offered tables: it was chosen by name, so it is not confirmed again.
    pub(super) fn take(&mut self, at: DateTime) {
        self.mind.draft.day = Some(at.date());
        self.mind.draft.time = Some(exactly(minute_of(at)));
        self.book();
    }

    pub(super) fn choose_none(&mut self) {
        self.mind.fails = 0;
        self.mind.state = State::Asking(Slot::Time);
        self.say("none_of_them", &[]);
    }
}

/// How what is known is said back, when something new was given.
fn noted_how(reading: &Reading) -> Option<&'static str> {
    let corrected = reading.has(Intent::No) || reading.has(Intent::Change);
    let key = if corrected { "changed" } else { "noted" };
    reading.any().then_some(key)
}

/// Which of the offered starts was meant: by its time, its place, or by being the only one.
fn picked(offered: &[DateTime], reading: &Reading) -> Option<DateTime> {
    if let Some(time) = reading.time {
        let minutes = time.readings();
        return offered
            .iter()
            .find(|at| minutes.contains(&minute_of(**at)))
            .copied();
    }
    let misheard = reading.words.len() == 1 && reading.words.is(0, &["wait", "late", "eighth"]);
    let eight = offered
        .iter()
        .find(|at| misheard && matches!(at.hour(), 8 | 20));
    if eight.is_some() {
        return eight.copied();
    }
    let says = |words: &[&str]| reading.words.iter().any(|word| words.contains(&word));
    if says(&["later", "latest"]) || reading.has(Intent::Last) {
        return offered.last().copied();
    }
    let place = match () {
        () if reading.has(Intent::First) => Some(0),
        () if reading.has(Intent::Second) => Some(1),
        () if reading.has(Intent::Third) => Some(2),
        () if offered.len() == 1 && reading.has(Intent::Yes) && !reading.has(Intent::No) => Some(0),
        () => None,
    };
    offered.get(place?).copied()
}

fn minute_of(at: DateTime) -> u16 {
    u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs())
}

/// A time that leaves no choice.
pub(super) fn exactly(minute: u16) -> super::slots::time::Spoken {
    use super::slots::time::{Half, Spoken};
    let (hour, half) = match minute / 60 {
        hour @ 0 => (hour, Half::Morning),
        hour @ 1..=11 => (hour, Half::Morning),
        hour => (hour, Half::Evening),
    };
    Spoken {
        hour,
        minute: minute % 60,
        half: Some(half),
    }
}

fn as_sentence(reason: &str) -> String {
    let reason = super::talk::capitalised(reason.trim());
    match reason.ends_with(['.', '!', '?']) {
        true => reason,
        false => reason + ".",
    }
}
