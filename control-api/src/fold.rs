//! Folds facts into the record of a call. Pure, and independent of the order in which new facts
//! arrive: batches may be late, doubled or out of order.

use model::{
    AgentRef, CallId, Consent, ConsentState, EndReason, Fact, FactKind, NodeId, TenantId,
    fact::{Attestation, Channel, Direction, Ended, MediaStats, Started},
    transcript::TurnTimings,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::closed::closed;

closed! {
    /// Where a call is in its life.
    pub enum CallState {
        /// Wanted, not yet dialled.
        Queued = "queued",
        /// Offered, not yet answered.
        Ringing = "ringing",
        /// Answered.
        InProgress = "in_progress",
        /// Over.
        Ended = "ended",
    }
}

/// A call as its facts tell it so far.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// The conversation.
    pub id: CallId,
    /// Whose it is, once known.
    pub tenant: Option<TenantId>,
    /// The switch that owns it.
    pub node: NodeId,
    /// That switch's start count at the call's first known fact.
    pub boot: u64,
    /// Which way.
    pub direction: Option<Direction>,
    /// How it reached us.
    pub channel: Option<Channel>,
    /// Calling party.
    pub from: Option<String>,
    /// Called party.
    pub to: Option<String>,
    /// SIP profile.
    pub profile: Option<String>,
    /// Trunk.
    pub trunk: Option<String>,
    /// Context and route name of the first match.
    pub route: Option<String>,
    /// SIP Call-ID.
    pub sip_call_id: Option<String>,
    /// The agent that has it.
    pub agent: Option<AgentRef>,
    /// The place of the fact that named the agent: a later one wins.
    pub agent_order: i64,
    /// The snapshot revision it keeps.
    pub revision: Option<u64>,
    /// First fact, wall clock.
    pub started_ms: Option<i64>,
    /// 180, wall clock.
    pub ringing_ms: Option<i64>,
    /// 200, wall clock.
    pub answered_ms: Option<i64>,
    /// End, wall clock.
    pub ended_ms: Option<i64>,
    /// Answered to ended, on the switch's monotonic clock.
    pub duration_ms: Option<u64>,
    /// INVITE to 200.
    pub setup_ms: Option<u64>,
    /// Codec name.
    pub codec: Option<String>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// SIP status that ended it.
    pub sip_code: Option<u16>,
    /// Q.850 cause.
    pub q850: Option<u8>,
    /// The office itself declared it lost; its owner has not spoken yet.
    pub provisional: bool,
    /// The owner's end is known.
    pub last_word: bool,
    /// When `call.ended` was told to the world.
    pub end_event_ms: Option<i64>,
    /// Counters.
    pub metrics: CallMetrics,
    /// What became of the proof of who calls.
    pub attestation: Option<Attestation>,
    /// The recording on the switch's disk.
    pub captured: Option<Captured>,
    /// Who agreed to be recorded, or did not.
    pub consent: Option<ConsentRecord>,
}

/// Consent to a recording, and when it was given, refused or withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// What was asked for, what came of it, how, and whose word it was.
    #[serde(flatten)]
    pub consent: Consent,
    /// When, wall clock.
    pub at_ms: i64,
    /// When, milliseconds since the conversation's first fact.
    pub offset_ms: u64,
    /// The place of its fact: a later one wins.
    pub order: i64,
}

/// A recording as the switch announced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Length.
    pub duration_ms: u64,
    /// Size.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// How many, how much and how bad at worst.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Spread {
    /// Measurements.
    pub count: u64,
    /// Their sum, milliseconds.
    pub sum: u64,
    /// The largest, milliseconds.
    pub max: u64,
    /// The mean, milliseconds; 0 without measurements.
    pub avg: f64,
}

/// Counters of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CallMetrics {
    /// Turns of the caller that were answered.
    pub turns: u64,
    /// End of speech to the decision that the turn is over.
    pub endpoint_ms: Spread,
    /// End of speech to the final transcript.
    pub transcript_ms: Spread,
    /// Decision to the first words of the answer.
    pub brain_ms: Spread,
    /// First words to their first sound.
    pub voice_ms: Spread,
    /// End of speech to the first RTP packet of the answer.
    pub first_packet_ms: Spread,
    /// Times the caller interrupted.
    pub interruptions: u64,
    /// The slowest yield to an interruption.
    pub yield_ms_max: u64,
    /// Pauses at speech that turned out to be nothing.
    pub false_pauses: u64,
    /// Their time, summed.
    pub paused_ms: u64,
    /// Stretches of speech.
    pub segments: u64,
    /// Digits.
    pub digits: u64,
    /// Tools that ran.
    pub tools: u64,
    /// Tools that did not do what was asked.
    pub tools_failed: u64,
    /// Provider failures.
    pub provider_troubles: u64,
    /// Actors that broke and came back (agent, leg, dialog).
    pub restarts: u64,
    /// The caller's leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaStats>,
}

