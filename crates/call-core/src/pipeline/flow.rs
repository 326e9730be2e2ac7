//! What follows from an input: turns go to the dialogue, its wishes become effects, time passes.

use std::time::Duration;

use super::{
    brain::{Answering, PipelineBrain, Stage, Tentative},
    dialogue::{DialogueEffect, DialogueInput},
    mouth::Role,
};
use crate::{
    brain::{BrainEffect, BrainNote, EndWish, ToolOutcome, UtteranceId},
    turn::{Floor, Taken, TurnEffect, TurnInput},
};

/// Wishes of an unconfirmed answer; a dialogue that wants more at once is wrong.
const MAX_HELD: usize = 4_096;

impl PipelineBrain {
    /// Goes on until nothing follows any more: each step either consumes an effect or brings the
    /// turn machine to the floor that the rest implies.
    pub(super) fn settle(&mut self, now: Duration) {
        loop {
            if let Some(effect) = self.turn.poll_effect() {
                self.on_turn(now, effect);
            } else if let Some(effect) = self.dialogue.poll_effect() {
                self.on_wish(now, effect);
            } else if self.digits_are_due() {
                self.digits_taken(now);
            } else if self.floor() == self.turn.floor() || self.stage == Stage::Over {
                return;
            } else {
                let floor = self.floor();
                self.turn.handle(now, TurnInput::Floor(floor));
            }
        }
    }

    /// Who has the agent's side.
    fn floor(&self) -> Floor {
        let protected = self.mouth.is_protected();
        match self.stage {
            Stage::Closing(_) | Stage::Over => Floor::Speaking {
                interruptible: false,
            },
            Stage::Warming | Stage::Talking if self.mouth.is_heard() => Floor::Speaking {
                interruptible: !protected,
            },
            Stage::Warming | Stage::Talking if self.work.has_tools() => Floor::Busy,
            Stage::Warming | Stage::Talking if self.mouth.is_silent() && !self.is_thinking() => {
                Floor::Quiet
            }
            Stage::Warming | Stage::Talking => match &self.answer {
                Some(answer) if !answer.fixed => Floor::Thinking,
                Some(_) | None => Floor::Busy,
            },
        }
    }

    /// Whether a confirmed turn waits for a model; what is asked ahead takes no floor.
    fn is_thinking(&self) -> bool {
        self.work.has_minds() && self.tentative.is_none()
    }

    fn on_turn(&mut self, now: Duration, effect: TurnEffect) {
        match effect {
            TurnEffect::Likely {
                turn,
                text,
                confidence,
            } => {
                self.tentative = Some(Tentative {
                    turn,
                    text: text.clone(),
                    held: Vec::new(),
                });
                self.dialogue.handle(
                    now,
                    DialogueInput::UserSeemsDone {
                        turn,
                        text,
                        confidence,
                    },
                );
            }
            TurnEffect::Taken(taken) => self.taken(now, taken),
            TurnEffect::Withdrawn { turn } => self.take_back(now, turn),
            TurnEffect::Interrupt { onset_ms } => self.interrupted(onset_ms),
            TurnEffect::HoldPause => self.effects.push_back(BrainEffect::HoldPause),
            TurnEffect::Resume { .. } => self.effects.push_back(BrainEffect::Resume),
            TurnEffect::WantFinal => self.effects.push_back(BrainEffect::WantFinal),
            TurnEffect::Discarded {
                start_ms,
                end_ms,
                why,
            } => self.note(BrainNote::SpeechDiscarded {
                start_ms,
                end_ms,
                why,
            }),
            TurnEffect::NotUnderstood { times } => self
                .dialogue
                .handle(now, DialogueInput::NotUnderstood { times }),
            TurnEffect::Idle { times } => self.idle(now, times),
        }
    }

    fn taken(&mut self, now: Duration, taken: Taken) {
        let ahead = self.tentative.take();
        let confirmed = ahead.filter(|ahead| ahead.turn == taken.turn && ahead.text == taken.text);
        if confirmed.is_none() {
            self.cut();
        }
        self.begin_answer(now, taken.turn, Some(taken.transcript_ms));
        self.note(BrainNote::TurnTaken {
            turn: taken.turn,
            speech_end_ms: taken.speech_end_ms,
            decided_ms: taken.decided_ms,
        });
        let Taken {
            turn,
            text,
            confidence,
            ..
        } = taken;
        self.dialogue.handle(
            now,
            DialogueInput::UserSaid {
                turn,
                text,
                confidence,
            },
        );
        for wish in confirmed.into_iter().flat_map(|ahead| ahead.held) {
            self.on_wish(now, wish);
        }
    }

