//! Voices in turn: when one breaks off or falls silent, the next goes on from the first word that is not in the sound yet.
//!
//! Words are told when their sound is there, not before: what a voice planned and never spoke is the next one's to say.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use futures_util::stream;
use model::transcript::Timing;
use tokio::time::{Instant, sleep, timeout_at};

use super::{PlannedWord, SpeakRequest, Speech, SpeechEvent, SpeechPlan, Tts};
use crate::{Class, ProviderError, breaker::Breaker};

/// A voice that has given no sound for so long has failed.
const FIRST_SOUND: Duration = Duration::from_secs(2);
/// So much silence within speech is a failure, unless there is sound ahead.
const STALL: Duration = Duration::from_millis(900);
/// The next voice is asked so long before the sound of the silent one runs out.
const AHEAD: Duration = Duration::from_millis(300);
/// Wait before the same voice is asked once more.
const AGAIN: Duration = Duration::from_millis(100);
/// 8 kHz samples of a letter where the voice does not say (13 letters a second).
const SAMPLES_PER_CHAR: u64 = 600;
const SAMPLES_PER_MS: u64 = 8;

/// One of the voices.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// What it speaks with when it stands in for another.
    pub(crate) voice: Option<String>,
    pub(crate) tts: Arc<dyn Tts>,
    pub(crate) breaker: Arc<Breaker>,
}

/// See the module.
pub(crate) struct Chain(pub(crate) Vec<Member>);

impl Tts for Chain {
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError> {
        let name = self.0.first().map_or("voice", |first| &first.name);
        let going = Going {
            row: self.0.iter().cloned().enumerate().collect(),
            spared: Vec::new(),
            now: None,
            said: Said::default(),
            ready: VecDeque::new(),
            last: ProviderError::new(name, Class::FailOver, "there is no voice"),
            request,
        };
        let events = stream::unfold(going, |mut going| async move {
            let event = going.next().await;
            Some((event, going))
        });
        Ok(Speech::new(name, Box::pin(events)))
    }

    fn voices(&self) -> Vec<String> {
        self.0
            .first()
            .map_or_else(Vec::new, |first| first.tts.voices())
    }

    fn warm(&self, voice: &str) {
        if let Some(first) = self.0.first() {
            first.tts.warm(first.voice_for(voice, true));
        }
    }
}

impl Member {
    fn voice_for<'a>(&'a self, wanted: &'a str, is_first: bool) -> &'a str {
        let own = self.voice.as_deref().unwrap_or_default();
        match is_first && wanted != "default" {
            true => wanted,
            false => own,
        }
    }
}

/// What is in the sound so far.
#[derive(Default)]
struct Said {
    samples: u64,
    /// Bytes of the text whose words are in it.
    text: usize,
}

/// One request on its way through the row.
struct Going {
    row: VecDeque<(usize, Member)>,
    /// Left alone at first; asked when nobody else is left.
    spared: Vec<(usize, Member)>,
    now: Option<Turn>,
    said: Said,
    ready: VecDeque<SpeechEvent>,
    last: ProviderError,
    request: SpeakRequest,
}

/// One voice's part of it.
struct Turn {
    nth: usize,
    member: Member,
    speech: Speech,
    /// Where its text and its sound begin.
    from: usize,
    base: u64,
    /// Planned words whose sound has not come.
    words: VecDeque<PlannedWord>,
    spoken_text: String,
    timing: Timing,
    told_words: bool,
    asked_again: bool,
    heard_at: Instant,
    first_sound: Option<Instant>,
}

