//! Over 10⁵ random interruptions the ledger says what was sent: samples, words, history.
//!
//! A reference leg plays reference voices; it knows exactly which sample of which word left. Cuts,
//! digits, hang-ups, dead legs, pauses with several resumes, late and reordered word times and
//! lost last reports are thrown in at random.

use std::{collections::VecDeque, ops::Range};

use call_core::{
    brain::{BrainNote, HistoryLine, PlayoutKind, PlayoutReport, UtteranceId},
    ledger::{Ledger, LedgerConfig, LedgerEvent, Sound, SpokenWord, VoiceEnd},
};
use model::transcript::{Segment, Timing};

const FRAME: u64 = 160;
const INTERRUPTIONS: u64 = 100_000;

#[derive(Debug, Clone)]
enum Step {
    Say { words: Vec<Word>, pieces: bool },
    Render { words: usize, late: Late },
    LateTimes(usize),
    Ticks(u8),
    Pause,
    Resume,
    Cut(Why),
    LegDies { last_reports_lost: bool },
    HangUp { last_reports_lost: bool },
}

#[derive(Debug, Clone, Copy)]
enum Why {
    Speech,
    Digit,
}

#[derive(Debug, Clone, Copy)]
enum Late {
    AtOnce,
    Reversed,
    Later,
}

/// A source word: silent (a dash), or one or two spoken words, each with a gap before it.
#[derive(Debug, Clone)]
enum Word {
    Silent,
    Spoken { gap: u64, samples: u64 },
    Price { first: u64, second: u64 },
}

#[derive(Debug)]
struct Voice {
    id: UtteranceId,
    text: String,
    tokens: Vec<(String, Vec<Range<u64>>)>,
    spoken: Vec<SpokenWord>,
    /// Spoken words that are rendered.
    rendered_words: usize,
    rendered: u64,
    total: u64,
    late: Vec<SpokenWord>,
    complete: bool,
    gone: bool,
}

#[derive(Debug, Default)]
struct Queued {
    id: u64,
    sent: u64,
    started: bool,
}

/// What the reference knows about an utterance that is over.
struct Truth {
    id: UtteranceId,
    sent: u64,
    whole: bool,
    /// All word times were given before the voice was declared over.
    placed: bool,
}

struct Call {
    ledger: Ledger,
    voices: Vec<Voice>,
    leg: VecDeque<Queued>,
    paused: bool,
    ms: u64,
    atomic: Option<(UtteranceId, u64)>,
    truths: Vec<Truth>,
    segments: Vec<Segment>,
    heard: Vec<UtteranceId>,
    last_tick: Vec<PlayoutReport>,
    interruptions: u64,
}

