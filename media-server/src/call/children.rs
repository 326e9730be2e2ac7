//! The actors a Call supervises, and what it does when one of them breaks.

use std::sync::Arc;

use call_core::{
    call::{HandoverNews, Input, LineNews, Side, Unusable},
    digits::{DigitEvent, Via},
};
use model::FactKind;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::dialog::{DialogEvent, DialogId, DialogInput, EndCause, Ended, EndedBy};

use super::{Msg, State, dial, floor, media, placing, refused_by_dialog, speech, transfer};
use crate::dialog::{self, DialogActor, Origin};

/// A dialog that broke so often is not rebuilt again.
const DIALOG_RESTARTS: u8 = 3;

/// See the module. The Leg is with [`super::media::Media`], the Agent with [`super::floor`].
#[derive(Default)]
pub(super) struct Children {
    dialog: Option<ActorRef<dialog::Msg>>,
    dialog_args: Option<dialog::Args>,
    dialog_id: Option<DialogId>,
    dialog_restarts: u8,
    dialog_over: bool,
    /// Dialogs so far: each has a number of its own, in the journal too, where the last word of an old one must not be taken for a new one's.
    legs: u8,
}

/// The number of the next dialog; the first is our own leg's.
pub(super) fn next_leg(state: &mut State) -> u8 {
    let leg = state.children.legs;
    state.children.legs = leg.wrapping_add(1);
    leg
}

/// Spawns the dialog that answers the INVITE.
pub(super) async fn answer_invite(state: &mut State) -> Result<(), ActorProcessingErr> {
    let Some(invite) = state.args.facing.invite() else {
        return Ok(());
    };
    let me = state.me.clone();
    let events: dialog::Events = Arc::new(move |event| drop(me.cast(Msg::Dialog(event))));
    let origin = Origin::Invited(Box::new(invite.clone()));
    let config = state.args.profile.dialog_config(&invite.flow);
    let leg = next_leg(state);
    let services = state.services();
    let args = dialog::Args {
        origin,
        config,
        tokens: services.fork_tokens(),
        profile: state.args.profile.name.clone(),
        wire: state.args.wire.clone(),
        listener: state.args.listener.clone(),
        book: services.book.clone(),
        dossier: state.args.dossier.clone(),
        leg,
        clock: services.clock,
        ladder: services.ladder(),
        events,
        undelivered: None,
        hops: None,
    };
    spawn_dialog(state, args).await
}

async fn spawn_dialog(state: &mut State, args: dialog::Args) -> Result<(), ActorProcessingErr> {
    let cell = state.me.get_cell();
    let (dialog, _) = Actor::spawn_linked(None, DialogActor, args.clone(), cell).await?;
    adopt(state, dialog, args);
    Ok(())
}

/// This is our own leg's dialog from now on.
pub(super) fn adopt(state: &mut State, dialog: ActorRef<dialog::Msg>, args: dialog::Args) {
    let call = state.dossier().call();
    state.children.dialog_id = state.services().book.id_of(call, &dialog);
    state.children.dialog_args = Some(args);
    state.children.dialog = Some(dialog);
    state.children.dialog_over = false;
}

/// Tells our leg's dialog.
pub(super) fn tell_dialog(state: &State, msg: dialog::Msg) {
    if let Some(dialog) = &state.children.dialog {
        let _ = dialog.cast(msg);
    }
}

/// An input for our leg's dialog.
pub(super) fn dialog_input(state: &State, input: DialogInput) {
    tell_dialog(state, dialog::Msg::Input(Box::new(input)));
}

/// Whether this is our own leg's dialog.
pub(super) fn is_own(state: &State, dialog: ActorId) -> bool {
    let own = state.children.dialog.as_ref();
    own.is_some_and(|own| own.get_id() == dialog)
}

/// What our leg's dialog reports.
pub(super) async fn dialog_event(
    state: &mut State,
    event: DialogEvent,
) -> Result<(), ActorProcessingErr> {
    if placing::event(state, &event) {
        return Ok(());
    }
    match event {
        DialogEvent::Invited { .. } => transfer::invited(state),
        DialogEvent::Media(agreed) => media::agreed(state, &agreed).await?,
        DialogEvent::Confirmed => state.inbox.push_back(Input::Acknowledged),
        DialogEvent::Info { content_type, body } => info(state, &content_type, &body),
        DialogEvent::AckTimeout => state.inbox.push_back(Input::AckTimeout),
        DialogEvent::Ended(ended) => dialog_ended(state, &ended),
        DialogEvent::Finished => {
            state.children.dialog = None;
            state.children.dialog_over = true;
        }
        DialogEvent::ReferAnswered { status } => {
            let news = HandoverNews::ReferAnswered { status };
            state.inbox.push_back(Input::Handover(news));
        }
        DialogEvent::ReferProgress { status, last } => {
            let news = HandoverNews::ReferProgress { status, last };
            state.inbox.push_back(Input::Handover(news));
        }
        DialogEvent::Referred(asked) => transfer::asked(state, Side::Caller, &asked),
        DialogEvent::Answered
        | DialogEvent::Ringing { .. }
        | DialogEvent::EarlyMedia(_)
        | DialogEvent::InfoDone { .. }
        | DialogEvent::ReofferDone
        | DialogEvent::ReofferFailed { .. } => {}
    }
    Ok(())
}

