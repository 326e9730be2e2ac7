//! One turn of the conversation: what is made of the caller's words, by where it stands.

use call_core::{brain::EndWish, pipeline::DigitsWanted};

use jiff::civil::Date;

use super::{
    facts::Facts,
    reading::{Expect, Reading},
    slots::{Slot, time::Spoken},
    state::{Memory, Run, State},
    talk::{Intent, Talk},
};

/// Failures in a row after which the conversation is given up.
const GIVE_UP: u32 = 9;

/// What a turn wants done.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outgoing {
    /// Sentences, to be said as one answer.
    pub(super) text: Vec<String>,
    /// A tool to run.
    pub(super) tool: Option<Run>,
    /// The end of the call.
    pub(super) end: Option<EndWish>,
    /// A new speaking rate.
    pub(super) pace: Option<f32>,
    /// How many digits would be complete.
    pub(super) digits: Option<DigitsWanted>,
    /// The answer is not what "repeat" repeats.
    pub(super) passing: bool,
}

/// A turn in the making.
pub(super) struct Turn<'a> {
    pub(super) facts: &'a Facts,
    pub(super) talk: &'a Talk,
    pub(super) mind: &'a mut Memory,
    pub(super) out: Outgoing,
}

impl<'a> Turn<'a> {
    /// Begins a turn.
    pub(super) fn new(facts: &'a Facts, talk: &'a Talk, mind: &'a mut Memory) -> Self {
        mind.answers += 1;
        Self {
            facts,
            talk,
            mind,
            out: Outgoing::default(),
        }
    }

    /// Adds a sentence of the table.
    pub(super) fn say(&mut self, key: &str, values: &[(&str, &str)]) {
        let text = self.talk.say(key, self.mind.answers, values);
        self.out.text.push(text);
    }

    /// The caller said something.
    pub(super) fn said(&mut self, text: &str) {
        let mut reading = self.read(text);
        if reading.words.len() == 0 {
            return self.not_understood(false);
        }
        if matches!(self.mind.state, State::Booking(_)) {
            return self.again();
        }
        if self.choose(&reading) || self.passes(&reading) {
            return;
        }
        let day = reading.day;
        if is_question(&reading, self.mind.is_booking()) {
            reading.forget_values();
        }
        let asides = self.asides(&reading, day);
        if self.wants_other_booking(&reading) {
            return self.reset_to_more("cannot_cancel");
        }
        if self.is_about_booking(&reading) {
            self.out.text.extend(asides);
            return self.booking_words(&reading);
        }
        if !asides.is_empty() {
            self.mind.fails = 0;
            self.out.text.extend(asides);
            return self.again();
        }
        self.by_state(&reading);
    }

    fn read(&self, text: &str) -> Reading {
        let draft = &self.mind.draft;
        let plausible = |spoken: Spoken, day: Option<Date>| {
            let mut probe = draft.clone();
            probe.day = day.or(probe.day);
            probe.time = Some(spoken);
            let minute = probe.minute(&self.facts.hours, &self.mind.clock);
            minute.is_some_and(|minute| match probe.day {
                Some(day) => self.facts.hours.is_open(day, minute),
                None => self.facts.hours.ever_open(minute),
            })
        };
        let expect = Expect {
            today: self.mind.clock.today(&self.facts.hours),
            asked: self.asked(),
            last: self.mind.last,
            have: draft.have(),
            number_begun: !draft.phone_part.is_empty(),
            booking: self.mind.is_booking(),
            plausible: &plausible,
        };
        Reading::of(self.talk, text, &expect)
    }

    fn asked(&self) -> Option<Slot> {
        match &self.mind.state {
            State::Asking(slot) => Some(*slot),
            State::Choosing(_) => Some(Slot::Time),
            State::Open
            | State::More
            | State::Confirming
            | State::Changing
            | State::Booking(_)
            | State::Retrying(_) => None,
        }
    }

    /// Words that leave everything as it is: wait, repeat, slower; and goodbye.
    fn passes(&mut self, reading: &Reading) -> bool {
        if reading.any() {
            return false;
        }
        if reading.has(Intent::Bye) {
            self.out.end = Some(EndWish::Goodbye);
        } else if reading.has(Intent::Slower) {
            self.change_pace(0.8, "slower");
        } else if reading.has(Intent::Faster) {
            self.change_pace(1.25, "faster");
        } else if reading.has(Intent::Repeat) && !reading.has(Intent::Book) {
            self.repeat();
        } else if reading.has(Intent::Wait) {
            self.say("wait", &[]);
            self.out.passing = true;
        } else {
            return false;
        }
        true
    }

