//! What the call machine wants done.

use std::time::Duration;

use model::EndReason;
use model::fact::{Attestation, Ended};
use model::{Consent, PauseBy};

use super::bridging::HandoverEnd;
use super::moving::Side;
use crate::dialing::By;
use crate::dialplan::action::{AgentSource, Callee, Entry, RecordSpec};

/// One thing to do. [`Effect::Ended`] is the last one, and comes exactly once.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the snapshot whose number this is; answer with `Input::Resolved`.
    Lookup {
        /// E.164.
        number: String,
    },
    /// Look for a proof of who calls; answer with `LineNews::Attested`. The limit is held here.
    Attest,
    /// Write a fact to the journal.
    Journal(CallFact),
    /// Invite the far side of a call that we place; answer with `Input::Placing`. Only ever after
    /// `Input::Journaled`, at most once.
    Place {
        /// How long it may ring.
        ring_for: Duration,
    },
    /// 180 Ringing.
    Ring,
    /// 183 Session Progress with our SDP; media runs.
    EarlyMedia,
    /// 200 OK with our SDP; media runs. Only ever after `Input::Journaled`, at most once.
    Answer,
    /// The final refusal of the INVITE. At most once, never after [`Effect::Answer`].
    Reject {
        /// SIP status.
        status: u16,
        /// Q.850 cause for the Reason header (RFC 3326).
        q850: u8,
        /// Reason phrase instead of the usual one.
        reason: Option<String>,
        /// Seconds for a Retry-After header; the sender adds jitter.
        retry_after_s: Option<u32>,
    },
    /// BYE with a Reason header (RFC 3326), or CANCEL where the far side has not answered a
    /// [`Effect::Place`]. At most once, only after [`Effect::Answer`] or [`Effect::Place`].
    Hangup {
        /// Q.850 cause.
        q850: u8,
    },
    /// Warm an agent; answer with `AgentReady` or `AgentFailed`. The limit is held here.
    PrepareAgent {
        /// Which.
        agent: AgentSource,
    },
    /// The agent takes the call.
    StartAgent {
        /// Which.
        agent: AgentSource,
        /// In what state it was prepared.
        start: AgentStart,
    },
    /// Drop the agent, prepared or running.
    StopAgent,
    /// A digit for the running agent.
    AgentDigit {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// Play a sound file.
    Play {
        /// Comes back with `PlayFinished` or `PlayFailed`.
        tag: u64,
        /// File below the media folder, or `prompt:NAME`.
        source: String,
        /// Again and again.
        repeat: bool,
    },
    /// Say a text.
    Say {
        /// Comes back with `PlayFinished` or `PlayFailed`.
        tag: u64,
        /// What.
        text: String,
        /// A voice other than the default one.
        voice: Option<String>,
    },
    /// Stop whatever `Play` or `Say` is out; no `PlayFinished` is expected for it.
    StopPlayout,
    /// Record from now on.
    Record(RecordSpec),
    /// Stop recording.
    StopRecord,
    /// Stop recording, and delete what was recorded.
    DropRecord,
    /// The recording is silent from now on, or has its sound again.
    PauseRecord {
        /// Whether it is silent.
        silent: bool,
        /// Who wants it so.
        by: PauseBy,
    },
    /// While true, nothing that is said in this call is written down: no words, no digits. What was
    /// said before it ends stays unwritten.
    Withhold(bool),
    /// While true, what the caller says is an answer: told as `RecordingNews::Said` and to nobody else.
    HearAnswer(bool),
    /// While true, nothing the caller keys or says reaches recording, transcript or traces.
    Mask(bool),
    /// While true, everything rests: the far side does not listen and does not speak to us.
    Hold(bool),
    /// What the leg does by itself.
    Mode(MediaMode),
    /// Call somebody. All targets ring together, the first to answer wins, the rest are cancelled.
    Dial {
        /// Comes back with the `Dial…` inputs.
        attempt: u32,
        /// Whom.
        targets: Vec<Callee>,
        /// Who wants it: the plan, its fallback, or an agent.
        by: By,
        /// How long; the machine itself cancels when the time is up.
        ring_for: Duration,
        /// Caller identity to show (a user part).
        from: String,
    },
    /// Ask the far side to call somebody itself (RFC 3515); answer with `Input::Handover`.
    Refer {
        /// Whom.
        to: Callee,
        /// Who wants it.
        by: By,
    },
    /// The agent is silent and hears nothing until it is resumed.
    HoldAgent,
    /// The agent has the caller again, with the conversation so far.
    ResumeAgent {
        /// What came of the handover.
        end: HandoverEnd,
    },
    /// Give up a dial. A 200 that crosses it gets ACK and BYE from whoever carries this out.
    CancelDial {
        /// Which.
        attempt: u32,
    },
    /// Join this leg with the one that answered, media through us.
    Join {
        /// The dial that was answered.
        attempt: u32,
    },
    /// Go into a room, media through us; answer with `Input::Room`, then and whenever somebody comes or goes.
    EnterRoom {
        /// `conference/NAME` or `park/SLOT`; every tenant has rooms of its own.
        room: String,
        /// Callers who fit in.
        seats: u16,
        /// Whom it takes.
        entry: Entry,
        /// Whose leg: ours, or that of whom we called.
        whose: Side,
    },
    /// The leg that the call began with is over, and the call is not: stop its sound, free what is its own.
    CloseLeg,
    /// Leave it.
    LeaveRoom,
    /// Separate the legs and hang up the other one.
    Unjoin,
    /// A line for the log.
    Log {
        /// The line.
        text: String,
    },
    /// Stop the sound, finish the recording, then answer with `Input::MediaClosed`.
    CloseMedia,
    /// The call is over: file its one record, free everything. `Journal(Ended)` came just before.
    Ended(Box<Ending>),
}

