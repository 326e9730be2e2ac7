//! The switch's own HTTP: `/healthz`, `/readyz`, `/metrics`. Read-only, on a port of its own.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use ractor::ActorRef;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    node::{self, ProfileStatus},
    services::Services,
};

#[derive(Clone)]
struct Ops {
    node: ActorRef<node::Msg>,
    services: Arc<Services>,
}

/// Serves on the bound listener until the task is aborted.
pub fn serve(
    listener: TcpListener,
    node: ActorRef<node::Msg>,
    services: Arc<Services>,
) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Ops { node, services });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the ops port stopped");
        }
    })
}

/// How the profiles are; empty when the node does not answer in time.
pub async fn profiles(node: &ActorRef<node::Msg>) -> Vec<ProfileStatus> {
    let limit = Some(std::time::Duration::from_secs(2));
    match node.call(node::Msg::Status, limit).await {
        Ok(ractor::rpc::CallResult::Success(status)) => status,
        _ => Vec::new(),
    }
}

/// 200 while at least one profile is up and new calls are taken.
async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    let profiles = profiles(&ops.node).await;
    let accepting = ops.services.accepting();
    let up = profiles.iter().any(|profile| profile.state == "up");
    let code = match up && accepting {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::json!({
        "ready": up && accepting,
        "accepting": accepting,
        "profiles": profiles,
        "calls": ops.services.calls.len(),
        "snapshot": ops.services.snapshots.current().revision,
        "office_reachable": ops.services.office.reachable(),
        "facts_unacknowledged": ops.services.journal.stats().unacknowledged,
        "facts_trouble": ops.services.office.shipping().trouble(),
        "recogniser": ops.services.models.is_some(),
    });
    (code, Json(body))
}

async fn metrics(State(ops): State<Ops>) -> String {
    let profiles = profiles(&ops.node).await;
    let up = profiles
        .iter()
        .filter(|profile| profile.state == "up")
        .count();
    ops.services
        .metrics
        .render(&ops.services, up, profiles.len() - up)
}
