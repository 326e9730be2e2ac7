//! Live events. Ids rise in the order of commits, without holes: they are given out under the
//! lock of one row, at the end of the transaction that makes them.

use model::{AgentId, CallId, TenantId};
use serde_json::Value as Json;

use super::{
    Db, StoreError, Tx,
    sql::{Query, Row, Value, sql},
};
use crate::clock::now_ms;

/// An event to tell.
#[derive(Debug, Clone, Default)]
pub struct NewEvent {
    /// Whose; none = the platform's alone.
    pub tenant: Option<TenantId>,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// The call concerned.
    pub call: Option<CallId>,
    /// Place in the call.
    pub seq: Option<u32>,
    /// Its name.
    pub kind: &'static str,
    /// When it happened.
    pub at_ms: i64,
    /// JSON text.
    pub data: String,
}

/// An event as it was told.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the stream.
    pub id: i64,
    /// Its name.
    pub kind: String,
    /// The envelope for listeners, without id and kind.
    pub tenant_id: Option<String>,
    /// The agent concerned.
    pub agent_id: Option<String>,
    /// The call concerned.
    pub call_id: Option<String>,
    /// Place in the call.
    pub seq: Option<i64>,
    /// When it happened.
    pub at_ms: i64,
    /// What happened.
    pub data: Json,
}

const COLUMNS: &[&str] = &[
    "id",
    "tenant_id",
    "agent_id",
    "call_id",
    "seq",
    "kind",
    "at_ms",
    "data",
    "told_ms",
];

fn read(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.get("id")?,
        kind: row.get("kind")?,
        tenant_id: row.get("tenant_id")?,
        agent_id: row.get("agent_id")?,
        call_id: row.get("call_id")?,
        seq: row.get("seq")?,
        at_ms: row.get("at_ms")?,
        data: row.json("data")?,
    })
}

impl NewEvent {
    fn values(self, id: i64, told_ms: i64) -> Vec<Value> {
        vec![
            id.into(),
            self.tenant.into(),
            self.agent.into(),
            self.call.into(),
            self.seq.into(),
            self.kind.into(),
            self.at_ms.into(),
            self.data.into(),
            told_ms.into(),
        ]
    }
}

impl Tx {
    /// Tells events. Must be the last thing of its transaction: from here to the commit, every
    /// other teller waits.
    pub(super) async fn tell(&mut self, events: Vec<NewEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let take = sql(
            "update office_state set event_seq = event_seq + $1 where id = 1 returning event_seq",
        );
        let last: i64 = match self.one(take.bind(count)).await? {
            Some(row) => row.get("event_seq")?,
            None => return Err(StoreError::corrupt("office_state.id", "no row")),
        };
        let now = now_ms();
        let rows = (last - count + 1..)
            .zip(events)
            .map(|(id, event)| event.values(id, now))
            .collect();
        for insert in Query::inserts("events", COLUMNS, rows, "") {
            self.run(insert).await?;
        }
        Ok(())
    }
}

impl Db {
    /// The id of the newest event; 0 before the first.
    pub async fn last_event(&self) -> Result<i64, StoreError> {
        let row = self
            .one(sql("select event_seq from office_state where id = 1"))
            .await?;
        row.map_or(Ok(0), |row| row.get("event_seq"))
    }

    /// The id of the oldest event that is kept; `None` without any.
    pub async fn first_event(&self) -> Result<Option<i64>, StoreError> {
        let row = self
            .one(sql("select id from events order by id limit 1"))
            .await?;
        row.map(|row| row.get("id")).transpose()
    }

    /// Events after `after` that `tenant` (none = the platform) may see, oldest first.
    pub async fn events_after(
        &self,
        tenant: Option<TenantId>,
        call: Option<CallId>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StoreError> {
        let query = sql("select * from events where id > $1 and ($2 is null or tenant_id = $2) and ($3 is null or call_id = $3) order by id limit $4")
            .bind(after)
            .bind(tenant)
            .bind(call)
            .bind(limit);
        self.all(query).await?.iter().map(read).collect()
    }

    /// Forgets events told before `before_ms`. What happened long ago may have come only now: the office was away.
    pub async fn prune_events(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.run(sql("delete from events where told_ms < $1").bind(before_ms))
            .await
    }
}
