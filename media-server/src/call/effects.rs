//! Where the call machine's decisions become deeds: one arm per effect.

use call_core::{
    call::{Effect, Ending, Input},
    dialplan::action::AgentSource,
};
use ractor::ActorProcessingErr;
use sip_core::{
    dialog::{DialogInput, Refusal},
    value::Reason,
};

use super::{
    State, attest, children, dial, ears, facts, floor, handing, hold, media, placing, prompts,
    room, speech, transfer,
};

/// Carries out one effect. Effects that want sound wait until the leg is there.
pub(super) async fn carry_out(state: &mut State, effect: Effect) -> Result<(), ActorProcessingErr> {
    if media::must_wait(state, &effect) {
        state.waiting.push_back(effect);
        return Ok(());
    }
    match effect {
        Effect::Lookup { number } => floor::lookup(state, &number),
        Effect::Attest => attest::look(state),
        Effect::Journal(fact) => facts::journal(state, fact),
        Effect::Place { ring_for } => placing::place(state, ring_for),
        Effect::Ring => children::dialog_input(state, DialogInput::Ring),
        Effect::EarlyMedia => media::progress(state),
        Effect::Answer => media::answer(state),
        Effect::Reject {
            status,
            q850,
            reason,
            retry_after_s,
        } => reject(state, (status, q850), reason.as_deref(), retry_after_s),
        Effect::Hangup { q850 } => hang_up(state, q850),
        Effect::PrepareAgent { agent } => floor::prepare(state, agent).await?,
        Effect::StartAgent { agent, start } => floor::start(state, agent, start).await?,
        Effect::StopAgent => floor::stop(state),
        Effect::AgentDigit { digit } => floor::digit(state, digit),
        Effect::Play {
            tag,
            source,
            repeat,
        } => prompts::play(state, tag, &source, repeat),
        Effect::Say { tag, text, voice } => speech::say(state, tag, &text, voice),
        Effect::StopPlayout => speech::cut(state),
        Effect::Record(spec) => media::record(state, &spec),
        Effect::StopRecord => media::tell_leg(state, crate::leg::Msg::StopRecording),
        Effect::DropRecord => media::drop_record(state),
        Effect::PauseRecord { silent, by } => media::pause_record(state, silent, by),
        Effect::Withhold(withheld) => {
            state.dossier().withhold(withheld, state.media.now_ms());
        }
        Effect::HearAnswer(on) => ears::hear_answer(state, on),
        Effect::Mask(masked) => speech::mask(state, masked),
        Effect::Hold(held) => hold::set(state, held),
        Effect::Mode(mode) => media::mode(state, &mode),
        Effect::Dial {
            attempt,
            targets,
            by,
            ring_for,
            from,
        } => dial::begin(state, attempt, (targets, by), ring_for, &from),
        Effect::Refer { to, by } => dial::refer(state, &to, by),
        Effect::HoldAgent => floor::hold(state),
        Effect::ResumeAgent { end } => handing::resume(state, end).await?,
        Effect::CancelDial { .. } => dial::cancel(state),
        Effect::Join { .. } => dial::join(state),
        Effect::EnterRoom {
            room,
            seats,
            entry,
            whose,
        } => room::enter(state, &room, (seats, entry), whose),
        Effect::CloseLeg => media::leave(state),
        Effect::LeaveRoom => room::leave(state),
        Effect::Unjoin => dial::unjoin(state),
        Effect::Log { text } => log(state, &text),
        Effect::CloseMedia => media::close(state),
        Effect::Ended(ending) => end(state, &ending),
    }
    Ok(())
}

/// The leg has been launched: what waited for it.
pub(super) async fn carry_out_waiting(state: &mut State) -> Result<(), ActorProcessingErr> {
    while let Some(effect) = state.waiting.pop_front() {
        Box::pin(carry_out(state, effect)).await?;
    }
    Ok(())
}

/// What an operator's line says may be what the caller said.
fn log(state: &State, text: &str) {
    let text = match state.dossier().withholds() {
        true => crate::dossier::WITHHELD,
        false => text,
    };
    tracing::info!(call_id = %state.dossier().call(), "{text}");
}

fn reject(
    state: &State,
    (status, q850): (u16, u8),
    reason: Option<&str>,
    retry_after_s: Option<u32>,
) {
    let mut refusal = Refusal::new(status).because(because(q850));
    refusal.retry_after_s = retry_after_s;
    if let Some(text) = reason {
        tracing::info!(call_id = %state.dossier().call(), status, "rejected: {text}");
    }
    refusal.phrase = reason.map(str::to_owned);
    children::dialog_input(state, DialogInput::Reject(refusal));
}

/// RFC 3326.
fn because(q850: u8) -> Reason {
    Reason::q850(q850.into(), model::cause::q850_text(q850))
}

fn hang_up(state: &State, q850: u8) {
    let reason = because(q850);
    placing::forks::give_up(state, &reason);
    let reason = Some(reason);
    children::dialog_input(state, DialogInput::Hangup { reason });
}

fn end(state: &mut State, ending: &Ending) {
    speech::finish(state);
    transfer::call_over(state);
    let (reason, q850) = (ending.reason, Some(ending.q850));
    state.dossier().end(reason, ending.sip_status, q850);
    placing::over(state);
    let call = state.dossier().call();
    state.services().calls.remove(call);
    state.over = true;
    floor::stop(state);
    media::drop_seat(state);
}

/// Whether an agent source hears through the leg's recogniser tap.
pub(super) fn listens(agent: &AgentSource) -> bool {
    match agent {
        AgentSource::Named(_) | AgentSource::Listen => true,
        AgentSource::Stub | AgentSource::StubLocal => false,
    }
}

/// The machine's name for "it cannot be done".
pub(super) fn agent_failed(state: &mut State, reason: impl Into<String>) {
    let reason = reason.into();
    state.inbox.push_back(Input::AgentFailed { reason });
}
