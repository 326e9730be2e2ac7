//! Calls as the facts tell them: the record, the timeline, the transcript.

use model::{
    AgentId, AgentRef, CallId, EndReason, TenantId,
    fact::{Channel, Direction},
    transcript::Segment,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError,
    recordings::StoredRecording,
    sql::{Query, Row, Value, sql},
};
use crate::{
    clock::Stamp,
    fold::{CallRecord, CallState},
};

/// What a list of calls is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Where in its life.
    pub state: Option<CallState>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// Calling party, exactly.
    pub from: Option<String>,
    /// Called party, exactly.
    pub to: Option<String>,
    /// Started at or after.
    pub since_ms: Option<i64>,
    /// Started before.
    pub until_ms: Option<i64>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
}

/// One line of a call's timeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Place in the conversation.
    pub seq: u32,
    /// The switch's start count.
    pub boot: u64,
    /// What kind of fact.
    #[serde(rename = "type")]
    pub kind: String,
    /// Wall clock.
    pub at: Stamp,
    /// Milliseconds since the conversation's first fact.
    pub offset_ms: u64,
    /// What happened; its shape depends on the kind.
    #[schema(value_type = Object)]
    pub data: Json,
}

/// The columns of `calls`, in the order of `values`.
pub(super) const COLUMNS: &[&str] = &[
    "id",
    "tenant_id",
    "node_id",
    "boot",
    "direction",
    "channel",
    "from_party",
    "to_party",
    "profile",
    "trunk",
    "route",
    "sip_call_id",
    "agent_id",
    "agent_slug",
    "agent_version",
    "agent_hash",
    "agent_order",
    "revision",
    "state",
    "started_ms",
    "ringing_ms",
    "answered_ms",
    "ended_ms",
    "duration_ms",
    "setup_ms",
    "codec",
    "end_reason",
    "sip_code",
    "q850",
    "provisional",
    "final",
    "end_event_ms",
    "metrics",
    "captured",
    "attestation",
    "consent",
    "created_ms",
    "updated_ms",
];

/// A record as a row of `calls`.
pub(super) fn values(call: &CallRecord, now: i64) -> Vec<Value> {
    let agent = call.agent.as_ref();
    vec![
        call.id.into(),
        call.tenant.into(),
        call.node.into(),
        call.boot.into(),
        call.direction.map(direction_name).into(),
        call.channel.map(channel_name).into(),
        call.from.clone().into(),
        call.to.clone().into(),
        call.profile.clone().into(),
        call.trunk.clone().into(),
        call.route.clone().into(),
        call.sip_call_id.clone().into(),
        agent.map(|agent| agent.id).into(),
        agent.map(|agent| agent.slug.clone()).into(),
        agent.map(|agent| agent.version).into(),
        agent.map(|agent| agent.config_hash.clone()).into(),
        call.agent_order.into(),
        call.revision.into(),
        call.state().as_str().into(),
        call.started_ms.into(),
        call.ringing_ms.into(),
        call.answered_ms.into(),
        call.ended_ms.into(),
        call.duration_ms.into(),
        call.setup_ms.into(),
        call.codec.clone().into(),
        call.end_reason.map(EndReason::as_str).into(),
        call.sip_code.into(),
        call.q850.into(),
        call.provisional.into(),
        call.last_word.into(),
        call.end_event_ms.into(),
        json_text(&call.metrics).into(),
        call.captured.as_ref().map(json_text).into(),
        call.attestation.as_ref().map(json_text).into(),
        call.consent.as_ref().map(json_text).into(),
        now.into(),
        now.into(),
    ]
}

fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn read_direction(text: &str) -> Option<Direction> {
    [Direction::Inbound, Direction::Outbound]
        .into_iter()
        .find(|direction| direction_name(*direction) == text)
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Sip => "sip",
        Channel::Webrtc => "webrtc",
        Channel::Ws => "ws",
        Channel::Chat => "chat",
    }
}

fn read_channel(text: &str) -> Option<Channel> {
    [Channel::Sip, Channel::Webrtc, Channel::Ws, Channel::Chat]
        .into_iter()
        .find(|channel| channel_name(*channel) == text)
}

/// The column as one of a closed list.
fn named<T>(
    row: &Row,
    column: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| read(&text).ok_or_else(|| StoreError::corrupt(column, &text)))
        .transpose()
}

fn read_agent(row: &Row) -> Result<Option<AgentRef>, StoreError> {
    let Some(id) = row.parse_opt("agent_id")? else {
        return Ok(None);
    };
    Ok(Some(AgentRef {
        id,
        slug: row.get("agent_slug")?,
        version: row.int("agent_version")?,
        config_hash: row.get("agent_hash")?,
    }))
}

/// A column that may hold JSON.
fn json_of<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|_| StoreError::corrupt(column, ""))
}

