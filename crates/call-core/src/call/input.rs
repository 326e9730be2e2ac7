//! What can happen to a call.

use super::attesting::{Attested, Attesting};
use super::bridging::HandoverNews;
use super::consenting::RecordingNews;
use super::moving::Move;
use super::placing::Placing;
use super::rooms::RoomNews;
use crate::dialplan::Binding;
use crate::dialplan::action::{HangupCause, RoomOp};
use crate::digits::DigitEvent;

/// A new call as the profile took it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Profile name.
    pub profile: String,
    /// The profile's context.
    pub context: String,
    /// Trunk, where the source address belongs to one.
    pub trunk: Option<String>,
    /// Called user part, unescaped.
    pub to: String,
    /// Calling user part, unescaped.
    pub from: String,
    /// Headers that the dialplan may look at, in order.
    pub headers: Vec<(String, String)>,
    /// More variables about the parties: `caller_name`, `forwarded_by` and the like.
    pub about: Vec<(&'static str, String)>,
    /// Whether a proof of who calls is looked for.
    pub attesting: Attesting,
    /// The room in which it takes somebody's place (RFC 3891); no route is looked for.
    pub takes: Option<RoomOp>,
}

/// Everything the call machine reacts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The INVITE. First of all; before it only [`Input::Kill`] counts.
    Incoming(Box<Incoming>),
    /// The answer to `Effect::Lookup`.
    Resolved(Option<Binding>),
    /// The `started` fact is on disk.
    Journaled,
    /// The journal has no room.
    JournalRefused,
    /// The offer, or the answer in the ACK, cannot be used.
    Unusable(Unusable),
    /// ACK for our 200 (RFC 3261 §13.3.1.4).
    Acknowledged,
    /// No ACK within 64·T1 (RFC 3261 §13.3.1.4).
    AckTimeout,
    /// CANCEL (RFC 3261 §9.2).
    Cancelled,
    /// BYE (RFC 3261 §15.1.2).
    RemoteBye,
    /// News of the caller's line.
    Line(LineNews),
    /// The signalling connection is gone and the far side cannot be reached.
    TransportLost,
    /// A `Play` or `Say` reached its end.
    PlayFinished {
        /// Its tag.
        tag: u64,
    },
    /// A `Play` or `Say` could not be played.
    PlayFailed {
        /// Its tag.
        tag: u64,
        /// Why, for the log.
        reason: String,
    },
    /// A digit was reported.
    Digit(DigitEvent),
    /// No RTP for longer than the profile allows.
    MediaTimeout,
    /// The leg died and could not be restarted.
    LegLost,
    /// The answer to `Effect::CloseMedia`: playout counters and recording are final.
    MediaClosed,
    /// The agent is warm.
    AgentReady,
    /// The agent could not be prepared, or cannot go on and has no fallback left.
    AgentFailed {
        /// Why, for the log.
        reason: String,
    },
    /// The agent is done.
    AgentEnded(AgentEnd),
    /// The far side of a `Dial` rings.
    DialRinging {
        /// Which dial.
        attempt: u32,
    },
    /// The far side of a `Dial` answered.
    DialAnswered {
        /// Which dial.
        attempt: u32,
        /// Who.
        target: String,
    },
    /// A `Dial` came to nothing.
    DialFailed {
        /// Which dial.
        attempt: u32,
        /// How.
        failure: DialFailure,
    },
    /// The other leg of a bridge ended.
    BridgeEnded,
    /// News of a handover.
    Handover(HandoverNews),
    /// News of the room that the call is in.
    Room(RoomNews),
    /// News of the recording.
    Recording(RecordingNews),
    /// A side gives its place to somebody else.
    Moved(Box<Move>),
    /// News of a call that we place.
    Placing(Placing),
    /// Somebody or something outside ends the call.
    Kill(KillCause),
}

/// What the caller's line reports beside the steps of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineNews {
    /// The answer to `Effect::Attest`.
    Attested(Box<Attested>),
    /// The far side holds the call (RFC 3264 §8.4).
    Held,
    /// It has taken it off hold.
    Resumed,
    /// The Q.850 cause in the Reason header of what comes next (RFC 3326).
    Cause {
        /// 1 to 127.
        q850: u8,
    },
    /// The session timer ran out (RFC 4028 §10).
    Expired,
}

/// Why an INVITE cannot become a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// No codec in common (488).
    NoCommonCodec,
    /// The description is broken (400).
    BadOffer,
    /// No port or other resource is left (503).
    NoRoom,
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEnd {
    /// It said goodbye.
    Finished,
    /// The caller stayed silent through every prompt.
    Inactive,
    /// It asks for a section of the dialplan.
    Goto(String),
}

/// How a dial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialFailure {
    /// 486 or 600.
    Busy,
    /// Nobody answered in time, or 408 or 480.
    NoAnswer,
    /// Anything else.
    Failed,
    /// Every way there is taken.
    Full,
    /// The rules for outbound calls do not allow it.
    Forbidden,
    /// There is nobody of that name or number.
    NotFound,
}

impl DialFailure {
    /// What is said of several: busy says more than no answer, and that more than any failure;
    /// of failures the newest.
    pub fn or(self, earlier: Option<DialFailure>) -> DialFailure {
        match (earlier, self) {
            (Some(DialFailure::Busy), _) => DialFailure::Busy,
            (Some(DialFailure::NoAnswer), newest) if newest != DialFailure::Busy => {
                DialFailure::NoAnswer
            }
            (_, newest) => newest,
        }
    }
}

/// Who ends a call from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillCause {
    /// Over the server's socket or REST.
    Operator,
    /// The same, with a cause for the far side.
    OperatorWith(HangupCause),
    /// The server is drained and the call outlived the limit.
    Drain,
    /// Nobody wants it any more.
    Abandoned,
    /// A fault of ours.
    Internal,
}
