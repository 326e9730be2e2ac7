//! Agents and their drafts.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{AgentConfig, AgentId, TenantId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    agent_rules,
    app::App,
    auth::Caller,
    body::{self, Body, Id, Rules},
    clock::{Stamp, fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::check_slug,
    query::{Page, Params},
    shape::{Shape, merge_patch},
    store::{Agent, AgentStatus, Draft},
};

/// How often a patch without `If-Match` is applied again after somebody else's.
const TRIES: u32 = 5;

/// An agent to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    /// Short name, unique in the tenant.
    #[schema(min_length = 1, max_length = 63)]
    pub slug: String,
    /// The first draft.
    pub config: AgentConfig,
}

/// A change of an agent; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentChange {
    /// Short name, unique in the tenant.
    #[schema(min_length = 1, max_length = 63)]
    pub slug: Option<String>,
    /// Whether it takes calls.
    pub status: Option<AgentStatus>,
}

/// A change of a draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftChange {
    /// A JSON merge patch (RFC 7396) of the configuration: null removes, lists are replaced whole.
    #[schema(value_type = Object)]
    pub config: Value,
}

impl Rules for NewAgent {
    fn rules(body: &Value, faults: &mut Faults) {
        check_slug(body, faults);
        agent_rules::check(&body["config"], "/config", faults);
    }
}

impl Rules for AgentChange {
    fn rules(body: &Value, faults: &mut Faults) {
        check_slug(body, faults);
    }
}

impl Rules for DraftChange {}

fn slug_taken() -> ApiError {
    let message = "another agent has this slug";
    ApiError::at(ErrorCode::Conflict, FaultCode::Taken, "/slug", message)
}

/// Lists agents.
#[utoipa::path(get, path = "/v1/agents", tag = "agents", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Agent>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Agent>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().agents(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, |agent| agent)))
}

/// Makes an agent with a draft; nothing is published yet.
#[utoipa::path(post, path = "/v1/agents", tag = "agents", request_body = NewAgent, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Agent), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewAgent>,
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let now = Stamp(now_ms());
    let agent = Agent {
        id: fresh(AgentId::new),
        tenant_id: caller.require_tenant()?,
        slug: new.slug,
        status: AgentStatus::Active,
        latest_version: None,
        created_at: now,
        updated_at: now,
    };
    if !app.db().add_agent(&agent, &new.config).await? {
        return Err(slug_taken());
    }
    Ok((StatusCode::CREATED, Json(agent)))
}

/// One agent.
#[utoipa::path(get, path = "/v1/agents/{id}", tag = "agents", params(("id" = AgentId, Path)), responses((status = 200, body = Agent), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<Json<Agent>, ApiError> {
    let agent = app.db().agent(caller.tenant, id).await?;
    agent.map(Json).ok_or_else(ApiError::not_found)
}

/// Changes an agent's slug or pauses it.
#[utoipa::path(patch, path = "/v1/agents/{id}", tag = "agents", params(("id" = AgentId, Path)), request_body = AgentChange, responses((status = 200, body = Agent), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    Body(change): Body<AgentChange>,
) -> Result<Json<Agent>, ApiError> {
    let found = app.db().agent(caller.tenant, id).await?;
    found.ok_or_else(ApiError::not_found)?;
    let changed = app
        .db()
        .change_agent(caller.tenant, id, change.slug, change.status, now_ms())
        .await?;
    app.ring();
    match changed {
        None => Err(ApiError::not_found()),
        Some(None) => Err(slug_taken()),
        Some(Some(agent)) => Ok(Json(agent)),
    }
}

/// Deletes an agent that no number reaches.
#[utoipa::path(delete, path = "/v1/agents/{id}", tag = "agents", params(("id" = AgentId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:write"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<StatusCode, ApiError> {
    match app.db().delete_agent(caller.tenant, id, now_ms()).await? {
        None => Err(ApiError::not_found()),
        Some(false) => Err(ApiError::new(
            ErrorCode::Conflict,
            "a number still reaches this agent: delete it or route it elsewhere first",
        )),
        Some(true) => {
            app.ring();
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

/// A draft as an answer, with its ETag.
fn answer(draft: Draft) -> Response {
    let tag = format!("\"{}\"", draft.tag);
    ([(header::ETAG, tag)], Json(draft)).into_response()
}

/// What the next version would be.
#[utoipa::path(get, path = "/v1/agents/{id}/draft", tag = "agents", params(("id" = AgentId, Path)), responses((status = 200, body = Draft, headers(("ETag" = String, description = "Send it as If-Match"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:read"))))]
pub async fn draft(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<Response, ApiError> {
    let draft = app.db().draft(caller.tenant, id).await?;
    draft.map(answer).ok_or_else(ApiError::not_found)
}

/// Changes the draft. The whole result is checked; a fault leaves it as it was.
#[utoipa::path(patch, path = "/v1/agents/{id}/draft", tag = "agents", params(("id" = AgentId, Path), ("If-Match" = Option<String>, Header, description = "The ETag that was read")), request_body = DraftChange, responses((status = 200, body = Draft, headers(("ETag" = String, description = "The new one"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("agents:write"))))]
pub async fn change_draft(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    headers: HeaderMap,
    Body(change): Body<DraftChange>,
) -> Result<Response, ApiError> {
    for _ in 0..TRIES {
        let draft = app.db().draft(caller.tenant, id).await?;
        let mut draft = draft.ok_or_else(ApiError::not_found)?;
        let wanted = headers.get(header::IF_MATCH);
        if wanted.is_some_and(|tags| !matches(tags.as_bytes(), draft.tag)) {
            return Err(changed_meanwhile());
        }
        draft.config = patched(&app, &draft.config, &change.config)?;
        let now = now_ms();
        let replaced = app.db().replace_draft(id, draft.tag, &draft.config, now);
        if let Some(tag) = replaced.await? {
            draft.tag = tag;
            draft.updated_at = Stamp(now);
            return Ok(answer(draft));
        }
    }
    Err(changed_meanwhile())
}

fn changed_meanwhile() -> ApiError {
    ApiError::at(
        ErrorCode::PreconditionFailed,
        FaultCode::Inconsistent,
        "/header/If-Match",
        "the draft was changed since it was read: read it again",
    )
}

/// Whether an `If-Match` names this tag (RFC 9110 §13.1.1).
fn matches(header: &[u8], tag: i64) -> bool {
    let tag = format!("\"{tag}\"");
    String::from_utf8_lossy(header)
        .split(',')
        .map(str::trim)
        .any(|wanted| wanted == "*" || wanted == tag)
}

/// The configuration with the patch applied, checked whole.
fn patched(app: &App, before: &AgentConfig, patch: &Value) -> Result<AgentConfig, ApiError> {
    let mut config = serde_json::to_value(before).unwrap_or_default();
    merge_patch(&mut config, patch);
    let mut faults = Faults::default();
    Shape::new(app.document(), &mut faults).check("AgentConfig", &config, "/config");
    agent_rules::check(&config, "/config", &mut faults);
    faults.finish()?;
    body::read(config, "/config")
}
