//! Facts: what happened in a conversation, in order. The journal keeps them, the office folds them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AgentRef, CallId, CommandId, Consent, EndReason, NodeId, PauseBy, TenantId,
    transcript::{Segment, TurnTimings},
};

/// One fact. `(node, boot, conversation, seq)` is unique; `seq` counts from 0 without holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The switch that saw it.
    pub node: NodeId,
    /// That switch's start count.
    pub boot: u64,
    /// The conversation.
    pub conversation: CallId,
    /// Place in the conversation, from 0 without holes.
    pub seq: u32,
    /// Wall clock, milliseconds since 1970 UTC (for people; never used for durations).
    pub at_unix_ms: i64,
    /// Milliseconds since the conversation's first fact, on the switch's own monotonic clock.
    pub offset_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: FactKind,
}

/// Which way a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
}

/// How a conversation reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A SIP call.
    Sip,
    /// A browser over WebRTC.
    Webrtc,
    /// A WebSocket.
    Ws,
    /// Text.
    Chat,
}

/// Where a conversation came from: the first fact, written before any 2xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The tenant, once the number is known to be somebody's.
    pub tenant: Option<TenantId>,
    /// Which way.
    pub direction: Direction,
    /// How.
    pub channel: Channel,
    /// Calling party as received (user part or E.164).
    pub from: String,
    /// Called party as received (user part or E.164).
    pub to: String,
    /// The SIP profile that took it.
    pub profile: String,
    /// The trunk it came over, where known.
    pub trunk: Option<String>,
    /// SIP Call-ID.
    pub sip_call_id: String,
    /// The agent chosen so far, if any.
    pub agent: Option<AgentRef>,
    /// The snapshot revision that this call keeps for life.
    pub revision: u64,
}

/// What a trunk's headers tell about the caller besides the number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdentity {
    /// The caller's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The caller asked that the called party does not learn the number.
    #[serde(default)]
    pub hidden: bool,
    /// Who forwarded the call to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_by: Option<String>,
    /// Why it was forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_reason: Option<String>,
}

/// What became of the proof of who calls (STIR/SHAKEN). Absent where the trunk does not look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attestation {
    /// In one word.
    pub verstat: Verstat,
    /// What the signer knows of the caller, where the signature holds.
    #[serde(default)]
    pub level: Option<AttestationLevel>,
    /// The signer's own name for where the call came from, where the signature holds.
    #[serde(default)]
    pub origid: Option<String>,
    /// Why it does not hold: `malformed`, `algorithm`, `stale`, `caller`, `called`, `reference`,
    /// `unreachable`, `untrusted`, `signature`, or `late` when nobody had an answer in time.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a caller's number is proven, as 3GPP TS 24.229 §7.2A.20 says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Verstat {
    /// The proof holds.
    #[serde(rename = "TN-Validation-Passed")]
    Passed,
    /// It does not.
    #[serde(rename = "TN-Validation-Failed")]
    Failed,
    /// There is none.
    #[serde(rename = "No-TN-Validation")]
    Absent,
}

impl Verstat {
    /// The wire name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "TN-Validation-Passed",
            Self::Failed => "TN-Validation-Failed",
            Self::Absent => "No-TN-Validation",
        }
    }
}

/// What a signer knows of a caller (RFC 8588 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum AttestationLevel {
    /// The customer, and that the number is his.
    A,
    /// The customer, not the number.
    B,
    /// Only where the call came in.
    C,
}

