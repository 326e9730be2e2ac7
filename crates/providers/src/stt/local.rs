//! The recogniser of this machine.

use std::sync::Arc;

use local_speech::{Cancel, DecodeKind, DecodeRequest, Pool, UtteranceId};

use super::{HearKind, HearRequest, Heard, Hearing, Stt, SttSpec};
use crate::{Class, ProviderError};

pub(super) const NAME: &str = "local";

/// The row of the table.
pub const SPEC: SttSpec = SttSpec {
    kind: NAME,
    built_in: true,
    open: |shared, _| match &shared.pool {
        Some(pool) => Ok(Arc::new(LocalStt(pool.clone()))),
        None => Err(failed("this process has no local recogniser")),
    },
};

fn failed(why: &str) -> ProviderError {
    ProviderError::new(NAME, Class::FailOver, why)
}

/// See the module.
pub struct LocalStt(Pool);

impl Stt for LocalStt {
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        let cancel = Cancel::new();
        let decode = DecodeRequest {
            utterance: UtteranceId(0),
            pass: 0,
            kind: match request.kind {
                HearKind::Partial => DecodeKind::Partial,
                HearKind::Final => DecodeKind::Final,
            },
            audio: request.audio,
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            speech_ms: request.speech_ms,
        };
        let outcome = self
            .0
            .transcribe(decode, &cancel)
            .map_err(|error| ProviderError::from_speech(NAME, &error))?;
        let guard = CancelOnDrop(cancel);
        Ok(Hearing::new(async move {
            let outcome = outcome.await;
            drop(guard);
            let transcript = outcome
                .map_err(|_| failed("the recogniser's threads are gone"))?
                .map_err(|error| ProviderError::from_speech(NAME, &error))?;
            Ok(Heard {
                text: transcript.text,
                confidence: Some(transcript.confidence),
                troubles: Vec::new(),
            })
        }))
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