impl Spread {
    fn add(&mut self, value: Option<u64>) {
        let Some(value) = value else { return };
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        #[allow(clippy::cast_precision_loss)] // milliseconds of one call
        {
            self.avg = (self.sum as f64 / self.count as f64 * 10.0).round() / 10.0;
        }
    }
}

impl CallMetrics {
    fn turn(&mut self, turn: &TurnTimings) {
        self.turns += 1;
        self.endpoint_ms.add(turn.endpoint_ms);
        self.transcript_ms.add(turn.transcript_ms);
        self.brain_ms.add(turn.brain_ms);
        self.voice_ms.add(turn.voice_ms);
        self.first_packet_ms.add(turn.first_packet_ms);
    }
}

/// The place of a fact in its conversation, across restarts of the switch.
pub fn order(fact: &Fact) -> i64 {
    let boot = i64::try_from(fact.boot).unwrap_or(i64::MAX >> 32);
    boot.saturating_mul(1 << 32)
        .saturating_add(i64::from(fact.seq))
}

impl CallRecord {
    /// A call of which nothing is known but who tells of it.
    pub fn unknown(id: CallId, node: NodeId, boot: u64) -> Self {
        Self {
            id,
            tenant: None,
            node,
            boot,
            direction: None,
            channel: None,
            from: None,
            to: None,
            profile: None,
            trunk: None,
            route: None,
            sip_call_id: None,
            agent: None,
            agent_order: -1,
            revision: None,
            started_ms: None,
            ringing_ms: None,
            answered_ms: None,
            ended_ms: None,
            duration_ms: None,
            setup_ms: None,
            codec: None,
            end_reason: None,
            sip_code: None,
            q850: None,
            provisional: false,
            last_word: false,
            end_event_ms: None,
            metrics: CallMetrics::default(),
            attestation: None,
            captured: None,
            consent: None,
        }
    }

    /// Where the call is in its life.
    pub fn state(&self) -> CallState {
        if self.last_word || self.provisional {
            CallState::Ended
        } else if self.answered_ms.is_some() {
            CallState::InProgress
        } else if self.ringing_ms.is_some() || self.direction == Some(Direction::Inbound) {
            CallState::Ringing
        } else {
            CallState::Queued
        }
    }

    /// Takes in a fact that was not known before. The owner's word supersedes a provisional end.
    pub fn apply(&mut self, fact: &Fact) {
        self.withdraw_provisional();
        let at = fact.at_unix_ms;
        match &fact.kind {
            FactKind::Started(started) => self.started(started, fact),
            FactKind::Attested(attestation) => self.attestation = Some(bounded(attestation)),
            FactKind::Routed { route } => self.route = Some(short(route)),
            FactKind::Ringing | FactKind::EarlyMedia => self.ringing(at),
            FactKind::Answered { codec, setup_ms } => self.answered(codec, *setup_ms, at),
            FactKind::AgentStarted { agent, tenant } => {
                self.tenant = Some(*tenant);
                self.agent(agent, order(fact));
            }
            FactKind::RecordingReady {
                duration_ms,
                bytes,
                sha256,
            } => {
                self.captured = Some(Captured {
                    duration_ms: *duration_ms,
                    bytes: *bytes,
                    sha256: short(sha256),
                });
            }
            FactKind::Consent(consent) => self.consent(*consent, fact),
            FactKind::RecordingDeleted => self.captured = None,
            FactKind::Ended(ended) => self.ended(ended, at),
            other => self.metrics.count(other),
        }
    }

    /// Forgets an end that only the office assumed.
    pub fn withdraw_provisional(&mut self) {
        if self.provisional {
            self.provisional = false;
            self.ended_ms = None;
            self.end_reason = None;
            self.duration_ms = None;
        }
    }

