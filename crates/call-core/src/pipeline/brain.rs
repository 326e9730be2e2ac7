//! The pipeline as a [`Brain`]: what each input does.

use std::{collections::VecDeque, time::Duration};

use super::{
    config::PipelineConfig,
    dialogue::{Dialogue, DialogueEffect, DialogueInput},
    digits::DigitEntry,
    mouth::{Mouth, Role},
    work::Work,
};
use crate::{
    brain::{
        Brain, BrainEffect, BrainInput, BrainNote, CallContext, EndWish, MindEvent, PlayoutKind,
        PlayoutReport, ThinkId, ToolOutcome, ToolRunId, UtteranceId,
    },
    turn::{TurnInput, TurnMachine},
};

/// Where the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the answer.
    Warming,
    /// Caller and agent hear each other.
    Talking,
    /// The end is wished; the last words play.
    Closing(EndWish),
    /// The call is over.
    Over,
}

/// The turn that is being answered.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) turn: u32,
    /// When its words were recognised; `None` for digits.
    pub(super) transcript_ms: Option<u64>,
    /// Something of the answer was heard or has had an effect: it cannot be taken back.
    pub(super) fixed: bool,
    /// Its first words have been noted.
    pub(super) noted: bool,
}

/// An answer to a turn that may still go on.
#[derive(Debug)]
pub(super) struct Tentative {
    pub(super) turn: u32,
    pub(super) text: String,
    /// What the dialogue wants once the turn is confirmed.
    pub(super) held: Vec<DialogueEffect>,
}

/// Turn machine, dialogue and the pipeline's own words as one Brain.
pub struct PipelineBrain {
    pub(super) config: PipelineConfig,
    pub(super) dialogue: Box<dyn Dialogue>,
    pub(super) turn: TurnMachine,
    pub(super) mouth: Mouth,
    pub(super) digits: DigitEntry,
    pub(super) work: Work,
    pub(super) stage: Stage,
    pub(super) answer: Option<Answering>,
    pub(super) tentative: Option<Tentative>,
    /// Since when the caller waits for the next word.
    pub(super) waiting_since: Duration,
    /// Fillers said for this turn.
    pub(super) fillers: usize,
    /// Whether the reflex is armed, as far as it was told.
    pub(super) armed: Option<bool>,
    /// The far side holds the call.
    pub(super) held: bool,
    /// When the leg paused.
    pub(super) paused_ms: Option<u64>,
    pub(super) effects: VecDeque<BrainEffect>,
}

impl PipelineBrain {
    /// A brain before the call.
    pub fn new(config: PipelineConfig, dialogue: Box<dyn Dialogue>) -> Self {
        Self {
            turn: TurnMachine::new(config.turn.clone(), 0),
            config,
            dialogue,
            mouth: Mouth::default(),
            digits: DigitEntry::default(),
            work: Work::default(),
            stage: Stage::Warming,
            answer: None,
            tentative: None,
            waiting_since: Duration::ZERO,
            fillers: 0,
            armed: None,
            held: false,
            paused_ms: None,
            effects: VecDeque::new(),
        }
    }

    fn on_prepare(&mut self, now: Duration, context: Box<CallContext>) {
        let turns = context.history.iter().filter(|line| !line.agent).count();
        let replaces = !context.history.is_empty();
        self.turn = TurnMachine::new(
            self.config.turn.clone(),
            u32::try_from(turns).unwrap_or(u32::MAX),
        );
        self.dialogue.handle(now, DialogueInput::Begin(context));
        if replaces {
            let resumption = self.config.resumption.clone();
            self.mouth
                .say(Role::Own, &resumption, false, &mut self.effects);
        } else {
            for (text, protected) in self.config.openings() {
                self.mouth
                    .say(Role::Own, &text, protected, &mut self.effects);
            }
        }
        self.effects.push_back(BrainEffect::Ready);
    }

    fn on_answered(&mut self, now: Duration) {
        if self.stage != Stage::Warming {
            return;
        }
        self.stage = Stage::Talking;
        self.waiting_since = now;
        self.turn.handle(now, TurnInput::Answered);
        let protected = self.mouth.is_protected();
        self.arm(!protected);
    }

    fn on_digit(&mut self, now: Duration, digit: char, at_ms: u64) {
        self.turn.handle(now, TurnInput::Alive);
        if self.mouth.is_heard() && !self.mouth.is_protected() && self.config.turn.barge_in {
            self.interrupted(at_ms);
        }
        self.digits.press(now, digit, at_ms);
    }

    fn on_playout(&mut self, now: Duration, report: PlayoutReport) {
        let at_ms = report.at_ms;
        self.turn.observe(now, at_ms);
        match report.kind {
            PlayoutKind::Started => self.on_started(report.utterance),
            // That is the hold, not the caller's voice.
            PlayoutKind::Paused { .. } if self.held => {}
            PlayoutKind::Paused { .. } => {
                self.paused_ms = Some(at_ms);
                self.turn.handle(now, TurnInput::Paused { at_ms });
            }
            PlayoutKind::Resumed => {
                if let Some(onset_ms) = self.paused_ms.take() {
                    self.note(BrainNote::FalseAlarm { onset_ms });
                }
                self.turn.handle(now, TurnInput::Resumed { at_ms });
            }
            PlayoutKind::Cut | PlayoutKind::Finished => {
                self.paused_ms = None;
                self.mouth.over(report.utterance);
                self.waiting_since = now;
            }
        }
    }

    fn on_started(&mut self, utterance: UtteranceId) {
        let Some((role, protected)) = self.mouth.started(utterance) else {
            return;
        };
        if let Some(answer) = self.answer.as_mut().filter(|_| role != Role::Filler) {
            answer.fixed = true;
        }
        self.arm(!protected && self.stage == Stage::Talking);
    }

