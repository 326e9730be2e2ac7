//! A language model that follows a script: words with delays, tools, stalls and failures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use call_core::brain::{MindEvent, ThinkRequest};
use tokio::{sync::mpsc::Sender, time::sleep};

use super::{Llm, LlmSpec, Thinking};

/// The row of the table.
pub const SPEC: LlmSpec = LlmSpec {
    kind: "fake",
    open: |shared, _| Ok(shared.fakes.llm.clone()),
};

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Wait(Duration),
    Tell(MindEvent),
    Hang,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn(Vec<Step>);

impl Turn {
    /// Says a text word by word, 20 ms after each other, after 100 ms.
    pub fn say(text: &str) -> Self {
        Self::say_slowly(text, Duration::from_millis(100), Duration::from_millis(20))
    }

    /// Says a text word by word: `first` before the first, `each` before every other.
    pub fn say_slowly(text: &str, first: Duration, each: Duration) -> Self {
        let mut turn = Self(vec![Step::Wait(first)]);
        for (at, word) in text.split_inclusive(' ').enumerate() {
            if at > 0 {
                turn.0.push(Step::Wait(each));
            }
            turn.0.push(Step::Tell(MindEvent::Delta(word.into())));
        }
        turn.then(MindEvent::Done)
    }

    /// Asks for a tool.
    pub fn tool(name: &str, arguments: &serde_json::Value) -> Self {
        Self::default()
            .wait(Duration::from_millis(100))
            .then(MindEvent::ToolCall {
                model_call_id: format!("call_{name}"),
                name: name.into(),
                arguments: arguments.to_string(),
            })
            .then(MindEvent::Done)
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self(vec![Step::Hang])
    }

    /// Says a text and then never ends.
    pub fn say_and_hang(text: &str) -> Self {
        let mut turn = Self::say(text);
        turn.0.pop();
        turn.0.push(Step::Hang);
        turn
    }

    /// Fails after `delay`.
    pub fn fail(delay: Duration, why: &str) -> Self {
        Self::default()
            .wait(delay)
            .then(MindEvent::Failed { why: why.into() })
    }

    /// Waits.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.0.push(Step::Wait(time));
        self
    }

    /// Tells an event.
    #[must_use]
    pub fn then(mut self, event: MindEvent) -> Self {
        self.0.push(Step::Tell(event));
        self
    }
}

/// See the module. Each question gets the next answer of the script, then the last again.
#[derive(Debug)]
pub struct FakeLlm {
    turns: Arc<[Turn]>,
    asked: AtomicUsize,
}

impl Default for FakeLlm {
    fn default() -> Self {
        Self::new(vec![Turn::say("All right. Is there anything else?")])
    }
}

impl FakeLlm {
    /// A model with a script.
    pub fn new(turns: Vec<Turn>) -> Self {
        Self {
            turns: turns.into(),
            asked: AtomicUsize::new(0),
        }
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Llm for FakeLlm {
    fn think(&self, _request: ThinkRequest) -> Thinking {
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let turn = self.turns.get(at).or(self.turns.last()).cloned();
        let steps = turn.unwrap_or_default().0;
        Thinking::run(|tell| play(steps, tell))
    }
}

async fn play(steps: Vec<Step>, tell: Sender<MindEvent>) {
    for step in steps {
        match step {
            Step::Wait(time) => sleep(time).await,
            Step::Hang => std::future::pending().await,
            Step::Tell(event) => {
                if tell.send(event).await.is_err() {
                    return;
                }
            }
        }
    }
}