fn dialog_ended(state: &mut State, ended: &Ended) {
    if !state.begun {
        return refused_by_dialog(state, ended.status);
    }
    if let (EndedBy::Remote, Some(q850)) = (ended.by, far_cause(ended)) {
        state.inbox.push_back(Input::Line(LineNews::Cause { q850 }));
    }
    match (&ended.by, &ended.cause) {
        (_, EndCause::Cancelled) => state.inbox.push_back(Input::Cancelled),
        (_, EndCause::NoAck) => state.inbox.push_back(Input::AckTimeout),
        (_, EndCause::SessionExpired) => {
            state.inbox.push_back(Input::Line(LineNews::Expired));
        }
        (_, EndCause::NoMedia) => state.inbox.push_back(Input::Unusable(Unusable::BadOffer)),
        (EndedBy::Remote, _) if transfer::gone_ahead(state, Side::Caller) => {}
        (EndedBy::Remote, _) => state.inbox.push_back(Input::RemoteBye),
        (EndedBy::Timeout | EndedBy::Transport, _) => state.inbox.push_back(Input::TransportLost),
        (EndedBy::Local, _) => {}
    }
}

/// The Q.850 cause in the far side's Reason header (RFC 3326).
pub(super) fn far_cause(ended: &Ended) -> Option<u8> {
    let reason = ended.reason.as_ref()?;
    let q850 = reason.protocol.eq_ignore_ascii_case("Q.850");
    let cause = reason.cause.filter(|_| q850)?;
    u8::try_from(cause)
        .ok()
        .filter(|cause| (1..128).contains(cause))
}

/// RFC 6086 digits in the two spellings of the field: `application/dtmf-relay` and
/// `application/dtmf`.
fn info(state: &mut State, content_type: &[u8], body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let kind = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let digit = match kind.split(';').next().map(str::trim) {
        Some("application/dtmf-relay") => relay_digit(&text),
        Some("application/dtmf") => text.trim().chars().next(),
        _ => None,
    };
    let known = digit.map(|d| d.to_ascii_uppercase());
    let known = known.filter(|d| matches!(d, '0'..='9' | '*' | '#' | 'A'..='D'));
    if let Some(digit) = known {
        let via = Via::Info;
        speech::digit(state, DigitEvent { digit, via });
    }
}

fn relay_digit(text: &str) -> Option<char> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("signal"))?;
    value.trim().chars().next()
}

/// One of our actors panicked.
pub(super) async fn failed(
    state: &mut State,
    who: ActorId,
    why: &str,
) -> Result<(), ActorProcessingErr> {
    let is_dialog = state
        .children
        .dialog
        .as_ref()
        .is_some_and(|d| d.get_id() == who);
    if is_dialog {
        dialog_failed(state, why).await
    } else if media::is_leg(state, who) {
        media::leg_failed(state, why).await
    } else if floor::is_agent(state, who) {
        floor::agent_failed(state, why).await
    } else {
        if !placing::forks::broke(state, who) {
            dial::child_failed(state, who, why);
        }
        Ok(())
    }
}

/// Builds the successor from the last seed: the call goes on, the wire gets what it is owed.
async fn dialog_failed(state: &mut State, why: &str) -> Result<(), ActorProcessingErr> {
    restarted(state, "dialog");
    let id = state.children.dialog_id.as_ref();
    let seed = id.and_then(|id| state.services().book.seed(id));
    let args = state.children.dialog_args.clone();
    state.children.dialog_restarts += 1;
    let (Some(seed), Some(mut args)) = (seed, args) else {
        return lose_dialog(state);
    };
    if state.children.dialog_restarts > DIALOG_RESTARTS {
        return lose_dialog(state);
    }
    let why = why.to_owned();
    state.dossier().write(FactKind::DialogRestarted { why });
    // The machine that broke may have used up some of its tokens: never the same branch twice.
    args.tokens = state.services().fork_tokens();
    args.origin = Origin::Resumed(Box::new(seed));
    spawn_dialog(state, args).await
}

fn lose_dialog(state: &mut State) -> Result<(), ActorProcessingErr> {
    if let Some(id) = state.children.dialog_id.take() {
        state.services().book.remove(&id);
    }
    state.children.dialog = None;
    state.children.dialog_over = true;
    state.inbox.push_back(Input::TransportLost);
    Ok(())
}

/// Counts a restart.
pub(super) fn restarted(state: &State, actor: &str) {
    let restarts = &state.services().metrics.restarts;
    restarts.with_label_values(&[actor]).inc();
}

/// The record is filed and no dialog has anything left to say: the Call may go.
pub(super) fn leave_when_done(state: &State) {
    let own_is_over = state.children.dialog.is_none() || state.children.dialog_over;
    let others_are = dial::is_quiet(state) && placing::forks::are_quiet(state);
    if state.over && own_is_over && others_are {
        state.me.stop(None);
    }
}