    fn started(&mut self, started: &Started, fact: &Fact) {
        self.direction = Some(started.direction);
        self.channel = Some(started.channel);
        self.from = Some(short(&started.from));
        self.to = Some(short(&started.to));
        self.profile = Some(short(&started.profile));
        self.trunk = started.trunk.as_deref().map(short);
        self.sip_call_id = Some(short(&started.sip_call_id));
        self.revision = Some(started.revision);
        self.started_ms = Some(fact.at_unix_ms);
        self.tenant = self.tenant.or(started.tenant);
        if let Some(agent) = &started.agent {
            self.agent(agent, order(fact));
        }
    }

    fn agent(&mut self, agent: &AgentRef, order: i64) {
        if order > self.agent_order {
            self.agent = Some(agent.clone());
            self.agent_order = order;
        }
    }

    fn consent(&mut self, consent: Consent, fact: &Fact) {
        let order = order(fact);
        if self.consent.as_ref().is_none_or(|held| held.order < order) {
            self.consent = Some(ConsentRecord {
                consent,
                at_ms: fact.at_unix_ms,
                offset_ms: fact.offset_ms,
                order,
            });
        }
    }

    /// Whether the caller took his consent back: nothing that was said may be kept.
    pub fn is_withdrawn(&self) -> bool {
        let held = self.consent.as_ref();
        held.is_some_and(|held| held.consent.state == ConsentState::Withdrawn)
    }

    fn ringing(&mut self, at: i64) {
        self.ringing_ms = Some(self.ringing_ms.map_or(at, |before| before.min(at)));
    }

    fn answered(&mut self, codec: &str, setup_ms: u64, at: i64) {
        self.codec = Some(short(codec));
        self.setup_ms = Some(setup_ms);
        self.answered_ms = Some(at);
    }

    fn ended(&mut self, ended: &Ended, at: i64) {
        if self.last_word {
            return;
        }
        self.last_word = true;
        self.ended_ms = Some(at);
        self.end_reason = Some(ended.reason);
        self.sip_code = ended.sip_code;
        self.q850 = ended.q850;
        self.duration_ms = Some(ended.duration_ms);
    }
}

impl CallMetrics {
    /// Counts the facts that change nothing else.
    fn count(&mut self, kind: &FactKind) {
        match kind {
            FactKind::Segment(_) => self.segments += 1,
            FactKind::Turn(turn) => self.turn(turn),
            FactKind::FalsePause { paused_ms } => {
                self.false_pauses += 1;
                self.paused_ms = self.paused_ms.saturating_add(*paused_ms);
            }
            FactKind::Interrupted { yield_ms } => {
                self.interruptions += 1;
                self.yield_ms_max = self.yield_ms_max.max(*yield_ms);
            }
            FactKind::Digit { .. } => self.digits += 1,
            FactKind::Tool { ok, .. } => {
                self.tools += 1;
                self.tools_failed += u64::from(!ok);
            }
            FactKind::ProviderTrouble { .. } => self.provider_troubles += 1,
            FactKind::AgentRestarted { .. }
            | FactKind::LegRestarted { .. }
            | FactKind::DialogRestarted { .. } => self.restarts += 1,
            FactKind::Media(stats) => self.media = Some(stats.clone()),
            FactKind::Started(_)
            | FactKind::Routed { .. }
            | FactKind::Ringing
            | FactKind::EarlyMedia
            | FactKind::Answered { .. }
            | FactKind::AckConfirmed
            | FactKind::MediaStarted
            | FactKind::AgentStarted { .. }
            | FactKind::Consent(_)
            | FactKind::RecordingStarted { .. }
            | FactKind::RecordingPaused { .. }
            | FactKind::RecordingResumed { .. }
            | FactKind::RecordingDeleted
            | FactKind::RecordingReady { .. }
            | FactKind::QualityChanged { .. }
            | FactKind::Held
            | FactKind::Resumed
            | FactKind::Identified(_)
            | FactKind::Attested(_)
            | FactKind::Bridged { .. }
            | FactKind::Commanded { .. }
            | FactKind::TransferStarted { .. }
            | FactKind::TransferAttempt { .. }
            | FactKind::Transferred { .. }
            | FactKind::TransferFailed { .. }
            | FactKind::AgentResumed
            | FactKind::Logged { .. }
            | FactKind::Ladder(_)
            | FactKind::Ended(_) => {}
        }
    }
}

/// Wire text as a column keeps it: at most 256 characters.
fn short(text: &str) -> String {
    text.chars().take(256).collect()
}

fn bounded(attestation: &Attestation) -> Attestation {
    Attestation {
        origid: attestation.origid.as_deref().map(short),
        reason: attestation.reason.as_deref().map(short),
        ..attestation.clone()
    }
}

#[cfg(test)]
mod tests;
