//! What the office orders a live call to do: first into the journal, then done.

use call_core::call::{Input, KillCause, RecordingNews};
use media_core::{dtmf::Digits, leg::Command as LegCommand};
use model::{
    FactKind, PauseBy, TenantId,
    command::{Command, CommandAction, Outcome},
};
use tokio::sync::oneshot;

use super::{Msg, State, floor, handing, media, speech, tags::Origin};

/// An order for this call, and who wants to know what came of it.
pub struct LiveOrder {
    /// The order.
    pub command: Command,
    /// Told once.
    pub reply: oneshot::Sender<Outcome>,
}

/// Writes it down; a killed switch must not leave it in doubt whether it was begun.
pub(super) fn keep(state: &State, order: Box<LiveOrder>) {
    let action = match &order.command.action {
        CommandAction::Dial(_) => "dial",
        CommandAction::Hangup => "hangup",
        CommandAction::Transfer(_) => "transfer",
        CommandAction::Dtmf { .. } => "dtmf",
        CommandAction::Say { .. } => "say",
        CommandAction::Message { .. } => "message",
        CommandAction::Recording { pause: true } => "pause_recording",
        CommandAction::Recording { pause: false } => "resume_recording",
    };
    let written = state.dossier().write_through(FactKind::Commanded {
        command: order.command.id,
        action: action.into(),
    });
    let me = state.me.clone();
    tokio::spawn(async move {
        let kept = written.await.is_ok();
        let _ = me.cast(Msg::OrderKept(order, kept));
    });
}

/// Does it.
pub(super) fn carry_out(state: &mut State, order: LiveOrder, kept: bool) {
    let LiveOrder { command, reply } = order;
    let done = match kept {
        true => act(state, command.tenant, command.action),
        false => Err("the journal has no room".to_owned()),
    };
    let _ = reply.send(match done {
        Ok(()) => Outcome::Done,
        Err(why) => Outcome::Refused { why },
    });
}

fn act(state: &mut State, tenant: TenantId, action: CommandAction) -> Result<(), String> {
    if state.over {
        return Err("the call is over".into());
    }
    match action {
        CommandAction::Hangup => state.inbox.push_back(Input::Kill(KillCause::Operator)),
        CommandAction::Dtmf { digits } => return keys(state, &digits),
        CommandAction::Say { text, interrupt } => return say(state, text, interrupt),
        CommandAction::Message { text } => return floor::hint(state, text),
        CommandAction::Recording { pause } => return record(state, pause),
        CommandAction::Transfer(order) => {
            return handing::want(state, tenant, &order.name, order.plan);
        }
        CommandAction::Dial(_) => return Err("the call has been placed".into()),
    }
    Ok(())
}

fn record(state: &mut State, pause: bool) -> Result<(), String> {
    if !state.machine.is_recording() {
        return Err("the call is not being recorded".into());
    }
    let news = RecordingNews::Pause(PauseBy::Operator, pause);
    state.inbox.push_back(Input::Recording(news));
    Ok(())
}

fn keys(state: &State, digits: &str) -> Result<(), String> {
    if !state.media.is_up() {
        return Err("the call has no sound yet".into());
    }
    let digits = Digits::parse(digits).map_err(|error| error.to_string())?;
    media::command(state, LegCommand::SendDigits(digits));
    Ok(())
}

fn say(state: &mut State, text: String, interrupt: bool) -> Result<(), String> {
    if !state.media.is_up() {
        return Err("the call has no sound yet".into());
    }
    if interrupt {
        speech::cut(state);
    }
    let origin = Origin::Order(state.speech.tags.newest().0 + 1);
    let voice = floor::voice(state);
    speech::speak(state, origin, text, voice, true);
    Ok(())
}
