//! The judgement: given all that is known at a call time, what to do now or when to look again.

use std::time::Duration;

use super::{
    Floor, Overlap, PARDON_MS, Stretch, Taken, TurnEffect, TurnMachine, Words,
    cues::{endpoint_wait, words_that_count},
};
use crate::brain::DiscardReason;

/// After the end of speech is known, its words are awaited this long.
const FINAL_LIMIT_MS: u64 = 3_000;
/// Speech whose end is never told ends here: no gate keeps a stretch open so long.
const OPEN_LIMIT_MS: u64 = 60_000;
/// Speech over the agent counts as interruption by its length alone only so much beyond
/// `barge_in_confirm_ms`: the gate learns of a silence late, and the first words tell more.
const CONFIRM_SLACK_MS: u64 = 400;
/// The same while the agent stands still: waiting costs nothing then, and a long "mm-hmm" with the
/// gate's delay takes about so much.
const HELD_SLACK_MS: u64 = 700;
/// A pause is held this long for the words of speech that has ended.
const HOLD_LIMIT_MS: u64 = 800;
/// Words of a Partial that confirm an interruption (a Final needs one).
const PARTIAL_WORDS: usize = 2;
/// "Yes" so shortly before the agent's end is an answer, not a listener's noise.
const BACKCHANNEL_GUARD_MS: u64 = 700;
/// Likely turns told before one is taken; each may cost a question to a model.
const LIKELY_TRIES: u32 = 3;

/// What to do.
enum Action {
    Close(usize),
    GiveUpWords(usize),
    Drop(usize, DiscardReason),
    Hold,
    Resume,
    Interrupt,
    WantFinal,
    Likely(String),
    Take,
    Idle,
}

/// What the judgement is.
enum Verdict {
    Act(Action),
    /// Look again at this call time.
    Wait(u64),
    /// Only an input changes anything.
    Rest,
}

use Verdict::{Act, Rest, Wait};

impl Verdict {
    /// Act when `at_ms` is reached.
    fn at(at_ms: u64, now_ms: u64, action: Action) -> Self {
        if now_ms >= at_ms {
            Act(action)
        } else {
            Wait(at_ms)
        }
    }

    /// The first that acts, else the earliest wait.
    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Act(action) => Act(action),
            Rest => other(),
            Wait(at_ms) => match other() {
                Act(action) => Act(action),
                Wait(other_ms) => Wait(at_ms.min(other_ms)),
                Rest => Wait(at_ms),
            },
        }
    }
}

impl TurnMachine {
    pub(super) fn judge(&mut self, now: Duration) {
        let now_ms = self.clock.call_ms(now);
        self.deadline = loop {
            match self.verdict(now_ms) {
                Act(action) => self.act(now_ms, action),
                Wait(at_ms) => break self.clock.at(at_ms),
                Rest => break None,
            }
        };
    }

    fn verdict(&self, now_ms: u64) -> Verdict {
        if self.over {
            return Rest;
        }
        self.judge_words(now_ms).or(|| match self.floor {
            Floor::Speaking { .. } if self.interruptible() => self.judge_overlap(now_ms),
            Floor::Speaking { .. } | Floor::Busy => Rest,
            Floor::Quiet | Floor::Thinking if !self.pending.is_empty() => self.judge_end(now_ms),
            Floor::Quiet => self.judge_idle(now_ms),
            Floor::Thinking => Rest,
        })
    }

    /// Stretches whose words stay away, and those without words.
    fn judge_words(&self, now_ms: u64) -> Verdict {
        self.pending
            .iter()
            .enumerate()
            .fold(Rest, |verdict, (index, stretch)| {
                verdict.or(|| match (stretch.ended_at_ms(), stretch.words()) {
                    (None, Words::Awaited { .. } | Words::Known { .. }) => Verdict::at(
                        stretch.start_ms() + OPEN_LIMIT_MS,
                        now_ms,
                        Action::Close(index),
                    ),
                    (Some(_), Words::Known { text, .. }) if text.is_empty() => {
                        Act(Action::Drop(index, DiscardReason::NoWords))
                    }
                    (Some(_), Words::Known { .. }) => Rest,
                    (Some(since_ms), Words::Awaited { .. }) => Verdict::at(
                        since_ms + FINAL_LIMIT_MS,
                        now_ms,
                        Action::GiveUpWords(index),
                    ),
                })
            })
    }

    /// Speech while the agent can be interrupted.
    fn judge_overlap(&self, now_ms: u64) -> Verdict {
        let over: Vec<&Stretch> = self
            .pending
            .iter()
            .filter(|s| s.over_agent() || s.is_open())
            .collect();
        if over.is_empty() {
            return if self.overlap.held {
                Act(Action::Resume)
            } else {
                Rest
            };
        }
        if over.iter().any(|stretch| self.interrupts(stretch)) {
            return Act(Action::Interrupt);
        }
        match over.iter().find(|stretch| stretch.is_open()) {
            Some(open) => self.judge_open_overlap(now_ms, open),
            None => self.judge_ended_overlap(now_ms, &over),
        }
    }

