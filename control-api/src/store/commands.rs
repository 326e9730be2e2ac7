//! Orders to switches: written with the request that wants them, handed to one start of one
//! switch, ended once.
//!
//! ```text
//! queued ── taken by a start of a switch ──► done | refused
//!   │                 └─ that start is over ──► unknown
//!   └─ nobody took it in time ──► expired
//! ```

use std::collections::BTreeMap;

use model::{
    AgentId, CallId, CommandId, EndReason, NodeId, TenantId,
    command::{Command, CommandAction, CommandReport, MAX_ORDERS, Outcome},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, StoreError, Tx,
    events::NewEvent,
    sql::{Row, sql},
};
use crate::{clock::Stamp, closed::closed, events, fold::CallRecord};

closed! {
    /// Where an order is in its life.
    pub enum CommandState {
        /// No switch has it yet.
        Queued = "queued",
        /// A switch has it.
        Taken = "taken",
        /// It was done.
        Done = "done",
        /// It was not done, and will not be.
        Refused = "refused",
        /// No switch took it in time: it was not done.
        Expired = "expired",
        /// The switch that had it died: whether it was done is not known, and it is not tried again.
        Unknown = "unknown",
    }
}

/// An order as REST shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: CommandId,
    /// The call it concerns.
    pub call_id: CallId,
    /// `dial`, `hangup`, `transfer`, `dtmf`, `say`, `message`.
    pub action: String,
    /// Where it is in its life.
    pub state: CommandState,
    /// Why it was refused.
    pub why: Option<String>,
    /// When it was given.
    pub created_at: Stamp,
    /// When it ended.
    pub ended_at: Option<Stamp>,
}

/// An order to give.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// What.
    pub command: Command,
    /// To whom.
    pub node: NodeId,
    /// When it was wanted.
    pub now: i64,
    /// After this instant nobody needs to begin it any more.
    pub expires_ms: i64,
}

/// The columns that say what an order is called in the record.
fn action_of(action: &CommandAction) -> &'static str {
    match action {
        CommandAction::Dial(_) => "dial",
        CommandAction::Hangup => "hangup",
        CommandAction::Transfer(_) => "transfer",
        CommandAction::Dtmf { .. } => "dtmf",
        CommandAction::Say { .. } => "say",
        CommandAction::Message { .. } => "message",
        CommandAction::Recording { pause: true } => "pause_recording",
        CommandAction::Recording { pause: false } => "resume_recording",
    }
}

fn read(row: &Row) -> Result<Order, StoreError> {
    let ended: Option<i64> = row.get("ended_ms")?;
    let state: String = row.get("state")?;
    let known = state.parse();
    Ok(Order {
        id: row.parse("id")?,
        call_id: row.parse("call_id")?,
        action: row.get("action")?,
        state: known.map_err(|()| StoreError::corrupt("state", &state))?,
        why: row.get("why")?,
        created_at: Stamp(row.get("created_ms")?),
        ended_at: ended.map(Stamp),
    })
}

fn read_command(row: &Row) -> Result<Command, StoreError> {
    row.json("body")
}

/// An agent of a call to be made, as its record has it before any fact.
fn queued_call(order: &NewOrder) -> Option<CallRecord> {
    let CommandAction::Dial(dial) = &order.command.action else {
        return None;
    };
    let mut call = CallRecord::unknown(order.command.call, order.node, 0);
    call.tenant = Some(order.command.tenant);
    call.direction = Some(model::fact::Direction::Outbound);
    call.channel = Some(model::fact::Channel::Sip);
    call.from = Some(dial.from.clone());
    call.to = Some(dial.to.clone());
    call.agent = Some(dial.agent.agent.clone());
    Some(call)
}

impl Db {
    /// The switch that is alive, takes calls and has the fewest.
    pub async fn free_node(&self, since_ms: i64) -> Result<Option<NodeId>, StoreError> {
        let query = sql(
            "select id from nodes where accepting and last_seen_ms >= $1 order by live, id limit 1",
        )
        .bind(since_ms);
        let row = self.one(query).await?;
        row.map(|row| row.parse("id")).transpose()
    }

