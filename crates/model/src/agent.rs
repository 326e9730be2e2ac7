//! What an agent is: the published configuration that a call pins for life.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AgentId, RecordingMode, TenantId, command::TransferDestination};

/// Which agent, in which version, took a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentRef {
    /// The agent.
    pub id: AgentId,
    /// Its slug, unique in the tenant.
    pub slug: String,
    /// The immutable version, from 1.
    pub version: u32,
    /// SHA-256 of the version's canonical JSON, hex.
    pub config_hash: String,
}

/// A published version as the snapshot carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedAgent {
    /// Whose agent it is.
    pub tenant: TenantId,
    /// The tenant's slug: operator files name `tenant/agent`.
    pub tenant_slug: String,
    /// The agent and version.
    #[serde(flatten)]
    pub agent: AgentRef,
    /// Whether this is the version that unpinned numbers follow.
    pub latest: bool,
    /// What it does.
    pub config: AgentConfig,
}

/// Everything that shapes an agent's conversation. A draft holds one, a version freezes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The name the agent gives itself, 1 to 50 characters.
    pub display_name: String,
    /// First words. `{disclosure}` marks where the AI disclosure goes; without it, it follows the greeting.
    #[serde(default)]
    pub greeting: String,
    /// Whether the agent says that it is an automated assistant (on by default).
    #[serde(default = "yes")]
    pub disclosure: bool,
    /// Last words on a natural end, at most 200 characters.
    #[serde(default)]
    pub farewell: String,
    /// What is said when the agent cannot go on.
    #[serde(default = "default_apology")]
    pub apology: String,
    /// BCP 47 language; the local models speak `en` only.
    #[serde(default = "default_language")]
    pub language: String,
    /// How it sounds.
    #[serde(default)]
    pub voice: VoiceConfig,
    /// How it hears.
    #[serde(default)]
    pub stt: SttConfig,
    /// When it speaks, waits and yields.
    #[serde(default)]
    pub turn: TurnConfig,
    /// What it says: a script, a language model.
    pub brain: BrainConfig,
    /// What it books, and when; whatever thinks for it. Absent: the rules of its script, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bookings: Option<BookingRules>,
    /// Tools it may call, by name (`book_table`, `find_booking`, `end_call`).
    #[serde(default)]
    pub tools: Vec<String>,
    /// Whom it may hand callers to, with the tool `transfer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<TransferDestination>,
    /// Longest call in seconds, 10 to 14,400.
    #[serde(default = "default_max_duration_s")]
    pub max_duration_s: u32,
    /// Whether calls are recorded (stereo WAV) without the dialplan saying so; short for `recording: on`.
    #[serde(default)]
    pub record: bool,
    /// When calls are recorded, where neither dialplan nor number say; it counts more than `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingMode>,
    /// What callers are told or asked before a recording, in place of the usual words of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_text: Option<String>,
}

/// The voice of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// A voice provider: `local`, or one that the operator declared (`[providers.NAME]`).
    pub provider: String,
    /// The provider's voice (`rms`, `kal`); `default` = the one the operator declared.
    pub name: String,
    /// Speaking rate, 0.5 to 2; 1 is the voice's own.
    #[serde(default = "one")]
    pub rate: f32,
}

/// The ears of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SttConfig {
    /// A recogniser: `local`, or one that the operator declared (`[providers.NAME]`).
    pub provider: String,
}

/// Turn-taking. The defaults are meant for a telephone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TurnConfig {
    /// Silence after which a finished-sounding phrase is a turn, milliseconds.
    pub endpoint_min_ms: u32,
    /// Silence after which any phrase is a turn, milliseconds.
    pub endpoint_max_ms: u32,
    /// Whether the caller may interrupt.
    pub barge_in: bool,
    /// Speech needed to confirm an interruption, milliseconds.
    pub barge_in_confirm_ms: u32,
    /// Short words that never interrupt ("yeah", "mm-hmm").
    pub backchannel: Vec<String>,
    /// Silence of both sides before the caller is prompted, milliseconds; 0 = never.
    pub idle_ms: u32,
    /// What is said then; after the last one the call ends with the farewell.
    pub idle_prompts: Vec<String>,
}

/// What decides the agent's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrainConfig {
    /// A declarative dialogue: intents, slots, facts. No model, no key.
    Script(ScriptConfig),
    /// A language model behind an operator-named provider.
    Llm(LlmConfig),
    /// Says back what it hears; for load tests (`stub-local`).
    Echo,
}