impl Call {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(LedgerConfig::default()),
            voices: Vec::new(),
            leg: VecDeque::new(),
            paused: false,
            ms: 0,
            atomic: None,
            truths: Vec::new(),
            segments: Vec::new(),
            heard: Vec::new(),
            last_tick: Vec::new(),
            interruptions: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say { words, pieces } => self.say(&words, pieces),
            Step::Render { words, late } => self.render(words, late),
            Step::LateTimes(nth) => self.late_times(nth),
            Step::Ticks(n) => (0..n).for_each(|_| self.tick(false)),
            Step::Pause => self.pause(true),
            Step::Resume => self.pause(false),
            Step::Cut(why) => self.cut(why),
            Step::LegDies { last_reports_lost } => self.leg_dies(last_reports_lost),
            Step::HangUp { last_reports_lost } => self.hang_up(last_reports_lost),
        }
        self.drain();
    }

    fn say(&mut self, words: &[Word], pieces: bool) {
        let id = UtteranceId(self.voices.len() as u64 + 1);
        let (mut text, mut tokens, mut spoken, mut at) = (String::new(), Vec::new(), Vec::new(), 0);
        for (nth, word) in words.iter().enumerate() {
            let (token, ranges) = match *word {
                Word::Silent => ("—".to_owned(), vec![]),
                Word::Spoken { gap, samples } => (
                    format!("u{}w{nth}", id.0),
                    std::iter::once(at + gap..at + gap + samples).collect(),
                ),
                Word::Price { first, second } => (
                    "$12.50".to_owned(),
                    vec![at..at + first, at + first..at + first + second],
                ),
            };
            if !text.is_empty() {
                text.push(' ');
            }
            let source = text.len()..text.len() + token.len();
            text.push_str(&token);
            at = ranges.last().map_or(at, |last: &Range<u64>| last.end);
            spoken.extend(ranges.iter().map(|samples| SpokenWord {
                source: source.clone(),
                samples: samples.clone(),
            }));
            tokens.push((token, ranges));
        }
        // No speech is shorter than a frame; such a one could come and go in a tick whose reports
        // are lost with the leg.
        if at <= FRAME {
            return;
        }
        if let Some((head, tail)) = text.split_once(' ').filter(|_| pieces) {
            self.ledger.plan(id, head);
            assert_eq!(self.ledger.plan(id, tail), head.len() + 1);
        } else {
            self.ledger.plan(id, &text);
        }
        self.leg.push_back(Queued {
            id: id.0,
            ..Queued::default()
        });
        self.voices.push(Voice {
            id,
            text,
            tokens,
            spoken,
            rendered_words: 0,
            rendered: 0,
            total: at,
            late: Vec::new(),
            complete: false,
            gone: false,
        });
    }

    /// The first voice that is not done renders some more words.
    fn render(&mut self, words: usize, late: Late) {
        let Some(voice) = self
            .voices
            .iter_mut()
            .find(|voice| !voice.complete && !voice.gone)
        else {
            return;
        };
        let upto = (voice.rendered_words + words).min(voice.spoken.len());
        let mut new: Vec<SpokenWord> = voice.spoken[voice.rendered_words..upto].to_vec();
        let to = if upto == voice.spoken.len() {
            voice.total
        } else {
            voice.spoken[upto - 1].samples.end
        };
        let samples = to - voice.rendered;
        (voice.rendered_words, voice.rendered) = (upto, to);
        match late {
            Late::AtOnce => {}
            Late::Reversed => new.reverse(),
            Late::Later => voice.late.append(&mut new),
        }
        self.ledger.extend(
            voice.id,
            Sound {
                samples,
                words: new,
                timing: Timing::Exact,
            },
        );
        if upto == voice.spoken.len() && voice.late.is_empty() {
            voice.complete = true;
            self.ledger.voice_over(voice.id, VoiceEnd::Complete);
        }
    }

    fn late_times(&mut self, nth: usize) {
        let Some(voice) = self
            .voices
            .iter_mut()
            .find(|voice| !voice.late.is_empty() && !voice.gone)
        else {
            return;
        };
        let word = voice.late.swap_remove(nth % voice.late.len());
        self.ledger.extend(
            voice.id,
            Sound {
                samples: 0,
                words: vec![word],
                timing: Timing::Exact,
            },
        );
        if voice.late.is_empty() && voice.rendered_words == voice.spoken.len() {
            voice.complete = true;
            self.ledger.voice_over(voice.id, VoiceEnd::Complete);
        }
    }

    /// 20 ms. The last tick of a leg that dies keeps its reports to itself.
    fn tick(&mut self, mute: bool) {
        self.ms += 20;
        self.last_tick.clear();
        let mut room = if self.paused { 0 } else { FRAME };
        while let Some(front) = self.leg.front_mut().filter(|_| room > 0) {
            let voice = &self.voices[front.id as usize - 1];
            let part = room.min(voice.rendered - front.sent);
            if part > 0 && !front.started {
                front.started = true;
                self.last_tick
                    .push(report(voice.id, PlayoutKind::Started, 0, self.ms));
            }
            front.sent += part;
            room -= part;
            if part > 0 {
                self.atomic = Some((voice.id, front.sent));
            }
            if !(voice.complete && front.sent == voice.total) {
                break;
            }
            self.last_tick
                .push(report(voice.id, PlayoutKind::Finished, front.sent, self.ms));
            self.truths.push(Truth {
                id: voice.id,
                sent: front.sent,
                whole: true,
                placed: true,
            });
            self.leg.pop_front();
        }
        if !mute {
            for report in self.last_tick.clone() {
                self.ledger.playout(report);
            }
        }
    }

    fn pause(&mut self, pause: bool) {
        let Some(front) = self
            .leg
            .front()
            .filter(|front| front.started && self.paused != pause)
        else {
            return;
        };
        self.paused = pause;
        let kind = if pause {
            PlayoutKind::Paused {
                onset_ms: Some(self.ms.saturating_sub(60)),
            }
        } else {
            PlayoutKind::Resumed
        };
        self.ledger
            .playout(report(UtteranceId(front.id), kind, front.sent, self.ms));
    }

    /// 1 when an utterance is under way: only then is something interrupted.
    fn speaking(&self) -> u64 {
        u64::from(self.leg.front().is_some_and(|front| front.started))
    }

    fn cut(&mut self, why: Why) {
        if self.leg.is_empty() {
            return;
        }
        self.interruptions += self.speaking();
        if matches!(why, Why::Speech) {
            self.ledger.note(&BrainNote::Interrupted {
                onset_ms: self.ms.saturating_sub(60),
            });
        }
        let cut = self.silence();
        for (id, sent) in &cut {
            self.ledger
                .playout(report(*id, PlayoutKind::Cut, *sent, self.ms));
        }
        self.stop_voices(&cut);
    }

    /// Empties the leg; what it had, with what was sent of it.
    fn silence(&mut self) -> Vec<(UtteranceId, u64)> {
        self.paused = false;
        self.leg
            .drain(..)
            .map(|queued| (UtteranceId(queued.id), queued.sent))
            .collect()
    }

    /// The voices of cut utterances end: some with all their word times, some without.
    fn stop_voices(&mut self, cut: &[(UtteranceId, u64)]) {
        for (id, sent) in cut {
            let voice = &mut self.voices[id.0 as usize - 1];
            let whole = voice.complete && *sent == voice.total;
            let patient = id.0 % 3 != 0;
            if patient && !voice.complete {
                let words = std::mem::take(&mut voice.late);
                self.ledger.extend(
                    *id,
                    Sound {
                        samples: 0,
                        words,
                        timing: Timing::Exact,
                    },
                );
            }
            let placed = voice.late.is_empty();
            voice.gone = true;
            if !voice.complete {
                self.ledger.voice_over(*id, VoiceEnd::CutShort);
            }
            if *sent > 0 {
                self.truths.push(Truth {
                    id: *id,
                    sent: *sent,
                    whole,
                    placed,
                });
            }
        }
    }

    fn leg_dies(&mut self, last_reports_lost: bool) {
        self.interruptions += self.speaking();
        self.tick(last_reports_lost);
        let cut = self.silence();
        self.ledger.evicted(self.atomic, self.ms);
        self.stop_voices(&cut);
    }

    fn hang_up(&mut self, last_reports_lost: bool) {
        self.interruptions += self.speaking();
        self.tick(last_reports_lost);
        let cut = self.silence();
        self.ledger.finish(self.atomic, self.ms);
        for (id, sent) in cut {
            let voice = &self.voices[id.0 as usize - 1];
            let whole = voice.complete && sent == voice.total;
            if sent > 0 {
                self.truths.push(Truth {
                    id,
                    sent,
                    whole,
                    placed: voice.late.is_empty(),
                });
            }
        }
        self.drain();
        self.check();
        *self = Self {
            interruptions: self.interruptions,
            ..Self::new()
        };
    }

    fn drain(&mut self) {
        while let Some(event) = self.ledger.poll_event() {
            match event {
                LedgerEvent::Segment(segment) => self.segments.push(segment),
                LedgerEvent::Heard {
                    utterance, text, ..
                } => {
                    let segment = self
                        .segments
                        .last()
                        .expect("a segment comes before its Heard");
                    assert_eq!(segment.heard_text.as_ref(), Some(&text));
                    self.heard.push(utterance);
                }
                LedgerEvent::Interrupted { .. }
                | LedgerEvent::FalsePause { .. }
                | LedgerEvent::Turn(_) => {}
            }
        }
    }

    /// The whole call against the reference.
    fn check(&mut self) {
        self.truths.sort_by_key(|truth| truth.id);
        let expected: Vec<UtteranceId> = self.truths.iter().map(|truth| truth.id).collect();
        assert_eq!(
            self.heard, expected,
            "exactly one segment for each utterance that started"
        );
        for (truth, segment) in self.truths.iter().zip(&self.segments) {
            let voice = &self.voices[truth.id.0 as usize - 1];
            assert_eq!(segment.text, voice.text);
            assert_eq!(
                segment.samples_sent,
                Some(truth.sent),
                "ledger samples = samples sent"
            );
            assert_eq!(
                segment.interrupted,
                !truth.whole,
                "{truth:?} {segment:?}",
                truth = truth.sent
            );
            let heard = segment
                .heard_text
                .as_deref()
                .expect("an agent segment says what was heard");
            assert!(
                is_word_prefix(heard, &voice.text),
                "{heard:?} of {:?}",
                voice.text
            );
            if truth.placed {
                assert_eq!(
                    heard,
                    heard_words(voice, truth),
                    "sent {} of {:?}",
                    truth.sent,
                    voice.tokens
                );
                assert_eq!(segment.timing, Some(Timing::Exact));
            }
        }
        let lines: Vec<HistoryLine> = self
            .segments
            .iter()
            .filter_map(|s| s.heard_text.clone())
            .filter(|t| !t.is_empty())
            .map(|text| HistoryLine { agent: true, text })
            .collect();
        assert_eq!(
            self.ledger.history(),
            lines,
            "the history is what was heard"
        );
    }
}

