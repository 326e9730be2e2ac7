//! The Brain: the one abstraction behind every agent (DESIGN §5.3).
//!
//! A Brain is an event machine. In: what the caller did, where playout is, what models and tools
//! answered, time. Out: words or sound tagged with an utterance, cuts, requests, the end. A
//! pipeline (recogniser, turn machine, dialogue, voice) is one Brain, a script another, a
//! speech-to-speech model or somebody's WebSocket another.
//!
//! ```text
//! brain.handle(now, input);                      // exactly one input
//! while let Some(effect) = brain.poll_effect() {} // carry out every effect, in order
//! brain.poll_timeout();                          // wake it then, or at the next input
//! ```
//!
//! Endpointing belongs to the Brain; playout, ledger and cut belong to the call. A Brain never
//! learns of a cut from its own wish: only [`BrainInput::Heard`] says what was heard.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Names one utterance of the agent within a call, from 1, never reused. The media leg carries it
/// as an opaque tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UtteranceId(pub u64);

/// Names one request to a language model within a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThinkId(pub u64);

/// Names one tool run within a call. `call/turn/tool` of the idempotency key is made from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToolRunId(pub String);

/// What a Brain may know of its call. Identity is filled in by us, never by a model.
#[derive(Debug, Clone, PartialEq)]
pub struct CallContext {
    /// The conversation, as text.
    pub call_id: String,
    /// The caller's number, if it was given and may be used.
    pub caller_number: Option<String>,
    /// The number that was called.
    pub called_number: String,
    /// Wall clock at the answer, milliseconds since 1970 UTC: for "today", never for durations.
    pub unix_ms: i64,
    /// The agent's zone's offset from UTC at the answer, seconds.
    pub utc_offset_s: i32,
    /// The conversation so far, when the Brain is a restart of one that broke.
    pub history: Vec<HistoryLine>,
}

/// One line of the conversation as it truly was: the caller's words, and the agent's *heard* words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// True for the agent.
    pub agent: bool,
    /// What was said, or for the agent what was heard.
    pub text: String,
}

/// What happens to a Brain. Times are call times: milliseconds since the answer on the call's one
/// timeline (local send ticks).
#[derive(Debug, Clone, PartialEq)]
pub enum BrainInput {
    /// The phone is ringing: open sockets, render the greeting, answer with [`BrainEffect::Ready`].
    Prepare(Box<CallContext>),
    /// The caller can hear us from now on.
    Answered,
    /// 20 ms of the caller, 16 kHz PCM; only for Brains whose [`Brain::wants_frames`] is true.
    CallerFrame {
        /// Call time of its first sample.
        at_ms: u64,
        /// 320 samples.
        pcm: Box<[i16]>,
    },
    /// The caller began to speak.
    SpeechStarted {
        /// Onset.
        at_ms: u64,
    },
    /// The caller fell silent.
    SpeechEnded {
        /// Last speech sample.
        at_ms: u64,
        /// How much speech there was.
        speech_ms: u64,
    },
    /// Words so far of the speech going on (only words stable over two passes).
    Partial {
        /// When it was recognised.
        at_ms: u64,
        /// The words.
        text: String,
    },
    /// The words of one stretch of speech.
    Final(FinalTranscript),
    /// A digit (each exactly once).
    Digit {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// When it was pressed.
        at_ms: u64,
    },
    /// Where playout is.
    Playout(PlayoutReport),
    /// What the caller truly heard of an utterance that is over (from the ledger).
    Heard {
        /// Which.
        utterance: UtteranceId,
        /// The words whose sound was sent, in the source's words.
        text: String,
        /// Whether it was cut.
        interrupted: bool,
    },
    /// The language model.
    Mind(ThinkId, MindEvent),
    /// A tool came back.
    ToolResult(ToolRunId, ToolOutcome),
    /// The voice failed for an utterance; nothing more of it will be spoken.
    VoiceFailed {
        /// Which.
        utterance: UtteranceId,
        /// One line for the timeline.
        why: String,
    },
    /// The recogniser failed; speech is not being understood.
    EarsFailed {
        /// One line for the timeline.
        why: String,
    },
    /// The far side holds the call (true), or has come back: nobody hears and nobody speaks meanwhile, and no patience is lost.
    Hold(bool),
    /// The business side tells the agent something that the caller does not hear.
    Hint {
        /// What.
        text: String,
    },
    /// The call is over (hang-up, transfer): finish, say nothing more.
    CallOver,
}

