//! What actions make the call machine do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::RecordingMode;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialing::Digits;
use crate::length::Length;

/// One step of a call, variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// 200 OK.
    Answer,
    /// 180 Ringing.
    Ring,
    /// 183 Session Progress with SDP.
    EarlyMedia,
    /// An agent takes the call until it is done.
    Agent(AgentSource),
    /// A sound file.
    Play {
        /// Name below the media folder.
        source: String,
        /// Whether it starts again at its end, until the call ends.
        repeat: bool,
    },
    /// Synthesised speech.
    Say {
        /// What is said.
        text: String,
        /// A voice other than the default.
        voice: Option<String>,
    },
    /// Digits from the caller.
    Gather(GatherOp),
    /// Recording from now on.
    Record(RecordSpec),
    /// Recording once the caller was told, or has agreed.
    Consent(ConsentOp),
    /// The recording is silent (true), or has sound again.
    PauseRecording(bool),
    /// Sets a variable.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Forgets a variable.
    Unset {
        /// Its name.
        name: String,
    },
    /// On with a section.
    Goto {
        /// Its name.
        section: String,
    },
    /// Calls somebody and joins both legs.
    Bridge(BridgeOp),
    /// Into a room with others.
    Room(RoomOp),
    /// A final refusal before the answer; a hang-up after it.
    Reject {
        /// SIP status, 400–699.
        status: u16,
        /// Reason phrase instead of the usual one.
        reason: Option<String>,
    },
    /// Ends the call.
    Hangup(HangupCause),
    /// Sends back every frame.
    Echo,
    /// A sine wave.
    Tone {
        /// Frequency.
        hz: u16,
        /// Level in dBm0 (G.711: 0 dBm0 is 3.14 dB below full scale).
        level_dbm0: i8,
        /// For how long; None is until the call ends.
        length: Option<Duration>,
    },
    /// Waits.
    Sleep(Duration),
    /// A line in the call's journal and log.
    Log {
        /// The line.
        text: String,
    },
}

/// Who answers as the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// A published agent, `tenant/slug`.
    Named(String),
    /// Nobody speaks; what the caller says is transcribed.
    Listen,
    /// A separate process over AudioSocket, at `[loadtest] stub`.
    Stub,
    /// The agent interface in process, returning what it hears.
    StubLocal,
}

/// What is heard before digits are awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A sound file.
    Play(String),
    /// Synthesised speech.
    Say(String),
}

/// How digits are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherOp {
    /// What is heard first; a digit cuts it.
    pub prompt: Option<Prompt>,
    /// The variable that takes the digits.
    pub into: String,
    /// Fewest digits.
    pub min: u8,
    /// Most digits; the entry is done when they are there.
    pub max: u8,
    /// Wait for the first digit, from the end of the prompt.
    pub timeout: Duration,
    /// Wait for each further digit.
    pub digit_timeout: Duration,
    /// Digits that end the entry and are not part of it.
    pub terminators: String,
    /// How often the prompt is given.
    pub tries: u8,
    /// Whether the digits stay out of journal, transcript, recording and traces.
    pub secret: bool,
    /// Digits → section.
    pub choices: BTreeMap<String, String>,
    /// The section when every try failed; None goes on with the next action.
    pub or_else: Option<String>,
}

/// How a call is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpec {
    /// 1 = mixed, 2 = caller left, agent right.
    pub channels: u8,
    /// How consent is obtained.
    pub consent: Consent,
}

/// How consent to a recording is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The greeting or a prompt says that the call is recorded; who stays on the line agrees.
    Announce,
    /// Consent was obtained elsewhere or is not needed here.
    Given,
    /// The caller is asked, and agrees by key 1 or by word. Until then nothing of the conversation is kept.
    Ask,
}

/// A recording that the caller is told of, or asked for, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentOp {
    /// Told or asked.
    pub mode: RecordingMode,
    /// 1 = mixed, 2 = caller left, agent right.
    pub channels: u8,
    /// What the caller hears.
    pub text: String,
}

/// Somebody to call, variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// `trunk/NAME/NUMBER`, `user/NAME`, a SIP URI or a number.
    pub name: String,
    /// Whether a variable is part of it: whoever calls may then have chosen the digits.
    pub digits: Digits,
}

