//! Calls and their timelines.

use axum::{Json, extract::State};
use model::{
    AgentId, AgentRef, CallId, Consent, EndReason, NodeId, TenantId,
    fact::{Attestation, Channel, Direction},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::Id,
    clock::Stamp,
    error::{ApiError, ErrorBody},
    fold::{CallMetrics, CallRecord, CallState},
    query::{Page, PageInfo, Params},
    store::{CallFilter, Rows, StoredRecording, TimelineEntry},
};

/// The record of a call, as its facts tell it so far.
#[derive(Debug, Serialize, ToSchema)]
pub struct Call {
    /// The conversation.
    pub id: CallId,
    /// Whose it is; null while no number or agent claimed it.
    pub tenant_id: Option<TenantId>,
    /// The switch that has it.
    pub node_id: NodeId,
    /// Which way.
    pub direction: Option<Direction>,
    /// How it reached us.
    pub channel: Option<Channel>,
    /// Calling party.
    pub from: Option<String>,
    /// Called party.
    pub to: Option<String>,
    /// SIP profile.
    pub profile: Option<String>,
    /// Trunk.
    pub trunk: Option<String>,
    /// The dialplan route that matched first.
    pub route: Option<String>,
    /// SIP Call-ID.
    pub sip_call_id: Option<String>,
    /// The agent, in the version that the call keeps.
    pub agent: Option<AgentRef>,
    /// The snapshot revision that the call keeps.
    pub revision: Option<u64>,
    /// Where it is in its life.
    pub state: CallState,
    /// First fact.
    pub started_at: Option<Stamp>,
    /// 180.
    pub ringing_at: Option<Stamp>,
    /// 200.
    pub answered_at: Option<Stamp>,
    /// End.
    pub ended_at: Option<Stamp>,
    /// Answered to ended, milliseconds; null while it goes on.
    pub duration_ms: Option<u64>,
    /// INVITE to 200, milliseconds.
    pub setup_ms: Option<u64>,
    /// Codec name.
    pub codec: Option<String>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// The end is assumed: its switch fell silent and has not told yet.
    pub provisional: bool,
    /// How SIP ended it.
    pub sip: SipEnd,
    /// Counters.
    pub metrics: CallMetrics,
    /// Whether the caller's number is proven (STIR/SHAKEN); null where the trunk does not look.
    pub attestation: Option<Attestation>,
    /// Who agreed to be recorded, or did not; null while nobody was asked.
    pub consent: Option<CallConsent>,
    /// The recording, once the switch has announced it.
    pub recording: Option<Recording>,
}

/// Consent to a recording, and when it was given, refused or withdrawn.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallConsent {
    /// What was asked for, what came of it, how, and whose word it was.
    #[serde(flatten)]
    pub consent: Consent,
    /// When.
    pub at: Stamp,
    /// The same in milliseconds since the call's first fact.
    pub offset_ms: u64,
}

/// How SIP ended a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct SipEnd {
    /// Status.
    pub code: Option<u16>,
    /// Q.850 cause.
    pub q850: Option<u8>,
}

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recording {
    /// Whether it can be fetched here already.
    pub available: bool,
    /// Length; null until the switch told it.
    pub duration_ms: Option<u64>,
    /// Size.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// A call's timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    /// Facts in order.
    pub data: Vec<TimelineEntry>,
    /// How to go on.
    pub page: PageInfo,
}

fn recording(call: &CallRecord, stored: Option<&StoredRecording>) -> Option<Recording> {
    let captured = call.captured.as_ref();
    let duration_ms = captured.map(|captured| captured.duration_ms);
    if let Some(stored) = stored {
        return Some(Recording {
            available: true,
            duration_ms,
            bytes: stored.bytes,
            sha256: stored.sha256.clone(),
        });
    }
    captured.map(|captured| Recording {
        available: false,
        duration_ms,
        bytes: captured.bytes,
        sha256: captured.sha256.clone(),
    })
}

