//! Questions that are no booking: answered at once, then the conversation goes on where it was.

use jiff::civil::Date;

use super::{
    calendar::weekday_name,
    flow::Turn,
    reading::Reading,
    spell,
    talk::{Intent, capitalised},
    words::Words,
};

impl Turn<'_> {
    /// The answers to what was asked by the way. `day` is the day named in the question.
    pub(super) fn asides(&mut self, reading: &Reading, day: Option<Date>) -> Vec<String> {
        let held = std::mem::take(&mut self.out.text);
        self.answer_about_us(reading);
        self.answer_facts(reading, day);
        if self.out.text.is_empty() && !reading.any() && !reading.has(Intent::Book) {
            self.answer_else(reading);
        }
        std::mem::replace(&mut self.out.text, held)
    }

    fn answer_about_us(&mut self, reading: &Reading) {
        let name = self.facts.name.clone();
        if reading.has(Intent::Emergency) {
            self.say("emergency", &[]);
        }
        if reading.has(Intent::HowAreYou) {
            self.say("how_are_you", &[]);
        }
        if reading.has(Intent::Human) {
            self.say("human", &[]);
        } else if reading.has(Intent::Robot) {
            self.say("robot", &[("name", &name)]);
        } else if reading.has(Intent::Who) {
            let business = self.facts.business.clone();
            self.say("who", &[("name", &name), ("business", &business)]);
        }
    }

    fn answer_facts(&mut self, reading: &Reading, day: Option<Date>) {
        let names_priced = || self.facts.names_priced(&reading.words);
        let by_name = !self.mind.is_booking() && !reading.any() && names_priced();
        if reading.has(Intent::Price) || by_name {
            self.answer_prices(&reading.words);
        }
        if reading.has(Intent::Hours) {
            self.answer_hours(day);
        }
        if reading.has(Intent::Code) {
            self.answer_code();
        }
    }

    /// The prices of what is named; of the first few things when nothing is.
    pub(super) fn answer_prices(&mut self, words: &Words) {
        let facts = self.facts;
        let found = facts.prices(words);
        if found.is_empty() {
            return self.say("price_none", &[]);
        }
        for (item, price) in found {
            self.say(
                "price_one",
                &[("item", &capitalised(item)), ("price", price)],
            );
        }
    }

    pub(super) fn answer_hours(&mut self, day: Option<Date>) {
        let hours = &self.facts.hours;
        if hours.never_open() {
            return self.say("hours_none", &[]);
        }
        let Some(day) = day else {
            let week = spell::week(hours);
            return self.out.text.push(week);
        };
        let spans = spell::spans(hours.on(day));
        let name = self.day_name(day);
        match spans.is_empty() {
            true => self.say("hours_day_closed", &[("day", &name)]),
            false => self.say("hours_day", &[("day", &name), ("spans", &spans)]),
        }
    }

    /// "Friday": a weekday has the same hours every week.
    fn day_name(&self, day: Date) -> String {
        weekday_name(day).to_owned()
    }

    fn answer_code(&mut self) {
        match self.mind.booked.clone() {
            Some(booked) => self.say("booked_code", &[("code", &booked.code)]),
            None => self.say("code_none", &[]),
        }
    }

    /// Help, and the small answers.
    fn answer_else(&mut self, reading: &Reading) {
        // "That's right" answers our question; it does not ask one.
        let replies = reading.has(Intent::Yes) || reading.has(Intent::No);
        let short = replies && reading.words.len() < 4;
        if let Some(answer) = self.facts.answer(&reading.words).filter(|_| !short) {
            self.out.text.push(answer.to_owned());
        } else if reading.has(Intent::Help) {
            let help = self.help();
            self.out.text.push(help);
        }
    }

    /// What we can do, in one sentence.
    pub(super) fn help(&self) -> String {
        let key = match self.facts.booking {
            Some(_) => "help",
            None => "help_no_booking",
        };
        self.talk.say(key, 0, &[])
    }
}
