//! What decides the agent's words: a script, a language model.

use std::time::Duration;

use crate::brain::{
    CallContext, EndWish, MindEvent, ThinkId, ThinkRequest, ToolOutcome, ToolRequest, ToolRunId,
};

/// What happens to a dialogue. Each input is handed over whole and in order.
///
/// Promises of the pipeline:
/// * [`Self::UserSaid`] and [`Self::UserDigits`] never come while a tool that the dialogue asked
///   for is still out; words spoken meanwhile come after its result.
/// * A turn that ran a tool is never taken back ([`Self::UserWentOn`]).
/// * Every tool asked for gets exactly one [`Self::ToolResult`]; the pipeline itself fails one that
///   stays away too long.
/// * A language model that failed for good never reaches the dialogue: the pipeline apologises and
///   ends the call.
#[derive(Debug, Clone, PartialEq)]
pub enum DialogueInput {
    /// First of all, while the phone still rings. The greeting and the disclosure are spoken by
    /// the pipeline; a dialogue says nothing here. With a `history` it continues a broken one.
    Begin(Box<CallContext>),
    /// The caller has probably finished. A dialogue that is slow to answer may begin to
    /// [`DialogueEffect::Think`] and to speak: nothing is heard and no tool runs before
    /// [`Self::UserSaid`] with the same turn and text confirms it. A quick dialogue ignores this.
    UserSeemsDone {
        /// The turn, from 1.
        turn: u32,
        /// All words of the turn so far.
        text: String,
        /// 0 to 1, the least of its parts, where the recogniser says.
        confidence: Option<f32>,
    },
    /// The caller's turn is taken. After [`Self::UserSeemsDone`] with the same turn and text this
    /// confirms it: answer then, if the answer is not under way already.
    UserSaid {
        /// The turn, from 1; rises by one with each turn that is not taken back.
        turn: u32,
        /// All words of the turn, never empty.
        text: String,
        /// 0 to 1, the least of its parts, where the recogniser says.
        confidence: Option<f32>,
    },
    /// The caller goes on before anything of the answer was heard. Go back to the state before
    /// this turn: its words come again, with more, under the same number. What the dialogue wanted
    /// said and thought for it is already dropped.
    UserWentOn {
        /// The turn that is taken back.
        turn: u32,
    },
    /// The caller pressed digits (complete as far as [`DigitsWanted`] says). Takes a turn.
    UserDigits {
        /// The turn, from 1.
        turn: u32,
        /// `0`–`9`, `*`, `#`, `A`–`D`, without the finishing key.
        digits: String,
    },
    /// The caller spoke and no word was recognised.
    NotUnderstood {
        /// How often in a row, from 1.
        times: u32,
    },
    /// The caller has been silent and the pipeline has asked whether he is there. For
    /// information; say nothing.
    Idle {
        /// How often in a row, from 1.
        times: u32,
    },
    /// The business side tells the agent something. It takes no turn: say nothing about it before
    /// the caller's next words.
    Hint {
        /// What.
        text: String,
    },
    /// A tool came back.
    ToolResult(ToolRunId, ToolOutcome),
    /// The language model ([`MindEvent::Failed`] is kept by the pipeline).
    Mind(ThinkId, MindEvent),
    /// What the caller truly heard of one utterance of the agent (greeting, fillers and prompts
    /// too). The only source for the agent's lines of the history.
    Heard {
        /// In source words; may be empty.
        text: String,
        /// The caller cut it.
        interrupted: bool,
    },
}

/// How many digits a dialogue waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitsWanted {
    /// Complete at this many, 1 to 32.
    pub max: u8,
    /// This key completes them and is not part of them.
    pub finish: Option<char>,
    /// Complete after this much time without a key.
    pub pause: Duration,
}

impl Default for DigitsWanted {
    /// Up to 32, `#` finishes, two seconds.
    fn default() -> Self {
        Self {
            max: 32,
            finish: Some('#'),
            pause: Duration::from_secs(2),
        }
    }
}

/// What a dialogue wants.
#[derive(Debug, Clone, PartialEq)]
pub enum DialogueEffect {
    /// Words of the answer. A streamed answer comes in pieces of any size (cut anywhere, the
    /// pipeline finds sentences); the last piece, maybe empty, has `last`. Text after a `last`
    /// begins the next utterance.
    Speak {
        /// Source words.
        text: String,
        /// The answer is complete.
        last: bool,
        /// The caller cannot interrupt it (legal texts). Constant within one utterance.
        protected: bool,
    },
    /// Run a tool. Nothing runs before the turn is confirmed. Make the id of turn and count
    /// (`3/1`), so that the same request keeps its key after a restart.
    RunTool(ToolRequest),
    /// Ask a language model. The dialogue counts the ids.
    Think(Box<ThinkRequest>),
    /// Drop a question (the pipeline does so itself when a turn is taken back or interrupted).
    CancelThink(ThinkId),
    /// End the call once what was said has been played. On `Goodbye` the pipeline speaks the
    /// configured farewell first, on `GaveUp` the apology: do not speak them.
    End(EndWish),
    /// Which digits complete [`DialogueInput::UserDigits`] from now on; back to the default after
    /// one entry.
    ExpectDigits(DigitsWanted),
    /// Speak slower (below 1) or faster than configured, from the next words on; 0.5 to 2.
    Pace(f32),
}

/// Decides words. Pure: no clock, no socket; `now` is the node's monotonic clock.
///
/// ```text
/// dialogue.handle(now, input);
/// while let Some(effect) = dialogue.poll_effect() {}
/// dialogue.poll_timeout();                            // only for dialogues with deadlines of their own
/// ```
pub trait Dialogue: Send {
    /// Takes exactly one input.
    fn handle(&mut self, now: Duration, input: DialogueInput);
    /// The next effect, in order; `None` when drained.
    fn poll_effect(&mut self) -> Option<DialogueEffect>;
    /// When [`Self::handle_timeout`] wants to be called, if at all.
    fn poll_timeout(&self) -> Option<Duration> {
        None
    }
    /// A late or spurious call is a no-op.
    fn handle_timeout(&mut self, _now: Duration) {}
}