/// A chat-completions agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmConfig {
    /// A provider the operator declared in `sidetone.toml` (`[providers.NAME]`).
    pub provider: String,
    /// The model's name as that provider knows it.
    pub model: String,
    /// The system prompt. `{{now}}`, `{{caller_number}}` and the like are filled in.
    pub prompt: String,
    /// Sampling temperature, 0 to 2.
    #[serde(default = "one")]
    pub temperature: f32,
}

/// The facts of a scripted receptionist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptConfig {
    /// What the business is called ("the Harbour Restaurant").
    pub business: String,
    /// IANA time zone of "today" and of bookings.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// Hours by weekday; a day that is missing is closed.
    #[serde(default)]
    pub opening_hours: Vec<OpeningHours>,
    /// What things cost.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Small answers, found by their words (BM25).
    #[serde(default)]
    pub knowledge: Vec<Knowledge>,
    /// Table booking within the opening hours, where the agent has no `bookings` of its own; absent =
    /// the script takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking: Option<BookingConfig>,
}

/// Opening hours of some weekdays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpeningHours {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
    pub days: Vec<String>,
    /// `HH:MM`, local.
    pub opens: String,
    /// `HH:MM`, local; not after midnight.
    pub closes: String,
}

/// A price the agent may quote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What it is, as callers say it ("the tasting menu").
    pub item: String,
    /// Other words callers use for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Price in the smallest unit (cents).
    pub cents: u32,
    /// ISO 4217.
    #[serde(default = "default_currency")]
    pub currency: String,
}

/// A question callers ask, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    /// Ways to ask it.
    pub questions: Vec<String>,
    /// What is answered.
    pub answer: String,
}

/// What can be booked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingConfig {
    /// The office's name for what is booked (`tables`).
    pub resource: String,
    /// How many can be booked in one slot.
    pub tables: u32,
    /// Largest party taken without a human.
    pub max_party: u32,
    /// Slot length, minutes.
    pub slot_minutes: u32,
}

/// What can be booked, and when. They belong to the agent: a script and a language model book alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingRules {
    /// IANA time zone of the hours and of what is booked.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// Hours by weekday; a day that is missing is closed.
    #[serde(default)]
    pub opening_hours: Vec<OpeningHours>,
    /// The office's name for what is booked (`tables`).
    pub resource: String,
    /// How many can be booked in one slot.
    pub tables: u32,
    /// Largest party taken without a human.
    pub max_party: u32,
    /// Slot length, minutes.
    pub slot_minutes: u32,
}

impl AgentConfig {
    /// When its calls are recorded.
    pub fn recording_mode(&self) -> RecordingMode {
        self.recording.unwrap_or(match self.record {
            true => RecordingMode::On,
            false => RecordingMode::Off,
        })
    }

    /// The rules of booking: the agent's own, else its script's.
    pub fn booking_rules(&self) -> Option<BookingRules> {
        self.bookings.clone().or_else(|| match &self.brain {
            BrainConfig::Script(script) => script.booking_rules(),
            BrainConfig::Llm(_) | BrainConfig::Echo => None,
        })
    }
}

impl ScriptConfig {
    /// Its `booking` within its opening hours.
    pub fn booking_rules(&self) -> Option<BookingRules> {
        let booking = self.booking.clone()?;
        Some(BookingRules {
            zone: self.zone.clone(),
            opening_hours: self.opening_hours.clone(),
            resource: booking.resource,
            tables: booking.tables,
            max_party: booking.max_party,
            slot_minutes: booking.slot_minutes,
        })
    }
}

fn yes() -> bool {
    true
}

fn one() -> f32 {
    1.0
}

fn default_language() -> String {
    "en".into()
}

fn default_zone() -> String {
    "UTC".into()
}

fn default_currency() -> String {
    "USD".into()
}

fn default_apology() -> String {
    "I am sorry, I cannot help you right now. Please call again later.".into()
}

fn default_max_duration_s() -> u32 {
    1_800
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self {
            provider: "local".into(),
            name: "rms".into(),
            rate: 1.0,
        }
    }
}

impl Default for SttConfig {
    fn default() -> Self {
        Self {
            provider: "local".into(),
        }
    }
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            endpoint_min_ms: 500,
            endpoint_max_ms: 1_500,
            barge_in: true,
            barge_in_confirm_ms: 250,
            backchannel: [
                "yeah", "yes", "ok", "okay", "mm-hmm", "uh-huh", "right", "sure",
            ]
            .map(String::from)
            .to_vec(),
            idle_ms: 12_000,
            idle_prompts: vec!["Are you still there?".into()],
        }
    }
}
