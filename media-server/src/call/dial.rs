//! Calling somebody for a bridge: the other party's dialogs and legs.
//!
//! All targets of an attempt ring together; the first to answer wins, the others are cancelled and
//! a 200 that crosses the CANCEL gets its ACK and BYE from the dialog machine.

mod joining;
mod party;
mod seek;

use std::{collections::HashMap, sync::Arc, time::Duration};

use call_core::{
    call::{DialFailure, HandoverNews, Input, Side},
    dialing::By,
    dialplan::action::Callee,
};
use media_core::leg::{LegConfig, Mode, Negotiated};
use model::{EndReason, FactKind};
use ractor::{Actor, ActorId, ActorProcessingErr};
use sip_core::{
    dialog::{DialogEvent, DialogInput, Ended, ReferOrder, ReferRequest},
    offer_answer::{AgreedMedia, MediaAddress},
    value::Reason,
};

pub(super) use joining::{join, leg_report, unjoin};
pub(super) use party::{hands, is_ours, other, phone, tell_winner};
pub use seek::Found;
pub(super) use seek::found;

use party::{Alarm, Party, drop_party, tell};

use super::{Msg, State, asking, children, media, placing, transfer};
use crate::{
    dialog::{self, DialogActor, Origin},
    leg::{self, Hands, Leg},
    media::{SeatOptions, WireSeed},
    targets::{self, Asker, Place},
};

/// Targets one attempt may ring at once.
const MAX_TARGETS: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Dialling {
    attempt: u32,
    asker: Option<Asker>,
    ring_for: Duration,
    /// Whoever is found now is not called any more.
    given_up: bool,
    parties: HashMap<usize, Party>,
    winner: Option<usize>,
    /// The call knows of the winner.
    told: bool,
    failure: Option<DialFailure>,
    open_dialogs: usize,
    joined: bool,
}

/// The call machine alone says when a target has rung long enough, and cancels it; the dialog of a call that is not there any more gives up
/// so much later. With one limit for both it was chance whether somebody silent "did not answer" or "could not be reached".
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Begins to call all targets of one attempt.
pub(super) fn begin(
    state: &mut State,
    attempt: u32,
    (targets, by): (Vec<Callee>, By),
    ring_for: Duration,
    from: &str,
) {
    let asker = asking::asker(state, by, from);
    state.dialling.parties.clear();
    let dialling = &mut state.dialling;
    dialling.attempt = attempt;
    dialling.ring_for = ring_for;
    dialling.winner = None;
    dialling.told = false;
    dialling.failure = None;
    dialling.given_up = false;
    dialling.asker = Some(asker);
    for (target, callee) in targets.into_iter().take(MAX_TARGETS).enumerate() {
        let party = Party::of(callee.name.clone());
        state.dialling.parties.insert(target, party);
        seek::leave(state, target, callee);
    }
}

/// A place for a target was found: invite it.
async fn called(
    state: &mut State,
    target: usize,
    mut place: Place,
) -> Result<(), ActorProcessingErr> {
    let turn = place.turn.take();
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.turn = turn;
        party.phone = place.phone.take();
        party.outside = place.trunk.is_some();
    }
    match lease(state, target, &place) {
        Some(media) => invite(state, target, place, media).await?,
        None => failed(state, target, DialFailure::Failed),
    }
    Ok(())
}

fn lease(state: &mut State, target: usize, place: &Place) -> Option<MediaAddress> {
    let profile = &place.line.profile;
    let ip = profile.media_ip(&place.flow);
    let ports = profile.media_ports();
    let media = &state.services().media;
    let seat = media.seat_among(&ports, Some(ip), WireSeed::random());
    let seat = seat.ok()?;
    let local = seat.local_addr();
    state.dialling.parties.get_mut(&target)?.seat = Some(seat);
    Some(MediaAddress {
        ip: place.line.profile.announced_ip(&place.flow),
        port: local.port(),
    })
}

