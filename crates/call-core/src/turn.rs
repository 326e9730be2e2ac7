//! Who has the floor: when the caller has finished, and when he interrupts.
//!
//! A stretch is what the recogniser's speech gate calls one piece of speech. Stretches are
//! collected until the caller's turn is over; every stretch ends up in exactly one turn
//! ([`TurnEffect::Taken`]) or is discarded with a reason.
//!
//! | the agent | caller speech means |
//! |---|---|
//! | [`Floor::Quiet`] | a turn: over after `endpoint_min_ms` … `endpoint_max_ms` of silence, as its words suggest |
//! | [`Floor::Thinking`] | he goes on: the turn is taken back and comes again, longer |
//! | [`Floor::Busy`] | the next turn, judged when the agent has answered |
//! | [`Floor::Speaking`], interruptible | an interruption, once confirmed; a "mm-hmm" is let pass |
//! | [`Floor::Speaking`], protected | the next turn |
//!
//! The pause at the onset of speech is a reflex of the media leg and needs nobody here; this
//! machine only holds it, confirms it by a cut or lets the agent go on.

mod clock;
mod cues;
mod judge;
mod stretch;

use std::{collections::VecDeque, time::Duration};

use model::agent::TurnConfig;

use crate::brain::{DiscardReason, FinalTranscript};
use clock::CallClock;
use stretch::{Stretch, Words};

/// A Final may name an onset this much earlier than the gate did (pre-roll).
const ONSET_TOLERANCE_MS: u64 = 300;
/// Most stretches of one turn; a caller who never stops is answered then.
const MAX_STRETCHES: usize = 64;
/// Speech at least this long without a word is worth a "pardon?".
const PARDON_MS: u64 = 700;

/// Who speaks on the agent's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// Nobody, and nothing is coming.
    Quiet,
    /// An answer is being made; none of it was heard and it has had no effect: it can be taken back.
    Thinking,
    /// Something is under way that cannot be taken back (a tool runs).
    Busy,
    /// An answer is heard, from its first sample to the last that is to come.
    Speaking {
        /// Whether the caller may cut it.
        interruptible: bool,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnInput {
    /// The caller can hear us: call time 0, or later when a broken agent was replaced.
    Answered,
    /// The gate opened.
    SpeechStarted {
        /// Onset.
        at_ms: u64,
    },
    /// The gate closed.
    SpeechEnded {
        /// Last speech sample.
        at_ms: u64,
        /// How much speech there was.
        speech_ms: u64,
    },
    /// Words of the open stretch so far.
    Partial {
        /// When they were recognised.
        at_ms: u64,
        /// The words.
        text: String,
    },
    /// Words of a stretch; of all stretches that it covers.
    Final(FinalTranscript),
    /// The agent's side changed.
    Floor(Floor),
    /// The leg paused the agent by reflex.
    Paused {
        /// When.
        at_ms: u64,
    },
    /// The leg went on.
    Resumed {
        /// When.
        at_ms: u64,
    },
    /// The caller gave another sign of life (a digit).
    Alive,
    /// The call is over.
    CallOver,
}

/// A turn that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Its number, from 1.
    pub turn: u32,
    /// Its words, never empty.
    pub text: String,
    /// The least confidence of its parts.
    pub confidence: Option<f32>,
    /// Onset of its first stretch, call time.
    pub start_ms: u64,
    /// Last speech sample, call time.
    pub speech_end_ms: u64,
    /// When its last words had been recognised, call time.
    pub transcript_ms: u64,
    /// When it was decided, call time.
    pub decided_ms: u64,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEffect {
    /// All words are there and the silence runs: probably a turn.
    Likely {
        /// Its number, if it comes to that.
        turn: u32,
        /// Its words.
        text: String,
        /// The least confidence of its parts.
        confidence: Option<f32>,
    },
    /// The caller's turn.
    Taken(Taken),
    /// The caller goes on: a likely turn was none, a taken one is taken back.
    Withdrawn {
        /// Its number, which comes again.
        turn: u32,
    },
    /// Stop speaking: the caller interrupts.
    Interrupt {
        /// Onset of his speech.
        onset_ms: u64,
    },
    /// Keep the reflex pause.
    HoldPause,
    /// Go on at the exact sample.
    Resume {
        /// Onset of what was not an interruption.
        onset_ms: u64,
    },
    /// Decode what there is; what comes later is another stretch.
    WantFinal,
    /// Speech that is in no turn.
    Discarded {
        /// Onset.
        start_ms: u64,
        /// Last sample.
        end_ms: u64,
        /// Why.
        why: DiscardReason,
    },
    /// The caller said something that nobody understood.
    NotUnderstood {
        /// How often in a row.
        times: u32,
    },
    /// Both sides have been silent for `idle_ms`.
    Idle {
        /// How often in a row, from 1.
        times: u32,
    },
}

/// Speech over the agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Overlap {
    /// When speech over the agent's began.
    onset_ms: Option<u64>,
    /// The leg stands still since.
    paused_ms: Option<u64>,
    /// We asked the leg to stay so.
    held: bool,
}