/// One stretch of caller speech, recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalTranscript {
    /// Onset, call time.
    pub start_ms: u64,
    /// Last speech sample, call time.
    pub end_ms: u64,
    /// The words; empty when the recogniser heard nothing in it.
    pub text: String,
    /// 0 to 1, where the recogniser says.
    pub confidence: Option<f32>,
}

/// Something the playout queue did, told by the media leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutReport {
    /// Which utterance.
    pub utterance: UtteranceId,
    /// What.
    pub kind: PlayoutKind,
    /// Samples of it sent so far, at the leg's 8 kHz.
    pub samples_sent: u64,
    /// Call time of the tick.
    pub at_ms: u64,
}

/// See [`PlayoutReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutKind {
    /// Its first sample was sent.
    Started,
    /// It stands still.
    Paused {
        /// Where the reflex heard the caller begin, call time; none when somebody else asked for it.
        onset_ms: Option<u64>,
    },
    /// It went on at the exact sample.
    Resumed,
    /// It was cut; `samples_sent` is final.
    Cut,
    /// Its last sample was sent.
    Finished,
}

/// What a language model streams back.
#[derive(Debug, Clone, PartialEq)]
pub enum MindEvent {
    /// More text.
    Delta(String),
    /// It wants a tool (arguments complete).
    ToolCall {
        /// The model's own id of the call, to be echoed with the result.
        model_call_id: String,
        /// Which tool.
        name: String,
        /// Its arguments as the model wrote them (JSON text, unchecked).
        arguments: String,
    },
    /// The answer is complete.
    Done,
    /// It failed for good (retries and fallbacks are used up).
    Failed {
        /// One line for the timeline.
        why: String,
    },
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutcome {
    /// JSON, at most 8 KB.
    Ok(serde_json::Value),
    /// It failed or was refused; a line for the caller's ear may be made of it.
    Failed {
        /// One line.
        why: String,
    },
}

/// A request to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct ThinkRequest {
    /// Its name in this call.
    pub id: ThinkId,
    /// The operator's provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The conversation, system prompt first.
    pub messages: Vec<ChatMessage>,
    /// Tools on offer: name, description, JSON schema of the arguments.
    pub tools: Vec<ToolSpec>,
    /// 0 to 2.
    pub temperature: f32,
}

/// One message to a language model.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatMessage {
    /// Instructions.
    System(String),
    /// The caller.
    User(String),
    /// The agent, as heard.
    Assistant(String),
    /// The agent asked for a tool.
    ToolCall {
        /// The model's id of the call.
        model_call_id: String,
        /// Which tool.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// What it gave.
    ToolResult {
        /// The model's id of the call.
        model_call_id: String,
        /// JSON text.
        content: String,
    },
}

/// A tool as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: serde_json::Value,
}

/// A tool to be run beside the audio.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolRequest {
    /// Its name in this call.
    pub id: ToolRunId,
    /// Which tool; the runner knows only the agent's granted ones.
    pub name: String,
    /// Checked arguments. Identity fields (caller, call, tenant) are filled in by the runner.
    pub arguments: serde_json::Value,
}

