//! A stage for brains: virtual time, a leg that plays 20 ms a tick and pauses by reflex, a voice
//! that takes 240 ms for a word, the real ledger, and a caller who speaks by the script.

use std::{collections::VecDeque, time::Duration};

use call_core::{
    brain::{
        Brain, BrainEffect, BrainInput, BrainNote, CallContext, DiscardReason, EndWish,
        FinalTranscript, PlayoutKind, PlayoutReport, ThinkId, ThinkRequest, ToolRequest,
        UtteranceId,
    },
    ledger::{Ledger, LedgerConfig, LedgerEvent, Sound, SpokenWord, VoiceEnd},
};
use model::transcript::{Segment, Speaker, Timing, TurnTimings};

/// The node is older than the call.
const ANSWERED: Duration = Duration::from_secs(5);
pub const WORD_SAMPLES: u64 = 1_920;
/// How late the gate tells an onset and an end, and the recogniser the words.
const ONSET_LATE_MS: u64 = 120;
const END_LATE_MS: u64 = 240;
const FINAL_LATE_MS: u64 = 300;
const REFLEX_MS: u64 = 80;
const REFLEX_HOLDS_MS: u64 = 300;

#[derive(Debug)]
struct Playing {
    id: UtteranceId,
    rendered: u64,
    complete: bool,
    sent: u64,
    started: bool,
}

/// What a brain did, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Did {
    Ready,
    Said {
        text: String,
        protected: bool,
    },
    Cut,
    Resume,
    Hold,
    Think(ThinkId),
    CancelThink(ThinkId),
    Tool(String),
    End {
        reason: EndWish,
        after: Option<UtteranceId>,
    },
}

pub struct Stage {
    pub brain: Box<dyn Brain>,
    pub ledger: Ledger,
    pub ms: u64,
    script: Vec<(u64, Cue)>,
    leg: VecDeque<Playing>,
    cut_asked: bool,
    paused_at: Option<u64>,
    held: bool,
    pub armed: bool,
    answered: bool,
    pub did: Vec<(u64, Did)>,
    pub notes: Vec<BrainNote>,
    pub events: Vec<LedgerEvent>,
    pub thinks: Vec<ThinkRequest>,
    pub tools: Vec<ToolRequest>,
    voiced: u64,
    /// Sound made by the brain itself, per utterance.
    pub sound: Vec<(UtteranceId, usize, bool)>,
}

/// What happens on the caller's side.
enum Cue {
    Input(BrainInput),
    Reflex,
}

impl Stage {
    pub fn new(brain: Box<dyn Brain>) -> Self {
        Self {
            brain,
            ledger: Ledger::new(LedgerConfig::default()),
            ms: 0,
            script: Vec::new(),
            leg: VecDeque::new(),
            cut_asked: false,
            paused_at: None,
            held: false,
            armed: false,
            answered: false,
            did: Vec::new(),
            notes: Vec::new(),
            events: Vec::new(),
            thinks: Vec::new(),
            tools: Vec::new(),
            voiced: 0,
            sound: Vec::new(),
        }
    }

    pub fn context() -> CallContext {
        CallContext {
            call_id: "cal_test".into(),
            caller_number: None,
            called_number: "+15550100".into(),
            unix_ms: 1_700_000_000_000,
            utc_offset_s: 0,
            history: Vec::new(),
        }
    }

    pub fn answered(mut self) -> Self {
        self.input(BrainInput::Prepare(Box::new(Self::context())));
        self.answer();
        self
    }

    pub fn answer(&mut self) {
        self.answered = true;
        self.input(BrainInput::Answered);
    }

    pub fn now(&self) -> Duration {
        ANSWERED + Duration::from_millis(self.ms)
    }

    pub fn input(&mut self, input: BrainInput) {
        let now = self.now();
        if let BrainInput::Final(said) = &input {
            self.ledger.caller(said);
        }
        self.brain.handle(now, input);
        self.carry_out();
        self.drain_ledger();
    }

    /// Something happens at a call time to come.
    pub fn at(&mut self, ms: u64, input: BrainInput) {
        self.script.push((ms, Cue::Input(input)));
    }

    /// The caller speaks: reflex, gate and recogniser do what they do.
    pub fn speech(&mut self, from: u64, to: u64, text: &str) {
        self.script.push((from + REFLEX_MS, Cue::Reflex));
        self.at(
            from + ONSET_LATE_MS,
            BrainInput::SpeechStarted { at_ms: from },
        );
        self.at(
            to + END_LATE_MS,
            BrainInput::SpeechEnded {
                at_ms: to,
                speech_ms: to - from,
            },
        );
        self.at(to + FINAL_LATE_MS, final_of(from, to, text));
    }

    /// The caller's onset as the media leg alone notices it.
    pub fn noise(&mut self, at: u64) {
        self.script.push((at + REFLEX_MS, Cue::Reflex));
    }

