//! Whether the office is there, and what it can do.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// Whether the office is there.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `unavailable`.
    pub status: &'static str,
    /// `sqlite` or `postgres`.
    pub database: &'static str,
}

const PAGE: &str = include_str!("page.html");

/// A plain page that says what this is.
#[utoipa::path(get, path = "/", tag = "health", responses((status = 200, description = "A page", body = String, content_type = "text/html")), extensions(("x-scope" = json!("public"))), security(()))]
#[allow(clippy::unused_async)] // axum wants a handler
pub async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)), extensions(("x-scope" = json!("public"))), security(()))]
#[allow(clippy::unused_async)] // axum wants a handler
pub async fn live(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok",
        database: app.db().engine(),
    })
}

/// Whether requests can be served: the database answers.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health), (status = 503, body = Health)), extensions(("x-scope" = json!("public"))), security(()))]
pub async fn ready(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let database = app.db().engine();
    match app.db().revision().await {
        Ok(_) => (
            StatusCode::OK,
            Json(Health {
                status: "ok",
                database,
            }),
        ),
        Err(fault) => {
            tracing::error!(%fault, "the database does not answer");
            let status = "unavailable";
            let body = Json(Health { status, database });
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1", body = Object)), extensions(("x-scope" = json!("public"))), security(()))]
#[allow(clippy::unused_async)] // axum wants a handler
pub async fn document(State(app): State<App>) -> Response {
    let text = app.document().to_string();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