async fn invite(
    state: &mut State,
    target: usize,
    place: Place,
    media: MediaAddress,
) -> Result<(), ActorProcessingErr> {
    let hops_left = state.args.facing.hops_left();
    let call = place.call(media, state.dialling.ring_for + CANCEL_GRACE, hops_left);
    let attempt = state.dialling.attempt;
    let me = state.me.clone();
    let leg = children::next_leg(state);
    let services = state.services();
    let args = dialog::Args {
        origin: Origin::Inviting(Box::new(call)),
        config: place.config(),
        tokens: services.fork_tokens(),
        profile: place.line.profile.name.clone(),
        wire: place.line.wire.clone(),
        listener: place.line.listener.clone(),
        book: services.book.clone(),
        dossier: state.args.dossier.clone(),
        leg,
        clock: services.clock,
        ladder: services.ladder(),
        events: Arc::new(move |event| {
            let _ = me.cast(Msg::Outbound {
                attempt,
                target,
                event,
            });
        }),
        undelivered: None,
        hops: place.hops,
    };
    let (dialog, _) = Actor::spawn_linked(None, DialogActor, args, state.me.get_cell()).await?;
    state.dialling.open_dialogs += 1;
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.dialog = Some(dialog);
    }
    Ok(())
}

/// What a target's dialog reports.
pub(super) async fn event(
    state: &mut State,
    attempt: u32,
    target: usize,
    event: DialogEvent,
) -> Result<(), ActorProcessingErr> {
    if matches!(event, DialogEvent::Finished) {
        state.dialling.open_dialogs = state.dialling.open_dialogs.saturating_sub(1);
        return Ok(());
    }
    if attempt != state.dialling.attempt {
        return Ok(());
    }
    match event {
        DialogEvent::Ringing { .. } => rings(state, attempt, target),
        DialogEvent::Media(agreed) => launch(state, target, &agreed).await?,
        DialogEvent::Answered => answered(state, target),
        DialogEvent::Ended(end) => ended(state, target, &end),
        DialogEvent::Referred(asked) => referred(state, target, &asked),
        DialogEvent::Invited { .. }
        | DialogEvent::EarlyMedia(_)
        | DialogEvent::Confirmed
        | DialogEvent::Info { .. }
        | DialogEvent::InfoDone { .. }
        | DialogEvent::ReofferDone
        | DialogEvent::ReofferFailed { .. }
        | DialogEvent::ReferAnswered { .. }
        | DialogEvent::ReferProgress { .. }
        | DialogEvent::AckTimeout
        | DialogEvent::Finished => {}
    }
    Ok(())
}

async fn launch(
    state: &mut State,
    target: usize,
    agreed: &AgreedMedia,
) -> Result<(), ActorProcessingErr> {
    let timeouts = state.args.profile.media_timeouts();
    let as_signalled = !state.args.profile.settings.rtp.symmetric;
    let fmtp = media::heeded(state, agreed);
    let (me, cell) = (state.me.clone(), state.me.get_cell());
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return Ok(());
    };
    let (Some(seat), Some(negotiated), None) =
        (&mut party.seat, media::negotiated(agreed), &party.hands)
    else {
        return Ok(());
    };
    let config = LegConfig {
        negotiated: Negotiated { fmtp, ..negotiated },
        mode: Mode::Mute,
        ears: None,
        timeouts,
        reflex_armed: false,
        keys_in_band: state.args.profile.keys_in_band(),
    };
    let options = SeatOptions {
        ear_batch: 1,
        recording: None,
        as_signalled,
    };
    let Ok(rings) = seat.seat(config, options) else {
        return Ok(());
    };
    let hands = Hands::new(rings.control, rings.events);
    party.hands = Some(hands.clone());
    let reports: leg::Reports = Arc::new(move |report| drop(me.cast(Msg::OtherLeg(report))));
    let (leg, _) = Actor::spawn_linked(None, Leg, leg::Args { hands, reports }, cell).await?;
    party.leg = Some(leg);
    tell_answered(state);
    Ok(())
}

