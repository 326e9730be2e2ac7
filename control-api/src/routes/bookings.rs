//! Bookings.

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use model::{AgentId, BookingId, CallId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::{Body, Id, Rules, text},
    booking_rules::{read_date, read_local},
    clock::now_ms,
    desk::{self, Decision, Order},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    query::{Page, Params},
    store::{AgentVersion, Booking, BookingFilter, BookingState},
};

/// A booking to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBooking {
    /// The agent whose rules count, in its latest version.
    pub agent_id: AgentId,
    /// Local start in the agent's zone, `YYYY-MM-DDTHH:MM`.
    pub starts_local: String,
    /// How many people.
    #[schema(minimum = 1, maximum = 1000)]
    pub party_size: u32,
    /// The guest's number.
    #[schema(min_length = 1, max_length = 40)]
    pub phone: String,
    /// The conversation it was made in.
    pub call_id: Option<CallId>,
}

/// A change of a booking.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingChange {
    /// The guest's number.
    #[schema(min_length = 1, max_length = 40)]
    pub phone: Option<String>,
    /// `cancelled` frees the seat; a cancelled booking stays so.
    pub state: Option<BookingState>,
}

/// The slots of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct Slots {
    /// The ones that lie ahead, in order.
    pub data: Vec<Slot>,
}

/// A slot.
#[derive(Debug, Serialize, ToSchema)]
pub struct Slot {
    /// Local start, `YYYY-MM-DDTHH:MM`.
    pub starts_local: String,
    /// Seats that are free.
    pub free: u32,
}

impl Rules for NewBooking {
    fn rules(body: &Value, faults: &mut Faults) {
        if text(body, "agent_id").is_some_and(|id| id.parse::<AgentId>().is_err()) {
            let message = "must be an agent's id (agt_…)";
            faults.add(FaultCode::InvalidFormat, "/agent_id", message);
        }
        if text(body, "call_id").is_some_and(|id| id.parse::<CallId>().is_err()) {
            let message = "must be a call's id (cal_…)";
            faults.add(FaultCode::InvalidFormat, "/call_id", message);
        }
        if text(body, "starts_local").is_some_and(|start| read_local(start).is_none()) {
            let message = "must be a local time such as 2026-11-20T19:00";
            faults.add(FaultCode::InvalidFormat, "/starts_local", message);
        }
    }
}

impl Rules for BookingChange {
    fn rules(body: &Value, faults: &mut Faults) {
        if text(body, "state") == Some(BookingState::Booked.as_str()) {
            let message = "a booking can be changed to cancelled only: make a new one";
            faults.add(FaultCode::Inconsistent, "/state", message);
        }
    }
}

/// The latest published version of an agent of this tenant.
async fn latest(
    app: &App,
    tenant: Option<TenantId>,
    id: AgentId,
    field: &str,
) -> Result<(TenantId, AgentVersion), ApiError> {
    let mut faults = Faults::default();
    let agent = app.db().agent(tenant, id).await?;
    if let Some(agent) = &agent
        && let Some(version) = agent.latest_version
        && let Some(found) = app.db().version(tenant, id, version).await?
    {
        return Ok((agent.tenant_id, found));
    }
    let message = match agent {
        Some(_) => "the agent was not published yet",
        None => "there is no such agent",
    };
    faults.add(FaultCode::NotFound, field, message);
    Err(faults.finish().err().unwrap_or_else(ApiError::not_found))
}

/// Lists bookings.
#[utoipa::path(get, path = "/v1/bookings", tag = "bookings", params(("call_id" = Option<CallId>, Query), ("agent_id" = Option<AgentId>, Query), ("state" = Option<BookingState>, Query), ("date" = Option<String>, Query, description = "Local day, YYYY-MM-DD"), ("limit" = Option<u32>, Query, description = "1 to 100"), ("cursor" = Option<String>, Query, description = "From the page before")), responses((status = 200, body = Page<Booking>), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Page<Booking>>, ApiError> {
    let page = params.page(50, 100);
    let date = params.read("date", "a day such as 2026-11-20", read_date);
    let filter = BookingFilter {
        call: params.parsed("call_id", "a call's id"),
        agent: params.parsed("agent_id", "an agent's id"),
        state: params.parsed("state", "booked or cancelled"),
        date: date.map(|date| date.to_string()),
    };
    params.finish()?;
    let rows = app.db().bookings(caller.tenant, &filter, &page).await?;
    Ok(Json(Page::of(rows, |booking| booking)))
}