pub(super) fn view((call, stored): (CallRecord, Option<StoredRecording>)) -> Call {
    Call {
        state: call.state(),
        recording: recording(&call, stored.as_ref()),
        id: call.id,
        tenant_id: call.tenant,
        node_id: call.node,
        direction: call.direction,
        channel: call.channel,
        from: call.from,
        to: call.to,
        profile: call.profile,
        trunk: call.trunk,
        route: call.route,
        sip_call_id: call.sip_call_id,
        agent: call.agent,
        revision: call.revision,
        started_at: call.started_ms.map(Stamp),
        ringing_at: call.ringing_ms.map(Stamp),
        answered_at: call.answered_ms.map(Stamp),
        ended_at: call.ended_ms.map(Stamp),
        duration_ms: call.duration_ms,
        setup_ms: call.setup_ms,
        codec: call.codec,
        end_reason: call.end_reason,
        provisional: call.provisional,
        sip: SipEnd {
            code: call.sip_code,
            q850: call.q850,
        },
        attestation: call.attestation,
        consent: call.consent.map(|held| CallConsent {
            consent: held.consent,
            at: Stamp(held.at_ms),
            offset_ms: held.offset_ms,
        }),
        metrics: call.metrics,
    }
}

/// Lists calls, the newest first.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", params(("state" = Option<CallState>, Query), ("status" = Option<CallState>, Query, description = "The same as state"), ("agent_id" = Option<AgentId>, Query), ("from" = Option<String>, Query, description = "Calling party, exactly"), ("to" = Option<String>, Query, description = "Called party, exactly"), ("since" = Option<String>, Query, description = "Started at or after, RFC 3339"), ("until" = Option<String>, Query, description = "Started before, RFC 3339"), ("end_reason" = Option<EndReason>, Query), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Call>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Call>>, ApiError> {
    let page = params.page(50, 100);
    let states = "queued, ringing, in_progress or ended";
    let state = params.parsed("state", states);
    let status = params.parsed("status", states);
    let stamp = "an RFC 3339 instant";
    let filter = CallFilter {
        state: state.or(status),
        agent: params.parsed("agent_id", "an agent's id"),
        from: params.text("from"),
        to: params.text("to"),
        since_ms: params.read("since", stamp, Stamp::read).map(|at| at.0),
        until_ms: params.read("until", stamp, Stamp::read).map(|at| at.0),
        end_reason: params.read("end_reason", "an end reason", EndReason::from_wire),
    };
    params.finish()?;
    let rows = app.db().calls(caller.tenant, &filter, &page).await?;
    Ok(Json(Page::of(rows, view)))
}

/// One call.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", params(("id" = CallId, Path)), responses((status = 200, body = Call), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
) -> Result<Json<Call>, ApiError> {
    let call = app.db().call(caller.tenant, id).await?;
    call.map(|call| Json(view(call)))
        .ok_or_else(ApiError::not_found)
}

/// What happened in a call, in order, with milliseconds since its first fact.
#[utoipa::path(get, path = "/v1/calls/{id}/timeline", tag = "calls", params(("id" = CallId, Path), ("limit" = Option<u32>, Query, description = "1 to 1000"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Timeline), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn timeline(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    mut params: Params,
) -> Result<Json<Timeline>, ApiError> {
    let page = params.page(500, 1_000);
    params.finish()?;
    if !app.db().call_visible(caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    let after = page
        .after
        .as_deref()
        .and_then(read_place)
        .unwrap_or((-1, -1));
    let limit = i64::from(page.limit) + 1;
    let rows = app.db().timeline(id, after, limit).await?;
    let rows = cut(rows, page.limit);
    let Page { data, page } = Page::of(rows, |entry| entry);
    Ok(Json(Timeline { data, page }))
}

fn cut(mut rows: Vec<TimelineEntry>, limit: u32) -> Rows<TimelineEntry> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|entry| format!("{}.{}", entry.boot, entry.seq));
    Rows { rows, next }
}

fn read_place(text: &str) -> Option<(i64, i64)> {
    let (boot, seq) = text.split_once('.')?;
    Some((boot.parse().ok()?, seq.parse().ok()?))
}