    fn on_mind(&mut self, now: Duration, id: ThinkId, event: MindEvent) {
        if !self.work.mind_spoke(now, id) {
            return;
        }
        match event {
            MindEvent::Failed { .. } => {
                self.work.forget_mind(id);
                self.mind_failed(now);
            }
            MindEvent::Done => {
                self.work.forget_mind(id);
                self.dialogue
                    .handle(now, DialogueInput::Mind(id, MindEvent::Done));
            }
            MindEvent::Delta(_) | MindEvent::ToolCall { .. } => {
                self.dialogue.handle(now, DialogueInput::Mind(id, event))
            }
        }
    }

    /// A question asked ahead of the turn may fail: it is asked again with the turn.
    fn mind_failed(&mut self, now: Duration) {
        match self.tentative.take() {
            Some(ahead) => self.take_back(now, ahead.turn),
            None => self.end(EndWish::GaveUp),
        }
    }

    fn on_tool_result(&mut self, now: Duration, id: ToolRunId, outcome: ToolOutcome) {
        if self.work.tool_returned(&id) {
            self.waiting_since = now;
            self.dialogue
                .handle(now, DialogueInput::ToolResult(id, outcome));
        }
    }

    /// A voice that failed for words nobody waits for any more, or for a filler, harms nothing.
    /// When it fails for the last words, the end waits for them no longer.
    fn on_voice_failed(&mut self, utterance: UtteranceId) {
        let lost = self.mouth.over(utterance);
        match self.stage {
            Stage::Closing(reason) if lost.is_some() => {
                let after = self.mouth.last();
                self.effects.push_back(BrainEffect::End { reason, after });
            }
            Stage::Warming | Stage::Talking if matches!(lost, Some(Role::Own | Role::Answer)) => {
                self.end(EndWish::GaveUp);
            }
            Stage::Warming | Stage::Talking | Stage::Closing(_) | Stage::Over => {}
        }
    }

    /// Back from hold the caller's patience is as fresh as after a word of his.
    fn on_hold(&mut self, now: Duration, held: bool) {
        if std::mem::replace(&mut self.held, held) && !held {
            self.turn.handle(now, TurnInput::Alive);
            self.waiting_since = now;
        }
    }

    fn on_call_over(&mut self, now: Duration) {
        self.turn.handle(now, TurnInput::CallOver);
        self.stage = Stage::Over;
        self.tentative = None;
        self.drop_minds();
    }

    fn hear(&mut self, now: Duration, input: BrainInput) {
        match input {
            BrainInput::SpeechStarted { at_ms } => {
                self.turn.handle(now, TurnInput::SpeechStarted { at_ms })
            }
            BrainInput::SpeechEnded { at_ms, speech_ms } => self
                .turn
                .handle(now, TurnInput::SpeechEnded { at_ms, speech_ms }),
            BrainInput::Partial { at_ms, text } => {
                self.turn.handle(now, TurnInput::Partial { at_ms, text })
            }
            BrainInput::Final(said) => self.turn.handle(now, TurnInput::Final(said)),
            BrainInput::Digit { digit, at_ms } if self.stage == Stage::Talking => {
                self.on_digit(now, digit, at_ms)
            }
            BrainInput::EarsFailed { .. } => self.end(EndWish::GaveUp),
            BrainInput::Digit { .. }
            | BrainInput::Prepare(_)
            | BrainInput::Answered
            | BrainInput::CallerFrame { .. }
            | BrainInput::Playout(_)
            | BrainInput::Heard { .. }
            | BrainInput::Mind(..)
            | BrainInput::ToolResult(..)
            | BrainInput::VoiceFailed { .. }
            | BrainInput::Hold(_)
            | BrainInput::Hint { .. }
            | BrainInput::CallOver => {}
        }
    }
}

impl Brain for PipelineBrain {
    fn handle(&mut self, now: Duration, input: BrainInput) {
        if self.stage == Stage::Over {
            return;
        }
        match input {
            BrainInput::Prepare(context) => self.on_prepare(now, context),
            BrainInput::Answered => self.on_answered(now),
            BrainInput::Playout(report) => self.on_playout(now, report),
            BrainInput::Heard {
                text, interrupted, ..
            } => self
                .dialogue
                .handle(now, DialogueInput::Heard { text, interrupted }),
            BrainInput::Mind(id, event) => self.on_mind(now, id, event),
            BrainInput::ToolResult(id, outcome) => self.on_tool_result(now, id, outcome),
            BrainInput::VoiceFailed { utterance, .. } => self.on_voice_failed(utterance),
            BrainInput::Hold(held) => self.on_hold(now, held),
            BrainInput::Hint { text } => self.dialogue.handle(now, DialogueInput::Hint { text }),
            BrainInput::CallOver => self.on_call_over(now),
            BrainInput::CallerFrame { .. }
            | BrainInput::SpeechStarted { .. }
            | BrainInput::SpeechEnded { .. }
            | BrainInput::Partial { .. }
            | BrainInput::Final(_)
            | BrainInput::Digit { .. }
            | BrainInput::EarsFailed { .. } => self.hear(now, input),
        }
        self.settle(now);
    }

    fn poll_effect(&mut self) -> Option<BrainEffect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.next_deadline()
    }

    fn handle_timeout(&mut self, now: Duration) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.on_deadlines(now);
            self.settle(now);
        }
    }

    fn number_from(&mut self, first: UtteranceId) {
        self.mouth.number_from(first);
    }
}