/// What a Brain wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum BrainEffect {
    /// Preparation is done; the call may be answered.
    Ready,
    /// Speak. Text of the same utterance may come in several pieces; `last` closes it.
    Say {
        /// Which utterance.
        utterance: UtteranceId,
        /// A sentence or clause, in source words (the voice normalises it).
        text: String,
        /// No more text of this utterance follows.
        last: bool,
        /// The caller cannot interrupt it (disclosures).
        protected: bool,
    },
    /// Play sound the Brain made itself (speech-to-speech).
    Sound {
        /// Which utterance.
        utterance: UtteranceId,
        /// PCM.
        pcm: Box<[i16]>,
        /// Its rate.
        sample_rate_hz: u32,
        /// No more sound of this utterance follows.
        last: bool,
    },
    /// The words of sound the Brain makes itself, as far as it says them: for the record, never
    /// spoken. Pieces of the same utterance are joined.
    SoundText {
        /// Which utterance.
        utterance: UtteranceId,
        /// Source words.
        text: String,
    },
    /// What a Brain that listens itself heard the caller say: for the record.
    CallerSaid(FinalTranscript),
    /// Speak slower (below 1) or faster than the configured rate from the next words on; 0.5 to 2.
    Pace(f32),
    /// Cut what is playing and forget what is queued.
    Cut,
    /// The reflex pause was a false alarm: go on at the exact sample.
    Resume,
    /// Hold the reflex pause (speech goes on, not yet confirmed) or confirm it before the cut.
    HoldPause,
    /// Whether the reflex may pause the utterances that follow.
    ArmReflex(bool),
    /// Decode what the caller said so far, now (the turn is being judged).
    WantFinal,
    /// Ask a language model.
    Think(Box<ThinkRequest>),
    /// Drop a question.
    CancelThink(ThinkId),
    /// Run a tool.
    RunTool(ToolRequest),
    /// Something for the timeline and the metrics.
    Note(BrainNote),
    /// End the call once the utterance (if any) has been played out. Comes again, without or with
    /// an earlier utterance, when the voice failed for the one that was named.
    End {
        /// Why.
        reason: EndWish,
        /// The farewell to wait for.
        after: Option<UtteranceId>,
    },
}

/// Why a Brain ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndWish {
    /// The conversation came to its natural end.
    Goodbye,
    /// The caller stayed silent.
    Idle,
    /// The Brain cannot go on.
    GaveUp,
}

/// What a Brain tells the record.
#[derive(Debug, Clone, PartialEq)]
pub enum BrainNote {
    /// The turn machine took these words as the caller's turn.
    TurnTaken {
        /// The turn, from 1.
        turn: u32,
        /// End of the caller's speech, call time.
        speech_end_ms: u64,
        /// When the decision fell, call time.
        decided_ms: u64,
    },
    /// A pause was confirmed as an interruption.
    Interrupted {
        /// Onset of the caller's speech, call time.
        onset_ms: u64,
    },
    /// A pause was a false alarm.
    FalseAlarm {
        /// Onset of the noise, call time.
        onset_ms: u64,
    },
    /// The first words of the answer to a turn.
    Answering {
        /// The turn.
        turn: u32,
        /// The utterance that begins the answer (a filler does not count).
        utterance: UtteranceId,
        /// When the last words of the turn had been recognised, call time; absent for digits.
        transcript_ms: Option<u64>,
        /// When the words were there, call time.
        words_ms: u64,
    },
    /// Caller speech that is in no turn.
    SpeechDiscarded {
        /// Onset, call time.
        start_ms: u64,
        /// Last speech sample, call time.
        end_ms: u64,
        /// Why.
        why: DiscardReason,
    },
}

/// Why caller speech is in no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DiscardReason {
    /// The recogniser heard no word in it (a cough).
    NoWords,
    /// A listener's "mm-hmm" while the agent spoke.
    Backchannel,
    /// The recogniser never gave its words.
    NeverRecognised,
    /// The call ended before the turn was taken.
    CallOver,
    /// More pieces of speech than one turn may have.
    TooMuch,
}

/// See the module's first page.
pub trait Brain: Send {
    /// Takes exactly one input. `now` is the node's monotonic clock.
    fn handle(&mut self, now: Duration, input: BrainInput);
    /// The next effect, in order; `None` when drained.
    fn poll_effect(&mut self) -> Option<BrainEffect>;
    /// When [`Self::handle_timeout`] wants to be called, if at all.
    fn poll_timeout(&self) -> Option<Duration>;
    /// A late or spurious call is a no-op.
    fn handle_timeout(&mut self, now: Duration);
    /// Utterances are numbered from `first` on. Called before [`BrainInput::Prepare`] on a Brain
    /// that replaces a broken one, because numbers are never reused within a call.
    fn number_from(&mut self, _first: UtteranceId) {}
    /// Whether it wants every caller frame (speech-to-speech) or only speech events and words.
    fn wants_frames(&self) -> bool {
        false
    }
}
