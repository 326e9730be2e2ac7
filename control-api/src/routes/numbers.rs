//! Telephone numbers.

use axum::{Json, extract::State, http::StatusCode};
use model::{AgentId, NumberId, RecordingMode, TenantId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{Body, Id, Rules, text},
    clock::{Stamp, fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::is_e164,
    query::{Page, Params},
    store::{Number, NumberFields},
};

/// A number to route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNumber {
    /// `+` and digits.
    pub e164: String,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub label: String,
    /// The agent that answers.
    pub agent_id: AgentId,
    /// A version to pin; null or missing follows the latest.
    #[schema(minimum = 1)]
    pub agent_version: Option<u32>,
    /// Whether it is routed; true by default.
    #[serde(default = "yes")]
    pub active: bool,
    /// When its calls are recorded; null or missing is as the agent says.
    pub recording: Option<RecordingMode>,
}

/// A change of a number; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberChange {
    /// For people.
    #[schema(max_length = 200)]
    pub label: Option<String>,
    /// The agent that answers.
    pub agent_id: Option<AgentId>,
    /// A version to pin; null follows the latest.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub agent_version: Option<Option<u32>>,
    /// Whether it is routed.
    pub active: Option<bool>,
    /// When its calls are recorded; null is as the agent says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RecordingMode>)]
    pub recording: Option<Option<RecordingMode>>,
}

fn yes() -> bool {
    true
}

/// Tells a null that was sent from a member that was not.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn check_agent_id(body: &Value, faults: &mut Faults) {
    if text(body, "agent_id").is_some_and(|id| id.parse::<AgentId>().is_err()) {
        let message = "must be an agent's id (agt_…)";
        faults.add(FaultCode::InvalidFormat, "/agent_id", message);
    }
}

impl Rules for NewNumber {
    fn rules(body: &Value, faults: &mut Faults) {
        check_agent_id(body, faults);
        if text(body, "e164").is_some_and(|number| !is_e164(number)) {
            let message = "must be + and 3 to 15 digits";
            faults.add(FaultCode::InvalidFormat, "/e164", message);
        }
    }
}

impl Rules for NumberChange {
    fn rules(body: &Value, faults: &mut Faults) {
        check_agent_id(body, faults);
    }
}

/// Whether the tenant has the agent, and the agent the version.
async fn check_target(
    app: &App,
    tenant: TenantId,
    agent: AgentId,
    version: Option<u32>,
) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    if app.db().agent(Some(tenant), agent).await?.is_none() {
        faults.add(FaultCode::NotFound, "/agent_id", "there is no such agent");
    } else if let Some(version) = version
        && app
            .db()
            .version(Some(tenant), agent, version)
            .await?
            .is_none()
    {
        let message = "the agent has no such version";
        faults.add(FaultCode::NotFound, "/agent_version", message);
    }
    faults.finish()
}

/// Lists numbers.
#[utoipa::path(get, path = "/v1/numbers", tag = "numbers", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Number>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Number>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().numbers(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, |number| number)))
}

/// Routes a number to an agent.
#[utoipa::path(post, path = "/v1/numbers", tag = "numbers", request_body = NewNumber, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Number), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewNumber>,
) -> Result<(StatusCode, Json<Number>), ApiError> {
    let tenant = caller.require_tenant()?;
    check_target(&app, tenant, new.agent_id, new.agent_version).await?;
    let now = Stamp(now_ms());
    let number = Number {
        id: fresh(NumberId::new),
        tenant_id: tenant,
        e164: new.e164,
        label: new.label,
        agent_id: new.agent_id,
        agent_version: new.agent_version,
        active: new.active,
        recording: new.recording,
        created_at: now,
        updated_at: now,
    };
    if !app.db().add_number(&number).await? {
        let message = "this number is routed already";
        return Err(ApiError::at(
            ErrorCode::Conflict,
            FaultCode::Taken,
            "/e164",
            message,
        ));
    }
    app.ring();
    Ok((StatusCode::CREATED, Json(number)))
}

/// One number.
#[utoipa::path(get, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = NumberId, Path)), responses((status = 200, body = Number), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<NumberId>,
) -> Result<Json<Number>, ApiError> {
    let number = app.db().number(caller.tenant, id).await?;
    number.map(Json).ok_or_else(ApiError::not_found)
}

/// Changes a number.
#[utoipa::path(patch, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = NumberId, Path)), request_body = NumberChange, responses((status = 200, body = Number), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<NumberId>,
    Body(change): Body<NumberChange>,
) -> Result<Json<Number>, ApiError> {
    let before = app.db().number(caller.tenant, id).await?;
    let before = before.ok_or_else(ApiError::not_found)?;
    let agent = change.agent_id.unwrap_or(before.agent_id);
    let moved = change.agent_id.is_some_and(|id| id != before.agent_id);
    // A pin belongs to its agent: another agent is followed at its latest unless a pin is sent.
    let version = match change.agent_version {
        None if moved => Some(None),
        other => other,
    };
    let pinned = version.unwrap_or(before.agent_version);
    check_target(&app, before.tenant_id, agent, pinned).await?;
    let fields = NumberFields {
        label: change.label,
        agent_id: change.agent_id,
        agent_version: version,
        active: change.active,
        recording: change.recording,
    };
    let changed = app.db().change_number(caller.tenant, id, fields, now_ms());
    let number = changed.await?;
    app.ring();
    number.map(Json).ok_or_else(ApiError::not_found)
}

/// Stops routing a number.
#[utoipa::path(delete, path = "/v1/numbers/{id}", tag = "numbers", params(("id" = NumberId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<NumberId>,
) -> Result<StatusCode, ApiError> {
    if !app.db().delete_number(caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}
