//! API keys: shown once, kept as hashes.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use model::{KeyId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Role, Scope, key::make},
    body::{Body, Id, Rules, text},
    clock::{Stamp, now_ms},
    error::{ApiError, ErrorBody, FaultCode, Faults},
    idempotency::ShowsSecret,
    query::{Page, Params},
    store::ApiKey,
};

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyWanted {
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is; never more than the key that makes it.
    pub role: Role,
    /// Fewer rights than the role's; missing = all of them.
    #[schema(min_items = 1)]
    pub scopes: Option<Vec<Scope>>,
    /// RFC 3339; missing = never.
    pub expires_at: Option<String>,
}

/// A change of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// For people.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
}

/// A key with its secret: this answer is the only place that ever shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyMade {
    /// The key.
    #[serde(flatten)]
    pub api_key: ApiKey,
    /// What to send as bearer token.
    pub key: String,
}

impl Rules for KeyChange {}

impl Rules for KeyWanted {
    fn rules(body: &Value, faults: &mut Faults) {
        let Some(expires) = text(body, "expires_at") else {
            return;
        };
        match Stamp::read(expires) {
            None => faults.add(
                FaultCode::InvalidFormat,
                "/expires_at",
                "must be an RFC 3339 instant such as 2030-01-31T00:00:00Z",
            ),
            Some(at) if at.0 <= now_ms() => {
                faults.add(FaultCode::OutOfRange, "/expires_at", "must lie ahead");
            }
            Some(_) => {}
        }
    }
}

/// A key may hand out only what it has itself, in its own tenant.
fn check_rights(caller: &Caller, wanted: &KeyWanted, scopes: &[Scope]) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    let platform = caller.scopes.contains(&Scope::Platform);
    if wanted.role.is_platform() && (!platform || caller.tenant.is_some()) {
        let message = "only a platform key that names no tenant may make a platform key";
        faults.add(FaultCode::OutOfRange, "/role", message);
    }
    let of_role = wanted.role.scopes();
    for (index, scope) in wanted.scopes.iter().flatten().enumerate() {
        if !of_role.contains(scope) {
            let message = format!("the role {} does not have {scope}", wanted.role);
            let field = format!("/scopes/{index}");
            faults.add(FaultCode::OutOfRange, field, message);
        }
    }
    let more = scopes.iter().find(|scope| !caller.scopes.contains(scope));
    if let Some(scope) = more {
        let message = format!("this key lacks {scope} itself and cannot hand it out");
        faults.add(FaultCode::OutOfRange, "/role", message);
    }
    faults.finish()
}

/// Lists keys.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<ApiKey>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("keys:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().keys(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, |key| key)))
}

/// Makes a key and shows its secret once.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = KeyWanted, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours; only the same API key gets the secret again")), responses((status = 201, body = KeyMade), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("keys:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<KeyWanted>,
) -> Result<Response, ApiError> {
    let scopes = wanted.scopes.clone();
    let scopes = scopes.unwrap_or_else(|| wanted.role.scopes());
    check_rights(&caller, &wanted, &scopes)?;
    let tenant_id = if wanted.role.is_platform() {
        None
    } else {
        Some(caller.require_tenant()?)
    };
    let expires_at = wanted.expires_at.as_deref().and_then(Stamp::read);
    let (new, secret) = make(tenant_id, wanted.name, wanted.role, scopes, expires_at);
    app.db().add_key(&new).await?;
    let body = KeyMade {
        api_key: new.key,
        key: secret.text.to_string(),
    };
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    response.extensions_mut().insert(ShowsSecret);
    Ok(response)
}

/// One key.
#[utoipa::path(get, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = KeyId, Path)), responses((status = 200, body = ApiKey), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("keys:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KeyId>,
) -> Result<Json<ApiKey>, ApiError> {
    let key = app.db().key(caller.tenant, id).await?;
    key.map(Json).ok_or_else(ApiError::not_found)
}

/// Renames a key.
#[utoipa::path(patch, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = KeyId, Path)), request_body = KeyChange, responses((status = 200, body = ApiKey), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("keys:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KeyId>,
    Body(change): Body<KeyChange>,
) -> Result<Json<ApiKey>, ApiError> {
    let renamed = app.db().rename_key(caller.tenant, id, &change.name);
    if !renamed.await? {
        return Err(ApiError::not_found());
    }
    show(State(app), caller, Id(id)).await
}

/// Revokes a key at once.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = KeyId, Path)), responses((status = 204, description = "Revoked"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("keys:write"))))]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KeyId>,
) -> Result<StatusCode, ApiError> {
    if !app.db().revoke_key(caller.tenant, id, now_ms()).await? {
        return Err(ApiError::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}