impl Going {
    async fn next(&mut self) -> SpeechEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let Some(mut turn) = self.now.take() else {
                self.now = self.begin();
                if self.now.is_none() && self.ready.is_empty() {
                    return SpeechEvent::Failed(self.last.clone());
                }
                continue;
            };
            let next = timeout_at(turn.deadline(self.said.samples), turn.speech.next()).await;
            match next {
                Ok(Some(SpeechEvent::Failed(error))) => self.failed(turn, error).await,
                Ok(Some(event)) => self.take(turn, event),
                Ok(None) | Err(_) => {
                    let why = "the voice fell silent";
                    let error = ProviderError::new(&turn.member.name, Class::FailOver, why);
                    self.failed(turn, error).await;
                }
            }
        }
    }

    /// Asks the next voice for what is left to say.
    fn begin(&mut self) -> Option<Turn> {
        while let Some((nth, member)) = self.choose() {
            match self.ask(nth, &member) {
                Ok(speech) => return Some(self.turn(nth, member, speech)),
                Err(error) => {
                    member.breaker.failed(Instant::now());
                    self.trouble(error);
                }
            }
        }
        None
    }

    /// The next that is not left alone; those in turn when there is no other.
    fn choose(&mut self) -> Option<(usize, Member)> {
        while let Some((nth, member)) = self.row.pop_front() {
            if member.breaker.allows(Instant::now()) {
                return Some((nth, member));
            }
            self.spared.push((nth, member));
        }
        match self.spared.is_empty() {
            true => None,
            false => Some(self.spared.remove(0)),
        }
    }

    fn ask(&self, nth: usize, member: &Member) -> Result<Speech, ProviderError> {
        let rest = self.request.text.get(self.said.text..).unwrap_or_default();
        member.tts.speak(SpeakRequest {
            text: rest.to_owned(),
            voice: member.voice_for(&self.request.voice, nth == 0).to_owned(),
            rate: self.request.rate,
        })
    }

    fn turn(&self, nth: usize, member: Member, speech: Speech) -> Turn {
        Turn {
            nth,
            member,
            speech,
            from: self.said.text,
            base: self.said.samples,
            words: VecDeque::new(),
            spoken_text: String::new(),
            timing: Timing::Exact,
            told_words: false,
            asked_again: false,
            heard_at: Instant::now(),
            first_sound: None,
        }
    }

    fn take(&mut self, mut turn: Turn, event: SpeechEvent) {
        turn.heard_at = Instant::now();
        match event {
            SpeechEvent::Plan(plan) => turn.planned(plan),
            SpeechEvent::Audio(pcm) => {
                turn.first_sound.get_or_insert(turn.heard_at);
                let from = self.said.samples;
                self.said.samples += pcm.len() as u64;
                let there = self.said.samples;
                let words = turn.release(|word| word.samples.end <= there);
                self.tell(&mut turn, from..there, words);
                self.ready.push_back(SpeechEvent::Audio(pcm));
            }
            SpeechEvent::Done => {
                turn.member.breaker.succeeded();
                let there = self.said.samples;
                let words = turn.release(|_| true);
                self.tell(&mut turn, there..there, words);
                self.ready.push_back(SpeechEvent::Done);
            }
            SpeechEvent::Trouble(error) => self.ready.push_back(SpeechEvent::Trouble(error)),
            SpeechEvent::Failed(_) => {}
        }
        self.now = Some(turn);
    }

    fn tell(&mut self, turn: &mut Turn, samples: Range<u64>, mut words: Vec<PlannedWord>) {
        for word in &mut words {
            word.samples.end = word.samples.end.min(samples.end);
            word.samples.start = word.samples.start.min(word.samples.end);
            self.said.text = self.said.text.max(word.source.end);
        }
        turn.told_words |= !words.is_empty();
        if !words.is_empty() || !samples.is_empty() {
            let spoken_text = match words.is_empty() {
                true => String::new(),
                false => turn.spoken_text.clone(),
            };
            self.ready.push_back(SpeechEvent::Plan(SpeechPlan {
                spoken_text,
                samples,
                words,
                timing: turn.timing,
            }));
        }
    }

    /// It broke off: what it said counts, the rest is the next one's.
    async fn failed(&mut self, mut turn: Turn, error: ProviderError) {
        if self.asks_again(&mut turn, &error).await {
            return;
        }
        let there = self.said.samples;
        let words = turn.release(|word| word.middle() <= there);
        self.tell(&mut turn, there..there, words);
        if !turn.told_words {
            let rest = self.request.text.get(turn.from..).unwrap_or_default();
            self.said.text = turn.from + guessed(rest, there - turn.base);
        }
        turn.member.breaker.failed(Instant::now());
        let fatal = error.class == Class::Fatal;
        let over = there > 0 && !self.is_left();
        self.trouble(error);
        match (fatal, over) {
            (_, true) => self.ready.push_back(SpeechEvent::Done),
            (true, false) => {
                self.row.clear();
                self.spared.clear();
            }
            (false, false) => {}
        }
    }

    /// Whether words are left to say.
    fn is_left(&self) -> bool {
        let rest = self.request.text.get(self.said.text..).unwrap_or_default();
        rest.contains(char::is_alphanumeric)
    }

    /// A voice that broke off before its first sound, for a reason that passes, is asked once more.
    async fn asks_again(&mut self, turn: &mut Turn, error: &ProviderError) -> bool {
        let Class::Retry { after } = error.class else {
            return false;
        };
        if turn.asked_again || turn.first_sound.is_some() || after.unwrap_or(AGAIN) > AGAIN {
            return false;
        }
        sleep(AGAIN).await;
        let Ok(speech) = self.ask(turn.nth, &turn.member) else {
            return false;
        };
        let again = self.turn(turn.nth, turn.member.clone(), speech);
        self.now = Some(Turn {
            asked_again: true,
            ..again
        });
        true
    }

    fn trouble(&mut self, error: ProviderError) {
        self.last = error.clone();
        if !self.row.is_empty() || !self.spared.is_empty() {
            self.ready.push_back(SpeechEvent::Trouble(error));
        }
    }
}