/// Makes a booking under the rules of the agent's latest version. `slot_full` names other starts.
#[utoipa::path(post, path = "/v1/bookings", tag = "bookings", request_body = NewBooking, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 201, body = Booking), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewBooking>,
) -> Result<(StatusCode, Json<Booking>), ApiError> {
    let tenant = caller.require_tenant()?;
    let (_, version) = latest(&app, Some(tenant), new.agent_id, "/agent_id").await?;
    let config = version.config.ok_or_else(ApiError::not_found)?;
    let order = Order {
        tenant,
        agent: new.agent_id,
        agent_version: version.version,
        call: new.call_id,
        starts_local: new.starts_local,
        party_size: new.party_size,
        phone: new.phone,
        idempotency_key: None,
    };
    match desk::book(&app, &config, order).await? {
        Decision::Booked(booking) => Ok((StatusCode::CREATED, Json(*booking))),
        Decision::Full(alternatives) => Err(full(&alternatives)),
        Decision::Refused(reason) => Err(ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::NotAvailable,
            "/starts_local",
            reason,
        )),
        Decision::KeyReused => Err(ApiError::new(
            ErrorCode::IdempotencyMismatch,
            "this key made another booking",
        )),
    }
}

fn full(alternatives: &[String]) -> ApiError {
    let mut message = "no table is left at that time".to_owned();
    if !alternatives.is_empty() {
        message = format!("{message}; free are {}", alternatives.join(", "));
    }
    let fault = FaultCode::NotAvailable;
    ApiError::at(ErrorCode::SlotFull, fault, "/starts_local", message)
}

/// The slots of a day, and how many seats each has left.
#[utoipa::path(get, path = "/v1/bookings/slots", tag = "bookings", params(("agent_id" = AgentId, Query), ("date" = String, Query, description = "Local day, YYYY-MM-DD")), responses((status = 200, body = Slots), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:read"))))]
pub async fn slots(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<Slots>, ApiError> {
    let agent = required(&mut params, "agent_id", |text| text.parse().ok());
    let date = required(&mut params, "date", read_date);
    params.finish()?;
    let (Some(agent), Some(date)) = (agent, date) else {
        return Err(ApiError::not_found());
    };
    let (tenant, version) = latest(&app, caller.tenant, agent, "/query/agent_id").await?;
    let config = version.config.ok_or_else(ApiError::not_found)?;
    let Some(rules) = desk::rules_of(&config) else {
        return Ok(Json(Slots { data: Vec::new() }));
    };
    let resource = &rules.booking().resource;
    let day = date.to_string();
    let taken = app.db().seats_by_slot(tenant, resource, &day).await?;
    let tables = rules.booking().tables;
    let slots = rules.slots(date, Timestamp::now()).into_iter();
    let data = slots.map(|starts_local| Slot {
        free: tables.saturating_sub(taken.get(&starts_local).copied().unwrap_or(0)),
        starts_local,
    });
    Ok(Json(Slots {
        data: data.collect(),
    }))
}

/// A parameter that must be there.
fn required<T>(params: &mut Params, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let Some(text) = params.text(name) else {
        params.missing(name);
        return None;
    };
    let value = read(&text);
    if value.is_none() {
        params.wrong(name);
    }
    value
}

/// One booking.
#[utoipa::path(get, path = "/v1/bookings/{id}", tag = "bookings", params(("id" = BookingId, Path)), responses((status = 200, body = Booking), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BookingId>,
) -> Result<Json<Booking>, ApiError> {
    let booking = app.db().booking(caller.tenant, id).await?;
    booking.map(Json).ok_or_else(ApiError::not_found)
}

/// Changes the guest's number, or cancels.
#[utoipa::path(patch, path = "/v1/bookings/{id}", tag = "bookings", params(("id" = BookingId, Path)), request_body = BookingChange, responses((status = 200, body = Booking), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:write"))))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BookingId>,
    Body(change): Body<BookingChange>,
) -> Result<Json<Booking>, ApiError> {
    let cancel = change.state == Some(BookingState::Cancelled);
    let changed = app
        .db()
        .change_booking(caller.tenant, id, change.phone, cancel, now_ms());
    let booking = changed.await?;
    app.ring();
    booking.map(Json).ok_or_else(ApiError::not_found)
}

/// Cancels a booking; its record stays.
#[utoipa::path(delete, path = "/v1/bookings/{id}", tag = "bookings", params(("id" = BookingId, Path)), responses((status = 204, description = "Cancelled"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("bookings:write"))))]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BookingId>,
) -> Result<StatusCode, ApiError> {
    let changed = app
        .db()
        .change_booking(caller.tenant, id, None, true, now_ms());
    changed.await?.ok_or_else(ApiError::not_found)?;
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}
