//! Extensions: the accounts of phones. Passwords go in and never come out.

use axum::{Json, extract::State, http::StatusCode};
use model::{DomainId, ExtensionId, TenantId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{Body, Id, Rules, text},
    clock::{Stamp, fresh, now_ms},
    envelope::EnvelopeError,
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::is_sip_user,
    query::{Page, Params},
    store::{Extension, ExtensionFields, SipDomain, place},
};

/// An extension to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExtension {
    /// The domain it is in.
    pub domain_id: DomainId,
    /// Its name in the domain, and for the digest: `1001`.
    #[schema(min_length = 1, max_length = 64)]
    pub user: String,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub display_name: String,
    /// What its phone is given. Kept sealed and never shown.
    #[schema(min_length = 8, max_length = 128)]
    pub password: String,
    /// Whether it may register and call; true by default.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A change of an extension; what is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtensionChange {
    /// For people.
    #[schema(max_length = 200)]
    pub display_name: Option<String>,
    /// A new password: phones register anew with it.
    #[schema(min_length = 8, max_length = 128)]
    pub password: Option<String>,
    /// Whether it may register and call.
    pub active: Option<bool>,
}

fn yes() -> bool {
    true
}

impl Rules for NewExtension {
    fn rules(body: &Value, faults: &mut Faults) {
        if text(body, "domain_id").is_some_and(|id| id.parse::<DomainId>().is_err()) {
            let message = "must be a domain's id (dom_…)";
            faults.add(FaultCode::InvalidFormat, "/domain_id", message);
        }
        if text(body, "user").is_some_and(|user| !is_sip_user(user)) {
            let message = "must be made of letters, digits and - _ . + *";
            faults.add(FaultCode::InvalidFormat, "/user", message);
        }
    }
}

impl Rules for ExtensionChange {}

/// The keys are not the caller's matter.
fn unsealed(fault: EnvelopeError) -> ApiError {
    tracing::error!(%fault, "a password cannot be kept");
    drop(fault);
    ApiError::new(ErrorCode::Internal, "a fault of ours; the log has it")
}

async fn domain_of(app: &App, tenant: TenantId, id: DomainId) -> Result<SipDomain, ApiError> {
    let mut faults = Faults::default();
    let domain = app.db().domain(Some(tenant), id).await?;
    if domain.is_none() {
        faults.add(FaultCode::NotFound, "/domain_id", "there is no such domain");
    }
    faults.finish()?;
    domain.ok_or_else(ApiError::not_found)
}

/// Lists extensions.
#[utoipa::path(get, path = "/v1/extensions", tag = "phones", params(("domain_id" = Option<DomainId>, Query, description = "In this domain"), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Extension>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Extension>>, ApiError> {
    let page = params.page(50, 100);
    let domain = params.parsed("domain_id", "a domain's id");
    params.finish()?;
    let rows = app.db().extensions(caller.tenant, domain, &page).await?;
    Ok(Json(Page::of(rows, |extension| extension)))
}

/// Makes an extension.
#[utoipa::path(post, path = "/v1/extensions", tag = "phones", request_body = NewExtension, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Extension), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewExtension>,
) -> Result<(StatusCode, Json<Extension>), ApiError> {
    let tenant = caller.require_tenant()?;
    let domain = domain_of(&app, tenant, new.domain_id).await?;
    let now = Stamp(now_ms());
    let extension = Extension {
        id: fresh(ExtensionId::new),
        tenant_id: tenant,
        domain_id: domain.id,
        domain: domain.name,
        user: new.user,
        display_name: new.display_name,
        active: new.active,
        password: "***",
        created_at: now,
        updated_at: now,
    };
    let place = place("extensions", "password", extension.id);
    let sealed = app.envelope().seal(&place, &new.password);
    let sealed = sealed.map_err(unsealed)?;
    if !app.db().add_extension(&extension, &sealed).await? {
        let message = "this name is taken in the domain";
        let code = FaultCode::Taken;
        return Err(ApiError::at(ErrorCode::Conflict, code, "/user", message));
    }
    app.ring();
    Ok((StatusCode::CREATED, Json(extension)))
}

/// One extension.
#[utoipa::path(get, path = "/v1/extensions/{id}", tag = "phones", params(("id" = ExtensionId, Path)), responses((status = 200, body = Extension), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExtensionId>,
) -> Result<Json<Extension>, ApiError> {
    let extension = app.db().extension(caller.tenant, id).await?;
    extension.map(Json).ok_or_else(ApiError::not_found)
}

/// Changes an extension.
#[utoipa::path(patch, path = "/v1/extensions/{id}", tag = "phones", params(("id" = ExtensionId, Path)), request_body = ExtensionChange, responses((status = 200, body = Extension), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExtensionId>,
    Body(change): Body<ExtensionChange>,
) -> Result<Json<Extension>, ApiError> {
    let place = place("extensions", "password", id);
    let sealed = change
        .password
        .map(|password| app.envelope().seal(&place, &password));
    let fields = ExtensionFields {
        display_name: change.display_name,
        password: sealed.transpose().map_err(unsealed)?,
        active: change.active,
    };
    let changed = app
        .db()
        .change_extension(caller.tenant, id, fields, now_ms());
    if !changed.await? {
        return Err(ApiError::not_found());
    }
    app.ring();
    let extension = app.db().extension(caller.tenant, id).await?;
    extension.map(Json).ok_or_else(ApiError::not_found)
}

/// Deletes an extension; its phones are no longer reached.
#[utoipa::path(delete, path = "/v1/extensions/{id}", tag = "phones", params(("id" = ExtensionId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExtensionId>,
) -> Result<StatusCode, ApiError> {
    if !app.db().delete_extension(caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}
