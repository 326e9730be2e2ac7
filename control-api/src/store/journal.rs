//! Journal intake: one transaction per batch, idempotent by `(node, boot, conversation, seq)`.
//!
//! Order of locks, the same for every batch, so that interleaved batches wait instead of
//! deadlocking: the calls in id order, then their facts, then the switch, then the row that numbers
//! the events.

use std::collections::{BTreeMap, HashSet};

use model::{CallId, Fact, FactKind};

use super::{
    Db, StoreError, Tx,
    calls::{self, values},
    events::NewEvent,
    sql::{Query, Row, Value, sql},
    withdrawn::{has_content, withdrawn},
};
use crate::{
    events,
    fold::{CallRecord, order},
};

/// How often a batch is run again after a deadlock or a busy database.
const TRIES: u32 = 5;
const FACT_COLUMNS: &[&str] = &[
    "call_id",
    "node_id",
    "boot",
    "seq",
    "kind",
    "at_ms",
    "offset_ms",
    "data",
];

/// What a batch changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intake {
    /// Facts that were not known before.
    pub new: usize,
}

/// What names a fact.
type FactKey = (String, String, i64, i64);

fn key(fact: &Fact) -> FactKey {
    (
        fact.conversation.to_string(),
        fact.node.to_string(),
        i64::try_from(fact.boot).unwrap_or(i64::MAX),
        i64::from(fact.seq),
    )
}

/// A fact, and what it holds beside its kind as JSON text.
struct Told<'a> {
    fact: &'a Fact,
    data: String,
}

impl<'a> Told<'a> {
    fn of(fact: &'a Fact) -> Self {
        Self {
            fact,
            data: data_of(&fact.kind),
        }
    }

    fn place(&self) -> (CallId, i64) {
        (self.fact.conversation, order(self.fact))
    }
}

/// The calls of a batch.
struct Locked {
    calls: BTreeMap<CallId, CallRecord>,
    /// Those of which facts may have come whose events are held.
    strangers: Vec<CallId>,
}

