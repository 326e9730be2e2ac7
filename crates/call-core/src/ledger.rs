//! What was said and what was heard: the one truth about a conversation (DESIGN §5.1).
//!
//! The call owns the ledger, not the agent: a broken agent loses no word. Three streams meet here,
//! each in its own order and pace:
//!
//! ```text
//! the brain's words   plan()               source text, piece by piece
//! the voice's sound   extend() voice_over()  samples, and where in them each word is
//! the leg's reports   playout() evicted()  samples that truly left
//! ```
//!
//! Out of them comes for every utterance of which a sample was sent exactly one
//! [`Segment`]: its `heard_text` is the prefix of the source text, in whole
//! source words, of which each word had at least half of its samples sent. An utterance that never
//! started leaves nothing behind.
//!
//! Utterances play in the order of their ids (the leg's tags rise strictly), so a later one that
//! starts proves that the earlier ones are over.

mod caller;
mod timings;
mod utterance;
mod words;

use std::collections::{BTreeMap, VecDeque};

use model::transcript::{Segment, Speaker, TurnTimings};

use crate::brain::{
    BrainNote, FinalTranscript, HistoryLine, PlayoutKind, PlayoutReport, UtteranceId,
};
use caller::CallerSide;
use timings::TurnClock;
use utterance::{Phase, Utterance};

pub use utterance::{Sound, VoiceEnd};
pub use words::SpokenWord;

/// Samples per millisecond of the 8 kHz line.
const SAMPLES_PER_MS: u64 = 8;
/// Utterances that may wait at once; a brain that queues more loses the newest from the record.
const MAX_OPEN: usize = 256;

/// How the ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerConfig {
    /// How much later than sent the caller hears, milliseconds (network and far jitter buffer).
    /// Taken off before words of a cut utterance are counted; 0 counts what was sent.
    pub far_side_delay_ms: u32,
}

/// What the ledger has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum LedgerEvent {
    /// For the record: exactly one per utterance that sent a sample, and one per stretch of the
    /// caller's speech that has words.
    Segment(Segment),
    /// For the brain, right after the utterance's segment.
    Heard {
        /// Which.
        utterance: UtteranceId,
        /// Source words that were heard.
        text: String,
        /// It ended before its last sample.
        interrupted: bool,
    },
    /// For the record: the caller interrupted.
    Interrupted {
        /// From the onset of his speech to the agent's last sample.
        yield_ms: u64,
    },
    /// For the record: the agent paused and went on.
    FalsePause {
        /// How long it was silent.
        paused_ms: u64,
    },
    /// For the record: where a turn's time went.
    Turn(TurnTimings),
}