    fn change_pace(&mut self, factor: f32, key: &str) {
        self.mind.pace = (self.mind.pace * factor).clamp(0.6, 1.5);
        self.out.pace = Some(self.mind.pace);
        self.say(key, &[]);
        self.repeat();
    }

    fn repeat(&mut self) {
        self.out.passing = true;
        if self.mind.last_said.is_empty() {
            return self.say("nothing_said", &[]);
        }
        self.out.text.push(self.mind.last_said.clone());
    }

    /// "I want to cancel my booking" when none is being made here.
    fn wants_other_booking(&self, reading: &Reading) -> bool {
        let changes = |word| matches!(word, "change" | "modify" | "reschedule" | "move" | "cancel");
        let changing = reading.words.iter().any(changes);
        let asks = reading.has(Intent::Cancel) || reading.has(Intent::Change);
        changing && asks && self.mind.draft.is_empty() && !self.mind.is_booking()
    }

    fn is_about_booking(&self, reading: &Reading) -> bool {
        let own = self.mind.is_booking() && reading.has(Intent::OwnNumber);
        let asks_number = matches!(
            self.mind.state,
            State::Asking(Slot::Phone) | State::Confirming | State::Changing
        );
        let says_number = reading
            .words
            .iter()
            .any(|w| matches!(w, "number" | "phone" | "calling"));
        let wants = reading.has(Intent::Book) && !reading.has(Intent::Code);
        let begins = wants && !self.mind.is_booking();
        reading.any() || begins || (own && (asks_number || says_number))
    }

    /// An answer that gives no value: yes, no, thanks, or nothing we know.
    fn by_state(&mut self, reading: &Reading) {
        let stops = reading.has(Intent::Cancel) || reading.has(Intent::Done);
        match self.mind.state.clone() {
            State::Open => self.in_open(reading),
            State::More => self.in_more(reading),
            State::Asking(_) | State::Changing | State::Choosing(_) | State::Confirming
                if reading.has(Intent::Cancel) =>
            {
                self.drop_draft();
            }
            State::Asking(slot) => self.in_asking(slot, reading),
            State::Confirming => self.in_confirming(reading),
            State::Changing => self.in_changing(reading),
            State::Booking(_) => self.say("still_booking", &[]),
            State::Choosing(_) => self.not_understood(true),
            State::Retrying(run) if reading.has(Intent::Yes) => self.run(run),
            State::Retrying(_) if stops || reading.has(Intent::No) => self.drop_draft(),
            State::Retrying(_) => self.not_understood(true),
        }
    }

    fn in_open(&mut self, reading: &Reading) {
        if reading.has(Intent::Done) {
            self.out.end = Some(EndWish::Goodbye);
        } else if reading.has(Intent::Thanks) {
            self.say("thanks", &[]);
            self.ask_what_now();
        } else if reading.has(Intent::Hello) {
            self.say("hello", &[]);
            self.ask_what_now();
        } else if reading.has(Intent::Yes) || reading.has(Intent::No) {
            self.ask_what_now();
        } else {
            self.not_understood(true);
        }
    }

    fn in_more(&mut self, reading: &Reading) {
        let over = [Intent::Thanks, Intent::Done, Intent::No, Intent::Cancel];
        if over.iter().any(|intent| reading.has(*intent)) {
            self.out.end = Some(EndWish::Goodbye);
        } else {
            self.in_open(reading);
        }
    }

    fn in_asking(&mut self, slot: Slot, reading: &Reading) {
        if reading.has(Intent::Hello) {
            self.say("hello", &[]);
            return self.again();
        }
        let begun = slot == Slot::Phone && !self.mind.draft.phone_part.is_empty();
        if begun && reading.has(Intent::No) {
            return self.ask_anew(slot);
        }
        let whole = reading.has(Intent::Yes) || reading.has(Intent::Done);
        if begun && whole && self.accept_part() {
            return;
        }
        if reading.has(Intent::Done) {
            return self.drop_draft();
        }
        let other = named_slot(reading).filter(|other| *other != slot);
        match other.filter(|_| reading.has(Intent::Change)) {
            Some(other) => self.ask_anew(other),
            None => self.not_understood(true),
        }
    }

    fn in_confirming(&mut self, reading: &Reading) {
        let (yes, no) = (reading.has(Intent::Yes), reading.has(Intent::No));
        let changes = no || reading.has(Intent::Change);
        match named_slot(reading).filter(|_| changes && !yes) {
            Some(slot) => self.ask_anew(slot),
            None if yes && !no => self.book(),
            None if no && !yes => self.ask_what_to_change(),
            None if reading.has(Intent::Change) => self.ask_what_to_change(),
            None if reading.has(Intent::Hello) || yes => self.confirm(),
            None => self.not_understood(true),
        }
    }

