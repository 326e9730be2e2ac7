//! Trunks: the carriers of a tenant. Passwords go in and never come out.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{
    TenantId, TrunkId,
    trunk::{TrunkConfig, TrunkMode},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{self, Body, Id, Rules},
    clock::{Stamp, fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::check_name,
    query::{Page, Params},
    shape::{Shape, merge_patch},
    store::{Change, StoredTrunk},
    trunk_rules,
};

/// What stands where a password is.
const HIDDEN: &str = "***";
/// How often a patch without `If-Match` is applied again after somebody else's.
const TRIES: u32 = 5;

/// A trunk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique in the tenant; call records say `tenant/name`.
    pub name: String,
    /// Whether switches use it.
    pub active: bool,
    /// What it is.
    pub config: TrunkConfig,
    /// `***` when there is one.
    pub password: Option<&'static str>,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// A trunk to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrunk {
    /// Its name, unique in the tenant.
    #[schema(min_length = 1, max_length = 63)]
    pub name: String,
    /// Whether switches use it; true by default.
    #[serde(default = "yes")]
    pub active: bool,
    /// What it is.
    pub config: TrunkConfig,
    /// The password of its credentials. It is sealed and never shown again.
    #[schema(min_length = 1, max_length = 255)]
    pub password: Option<String>,
}

/// A change of a trunk; what is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkChange {
    /// Its name, unique in the tenant.
    #[schema(min_length = 1, max_length = 63)]
    pub name: Option<String>,
    /// Whether switches use it.
    pub active: Option<bool>,
    /// A JSON merge patch (RFC 7396) of the configuration: null removes, lists are replaced whole.
    #[schema(value_type = Option<Object>)]
    pub config: Option<Value>,
    /// A new password; null forgets it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    pub password: Option<Option<String>>,
}

fn yes() -> bool {
    true
}

/// Tells a null that was sent from a member that was not.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Rules for NewTrunk {
    fn rules(body: &Value, faults: &mut Faults) {
        check_name(body, "name", faults);
        trunk_rules::check(&body["config"], "/config", faults);
        let mode = body["config"]["mode"].as_str().unwrap_or("ip");
        if mode != "ip" && body["password"].as_str().is_none() {
            let message = format!("is required with mode {mode}");
            faults.add(FaultCode::Required, "/password", message);
        }
    }
}

impl Rules for TrunkChange {
    fn rules(body: &Value, faults: &mut Faults) {
        check_name(body, "name", faults);
    }
}

impl Trunk {
    fn of(stored: StoredTrunk) -> Self {
        Self {
            id: stored.id,
            tenant_id: stored.tenant_id,
            name: stored.name,
            active: stored.active,
            config: stored.config,
            password: stored.password.map(|_| HIDDEN),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// A trunk as an answer, with its ETag.
fn answer(status: StatusCode, stored: StoredTrunk) -> Response {
    let tag = format!("\"{}\"", stored.tag);
    (status, [(header::ETAG, tag)], Json(Trunk::of(stored))).into_response()
}

fn name_taken() -> ApiError {
    let message = "another trunk of the tenant has this name";
    ApiError::at(ErrorCode::Conflict, FaultCode::Taken, "/name", message)
}

/// A password, sealed for its place in the database.
fn seal(app: &App, id: TrunkId, password: &str) -> Result<String, ApiError> {
    let place = format!("trunks.password/{id}");
    app.envelope().seal(&place, password).map_err(|fault| {
        tracing::error!(%fault, "a password could not be sealed");
        ApiError::new(ErrorCode::Internal, "the password could not be sealed")
    })
}

/// Lists trunks.
#[utoipa::path(get, path = "/v1/trunks", tag = "trunks", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Trunk>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Trunk>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().trunks(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, Trunk::of)))
}

/// Makes a trunk.
#[utoipa::path(post, path = "/v1/trunks", tag = "trunks", request_body = NewTrunk, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Trunk, headers(("ETag" = String, description = "Send it as If-Match"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewTrunk>,
) -> Result<Response, ApiError> {
    let (id, now) = (fresh(TrunkId::new), Stamp(now_ms()));
    let sealed = new.password.as_deref().map(|text| seal(&app, id, text));
    let trunk = StoredTrunk {
        id,
        tenant_id: caller.require_tenant()?,
        name: new.name,
        config: new.config,
        password: sealed.transpose()?,
        active: new.active,
        tag: 1,
        created_at: now,
        updated_at: now,
    };
    if !app.db().add_trunk(&trunk).await? {
        return Err(name_taken());
    }
    app.ring();
    Ok(answer(StatusCode::CREATED, trunk))
}

/// One trunk.
#[utoipa::path(get, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = TrunkId, Path)), responses((status = 200, body = Trunk, headers(("ETag" = String, description = "Send it as If-Match"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TrunkId>,
) -> Result<Response, ApiError> {
    let trunk = app.db().trunk(caller.tenant, id).await?;
    let trunk = trunk.ok_or_else(ApiError::not_found)?;
    Ok(answer(StatusCode::OK, trunk))
}