    /// Whether words alone make it an interruption.
    fn interrupts(&self, stretch: &Stretch) -> bool {
        let needed = if stretch.is_awaited() {
            PARTIAL_WORDS
        } else {
            1
        };
        words_that_count(stretch.text(), &self.config.backchannel) >= needed
    }

    /// The caller is speaking and no word tells what it is.
    fn judge_open_overlap(&self, now_ms: u64, open: &Stretch) -> Verdict {
        let listening =
            !open.text().is_empty() && words_that_count(open.text(), &self.config.backchannel) == 0;
        if listening {
            return if self.overlap.paused_ms.is_some() {
                Act(Action::Resume)
            } else {
                Rest
            };
        }
        let onset_ms = self.overlap.onset_ms.unwrap_or(open.start_ms());
        let confirm_ms = onset_ms + u64::from(self.config.barge_in_confirm_ms);
        let slack_ms = if self.overlap.paused_ms.is_some() {
            HELD_SLACK_MS
        } else {
            CONFIRM_SLACK_MS
        };
        let by_length = Verdict::at(confirm_ms + slack_ms, now_ms, Action::Interrupt);
        by_length.or(|| match self.overlap {
            Overlap {
                paused_ms: Some(_),
                held: false,
                ..
            } => Verdict::at(confirm_ms, now_ms, Action::Hold),
            Overlap { .. } => Rest,
        })
    }

    /// The caller spoke over the agent and fell silent; what it was is not known to be an
    /// interruption.
    fn judge_ended_overlap(&self, now_ms: u64, over: &[&Stretch]) -> Verdict {
        let awaited = over.iter().rev().find(|stretch| stretch.is_awaited());
        let last_end_ms = over
            .iter()
            .filter_map(|s| s.end_ms())
            .max()
            .unwrap_or(now_ms);
        let held = match self.overlap.paused_ms {
            Some(paused_ms) if paused_ms <= last_end_ms || self.overlap.held => {
                self.judge_hold(now_ms, awaited.copied())
            }
            // A pause after this speech is about something that the gate has not told yet.
            Some(_) | None => Rest,
        };
        let noise = self
            .pending
            .iter()
            .position(|s| s.over_agent() && !s.is_open() && !s.is_awaited());
        held.or(|| match noise {
            Some(index) => {
                let drop = Action::Drop(index, DiscardReason::Backchannel);
                Verdict::at(last_end_ms + BACKCHANNEL_GUARD_MS, now_ms, drop)
            }
            None => Rest,
        })
    }

    /// A pause with nobody speaking: kept for words that are on their way, else ended.
    fn judge_hold(&self, now_ms: u64, awaited: Option<&Stretch>) -> Verdict {
        let enough =
            |stretch: &&Stretch| stretch.speech_ms() >= u64::from(self.config.barge_in_confirm_ms);
        match awaited.filter(enough).and_then(Stretch::ended_at_ms) {
            Some(since_ms) if !self.overlap.held && now_ms < since_ms + HOLD_LIMIT_MS => {
                Act(Action::Hold)
            }
            Some(since_ms) => Verdict::at(since_ms + HOLD_LIMIT_MS, now_ms, Action::Resume),
            None => Act(Action::Resume),
        }
    }

    /// Whether the caller has finished.
    fn judge_end(&self, now_ms: u64) -> Verdict {
        let Some(end_ms) = self.speech_end_ms() else {
            return Rest;
        };
        if self.pending.iter().any(Stretch::is_awaited) {
            let asked = self.asked_for_final;
            let want_ms = end_ms + u64::from(self.config.endpoint_min_ms);
            return if asked {
                Rest
            } else {
                Verdict::at(want_ms, now_ms, Action::WantFinal)
            };
        }
        let text = self.words_so_far();
        let wait = endpoint_wait(&text, &self.config);
        let over_ms = end_ms + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Verdict::at(over_ms, now_ms, Action::Take).or(|| {
            let told = self.likely.as_deref() == Some(text.as_str());
            if told || self.likely_tries >= LIKELY_TRIES {
                Rest
            } else {
                Act(Action::Likely(text))
            }
        })
    }

    fn judge_idle(&self, now_ms: u64) -> Verdict {
        let known = self.clock.at(0).is_some() && self.config.idle_ms > 0;
        let idle_ms = self.quiet_since_ms + u64::from(self.config.idle_ms);
        if known {
            Verdict::at(idle_ms, now_ms, Action::Idle)
        } else {
            Rest
        }
    }

