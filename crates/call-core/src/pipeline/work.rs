//! Questions to models and tool runs that are out, each with its limit.

use std::{collections::BTreeMap, time::Duration};

use crate::brain::{ThinkId, ToolRunId};

/// See the module's first line.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// When each was asked or last heard of.
    minds: BTreeMap<ThinkId, Duration>,
    tools: BTreeMap<ToolRunId, Duration>,
}

impl Work {
    pub(super) fn asked(&mut self, now: Duration, id: ThinkId) {
        self.minds.insert(id, now);
    }

    /// A sign of life of a question; false when nobody waits for it any more.
    pub(super) fn mind_spoke(&mut self, now: Duration, id: ThinkId) -> bool {
        self.minds.get_mut(&id).map(|at| *at = now).is_some()
    }

    pub(super) fn forget_mind(&mut self, id: ThinkId) -> bool {
        self.minds.remove(&id).is_some()
    }

    /// All questions that are out; none is afterwards.
    pub(super) fn drop_minds(&mut self) -> Vec<ThinkId> {
        std::mem::take(&mut self.minds).into_keys().collect()
    }

    pub(super) fn runs(&mut self, now: Duration, id: ToolRunId) {
        self.tools.insert(id, now);
    }

    /// False when nobody waits for it any more.
    pub(super) fn tool_returned(&mut self, id: &ToolRunId) -> bool {
        self.tools.remove(id).is_some()
    }

    pub(super) fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    pub(super) fn has_minds(&self) -> bool {
        !self.minds.is_empty()
    }

    /// The first tool that stayed away too long, if any.
    pub(super) fn overdue_tool(&self, now: Duration, limit: Duration) -> Option<ToolRunId> {
        let overdue = self
            .tools
            .iter()
            .find(|(_, since)| since.saturating_add(limit) <= now);
        overdue.map(|(id, _)| id.clone())
    }

    /// Whether a model has been silent too long.
    pub(super) fn mind_is_overdue(&self, now: Duration, limit: Duration) -> bool {
        self.minds
            .values()
            .any(|since| since.saturating_add(limit) <= now)
    }

    pub(super) fn poll_timeout(
        &self,
        tool_limit: Duration,
        mind_limit: Duration,
    ) -> Option<Duration> {
        let tools = self
            .tools
            .values()
            .map(|since| since.saturating_add(tool_limit));
        let minds = self
            .minds
            .values()
            .map(|since| since.saturating_add(mind_limit));
        tools.chain(minds).min()
    }
}
