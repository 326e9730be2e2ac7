//! The built-in voice: `flite-rs` `kal`, 8 kHz, always there. Also the one place that
//! knows how an English sentence falls into phones.

use std::sync::Arc;

use flite_rs::language::Language;
use flite_rs::utterance::ItemId;
use flite_rs::{Engine, KAL_VOICE_DATA, Utterance, Voice, VoiceParams, pipeline, text, voice};

use crate::error::SpeechError;

/// The voice's own rate.
pub(crate) const RATE_HZ: u32 = 8000;

/// The parsed voice and its language models; built once, shared.
pub(crate) struct Kal {
    voice: Voice,
    language: Arc<Language>,
    params: VoiceParams,
}

/// One word as a speech engine says it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Uttered {
    /// Which white-space-separated token of the text it belongs to.
    pub(crate) token: usize,
    pub(crate) phones: Vec<String>,
    /// Begin and end, s.
    pub(crate) start_s: f32,
    pub(crate) end_s: f32,
}

impl Kal {
    pub(crate) fn new() -> Result<Kal, SpeechError> {
        let broken = |e: flite_rs::data::DataError| SpeechError::Voice {
            name: "kal".into(),
            reason: e.to_string(),
        };
        let voice = Voice::parse(KAL_VOICE_DATA).map_err(broken)?;
        Ok(Kal {
            params: voice.params(),
            language: Engine::try_new().map_err(broken)?.language(),
            voice,
        })
    }

    /// Sound of one sentence at [`RATE_HZ`], and the time of its words.
    pub(crate) fn synthesise(&self, sentence: &str, stretch: f32) -> (Vec<i16>, Vec<Uttered>) {
        let mut params = self.params;
        params.duration_stretch *= stretch;
        let utterance = self.analyse(sentence, &params);
        let audio = voice::synthesise(&self.voice, &utterance, &params);
        (audio.samples, words(&utterance))
    }

    /// The words of a sentence with their phones; the times are this voice's.
    pub(crate) fn words(&self, sentence: &str) -> Vec<Uttered> {
        words(&self.analyse(sentence, &self.params))
    }

    fn analyse(&self, sentence: &str, params: &VoiceParams) -> Utterance {
        let tokens: Vec<text::Token> = text::tokenize(sentence).into_iter().flatten().collect();
        pipeline::analyse(&self.language, &tokens, params)
    }
}

fn words(utterance: &Utterance) -> Vec<Uttered> {
    let tokens: Vec<ItemId> = utterance.iter_relation("Token").collect();
    utterance
        .iter_relation("Word")
        .filter_map(|word| {
            let mut uttered = phones(utterance, word)?;
            let token = utterance.parent(utterance.item_as(word, "Token")?)?;
            uttered.token = tokens.iter().position(|t| utterance.same_item(*t, token))?;
            Some(uttered)
        })
        .collect()
}

/// The phones under one word; none if it is not pronounced.
fn phones(utterance: &Utterance, word: ItemId) -> Option<Uttered> {
    let mut uttered = Uttered::default();
    let root = utterance.item_as(word, "SylStructure")?;
    let syllables = utterance.iter_from(utterance.daughter(root));
    for syllable in syllables {
        for phone in utterance.iter_from(utterance.daughter(syllable)) {
            let segment = utterance.item_as(phone, "Segment")?;
            if uttered.phones.is_empty() {
                uttered.start_s = utterance
                    .prev(segment)
                    .map_or(0.0, |before| utterance.feature_f32(before, "end"));
            }
            uttered.end_s = utterance.feature_f32(segment, "end");
            uttered.phones.push(utterance.name(segment).to_owned());
        }
    }
    (!uttered.phones.is_empty()).then_some(uttered)
}
