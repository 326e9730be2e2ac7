//! The voices of this machine: `rms` and its family where `flite` is installed, `kal` always.

use std::{collections::VecDeque, sync::Arc};

use futures_util::stream;
use local_speech::{Cancel, SampleRate, SayRequest, SpeechError, SpokenSentence, Voices};
use model::transcript::Timing;
use tokio::sync::mpsc::Receiver;

use super::{PlannedWord, SpeakRequest, Speech, SpeechEvent, SpeechPlan, Tts, TtsSpec};
use crate::{Class, ProviderError, Shared};

pub(super) const NAME: &str = "local";

/// The row of the table.
pub const SPEC: TtsSpec = TtsSpec {
    kind: NAME,
    built_in: true,
    open: |shared, _| match &shared.voices {
        Some(voices) => Ok(Arc::new(LocalTts(voices.clone()))),
        None => Err(missing(shared)),
    },
};

fn missing(_: &Shared) -> ProviderError {
    ProviderError::new(NAME, Class::FailOver, "this process has no local voices")
}

/// See the module.
pub struct LocalTts(Voices);

impl Tts for LocalTts {
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError> {
        let cancel = Cancel::new();
        let say = SayRequest {
            text: request.text,
            voice: self.voice(&request.voice),
            stretch: 1.0 / request.rate.clamp(0.5, 2.0),
            rate: SampleRate::Hz8000,
        };
        let sentences = self
            .0
            .say(say, &cancel)
            .map_err(|error| ProviderError::from_speech(NAME, &error))?;
        let state = Sentences {
            sentences,
            ready: VecDeque::new(),
            offset: 0,
            _cancel: CancelOnDrop(cancel),
        };
        let events = stream::unfold(state, |mut state| async move {
            let event = state.next().await?;
            Some((event, state))
        });
        Ok(Speech::new(NAME, Box::pin(events)))
    }

    fn voices(&self) -> Vec<String> {
        self.0.names().into_iter().map(String::from).collect()
    }
}

impl LocalTts {
    /// A voice that is not installed is no reason to be silent.
    fn voice(&self, wanted: &str) -> String {
        match self.0.has(wanted) {
            true => wanted.to_owned(),
            false => self.0.default_voice().to_owned(),
        }
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Sentences {
    sentences: Receiver<Result<SpokenSentence, SpeechError>>,
    ready: VecDeque<SpeechEvent>,
    offset: u64,
    _cancel: CancelOnDrop,
}

impl Sentences {
    async fn next(&mut self) -> Option<SpeechEvent> {
        if self.ready.is_empty() {
            match self.sentences.recv().await? {
                Ok(sentence) => self.take(sentence),
                Err(error) => {
                    let error = ProviderError::from_speech(NAME, &error);
                    self.ready.push_back(SpeechEvent::Failed(error));
                }
            }
        }
        self.ready.pop_front()
    }

    fn take(&mut self, sentence: SpokenSentence) {
        let from = self.offset;
        self.offset += sentence.pcm.len() as u64;
        let words = sentence.words.iter().map(|word| PlannedWord {
            source: word.source.clone(),
            spoken: word.spoken.clone(),
            samples: from + u64::from(word.start)..from + u64::from(word.end),
        });
        self.ready.push_back(SpeechEvent::Plan(SpeechPlan {
            words: words.collect(),
            samples: from..self.offset,
            spoken_text: sentence.spoken_text,
            timing: match sentence.timing {
                local_speech::Timing::Exact => Timing::Exact,
                local_speech::Timing::Estimated => Timing::Estimated,
            },
        }));
        self.ready.push_back(SpeechEvent::Audio(sentence.pcm));
        if sentence.last {
            self.ready.push_back(SpeechEvent::Done);
        }
    }
}