impl AttestationLevel {
    /// The letter, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum FactKind {
    /// First of all.
    Started(Started),
    /// Who calls, as far as the trunk's headers tell more than `started`.
    Identified(CallerIdentity),
    /// Whether the number that calls is proven.
    Attested(Attestation),
    /// A dialplan route matched.
    Routed {
        /// Context and route name (`public/reception`).
        route: String,
    },
    /// 180 was sent.
    Ringing,
    /// 183 with early media was sent.
    EarlyMedia,
    /// 200 was sent; durations count from here.
    Answered {
        /// Codec name (`PCMU`).
        codec: String,
        /// Milliseconds from INVITE to 200.
        setup_ms: u64,
    },
    /// The ACK came.
    AckConfirmed,
    /// The first RTP packet came.
    MediaStarted,
    /// An agent took the call.
    AgentStarted {
        /// Which, and its frozen version.
        agent: AgentRef,
        /// The tenant it belongs to.
        tenant: TenantId,
    },
    /// The agent broke and was restarted with the conversation so far.
    AgentRestarted {
        /// What broke, for operators.
        why: String,
    },
    /// The media leg broke and was restarted on the same seat.
    LegRestarted {
        /// What broke, for operators.
        why: String,
    },
    /// The dialog's actor broke and was rebuilt from its seed.
    DialogRestarted {
        /// What broke, for operators.
        why: String,
    },
    /// Speech by one side, final.
    Segment(Segment),
    /// Where the time of a turn went.
    Turn(TurnTimings),
    /// The agent paused at speech that turned out to be nothing.
    FalsePause {
        /// How long it was silent.
        paused_ms: u64,
    },
    /// The caller interrupted.
    Interrupted {
        /// From the onset of speech to the last agent sample sent.
        yield_ms: u64,
    },
    /// A digit arrived (never one of a secret entry).
    Digit {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// A tool ran.
    Tool {
        /// Its name.
        name: String,
        /// Its idempotency key.
        key: String,
        /// Whether it did what was asked.
        ok: bool,
        /// It asked for what it may not: a tool that was not granted, a destination that nobody named.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        denied: bool,
        /// One line for the timeline.
        summary: String,
        /// How long it took.
        took_ms: u64,
    },
    /// A provider failed; what was done about it.
    ProviderTrouble {
        /// `stt`, `llm`, `tts`.
        role: String,
        /// The provider's name.
        provider: String,
        /// One line for the timeline.
        what: String,
    },
    /// Consent to a recording was given, refused or withdrawn.
    Consent(Consent),
    /// Recording began.
    RecordingStarted {
        /// Channels in the file (2 = caller left, agent right).
        channels: u8,
    },
    /// The recording is whole on the switch's disk.
    RecordingReady {
        /// Length, milliseconds.
        duration_ms: u64,
        /// File size.
        bytes: u64,
        /// SHA-256 of the file, hex.
        sha256: String,
    },
    /// The recording is silent from here on.
    RecordingPaused {
        /// Who wants it so.
        by: PauseBy,
    },
    /// It has sound again.
    RecordingResumed {
        /// Who wants it so.
        by: PauseBy,
    },
    /// The recording was deleted: consent was withdrawn.
    RecordingDeleted,
    /// How the sound was.
    Media(MediaStats),
    /// How well the far side is heard, by windows of five seconds, is another than before.
    QualityChanged {
        /// `excellent` (under 5 % missing), `good` (under 12 %), `poor`, `lost` (nothing came).
        quality: String,
        /// Lost or late in that window.
        loss_percent: f32,
    },
    /// The far side holds the call: nobody talks with anybody.
    Held,
    /// The far side has taken the call off hold.
    Resumed,
    /// A bridge to another leg was made.
    Bridged {
        /// The target as the dialplan names it.
        target: String,
    },
    /// An order of the office, written before it is carried out.
    Commanded {
        /// Which.
        command: CommandId,
        /// `dial`, `hangup`, `transfer`, `dtmf`, `say`, `message`.
        action: String,
    },
    /// The caller is to be handed to somebody.
    TransferStarted {
        /// The destination's name, or what the operator named.
        to: String,
        /// `refer` or `bridge`.
        mode: String,
    },
    /// What came of calling one target of a transfer or bridge.
    TransferAttempt {
        /// Which.
        target: String,
        /// `ringing`, `answered`, or the end reason.
        outcome: String,
        /// The final SIP status, where there was one.
        sip_code: Option<u16>,
    },
    /// Somebody has the caller.
    Transferred {
        /// Who answered; the REFER's target for a blind transfer.
        target: String,
        /// `refer` or `bridge`; where a phone did it: `blind`, `attended` or `replaced`.
        mode: String,
    },
    /// Nobody took the caller.
    TransferFailed {
        /// The destination's name, or what the operator named.
        to: String,
        /// Why: an end reason.
        reason: EndReason,
        /// What was done then: `resume` or `end`.
        then: String,
    },
    /// The bridge is over and the agent has the caller again.
    AgentResumed,
    /// A line from the dialplan's `log`.
    Logged {
        /// The line.
        line: String,
    },
    /// SIP messages of one leg, in order. Written when the leg is over, or when there are many: what a killed switch had
    /// not written is lost.
    Ladder(Ladder),
    /// The end. Exactly one per conversation.
    Ended(Ended),
}

/// SIP messages of one leg: headers with secrets masked, no bodies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// 0 = the caller's leg, then those we called.
    pub leg: u8,
    /// The messages.
    pub rungs: Vec<Rung>,
    /// Messages that were too many to keep.
    #[serde(default)]
    pub omitted: u64,
}

