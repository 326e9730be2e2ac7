//! Consent taken back: what was said in such a call is forgotten, and not taken in any more.

use std::collections::{BTreeMap, HashSet};

use model::{CallId, ConsentState, Fact, FactKind};

use super::{StoreError, Tx, sql::sql};
use crate::fold::CallRecord;

/// Facts that hold what was said or keyed, with their events.
const CONTENT: &[(&str, &str)] = &[
    ("segment", "transcript.segment"),
    ("digit", "call.dtmf"),
    ("tool", "tool.completed"),
    ("tool", "tool.failed"),
    ("tool", "tool.denied"),
    ("logged", "call.logged"),
    ("provider_trouble", "provider.degraded"),
];

/// The calls whose callers took their consent back, now or before.
pub(super) fn withdrawn(calls: &BTreeMap<CallId, CallRecord>, facts: &[Fact]) -> HashSet<CallId> {
    let before = calls.values().filter(|call| call.is_withdrawn());
    let taken_back = |fact: &&Fact| match &fact.kind {
        FactKind::Consent(consent) => consent.state == ConsentState::Withdrawn,
        _ => false,
    };
    let now = facts.iter().filter(taken_back);
    let now = now.map(|fact| fact.conversation);
    before.map(|call| call.id).chain(now).collect()
}

/// Whether a fact holds what was said or keyed.
pub(super) fn has_content(fact: &Fact) -> bool {
    CONTENT.iter().any(|(kind, _)| *kind == fact.kind.name())
}

impl Tx {
    /// Deletes what was said in a call, from its timeline and from what listeners can still read.
    pub(super) async fn forget_words(&mut self, id: CallId) -> Result<(), StoreError> {
        for (fact, event) in CONTENT {
            let facts = sql("delete from facts where call_id = $1 and kind = $2");
            self.run(facts.bind(id).bind(*fact)).await?;
            let events = sql(
                "update events set data = '{\"withheld\":true}' where call_id = $1 and kind = $2",
            );
            self.run(events.bind(id).bind(*event)).await?;
        }
        Ok(())
    }
}
