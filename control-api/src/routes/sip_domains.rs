//! SIP domains: where the phones of a tenant register.

use axum::{Json, extract::State, http::StatusCode};
use model::{DomainId, TenantId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{Body, Id, Rules, text},
    clock::{Stamp, fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    names::is_sip_domain,
    query::{Page, Params},
    store::SipDomain,
};

/// A domain to open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSipDomain {
    /// A host name or an address, lower case: `phones.example.com`.
    #[schema(max_length = 253)]
    pub name: String,
}

impl Rules for NewSipDomain {
    fn rules(body: &Value, faults: &mut Faults) {
        if text(body, "name").is_some_and(|name| !is_sip_domain(name)) {
            let message = "must be a host name or an address, lower case";
            faults.add(FaultCode::InvalidFormat, "/name", message);
        }
    }
}

/// Lists SIP domains.
#[utoipa::path(get, path = "/v1/sip-domains", tag = "phones", params(("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<SipDomain>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<SipDomain>>, ApiError> {
    let page = params.page(50, 100);
    params.finish()?;
    let rows = app.db().domains(caller.tenant, &page).await?;
    Ok(Json(Page::of(rows, |domain| domain)))
}

/// Opens a SIP domain; its name belongs to one tenant of the installation.
#[utoipa::path(post, path = "/v1/sip-domains", tag = "phones", request_body = NewSipDomain, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = SipDomain), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewSipDomain>,
) -> Result<(StatusCode, Json<SipDomain>), ApiError> {
    let now = Stamp(now_ms());
    let domain = SipDomain {
        id: fresh(DomainId::new),
        tenant_id: caller.require_tenant()?,
        name: new.name,
        created_at: now,
        updated_at: now,
    };
    if !app.db().add_domain(&domain).await? {
        let message = "this domain is taken";
        let code = FaultCode::Taken;
        return Err(ApiError::at(ErrorCode::Conflict, code, "/name", message));
    }
    Ok((StatusCode::CREATED, Json(domain)))
}

/// One SIP domain.
#[utoipa::path(get, path = "/v1/sip-domains/{id}", tag = "phones", params(("id" = DomainId, Path)), responses((status = 200, body = SipDomain), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<DomainId>,
) -> Result<Json<SipDomain>, ApiError> {
    let domain = app.db().domain(caller.tenant, id).await?;
    domain.map(Json).ok_or_else(ApiError::not_found)
}

/// Closes a SIP domain that has no extensions.
#[utoipa::path(delete, path = "/v1/sip-domains/{id}", tag = "phones", params(("id" = DomainId, Path)), responses((status = 204, description = "Deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:write"))))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<DomainId>,
) -> Result<StatusCode, ApiError> {
    if app.db().delete_domain(caller.tenant, id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match app.db().domain(caller.tenant, id).await? {
        Some(_) => Err(ApiError::new(
            ErrorCode::Conflict,
            "there are extensions in this domain",
        )),
        None => Err(ApiError::not_found()),
    }
}
