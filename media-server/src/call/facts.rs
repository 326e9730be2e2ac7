//! From the machines' words to the record's.

use call_core::{
    call::{CallFact, Limits},
    dialplan::action::AgentSource,
};
use media_core::leg::LegStats;
use model::{
    FactKind,
    fact::{CallerIdentity, Channel, MediaStats, Started},
};

use super::{Msg, State, floor, placing};

/// Writes what the call machine wants written. `started` and `answered` are filled up with what
/// only the call knows; the end is written with the record itself.
pub(super) fn journal(state: &mut State, fact: CallFact) {
    let kind = match fact {
        CallFact::Started => return begin(state),
        CallFact::Attested(attestation) => {
            let counted = &state.services().metrics.attested;
            let verstat = attestation.verstat.as_str();
            counted.with_label_values(&[verstat]).inc();
            FactKind::Attested(attestation)
        }
        CallFact::Routed { route } => FactKind::Routed { route },
        CallFact::Ringing => FactKind::Ringing,
        CallFact::EarlyMedia => FactKind::EarlyMedia,
        CallFact::Answered { .. } => return answered(state),
        CallFact::AckConfirmed => FactKind::AckConfirmed,
        CallFact::AgentFailed { reason } => FactKind::ProviderTrouble {
            role: "agent".into(),
            provider: agent_name(state),
            what: reason,
        },
        CallFact::Digit { digit } => FactKind::Digit { digit },
        CallFact::Held => FactKind::Held,
        CallFact::Resumed => FactKind::Resumed,
        CallFact::Bridged { target } => FactKind::Bridged { target },
        CallFact::TransferStarted { to, mode } => FactKind::TransferStarted {
            to,
            mode: mode.into(),
        },
        CallFact::Transferred { target, mode } => FactKind::Transferred {
            target,
            mode: mode.into(),
        },
        CallFact::TransferFailed { to, reason } => FactKind::TransferFailed {
            to,
            reason,
            then: "resume".into(),
        },
        CallFact::AgentResumed => FactKind::AgentResumed,
        CallFact::Logged { line } => FactKind::Logged { line },
        // Written where more is known: when the agent, the recorder and the end really came.
        CallFact::AgentStarted { agent } => return agent_started(state, &agent),
        CallFact::Consent(consent) => FactKind::Consent(consent),
        CallFact::RecordingPaused { by } => FactKind::RecordingPaused { by },
        CallFact::RecordingResumed { by } => FactKind::RecordingResumed { by },
        CallFact::RecordingDeleted => FactKind::RecordingDeleted,
        CallFact::RecordingStarted { .. } | CallFact::Ended(_) => return,
    };
    state.dossier().write(kind);
}

/// The first fact; no 2xx leaves before it is on the disk.
fn begin(state: &State) {
    let mut written = state.dossier().write_through(started(state));
    identified(state);
    let order = state.args.facing.order();
    if let Some(commanded) = order.and_then(placing::commanded) {
        written = state.dossier().write_through(commanded);
    }
    let me = state.me.clone();
    tokio::spawn(async move {
        let kept = written.await.is_ok();
        let _ = me.cast(Msg::Journaled(kept));
    });
}

/// What the trunk's headers tell besides the number, when they tell anything.
fn identified(state: &State) {
    let parties = state.parties();
    if parties.variables().is_empty() {
        return;
    }
    state.dossier().write(FactKind::Identified(CallerIdentity {
        name: parties.name.clone(),
        hidden: parties.hidden,
        forwarded_by: parties.forwarded_by.clone(),
        forwarded_reason: parties.forwarded_reason.clone(),
    }));
}

/// `started` as far as it is known.
pub(super) fn started(state: &State) -> FactKind {
    let (facing, bound) = (&state.args.facing, floor::bound(state));
    FactKind::Started(Started {
        tenant: bound.map_or(state.args.arrived.tenant, |published| {
            Some(published.tenant)
        }),
        direction: facing.direction(),
        channel: Channel::Sip,
        from: state.parties().from.clone(),
        to: state.parties().to.clone(),
        profile: state.args.profile.name.to_string(),
        trunk: super::trunk(state),
        sip_call_id: facing.sip_call_id(),
        agent: bound.map(|published| published.agent.clone()),
        revision: state.snapshot.revision,
    })
}

/// 200 was sent. The record wants the codec too, which the dialog tells a moment later (with a
/// delayed offer: when the ACK brings it).
fn answered(state: &mut State) {
    let setup = state.now().saturating_sub(state.args.received);
    let setup_ms = u64::try_from(setup.as_millis()).unwrap_or(u64::MAX);
    state.media.answered = Some(setup_ms);
    if state.media.is_up() {
        write_answered(state);
    }
}

/// Writes `answered` once.
pub(super) fn write_answered(state: &mut State) {
    if let Some(setup_ms) = state.media.answered.take() {
        let codec = state.media.codec().unwrap_or_default().to_owned();
        state
            .dossier()
            .write(FactKind::Answered { codec, setup_ms });
    }
}

/// A named agent writes its own fact, with its version; the others are named here.
fn agent_started(state: &State, agent: &AgentSource) {
    let line = match agent {
        AgentSource::Named(_) => return,
        AgentSource::Listen => "listening",
        AgentSource::Stub => "stub agent",
        AgentSource::StubLocal => "local stub agent",
    };
    let line = line.to_owned();
    state.dossier().write(FactKind::Logged { line });
}

fn agent_name(state: &State) -> String {
    let bound = floor::bound(state);
    bound.map_or_else(String::new, |published| published.agent.slug.clone())
}

/// The server file's limits as the call machine takes them.
pub(super) fn limits(settings: &settings::Limits) -> Limits {
    Limits {
        prepare: settings.prepare,
        ringing: settings.ring_for,
        duration: settings.max_duration,
        ..Limits::default()
    }
}

/// The leg's counters as the record takes them.
pub(super) fn media(stats: &LegStats) -> MediaStats {
    MediaStats {
        packets_in: stats.jitter.received,
        packets_out: stats.packets_out,
        lost: stats.jitter.lost,
        late: stats.jitter.late,
        duplicate: stats.jitter.duplicate,
        reordered: stats.jitter.reordered,
        concealed: stats.jitter.concealed,
        jitter_delay_ms: stats.mean_delay_ms as f32,
        ring_drops: stats.ring_drops,
        jitter_ms: stats.jitter_us as f32 / 1_000.0,
        loss_percent: percent(stats.jitter.lost, stats.jitter.received + stats.jitter.lost),
        remote_loss_percent: stats.remote_report.map(|report| {
            let lost = u64::try_from(report.cumulative_lost).unwrap_or(0);
            percent(lost, stats.packets_out)
        }),
        round_trip_ms: round_trip_ms(stats),
        remote_mos: remote_mos(stats),
        mos: f32::from(stats.mos_centi) / 100.0,
    }
}

/// By our own reckoning; where the far side's reports do not allow one, by its own (RFC 3611 §4.7.3).
fn round_trip_ms(stats: &LegStats) -> Option<f32> {
    let told = stats.remote_voip.map(|voip| f32::from(voip.round_trip_ms));
    let ours = stats.round_trip_us.map(|us| us as f32 / 1_000.0);
    ours.or(told.filter(|ms| *ms > 0.0))
}

fn remote_mos(stats: &LegStats) -> Option<f32> {
    let told = stats.remote_voip.and_then(|voip| voip.mos_centi());
    told.map(|centi| f32::from(centi) / 100.0)
}

fn percent(part: u64, whole: u64) -> f32 {
    part as f32 * 100.0 / whole.max(1) as f32
}