    fn in_changing(&mut self, reading: &Reading) {
        let settled = [Intent::Yes, Intent::No, Intent::Done];
        match named_slot(reading) {
            Some(slot) => self.ask_anew(slot),
            None if settled.iter().any(|intent| reading.has(*intent)) => self.confirm(),
            None => self.not_understood(true),
        }
    }

    /// Nothing we know. The second time in a row the keypad is offered.
    pub(super) fn not_understood(&mut self, words: bool) {
        self.mind.fails += 1;
        let fails = self.mind.fails;
        if fails >= GIVE_UP {
            self.out.end = Some(EndWish::GaveUp);
            return;
        }
        let keys = fails >= 2;
        match self.mind.state.clone() {
            State::Open | State::More if keys => self.offer_keys("menu_keys", 1),
            State::Open | State::More => self.say_what_we_can(words),
            State::Asking(slot) => self.ask(slot),
            State::Confirming | State::Retrying(_) if keys => self.offer_keys("confirm_keys", 1),
            State::Changing if keys => self.offer_keys("change_keys", 1),
            State::Choosing(offered) if keys => {
                let times = self.times(&offered, "and");
                self.say("which_keys", &[("times", &times)]);
                self.expect_digits(1);
            }
            State::Confirming
            | State::Retrying(_)
            | State::Changing
            | State::Choosing(_)
            | State::Booking(_) => {
                self.say("unclear", &[]);
                self.again();
            }
        }
    }

    fn say_what_we_can(&mut self, words: bool) {
        self.mind.state = State::Open;
        if words {
            let help = self.help();
            self.say("unclear_help", &[("help", &help)]);
        } else {
            self.say("unclear", &[]);
            self.say("what_now", &[]);
        }
    }

    fn offer_keys(&mut self, key: &str, max: u8) {
        self.say(key, &[]);
        self.expect_digits(max);
    }

    /// The question that stands open, once more.
    pub(super) fn again(&mut self) {
        match self.mind.state.clone() {
            State::Open | State::More => self.ask_more(),
            State::Asking(slot) => self.ask_plainly(slot),
            State::Confirming => self.confirm(),
            State::Changing => self.ask_what_to_change(),
            State::Booking(_) => self.say("still_booking", &[]),
            State::Choosing(offered) => {
                let times = self.times(&offered, "or");
                self.say("which_one", &[("times", &times)]);
                self.expect_digits(1);
            }
            State::Retrying(_) => {
                self.say("book_failed", &[]);
                self.expect_digits(1);
            }
        }
    }

    pub(super) fn ask_more(&mut self) {
        self.mind.state = State::More;
        self.say("more", &[]);
    }

    fn ask_what_now(&mut self) {
        self.mind.state = State::Open;
        self.mind.fails = 0;
        self.say("what_now", &[]);
    }

    fn ask_what_to_change(&mut self) {
        self.mind.state = State::Changing;
        self.mind.fails = 0;
        self.say("what_to_change", &[]);
        self.expect_digits(1);
    }

    /// Says a sentence that ends in "anything else?", the draft forgotten.
    pub(super) fn reset_to_more(&mut self, key: &str) {
        self.mind.draft = super::state::Draft::default();
        (self.mind.last, self.mind.fails) = (None, 0);
        self.mind.state = State::More;
        self.say(key, &[]);
    }

    pub(super) fn drop_draft(&mut self) {
        self.reset_to_more("dropped");
    }

    pub(super) fn expect_digits(&mut self, max: u8) {
        self.out.digits = Some(DigitsWanted {
            max,
            ..DigitsWanted::default()
        });
    }
}

/// Whether day, time or party belong to a question ("are you open on Sunday?").
fn is_question(reading: &Reading, booking: bool) -> bool {
    if reading.has(Intent::Book) {
        return false;
    }
    let pleasantry = reading.has(Intent::HowAreYou) || reading.has(Intent::Bye);
    reading.has(Intent::Hours) || pleasantry || (reading.has(Intent::Price) && !booking)
}

/// The slot a sentence speaks of without giving a value.
fn named_slot(reading: &Reading) -> Option<Slot> {
    let named = [
        (Intent::SlotParty, Slot::Party),
        (Intent::SlotDay, Slot::Day),
        (Intent::SlotTime, Slot::Time),
        (Intent::SlotPhone, Slot::Phone),
    ];
    let hit = named.iter().find(|(intent, _)| reading.has(*intent));
    hit.map(|(_, slot)| *slot)
}
