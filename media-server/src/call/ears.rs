//! What the call hears: from the hearing task to the ledger and the Brain.

use std::sync::Arc;

use call_core::{
    brain::BrainInput,
    call::{Input, RecordingNews},
};
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

/// For a transcript: utterances close after a long silence, so that words keep their context.
pub(super) fn listen_config() -> EarsConfig {
    EarsConfig {
        merge_ms: 700,
        partial_ms: 0,
        ..EarsConfig::default()
    }
}

/// For a conversation: the agent's turn machine decides how long to wait.
pub(super) fn agent_config() -> EarsConfig {
    EarsConfig {
        merge_ms: 1_200,
        ..EarsConfig::default()
    }
}

/// The turn was taken: later speech is a new utterance.
pub(super) fn close_utterance(state: &State) {
    tell(state, Command::Close);
}

/// Nothing is recognised while secrets are entered.
pub(super) fn mask(state: &State, masked: bool) {
    tell(state, Command::Mask(masked));
}

/// The caller's next words are an answer to the call itself, or no longer. Without a recogniser he has his keys.
pub(super) fn hear_answer(state: &mut State, on: bool) {
    state.speech.asking = on;
    if !on {
        state.speech.deaf_until_ms = state.media.now_ms();
        return close_utterance(state);
    }
    if state.services().models.is_some() && floor::is_heard_through_ears(state) {
        media::listen(state, media_core::frame::Rate::Hz16000);
        let provider = floor::stt_provider(state);
        open(state, &provider, agent_config());
    }
}

/// Whether a report is of words for the agent: not of an answer, nor of what began before it was over.
fn is_for_the_agent(state: &State, report: &Report) -> bool {
    let since = match report {
        Report::SpeechStarted { at_ms }
        | Report::SpeechEnded { at_ms, .. }
        | Report::Partial { at_ms, .. }
        | Report::Closed { start_ms: at_ms } => *at_ms,
        Report::Final(said) => said.start_ms,
        Report::Trouble { .. } | Report::Failed { .. } | Report::Over => {
            return !state.speech.asking;
        }
    };
    !state.speech.asking && since >= state.speech.deaf_until_ms
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
    if let Report::Final(said) = &report {
        let said = RecordingNews::Said(said.text.clone());
        state.inbox.push_back(Input::Recording(said));
    }
    match report {
        Report::Over => over(state),
        report if is_for_the_agent(state, &report) => heard(state, report),
        _ => {}
    }
}

fn over(state: &mut State) {
    state.hearing = None;
    media::when_closed(state);
    speech::drain(state);
}

fn heard(state: &mut State, report: Report) {
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
        Report::Trouble { error } => state.dossier().write(FactKind::ProviderTrouble {
            role: "stt".into(),
            provider: error.provider,
            what: error.why,
        }),
        Report::Failed { why } => {
            state.dossier().write(FactKind::ProviderTrouble {
                role: "stt".into(),
                provider: floor::stt_provider(state),
                what: why.clone(),
            });
            floor::feed(state, BrainInput::EarsFailed { why });
        }
        Report::Over => {}
    }
    speech::drain(state);
}