/// See the module's first page.
#[derive(Debug)]
pub struct TurnMachine {
    config: TurnConfig,
    clock: CallClock,
    floor: Floor,
    turn: u32,
    /// Stretches that are in no turn yet, by onset.
    pending: Vec<Stretch>,
    /// Stretches of the last turn, as long as it can be taken back.
    taken: Vec<Stretch>,
    /// Speech up to here is accounted for, call time.
    done_through_ms: u64,
    overlap: Overlap,
    /// The words of the last [`TurnEffect::Likely`].
    likely: Option<String>,
    likely_tries: u32,
    asked_for_final: bool,
    misses: u32,
    idle_times: u32,
    quiet_since_ms: u64,
    over: bool,
    deadline: Option<Duration>,
    effects: VecDeque<TurnEffect>,
}

impl TurnMachine {
    /// A machine before the answer; `turns` have been before (of a broken agent's time).
    pub fn new(config: TurnConfig, turns: u32) -> Self {
        Self {
            config,
            clock: CallClock::default(),
            floor: Floor::Quiet,
            turn: turns,
            pending: Vec::new(),
            taken: Vec::new(),
            done_through_ms: 0,
            overlap: Overlap::default(),
            likely: None,
            likely_tries: 0,
            asked_for_final: false,
            misses: 0,
            idle_times: 0,
            quiet_since_ms: 0,
            over: false,
            deadline: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Duration, input: TurnInput) {
        if self.over {
            return;
        }
        match input {
            TurnInput::Answered => self.on_answered(now),
            TurnInput::SpeechStarted { at_ms } => self.on_started(now, at_ms),
            TurnInput::SpeechEnded { at_ms, speech_ms } => self.on_ended(now, at_ms, speech_ms),
            TurnInput::Partial { at_ms, text } => self.on_partial(now, at_ms, text),
            TurnInput::Final(words) => self.on_final(now, &words),
            TurnInput::Floor(floor) => self.on_floor(now, floor),
            TurnInput::Paused { at_ms } => self.on_paused(now, at_ms),
            TurnInput::Resumed { at_ms } => self.on_resumed(now, at_ms),
            TurnInput::Alive => self.alive(now),
            TurnInput::CallOver => self.on_call_over(),
        }
        self.judge(now);
    }

    /// The next effect, in order; `None` when drained.
    pub fn poll_effect(&mut self) -> Option<TurnEffect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// A late or spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Duration) {
        if !self.over && self.deadline.is_some_and(|at| at <= now) {
            self.judge(now);
        }
    }

    /// Something of call time `at_ms` is known at `now`: keeps the clocks together.
    pub fn observe(&mut self, now: Duration, at_ms: u64) {
        self.clock.observe(now, at_ms);
    }

    /// Who has the agent's side, as the machine sees it: it takes the floor away itself when it
    /// finds an interruption, and gives it to an answer when it takes a turn.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// The number of the last turn.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// Call time at `now`.
    pub fn call_ms(&self, now: Duration) -> u64 {
        self.clock.call_ms(now)
    }

    /// A turn that was not spoken (digits): its number.
    pub fn take_silent_turn(&mut self, now: Duration) -> u32 {
        self.alive(now);
        self.taken.clear();
        self.turn += 1;
        self.turn
    }

    fn on_answered(&mut self, now: Duration) {
        self.clock.answered(now);
        self.quiet_since_ms = self.clock.call_ms(now);
    }

    fn on_started(&mut self, now: Duration, at_ms: u64) {
        self.clock.observe(now, at_ms);
        if self.is_hearing() {
            return;
        }
        self.take_back();
        self.open(at_ms);
    }

    fn on_ended(&mut self, now: Duration, at_ms: u64, speech_ms: u64) {
        self.clock.observe(now, at_ms);
        if !self.is_hearing() && self.is_news(at_ms) {
            let before_ms = self
                .pending
                .iter()
                .filter_map(Stretch::end_ms)
                .max()
                .unwrap_or(self.done_through_ms);
            self.on_started(now, at_ms.saturating_sub(speech_ms).max(before_ms));
        }
        let arrived_ms = self.clock.call_ms(now);
        if let Some(stretch) = self.pending.iter_mut().find(|s| s.is_open()) {
            stretch.end(at_ms, speech_ms, arrived_ms);
        }
    }

    fn on_partial(&mut self, now: Duration, at_ms: u64, text: String) {
        self.clock.observe(now, at_ms);
        if let Some(stretch) = self.pending.last_mut() {
            stretch.partial(text);
        }
    }