    /// Gives an order; a call to be made gets its record with it. The call's record, of a dial.
    pub async fn give(&self, order: &NewOrder) -> Result<(Order, Option<CallRecord>), StoreError> {
        let mut tx = self.begin().await?;
        let command = &order.command;
        let call = queued_call(order);
        if let Some(call) = &call {
            let calls = BTreeMap::from([(call.id, call.clone())]);
            tx.save_calls(&calls, order.now).await?;
        }
        let body = serde_json::to_string(command).unwrap_or_default();
        tx.run(sql("insert into commands (id, tenant_id, call_id, node_id, action, body, state, expires_ms, created_ms) values ($1, $2, $3, $4, $5, $6, 'queued', $7, $8)")
            .bind(command.id)
            .bind(command.tenant)
            .bind(command.call)
            .bind(order.node)
            .bind(action_of(&command.action))
            .bind(body)
            .bind(order.expires_ms)
            .bind(order.now))
            .await?;
        if let Some(call) = &call {
            let agent = call.agent.as_ref().map(|agent| agent.id);
            tx.tell(vec![told(
                call,
                agent,
                events::OUTBOUND_REQUESTED,
                order.now,
            )])
            .await?;
        }
        tx.commit().await?;
        let given = Order {
            id: command.id,
            call_id: command.call,
            action: action_of(&command.action).to_owned(),
            state: CommandState::Queued,
            why: None,
            created_at: Stamp(order.now),
            ended_at: None,
        };
        Ok((given, call))
    }

    /// The orders of a call, the oldest first.
    pub async fn orders(&self, call: CallId, limit: u32) -> Result<Vec<Order>, StoreError> {
        let query = sql("select * from commands where call_id = $1 order by id limit $2")
            .bind(call)
            .bind(limit);
        self.all(query).await?.iter().map(read).collect()
    }

    /// Hands a start of a switch what is queued for it; with `again` also what it was handed
    /// before and has not answered. What an earlier start had is unknown from now on.
    pub async fn take_orders(
        &self,
        node: NodeId,
        boot: u64,
        again: bool,
        now: i64,
    ) -> Result<Vec<Command>, StoreError> {
        let some = sql("select id from commands where node_id = $1 and (state = 'queued' or (state = 'taken' and (boot <> $2 or $3))) limit 1")
            .bind(node)
            .bind(boot)
            .bind(again);
        if self.one(some).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let lost = sql("update commands set state = 'unknown', ended_ms = $3 where node_id = $1 and state = 'taken' and boot <> $2 returning *")
            .bind(node)
            .bind(boot)
            .bind(now);
        let lost = tx.all(lost).await?;
        tx.lose_dials(&lost, EndReason::NodeLost, now).await?;
        let take = sql("update commands set state = 'taken', boot = $2 where state in ('queued', 'taken') and id in (select id from commands where node_id = $1 and expires_ms >= $4 and (state = 'queued' or (state = 'taken' and $3)) order by id limit $5) returning *")
            .bind(node)
            .bind(boot)
            .bind(again)
            .bind(now)
            .bind(i64::try_from(MAX_ORDERS).unwrap_or(i64::MAX));
        let taken = tx.all(take).await?;
        let mut taken: Vec<Command> = taken.iter().map(read_command).collect::<Result<_, _>>()?;
        taken.sort_by_key(|command| command.id);
        tx.commit().await?;
        Ok(taken)
    }

