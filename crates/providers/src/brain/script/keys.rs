//! Digits instead of words: what each means, by what was asked.

use call_core::brain::EndWish;

use super::{
    booking::exactly,
    flow::Turn,
    slots::{Slot, day, phone},
    state::State,
    words::Words,
};

impl Turn<'_> {
    /// The caller pressed digits.
    pub(super) fn pressed(&mut self, digits: &str) {
        let digits: String = digits
            .chars()
            .filter(char::is_ascii_digit)
            .take(32)
            .collect();
        match self.mind.state.clone() {
            State::Open | State::More => self.menu(&digits),
            State::Asking(slot) => self.value(slot, &digits),
            State::Confirming => self.yes_or_no(&digits, Self::book, Self::drop_draft),
            State::Retrying(run) => {
                self.yes_or_no(&digits, |turn| turn.run(run), Self::drop_draft);
            }
            State::Changing => self.change(&digits),
            State::Choosing(offered) => match digits.parse::<usize>() {
                Ok(0) => self.choose_none(),
                Ok(n) if n <= offered.len() => self.take(offered[n - 1]),
                Ok(_) | Err(_) => self.wrong_key(),
            },
            State::Booking(_) => self.say("still_booking", &[]),
        }
    }

    fn menu(&mut self, digits: &str) {
        self.mind.fails = 0;
        match digits {
            "1" if self.facts.booking.is_some() => self.ask_plainly(Slot::Day),
            "1" => {
                self.say("no_bookings", &[]);
                self.ask_more();
            }
            "2" => {
                self.answer_hours(None);
                self.ask_more();
            }
            "3" => {
                self.answer_prices(&Words::default());
                self.ask_more();
            }
            "9" => self.out.end = Some(EndWish::Goodbye),
            _ => self.offer_menu(),
        }
    }

    fn offer_menu(&mut self) {
        self.say("wrong_key", &[]);
        self.say("menu_keys", &[]);
        self.expect_digits(1);
    }

    fn yes_or_no(&mut self, digits: &str, yes: impl FnOnce(&mut Self), no: impl FnOnce(&mut Self)) {
        match digits {
            "1" => yes(self),
            "2" if self.mind.state == State::Confirming => {
                self.mind.state = State::Changing;
                self.say("change_keys", &[]);
                self.expect_digits(1);
            }
            "2" => no(self),
            _ => self.wrong_key(),
        }
    }

    fn change(&mut self, digits: &str) {
        match digits {
            "1" => self.ask_anew(Slot::Day),
            "2" => self.ask_anew(Slot::Time),
            "3" => self.ask_anew(Slot::Party),
            "4" => self.ask_anew(Slot::Phone),
            "5" => self.drop_draft(),
            _ => self.wrong_key(),
        }
    }

    fn value(&mut self, slot: Slot, digits: &str) {
        let number: Option<u32> = digits.parse().ok();
        let taken = match slot {
            Slot::Party => {
                self.mind.draft.party = number.filter(|n| *n > 0);
                self.mind.draft.party.is_some()
            }
            Slot::Day => {
                let today = self.mind.clock.today;
                self.mind.draft.day = number.and_then(|n| day::next_with_day(today, n));
                self.mind.draft.day.is_some()
            }
            Slot::Time => self.press_time(digits),
            Slot::Phone if digits.len() >= phone::ENOUGH && digits.len() <= phone::MOST => {
                self.mind.draft.phone_part.clear();
                self.take_digits(digits);
                true
            }
            Slot::Phone => return self.say("phone_keys_short", &[]),
        };
        match taken {
            true => self.proceed_pressed(slot),
            false => self.wrong_key(),
        }
    }

    /// "1930", "730", "19", "7".
    fn press_time(&mut self, digits: &str) -> bool {
        let Ok(value) = digits.parse::<u16>() else {
            return false;
        };
        let (hour, minute) = match digits.len() {
            1 | 2 => (value, 0),
            3 | 4 => (value / 100, value % 100),
            _ => return false,
        };
        if hour > 23 || minute > 59 {
            return false;
        }
        let exact = digits.len() == 4 || hour > 12;
        self.mind.draft.time = Some(match exact {
            true => exactly(hour * 60 + minute),
            false => super::slots::time::Spoken {
                hour,
                minute,
                half: None,
            },
        });
        true
    }

    fn wrong_key(&mut self) {
        self.say("wrong_key", &[]);
        self.again();
    }
}