    /// When the last stretch ended; `None` while one is open.
    fn speech_end_ms(&self) -> Option<u64> {
        let ends: Option<Vec<u64>> = self.pending.iter().map(Stretch::end_ms).collect();
        ends?.into_iter().max()
    }

    fn words_so_far(&self) -> String {
        let parts: Vec<&str> = self.pending.iter().map(Stretch::text).collect();
        parts.join(" ")
    }

    fn confidence(&self) -> Option<f32> {
        let known = self
            .pending
            .iter()
            .filter_map(|stretch| match stretch.words() {
                Words::Known { confidence, .. } => *confidence,
                Words::Awaited { .. } => None,
            });
        known.reduce(f32::min)
    }

    fn act(&mut self, now_ms: u64, action: Action) {
        match action {
            Action::Close(index) => {
                if let Some(stretch) = self.pending.get_mut(index) {
                    stretch.end(now_ms, OPEN_LIMIT_MS, now_ms);
                }
            }
            Action::GiveUpWords(index) => self.give_up_words(now_ms, index),
            Action::Drop(index, why) => self.drop_stretch(now_ms, index, why),
            Action::Hold => {
                self.overlap.held = true;
                self.effects.push_back(TurnEffect::HoldPause);
            }
            Action::Resume => self.resume(now_ms),
            Action::Interrupt => self.interrupt(now_ms),
            Action::WantFinal => {
                self.asked_for_final = true;
                self.effects.push_back(TurnEffect::WantFinal);
            }
            Action::Likely(text) => self.tell_likely(text),
            Action::Take => self.take(now_ms),
            Action::Idle => {
                self.idle_times += 1;
                self.quiet_since_ms = now_ms;
                self.effects.push_back(TurnEffect::Idle {
                    times: self.idle_times,
                });
            }
        }
    }

    fn give_up_words(&mut self, now_ms: u64, index: usize) {
        match self.pending.get_mut(index) {
            Some(stretch) if !stretch.text().is_empty() => stretch.settle_for_partial(now_ms),
            Some(_) => self.drop_stretch(now_ms, index, DiscardReason::NeverRecognised),
            None => {}
        }
    }

    fn drop_stretch(&mut self, now_ms: u64, index: usize, why: DiscardReason) {
        let lost = why != DiscardReason::Backchannel;
        let long = self
            .pending
            .get(index)
            .is_some_and(|stretch| stretch.speech_ms() >= PARDON_MS);
        self.discard(index, why);
        self.quiet_since_ms = now_ms;
        if lost && long && self.floor == Floor::Quiet && self.pending.is_empty() {
            self.misses += 1;
            self.effects
                .push_back(TurnEffect::NotUnderstood { times: self.misses });
        }
        if self.pending.is_empty() && self.overlap.paused_ms.is_none() {
            self.overlap = Overlap::default();
        }
    }

    fn interrupt(&mut self, now_ms: u64) {
        let first = self
            .pending
            .iter()
            .find(|stretch| stretch.over_agent())
            .map(Stretch::start_ms);
        let onset_ms = self.overlap.onset_ms.or(first).unwrap_or(now_ms);
        self.overlap = Overlap::default();
        self.floor = Floor::Quiet;
        self.quiet_since_ms = now_ms;
        self.pending.iter_mut().for_each(Stretch::agent_yielded);
        self.effects.push_back(TurnEffect::Interrupt { onset_ms });
    }

    fn tell_likely(&mut self, text: String) {
        self.likely_tries += 1;
        self.likely = Some(text.clone());
        let (turn, confidence) = (self.turn + 1, self.confidence());
        self.effects.push_back(TurnEffect::Likely {
            turn,
            text,
            confidence,
        });
    }

    fn take(&mut self, now_ms: u64) {
        let speech_end_ms = self.speech_end_ms().unwrap_or(now_ms);
        let arrived = self
            .pending
            .iter()
            .filter_map(|stretch| match stretch.words() {
                Words::Known { arrived_ms, .. } => Some(*arrived_ms),
                Words::Awaited { .. } => None,
            });
        let transcript_ms = arrived.max().unwrap_or(now_ms);
        self.turn += 1;
        let taken = Taken {
            turn: self.turn,
            text: self.words_so_far(),
            confidence: self.confidence(),
            start_ms: self
                .pending
                .first()
                .map_or(speech_end_ms, Stretch::start_ms),
            speech_end_ms,
            transcript_ms,
            decided_ms: now_ms,
        };
        self.done_through_ms = self.done_through_ms.max(speech_end_ms);
        self.taken = std::mem::take(&mut self.pending);
        (self.likely, self.likely_tries, self.misses, self.idle_times) = (None, 0, 0, 0);
        self.quiet_since_ms = now_ms;
        self.floor = Floor::Thinking;
        self.effects
            .extend([TurnEffect::WantFinal, TurnEffect::Taken(taken)]);
    }
}