    /// Takes what a switch says came of its orders. An order that has ended stays as it is.
    pub async fn report_orders(
        &self,
        reports: &[CommandReport],
        now: i64,
    ) -> Result<(), StoreError> {
        for report in reports.iter().take(MAX_ORDERS) {
            let (state, why) = match &report.outcome {
                Outcome::Done => (CommandState::Done, None),
                Outcome::Refused { why } => (CommandState::Refused, Some(why.clone())),
            };
            let query = sql("update commands set state = $2, why = $3, ended_ms = $4 where id = $1 and state in ('queued', 'taken') returning *")
                .bind(report.id)
                .bind(state.as_str())
                .bind(why)
                .bind(now);
            let mut tx = self.begin().await?;
            let ended = tx.all(query).await?;
            if state == CommandState::Refused {
                tx.lose_dials(&ended, EndReason::NotPlaced, now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends the orders that nobody took in time, and those whose switch stayed silent since
    /// `silent_ms`; how many.
    pub async fn expire_orders(&self, silent_ms: i64, now: i64) -> Result<usize, StoreError> {
        let due = sql("select c.id from commands c left join nodes n on n.id = c.node_id where (c.state = 'queued' and c.expires_ms < $1) or (c.state = 'taken' and (n.last_seen_ms is null or n.last_seen_ms < $2)) limit 1")
            .bind(now)
            .bind(silent_ms);
        if self.one(due).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let expired = tx.all(sql("update commands set state = 'expired', ended_ms = $1 where state = 'queued' and expires_ms < $1 returning *").bind(now)).await?;
        let silent = sql("update commands set state = 'unknown', ended_ms = $1 where state = 'taken' and node_id in (select id from nodes where last_seen_ms < $2) returning *")
            .bind(now)
            .bind(silent_ms);
        let silent = tx.all(silent).await?;
        let mut told = tx.end_unplaced(&expired, now).await?;
        told.extend(tx.lost_dials(&silent, EndReason::NodeLost, now).await?);
        tx.tell(told).await?;
        tx.commit().await?;
        Ok(expired.len() + silent.len())
    }
}

impl Tx {
    /// Calls whose dialling came to nothing or was lost: over, provisionally, unless their switch
    /// wrote facts of them. Those tell the end by themselves, also when they come later.
    async fn lose_dials(
        &mut self,
        rows: &[Row],
        reason: EndReason,
        now: i64,
    ) -> Result<(), StoreError> {
        let told = self.lost_dials(rows, reason, now).await?;
        self.tell(told).await
    }

    async fn lost_dials(
        &mut self,
        rows: &[Row],
        reason: EndReason,
        now: i64,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let mut told = Vec::new();
        for mut call in self.unstarted(rows).await? {
            call.provisional = true;
            call.end_reason = Some(reason);
            call.ended_ms = Some(now);
            call.duration_ms = Some(0);
            told.push(told_end(&call, events::LOST, now));
            self.save_calls(&BTreeMap::from([(call.id, call)]), now)
                .await?;
        }
        Ok(told)
    }

    /// Calls that nobody began: over, with the one event of their end.
    async fn end_unplaced(&mut self, rows: &[Row], now: i64) -> Result<Vec<NewEvent>, StoreError> {
        let mut told = Vec::new();
        for mut call in self.unstarted(rows).await? {
            call.last_word = true;
            call.provisional = false;
            call.end_reason = Some(EndReason::NotPlaced);
            call.ended_ms = Some(now);
            call.duration_ms = Some(0);
            call.end_event_ms = Some(now);
            told.push(told_end(&call, events::ENDED, now));
            self.save_calls(&BTreeMap::from([(call.id, call)]), now)
                .await?;
        }
        Ok(told)
    }

    /// The calls of these dials of which no fact is known, locked until the commit.
    async fn unstarted(&mut self, rows: &[Row]) -> Result<Vec<CallRecord>, StoreError> {
        let mut calls = Vec::new();
        for row in rows {
            if row.get::<String>("action")? != "dial" {
                continue;
            }
            let call = self.lock_call(row.parse("call_id")?).await?;
            calls.extend(call.filter(|call| call.started_ms.is_none() && !call.last_word));
        }
        Ok(calls)
    }
}

fn told(call: &CallRecord, agent: Option<AgentId>, kind: &'static str, now: i64) -> NewEvent {
    let data = serde_json::json!({ "from": call.from, "to": call.to });
    NewEvent {
        tenant: call.tenant,
        agent,
        call: Some(call.id),
        seq: None,
        kind,
        at_ms: now,
        data: data.to_string(),
    }
}

fn told_end(call: &CallRecord, kind: &'static str, now: i64) -> NewEvent {
    let reason = call.end_reason.map(EndReason::as_str);
    let data = serde_json::json!({
        "reason": reason,
        "provisional": call.provisional,
        "duration_ms": 0,
    });
    NewEvent {
        data: data.to_string(),
        ..told(call, call.agent.as_ref().map(|agent| agent.id), kind, now)
    }
}

/// A tenant may show only numbers of its own.
impl Db {
    /// The active number of `tenant` that a call of `agent` shows: `wanted` if it is the tenant's,
    /// else the first that reaches the agent, else the first there is.
    pub async fn shown_number(
        &self,
        tenant: TenantId,
        wanted: Option<&str>,
        agent: Option<AgentId>,
    ) -> Result<Option<String>, StoreError> {
        let query = sql("select e164 from numbers where tenant_id = $1 and active and ($2 is null or e164 = $2) order by case when agent_id = $3 then 0 else 1 end, id limit 1")
            .bind(tenant)
            .bind(wanted.map(str::to_owned))
            .bind(agent);
        let row = self.one(query).await?;
        row.map(|row| row.get("e164")).transpose()
    }
}