/// See the module's first page.
#[derive(Debug)]
pub struct Ledger {
    far_side_delay_samples: u64,
    /// Utterances that are not settled, by id: the order in which they play.
    open: BTreeMap<UtteranceId, Utterance>,
    /// Nothing with an id up to this is ever opened again.
    closed_through: UtteranceId,
    caller: CallerSide,
    turns: TurnClock,
    /// Onset of the speech that is interrupting, until the cut arrives.
    interrupting: Option<u64>,
    /// Settled lines with their first millisecond.
    lines: Vec<(u64, HistoryLine)>,
    events: VecDeque<LedgerEvent>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(config: LedgerConfig) -> Self {
        Self {
            far_side_delay_samples: u64::from(config.far_side_delay_ms) * SAMPLES_PER_MS,
            open: BTreeMap::new(),
            closed_through: UtteranceId(0),
            caller: CallerSide::default(),
            turns: TurnClock::default(),
            interrupting: None,
            lines: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The next event, in order; `None` when drained.
    pub fn poll_event(&mut self) -> Option<LedgerEvent> {
        self.events.pop_front()
    }

    /// More source text of an utterance. A space is put between pieces where neither brings one.
    /// Returns the byte at which the piece starts in the utterance's whole text.
    pub fn plan(&mut self, utterance: UtteranceId, text: &str) -> usize {
        self.entry(utterance).map_or(0, |entry| entry.append(text))
    }

    /// The voice rendered more of an utterance, or knows more about where its words are.
    pub fn extend(&mut self, utterance: UtteranceId, sound: Sound) {
        if let Some(entry) = self.entry(utterance) {
            entry.extend(sound);
        }
    }

    /// Nothing more of an utterance will be rendered and no word time follows. A cut utterance is
    /// settled only then, because a word time may arrive after the cut.
    pub fn voice_over(&mut self, utterance: UtteranceId, end: VoiceEnd) {
        if let Some(entry) = self.open.get_mut(&utterance) {
            entry.voice_over(end);
        }
        if self
            .open
            .get(&utterance)
            .is_some_and(Utterance::is_stillborn)
        {
            self.open.remove(&utterance);
        }
        self.settle();
    }

    /// What the leg reports, each once and in its order.
    pub fn playout(&mut self, report: PlayoutReport) {
        let id = report.utterance;
        if id <= self.closed_through {
            return;
        }
        match report.kind {
            PlayoutKind::Started => self.sent(id, report.samples_sent, report.at_ms),
            PlayoutKind::Paused { onset_ms } => {
                self.position(id, report.samples_sent, report.at_ms);
                self.with(id, |entry| entry.pause(report.at_ms, onset_ms));
            }
            PlayoutKind::Resumed => {
                self.position(id, report.samples_sent, report.at_ms);
                self.resumed(id, report.at_ms);
            }
            PlayoutKind::Cut => self.over(id, report.samples_sent, report.at_ms, true),
            PlayoutKind::Finished => self.over(id, report.samples_sent, report.at_ms, false),
        }
        self.settle();
    }

    /// The leg's atomic: how far an utterance is, without a report.
    pub fn position(&mut self, utterance: UtteranceId, samples_sent: u64, at_ms: u64) {
        if utterance > self.closed_through && samples_sent > 0 {
            self.sent(utterance, samples_sent, at_ms);
        }
    }

    /// The leg is gone. `at` is its atomic, the last truth about what was sent. Everything that
    /// was playing or queued is closed; the reports are for the brain (the ledger has them).
    pub fn evicted(&mut self, at: Option<(UtteranceId, u64)>, at_ms: u64) -> Vec<PlayoutReport> {
        if let Some((utterance, samples)) = at {
            self.position(utterance, samples, at_ms);
        }
        let reports = self.cut_all(at_ms);
        self.settle();
        reports
    }

    /// A stretch of caller speech was recognised, perhaps again (same `start_ms`), better.
    pub fn caller(&mut self, said: &FinalTranscript) {
        let complete = self.caller.said(said);
        self.file_caller(complete);
    }

    /// Nothing more is added to the caller's stretch that began at `start_ms`.
    pub fn caller_closed(&mut self, start_ms: u64) {
        let complete = self.caller.closed(start_ms);
        self.file_caller(complete);
    }

    /// What the brain tells the record.
    pub fn note(&mut self, note: &BrainNote) {
        if let BrainNote::Interrupted { onset_ms } = note {
            self.interrupting = Some(*onset_ms);
        }
        let finished = self.turns.note(note);
        self.file_turn(finished);
    }

    /// The voice gave the first sound of an utterance.
    pub fn first_sound(&mut self, utterance: UtteranceId, at_ms: u64) {
        self.turns.first_sound(utterance, at_ms);
    }

    /// The call is over. `at` is the leg's last atomic. Closes and settles everything.
    pub fn finish(&mut self, at: Option<(UtteranceId, u64)>, at_ms: u64) {
        self.evicted(at, at_ms);
        for entry in self.open.values_mut() {
            entry.voice_over(VoiceEnd::CutShort);
        }
        self.settle();
        let rest = self.caller.flush();
        self.file_caller(rest);
        let finished = self.turns.flush();
        self.file_turn(finished);
    }

    /// The conversation as it was: settled lines, and what has been heard of an utterance that
    /// is not settled. In the order in which people began to speak.
    pub fn history(&self) -> Vec<HistoryLine> {
        let mut lines = self.lines.clone();
        lines.extend(self.open.values().filter_map(|entry| {
            let (text, start_ms) = (
                entry.heard(self.far_side_delay_samples).text,
                entry.start_ms()?,
            );
            (!text.is_empty()).then_some((start_ms, HistoryLine { agent: true, text }))
        }));
        lines.extend(
            self.caller
                .pending()
                .map(|s| (s.start_ms, caller_line(&s.text))),
        );
        lines.sort_by_key(|(start_ms, _)| *start_ms);
        lines.into_iter().map(|(_, line)| line).collect()
    }

    fn entry(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        if id <= self.closed_through {
            return None;
        }
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&id) {
            return None;
        }
        Some(self.open.entry(id).or_default())
    }

    fn with(&mut self, id: UtteranceId, act: impl FnOnce(&mut Utterance)) {
        if let Some(entry) = self.open.get_mut(&id) {
            act(entry);
        }
    }

    /// Samples of `id` have left: it plays, and whatever is before it is over.
    fn sent(&mut self, id: UtteranceId, samples: u64, at_ms: u64) {
        self.outrun(id, at_ms);
        let Some(entry) = self.entry(id) else { return };
        let started = entry.sent(samples, at_ms);
        if started {
            self.interrupting = None;
            let finished = self.turns.first_packet(id, at_ms);
            self.file_turn(finished);
        }
    }

    /// A later utterance plays: those before it, if their last report was lost, are over.
    fn outrun(&mut self, id: UtteranceId, at_ms: u64) {
        for (_, entry) in self.open.range_mut(..id) {
            entry.outrun(at_ms);
        }
        self.open
            .retain(|other, entry| *other >= id || !entry.is_queued());
    }

    fn resumed(&mut self, id: UtteranceId, at_ms: u64) {
        if let Some(paused_ms) = self.open.get_mut(&id).and_then(|entry| entry.resume(at_ms)) {
            self.events.push_back(LedgerEvent::FalsePause { paused_ms });
        }
    }

    fn over(&mut self, id: UtteranceId, samples: u64, at_ms: u64, cut: bool) {
        if samples > 0 {
            self.sent(id, samples, at_ms);
        }
        let Some(entry) = self.open.get_mut(&id).filter(|entry| !entry.is_over()) else {
            return;
        };
        let last_sent_ms = entry.last_sent_ms(at_ms);
        if !entry.end(at_ms, cut) {
            self.open.remove(&id);
            return;
        }
        let onset = self.interrupting.take_if(|_| cut);
        if let Some(onset_ms) = onset.map(|noted_ms| entry.spoken_over_ms(noted_ms)) {
            let yield_ms = last_sent_ms.saturating_sub(onset_ms);
            self.events.push_back(LedgerEvent::Interrupted { yield_ms });
        }
    }

    fn cut_all(&mut self, at_ms: u64) -> Vec<PlayoutReport> {
        let mut reports = Vec::new();
        let live: Vec<_> = self
            .open
            .iter()
            .filter(|(_, e)| !e.is_over())
            .map(|(id, e)| (*id, e.samples_sent()))
            .collect();
        for (utterance, samples_sent) in live {
            reports.push(PlayoutReport {
                utterance,
                kind: PlayoutKind::Cut,
                samples_sent,
                at_ms,
            });
            self.over(utterance, samples_sent, at_ms, true);
        }
        reports
    }

    /// Files, in order of playing, every utterance about which nothing more can be learnt.
    fn settle(&mut self) {
        while let Some((id, entry)) = self.open.first_key_value() {
            let successor_over = self.open.values().nth(1).is_some_and(Utterance::is_over);
            let due = entry.is_settled() || (entry.is_over() && successor_over);
            if !due {
                return;
            }
            let id = *id;
            if let Some(entry) = self.open.remove(&id) {
                self.file(id, &entry);
            }
        }
    }

    fn file(&mut self, id: UtteranceId, entry: &Utterance) {
        self.closed_through = self.closed_through.max(id);
        let Phase::Over {
            start_ms,
            end_ms,
            cut,
        } = *entry.phase()
        else {
            return;
        };
        let heard = entry.heard(self.far_side_delay_samples);
        if !heard.text.is_empty() {
            let line = HistoryLine {
                agent: true,
                text: heard.text.clone(),
            };
            self.lines.push((start_ms, line));
        }
        self.events.push_back(LedgerEvent::Segment(Segment {
            speaker: Speaker::Agent,
            text: entry.text().to_owned(),
            start_ms,
            end_ms,
            confidence: None,
            interrupted: cut,
            heard_text: Some(heard.text.clone()),
            timing: Some(heard.timing),
            samples_sent: Some(entry.samples_sent()),
            samples_total: entry.samples_total(),
        }));
        self.events.push_back(LedgerEvent::Heard {
            utterance: id,
            text: heard.text,
            interrupted: cut,
        });
    }

    fn file_caller(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            self.lines
                .push((segment.start_ms, caller_line(&segment.text)));
            self.events.push_back(LedgerEvent::Segment(segment));
        }
    }

    fn file_turn(&mut self, finished: Option<TurnTimings>) {
        self.events.extend(finished.map(LedgerEvent::Turn));
    }
}

fn caller_line(text: &str) -> HistoryLine {
    HistoryLine {
        agent: false,
        text: text.to_owned(),
    }
}
