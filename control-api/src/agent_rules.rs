//! What an agent's configuration must say beyond its shape. Works on JSON, member by member, so
//! that a fault in one place hides none in another.

mod transfers;

use jiff::tz::TimeZone;
use serde_json::Value;

pub use transfers::check_plan;

use crate::error::{FaultCode, Faults};

/// Tools an agent may name.
pub const TOOLS: &[&str] = &["book_table", "find_booking", "transfer", "end_call"];
/// Weekdays as opening hours name them.
pub const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Checks the configuration that stands at `at`.
pub fn check(config: &Value, at: &str, faults: &mut Faults) {
    let mut rules = Rules { faults };
    rules.whole(config, at);
    rules.voice_and_language(config, at);
    rules.transfers(config, at);
    rules.turn(&config["turn"], &format!("{at}/turn"));
    rules.bookings(&config["bookings"], &format!("{at}/bookings"));
    let brain = &config["brain"];
    let at = format!("{at}/brain");
    match brain["kind"].as_str() {
        Some("script") => rules.script(brain, &at),
        Some("llm") => rules.llm(brain, &at),
        _ => {}
    }
}

struct Rules<'a> {
    faults: &'a mut Faults,
}

impl Rules<'_> {
    /// Text of `min` to `max` characters, where it is text at all.
    fn text(&mut self, value: &Value, at: &str, min: usize, max: usize) {
        let Some(text) = value.as_str() else { return };
        let count = text.trim().chars().count();
        if count < min || text.chars().count() > max {
            let message = format!("must have {min} to {max} characters");
            self.faults.add(FaultCode::OutOfRange, at, message);
        }
    }

    /// A number from `min` to `max`, where it is a number at all.
    fn number(&mut self, value: &Value, at: &str, min: f64, max: f64) {
        if value.as_f64().is_some_and(|n| n < min || n > max) {
            let message = format!("must be from {min} to {max}");
            self.faults.add(FaultCode::OutOfRange, at, message);
        }
    }

    /// At most `max` items, each checked.
    fn each(
        &mut self,
        value: &Value,
        at: &str,
        max: usize,
        mut rule: impl FnMut(&mut Self, &Value, &str),
    ) {
        let Some(items) = value.as_array() else {
            return;
        };
        if items.len() > max {
            let message = format!("must have at most {max} items");
            self.faults.add(FaultCode::OutOfRange, at, message);
        }
        for (index, item) in items.iter().take(max).enumerate() {
            rule(self, item, &format!("{at}/{index}"));
        }
    }

    fn whole(&mut self, config: &Value, at: &str) {
        self.text(
            &config["display_name"],
            &format!("{at}/display_name"),
            1,
            50,
        );
        self.text(&config["greeting"], &format!("{at}/greeting"), 0, 1_000);
        self.text(&config["farewell"], &format!("{at}/farewell"), 0, 200);
        self.text(&config["apology"], &format!("{at}/apology"), 1, 500);
        let words = format!("{at}/recording_text");
        self.text(&config["recording_text"], &words, 1, 500);
        let max_duration = format!("{at}/max_duration_s");
        self.number(&config["max_duration_s"], &max_duration, 10.0, 14_400.0);
        self.each(
            &config["tools"],
            &format!("{at}/tools"),
            20,
            |rules, tool, at| {
                if tool.as_str().is_some_and(|name| !TOOLS.contains(&name)) {
                    let message = format!("must be one of {}", TOOLS.join(", "));
                    rules.faults.add(FaultCode::UnknownValue, at, message);
                }
            },
        );
    }

    fn voice_and_language(&mut self, config: &Value, at: &str) {
        let voice = &config["voice"];
        self.text(&voice["provider"], &format!("{at}/voice/provider"), 1, 64);
        self.text(&voice["name"], &format!("{at}/voice/name"), 1, 64);
        self.number(&voice["rate"], &format!("{at}/voice/rate"), 0.5, 2.0);
        let stt = &config["stt"];
        self.text(&stt["provider"], &format!("{at}/stt/provider"), 1, 64);
        let Some(language) = config["language"].as_str() else {
            return;
        };
        let at = format!("{at}/language");
        let local = |part: &Value| part["provider"].as_str().unwrap_or("local") == "local";
        if !is_language(language) {
            let message = "must be a BCP 47 language such as en or en-GB";
            self.faults.add(FaultCode::InvalidFormat, at, message);
        } else if (local(voice) || local(stt)) && !language.to_ascii_lowercase().starts_with("en") {
            let message = "the local models speak en only; name another provider for stt and voice";
            self.faults.add(FaultCode::Inconsistent, at, message);
        }
    }

    fn turn(&mut self, turn: &Value, at: &str) {
        let place = |name: &str| format!("{at}/{name}");
        let (least, most) = (&turn["endpoint_min_ms"], &turn["endpoint_max_ms"]);
        self.number(least, &place("endpoint_min_ms"), 50.0, 10_000.0);
        self.number(most, &place("endpoint_max_ms"), 50.0, 20_000.0);
        if let (Some(least), Some(most)) = (least.as_u64(), most.as_u64())
            && most < least
        {
            let message = format!("must not be less than endpoint_min_ms ({least})");
            let at = place("endpoint_max_ms");
            self.faults.add(FaultCode::Inconsistent, at, message);
        }
        let confirm = &turn["barge_in_confirm_ms"];
        self.number(confirm, &place("barge_in_confirm_ms"), 0.0, 2_000.0);
        self.number(&turn["idle_ms"], &place("idle_ms"), 0.0, 600_000.0);
        let word = |rules: &mut Self, word: &Value, at: &str| rules.text(word, at, 1, 40);
        self.each(&turn["backchannel"], &place("backchannel"), 100, word);
        let prompt = |rules: &mut Self, prompt: &Value, at: &str| rules.text(prompt, at, 1, 500);
        self.each(&turn["idle_prompts"], &place("idle_prompts"), 10, prompt);
    }

    fn llm(&mut self, brain: &Value, at: &str) {
        self.text(&brain["provider"], &format!("{at}/provider"), 1, 64);
        self.text(&brain["model"], &format!("{at}/model"), 1, 200);
        self.text(&brain["prompt"], &format!("{at}/prompt"), 1, 50_000);
        self.number(
            &brain["temperature"],
            &format!("{at}/temperature"),
            0.0,
            2.0,
        );
    }

    fn script(&mut self, brain: &Value, at: &str) {
        let place = |name: &str| format!("{at}/{name}");
        self.text(&brain["business"], &place("business"), 1, 100);
        self.zone_and_hours(brain, at);
        self.each(&brain["prices"], &place("prices"), 500, Self::price);
        self.each(
            &brain["knowledge"],
            &place("knowledge"),
            500,
            Self::knowledge,
        );
        if brain["booking"].is_object() {
            self.booking(&brain["booking"], &place("booking"));
        }
    }

    fn zone_and_hours(&mut self, of: &Value, at: &str) {
        if let Some(zone) = of["zone"].as_str()
            && TimeZone::get(zone).is_err()
        {
            let message = "must be an IANA time zone such as Europe/Paris";
            self.faults
                .add(FaultCode::UnknownValue, format!("{at}/zone"), message);
        }
        let place = format!("{at}/opening_hours");
        self.each(&of["opening_hours"], &place, 50, Self::hours);
    }

    /// The agent's own rules of booking.
    fn bookings(&mut self, bookings: &Value, at: &str) {
        if bookings.is_object() {
            self.zone_and_hours(bookings, at);
            self.booking(bookings, at);
        }
    }

    fn hours(&mut self, hours: &Value, at: &str) {
        self.each(
            &hours["days"],
            &format!("{at}/days"),
            7,
            |rules, day, at| {
                if day.as_str().is_some_and(|name| !DAYS.contains(&name)) {
                    let message = format!("must be one of {}", DAYS.join(", "));
                    rules.faults.add(FaultCode::UnknownValue, at, message);
                }
            },
        );
        if hours["days"].as_array().is_some_and(Vec::is_empty) {
            let message = "must name at least one day";
            self.faults
                .add(FaultCode::OutOfRange, format!("{at}/days"), message);
        }
        let opens = self.minute(&hours["opens"], &format!("{at}/opens"));
        let closes = self.minute(&hours["closes"], &format!("{at}/closes"));
        if let (Some(opens), Some(closes)) = (opens, closes)
            && closes <= opens
        {
            let message = "must be after opens, on the same day";
            self.faults
                .add(FaultCode::Inconsistent, format!("{at}/closes"), message);
        }
    }

    /// Minutes after midnight of an `HH:MM`.
    fn minute(&mut self, value: &Value, at: &str) -> Option<u32> {
        let text = value.as_str()?;
        let minute = read_minute(text);
        if minute.is_none() {
            let message = "must be a time such as 09:30 (00:00 to 24:00)";
            self.faults.add(FaultCode::InvalidFormat, at, message);
        }
        minute
    }

    fn price(&mut self, price: &Value, at: &str) {
        self.text(&price["item"], &format!("{at}/item"), 1, 100);
        let alias = |rules: &mut Self, alias: &Value, at: &str| rules.text(alias, at, 1, 100);
        self.each(&price["aliases"], &format!("{at}/aliases"), 20, alias);
        if let Some(currency) = price["currency"].as_str()
            && !(currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()))
        {
            let message = "must be an ISO 4217 code such as EUR";
            let at = format!("{at}/currency");
            self.faults.add(FaultCode::InvalidFormat, at, message);
        }
    }

    fn knowledge(&mut self, knowledge: &Value, at: &str) {
        let question = |rules: &mut Self, text: &Value, at: &str| rules.text(text, at, 1, 300);
        self.each(
            &knowledge["questions"],
            &format!("{at}/questions"),
            50,
            question,
        );
        self.text(&knowledge["answer"], &format!("{at}/answer"), 1, 1_000);
    }

    fn booking(&mut self, booking: &Value, at: &str) {
        self.text(&booking["resource"], &format!("{at}/resource"), 1, 64);
        self.number(&booking["tables"], &format!("{at}/tables"), 1.0, 1_000.0);
        self.number(
            &booking["max_party"],
            &format!("{at}/max_party"),
            1.0,
            1_000.0,
        );
        let slot = format!("{at}/slot_minutes");
        self.number(&booking["slot_minutes"], &slot, 5.0, 1_440.0);
    }
}

/// Minutes after midnight of `HH:MM`, 00:00 to 24:00.
pub fn read_minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= 24 * 60).then_some(minute)
}

/// Whether a text has the form of a BCP 47 tag.
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let formed = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(formed)
}

#[cfg(test)]
mod tests;