fn report(
    utterance: UtteranceId,
    kind: PlayoutKind,
    samples_sent: u64,
    at_ms: u64,
) -> PlayoutReport {
    PlayoutReport {
        utterance,
        kind,
        samples_sent,
        at_ms,
    }
}

fn is_word_prefix(heard: &str, text: &str) -> bool {
    let heard: Vec<&str> = heard.split_whitespace().collect();
    text.split_whitespace()
        .take(heard.len())
        .eq(heard.iter().copied())
}

/// The definition itself: source words up to the first of which less than half was sent.
fn heard_words(voice: &Voice, truth: &Truth) -> String {
    let tokens: Vec<&str> = voice
        .tokens
        .iter()
        .map(|(token, _)| token.as_str())
        .collect();
    if truth.whole {
        return tokens.join(" ");
    }
    let mut upto = 0;
    for (nth, (_, ranges)) in voice
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, (_, ranges))| !ranges.is_empty())
    {
        // Only what was rendered has a length that anybody can know.
        let known = ranges.iter().filter(|range| range.end <= voice.rendered);
        let total: u64 = known.clone().map(|range| range.end - range.start).sum();
        let sent: u64 = known
            .map(|range| truth.sent.clamp(range.start, range.end) - range.start)
            .sum();
        if total == 0 || sent * 2 < total {
            break;
        }
        upto = nth + 1;
    }
    tokens[..upto].join(" ")
}

