//! Calling somebody for a bridge: the other party's dialogs and legs.
//!
//! All targets of an attempt ring together; the first to answer wins, the others are cancelled and
//! a 200 that crosses the CANCEL gets its ACK and BYE from the dialog machine.

use std::{collections::HashMap, sync::Arc, time::Duration};

use call_core::call::{DialFailure, Input};
use media_core::leg::{LegConfig, Mode};
use model::FactKind;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::{
    dialog::{DialogConfig, DialogEvent, DialogInput, EndCause, Ended, OutboundCall},
    flow::Flow,
    locate::Wanted,
    offer_answer::{AgreedMedia, MediaAddress},
    value::{NameAddr, Reason, Uri},
};

use super::{Msg, State, media};
use crate::{
    dialog::{self, DialogActor, Origin},
    leg::{self, Hands, Leg, Report},
    media::{LegControl, LegSeat, SeatOptions, WireSeed},
    next_hop::{Hop, Hops},
    profile::Profile,
    wire::Wire,
};

/// Targets one attempt may ring at once.
const MAX_TARGETS: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Dialling {
    attempt: u32,
    from: String,
    ring_for: Duration,
    parties: HashMap<usize, Party>,
    winner: Option<usize>,
    failure: Option<DialFailure>,
    open_dialogs: usize,
    joined: bool,
}

struct Party {
    name: String,
    dialog: Option<ActorRef<dialog::Msg>>,
    seat: Option<LegSeat>,
    hands: Option<Hands>,
    leg: Option<ActorRef<leg::Msg>>,
    over: bool,
}

/// Where a target is.
pub struct Routed {
    attempt: u32,
    target: usize,
    place: Result<Box<(Uri, Hop, Hops)>, String>,
}

/// Begins to call all targets of one attempt.
pub(super) fn begin(
    state: &mut State,
    attempt: u32,
    targets: Vec<String>,
    ring_for: Duration,
    from: String,
) {
    let dialling = &mut state.dialling;
    dialling.attempt = attempt;
    dialling.from = from;
    dialling.ring_for = ring_for;
    dialling.winner = None;
    dialling.failure = None;
    dialling.parties.clear();
    for (target, name) in targets.into_iter().take(MAX_TARGETS).enumerate() {
        let party = Party {
            name: name.clone(),
            dialog: None,
            seat: None,
            hands: None,
            leg: None,
            over: false,
        };
        state.dialling.parties.insert(target, party);
        route(state, attempt, target, name);
    }
}

/// Finds the places of a target and opens the way to the first, beside the call.
fn route(state: &State, attempt: u32, target: usize, name: String) {
    let me = state.me.clone();
    let (profile, wire) = (state.args.profile.clone(), state.args.wire.clone());
    tokio::spawn(async move {
        let place = find(&profile, &wire, &name).await;
        let _ = me.cast(Msg::Routed(Routed {
            attempt,
            target,
            place,
        }));
    });
}

async fn find(
    profile: &Arc<Profile>,
    wire: &Arc<Wire>,
    name: &str,
) -> Result<Box<(Uri, Hop, Hops)>, String> {
    let uri = Uri::parse(&name.to_owned().into());
    let uri = uri.map_err(|_| format!("'{name}' is not a SIP URI"))?;
    let wanted = Wanted::of(&uri).map_err(|error| error.to_string())?;
    let mut hops = Hops::find(profile, wire, wanted, None).await?;
    match hops.next().await {
        Some(hop) => Ok(Box::new((uri, hop, hops))),
        None => Err(hops.why().to_owned()),
    }
}

/// The target was found (or not): invite it.
pub(super) async fn routed(state: &mut State, routed: Routed) -> Result<(), ActorProcessingErr> {
    if routed.attempt != state.dialling.attempt || state.dialling.winner.is_some() {
        return Ok(());
    }
    let target = routed.target;
    let place = routed.place;
    let media = place
        .as_ref()
        .ok()
        .and_then(|place| lease(state, target, &place.1.flow));
    match (place, media) {
        (Ok(place), Some(media)) => {
            let (uri, hop, hops) = *place;
            invite(state, target, uri, (hop, hops), media).await?;
        }
        (Err(why), _) => {
            tracing::info!(call_id = %state.dossier().call(), why, "a target cannot be called");
            failed(state, target, DialFailure::Failed);
        }
        (Ok(_), None) => failed(state, target, DialFailure::Failed),
    }
    Ok(())
}

