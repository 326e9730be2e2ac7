//! One call from INVITE to record, all real machines together.

mod outcome;
mod world;

use std::time::Duration;

use call_core::pipeline::PipelineConfig;

use crate::{network::Impairment, phone::Act};

pub use outcome::{Outcome, check};

/// When the INVITE comes on the node's clock.
const INVITE: Duration = Duration::from_secs(100);
/// Longest call that is played.
const LIMIT: Duration = Duration::from_secs(600);
/// Grain of virtual time.
const STEP: Duration = Duration::from_millis(5);

/// A call to be played.
#[derive(Debug, Clone)]
pub struct Script {
    /// All dice of the call come from it.
    pub seed: u64,
    /// From the caller to us, and back.
    pub network: Impairment,
    /// What the pipeline speaks itself, and its limits.
    pub pipeline: PipelineConfig,
    /// What the caller does, in any order; who never hangs up is ended by the agent.
    pub acts: Vec<Act>,
}

/// Plays a call to its end.
pub fn play(script: &Script) -> Outcome {
    let mut world = world::World::new(script);
    world.invite();
    while !world.is_over() && world.now() < INVITE + LIMIT {
        world.step();
    }
    world.outcome()
}