/// Changes a trunk. The whole result is checked; a fault leaves it as it was.
#[utoipa::path(patch, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = TrunkId, Path), ("If-Match" = Option<String>, Header, description = "The ETag that was read")), request_body = TrunkChange, responses((status = 200, body = Trunk, headers(("ETag" = String, description = "The new one"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TrunkId>,
    headers: HeaderMap,
    Body(change): Body<TrunkChange>,
) -> Result<Response, ApiError> {
    for _ in 0..TRIES {
        let trunk = app.db().trunk(caller.tenant, id).await?;
        let trunk = trunk.ok_or_else(ApiError::not_found)?;
        let wanted = headers.get(header::IF_MATCH);
        if wanted.is_some_and(|tags| !names_tag(tags.as_bytes(), trunk.tag)) {
            return Err(changed_meanwhile());
        }
        let mut changed = changed(&app, trunk, &change)?;
        let now = now_ms();
        match app.db().replace_trunk(&changed, now).await? {
            Change::Done(tag) => {
                app.ring();
                changed.tag = tag;
                changed.updated_at = Stamp(now);
                return Ok(answer(StatusCode::OK, changed));
            }
            Change::NameTaken => return Err(name_taken()),
            Change::Meanwhile => {}
        }
    }
    Err(changed_meanwhile())
}

/// Deletes a trunk; calls under way go on.
#[utoipa::path(delete, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = TrunkId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TrunkId>,
) -> Result<StatusCode, ApiError> {
    if !app.db().delete_trunk(caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}

/// The trunk with the change applied, checked whole.
fn changed(
    app: &App,
    mut trunk: StoredTrunk,
    change: &TrunkChange,
) -> Result<StoredTrunk, ApiError> {
    if let Some(patch) = &change.config {
        trunk.config = patched(app, &trunk.config, patch)?;
    }
    match &change.password {
        Some(Some(text)) => trunk.password = Some(seal(app, trunk.id, text)?),
        Some(None) => trunk.password = None,
        None => {}
    }
    if trunk.config.mode != TrunkMode::Ip && trunk.password.is_none() {
        let message = "a trunk of this mode needs a password";
        return Err(ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::Required,
            "/password",
            message,
        ));
    }
    trunk.name = change.name.clone().unwrap_or(trunk.name);
    trunk.active = change.active.unwrap_or(trunk.active);
    Ok(trunk)
}

fn patched(app: &App, before: &TrunkConfig, patch: &Value) -> Result<TrunkConfig, ApiError> {
    let mut config = serde_json::to_value(before).unwrap_or_default();
    merge_patch(&mut config, patch);
    let mut faults = Faults::default();
    Shape::new(app.document(), &mut faults).check("TrunkConfig", &config, "/config");
    trunk_rules::check(&config, "/config", &mut faults);
    faults.finish()?;
    body::read(config, "/config")
}

fn changed_meanwhile() -> ApiError {
    ApiError::at(
        ErrorCode::PreconditionFailed,
        FaultCode::Inconsistent,
        "/header/If-Match",
        "the trunk was changed since it was read: read it again",
    )
}

/// Whether an `If-Match` names this tag (RFC 9110 §13.1.1).
fn names_tag(header: &[u8], tag: i64) -> bool {
    let tag = format!("\"{tag}\"");
    String::from_utf8_lossy(header)
        .split(',')
        .map(str::trim)
        .any(|wanted| wanted == "*" || wanted == tag)
}