fn lease(state: &mut State, target: usize, flow: &Flow) -> Option<MediaAddress> {
    let ip = state.args.profile.media_ip(flow);
    let ports = state.args.profile.media_ports();
    let media = &state.services().media;
    let seat = media.seat_among(&ports, Some(ip), WireSeed::random());
    let seat = seat.ok()?;
    let local = seat.local_addr();
    state.dialling.parties.get_mut(&target)?.seat = Some(seat);
    Some(MediaAddress {
        ip: state.args.profile.announced_ip(flow),
        port: local.port(),
    })
}

async fn invite(
    state: &mut State,
    target: usize,
    uri: Uri,
    (hop, hops): (Hop, Hops),
    media: MediaAddress,
) -> Result<(), ActorProcessingErr> {
    let flow = hop.flow;
    let Some(call) = outbound(state, uri, flow, media) else {
        failed(state, target, DialFailure::Failed);
        return Ok(());
    };
    let attempt = state.dialling.attempt;
    let me = state.me.clone();
    let services = state.services();
    let args = dialog::Args {
        origin: Origin::Inviting(Box::new(call)),
        config: DialogConfig {
            more_targets: hop.more,
            ..state.args.profile.dialog_config(&flow)
        },
        tokens: services.fork_tokens(),
        profile: state.args.profile.name.clone(),
        wire: state.args.wire.clone(),
        listener: state.args.listener.clone(),
        book: services.book.clone(),
        dossier: state.args.dossier.clone(),
        leg: u8::try_from(target + 1).unwrap_or(u8::MAX),
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
        hops: Some(hops),
    };
    let (dialog, _) = Actor::spawn_linked(None, DialogActor, args, state.me.get_cell()).await?;
    state.dialling.open_dialogs += 1;
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.dialog = Some(dialog);
    }
    Ok(())
}

fn outbound(state: &State, target: Uri, flow: Flow, media: MediaAddress) -> Option<OutboundCall> {
    let host = state.args.profile.announced_ip(&flow).to_string();
    let from = Uri::sip(Some(&state.dialling.from), &host, None).ok()?;
    let hops = state.args.invite.request.max_forwards().unwrap_or(70);
    Some(OutboundCall {
        target,
        from: NameAddr::new(None, &from).ok()?,
        to: None,
        flow,
        route: Vec::new(),
        media,
        delayed_offer: false,
        headers: Vec::new(),
        ring_timeout: Some(state.dialling.ring_for),
        max_forwards: hops.saturating_sub(1),
    })
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
        DialogEvent::Ringing { .. } => state.inbox.push_back(Input::DialRinging { attempt }),
        DialogEvent::Media(agreed) => launch(state, target, &agreed).await?,
        DialogEvent::Answered => answered(state, target),
        DialogEvent::Ended(end) => ended(state, target, &end),
        DialogEvent::Invited { .. }
        | DialogEvent::EarlyMedia(_)
        | DialogEvent::Confirmed
        | DialogEvent::Info { .. }
        | DialogEvent::InfoDone { .. }
        | DialogEvent::ReofferDone
        | DialogEvent::ReofferFailed { .. }
        | DialogEvent::ReferAnswered { .. }
        | DialogEvent::ReferProgress { .. }
        | DialogEvent::Referred(_)
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
        negotiated,
        mode: Mode::Mute,
        ears: None,
        timeouts,
        reflex_armed: false,
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
    Ok(())
}

fn answered(state: &mut State, target: usize) {
    if state.dialling.winner.is_some() {
        return hang_up(state, target);
    }
    state.dialling.winner = Some(target);
    let others: Vec<usize> = state.dialling.parties.keys().copied().collect();
    for other in others.into_iter().filter(|other| *other != target) {
        hang_up(state, other);
    }
    let name = state.dialling.parties.get(&target).map(|p| p.name.clone());
    state.inbox.push_back(Input::DialAnswered {
        attempt: state.dialling.attempt,
        target: name.unwrap_or_default(),
    });
}