    fn begin_answer(&mut self, now: Duration, turn: u32, transcript_ms: Option<u64>) {
        self.answer = Some(Answering {
            turn,
            transcript_ms,
            fixed: false,
            noted: false,
        });
        self.waiting_since = now;
        self.fillers = 0;
    }

    /// The caller goes on: his turn's answer never was.
    pub(super) fn take_back(&mut self, now: Duration, turn: u32) {
        self.cut();
        self.dialogue
            .handle(now, DialogueInput::UserWentOn { turn });
    }

    pub(super) fn interrupted(&mut self, onset_ms: u64) {
        self.note(BrainNote::Interrupted { onset_ms });
        self.cut();
    }

    /// Drops what was said and thought and not heard.
    fn cut(&mut self) {
        self.tentative = None;
        self.answer = None;
        self.paused_ms = None;
        self.drop_minds();
        self.mouth.cut(&mut self.effects);
    }

    pub(super) fn drop_minds(&mut self) {
        self.effects.extend(
            self.work
                .drop_minds()
                .into_iter()
                .map(BrainEffect::CancelThink),
        );
    }

    /// Silence of both: ask whether he is there, at last say goodbye.
    fn idle(&mut self, now: Duration, times: u32) {
        let prompt = usize::try_from(times)
            .ok()
            .and_then(|nth| self.config.turn.idle_prompts.get(nth - 1))
            .cloned();
        match prompt {
            Some(prompt) => {
                self.mouth.say(Role::Own, &prompt, false, &mut self.effects);
                self.dialogue.handle(now, DialogueInput::Idle { times });
            }
            None => self.end(EndWish::Idle),
        }
    }

    fn on_wish(&mut self, now: Duration, wish: DialogueEffect) {
        if matches!(self.stage, Stage::Closing(_) | Stage::Over) {
            return;
        }
        match wish {
            DialogueEffect::Think(request) => {
                self.work.asked(now, request.id);
                self.effects.push_back(BrainEffect::Think(request));
            }
            DialogueEffect::CancelThink(id) => {
                if self.work.forget_mind(id) {
                    self.effects.push_back(BrainEffect::CancelThink(id));
                }
            }
            DialogueEffect::Speak { .. }
            | DialogueEffect::RunTool(_)
            | DialogueEffect::End(_)
            | DialogueEffect::ExpectDigits(_)
            | DialogueEffect::Pace(_) => match &mut self.tentative {
                Some(ahead) if ahead.held.len() < MAX_HELD => ahead.held.push(wish),
                Some(_) => {}
                None => self.carry_out(now, wish),
            },
        }
    }

    /// A wish that the caller may notice.
    fn carry_out(&mut self, now: Duration, wish: DialogueEffect) {
        match wish {
            DialogueEffect::Speak {
                text,
                last,
                protected,
            } => self.speak(now, &text, last, protected),
            DialogueEffect::RunTool(request) => {
                if let Some(answer) = &mut self.answer {
                    answer.fixed = true;
                }
                self.work.runs(now, request.id.clone());
                self.effects.push_back(BrainEffect::RunTool(request));
            }
            DialogueEffect::End(wish) => {
                let first = self.mouth.next_id();
                self.end(wish);
                self.answers(now, first);
            }
            DialogueEffect::ExpectDigits(wanted) => self.digits.expect(wanted),
            DialogueEffect::Pace(rate) => self.effects.push_back(BrainEffect::Pace(rate)),
            DialogueEffect::Think(_) | DialogueEffect::CancelThink(_) => {}
        }
    }

    fn speak(&mut self, now: Duration, text: &str, last: bool, protected: bool) {
        let first = self.mouth.next_id();
        self.mouth
            .stream(Role::Answer, text, last, protected, &mut self.effects);
        self.answers(now, first);
    }

