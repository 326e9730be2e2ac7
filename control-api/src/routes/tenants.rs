//! Tenants.

use axum::{Json, extract::State, http::StatusCode};
use jiff::tz::TimeZone;
use model::{TenantId, snapshot::TenantLimits, trunk::OutboundPolicy};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Scope},
    body::{Body, Id, Rules, text},
    clock::{Stamp, fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::check_slug,
    query::{Page, Params},
    store::{Tenant, TenantFields, TenantStatus},
    trunk_rules,
};

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Short name: `a` to `z`, `0` to `9`, `-`; never changes.
    #[schema(min_length = 1, max_length = 63)]
    pub slug: String,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// IANA time zone; UTC by default.
    #[serde(default = "utc")]
    pub timezone: String,
}

/// A change of a tenant; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// Whether it is served; for platform keys only.
    pub status: Option<TenantStatus>,
    /// What it may call, replaced whole.
    pub outbound: Option<OutboundPolicy>,
    /// How many calls it may have on all switches together, replaced whole; for platform keys only.
    pub limits: Option<TenantLimits>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn check_zone(body: &Value, faults: &mut Faults) {
    if text(body, "timezone").is_some_and(|zone| TimeZone::get(zone).is_err()) {
        let message = "must be an IANA time zone such as Europe/Paris";
        faults.add(FaultCode::UnknownValue, "/timezone", message);
    }
}

impl Rules for NewTenant {
    fn rules(body: &Value, faults: &mut Faults) {
        check_slug(body, faults);
        check_zone(body, faults);
    }
}

impl Rules for TenantChange {
    fn rules(body: &Value, faults: &mut Faults) {
        trunk_rules::check_outbound(&body["outbound"], "/outbound", faults);
        check_zone(body, faults);
    }
}

/// Lists tenants: all for a platform key, its own for another.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Tenant>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("tenants:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Tenant>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().tenants(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, |tenant| tenant)))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant, params(("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Tenant), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("platform"))))]
pub async fn create(
    State(app): State<App>,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), ApiError> {
    let now = Stamp(now_ms());
    let tenant = Tenant {
        id: fresh(TenantId::new),
        slug: new.slug,
        name: new.name,
        timezone: new.timezone,
        status: TenantStatus::Active,
        outbound: None,
        limits: None,
        created_at: now,
        updated_at: now,
    };
    if !app.db().add_tenant(&tenant).await? {
        let message = "another tenant has this slug";
        return Err(ApiError::at(
            ErrorCode::Conflict,
            FaultCode::Taken,
            "/slug",
            message,
        ));
    }
    app.ring();
    Ok((StatusCode::CREATED, Json(tenant)))
}

/// Whether a caller may know of a tenant.
fn visible(caller: &Caller, id: TenantId) -> Result<(), ApiError> {
    match caller.tenant {
        Some(own) if own != id => Err(ApiError::not_found()),
        _ => Ok(()),
    }
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = TenantId, Path)), responses((status = 200, body = Tenant), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("tenants:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TenantId>,
) -> Result<Json<Tenant>, ApiError> {
    visible(&caller, id)?;
    let tenant = app.db().tenant(id).await?;
    tenant.map(Json).ok_or_else(ApiError::not_found)
}

/// Changes a tenant.
#[utoipa::path(patch, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = TenantId, Path)), request_body = TenantChange, responses((status = 200, body = Tenant), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("tenants:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TenantId>,
    Body(change): Body<TenantChange>,
) -> Result<Json<Tenant>, ApiError> {
    visible(&caller, id)?;
    let ours = change.status.is_some() || change.limits.is_some();
    if ours && !caller.scopes.contains(&Scope::Platform) {
        let message = "only a platform key may suspend, resume or limit a tenant";
        return Err(ApiError::new(ErrorCode::Forbidden, message));
    }
    let fields = TenantFields {
        name: change.name,
        timezone: change.timezone,
        status: change.status,
        outbound: change.outbound,
        limits: change.limits,
    };
    let tenant = app.db().change_tenant(id, fields, now_ms()).await?;
    app.ring();
    tenant.map(Json).ok_or_else(ApiError::not_found)
}

/// Deletes a tenant: its keys and numbers end, its records stay.
#[utoipa::path(delete, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = TenantId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("platform"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TenantId>,
) -> Result<StatusCode, ApiError> {
    visible(&caller, id)?;
    if !app.db().delete_tenant(id, now_ms()).await? {
        return Err(ApiError::not_found());
    }
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}
