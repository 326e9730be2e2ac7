//! Whether conversations are kept, and who agreed to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When a conversation is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingMode {
    /// Never.
    #[default]
    Off,
    /// From the answer on: consent was obtained elsewhere, or none is needed.
    On,
    /// Once the caller has been told; who stays on the line agrees.
    Announce,
    /// Once the caller has agreed by key or word. Without that nothing of the conversation is kept.
    Ask,
}

impl RecordingMode {
    /// The wire name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Announce => "announce",
            Self::Ask => "ask",
        }
    }

    /// The mode with this wire name.
    pub fn from_wire(name: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::Announce, Self::Ask]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }

    /// Whether the caller has to be told or asked before anything may be kept.
    pub fn waits(self) -> bool {
        matches!(self, Self::Announce | Self::Ask)
    }
}

/// What became of the consent to a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentState {
    /// It stands.
    Given,
    /// There is none: nothing of the conversation is kept.
    Refused,
    /// It was taken back: what had been kept is deleted, nothing more is kept.
    Withdrawn,
}

/// How consent was given, refused or withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentMethod {
    /// By configuration.
    Configured,
    /// The caller was told, and stayed.
    Announcement,
    /// By a key.
    Key,
    /// By word.
    Voice,
    /// The question was not answered.
    Silence,
}

/// Whose word it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentParty {
    /// The person who called (or was called).
    Caller,
    /// Whoever configured the number, the agent or the dialplan.
    Operator,
}

/// Consent to a recording; when, is the time of its fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consent {
    /// What was asked for.
    pub mode: RecordingMode,
    /// What came of it.
    pub state: ConsentState,
    /// How.
    pub method: ConsentMethod,
    /// By whom.
    pub party: ConsentParty,
}

/// Who has a recording pause. The recording is silent meanwhile, and as long as the time that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseBy {
    /// The dialplan.
    Dialplan,
    /// The agent.
    Agent,
    /// Somebody over REST.
    Operator,
    /// A secret is being entered.
    Secret,
}
