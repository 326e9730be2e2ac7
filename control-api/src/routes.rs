//! The routes, their document, and the layers around them.

mod agents;
mod api_keys;
mod bookings;
mod calls;
mod dialling;
mod extensions;
mod finish;
mod health;
mod internal;
mod me;
mod numbers;
pub(crate) mod orders;
mod recording;
mod registrations;
mod sip_domains;
mod stream;
mod tenants;
mod transcript;
mod trunks;
mod versions;

use std::collections::HashMap;

use axum::{Router, extract::DefaultBodyLimit, http::Method, middleware};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, RouteTable},
    auth::{self, Access},
    document::put_right,
    idempotency,
};

/// The largest body of a `/v1` request.
const BODY_LIMIT: usize = 512 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sidetone control API",
        description = "Tenants, numbers, agents, bookings and the record of every call. Every POST takes an Idempotency-Key header (kept 24 hours). `x-scope` names what a route asks of its caller.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    security(("api_key" = [])),
    components(schemas(
        model::AgentConfig,
        model::trunk::TrunkConfig,
        model::command::TransferPlan,
        crate::error::ErrorBody
    )),
    modifiers(&Bearer),
)]
struct Document;

/// Says how keys are sent.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("api_key", scheme);
    }
}

/// A route that does not say what it asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{method} {path} declares no x-scope: the office does not start with a route open by oversight"
)]
pub struct NoScope {
    /// The method, lower case.
    pub method: String,
    /// The path.
    pub path: String,
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::page))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::document))
        .routes(routes!(me::show))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show, tenants::change, tenants::delete))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::show, api_keys::change, api_keys::revoke))
        .routes(routes!(numbers::list, numbers::create))
        .routes(routes!(numbers::show, numbers::change, numbers::delete))
        .routes(routes!(sip_domains::list, sip_domains::create))
        .routes(routes!(sip_domains::show, sip_domains::delete))
        .routes(routes!(extensions::list, extensions::create))
        .routes(routes!(
            extensions::show,
            extensions::change,
            extensions::delete
        ))
        .routes(routes!(registrations::list))
        .routes(routes!(trunks::list, trunks::create))
        .routes(routes!(trunks::show, trunks::change, trunks::delete))
        .routes(routes!(agents::list, agents::create))
        .routes(routes!(agents::show, agents::change, agents::delete))
        .routes(routes!(agents::draft, agents::change_draft))
        .routes(routes!(versions::publish))
        .routes(routes!(versions::list))
        .routes(routes!(versions::show))
        .routes(routes!(bookings::list, bookings::create))
        .routes(routes!(bookings::slots))
        .routes(routes!(bookings::show, bookings::change, bookings::cancel))
        .routes(routes!(calls::list, dialling::create))
        .routes(routes!(calls::show))
        .routes(routes!(calls::timeline))
        .routes(routes!(orders::hangup))
        .routes(routes!(orders::transfer))
        .routes(routes!(orders::dtmf))
        .routes(routes!(orders::say))
        .routes(routes!(orders::message))
        .routes(routes!(orders::list))
        .routes(routes!(transcript::show))
        .routes(routes!(
            recording::show,
            recording::erase,
            orders::recording
        ))
        .routes(routes!(stream::listen))
}

/// The routes and their document.
pub fn table() -> Result<(Router<App>, RouteTable), NoScope> {
    let (router, openapi) = documented().split_for_parts();
    let document = put_right(serde_json::to_value(&openapi).unwrap_or_default());
    let access = declared_access(&document)?;
    Ok((router, RouteTable { document, access }))
}

/// What each route of a document asks of its caller.
pub fn declared_access(document: &Value) -> Result<HashMap<(Method, String), Access>, NoScope> {
    let mut access = HashMap::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let Ok(verb) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let scope = operation.get("x-scope").and_then(Value::as_str);
            let Some(declared) = scope.and_then(Access::read) else {
                return Err(NoScope {
                    method: method.clone(),
                    path: path.clone(),
                });
            };
            access.insert((verb, path.clone()), declared);
        }
    }
    Ok(access)
}

/// Everything that answers, with its layers.
pub fn service(router: Router<App>, app: App) -> Router {
    let public = router
        .layer(middleware::from_fn_with_state(
            app.clone(),
            idempotency::once,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), auth::guard))
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    Router::new()
        .merge(public)
        .merge(internal::router(&app))
        .fallback(finish::not_found)
        .layer(middleware::from_fn(finish::finish))
        .with_state(app)
}

/// The OpenAPI document as it is committed.
pub fn openapi_text() -> Result<String, NoScope> {
    let (_, table) = table()?;
    let text = serde_json::to_string_pretty(&table.document).unwrap_or_default();
    Ok(text + "\n")
}

#[cfg(test)]
mod tests;