    pub fn run_to(&mut self, ms: u64) {
        while self.ms < ms {
            self.ms += 10;
            self.time_out();
            self.cues();
            if self.ms.is_multiple_of(20) && self.answered {
                self.tick();
            }
        }
    }

    fn time_out(&mut self) {
        for _ in 0..100 {
            let now = self.now();
            if self.brain.poll_timeout().is_none_or(|at| at > now) {
                return;
            }
            self.brain.handle_timeout(now);
            self.carry_out();
        }
        panic!("a brain that stays overdue at {} ms", self.ms);
    }

    fn cues(&mut self) {
        let now = self.ms;
        let (due, later) = std::mem::take(&mut self.script)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.script = later;
        let mut due: Vec<(u64, Cue)> = due;
        due.sort_by_key(|(at, _)| *at);
        for (_, cue) in due {
            match cue {
                Cue::Input(input) => self.input(input),
                Cue::Reflex => self.reflex(),
            }
        }
    }

    fn reflex(&mut self) {
        let playing = self.leg.front().is_some_and(|playing| playing.started);
        if self.armed && playing && self.paused_at.is_none() {
            self.paused_at = Some(self.ms);
            self.report_front(PlayoutKind::Paused { onset_ms: None });
        }
    }

    fn unpause(&mut self) {
        if self.paused_at.take().is_some() {
            self.held = false;
            self.report_front(PlayoutKind::Resumed);
        }
    }

    fn tick(&mut self) {
        if std::mem::take(&mut self.cut_asked) {
            self.paused_at = None;
            self.held = false;
            for playing in std::mem::take(&mut self.leg) {
                self.ledger.voice_over(playing.id, VoiceEnd::CutShort);
                self.report(playing.id, PlayoutKind::Cut, playing.sent);
            }
        }
        if self
            .paused_at
            .is_some_and(|at| !self.held && self.ms >= at + REFLEX_HOLDS_MS)
        {
            self.unpause();
        }
        if self.paused_at.is_some() {
            return;
        }
        let Some(front) = self.leg.front_mut() else {
            return;
        };
        let part = (front.rendered - front.sent).min(160);
        let starts = part > 0 && !front.started;
        front.started |= starts;
        front.sent += part;
        let (id, sent) = (front.id, front.sent);
        let ends = front.complete && front.sent == front.rendered;
        if starts {
            self.report(id, PlayoutKind::Started, part);
        }
        if ends {
            self.leg.pop_front();
            self.report(id, PlayoutKind::Finished, sent);
        }
    }

    fn report_front(&mut self, kind: PlayoutKind) {
        if let Some((id, sent)) = self.leg.front().map(|playing| (playing.id, playing.sent)) {
            self.report(id, kind, sent);
        }
    }

    fn report(&mut self, utterance: UtteranceId, kind: PlayoutKind, samples_sent: u64) {
        let report = PlayoutReport {
            utterance,
            kind,
            samples_sent,
            at_ms: self.ms,
        };
        self.ledger.playout(report);
        self.input(BrainInput::Playout(report));
    }

