//! Publishing: drafts become immutable versions, and switches take them.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use model::AgentId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{Body, Id, Rules},
    clock::now_ms,
    error::{ApiError, ErrorBody, FaultCode, Faults},
    query::{Page, Params},
    store::{AgentVersion, NewVersion, Published, Rollout},
};

/// What to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Why.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub note: String,
    /// An older version to repeat (a rollback); missing = the draft.
    #[schema(minimum = 1)]
    pub from_version: Option<u32>,
}

impl Rules for Publish {}

/// A version, and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedVersion {
    /// The version.
    #[serde(flatten)]
    pub version: AgentVersion,
    /// The switches.
    pub nodes: Nodes,
}

/// How far a revision has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nodes {
    /// Switches that are alive and take calls.
    pub ready: u64,
    /// Those of them that have the revision.
    pub applied: u64,
}

/// Freezes the draft, or an older version, as the next version. Calls in progress keep theirs.
#[utoipa::path(post, path = "/v1/agents/{id}/publish", tag = "agents", request_body = Publish, params(("id" = AgentId, Path), ("wait" = Option<String>, Query, description = "Answer when every ready switch has it, or after this time (10s, 500ms; at most 60s)"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = PublishedVersion), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:write"))))]
pub async fn publish(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    mut params: Params,
    Body(publish): Body<Publish>,
) -> Result<(StatusCode, Json<PublishedVersion>), ApiError> {
    let wait = params.read("wait", "a time up to 60s, such as 10s or 500ms", read_wait);
    params.finish()?;
    let new = NewVersion {
        note: publish.note,
        from_version: publish.from_version,
        published_by: caller.key.to_string(),
        now: now_ms(),
    };
    let version = match app.db().publish(caller.tenant, id, new).await? {
        Published::Version(version) => *version,
        Published::NoAgent => return Err(ApiError::not_found()),
        Published::NoVersion => return Err(no_version()),
    };
    app.ring();
    let rollout = wait_for(&app, version.revision, wait.unwrap_or_default()).await?;
    let nodes = Nodes {
        ready: rollout.ready,
        applied: rollout.applied,
    };
    let version = AgentVersion {
        config: None,
        ..version
    };
    let body = PublishedVersion { version, nodes };
    Ok((StatusCode::CREATED, Json(body)))
}

fn no_version() -> ApiError {
    let mut faults = Faults::default();
    let message = "the agent has no such version";
    faults.add(FaultCode::NotFound, "/from_version", message);
    faults.finish().err().unwrap_or_else(ApiError::not_found)
}

/// `10s`, `500ms` or plain seconds, up to a minute.
fn read_wait(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1_000),
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (millis <= 60_000).then(|| Duration::from_millis(millis))
}

/// Waits until every ready switch has the revision, for at most `wait`.
async fn wait_for(app: &App, revision: u64, wait: Duration) -> Result<Rollout, ApiError> {
    let until = Instant::now() + wait;
    let mut bell = app.bell();
    loop {
        bell.mark_unchanged();
        let rollout = app.db().rollout(revision, app.alive_since()).await?;
        let left = until.saturating_duration_since(Instant::now());
        if rollout.applied >= rollout.ready || left.is_zero() {
            return Ok(rollout);
        }
        let step = left.min(Duration::from_millis(500));
        if !app.wait(&mut bell, step).await {
            return Ok(rollout);
        }
    }
}

/// Lists an agent's versions.
#[utoipa::path(get, path = "/v1/agents/{id}/versions", tag = "agents", params(("id" = AgentId, Path), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<AgentVersion>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    mut params: Params,
) -> Result<Json<Page<AgentVersion>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let agent = app.db().agent(caller.tenant, id).await?;
    agent.ok_or_else(ApiError::not_found)?;
    let rows = app.db().versions(id, &page).await?;
    Ok(Json(Page::of(rows, |version| version)))
}

/// One version with its configuration.
#[utoipa::path(get, path = "/v1/agents/{id}/versions/{version}", tag = "agents", params(("id" = AgentId, Path), ("version" = u32, Path)), responses((status = 200, body = AgentVersion), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((id, version)): Path<(String, String)>,
) -> Result<Json<AgentVersion>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found())?;
    let version = version.parse().map_err(|_| ApiError::not_found())?;
    let version = app.db().version(caller.tenant, id, version).await?;
    version.map(Json).ok_or_else(ApiError::not_found)
}
