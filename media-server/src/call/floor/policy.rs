//! When an agent's calls are recorded: what its version says, or the number that was called.

use std::sync::Arc;

use call_core::{
    call::{Input, RecordingNews},
    consent::RecordingPolicy,
    dialplan::action::AgentSource,
};
use model::agent::PublishedAgent;

use super::{State, bound, find};

/// The call machine learns when this agent's calls are recorded. An order has told it already.
pub(super) fn tell(state: &mut State, published: &PublishedAgent) {
    let policy = RecordingPolicy::of(&published.config, state.floor.number);
    let news = RecordingNews::Policy(policy);
    state.inbox.push_back(Input::Recording(news));
}

/// Whether the caller has to be told or asked before this agent talks. One that was prepared has told so.
pub(super) fn asks_first(state: &mut State, agent: &AgentSource) -> bool {
    let AgentSource::Named(name) = agent else {
        return false;
    };
    if !state.machine.recording_is_open() || state.floor.published.is_some() {
        return false;
    }
    let Some(published) = find(state, name) else {
        return false;
    };
    tell(state, &published);
    RecordingPolicy::of(&published.config, state.floor.number)
        .mode
        .waits()
}

/// Whether the agent to come leaves the recogniser ring to the call.
pub(in crate::call) fn is_heard_through_ears(state: &State) -> bool {
    let echo = |p: &Arc<PublishedAgent>| matches!(p.config.brain, model::BrainConfig::Echo);
    !bound(state).is_some_and(echo)
}