/// Told once for each target.
fn rings(state: &mut State, attempt: u32, target: usize) {
    let party = state.dialling.parties.get_mut(&target);
    let news = party.is_some_and(|party| !std::mem::replace(&mut party.rang, true));
    if news {
        attempted(state, target, "ringing", Some(180));
    }
    state.inbox.push_back(Input::DialRinging { attempt });
}

fn answered(state: &mut State, target: usize) {
    if state.dialling.winner.is_some() {
        return part_with(state, target, elsewhere());
    }
    attempted(state, target, "answered", Some(200));
    state.dialling.winner = Some(target);
    limit(state, target);
    let others: Vec<usize> = state.dialling.parties.keys().copied().collect();
    for other in others.into_iter().filter(|other| *other != target) {
        part_with(state, other, elsewhere());
    }
    tell_answered(state);
}

/// Whoever answered can be joined once it is agreed what he sends; only then the call is told.
fn tell_answered(state: &mut State) {
    let dialling = &mut state.dialling;
    let winner = dialling.winner.filter(|_| !dialling.told);
    let party = winner.and_then(|winner| dialling.parties.get(&winner));
    let Some(party) = party.filter(|party| party.hands.is_some()) else {
        return;
    };
    let (attempt, target) = (dialling.attempt, party.name.clone());
    dialling.told = true;
    state
        .inbox
        .push_back(Input::DialAnswered { attempt, target });
}

/// No leg lasts longer than the rules say.
fn limit(state: &mut State, target: usize) {
    let (me, attempt) = (state.me.clone(), state.dialling.attempt);
    let Some(party) = state.dialling.parties.get_mut(&target) else {
        return;
    };
    let longest = party.longest;
    party.alarm = Some(Alarm(tokio::spawn(async move {
        tokio::time::sleep(longest).await;
        let _ = me.cast(Msg::TooLong { attempt, target });
    })));
}

/// A leg has lasted as long as it may: it ends, and with it the call.
pub(super) fn too_long(state: &mut State, attempt: u32, target: usize) {
    if attempt == state.dialling.attempt {
        hang_up(state, target);
        state
            .inbox
            .push_back(Input::Handover(HandoverNews::TooLong));
    }
}

fn hang_up(state: &State, target: usize) {
    part_with(state, target, Reason::q850(16, "normal call clearing"));
}

/// Somebody else has the call: a phone that stops ringing for that has missed nothing (RFC 3326 §2).
pub(super) fn elsewhere() -> Reason {
    Reason::sip(200, "Call completed elsewhere")
}

fn part_with(state: &State, target: usize, reason: Reason) {
    let party = state.dialling.parties.get(&target);
    if let Some(dialog) = party.and_then(|party| party.dialog.as_ref()) {
        let reason = Some(reason);
        let input = Box::new(DialogInput::Hangup { reason });
        let _ = dialog.cast(dialog::Msg::Input(input));
    }
}

fn ended(state: &mut State, target: usize, end: &Ended) {
    if state.dialling.winner == Some(target) {
        state.dialling.winner = None;
        state.dialling.joined = false;
        if !std::mem::take(&mut state.dialling.told) {
            let (_, _, reason) = placing::outcome(end, true);
            return failed(state, target, failure_of(reason));
        }
        drop_party(state, target);
        if !transfer::gone_ahead(state, Side::Callee) {
            state.inbox.push_back(Input::BridgeEnded);
        }
        return;
    }
    // Whom we have hung up on has had his say.
    let over = state.dialling.parties.get(&target).is_some_and(|p| p.over);
    if over || seek::goes_on(state, target, end) {
        return;
    }
    let rang = state.dialling.parties.get(&target).is_some_and(|p| p.rang);
    let (status, _, reason) = placing::outcome(end, rang);
    attempted(state, target, reason.as_str(), status);
    failed(state, target, failure_of(reason));
}