    /// Notes once for a turn which utterance answers it, if `first` has been begun.
    fn answers(&mut self, now: Duration, first: UtteranceId) {
        let spoke = self.mouth.next_id() != first;
        let words_ms = self.turn.call_ms(now);
        if let Some(answer) = self.answer.as_mut().filter(|answer| spoke && !answer.noted) {
            answer.noted = true;
            let (turn, transcript_ms) = (answer.turn, answer.transcript_ms);
            self.note(BrainNote::Answering {
                turn,
                utterance: first,
                transcript_ms,
                words_ms,
            });
        }
    }

    /// Last words, then the end.
    pub(super) fn end(&mut self, reason: EndWish) {
        if matches!(self.stage, Stage::Closing(_) | Stage::Over) {
            return;
        }
        let words = match reason {
            EndWish::Goodbye | EndWish::Idle => self.config.farewell.clone(),
            EndWish::GaveUp => self.config.apology.clone(),
        };
        self.tentative = None;
        self.drop_minds();
        self.mouth.say(Role::Own, &words, true, &mut self.effects);
        self.stage = Stage::Closing(reason);
        self.effects.push_back(BrainEffect::End {
            reason,
            after: self.mouth.last(),
        });
    }

    /// Whether the reflex may pause what is played.
    pub(super) fn arm(&mut self, allowed: bool) {
        let armed = allowed && self.config.turn.barge_in;
        if self.armed != Some(armed) {
            self.armed = Some(armed);
            self.effects.push_back(BrainEffect::ArmReflex(armed));
        }
    }

    pub(super) fn note(&mut self, note: BrainNote) {
        self.effects.push_back(BrainEffect::Note(note));
    }

    /// An entry waits for tools and for what may not be cut.
    fn digits_are_due(&self) -> bool {
        let blocked = self.work.has_tools() || (self.mouth.is_heard() && self.mouth.is_protected());
        self.stage == Stage::Talking && self.digits.is_complete() && !blocked
    }

    fn digits_taken(&mut self, now: Duration) {
        let (digits, at_ms) = self.digits.take();
        self.cut();
        let turn = self.turn.take_silent_turn(now);
        self.begin_answer(now, turn, None);
        let decided_ms = self.turn.call_ms(now);
        self.note(BrainNote::TurnTaken {
            turn,
            speech_end_ms: at_ms,
            decided_ms,
        });
        self.dialogue
            .handle(now, DialogueInput::UserDigits { turn, digits });
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        if self.held || matches!(self.stage, Stage::Closing(_) | Stage::Over) {
            return None;
        }
        let work = self
            .work
            .poll_timeout(self.config.tool_limit, self.config.mind_limit);
        let own = [
            self.turn.poll_timeout(),
            self.dialogue.poll_timeout(),
            self.digits.poll_timeout(),
            work,
            self.filler_at(),
        ];
        own.into_iter().flatten().min()
    }

    pub(super) fn on_deadlines(&mut self, now: Duration) {
        self.turn.handle_timeout(now);
        self.dialogue.handle_timeout(now);
        self.digits.handle_timeout(now);
        while let Some(id) = self.work.overdue_tool(now, self.config.tool_limit) {
            self.work.tool_returned(&id);
            let why = format!("no answer within {} s", self.config.tool_limit.as_secs());
            self.dialogue.handle(
                now,
                DialogueInput::ToolResult(id, ToolOutcome::Failed { why }),
            );
        }
        if self.work.mind_is_overdue(now, self.config.mind_limit) {
            self.end(EndWish::GaveUp);
        }
        if self.filler_at().is_some_and(|at| at <= now) {
            self.fill();
        }
    }

    /// When the caller has waited long enough for a word.
    fn filler_at(&self) -> Option<Duration> {
        let works = self.is_thinking() || self.work.has_tools();
        let waits = self.answer.is_some() && works && self.mouth.is_silent();
        let said = u32::try_from(self.fillers).unwrap_or(u32::MAX);
        let patience = self
            .config
            .filler_after
            .saturating_mul(said.saturating_mul(2).saturating_add(1));
        (waits && self.fillers < self.config.fillers.len())
            .then(|| self.waiting_since.saturating_add(patience))
    }

    fn fill(&mut self) {
        if let Some(text) = self.config.fillers.get(self.fillers).cloned() {
            self.fillers += 1;
            self.mouth
                .say(Role::Filler, &text, false, &mut self.effects);
        }
    }
}
