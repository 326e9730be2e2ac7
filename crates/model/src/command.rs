//! What the office orders a switch to do, and what came of it.
//!
//! An order is handed to one start of one switch. That start may be handed it again when an answer
//! was lost, and does it once; another start never gets it: what the earlier one did with it is
//! then unknown, and nothing is dialled twice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CallId, CommandId, TenantId, agent::PublishedAgent};

/// One order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its name: done once.
    pub id: CommandId,
    /// The conversation it concerns; of a dial: the one to begin.
    pub call: CallId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What to do.
    #[serde(flatten)]
    pub action: CommandAction,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "data", rename_all = "snake_case")]
pub enum CommandAction {
    /// Call somebody and let an agent talk.
    Dial(Box<DialOrder>),
    /// End the call.
    Hangup,
    /// Hand the caller to somebody.
    Transfer(Box<TransferOrder>),
    /// Send keys (RFC 4733).
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digits: String,
    },
    /// Say something to the caller.
    Say {
        /// What.
        text: String,
        /// Cut what the agent is saying.
        interrupt: bool,
    },
    /// Pause the recording, or go on with it.
    Recording {
        /// True pauses.
        pause: bool,
    },
    /// Tell the live agent something that the caller does not hear.
    Message {
        /// What.
        text: String,
    },
}

/// A call to place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DialOrder {
    /// Whom: `+15550100`, `trunk/NAME/NUMBER`, `user/EXT` or a SIP URI.
    pub to: String,
    /// Caller identity to show: a user part.
    pub from: String,
    /// Who talks, frozen for this call.
    pub agent: PublishedAgent,
    /// How long it may ring, milliseconds.
    pub ring_for_ms: u64,
}

/// A transfer ordered over REST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferOrder {
    /// What the record calls it.
    pub name: String,
    /// Whom and how.
    pub plan: TransferPlan,
}

/// Whom a caller is handed to, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferPlan {
    /// Whom: an inner list rings together, the outer one in turn. `+15550100`,
    /// `trunk/NAME/NUMBER`, `user/EXT` or a SIP URI, as far as the rules for outbound calls allow.
    pub targets: Vec<Vec<String>>,
    /// How long each stage rings, seconds, 5 to 180.
    #[serde(default = "default_ring_s")]
    pub ring_for_s: u32,
    /// By REFER, through us, or REFER first.
    #[serde(default)]
    pub mode: TransferMode,
    /// Caller identity shown to the target; none is the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<String>,
    /// What happens when the target has hung up.
    #[serde(default)]
    pub then: AfterTransfer,
    /// What the caller is told when everybody was busy.
    #[serde(default = "default_busy")]
    pub busy_text: String,
    /// What the caller is told when nobody answered.
    #[serde(default = "default_no_answer")]
    pub no_answer_text: String,
    /// What the caller is told when nobody could be called.
    #[serde(default = "default_failed")]
    pub failed_text: String,
    /// What the caller is told when the agent takes him back after the target has hung up.
    #[serde(default = "default_resume")]
    pub resume_text: String,
    /// Whether the conversation with the target stays in the recording.
    #[serde(default = "yes")]
    pub record: bool,
}

/// How a caller is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// We call the target and stay in the middle.
    #[default]
    Bridge,
    /// The far side is asked to call it itself (REFER); a refusal fails the transfer.
    Refer,
    /// REFER; where it is refused, through us.
    ReferOrBridge,
}

/// What happens when the target of a bridge has hung up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterTransfer {
    /// The call ends.
    #[default]
    EndCall,
    /// The agent takes the caller back.
    ResumeAi,
}

/// A destination that an agent may hand callers to. The model sees the name and the description,
/// never a number or an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferDestination {
    /// As the agent calls it (`reception`), 1 to 40 characters.
    pub name: String,
    /// When to choose it.
    #[serde(default)]
    pub description: String,
    /// Whom and how.
    pub plan: TransferPlan,
}

/// What a switch is handed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// In the order in which they were given; at most 100.
    pub commands: Vec<Command>,
}

/// What came of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReport {
    /// Which.
    pub id: CommandId,
    /// What.
    pub outcome: Outcome,
}

/// How an order ended. The office adds `expired` (no switch took it) and `unknown` (the switch
/// that took it died).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done; of a dial: the INVITE left.
    Done,
    /// It was not done, and will not be.
    Refused {
        /// One line.
        why: String,
    },
}

/// The most orders handed out at once.
pub const MAX_ORDERS: usize = 100;

fn default_ring_s() -> u32 {
    30
}

fn default_busy() -> String {
    "I am sorry, the line is busy.".into()
}

fn default_no_answer() -> String {
    "I am sorry, nobody answers there.".into()
}

fn default_failed() -> String {
    "I am sorry, I cannot reach anybody there right now.".into()
}

fn default_resume() -> String {
    "You are back with me. Is there anything else I can do for you?".into()
}

fn yes() -> bool {
    true
}
