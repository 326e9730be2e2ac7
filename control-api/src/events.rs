//! Live events: the closed list of names, and which fact makes which.

use model::FactKind;

/// The name of the event that a fact makes.
pub fn name(kind: &FactKind) -> &'static str {
    match kind {
        FactKind::Started(_) => "call.started",
        FactKind::Identified(_) => "call.identified",
        FactKind::Attested(_) => "call.attested",
        FactKind::Routed { .. } => "call.routed",
        FactKind::Ringing => "call.ringing",
        FactKind::EarlyMedia => "call.early_media",
        FactKind::Answered { .. } => "call.answered",
        FactKind::AckConfirmed => "call.ack_confirmed",
        FactKind::MediaStarted => "call.media_started",
        FactKind::AgentStarted { .. } => "agent.started",
        FactKind::AgentRestarted { .. } => "agent.restarted",
        FactKind::LegRestarted { .. } => "call.leg_restarted",
        FactKind::DialogRestarted { .. } => "call.dialog_restarted",
        FactKind::Segment(_) => "transcript.segment",
        FactKind::Turn(_) => "turn.completed",
        FactKind::FalsePause { .. } => "turn.false_pause",
        FactKind::Interrupted { .. } => "turn.interrupted",
        FactKind::Digit { .. } => "call.dtmf",
        FactKind::Tool { denied: true, .. } => "tool.denied",
        FactKind::Tool { ok: true, .. } => "tool.completed",
        FactKind::Tool { ok: false, .. } => "tool.failed",
        FactKind::ProviderTrouble { .. } => "provider.degraded",
        FactKind::Consent(_) => "recording.consent",
        FactKind::RecordingStarted { .. } => "recording.started",
        FactKind::RecordingPaused { .. } => "recording.paused",
        FactKind::RecordingResumed { .. } => "recording.resumed",
        FactKind::RecordingDeleted => RECORDING_DELETED,
        FactKind::RecordingReady { .. } => "recording.captured",
        FactKind::Media(_) => "call.quality",
        FactKind::QualityChanged { .. } => "call.quality_changed",
        FactKind::Held => "call.held",
        FactKind::Resumed => "call.resumed",
        FactKind::Bridged { .. } => "call.bridged",
        FactKind::Commanded { .. } => "call.commanded",
        FactKind::TransferStarted { .. } => "call.transfer_started",
        FactKind::TransferAttempt { .. } => "call.transfer_attempt",
        FactKind::Transferred { .. } => "call.transferred",
        FactKind::TransferFailed { .. } => "call.transfer_failed",
        FactKind::AgentResumed => "agent.resumed",
        FactKind::Logged { .. } => "call.logged",
        FactKind::Ladder(_) => "call.ladder",
        FactKind::Ended(_) => ENDED,
    }
}

/// The one terminal event of a call.
pub const ENDED: &str = "call.ended";
/// The owner's end came after the office had already told `call.ended` by itself.
pub const CORRECTED: &str = "call.corrected";
/// A call was ordered; nobody dials yet.
pub const OUTBOUND_REQUESTED: &str = "call.outbound_requested";
/// The office assumes that the call's switch died; provisional.
pub const LOST: &str = "call.lost";
/// The recording was deleted, or is about to be.
pub const RECORDING_DELETED: &str = "recording.deleted";
/// The recording can be fetched.
pub const RECORDING_READY: &str = "recording.ready";
/// A booking was made.
pub const BOOKING_CONFIRMED: &str = "booking.confirmed";
/// A booking was cancelled.
pub const BOOKING_CANCELLED: &str = "booking.cancelled";
/// The listener was too slow, or asked for what is no longer kept.
pub const RESYNC: &str = "resync";
