//! Where phones are registered.

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Caller,
    clock::now_ms,
    error::{ApiError, ErrorBody},
    query::{Page, Params},
    store::{Registration, RegistrationFilter},
};

/// Lists registrations that are alive.
#[utoipa::path(get, path = "/v1/registrations", tag = "phones", params(("aor" = Option<String>, Query, description = "Of this address, user@domain"), ("extension_id" = Option<model::ExtensionId>, Query, description = "Of this extension"), ("node_id" = Option<model::NodeId>, Query, description = "On this switch"), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Registration>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("telephony:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Registration>>, ApiError> {
    let page = params.page(50, 100);
    let filter = RegistrationFilter {
        aor: params.text("aor"),
        extension: params.parsed("extension_id", "an extension's id"),
        node: params.parsed("node_id", "a switch's id"),
    };
    params.finish()?;
    let rows = app
        .db()
        .registrations(caller.tenant, filter, now_ms(), &page);
    Ok(Json(Page::of(rows.await?, |registration| registration)))
}
