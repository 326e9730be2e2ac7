//! The scripted receptionist: a dialogue that needs no model and no key.
//!
//! ```text
//! words ──► talk (table) ── intents ─┐
//!       ──► slots ── day, time, …  ──┴─► reading ──► flow, booking, aside ──► what is said
//! ```
//!
//! What callers mean and what is said stands in `script/talk.toml`; what is true (hours, prices,
//! small answers) in the agent's published configuration; where a conversation stands in
//! [`state::State`]. It takes day, time, party and a telephone number, never a name: a recogniser
//! on a telephone line hears numbers and days well and names badly.

mod aside;
mod booking;
mod calendar;
mod facts;
mod flow;
mod keys;
mod likeness;
mod pattern;
mod reading;
mod slots;
mod spell;
mod state;
mod talk;
mod words;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use call_core::{
    brain::{CallContext, ToolRequest},
    pipeline::{Dialogue, DialogueEffect, DialogueInput},
};
use model::agent::{AgentConfig, ScriptConfig};

use self::{
    facts::{BOOK_TABLE, Facts},
    flow::{Outgoing, Turn},
    state::{Clock, Memory, State},
    talk::Talk,
};
use crate::brain::BrainError;

/// Every sentence of the table that the code says; a test holds the two together.
#[cfg(test)]
const SENTENCES: &[&str] = &[
    "ask_day",
    "ask_time",
    "ask_party",
    "ask_phone",
    "ask_day_again",
    "ask_time_again",
    "ask_party_again",
    "ask_phone_again",
    "ask_day_keys",
    "ask_time_keys",
    "ask_party_keys",
    "ask_phone_keys",
    "phone_more",
    "phone_unknown",
    "phone_keys_short",
    "confirm_own",
    "confirm_given",
    "confirm_keys",
    "noted",
    "changed",
    "what_to_change",
    "change_keys",
    "booking",
    "still_booking",
    "booked",
    "booked_code",
    "booked_already",
    "code_none",
    "full",
    "full_one",
    "full_none",
    "which_one",
    "which_keys",
    "none_of_them",
    "refused",
    "book_failed",
    "no_bookings",
    "closed_day",
    "closed_time",
    "closed_always",
    "past_day",
    "past_time",
    "too_many",
    "too_few",
    "dropped",
    "cannot_cancel",
    "wait",
    "slower",
    "faster",
    "nothing_said",
    "robot",
    "human",
    "emergency",
    "who",
    "how_are_you",
    "hello",
    "thanks",
    "help",
    "help_no_booking",
    "what_now",
    "more",
    "unclear",
    "unclear_help",
    "menu_keys",
    "wrong_key",
    "price_one",
    "price_none",
    "hours_day",
    "hours_day_closed",
    "hours_none",
];

/// Longest turn that is read, bytes.
const MAX_TURN_BYTES: usize = 2_000;
/// Lines of a broken conversation that are gone through again.
const MAX_REPLAY: usize = 200;

/// The scripted dialogue.
pub struct Script {
    facts: Facts,
    talk: Arc<Talk>,
    mind: Memory,
    before: Option<(u32, Memory)>,
    effects: VecDeque<DialogueEffect>,
}

impl Script {
    /// A dialogue for one call.
    ///
    /// # Errors
    /// [`BrainError::Phrases`] when the built-in table of phrases cannot be read.
    pub fn new(config: &AgentConfig, script: &ScriptConfig) -> Result<Self, BrainError> {
        let talk = Talk::built_in().map_err(|why| BrainError::Phrases { why })?;
        Ok(Self {
            facts: Facts::new(config, script),
            talk,
            mind: Memory::new(Clock::new(0, 0), None),
            before: None,
            effects: VecDeque::new(),
        })
    }

    fn begin(&mut self, context: &CallContext) {
        let clock = Clock::new(context.unix_ms, context.utc_offset_s);
        self.mind = Memory::new(clock, context.caller_number.clone());
        let from = context.history.len().saturating_sub(MAX_REPLAY);
        for line in context.history.iter().skip(from) {
            match line.agent {
                true => self.mind.last_said.clone_from(&line.text),
                false => self.go_through(&line.text),
            }
        }
    }

    /// A turn of a conversation that broke: its effects have been carried out or are lost.
    fn go_through(&mut self, text: &str) {
        self.turn(|turn| turn.said(shortened(text)));
        self.effects.clear();
        if matches!(self.mind.state, State::Booking(_)) {
            // Whether it was booked is not known here: ask before booking again.
            self.mind.state = State::Confirming;
        }
    }

    fn take_turn(&mut self, number: u32, act: impl FnOnce(&mut Turn<'_>)) {
        self.before = Some((number, self.mind.clone()));
        self.mind.turn = number;
        self.mind.runs = 0;
        self.turn(act);
    }

    fn turn(&mut self, act: impl FnOnce(&mut Turn<'_>)) {
        let mut turn = Turn::new(&self.facts, &self.talk, &mut self.mind);
        act(&mut turn);
        if turn.out.text.is_empty() && turn.out.end.is_none() {
            turn.not_understood(false);
        }
        let out = turn.out;
        self.send(out);
    }

    fn send(&mut self, out: Outgoing) {
        let text = out.text.join(" ");
        self.effects.extend(out.pace.map(DialogueEffect::Pace));
        if !text.is_empty() {
            if !out.passing {
                self.mind.last_said.clone_from(&text);
            }
            self.effects.push_back(DialogueEffect::Speak {
                text,
                last: true,
                protected: false,
            });
        }
        if let Some(run) = out.tool {
            self.effects.push_back(DialogueEffect::RunTool(ToolRequest {
                id: run.id,
                name: BOOK_TABLE.into(),
                arguments: run.arguments,
            }));
        }
        let digits = out.digits.map(DialogueEffect::ExpectDigits);
        self.effects.extend(digits);
        self.effects.extend(out.end.map(DialogueEffect::End));
    }
}

impl Dialogue for Script {
    fn handle(&mut self, _now: Duration, input: DialogueInput) {
        match input {
            DialogueInput::Begin(context) => self.begin(&context),
            DialogueInput::UserSaid { turn, text, .. } => {
                self.take_turn(turn, |turn| turn.said(shortened(&text)));
            }
            DialogueInput::UserDigits { turn, digits } => {
                self.take_turn(turn, |turn| turn.pressed(&digits));
            }
            DialogueInput::UserWentOn { turn } => match self.before.take() {
                Some((number, mind)) if number == turn => {
                    self.mind = mind;
                    self.effects.clear();
                }
                other => self.before = other,
            },
            DialogueInput::NotUnderstood { .. } => self.turn(|turn| turn.not_understood(false)),
            DialogueInput::ToolResult(id, outcome) => {
                let mut turn = Turn::new(&self.facts, &self.talk, &mut self.mind);
                if turn.booked(&id, outcome) {
                    let out = turn.out;
                    self.send(out);
                }
            }
            // A script answers at once and asks no model; the pipeline speaks idle prompts; and
            // what was heard changes nothing that it asks next.
            DialogueInput::UserSeemsDone { .. }
            | DialogueInput::Idle { .. }
            | DialogueInput::Hint { .. }
            | DialogueInput::Mind(..)
            | DialogueInput::Heard { .. } => {}
        }
    }

    fn poll_effect(&mut self) -> Option<DialogueEffect> {
        self.effects.pop_front()
    }
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TURN_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
