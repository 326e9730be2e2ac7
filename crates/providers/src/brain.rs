//! Brains: what an agent's configuration makes of a call.

pub mod full_duplex;
pub mod llm;
pub mod script;
pub mod tools;

use call_core::{
    brain::{Brain, ToolSpec},
    pipeline::{Dialogue, EchoBrain, PipelineBrain, PipelineConfig},
};
use model::agent::{AgentConfig, BrainConfig};

/// Why no Brain could be made for an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrainError {
    /// The built-in table of phrases is broken.
    #[error("the script's table of phrases cannot be read: {why}")]
    Phrases {
        /// The reader's words.
        why: String,
    },
    /// No row of the table takes this configuration.
    #[error("this build has no brain for the agent's configuration")]
    NoRow,
}

/// What a row makes.
pub type Built = Result<Box<dyn Brain>, BrainError>;

/// One row of the table: makes a Brain of the configurations it knows, `None` of others.
pub struct BrainSpec {
    /// The `kind` of its configuration.
    pub kind: &'static str,
    /// Makes one.
    pub build: fn(&AgentConfig, &[ToolSpec]) -> Option<Built>,
}

/// Every kind of Brain an agent may have. Adding one is a file and a line here.
pub const ALL: &[BrainSpec] = &[
    BrainSpec {
        kind: "script",
        build: |config, _| match &config.brain {
            BrainConfig::Script(script) => Some(
                script::Script::new(config, script)
                    .map(|script| pipeline(config, Box::new(script))),
            ),
            BrainConfig::Llm(_) | BrainConfig::Echo => None,
        },
    },
    BrainSpec {
        kind: "llm",
        build: |config, tools| match &config.brain {
            BrainConfig::Llm(mind) => {
                let dialogue = llm::LlmDialogue::new(mind, tools.to_vec());
                Some(Ok(pipeline(config, Box::new(dialogue))))
            }
            BrainConfig::Script(_) | BrainConfig::Echo => None,
        },
    },
    BrainSpec {
        kind: "echo",
        build: |config, _| match &config.brain {
            BrainConfig::Echo => Some(Ok(Box::new(EchoBrain::new()))),
            BrainConfig::Script(_) | BrainConfig::Llm(_) => None,
        },
    },
];

/// The Brain of a call. `tools` are the granted ones ([`tools::specs`]).
///
/// # Errors
/// See [`BrainError`].
pub fn build(config: &AgentConfig, tools: &[ToolSpec]) -> Built {
    ALL.iter()
        .find_map(|row| (row.build)(config, tools))
        .unwrap_or(Err(BrainError::NoRow))
}

fn pipeline(config: &AgentConfig, dialogue: Box<dyn Dialogue>) -> Box<dyn Brain> {
    Box::new(PipelineBrain::new(PipelineConfig::from(config), dialogue))
}