impl Callee {
    /// Somebody whom the operator or the tenant named.
    pub fn written(name: impl Into<String>) -> Callee {
        Callee {
            name: name.into(),
            digits: Digits::Written,
        }
    }

    /// Somebody whom the other side named.
    pub fn supplied(name: impl Into<String>) -> Callee {
        Callee {
            name: name.into(),
            digits: Digits::Supplied,
        }
    }
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeOp {
    /// An inner list rings together, the outer one in turn.
    pub stages: Vec<Vec<Callee>>,
    /// Whether the far side of our own leg is asked to call the target itself first.
    pub refer: Refer,
    /// How long each stage rings.
    pub ring_for: Duration,
    /// Caller identity shown to the far side (a user part); None is the caller's own.
    pub from: Option<String>,
    /// Sections for `busy`, `no_answer`, `failed`.
    pub on_busy: Option<String>,
    /// When nobody answered in time.
    pub on_no_answer: Option<String>,
    /// Anything else.
    pub on_failed: Option<String>,
}

/// A room to go into, variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOp {
    /// `conference/NAME` or `park/SLOT`.
    pub room: String,
    /// Callers who fit in.
    pub seats: u16,
    /// Who is let in.
    pub entry: Entry,
    /// A sound for whoever is alone in it.
    pub music: Option<String>,
    /// How long somebody may be alone in it; None is until the call ends.
    pub alone_for: Option<Duration>,
    /// The section for whom it does not take.
    pub refused: Option<String>,
    /// The section for whom nobody came.
    pub timed_out: Option<String>,
}

/// Whom a room takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Everybody, until it is full.
    Anybody,
    /// The first, who waits.
    Parks,
    /// The second, if the first is there.
    PicksUp,
    /// Two who are to meet, in any order.
    Meets,
}

/// Whether a caller is handed over by REFER (RFC 3515).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refer {
    /// We call the target and stay in the middle.
    #[serde(rename = "bridge")]
    #[default]
    Never,
    /// REFER; where it is refused, through us.
    #[serde(rename = "refer_or_bridge")]
    First,
    /// REFER; a refusal fails the transfer.
    #[serde(rename = "refer")]
    Only,
}

/// Why the dialplan ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HangupCause {
    /// Q.850 16, normal clearing.
    Normal,
    /// Q.850 17, user busy.
    Busy,
    /// Q.850 19, no answer.
    NoAnswer,
    /// Q.850 21, call rejected.
    Rejected,
    /// Q.850 1, unallocated number.
    NotFound,
    /// Q.850 34, no circuit available.
    Congestion,
}

impl HangupCause {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Normal,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::NotFound,
        Self::Congestion,
    ];

    /// The name in dialplans.
    pub const fn name(self) -> &'static str {
        match self {
            HangupCause::Normal => "normal",
            HangupCause::Busy => "busy",
            HangupCause::NoAnswer => "no_answer",
            HangupCause::Rejected => "rejected",
            HangupCause::NotFound => "not_found",
            HangupCause::Congestion => "congestion",
        }
    }

    /// The Q.850 cause value.
    pub const fn q850(self) -> u8 {
        match self {
            HangupCause::Normal => 16,
            HangupCause::Busy => 17,
            HangupCause::NoAnswer => 19,
            HangupCause::Rejected => 21,
            HangupCause::NotFound => 1,
            HangupCause::Congestion => 34,
        }
    }

    /// The SIP status that says the same before the answer (RFC 3398 §7.2.4.1).
    pub const fn status(self) -> u16 {
        match self {
            HangupCause::Normal | HangupCause::NoAnswer => 480,
            HangupCause::Busy => 486,
            HangupCause::Rejected => 603,
            HangupCause::NotFound => 404,
            HangupCause::Congestion => 503,
        }
    }
}

