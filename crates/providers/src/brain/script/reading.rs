//! One turn of the caller, read: values for slots, and what else he may mean.

use jiff::civil::Date;

use super::{
    slots::{
        Found, Slot, Taken,
        day::{self, Today},
        meant, party,
        phone::{self, Asked},
        time::{self, Spoken},
    },
    talk::{Intent, Talk},
    words::Words,
};

/// What the reader knows of the moment.
pub(super) struct Expect<'a> {
    /// Today.
    pub(super) today: Today,
    /// What was asked for, if anything.
    pub(super) asked: Option<Slot>,
    /// The one slot the caller gave last, if it was one alone.
    pub(super) last: Option<Slot>,
    /// Which slots have a value.
    pub(super) have: Vec<Slot>,
    /// A part of a telephone number is there.
    pub(super) number_begun: bool,
    /// A booking is being made.
    pub(super) booking: bool,
    /// Whether a table could be had at that time, as far as is known.
    pub(super) plausible: &'a dyn Fn(Spoken, Option<Date>) -> bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// The words.
    pub(super) words: Words,
    /// What else he may mean.
    pub(super) intents: Vec<Intent>,
    /// A day.
    pub(super) day: Option<Date>,
    /// A time.
    pub(super) time: Option<Spoken>,
    /// A party.
    pub(super) party: Option<u32>,
    /// Digits of a telephone number.
    pub(super) digits: Option<String>,
}

impl Reading {
    /// Reads a turn.
    pub(super) fn of(talk: &Talk, text: &str, expect: &Expect<'_>) -> Self {
        let words = talk.words(text);
        let mut reading = Self {
            intents: talk.intents(&words),
            words,
            ..Self::default()
        };
        let mut taken = Taken::none(&reading.words);
        reading.read_phone(expect, &mut taken);
        reading.read_day(expect, &mut taken);
        reading.read_time(expect, &mut taken);
        reading.read_party(expect, &mut taken);
        if expect.booking || reading.has(Intent::Book) || reading.any() {
            reading.read_bare(expect, &taken);
        }
        reading
    }

    /// Whether the caller may mean that.
    pub(super) fn has(&self, intent: Intent) -> bool {
        self.intents.contains(&intent)
    }

    /// Whether there is a value for any slot.
    pub(super) fn any(&self) -> bool {
        !self.given().is_empty()
    }

    /// The slots there are values for.
    pub(super) fn given(&self) -> Vec<Slot> {
        let given = [
            (Slot::Day, self.day.is_some()),
            (Slot::Time, self.time.is_some()),
            (Slot::Party, self.party.is_some()),
            (Slot::Phone, self.digits.is_some()),
        ];
        given.iter().filter(|one| one.1).map(|one| one.0).collect()
    }

    /// Forgets day, time and party: they belong to a question, not to a booking.
    pub(super) fn forget_values(&mut self) {
        (self.day, self.time, self.party) = (None, None, None);
    }

    fn read_phone(&mut self, expect: &Expect<'_>, taken: &mut Taken) {
        let asked = expect.asked == Some(Slot::Phone) || expect.last == Some(Slot::Phone);
        let said = (0..self.words.len())
            .any(|at| self.words.is(at, &["number", "phone"]) && self.words.is(at + 1, &["is"]));
        let asked = asked || said;
        let asked = match asked {
            true if expect.number_begun => Asked::TheRest,
            true => Asked::Whole,
            false => Asked::No,
        };
        if let Some((digits, place)) = phone::find(&self.words, asked) {
            taken.take(place.from, place.to);
            self.digits = Some(digits);
        }
    }

    fn read_day(&mut self, expect: &Expect<'_>, taken: &mut Taken) {
        let asked = expect.asked == Some(Slot::Day);
        let found = day::find(&self.words, expect.today, asked, taken);
        self.day = keep(&self.words, &found, taken);
    }

    fn read_time(&mut self, expect: &Expect<'_>, taken: &mut Taken) {
        let asked = expect.asked == Some(Slot::Time);
        let found = time::find(&self.words, asked, taken);
        self.time = keep(&self.words, &found, taken);
    }