fn hang_up(state: &State, target: usize) {
    let party = state.dialling.parties.get(&target);
    if let Some(dialog) = party.and_then(|party| party.dialog.as_ref()) {
        let reason = Some(Reason::q850(16, "normal call clearing"));
        let input = Box::new(DialogInput::Hangup { reason });
        let _ = dialog.cast(dialog::Msg::Input(input));
    }
}

fn ended(state: &mut State, target: usize, end: &Ended) {
    if state.dialling.winner == Some(target) {
        state.dialling.winner = None;
        state.dialling.joined = false;
        drop_party(state, target);
        state.inbox.push_back(Input::BridgeEnded);
        return;
    }
    failed(state, target, failure_of(&end.cause));
}

fn failure_of(cause: &EndCause) -> DialFailure {
    match cause {
        EndCause::Refused(486 | 600) => DialFailure::Busy,
        EndCause::Refused(408 | 480 | 487) | EndCause::Cancelled | EndCause::NoResponse => {
            DialFailure::NoAnswer
        }
        EndCause::Refused(_)
        | EndCause::Bye
        | EndCause::NoAck
        | EndCause::Unreachable
        | EndCause::SessionExpired
        | EndCause::NoMedia => DialFailure::Failed,
    }
}

/// One target came to nothing; when it was the last, the attempt did.
fn failed(state: &mut State, target: usize, failure: DialFailure) {
    drop_party(state, target);
    let dialling = &mut state.dialling;
    // Busy says more than no answer, and that more than a failure.
    dialling.failure = match (dialling.failure, failure) {
        (Some(DialFailure::Busy), _) | (_, DialFailure::Busy) => Some(DialFailure::Busy),
        (Some(DialFailure::NoAnswer), _) => Some(DialFailure::NoAnswer),
        (_, newest) => Some(newest),
    };
    let all_over = dialling.parties.values().all(|party| party.over);
    if let (true, None, Some(failure)) = (all_over, dialling.winner, dialling.failure) {
        let attempt = dialling.attempt;
        state
            .inbox
            .push_back(Input::DialFailed { attempt, failure });
    }
}

fn drop_party(state: &mut State, target: usize) {
    if let Some(party) = state.dialling.parties.get_mut(&target) {
        party.over = true;
        party.hands = None;
        if let Some(leg) = party.leg.take() {
            leg.stop(None);
        }
        party.seat = None;
    }
}

/// Gives up the attempt.
pub(super) fn cancel(state: &State) {
    let targets: Vec<usize> = state.dialling.parties.keys().copied().collect();
    for target in targets {
        hang_up(state, target);
    }
}

/// Joins both legs in the media thread.
pub(super) fn join(state: &mut State) {
    let winner = state.dialling.winner;
    let party = winner.and_then(|winner| state.dialling.parties.get(&winner));
    let theirs = party.and_then(|party| party.hands.as_ref());
    let (Some(ours), Some(theirs)) = (state.media.hands(), theirs) else {
        return state.inbox.push_back(Input::BridgeEnded);
    };
    let mut ours = lock(ours);
    let mut theirs = lock(theirs);
    let joined = LegControl::bridge(&mut ours, &mut theirs).is_ok();
    drop((ours, theirs));
    state.dialling.joined = joined;
    if !joined {
        state.inbox.push_back(Input::BridgeEnded);
    }
}

fn lock(hands: &Hands) -> std::sync::MutexGuard<'_, LegControl> {
    let poisoned = std::sync::PoisonError::into_inner;
    hands.control.lock().unwrap_or_else(poisoned)
}

/// Hangs up the other party.
pub(super) fn unjoin(state: &mut State) {
    cancel(state);
    if let Some(winner) = state.dialling.winner.take() {
        drop_party(state, winner);
    }
    state.dialling.joined = false;
}

/// What the other party's leg reports: a leg that is lost ends the bridge.
pub(super) fn leg_report(state: &mut State, report: Report) {
    if let Report::Evicted { reason } = report {
        state
            .dossier()
            .write(FactKind::LegRestarted { why: reason });
        if state.dialling.winner.is_some() {
            unjoin(state);
            state.inbox.push_back(Input::BridgeEnded);
        }
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