/// A row of `calls` as a record.
pub(super) fn read(row: &Row) -> Result<CallRecord, StoreError> {
    let captured = json_of(row, "captured")?;
    let attestation = json_of(row, "attestation")?;
    let consent = json_of(row, "consent")?;
    Ok(CallRecord {
        id: row.parse("id")?,
        tenant: row.parse_opt("tenant_id")?,
        node: row.parse("node_id")?,
        boot: row.int("boot")?,
        direction: named(row, "direction", read_direction)?,
        channel: named(row, "channel", read_channel)?,
        from: row.get("from_party")?,
        to: row.get("to_party")?,
        profile: row.get("profile")?,
        trunk: row.get("trunk")?,
        route: row.get("route")?,
        sip_call_id: row.get("sip_call_id")?,
        agent: read_agent(row)?,
        agent_order: row.get::<Option<i64>>("agent_order")?.unwrap_or(-1),
        revision: row.int_opt("revision")?,
        started_ms: row.get("started_ms")?,
        ringing_ms: row.get("ringing_ms")?,
        answered_ms: row.get("answered_ms")?,
        ended_ms: row.get("ended_ms")?,
        duration_ms: row.int_opt("duration_ms")?,
        setup_ms: row.int_opt("setup_ms")?,
        codec: row.get("codec")?,
        end_reason: named(row, "end_reason", EndReason::from_wire)?,
        sip_code: row.int_opt("sip_code")?,
        q850: row.int_opt("q850")?,
        provisional: row.get("provisional")?,
        last_word: row.get("final")?,
        end_event_ms: row.get("end_event_ms")?,
        metrics: row.json("metrics")?,
        captured,
        attestation,
        consent,
    })
}

/// A call with its recording, if that has arrived.
pub type CallWithRecording = (CallRecord, Option<StoredRecording>);

fn read_with_recording(row: &Row) -> Result<CallWithRecording, StoreError> {
    Ok((read(row)?, StoredRecording::read(row)?))
}

const WITH_RECORDING: &str = "select c.*, r.place as rec_place, r.path as rec_path, r.bytes as rec_bytes, r.sha256 as rec_sha256, r.stored_ms as rec_stored_ms from calls c left join recordings r on r.call_id = c.id and r.erased_ms is null where ($1 is null or c.tenant_id = $1)";

impl CallFilter {
    /// Only the wanted conditions are written, so that the planner can take the right index.
    fn query(&self, tenant: Option<TenantId>, page: &PageAsk) -> Query {
        let conditions: [(&str, Value); 8] = [
            ("c.state =", self.state.map(CallState::as_str).into()),
            ("c.agent_id =", self.agent.into()),
            ("c.from_party =", self.from.clone().into()),
            ("c.to_party =", self.to.clone().into()),
            ("c.started_ms >=", self.since_ms.into()),
            ("c.started_ms <", self.until_ms.into()),
            (
                "c.end_reason =",
                self.end_reason.map(EndReason::as_str).into(),
            ),
            ("c.id <", page.after.clone().into()),
        ];
        let mut query = Query::text(WITH_RECORDING.to_owned()).bind(tenant);
        for (condition, value) in conditions {
            if !value.is_null() {
                query = query.and(condition, value);
            }
        }
        query.then(" order by c.id desc limit ", page.fetch())
    }
}

impl Db {
    /// The call with this id, if `tenant` (none = the platform) may see it.
    pub async fn call(
        &self,
        tenant: Option<TenantId>,
        id: CallId,
    ) -> Result<Option<CallWithRecording>, StoreError> {
        let query = Query::text(WITH_RECORDING.to_owned())
            .bind(tenant)
            .and("c.id =", id.into());
        let row = self.one(query).await?;
        row.map(|row| read_with_recording(&row)).transpose()
    }

    /// Calls, the newest first.
    pub async fn calls(
        &self,
        tenant: Option<TenantId>,
        filter: &CallFilter,
        page: &PageAsk,
    ) -> Result<Rows<CallWithRecording>, StoreError> {
        let rows = self.all(filter.query(tenant, page)).await?;
        let rows = rows
            .iter()
            .map(read_with_recording)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |(call, _)| call.id.to_string()))
    }

    /// The facts of a call in order, after the place `(boot, seq)`.
    pub async fn timeline(
        &self,
        id: CallId,
        after: (i64, i64),
        limit: i64,
    ) -> Result<Vec<TimelineEntry>, StoreError> {
        let query = sql("select * from facts where call_id = $1 and (boot, seq) > ($2, $3) order by boot, seq limit $4")
            .bind(id)
            .bind(after.0)
            .bind(after.1)
            .bind(limit);
        let rows = self.all(query).await?;
        rows.iter().map(read_entry).collect()
    }

    /// What was said, in the order of its beginning.
    pub async fn segments(&self, id: CallId) -> Result<Vec<Segment>, StoreError> {
        let query = sql(
            "select data from facts where call_id = $1 and kind = 'segment' order by boot, seq",
        );
        let rows = self.all(query.bind(id)).await?;
        let mut segments = rows
            .iter()
            .map(|row| row.json("data"))
            .collect::<Result<Vec<Segment>, _>>()?;
        segments.sort_by_key(|segment| segment.start_ms);
        Ok(segments)
    }
}

fn read_entry(row: &Row) -> Result<TimelineEntry, StoreError> {
    Ok(TimelineEntry {
        seq: row.int("seq")?,
        boot: row.int("boot")?,
        kind: row.get("kind")?,
        at: Stamp(row.get("at_ms")?),
        offset_ms: row.int("offset_ms")?,
        data: row.json("data")?,
    })
}
