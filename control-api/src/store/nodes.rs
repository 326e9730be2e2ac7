//! Switches: their sign of life, what they route from, and what is assumed when they fall silent.

use std::collections::BTreeMap;

use model::{
    CallId, NodeId,
    internal::{Heartbeat, Share},
};

use super::{
    Db, StoreError, Tx, calls,
    events::NewEvent,
    sql::{Query, sql},
};
use crate::{events, fold::CallRecord};

/// How far a revision has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Switches that are alive and take calls.
    pub ready: u64,
    /// Those of them that route from the revision or a later one.
    pub applied: u64,
}

impl Db {
    /// Takes a sign of life. Calls that were declared lost and are alive come back.
    pub async fn heartbeat(&self, beat: &Heartbeat, now: i64) -> Result<(), StoreError> {
        let live = i64::try_from(beat.live.len()).unwrap_or(i64::MAX);
        let query = sql("insert into nodes (id, boot, revision, accepting, live, last_seen_ms) values ($1, $2, $3, $4, $5, $6) on conflict (id) do update set boot = excluded.boot, revision = excluded.revision, accepting = excluded.accepting, live = excluded.live, last_seen_ms = excluded.last_seen_ms")
            .bind(beat.node)
            .bind(beat.boot)
            .bind(beat.revision)
            .bind(beat.accepting)
            .bind(live)
            .bind(now);
        self.run(query).await?;
        self.revive(beat, now).await
    }

    /// Withdraws the provisional end of calls that the beat says are alive.
    async fn revive(&self, beat: &Heartbeat, now: i64) -> Result<(), StoreError> {
        let lost = sql("select id from calls where node_id = $1 and provisional").bind(beat.node);
        for row in self.all(lost).await? {
            let id: CallId = row.parse("id")?;
            if !beat.live.contains(&id) {
                continue;
            }
            let mut tx = self.begin().await?;
            if let Some(mut call) = tx.lock_call(id).await? {
                call.withdraw_provisional();
                tx.save_calls(&BTreeMap::from([(id, call)]), now).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    /// A switch's part among those that take calls and were seen since `since_ms`.
    pub async fn share_of(&self, node: NodeId, since_ms: i64) -> Result<Share, StoreError> {
        let query = sql("select id from nodes where accepting and last_seen_ms >= $1 order by id");
        let rows = self.all(query.bind(since_ms)).await?;
        let ids: Result<Vec<NodeId>, _> = rows.iter().map(|row| row.parse("id")).collect();
        let ids = ids?;
        let place = ids.iter().position(|id| *id == node);
        Ok(place.map_or(Share::NONE, |place| Share {
            part: u32::try_from(place).unwrap_or(u32::MAX),
            of: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        }))
    }

    /// A batch of facts is a sign of life too; it makes nobody ready.
    pub async fn node_seen(&self, node: NodeId, boot: u64, now: i64) -> Result<(), StoreError> {
        self.run(seen(node, boot, now)).await?;
        Ok(())
    }

    /// How many switches seen since `since_ms` have `revision`.
    pub async fn rollout(&self, revision: u64, since_ms: i64) -> Result<Rollout, StoreError> {
        let query = sql("select count(*) as ready, count(case when revision >= $1 then 1 end) as applied from nodes where accepting and last_seen_ms >= $2")
            .bind(revision)
            .bind(since_ms);
        let Some(row) = self.one(query).await? else {
            return Ok(Rollout {
                ready: 0,
                applied: 0,
            });
        };
        Ok(Rollout {
            ready: row.int("ready")?,
            applied: row.int("applied")?,
        })
    }

    /// Ends the open calls of switches not seen since `since_ms` as `node_lost`, provisionally;
    /// how many.
    pub async fn lose_calls(&self, since_ms: i64, now: i64) -> Result<usize, StoreError> {
        let open = sql(
            "select c.id from calls c join nodes n on n.id = c.node_id where c.state <> 'ended' and n.last_seen_ms < $1 limit 1",
        );
        if self.one(open.bind(since_ms)).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let query = sql("update calls set state = 'ended', end_reason = 'node_lost', provisional = $3, ended_ms = $2, updated_ms = $2, duration_ms = case when answered_ms is null then 0 else $2 - answered_ms end where state <> 'ended' and node_id in (select id from nodes where last_seen_ms < $1) returning *")
            .bind(since_ms)
            .bind(now)
            .bind(true);
        let lost = tx.read_calls(query).await?;
        tx.tell(tell_all(&lost, events::LOST, now)).await?;
        tx.commit().await?;
        Ok(lost.len())
    }

    /// Tells `call.ended` for calls whose owner stayed silent since `before_ms`; how many.
    pub async fn settle_lost_calls(&self, before_ms: i64, now: i64) -> Result<usize, StoreError> {
        let waiting = sql(
            "select id from calls where provisional and end_event_ms is null and ended_ms < $1 limit 1",
        );
        if self.one(waiting.bind(before_ms)).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let query = sql("update calls set end_event_ms = $2 where provisional and end_event_ms is null and ended_ms < $1 returning *")
            .bind(before_ms)
            .bind(now);
        let settled = tx.read_calls(query).await?;
        tx.tell(tell_all(&settled, events::ENDED, now)).await?;
        tx.commit().await?;
        Ok(settled.len())
    }
}

fn seen(node: NodeId, boot: u64, now: i64) -> Query {
    sql("insert into nodes (id, boot, revision, accepting, live, last_seen_ms) values ($1, $2, 0, $3, 0, $4) on conflict (id) do update set last_seen_ms = excluded.last_seen_ms")
        .bind(node)
        .bind(boot)
        .bind(false)
        .bind(now)
}

impl Tx {
    /// The same within a transaction.
    pub(super) async fn node_seen(
        &mut self,
        node: NodeId,
        boot: u64,
        now: i64,
    ) -> Result<(), StoreError> {
        self.run(seen(node, boot, now)).await?;
        Ok(())
    }

    async fn read_calls(&mut self, query: Query) -> Result<Vec<CallRecord>, StoreError> {
        self.all(query).await?.iter().map(calls::read).collect()
    }
}

fn tell_all(calls: &[CallRecord], kind: &'static str, now: i64) -> Vec<NewEvent> {
    calls
        .iter()
        .map(|call| NewEvent {
            tenant: call.tenant,
            agent: call.agent.as_ref().map(|agent| agent.id),
            call: Some(call.id),
            seq: None,
            kind,
            at_ms: now,
            data: serde_json::json!({
                "reason": "node_lost",
                "provisional": true,
                "duration_ms": call.duration_ms,
            })
            .to_string(),
        })
        .collect()
}