impl Turn {
    /// Until when something must come: later while there is sound ahead of what can have been played.
    fn deadline(&self, samples: u64) -> Instant {
        let Some(first) = self.first_sound else {
            return self.heard_at + FIRST_SOUND;
        };
        let length = Duration::from_millis((samples - self.base) / SAMPLES_PER_MS);
        let runs_out = first + length.saturating_sub(AHEAD);
        runs_out.max(self.heard_at + STALL)
    }

    /// The plan in bytes and samples of the whole request.
    fn planned(&mut self, plan: SpeechPlan) {
        let (from, base) = (self.from, self.base);
        let moved = plan.words.into_iter().map(|word| PlannedWord {
            source: word.source.start + from..word.source.end + from,
            spoken: word.spoken,
            samples: word.samples.start + base..word.samples.end + base,
        });
        self.words.extend(moved);
        if !plan.spoken_text.is_empty() {
            self.spoken_text = plan.spoken_text;
        }
        if plan.timing == Timing::Estimated {
            self.timing = Timing::Estimated;
        }
    }

    /// The words, from the first on, for which this holds.
    fn release(&mut self, holds: impl Fn(&PlannedWord) -> bool) -> Vec<PlannedWord> {
        let mut words = Vec::new();
        while self.words.front().is_some_and(&holds) {
            words.extend(self.words.pop_front());
        }
        words
    }
}

impl PlannedWord {
    fn middle(&self) -> u64 {
        self.samples.start.midpoint(self.samples.end)
    }
}

/// The bytes of `text` whose words lie in so many samples, at a common pace.
fn guessed(text: &str, samples: u64) -> usize {
    let letters = |text: &str| text.chars().count() as u64;
    let words = text.split_inclusive(char::is_whitespace);
    let mut end = 0;
    for word in words {
        let before = text.get(..end).map_or(0, letters);
        if (2 * before + letters(word)) * SAMPLES_PER_CHAR / 2 > samples {
            break;
        }
        end += word.len();
    }
    end
}

#[cfg(test)]
mod tests;