/// What the plan or the agent is told of a target that did not answer.
fn failure_of(reason: EndReason) -> DialFailure {
    match reason {
        EndReason::Busy => DialFailure::Busy,
        EndReason::NoAnswer | EndReason::Unavailable | EndReason::Cancelled => {
            DialFailure::NoAnswer
        }
        EndReason::Capacity => DialFailure::Full,
        EndReason::Forbidden => DialFailure::Forbidden,
        EndReason::NotFound => DialFailure::NotFound,
        _ => DialFailure::Failed,
    }
}

/// What came of one target, for the record.
fn attempted(state: &State, target: usize, outcome: &str, sip_code: Option<u16>) {
    let party = state.dialling.parties.get(&target);
    let name = party.map(|party| party.name.clone()).unwrap_or_default();
    state.dossier().write(FactKind::TransferAttempt {
        target: name,
        outcome: outcome.to_owned(),
        sip_code,
    });
}

/// Whom we called wants to hand the call on. Only who has the call may.
fn referred(state: &mut State, target: usize, asked: &ReferRequest) {
    if state.dialling.winner == Some(target) {
        return transfer::asked(state, Side::Callee, asked);
    }
    if let Some(party) = state.dialling.parties.get(&target) {
        tell(party, DialogInput::AnswerRefer { status: 603 });
    }
}

/// Asks the far side of our own leg to call somebody itself. That too is a call that the rules
/// allow or not.
pub(super) fn refer(state: &mut State, callee: &Callee, by: By) {
    let asker = asking::asker(state, by, &state.parties().from.clone());
    let address = targets::address(state.services(), &asker, &callee.name, callee.digits);
    let status = match address {
        Ok(Some(to)) => {
            let order = ReferOrder {
                to,
                referred_by: None,
            };
            return children::dialog_input(state, DialogInput::Refer(Box::new(order)));
        }
        // Nobody else can dial it: for the machine that is a refusal like the far side's own.
        Ok(None) => 501,
        Err(no) => {
            tracing::info!(call_id = %state.dossier().call(), why = no.why, "no REFER");
            no.status
        }
    };
    let refused = HandoverNews::ReferAnswered { status };
    state.inbox.push_back(Input::Handover(refused));
}

/// One target came to nothing; when it was the last, the attempt did.
fn failed(state: &mut State, target: usize, failure: DialFailure) {
    drop_party(state, target);
    let dialling = &mut state.dialling;
    dialling.failure = Some(failure.or(dialling.failure));
    let all_over = dialling.parties.values().all(|party| party.over);
    if let (true, None, Some(failure)) = (all_over, dialling.winner, dialling.failure) {
        let attempt = dialling.attempt;
        state
            .inbox
            .push_back(Input::DialFailed { attempt, failure });
    }
}

/// Gives up the attempt.
pub(super) fn cancel(state: &mut State) {
    state.dialling.given_up = true;
    let targets: Vec<usize> = state.dialling.parties.keys().copied().collect();
    for target in targets {
        hang_up(state, target);
    }
}

/// An actor of the other party broke: the bridge ends.
pub(super) fn child_failed(state: &mut State, who: ActorId, why: &str) {
    let mine = |party: &Party| {
        let dialog = party.dialog.as_ref().is_some_and(|d| d.get_id() == who);
        dialog || party.leg.as_ref().is_some_and(|l| l.get_id() == who)
    };
    let target = state.dialling.parties.iter().find(|(_, party)| mine(party));
    let Some(target) = target.map(|(target, _)| *target) else {
        return;
    };
    tracing::error!(call_id = %state.dossier().call(), why, "the other party's actor broke");
    state.dialling.open_dialogs = state.dialling.open_dialogs.saturating_sub(1);
    if state.dialling.winner == Some(target) {
        unjoin(state);
        state.inbox.push_back(Input::BridgeEnded);
    } else {
        failed(state, target, DialFailure::Failed);
    }
}

/// Whether every dialog we made has said its last word.
pub(super) fn is_quiet(state: &State) -> bool {
    state.dialling.open_dialogs == 0
}
