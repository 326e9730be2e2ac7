//! What was said, as the record keeps it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person who called (or was called).
    Caller,
    /// The AI agent, and prompts spoken by the dialplan.
    Agent,
    /// A human colleague on a bridged leg.
    Human,
}

/// How well the word times of an utterance are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// The voice said where each word starts and ends: `heard_text` is never a word off.
    Exact,
    /// Word places were estimated: `heard_text` may be one word off.
    Estimated,
}

/// One stretch of speech by one speaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said or meant to be said, in the words of its source.
    pub text: String,
    /// First sample, in milliseconds since the answer.
    pub start_ms: u64,
    /// Last sample, in milliseconds since the answer.
    pub end_ms: u64,
    /// How sure the recogniser was, 0 to 1; absent for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Whether the caller cut this utterance.
    #[serde(default)]
    pub interrupted: bool,
    /// For the agent: the words whose sound was sent before the cut, or all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_text: Option<String>,
    /// For the agent: how the words were placed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// For the agent: samples (8 kHz) of this utterance that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_sent: Option<u64>,
    /// For the agent: samples (8 kHz) that the whole utterance has, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_total: Option<u64>,
}

/// Where the milliseconds of one turn went (DESIGN §5.8). All relative to the end of the
/// caller's speech; absent where a stage did not happen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnTimings {
    /// The turn's number in this conversation, from 1.
    pub turn: u32,
    /// The endpointing wait: end of speech to the decision that the turn is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_ms: Option<u64>,
    /// End of speech to the final transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript_ms: Option<u64>,
    /// Decision to the first words of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain_ms: Option<u64>,
    /// First words to their first sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_ms: Option<u64>,
    /// End of speech to the first RTP packet of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_packet_ms: Option<u64>,
}
