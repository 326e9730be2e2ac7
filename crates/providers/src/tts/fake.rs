//! A voice of tones with known word times, scripted delays and scripted failures.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use model::transcript::Timing;

use super::{PlannedWord, SpeakRequest, Speech, SpeechEvent, SpeechPlan, Tts, TtsSpec};
use crate::{Class, ProviderError};

const NAME: &str = "fake";
/// Samples of one chunk: 100 ms.
const CHUNK: usize = 800;

/// The row of the table.
pub const SPEC: TtsSpec = TtsSpec {
    kind: NAME,
    built_in: true,
    open: |shared, _| Ok(shared.fakes.tts.clone()),
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It refuses to begin.
    Refuse(Class),
    /// It begins and never says anything.
    Hang,
    /// It fails after so many samples (8 kHz).
    FailAfter {
        /// Samples that still come.
        samples: usize,
    },
}

/// How a fake voice behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeVoice {
    /// Time to the first sound (tokio time).
    pub first_audio: Duration,
    /// Length of one character's sound, ms.
    pub ms_per_char: u32,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
}

impl Default for FakeVoice {
    fn default() -> Self {
        Self {
            first_audio: Duration::from_millis(40),
            ms_per_char: 60,
            fault: None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct FakeTts(FakeVoice);

impl FakeTts {
    /// A voice that behaves so.
    pub fn new(voice: FakeVoice) -> Self {
        Self(voice)
    }
}

impl Tts for FakeTts {
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError> {
        if let Some(Fault::Refuse(class)) = self.0.fault {
            return Err(ProviderError::new(NAME, class, "refused by script"));
        }
        let events = events(&self.0, &request);
        let (delay, hang) = (self.0.first_audio, self.0.fault == Some(Fault::Hang));
        let wait = stream::once(async move {
            tokio::time::sleep(delay).await;
            if hang {
                std::future::pending::<()>().await;
            }
        });
        let told = wait.flat_map(move |()| stream::iter(events.clone()));
        Ok(Speech::new(NAME, Box::pin(told)))
    }

    fn voices(&self) -> Vec<String> {
        vec!["tone".into()]
    }
}

fn events(voice: &FakeVoice, request: &SpeakRequest) -> Vec<SpeechEvent> {
    let per_char = f64::from(voice.ms_per_char) * 8.0 / f64::from(request.rate.clamp(0.5, 2.0));
    let plan = plan(&request.text, per_char);
    let all = usize::try_from(plan.samples.end).unwrap_or(0);
    let (length, last) = match voice.fault {
        Some(Fault::FailAfter { samples }) if samples < all => {
            let class = Class::Retry { after: None };
            let error = ProviderError::new(NAME, class, "failed by script");
            (samples, SpeechEvent::Failed(error))
        }
        _ => (all, SpeechEvent::Done),
    };
    let tone: Vec<i16> = (0..length).map(sample).collect();
    let chunks = tone
        .chunks(CHUNK)
        .map(|chunk| SpeechEvent::Audio(Arc::from(chunk)));
    std::iter::once(SpeechEvent::Plan(plan))
        .chain(chunks)
        .chain([last])
        .collect()
}

/// 400 Hz at −18 dBov.
fn sample(at: usize) -> i16 {
    let turn = at as f64 * 400.0 / 8_000.0 * std::f64::consts::TAU;
    (turn.sin() * 4_096.0) as i16
}

/// Each character takes the same time, so that each word's place is known exactly.
fn plan(text: &str, per_char: f64) -> SpeechPlan {
    let at = |bytes: usize| (bytes as f64 * per_char) as u64;
    let mut words = Vec::new();
    let mut from = 0;
    for word in text.split(' ') {
        let to = from + word.len();
        if !word.is_empty() {
            words.push(PlannedWord {
                source: from..to,
                spoken: from..to,
                samples: at(from)..at(to),
            });
        }
        from = to + 1;
    }
    SpeechPlan {
        spoken_text: text.to_owned(),
        samples: 0..at(text.len()),
        words,
        timing: Timing::Exact,
    }
}