impl Db {
    /// Stores facts and folds the new ones into their calls. Their switch lives, for it says so.
    pub async fn take_facts(&self, facts: &[Fact], now: i64) -> Result<Intake, StoreError> {
        let (mut left, mut doubled) = (TRIES, false);
        loop {
            match self.take_facts_once(facts, now, doubled).await {
                Ok(Some(intake)) => return Ok(intake),
                Ok(None) => doubled = true,
                Err(fault) if fault.is_transient() && left > 0 => left -= 1,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// None, and nothing done, when some of the facts were known: that comes only of a batch that was
    /// sent again, so which of them is asked in a second go (`doubled`).
    async fn take_facts_once(
        &self,
        facts: &[Fact],
        now: i64,
        doubled: bool,
    ) -> Result<Option<Intake>, StoreError> {
        let mut ordered: Vec<Told<'_>> = facts.iter().map(Told::of).collect();
        ordered.sort_by_key(Told::place);
        let mut tx = self.begin().await?;
        let mut locked = tx.lock_calls(&ordered, now).await?;
        let held = tx.held_facts(&locked.strangers).await?;
        let withdrawn = withdrawn(&locked.calls, facts);
        ordered
            .retain(|told| !withdrawn.contains(&told.fact.conversation) || !has_content(told.fact));
        if doubled {
            let new = tx.insert_facts(&ordered).await?;
            ordered = only(ordered, new);
        } else if !tx.insert_new_facts(&ordered).await? {
            return Ok(None);
        }
        let new = ordered.len();
        fold(&mut locked.calls, &ordered);
        let told = tell(&mut locked.calls, &held, ordered, now);
        tx.save_calls(&locked.calls, now).await?;
        for id in withdrawn.iter().filter(|id| locked.calls.contains_key(id)) {
            tx.forget_words(*id).await?;
        }
        for id in &withdrawn {
            tx.erase_recording(*id, now).await?;
        }
        if let Some(fact) = facts.first() {
            tx.node_seen(fact.node, fact.boot, now).await?;
        }
        tx.tell(told).await?;
        tx.commit().await?;
        Ok(Some(Intake { new }))
    }
}

/// The facts with these keys, each once.
fn only<'a>(ordered: Vec<Told<'a>>, mut new: HashSet<FactKey>) -> Vec<Told<'a>> {
    let mut ordered = ordered;
    ordered.retain(|told| new.remove(&key(told.fact)));
    ordered
}

/// Takes new facts into their calls; the calls that nothing new is known of go.
fn fold(calls: &mut BTreeMap<CallId, CallRecord>, fresh: &[Told<'_>]) {
    let mut touched = HashSet::new();
    for told in fresh {
        if let Some(call) = calls.get_mut(&told.fact.conversation) {
            call.apply(told.fact);
            touched.insert(call.id);
        }
    }
    calls.retain(|id, _| touched.contains(id));
}

/// The events of facts, each call's in its order. As long as nobody knows whose a call is (its
/// beginning is still on the way, by another office), its events are held: a listener of its
/// tenant would never see them.
fn tell(
    calls: &mut BTreeMap<CallId, CallRecord>,
    held: &[Fact],
    fresh: Vec<Told<'_>>,
    now: i64,
) -> Vec<NewEvent> {
    let mut due: Vec<Told<'_>> = held.iter().map(Told::of).chain(fresh).collect();
    due.sort_by_key(Told::place);
    let mut told = Vec::with_capacity(due.len());
    for fact in due {
        if let Some(call) = calls.get_mut(&fact.fact.conversation)
            && has_begun(call)
        {
            told.push(event(call, fact, now));
        }
    }
    told.into_iter().map(|event| owned(event, calls)).collect()
}

/// Whether the fact that opens a call is known, and with it whose the call is.
fn has_begun(call: &CallRecord) -> bool {
    call.direction.is_some()
}

/// The event of a fact. The end is told once: after a provisional end that was already told, it
/// is a correction.
fn event(call: &mut CallRecord, told: Told<'_>, now: i64) -> NewEvent {
    let fact = told.fact;
    let mut kind = events::name(&fact.kind);
    if kind == events::ENDED {
        if call.end_event_ms.is_some() {
            kind = events::CORRECTED;
        } else {
            call.end_event_ms = Some(now);
        }
    }
    NewEvent {
        tenant: None,
        agent: None,
        call: Some(fact.conversation),
        seq: Some(fact.seq),
        kind,
        at_ms: fact.at_unix_ms,
        data: told.data,
    }
}

/// The event with its call's tenant and agent, as the whole batch tells them.
fn owned(mut event: NewEvent, calls: &BTreeMap<CallId, CallRecord>) -> NewEvent {
    if let Some(call) = event.call.and_then(|id| calls.get(&id)) {
        event.tenant = call.tenant;
        event.agent = call.agent.as_ref().map(|agent| agent.id);
    }
    event
}

/// What a fact holds beside its kind, as JSON text: of `{"type":…,"data":X}` the X.
fn data_of(kind: &FactKind) -> String {
    let whole = serde_json::to_string(kind).unwrap_or_default();
    let data = whole.split_once(",\"data\":").map(|(_, data)| data);
    let data = data.and_then(|data| data.strip_suffix('}'));
    data.unwrap_or("null").to_owned()
}

fn fact_values(told: &Told<'_>) -> Vec<Value> {
    let fact = told.fact;
    vec![
        fact.conversation.into(),
        fact.node.into(),
        fact.boot.into(),
        fact.seq.into(),
        fact.kind.name().into(),
        fact.at_unix_ms.into(),
        fact.offset_ms.into(),
        (&told.data).into(),
    ]
}

/// A stored fact; none when its kind is not known any more.
fn read_fact(row: &Row) -> Result<Option<Fact>, StoreError> {
    let (kind, data): (String, serde_json::Value) = (row.get("kind")?, row.json("data")?);
    let said = match data {
        serde_json::Value::Null => serde_json::json!({ "type": kind }),
        data => serde_json::json!({ "type": kind, "data": data }),
    };
    let Ok(kind) = serde_json::from_value(said) else {
        return Ok(None);
    };
    Ok(Some(Fact {
        conversation: row.parse("call_id")?,
        node: row.parse("node_id")?,
        boot: row.int("boot")?,
        seq: row.int("seq")?,
        at_unix_ms: row.get("at_ms")?,
        offset_ms: row.int("offset_ms")?,
        kind,
    }))
}

fn read_key(row: &Row) -> Result<FactKey, StoreError> {
    Ok((
        row.get("call_id")?,
        row.get("node_id")?,
        row.get("boot")?,
        row.get("seq")?,
    ))
}

impl Tx {
    /// The calls of these facts, unknown ones among them, locked until the commit.
    async fn lock_calls(&mut self, ordered: &[Told<'_>], now: i64) -> Result<Locked, StoreError> {
        let mut unknown: BTreeMap<CallId, CallRecord> = BTreeMap::new();
        for told in ordered {
            let fact = told.fact;
            unknown
                .entry(fact.conversation)
                .or_insert_with(|| CallRecord::unknown(fact.conversation, fact.node, fact.boot));
        }
        let known = match self.is_alone() {
            true => self.known_calls(&unknown).await?,
            false => self.make_calls(&unknown, now).await?,
        };
        let stranger = |call: &&CallRecord| !has_begun(call);
        let strangers = known.iter().filter(stranger).map(|call| call.id).collect();
        let mut calls = unknown;
        calls.extend(known.into_iter().map(|call| (call.id, call)));
        Ok(Locked { calls, strangers })
    }

    /// Those of these calls that have a row.
    async fn known_calls(
        &mut self,
        wanted: &BTreeMap<CallId, CallRecord>,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let ids: Vec<CallId> = wanted.keys().copied().collect();
        let mut known = Vec::new();
        for query in Query::among("select * from calls where id", &ids) {
            for row in self.all(query).await? {
                known.push(calls::read(&row)?);
            }
        }
        Ok(known)
    }

    /// Makes the rows that are missing, and locks all.
    async fn make_calls(
        &mut self,
        unknown: &BTreeMap<CallId, CallRecord>,
        now: i64,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let touch = "on conflict (id) do update set updated_ms = excluded.updated_ms returning *";
        let rows = unknown.values().map(|call| values(call, now)).collect();
        let mut made = Vec::new();
        for insert in Query::inserts("calls", calls::COLUMNS, rows, touch) {
            for row in self.all(insert).await? {
                made.push(calls::read(&row)?);
            }
        }
        Ok(made)
    }

    /// Facts whose events are held, of those calls: nearly always none.
    async fn held_facts(&mut self, strangers: &[CallId]) -> Result<Vec<Fact>, StoreError> {
        let mut held = Vec::new();
        for query in Query::among("select * from facts where call_id", strangers) {
            for row in self.all(query).await? {
                held.extend(read_fact(&row)?);
            }
        }
        Ok(held)
    }

    /// Stores facts that should all be new; whether they were.
    async fn insert_new_facts(&mut self, ordered: &[Told<'_>]) -> Result<bool, StoreError> {
        let rows = ordered.iter().map(fact_values).collect();
        let mut stored = 0;
        for insert in Query::inserts("facts", FACT_COLUMNS, rows, "on conflict do nothing") {
            stored += self.run(insert).await?;
        }
        Ok(stored == ordered.len() as u64)
    }

    /// Stores facts; the keys of those that were not known.
    async fn insert_facts(&mut self, ordered: &[Told<'_>]) -> Result<HashSet<FactKey>, StoreError> {
        let known = "on conflict do nothing returning call_id, node_id, boot, seq";
        let rows = ordered.iter().map(fact_values).collect();
        let mut new = HashSet::new();
        for insert in Query::inserts("facts", FACT_COLUMNS, rows, known) {
            for row in self.all(insert).await? {
                new.insert(read_key(&row)?);
            }
        }
        Ok(new)
    }

    /// Writes records back.
    pub(super) async fn save_calls(
        &mut self,
        calls: &BTreeMap<CallId, CallRecord>,
        now: i64,
    ) -> Result<(), StoreError> {
        let set: Vec<String> = calls::COLUMNS
            .iter()
            .filter(|column| !matches!(**column, "id" | "created_ms"))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let suffix = format!("on conflict (id) do update set {}", set.join(", "));
        let rows = calls.values().map(|call| values(call, now)).collect();
        for insert in Query::inserts("calls", calls::COLUMNS, rows, &suffix) {
            self.run(insert).await?;
        }
        Ok(())
    }

    /// The record of one call, locked until the commit.
    pub(super) async fn lock_call(&mut self, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        let lock = sql("update calls set updated_ms = updated_ms where id = $1 returning *");
        let row = self.one(lock.bind(id)).await?;
        row.map(|row| calls::read(&row)).transpose()
    }
}