    fn read_party(&mut self, expect: &Expect<'_>, taken: &mut Taken) {
        let asked = expect.asked == Some(Slot::Party);
        let time_asked = expect.asked == Some(Slot::Time) && self.time.is_none();
        let found = party::find(&self.words, asked, time_asked, taken);
        self.party = keep(&self.words, &found, taken);
    }

    /// Numbers that nothing marks: a time or a party by what is asked, missing, or likely.
    fn read_bare(&mut self, expect: &Expect<'_>, taken: &Taken) {
        let mut at = 0;
        let mut before: Option<(Slot, usize)> = None;
        while at < self.words.len() {
            let Some((number, used)) = self.bare_at(at, taken) else {
                at += 1;
                continue;
            };
            let corrected = before.filter(|(_, end)| self.corrects(*end, at));
            let slot =
                corrected.map_or_else(|| self.slot_of(number, expect), |(slot, _)| Some(slot));
            if let Some(slot) = slot {
                self.fill_bare(slot, number);
                before = Some((slot, at + used));
            }
            at += used;
        }
    }

    fn bare_at(&self, at: usize, taken: &Taken) -> Option<(u32, usize)> {
        let (number, used) = self.words.number(at)?;
        let pronoun = self.words.is(at, &["one"])
            && (!self.words.before(at, 1).is_empty() && !bare_lead(self.words.before(at, 1))
                || self.words.is(
                    at + 1,
                    &[
                        "moment", "second", "minute", "more", "thing", "question", "sec",
                    ],
                ));
        let denied = self.words.before(at, 1) == "not";
        let free = !taken.any(at, at + used) && !pronoun && !denied;
        free.then_some((number, used))
    }

    fn corrects(&self, from: usize, to: usize) -> bool {
        (from..to).any(|at| {
            self.words.is(
                at,
                &["no", "wait", "sorry", "actually", "mean", "rather", "make"],
            )
        })
    }

    fn slot_of(&self, number: u32, expect: &Expect<'_>) -> Option<Slot> {
        if number > 24 && expect.asked != Some(Slot::Party) {
            return None;
        }
        let missing = |slot| !expect.have.contains(&slot);
        let no_time = self.time.is_none();
        let no_party = self.party.is_none();
        let likely = no_time && spoken(number).is_some_and(|s| (expect.plausible)(s, self.day));
        match expect.asked.or(expect.last) {
            Some(Slot::Party) if no_party => Some(Slot::Party),
            Some(Slot::Time) if likely => Some(Slot::Time),
            Some(Slot::Time) if no_party && missing(Slot::Party) && number <= 12 => {
                Some(Slot::Party)
            }
            Some(Slot::Time) if no_time && number < 24 => Some(Slot::Time),
            Some(Slot::Phone) if expect.asked == Some(Slot::Phone) => None,
            _ if likely && missing(Slot::Time) => Some(Slot::Time),
            _ if no_party && missing(Slot::Party) => Some(Slot::Party),
            _ if likely => Some(Slot::Time),
            _ if no_party => Some(Slot::Party),
            _ => None,
        }
    }

    fn fill_bare(&mut self, slot: Slot, number: u32) {
        match slot {
            Slot::Time => self.time = spoken(number),
            Slot::Party => self.party = Some(number),
            Slot::Day | Slot::Phone => {}
        }
    }
}

/// Words before "one" that leave it a number.
fn bare_lead(word: &str) -> bool {
    matches!(
        word,
        "for" | "at" | "about" | "make" | "it" | "no" | "wait" | "just" | "be" | "around" | "say"
    )
}

fn spoken(number: u32) -> Option<Spoken> {
    let hour = u16::try_from(number)
        .ok()
        .filter(|hour| (1..24).contains(hour))?;
    Some(Spoken {
        hour,
        minute: 0,
        half: None,
    })
}

/// Takes every place found, so that a denied value is not read again as something else.
fn keep<T: Copy>(words: &Words, found: &[Found<T>], taken: &mut Taken) -> Option<T> {
    for one in found {
        taken.take(one.from, one.to);
    }
    meant(words, found).map(|one| one.value)
}