/// SplitMix64: the same call for the same seed, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn word(&mut self) -> Word {
        match self.roll(10) {
            0 => Word::Silent,
            1 => Word::Price {
                first: 1 + self.roll(2_000),
                second: 1 + self.roll(2_000),
            },
            _ => Word::Spoken {
                gap: self.roll(800),
                samples: 1 + self.roll(4_000),
            },
        }
    }

    fn late(&mut self) -> Late {
        [
            Late::AtOnce,
            Late::AtOnce,
            Late::AtOnce,
            Late::Reversed,
            Late::Later,
        ][self.roll(5) as usize]
    }

    fn step(&mut self) -> Step {
        let lost = self.roll(2) == 0;
        match self.roll(34) {
            0..5 => Step::Say {
                words: (0..1 + self.roll(5)).map(|_| self.word()).collect(),
                pieces: lost,
            },
            5..13 => Step::Render {
                words: 1 + self.roll(4) as usize,
                late: self.late(),
            },
            13..16 => Step::LateTimes(self.roll(100) as usize),
            16..24 => Step::Ticks(1 + self.roll(40) as u8),
            24 => Step::Pause,
            25..28 => Step::Resume,
            28..31 => Step::Cut(Why::Speech),
            31 => Step::Cut(Why::Digit),
            32 => Step::LegDies {
                last_reports_lost: lost,
            },
            _ => Step::HangUp {
                last_reports_lost: lost,
            },
        }
    }
}

/// Names the seed of a call that fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the call of seed {} failed", self.0);
        }
    }
}

/// Calls of consecutive seeds from `first`, until so many interruptions have been seen.
fn run(first: u64, wanted: u64) {
    let mut interruptions = 0;
    let mut seed = first;
    while interruptions < wanted {
        let (_named, mut dice, mut call) = (Named(seed), Dice(seed), Call::new());
        (0..500).for_each(|_| call.step(dice.step()));
        call.step(Step::HangUp {
            last_reports_lost: false,
        });
        interruptions += call.interruptions;
        seed += 1;
    }
}

#[test]
fn ledger_agrees_with_the_leg_over_the_first_half_of_a_hundred_thousand_interruptions() {
    run(0, INTERRUPTIONS / 2);
}

#[test]
fn ledger_agrees_with_the_leg_over_the_second_half_of_a_hundred_thousand_interruptions() {
    run(1 << 32, INTERRUPTIONS / 2);
}
