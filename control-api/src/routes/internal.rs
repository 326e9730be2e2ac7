//! `/internal/v1`: what switches say and ask. Node keys only, on every route here.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use model::{
    CallId, Fact, NodeId, Snapshot,
    booking::{BookingOutcome, BookingRequest},
    command::{CommandReport, Orders},
    internal::{FactAck, Heartbeat, Leased, RecordingAck, RegistrationReport, Registrations},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    app::App,
    auth,
    body::Id,
    clock::now_ms,
    desk::{self, Decision, Order},
    envelope::{Keys, NodeSeal},
    error::{ApiError, ErrorCode, FaultCode},
    query::Params,
    store::place,
    upload,
};

/// The largest batch of facts, bytes.
const BATCH_BYTES: usize = 8 << 20;
/// The largest batch of facts.
const BATCH_FACTS: usize = 1_000;
/// The largest report of registrations.
const REPORT_ADDRESSES: usize = 500;
/// The longest poll.
const POLL_MS: u64 = 60_000;
/// How late another replica's revision may be seen.
const LOOK: Duration = Duration::from_millis(500);

/// The routes, behind the node key.
pub fn router(app: &App) -> Router<App> {
    Router::new()
        .route("/internal/v1/snapshot", get(snapshot))
        .route("/internal/v1/journal", post(journal))
        .route("/internal/v1/bookings", post(book))
        .route("/internal/v1/heartbeat", post(heartbeat))
        .route(
            "/internal/v1/registrations",
            get(registered).post(registrations),
        )
        .route("/internal/v1/commands", get(orders).post(order_reports))
        .layer(DefaultBodyLimit::max(BATCH_BYTES))
        .merge(
            Router::new()
                .route("/internal/v1/recordings/{call_id}", put(recording))
                .layer(DefaultBodyLimit::disable()),
        )
        .layer(middleware::from_fn_with_state(
            app.clone(),
            auth::node_guard,
        ))
}

/// The snapshot, once its revision differs from `after`; 304 when it did not within `wait_ms`.
async fn snapshot(
    State(app): State<App>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let seal = NodeSeal::of(auth::bearer(&headers).unwrap_or_default());
    let after: Option<u64> = params.parsed("after", "a revision");
    let wait: Option<u64> = params.parsed("wait_ms", "milliseconds");
    params.finish()?;
    let until = Instant::now() + Duration::from_millis(wait.unwrap_or(0).min(POLL_MS));
    let mut bell = app.bell();
    loop {
        bell.mark_unchanged();
        if Some(app.db().revision().await?) != after {
            let mut snapshot = app.db().snapshot().await?;
            reseal(&mut snapshot, app.envelope(), &seal);
            return Ok(Json(snapshot).into_response());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !app.wait(&mut bell, left.min(LOOK)).await {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
    }
}

/// Secrets as they rest become secrets for one switch. One that cannot be opened takes its owner off the
/// air and nobody else.
fn reseal(snapshot: &mut Snapshot, keys: &Keys, seal: &NodeSeal) {
    snapshot.extensions.retain_mut(|extension| {
        let place = place("extensions", "password", extension.id);
        let password = keys.open(&place, &extension.password);
        match password.and_then(|password| seal.seal(&place, &password)) {
            Ok(sealed) => {
                extension.password = sealed;
                true
            }
            Err(fault) => {
                let id = extension.id;
                tracing::error!(%id, %fault, "an extension is left out of the snapshot");
                false
            }
        }
    });
    for trunk in snapshot.trunks.iter_mut().filter(|t| !t.sealed.is_empty()) {
        let place = place("trunks", "password", trunk.id);
        let opened = keys.open(&place, &trunk.sealed);
        let sealed = opened.and_then(|secret| seal.seal(&place, &secret));
        trunk.sealed = sealed.unwrap_or_else(|fault| {
            tracing::error!(trunk = %trunk.id, %fault, "a password is left out of the snapshot");
            String::new()
        });
    }
}

/// A batch whose facts are read one by one, so that one that is malformed stops no other.
#[derive(Deserialize)]
struct RawBatch<'a> {
    node: NodeId,
    boot: u64,
    #[serde(borrow)]
    facts: Vec<&'a RawValue>,
}

/// Takes facts; the answer always covers the whole batch.
async fn journal(State(app): State<App>, bytes: Bytes) -> Result<Json<FactAck>, ApiError> {
    let batch: RawBatch = read(&bytes)?;
    if batch.facts.len() > BATCH_FACTS {
        let message = format!("a batch holds at most {BATCH_FACTS} facts");
        return Err(ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::OutOfRange,
            "/facts",
            message,
        ));
    }
    let accepted = batch.facts.len();
    let mut facts = Vec::with_capacity(accepted);
    let mut refused = Vec::new();
    for (index, raw) in batch.facts.into_iter().enumerate() {
        match serde_json::from_str::<Fact>(raw.get()) {
            Ok(fact) if fact.node == batch.node && storable(&fact) => facts.push(fact),
            Ok(_) => refused.push(index),
            Err(fault) => {
                tracing::warn!(node = %batch.node, index, %fault, "a fact is malformed");
                refused.push(index);
            }
        }
    }
    let now = now_ms();
    if facts.is_empty() {
        app.db().node_seen(batch.node, batch.boot, now).await?;
    } else {
        app.db().take_facts(&facts, now).await?;
    }
    app.ring();
    Ok(Json(FactAck { accepted, refused }))
}

