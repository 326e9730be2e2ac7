//! A recogniser of the test's own: which words are in a piece of sound.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{path::Path, sync::Arc};

use local_speech::{
    Cancel, DecodeKind, DecodeRequest, Models, Pool, PoolConfig, UtteranceId, halfband::Up2,
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
