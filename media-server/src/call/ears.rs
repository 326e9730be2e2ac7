//! What the call hears: from the hearing task to the ledger and the Brain.

use std::sync::Arc;

use call_core::brain::BrainInput;
use local_speech::EarsConfig;
use model::FactKind;

use super::{Msg, State, floor, media, speech};
use crate::hearing::{self, Command, Hearing, Report};

/// Begins to listen on the leg's recogniser ring, with the recogniser of this name.
pub(super) fn open(state: &mut State, provider: &str, config: EarsConfig) {
    if state.hearing.as_ref().is_some() {
        return;
    }
    let services = state.services().clone();
    let (Some(models), Ok(stt)) = (services.models.clone(), services.providers.stt(provider))
    else {
        let why = format!("the recogniser '{provider}' is not there (run scripts/models)");
        return report(state, Report::Failed { why });
    };
    let Some(frames) = state.media.ears.take() else {
        return;
    };
    let me = state.me.clone();
    let reports: hearing::Reports = Arc::new(move |report| drop(me.cast(Msg::Hearing(report))));
    let args = hearing::Args {
        frames,
        models,
        stt,
        config,
        reports,
    };
    let hearing = Hearing::open(&services.ears, args);
    state.hearing = Some(hearing);
}

/// The turn was taken: later speech is a new utterance.
pub(super) fn close_utterance(state: &State) {
    tell(state, Command::Close);
}

/// Nothing is recognised while secrets are entered.
pub(super) fn mask(state: &State, masked: bool) {
    tell(state, Command::Mask(masked));
}

/// Whether words of the caller may still come.
pub(super) fn listen_on(state: &State) -> bool {
    state.hearing.is_some()
}

fn tell(state: &State, command: Command) {
    if let Some(hearing) = state.hearing.as_ref() {
        hearing.tell(command);
    }
}

/// What the hearing reports.
pub(super) fn report(state: &mut State, report: Report) {
    match report {
        Report::SpeechStarted { at_ms } => floor::feed(state, BrainInput::SpeechStarted { at_ms }),
        Report::SpeechEnded { at_ms, speech_ms } => {
            floor::feed(state, BrainInput::SpeechEnded { at_ms, speech_ms });
        }
        Report::Partial { at_ms, text } => floor::feed(state, BrainInput::Partial { at_ms, text }),
        Report::Final(said) => {
            state.speech.ledger.caller(&said);
            floor::feed(state, BrainInput::Final(said));
        }
        Report::Closed { start_ms } => state.speech.ledger.caller_closed(start_ms),
        Report::Failed { why } => {
            state.dossier().write(FactKind::ProviderTrouble {
                role: "stt".into(),
                provider: floor::stt_provider(state),
                what: why.clone(),
            });
            floor::feed(state, BrainInput::EarsFailed { why });
        }
        Report::Over => {
            state.hearing = None;
            media::when_closed(state);
        }
    }
    speech::drain(state);
}