/// One SIP message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Milliseconds since the conversation's first moment.
    pub offset_ms: u64,
    /// To us or from us.
    pub way: RungWay,
    /// `UDP`, `TCP`, …
    pub transport: String,
    /// The far side's address and port.
    pub peer: String,
    /// Request or status line.
    pub line: String,
    /// Headers as `Name: value`, in order.
    pub headers: Vec<String>,
    /// Kind and length of the body (`application/sdp, 243 bytes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Which way a SIP message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungWay {
    /// To us.
    In,
    /// From us.
    Out,
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The SIP status that ended it, where one did.
    pub sip_code: Option<u16>,
    /// Q.850 cause, where one was seen or fits.
    pub q850: Option<u8>,
    /// Answered to ended; 0 when never answered.
    pub duration_ms: u64,
}

/// Counters of the caller's leg over the whole call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MediaStats {
    /// Packets received.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came out of order.
    pub reordered: u64,
    /// 20 ms frames that were concealed.
    pub concealed: u64,
    /// Mean delay of the jitter buffer, milliseconds.
    pub jitter_delay_ms: f32,
    /// Frames dropped at a full ring, all rings.
    pub ring_drops: u64,
    /// Interarrival jitter at the end (RFC 3550 §6.4.1), milliseconds.
    #[serde(default)]
    pub jitter_ms: f32,
    /// Of the packets that were due so many did not come, percent.
    #[serde(default)]
    pub loss_percent: f32,
    /// Of our packets so many did not reach the far side, percent, as its last report says; absent without one.
    #[serde(default)]
    pub remote_loss_percent: Option<f32>,
    /// To the far side and back, milliseconds, as its reports tell; absent without one.
    #[serde(default)]
    pub round_trip_ms: Option<f32>,
    /// How we sounded to the far side: mean opinion score as its reports tell it (RFC 3611 §4.7.5), 1 to 5; absent without one.
    #[serde(default)]
    pub remote_mos: Option<f32>,
    /// How the caller sounded to us: mean opinion score by the E-model (ITU-T G.107), 1 to 4.5; 0 when nothing was heard.
    #[serde(default)]
    pub mos: f32,
}

impl FactKind {
    /// The wire name of this kind, as in JSON (`type`).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Identified(_) => "identified",
            Self::Attested(_) => "attested",
            Self::Routed { .. } => "routed",
            Self::Ringing => "ringing",
            Self::EarlyMedia => "early_media",
            Self::Answered { .. } => "answered",
            Self::AckConfirmed => "ack_confirmed",
            Self::MediaStarted => "media_started",
            Self::AgentStarted { .. } => "agent_started",
            Self::AgentRestarted { .. } => "agent_restarted",
            Self::LegRestarted { .. } => "leg_restarted",
            Self::DialogRestarted { .. } => "dialog_restarted",
            Self::Segment(_) => "segment",
            Self::Turn(_) => "turn",
            Self::FalsePause { .. } => "false_pause",
            Self::Interrupted { .. } => "interrupted",
            Self::Digit { .. } => "digit",
            Self::Tool { .. } => "tool",
            Self::ProviderTrouble { .. } => "provider_trouble",
            Self::Consent(_) => "consent",
            Self::RecordingStarted { .. } => "recording_started",
            Self::RecordingPaused { .. } => "recording_paused",
            Self::RecordingResumed { .. } => "recording_resumed",
            Self::RecordingDeleted => "recording_deleted",
            Self::RecordingReady { .. } => "recording_ready",
            Self::Media(_) => "media",
            Self::QualityChanged { .. } => "quality_changed",
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::Bridged { .. } => "bridged",
            Self::Commanded { .. } => "commanded",
            Self::TransferStarted { .. } => "transfer_started",
            Self::TransferAttempt { .. } => "transfer_attempt",
            Self::Transferred { .. } => "transferred",
            Self::TransferFailed { .. } => "transfer_failed",
            Self::AgentResumed => "agent_resumed",
            Self::Logged { .. } => "logged",
            Self::Ladder(_) => "ladder",
            Self::Ended(_) => "ended",
        }
    }
}