impl Op {
    /// True when the far side notices it: such an op waits for the ACK of our 200.
    pub fn is_heard(&self) -> bool {
        match self {
            Op::Agent(_)
            | Op::Play { .. }
            | Op::Say { .. }
            | Op::Gather(_)
            | Op::Consent(_)
            | Op::Bridge(_)
            | Op::Room(_)
            | Op::Echo
            | Op::Tone { .. }
            | Op::Reject { .. }
            | Op::Hangup(_) => true,
            Op::Answer
            | Op::Ring
            | Op::EarlyMedia
            | Op::Record(_)
            | Op::PauseRecording(_)
            | Op::Set { .. }
            | Op::Unset { .. }
            | Op::Goto { .. }
            | Op::Sleep(_)
            | Op::Log { .. } => false,
        }
    }

    /// True when the call machine waits for something after it.
    pub fn waits(&self) -> bool {
        match self {
            Op::Agent(_)
            | Op::Play { .. }
            | Op::Say { .. }
            | Op::Gather(_)
            | Op::Consent(_)
            | Op::Bridge(_)
            | Op::Room(_)
            | Op::Echo
            | Op::Tone { .. }
            | Op::Sleep(_)
            | Op::Answer => true,
            Op::Ring
            | Op::EarlyMedia
            | Op::Record(_)
            | Op::PauseRecording(_)
            | Op::Set { .. }
            | Op::Unset { .. }
            | Op::Goto { .. }
            | Op::Reject { .. }
            | Op::Hangup(_)
            | Op::Log { .. } => false,
        }
    }
}

impl fmt::Display for AgentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentSource::Named(name) => write!(f, "agent {name}"),
            AgentSource::Listen => write!(f, "listen (mute, transcribed)"),
            AgentSource::Stub => write!(f, "stub (a separate agent process)"),
            AgentSource::StubLocal => write!(f, "stub_local (hears itself)"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Answer => write!(f, "answer (200)"),
            Op::Ring => write!(f, "ring (180)"),
            Op::EarlyMedia => write!(f, "early media (183)"),
            Op::Agent(source) => write!(f, "{source}"),
            Op::Play {
                source,
                repeat: true,
            } => write!(f, "play {source}, again and again"),
            Op::Play {
                source,
                repeat: false,
            } => write!(f, "play {source}"),
            Op::Say { text, .. } => write!(f, "say {text:?}"),
            Op::Gather(gather) => write!(
                f,
                "gather {}–{} digits into {}",
                gather.min, gather.max, gather.into
            ),
            Op::Record(spec) => write!(f, "record, {} channel(s)", spec.channels),
            Op::Consent(op) => write!(f, "record after {:?} ({})", op.text, op.mode.as_str()),
            Op::PauseRecording(true) => write!(f, "pause the recording"),
            Op::PauseRecording(false) => write!(f, "go on recording"),
            Op::Set { name, value } => write!(f, "set {name} = {value:?}"),
            Op::Unset { name } => write!(f, "unset {name}"),
            Op::Goto { section } => write!(f, "goto {section}"),
            Op::Bridge(bridge) => write!(f, "{bridge}"),
            Op::Room(room) => match room.entry {
                Entry::Anybody | Entry::Parks | Entry::Meets => write!(f, "into {}", room.room),
                Entry::PicksUp => write!(f, "pick up from {}", room.room),
            },
            Op::Reject {
                status,
                reason: Some(reason),
            } => write!(f, "reject {status} {reason}"),
            Op::Reject {
                status,
                reason: None,
            } => write!(f, "reject {status}"),
            Op::Hangup(cause) => write!(f, "hang up (Q.850 {})", cause.q850()),
            Op::Echo => write!(f, "echo"),
            Op::Tone { hz, level_dbm0, .. } => write!(f, "tone {hz} Hz at {level_dbm0} dBm0"),
            Op::Sleep(length) => write!(f, "sleep {}", Length(*length)),
            Op::Log { text } => write!(f, "log {text:?}"),
        }
    }
}

impl fmt::Display for BridgeOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = |stage: &Vec<Callee>| {
            let names: Vec<&str> = stage.iter().map(|callee| callee.name.as_str()).collect();
            names.join(" + ")
        };
        let stages: Vec<String> = self.stages.iter().map(stage).collect();
        write!(
            f,
            "{} {}, each for {}",
            match self.refer {
                Refer::Never => "bridge to",
                Refer::First => "refer or bridge to",
                Refer::Only => "refer to",
            },
            stages.join(", then "),
            Length(self.ring_for)
        )
    }
}