    /// Words of a Final belong to every stretch that began within its span; without such a one
    /// the Final is a stretch of its own, unless its time is accounted for.
    fn on_final(&mut self, now: Duration, said: &FinalTranscript) {
        self.clock.observe(now, said.end_ms);
        let known = |s: &Stretch| {
            s.began_within(
                said.start_ms.saturating_sub(ONSET_TOLERANCE_MS),
                said.end_ms,
            )
        };
        if !self.pending.iter().any(known) {
            if said.end_ms <= self.done_through_ms || said.text.trim().is_empty() {
                return;
            }
            self.take_back();
            self.open(said.start_ms);
        }
        let arrived_ms = self.clock.call_ms(now);
        let first = self.pending.iter().position(known);
        if let Some(first) = first {
            stretch::absorb(&mut self.pending, first, known, said, arrived_ms);
        }
    }

    fn on_floor(&mut self, now: Duration, floor: Floor) {
        let now_ms = self.clock.call_ms(now);
        if floor != Floor::Thinking {
            self.taken.clear();
        }
        if floor == Floor::Quiet && self.floor != Floor::Quiet {
            self.quiet_since_ms = now_ms;
        }
        if floor
            == (Floor::Speaking {
                interruptible: false,
            })
            && self.overlap.paused_ms.is_some()
        {
            self.resume(now_ms);
        }
        let begins = matches!(floor, Floor::Speaking { .. })
            && !matches!(self.floor, Floor::Speaking { .. });
        if begins || !matches!(floor, Floor::Speaking { .. }) {
            self.overlap = Overlap::default();
        }
        self.floor = floor;
        if self.interruptible() && self.overlap.onset_ms.is_none() && self.is_hearing() {
            self.overlap.onset_ms = Some(now_ms);
        }
    }

    fn on_paused(&mut self, now: Duration, at_ms: u64) {
        self.clock.observe(now, at_ms);
        self.overlap.paused_ms.get_or_insert(at_ms);
        self.overlap.held = false;
        if !self.interruptible() {
            self.resume(at_ms);
        }
    }

    fn on_resumed(&mut self, now: Duration, at_ms: u64) {
        self.clock.observe(now, at_ms);
        self.overlap.paused_ms = None;
        self.overlap.held = false;
    }

    fn on_call_over(&mut self) {
        self.over = true;
        while let Some(stretch) = self.pending.first() {
            let why = match stretch.words() {
                Words::Known { text, .. } if text.is_empty() => DiscardReason::NoWords,
                Words::Known { .. } | Words::Awaited { .. } => DiscardReason::CallOver,
            };
            self.discard(0, why);
        }
    }

    /// A pending stretch goes into no turn.
    fn discard(&mut self, index: usize, why: DiscardReason) {
        let stretch = self.pending.remove(index);
        let (start_ms, end_ms) = (
            stretch.start_ms(),
            stretch.end_ms().unwrap_or(stretch.start_ms()),
        );
        self.done_through_ms = self.done_through_ms.max(end_ms);
        self.effects.push_back(TurnEffect::Discarded {
            start_ms,
            end_ms,
            why,
        });
    }

    fn alive(&mut self, now: Duration) {
        self.idle_times = 0;
        self.misses = 0;
        self.quiet_since_ms = self.clock.call_ms(now);
    }

    /// Whether an end of speech is not yet accounted for (its beginning was lost).
    fn is_news(&self, at_ms: u64) -> bool {
        at_ms > self.done_through_ms + ONSET_TOLERANCE_MS
            && !self.pending.iter().any(|s| s.covers(at_ms))
    }

    /// Adds an open stretch.
    fn open(&mut self, start_ms: u64) {
        self.asked_for_final = false;
        if self.pending.len() >= MAX_STRETCHES {
            self.discard(0, DiscardReason::TooMuch);
        }
        self.pending
            .push(Stretch::open(start_ms, self.interruptible()));
        // A pause that began before this speech belongs to the one before it, and so does its onset.
        let continues = self.overlap.onset_ms.is_some()
            && self
                .overlap
                .paused_ms
                .is_some_and(|at_ms| at_ms <= start_ms);
        if self.interruptible() && !continues {
            self.overlap.onset_ms = Some(start_ms);
        }
    }

    /// The caller goes on: what was likely is not, what was taken comes back.
    fn take_back(&mut self) {
        let returns = self.floor == Floor::Thinking && !self.taken.is_empty();
        if returns {
            self.pending.splice(0..0, self.taken.drain(..));
            self.effects
                .push_back(TurnEffect::Withdrawn { turn: self.turn });
            self.turn -= 1;
            self.floor = Floor::Quiet;
        } else if self.likely.take().is_some() {
            self.effects.push_back(TurnEffect::Withdrawn {
                turn: self.turn + 1,
            });
        }
        self.likely = None;
    }

    fn resume(&mut self, fallback_ms: u64) {
        let onset_ms = self.overlap.onset_ms.unwrap_or(fallback_ms);
        self.overlap.paused_ms = None;
        self.overlap.held = false;
        self.effects.push_back(TurnEffect::Resume { onset_ms });
    }

    fn is_hearing(&self) -> bool {
        self.pending.iter().any(Stretch::is_open)
    }

    fn interruptible(&self) -> bool {
        self.config.barge_in
            && self.floor
                == Floor::Speaking {
                    interruptible: true,
                }
    }
}