/// In what state an agent takes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentStart {
    /// It reported ready.
    Warm,
    /// It was not asked to prepare.
    Cold,
    /// It was not ready in time or failed: the caller hears the fallback.
    Fallback {
        /// Why, for the log.
        reason: String,
    },
}

/// What a leg does without anybody's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaMode {
    /// Playout or silence out.
    Normal,
    /// Every frame back through jitter buffer and codec.
    Echo,
    /// What a caller hears while somebody else rings (ITU-T E.180).
    Ringback,
    /// A sine wave.
    Tone {
        /// Frequency.
        hz: u16,
        /// Level in dBm0.
        level_dbm0: i8,
    },
}

/// Facts that the machine knows of. The owner adds ids, sequence, times and what only it knows
/// (codec, SIP Call-ID, agent version).
#[derive(Debug, Clone, PartialEq)]
pub enum CallFact {
    /// `started`, before anything else.
    Started,
    /// `attested`. At most once.
    Attested(Attestation),
    /// `routed`.
    Routed {
        /// Context and route, `public/reception`; `number` when the number's agent answered.
        route: String,
    },
    /// `ringing`.
    Ringing,
    /// `early_media`.
    EarlyMedia,
    /// `answered`.
    Answered {
        /// INVITE to 200.
        setup: Duration,
    },
    /// `ack_confirmed`.
    AckConfirmed,
    /// `agent_started`.
    AgentStarted {
        /// Which.
        agent: AgentSource,
    },
    /// The agent failed: `provider_trouble` or a log line, as the owner knows more.
    AgentFailed {
        /// Why.
        reason: String,
    },
    /// `digit`; never one of a secret entry.
    Digit {
        /// Which.
        digit: char,
    },
    /// `consent`.
    Consent(Consent),
    /// `recording_paused`.
    RecordingPaused {
        /// Who wants it so.
        by: PauseBy,
    },
    /// `recording_resumed`.
    RecordingResumed {
        /// Who wants it so.
        by: PauseBy,
    },
    /// `recording_deleted`.
    RecordingDeleted,
    /// `recording_started`.
    RecordingStarted {
        /// Channels in the file.
        channels: u8,
    },
    /// `held`.
    Held,
    /// `resumed`.
    Resumed,
    /// `bridged`.
    Bridged {
        /// Who answered.
        target: String,
    },
    /// `transfer_started`.
    TransferStarted {
        /// The destination.
        to: String,
        /// `refer` or `bridge`.
        mode: &'static str,
    },
    /// `transferred`.
    Transferred {
        /// Who has the caller.
        target: String,
        /// `refer` or `bridge`; where a phone did it: `blind`, `attended` or `replaced`.
        mode: &'static str,
    },
    /// `transfer_failed`; the agent goes on.
    TransferFailed {
        /// The destination.
        to: String,
        /// Why.
        reason: EndReason,
    },
    /// `agent_resumed`.
    AgentResumed,
    /// `logged`.
    Logged {
        /// The line.
        line: String,
    },
    /// `ended`. Exactly once.
    Ended(Ended),
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The caller.
    Caller,
    /// Whom we called.
    Callee,
    /// The agent.
    Agent,
    /// The dialplan.
    Dialplan,
    /// The other leg of a bridge.
    Bridge,
    /// An operator or a REST client.
    Operator,
    /// We ourselves: a limit, a fault, a lost connection.
    Server,
}

/// How a call ended: what its record is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// Who.
    pub by: Party,
    /// The final status of the INVITE: 200, or the refusal.
    pub sip_status: Option<u16>,
    /// Q.850 cause.
    pub q850: u8,
    /// When the INVITE came.
    pub started: Duration,
    /// When our 200 left.
    pub answered: Option<Duration>,
    /// When the end was decided.
    pub ended: Duration,
    /// The route that took the call.
    pub route: Option<String>,
    /// The last agent that took the call.
    pub agent: Option<AgentSource>,
}

impl Ending {
    /// The `ended` fact.
    pub fn fact(&self) -> Ended {
        let talked = self.answered.map_or(Duration::ZERO, |answered| {
            self.ended.saturating_sub(answered)
        });
        Ended {
            reason: self.reason,
            sip_code: self.sip_status,
            q850: Some(self.q850),
            duration_ms: u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