/// Whether the numbers of a fact fit the columns.
fn storable(fact: &Fact) -> bool {
    i64::try_from(fact.boot).is_ok() && i64::try_from(fact.offset_ms).is_ok()
}

/// Takes the recording of a call.
async fn recording(
    State(app): State<App>,
    Id(call): Id<CallId>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<RecordingAck>, ApiError> {
    let sha256 = headers.get("x-content-sha256");
    let sha256 = sha256.and_then(|value| value.to_str().ok());
    let stored = upload::take(&app, call, sha256, request.into_body()).await?;
    app.ring();
    Ok(Json(RecordingAck {
        sha256: stored.sha256,
        bytes: stored.bytes,
    }))
}

/// Books for an agent in a call, under the version that the call keeps.
async fn book(State(app): State<App>, bytes: Bytes) -> Result<Json<BookingOutcome>, ApiError> {
    let wanted: BookingRequest = read(&bytes)?;
    let version = app
        .db()
        .version(Some(wanted.tenant), wanted.agent, wanted.agent_version)
        .await?;
    let config = version.and_then(|version| version.config);
    let config = config.ok_or_else(ApiError::not_found)?;
    let order = Order {
        tenant: wanted.tenant,
        agent: wanted.agent,
        agent_version: wanted.agent_version,
        call: Some(wanted.call),
        starts_local: wanted.starts_local,
        party_size: wanted.party_size,
        phone: wanted.phone,
        idempotency_key: Some(wanted.idempotency_key),
    };
    Ok(Json(match desk::book(&app, &config, order).await? {
        Decision::Booked(booking) => BookingOutcome::Booked {
            id: booking.id,
            code: booking.code,
        },
        Decision::Full(alternatives) => BookingOutcome::Full { alternatives },
        Decision::Refused(reason) => BookingOutcome::Refused { reason },
        Decision::KeyReused => {
            return Err(ApiError::at(
                ErrorCode::IdempotencyMismatch,
                FaultCode::Taken,
                "/idempotency_key",
                "this key made another booking",
            ));
        }
    }))
}

/// The orders that wait for a start of a switch, once there are some; none within `wait_ms`.
async fn orders(State(app): State<App>, mut params: Params) -> Result<Json<Orders>, ApiError> {
    let node: Option<NodeId> = params.parsed("node", "a switch's id");
    let boot: Option<u64> = params.parsed("boot", "a start count");
    let again: Option<bool> = params.parsed("again", "true or false");
    let wait: Option<u64> = params.parsed("wait_ms", "milliseconds");
    params.finish()?;
    let (Some(node), Some(boot)) = (node, boot) else {
        return Err(ApiError::not_found());
    };
    let until = Instant::now() + Duration::from_millis(wait.unwrap_or(0).min(POLL_MS));
    let mut bell = app.bell();
    let mut again = again.unwrap_or(false);
    loop {
        bell.mark_unchanged();
        let now = now_ms();
        let commands = app.db().take_orders(node, boot, again, now).await?;
        if !commands.is_empty() {
            return Ok(Json(Orders { commands }));
        }
        again = false;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !app.wait(&mut bell, left.min(LOOK)).await {
            return Ok(Json(Orders::default()));
        }
    }
}

/// Takes what came of orders.
async fn order_reports(State(app): State<App>, bytes: Bytes) -> Result<StatusCode, ApiError> {
    let reports: Vec<CommandReport> = read(&bytes)?;
    app.db().report_orders(&reports, now_ms()).await?;
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a sign of life.
async fn heartbeat(State(app): State<App>, bytes: Bytes) -> Result<Json<Leased>, ApiError> {
    let beat: Heartbeat = read(&bytes)?;
    app.db().heartbeat(&beat, now_ms()).await?;
    app.ring();
    let share = app.db().share_of(beat.node, app.alive_since()).await?;
    let registers = if beat.accepting {
        let since = app.judged_since();
        app.db()
            .lease_trunks(beat.node, &beat.profiles, since)
            .await?
    } else {
        app.db().release_trunks(beat.node).await?;
        Vec::new()
    };
    Ok(Json(Leased { share, registers }))
}

/// Takes where a switch's phones are registered.
async fn registrations(State(app): State<App>, bytes: Bytes) -> Result<StatusCode, ApiError> {
    let report: RegistrationReport = read(&bytes)?;
    if report.addresses.len() > REPORT_ADDRESSES {
        let message = format!("a report holds at most {REPORT_ADDRESSES} addresses");
        let code = FaultCode::OutOfRange;
        let error = ErrorCode::ValidationFailed;
        return Err(ApiError::at(error, code, "/addresses", message));
    }
    app.db().report_registrations(&report, now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where an address is registered.
async fn registered(
    State(app): State<App>,
    mut params: Params,
) -> Result<Json<Registrations>, ApiError> {
    let aor = params.text("aor").unwrap_or_default();
    params.finish()?;
    let contacts = app.db().held_contacts(&aor, now_ms()).await?;
    Ok(Json(Registrations { contacts }))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|fault| {
        ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::InvalidFormat,
            "",
            fault.to_string(),
        )
    })
}
