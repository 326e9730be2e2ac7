//! Who am I?

use axum::{Json, extract::State};
use model::KeyId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Role, Scope},
    error::{ApiError, ErrorBody},
    store::Tenant,
};

/// The key that asks, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// The key.
    pub key_id: KeyId,
    /// Its name.
    pub name: String,
    /// Its public part.
    pub prefix: String,
    /// What it is.
    pub role: Role,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The tenant it acts in; null for a platform key that named none.
    pub tenant: Option<Tenant>,
}

/// The key that asks.
#[utoipa::path(get, path = "/v1/me", tag = "me", responses((status = 200, body = Me), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("any"))))]
pub async fn show(State(app): State<App>, caller: Caller) -> Result<Json<Me>, ApiError> {
    let tenant = match caller.tenant {
        Some(id) => app.db().tenant(id).await?,
        None => None,
    };
    Ok(Json(Me {
        key_id: caller.key,
        name: caller.name,
        prefix: caller.prefix,
        role: caller.role,
        scopes: caller.scopes,
        tenant,
    }))
}