    fn drain_ledger(&mut self) {
        while let Some(event) = self.ledger.poll_event() {
            self.events.push(event.clone());
            if let LedgerEvent::Heard {
                utterance,
                text,
                interrupted,
            } = event
            {
                self.input(BrainInput::Heard {
                    utterance,
                    text,
                    interrupted,
                });
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.brain.poll_effect() {
            match effect {
                BrainEffect::Say {
                    utterance,
                    text,
                    last,
                    protected,
                } => self.say(utterance, text, last, protected),
                BrainEffect::Sound {
                    utterance,
                    pcm,
                    sample_rate_hz,
                    last,
                } => {
                    self.sounded(utterance, pcm.len(), sample_rate_hz, last);
                }
                BrainEffect::SoundText { utterance, text } => {
                    self.ledger.plan(utterance, &text);
                }
                BrainEffect::CallerSaid(said) => self.ledger.caller(&said),
                BrainEffect::Ready => self.did(Did::Ready),
                BrainEffect::Cut => {
                    self.cut_asked = true;
                    self.did(Did::Cut);
                }
                BrainEffect::Resume => {
                    self.did(Did::Resume);
                    self.unpause();
                }
                BrainEffect::HoldPause => {
                    self.held = true;
                    self.did(Did::Hold);
                }
                BrainEffect::ArmReflex(armed) => self.armed = armed,
                BrainEffect::WantFinal | BrainEffect::Pace(_) => {}
                BrainEffect::Think(request) => {
                    self.did(Did::Think(request.id));
                    self.thinks.push(*request);
                }
                BrainEffect::CancelThink(id) => self.did(Did::CancelThink(id)),
                BrainEffect::RunTool(request) => {
                    self.did(Did::Tool(request.name.clone()));
                    self.tools.push(request);
                }
                BrainEffect::Note(note) => {
                    self.ledger.note(&note);
                    self.notes.push(note);
                }
                BrainEffect::End { reason, after } => self.did(Did::End { reason, after }),
            }
        }
    }

    fn did(&mut self, did: Did) {
        self.did.push((self.ms, did));
    }

    fn entry(&mut self, id: UtteranceId) -> &mut Playing {
        assert!(id.0 >= self.voiced, "utterance ids never fall");
        self.voiced = id.0;
        if self.leg.back().is_none_or(|playing| playing.id != id) {
            self.leg.push_back(Playing {
                id,
                rendered: 0,
                complete: false,
                sent: 0,
                started: false,
            });
        }
        self.leg.back_mut().expect("just pushed")
    }

    fn say(&mut self, id: UtteranceId, text: String, last: bool, protected: bool) {
        // A cut takes what is there, not what is said after it.
        if self.cut_asked {
            self.tick();
        }
        let base = self.ledger.plan(id, &text);
        let from = self.entry(id).rendered;
        let words: Vec<SpokenWord> = text
            .split_whitespace()
            .zip(0u64..)
            .map(|(word, nth)| {
                let start = base + (word.as_ptr() as usize - text.as_ptr() as usize);
                let samples = from + nth * WORD_SAMPLES..from + (nth + 1) * WORD_SAMPLES;
                SpokenWord {
                    source: start..start + word.len(),
                    samples,
                }
            })
            .collect();
        let samples = words.len() as u64 * WORD_SAMPLES;
        self.ledger.extend(
            id,
            Sound {
                samples,
                words,
                timing: Timing::Exact,
            },
        );
        let entry = self.entry(id);
        entry.rendered += samples;
        entry.complete |= last;
        if last {
            self.ledger.voice_over(id, VoiceEnd::Complete);
        }
        if !text.is_empty() {
            self.did(Did::Said { text, protected });
        }
    }

    fn sounded(&mut self, id: UtteranceId, samples: usize, rate_hz: u32, last: bool) {
        if self.cut_asked {
            self.tick();
        }
        let samples_8k = samples as u64 * 8_000 / u64::from(rate_hz);
        let entry = self.entry(id);
        entry.rendered += samples_8k;
        entry.complete |= last;
        self.ledger.extend(
            id,
            Sound {
                samples: samples_8k,
                words: vec![],
                timing: Timing::Estimated,
            },
        );
        if last {
            self.ledger.voice_over(id, VoiceEnd::Complete);
        }
        self.sound.push((id, samples, last));
    }

    /// The caller hangs up now.
    pub fn hang_up(&mut self) {
        self.input(BrainInput::CallOver);
        let at = self.leg.front().map(|playing| (playing.id, playing.sent));
        let ms = self.ms;
        self.ledger.finish(at, ms);
        self.leg.clear();
        self.drain_ledger();
    }

    /// Everything said, joined.
    pub fn said(&self) -> Vec<&str> {
        let text = |did: &'_ Did| match did {
            Did::Said { .. } => true,
            Did::Ready
            | Did::Cut
            | Did::Resume
            | Did::Hold
            | Did::Think(_)
            | Did::CancelThink(_)
            | Did::Tool(_)
            | Did::End { .. } => false,
        };
        self.did
            .iter()
            .filter(|(_, did)| text(did))
            .map(|(_, did)| {
                if let Did::Said { text, .. } = did {
                    text.as_str()
                } else {
                    ""
                }
            })
            .collect()
    }

    pub fn first(&self, wanted: &Did) -> Option<u64> {
        self.did
            .iter()
            .find(|(_, did)| did == wanted)
            .map(|(ms, _)| *ms)
    }

    pub fn ended(&self) -> Option<(EndWish, Option<UtteranceId>)> {
        self.did.iter().find_map(|(_, did)| match did {
            Did::End { reason, after } => Some((*reason, *after)),
            _ => None,
        })
    }

    /// Agent segments: what was to be said, what was heard.
    pub fn heard(&self) -> Vec<(String, String)> {
        let segments = self.events.iter().filter_map(|event| match event {
            LedgerEvent::Segment(segment) if segment.speaker == Speaker::Agent => Some(segment),
            _ => None,
        });
        segments
            .map(|s: &Segment| (s.text.clone(), s.heard_text.clone().unwrap_or_default()))
            .collect()
    }

    pub fn turns(&self) -> Vec<TurnTimings> {
        let timings = self.events.iter().filter_map(|event| match event {
            LedgerEvent::Turn(timings) => Some(timings.clone()),
            _ => None,
        });
        timings.collect()
    }

    pub fn discarded(&self) -> Vec<DiscardReason> {
        let why = self.notes.iter().filter_map(|note| match note {
            BrainNote::SpeechDiscarded { why, .. } => Some(*why),
            _ => None,
        });
        why.collect()
    }
}

pub fn final_of(from: u64, to: u64, text: &str) -> BrainInput {
    BrainInput::Final(FinalTranscript {
        start_ms: from,
        end_ms: to,
        text: text.into(),
        confidence: Some(0.9),
    })
}
