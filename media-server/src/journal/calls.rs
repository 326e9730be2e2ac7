//! What the journal knows of each call: enough to end it properly after a crash, and to tell
//! which segments are still needed.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use model::{CallId, Fact, FactKind, fact::Started};

use super::{record::Entry, segment::Position};

/// One call, from its first fact until the office has acknowledged its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CallState {
    pub boot: u64,
    pub next_seq: u32,
    pub started: Option<Started>,
    pub last_at_unix_ms: i64,
    pub last_offset_ms: u64,
    pub answered_offset_ms: Option<u64>,
    pub recording_open: bool,
    pub seeds: BTreeMap<u8, Vec<u8>>,
    /// Behind the record of its end, once written.
    pub ended_at: Option<Position>,
}

impl CallState {
    fn take(&mut self, fact: &Fact, after: Position) {
        self.boot = fact.boot;
        self.next_seq = fact.seq.saturating_add(1);
        self.last_at_unix_ms = fact.at_unix_ms;
        self.last_offset_ms = fact.offset_ms;
        if let FactKind::Started(started) = &fact.kind {
            self.started = Some(started.clone());
        } else if matches!(fact.kind, FactKind::Answered { .. }) {
            self.answered_offset_ms = Some(fact.offset_ms);
        } else if matches!(fact.kind, FactKind::RecordingStarted { .. }) {
            self.recording_open = true;
        } else if matches!(
            fact.kind,
            FactKind::RecordingReady { .. } | FactKind::RecordingDeleted
        ) {
            self.recording_open = false;
        } else if matches!(fact.kind, FactKind::Ended(_)) {
            self.ended_at = Some(after);
            self.seeds = BTreeMap::new();
        }
    }
}

/// All calls without an acknowledged end, and which segments they hold.
#[derive(Default)]
pub(crate) struct Calls {
    states: HashMap<CallId, CallState>,
    /// Ends in the order they were written, waiting for the office.
    ends: VecDeque<(Position, CallId)>,
    /// Per segment, the calls that have records in it.
    holders: BTreeMap<u64, HashSet<CallId>>,
}

impl Calls {
    /// Whether `fact` comes after its call's end (or belongs to a call that never started here).
    pub(crate) fn is_late(&self, fact: &Fact) -> bool {
        match self.states.get(&fact.conversation) {
            Some(state) => state.ended_at.is_some(),
            None => !matches!(fact.kind, FactKind::Started(_)),
        }
    }

    /// Takes in a record that lies before `after`.
    pub(crate) fn apply(&mut self, entry: Entry, after: Position) {
        match entry {
            Entry::Fact { late: true, .. } => {}
            Entry::Fact { fact, late: false } => self.apply_fact(&fact, after),
            Entry::Seed { call, leg, bytes } => self.apply_seed(call, leg, bytes, after),
            Entry::Carry(carried) => {
                let (call, state) = *carried;
                // It stands for everything before it, some of which may be gone already.
                self.states.insert(call, state);
                self.hold(call, after.segment);
            }
        }
    }

    fn apply_fact(&mut self, fact: &Fact, after: Position) {
        let call = fact.conversation;
        let state = self.states.entry(call).or_default();
        state.take(fact, after);
        if state.ended_at.is_some() {
            self.ends.push_back((after, call));
        }
        self.hold(call, after.segment);
    }

    fn apply_seed(&mut self, call: CallId, leg: u8, bytes: Vec<u8>, after: Position) {
        let Some(state) = self.states.get_mut(&call) else {
            return;
        };
        if state.ended_at.is_some() {
            return;
        }
        if bytes.is_empty() {
            state.seeds.remove(&leg);
        } else {
            state.seeds.insert(leg, bytes);
        }
        self.hold(call, after.segment);
    }

    fn hold(&mut self, call: CallId, segment: u64) {
        self.holders.entry(segment).or_default().insert(call);
    }

    /// Forgets the calls whose end the office has.
    pub(crate) fn acknowledged(&mut self, upto: Position) {
        while let Some((end, call)) = self.ends.front().copied() {
            if end > upto {
                break;
            }
            self.ends.pop_front();
            self.states.remove(&call);
        }
    }

    /// Calls without a written end.
    pub(crate) fn live(&self) -> impl Iterator<Item = (CallId, &CallState)> {
        self.states
            .iter()
            .filter(|(_, state)| state.ended_at.is_none())
            .map(|(call, state)| (*call, state))
    }

    pub(crate) fn state(&self, call: CallId) -> Option<&CallState> {
        self.states.get(&call)
    }

    /// The calls that still need `segment`.
    pub(crate) fn holding(&mut self, segment: u64) -> Vec<CallId> {
        let states = &self.states;
        let Some(calls) = self.holders.get_mut(&segment) else {
            return Vec::new();
        };
        calls.retain(|call| states.contains_key(call));
        calls.iter().copied().collect()
    }

    /// The segment is gone, or everything in it was carried on.
    pub(crate) fn release(&mut self, segment: u64) {
        self.holders.remove(&segment);
    }
}
