//! Journal intake: one transaction per batch, idempotent by `(node, boot, conversation, seq)`.
//!
//! Order of locks, the same for every batch, so that interleaved batches wait instead of
//! deadlocking: the calls in id order, then their facts, then the row that numbers the events.

use std::collections::{BTreeMap, HashSet};

use model::{CallId, Fact, FactKind};

use super::{
    Db, StoreError, Tx,
    calls::{self, values},
    events::NewEvent,
    sql::{Query, Row, Value, sql},
};
use crate::{
    events,
    fold::{CallRecord, order},
};

/// How often a batch is run again after a deadlock or a busy database.
const TRIES: u32 = 5;
/// Facts in one insert; 8 values each.
const FACT_CHUNK: usize = 500;
/// Calls in one insert; 37 values each.
const CALL_CHUNK: usize = 200;

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

impl Db {
    /// Stores facts and folds the new ones into their calls.
    pub async fn take_facts(&self, facts: &[Fact], now: i64) -> Result<Intake, StoreError> {
        let mut left = TRIES;
        loop {
            match self.take_facts_once(facts, now).await {
                Err(fault) if fault.is_transient() && left > 0 => left -= 1,
                other => return other,
            }
        }
    }

    async fn take_facts_once(&self, facts: &[Fact], now: i64) -> Result<Intake, StoreError> {
        let mut ordered: Vec<&Fact> = facts.iter().collect();
        ordered.sort_by_key(|fact| (fact.conversation, order(fact)));
        let mut tx = self.begin().await?;
        let mut calls = tx.lock_calls(&ordered, now).await?;
        let held = tx.held_facts(&calls).await?;
        let new = tx.insert_facts(&ordered).await?;
        let mut fresh = Vec::with_capacity(new.len());
        let mut seen = HashSet::new();
        for fact in ordered {
            let key = key(fact);
            if new.contains(&key)
                && seen.insert(key)
                && let Some(call) = calls.get_mut(&fact.conversation)
            {
                call.apply(fact);
                fresh.push(fact);
            }
        }
        let touched: HashSet<CallId> = fresh.iter().map(|fact| fact.conversation).collect();
        calls.retain(|id, _| touched.contains(id));
        let told = tell(&mut calls, &held, fresh, now);
        tx.save_calls(&calls, now).await?;
        tx.tell(told).await?;
        tx.commit().await?;
        Ok(Intake { new: seen.len() })
    }
}

/// The events of facts, each call's in its order. As long as nobody knows whose a call is (its
/// beginning is still on the way, by another office), its events are held: a listener of its
/// tenant would never see them.
fn tell(
    calls: &mut BTreeMap<CallId, CallRecord>,
    held: &[Fact],
    fresh: Vec<&Fact>,
    now: i64,
) -> Vec<NewEvent> {
    let mut due: Vec<&Fact> = held.iter().chain(fresh).collect();
    due.sort_by_key(|fact| (fact.conversation, order(fact)));
    let mut told = Vec::with_capacity(due.len());
    for fact in due {
        if let Some(call) = calls.get_mut(&fact.conversation)
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
fn event(call: &mut CallRecord, fact: &Fact, now: i64) -> NewEvent {
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
        data: data_of(&fact.kind),
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

/// What a fact holds beside its kind, as JSON text.
fn data_of(kind: &FactKind) -> String {
    let mut value = serde_json::to_value(kind).unwrap_or_default();
    value
        .get_mut("data")
        .map(serde_json::Value::take)
        .unwrap_or_default()
        .to_string()
}

fn fact_values(fact: &Fact) -> Vec<Value> {
    vec![
        fact.conversation.into(),
        fact.node.into(),
        fact.boot.into(),
        fact.seq.into(),
        fact.kind.name().into(),
        fact.at_unix_ms.into(),
        fact.offset_ms.into(),
        data_of(&fact.kind).into(),
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
    /// The calls of these facts, made when missing, locked until the commit.
    async fn lock_calls(
        &mut self,
        ordered: &[&Fact],
        now: i64,
    ) -> Result<BTreeMap<CallId, CallRecord>, StoreError> {
        let mut unknown: BTreeMap<CallId, CallRecord> = BTreeMap::new();
        for fact in ordered {
            unknown
                .entry(fact.conversation)
                .or_insert_with(|| CallRecord::unknown(fact.conversation, fact.node, fact.boot));
        }
        let unknown: Vec<CallRecord> = unknown.into_values().collect();
        let mut calls = BTreeMap::new();
        for chunk in unknown.chunks(CALL_CHUNK) {
            let rows = chunk.iter().map(|call| values(call, now)).collect();
            let touch =
                "on conflict (id) do update set updated_ms = excluded.updated_ms returning *";
            let query = Query::insert("calls", calls::COLUMNS, rows, touch);
            for row in self.all(query).await? {
                let call = calls::read(&row)?;
                calls.insert(call.id, call);
            }
        }
        Ok(calls)
    }

    /// Facts whose events are held, of those calls: nearly always none.
    async fn held_facts(
        &mut self,
        calls: &BTreeMap<CallId, CallRecord>,
    ) -> Result<Vec<Fact>, StoreError> {
        let strangers: Vec<CallId> = calls
            .values()
            .filter(|call| !has_begun(call))
            .map(|call| call.id)
            .collect();
        let mut held = Vec::new();
        for chunk in strangers.chunks(FACT_CHUNK) {
            for row in self
                .all(Query::among("select * from facts where call_id", chunk))
                .await?
            {
                held.extend(read_fact(&row)?);
            }
        }
        Ok(held)
    }

    /// Stores facts; the keys of those that were not known.
    async fn insert_facts(&mut self, ordered: &[&Fact]) -> Result<HashSet<FactKey>, StoreError> {
        let mut new = HashSet::new();
        for chunk in ordered.chunks(FACT_CHUNK) {
            let rows = chunk.iter().map(|fact| fact_values(fact)).collect();
            let known = "on conflict do nothing returning call_id, node_id, boot, seq";
            let query = Query::insert("facts", FACT_COLUMNS, rows, known);
            for row in self.all(query).await? {
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
        let calls: Vec<&CallRecord> = calls.values().collect();
        for chunk in calls.chunks(CALL_CHUNK) {
            let rows = chunk.iter().map(|call| values(call, now)).collect();
            let query = Query::insert("calls", calls::COLUMNS, rows, &suffix);
            self.run(query).await?;
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
