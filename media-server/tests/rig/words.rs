//! A recogniser of the test's own: which words are in a piece of sound.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{path::Path, sync::Arc};

use egress::{Egress, EgressConfig};
use local_speech::{
    Cancel, DecodeKind, DecodeRequest, Models, Pool, PoolConfig, UtteranceId, Voices, VoicesConfig,
    halfband::Up2,
};
use model::agent::VoiceConfig;
use providers::{
    Fakes, Providers, Shared,
    tts::{SpeakRequest, SpeechEvent},
};

/// See the module.
pub struct Words(Pool);

impl Words {
    /// `None` where the local models are not installed.
    pub fn open(models: &Path) -> Option<Self> {
        let models = Models::open(models).ok()?;
        let config = PoolConfig {
            threads: 1,
            ..PoolConfig::default()
        };
        Some(Self(Pool::start(models, config).unwrap()))
    }

    /// The words of 8 kHz sound, at most about 25 s of it.
    pub async fn hear(&self, pcm: &[i16]) -> String {
        let mut padded = vec![0; 1_600];
        padded.extend_from_slice(pcm);
        padded.extend([0; 1_600]);
        let mut wide = Vec::new();
        Up2::default().push(&padded, &mut wide);
        let audio: Arc<[f32]> = wide.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        let length_ms = audio.len() as u64 / 16;
        let request = DecodeRequest {
            utterance: UtteranceId(1),
            pass: 1,
            kind: DecodeKind::Final,
            audio,
            start_ms: 0,
            end_ms: length_ms,
            speech_ms: u32::try_from(length_ms).unwrap(),
        };
        let outcome = self.0.transcribe(request, &Cancel::new()).unwrap().await;
        outcome.unwrap().unwrap().text
    }
}

/// What the local voice makes of a text, piece after piece, as the agent's mouth renders it.
pub async fn render(pieces: &[String]) -> Vec<i16> {
    let shared = Shared {
        egress: Egress::new(EgressConfig::default()).unwrap(),
        pool: None,
        voices: Some(Voices::start(VoicesConfig::default()).unwrap()),
        fakes: Fakes::default(),
    };
    let voice = VoiceConfig::default();
    let tts = Providers::new(&shared, &[]).unwrap().tts(&voice.provider);
    let tts = tts.unwrap();
    let mut pcm = Vec::new();
    for text in pieces {
        let request = SpeakRequest {
            text: text.clone(),
            voice: voice.name.clone(),
            rate: voice.rate,
        };
        let mut speech = tts.speak(request).unwrap();
        while let Some(event) = speech.next().await {
            match event {
                SpeechEvent::Audio(more) => pcm.extend_from_slice(&more),
                SpeechEvent::Failed(error) => panic!("{error}"),
                SpeechEvent::Plan(_) | SpeechEvent::Trouble(_) | SpeechEvent::Done => {}
            }
        }
    }
    pcm
}
