//! What can be done to a live call: hang up, hand over, keys, words, a hint for its agent.

use axum::{Json, extract::State, http::StatusCode};
use model::{
    CallId, CommandId,
    command::{Command, CommandAction, TransferOrder, TransferPlan},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::dialling::is_target;
use crate::{
    agent_rules,
    app::App,
    auth::Caller,
    body::{Body, Id, Rules},
    clock::{fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    fold::CallState,
    store::{NewOrder, Order},
};

/// A live call's switch has so long to begin: later nobody wants it any more.
const EXPIRES_MS: i64 = 10_000;
/// Orders of a call that are listed.
const LISTED: u32 = 1_000;

/// Nothing more needs to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hangup {}

/// Keys to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    #[schema(min_length = 1, max_length = 64)]
    pub digits: String,
}

/// Words for the caller.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What is said, in the agent's voice.
    #[schema(min_length = 1, max_length = 1000)]
    pub text: String,
    /// Whether what the agent is saying is cut; else it follows.
    pub interrupt: Option<bool>,
}

/// What to do with the recording of a live call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingAction {
    /// Silent from now on; it stays as long as the call.
    Pause,
    /// With sound again.
    Resume,
}

/// An order for the recording.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingOrder {
    /// What to do.
    pub action: RecordingAction,
}

/// A hint for the agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// What the agent shall know; the caller does not hear it.
    #[schema(min_length = 1, max_length = 2000)]
    pub text: String,
}

/// Whom to hand the caller to: a destination of the call's agent by its name, or whom and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// A destination that the call's agent has.
    #[schema(min_length = 1, max_length = 40)]
    pub destination: Option<String>,
    /// Whom and how.
    pub plan: Option<TransferPlan>,
}

/// The orders of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct Orders {
    /// The oldest first.
    pub data: Vec<Order>,
}

impl Rules for Hangup {}
impl Rules for Words {}
impl Rules for Hint {}
impl Rules for RecordingOrder {}

impl Rules for Keys {
    fn rules(body: &Value, faults: &mut Faults) {
        let key = |c: char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D');
        if crate::body::text(body, "digits").is_some_and(|digits| !digits.chars().all(key)) {
            let message = "must be digits, *, #, A to D";
            faults.add(FaultCode::InvalidFormat, "/digits", message);
        }
    }
}

impl Rules for Transfer {
    fn rules(body: &Value, faults: &mut Faults) {
        let has = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
        if has("destination") == has("plan") {
            let message = "name a destination of the agent, or say whom to call (plan)";
            faults.add(FaultCode::Inconsistent, "/destination", message);
        }
        agent_rules::check_plan(&body["plan"], "/plan", faults);
    }
}

/// Gives an order to the switch that has a live call.
async fn order(
    app: &App,
    caller: &Caller,
    id: CallId,
    action: CommandAction,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let call = app.db().call(caller.tenant, id).await?;
    let (call, _) = call.ok_or_else(ApiError::not_found)?;
    if call.state() == CallState::Ended {
        return Err(ApiError::new(ErrorCode::Conflict, "the call is over"));
    }
    let Some(tenant) = call.tenant else {
        let message = "the call has no tenant that could order anything";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    };
    let now = now_ms();
    let order = NewOrder {
        command: Command {
            id: fresh(CommandId::new),
            call: id,
            tenant,
            action,
        },
        node: call.node,
        now,
        expires_ms: now + EXPIRES_MS,
    };
    let (given, _) = app.db().give(&order).await?;
    app.ring();
    Ok((StatusCode::ACCEPTED, Json(given)))
}

/// Ends a call, whatever state it is in.
#[utoipa::path(post, path = "/v1/calls/{id}/hangup", tag = "calls", request_body = Hangup, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn hangup(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(_nothing): Body<Hangup>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    order(&app, &caller, id, CommandAction::Hangup).await
}

/// Hands the caller of a live call to somebody.
#[utoipa::path(post, path = "/v1/calls/{id}/transfer", tag = "calls", request_body = Transfer, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn transfer(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(transfer): Body<Transfer>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let action = match (transfer.destination, transfer.plan) {
        (Some(name), _) => named(&app, &caller, id, name).await?,
        (None, Some(plan)) => TransferOrder {
            name: plan.targets.concat().join(", "),
            plan,
        },
        (None, None) => return Err(ApiError::not_found()),
    };
    order(&app, &caller, id, CommandAction::Transfer(Box::new(action))).await
}

/// The destination of this name that the call's agent has.
async fn named(
    app: &App,
    caller: &Caller,
    id: CallId,
    name: String,
) -> Result<TransferOrder, ApiError> {
    let call = app.db().call(caller.tenant, id).await?;
    let (call, _) = call.ok_or_else(ApiError::not_found)?;
    let unknown = || {
        let message = "the call's agent has no such destination";
        let fault = FaultCode::NotFound;
        ApiError::at(ErrorCode::ValidationFailed, fault, "/destination", message)
    };
    let agent = call.agent.ok_or_else(unknown)?;
    let version = app
        .db()
        .version(call.tenant, agent.id, agent.version)
        .await?;
    let config = version
        .and_then(|version| version.config)
        .ok_or_else(unknown)?;
    let mut all = config.transfers.into_iter();
    let found = all.find(|destination| destination.name == name);
    found
        .map(|destination| TransferOrder {
            name,
            plan: destination.plan,
        })
        .ok_or_else(unknown)
}

/// Sends keys to the far side of a live call.
#[utoipa::path(post, path = "/v1/calls/{id}/dtmf", tag = "calls", request_body = Keys, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn dtmf(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(keys): Body<Keys>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let digits = keys.digits;
    order(&app, &caller, id, CommandAction::Dtmf { digits }).await
}

/// Says something in a live call.
#[utoipa::path(post, path = "/v1/calls/{id}/say", tag = "calls", request_body = Words, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn say(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(words): Body<Words>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let action = CommandAction::Say {
        text: words.text,
        interrupt: words.interrupt.unwrap_or(false),
    };
    order(&app, &caller, id, action).await
}

/// Pauses the recording of a live call, or goes on with it.
#[utoipa::path(post, path = "/v1/calls/{id}/recording", tag = "calls", request_body = RecordingOrder, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn recording(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(wanted): Body<RecordingOrder>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let pause = wanted.action == RecordingAction::Pause;
    order(&app, &caller, id, CommandAction::Recording { pause }).await
}

/// Tells the agent of a live call something.
#[utoipa::path(post, path = "/v1/calls/{id}/message", tag = "calls", request_body = Hint, params(("id" = CallId, Path), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Order), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn message(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    Body(hint): Body<Hint>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let text = hint.text;
    order(&app, &caller, id, CommandAction::Message { text }).await
}

/// What was ordered for a call, and what came of it.
#[utoipa::path(get, path = "/v1/calls/{id}/commands", tag = "calls", params(("id" = CallId, Path)), responses((status = 200, body = Orders), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
) -> Result<Json<Orders>, ApiError> {
    if !app.db().call_visible(caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    let data = app.db().orders(id, LISTED).await?;
    Ok(Json(Orders { data }))
}

/// Whether every target of a plan names somebody who can be called.
pub(crate) fn are_targets(stage: &Value) -> bool {
    let targets = stage.as_array();
    targets.is_some_and(|all| all.iter().filter_map(Value::as_str).all(is_target))
}
