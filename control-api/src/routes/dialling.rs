//! Calls to be made: `POST /v1/calls`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use model::{
    AgentConfig, AgentId, AgentRef, CallId, CommandId, EndReason, TenantId,
    agent::PublishedAgent,
    command::{Command, CommandAction, DialOrder},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::calls::{Call, view};
use crate::{
    agent_rules,
    app::App,
    auth::Caller,
    body::{self, Body, Rules, text},
    canonical::config_hash,
    clock::{fresh, now_ms},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode, Faults},
    fold::{CallRecord, CallState},
    shape::{Shape, merge_patch},
    store::{NewOrder, TenantStatus},
};

/// How long a switch may take to begin.
const EXPIRES_MS: i64 = 30_000;
/// How late another replica's news is seen by who waits.
const LOOK: Duration = Duration::from_millis(500);

/// A call to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCall {
    /// Whom: `+15550100`, `trunk/NAME/NUMBER`, `user/EXT` or `sip:USER@HOST`, as far as the rules
    /// for outbound calls allow.
    #[schema(min_length = 1, max_length = 255)]
    pub to: String,
    /// The number to show: one of the tenant's. Without it, one that reaches the agent.
    #[schema(min_length = 1, max_length = 32)]
    pub from: Option<String>,
    /// A published agent of the tenant.
    pub agent_id: Option<AgentId>,
    /// Its version; without it the latest.
    #[schema(minimum = 1)]
    pub agent_version: Option<u32>,
    /// An agent for this call alone, instead of a published one.
    pub agent: Option<AgentConfig>,
    /// A JSON merge patch (RFC 7396) of the published agent's configuration, for this call alone.
    #[schema(value_type = Option<Object>)]
    pub overrides: Option<Value>,
    /// How long it may ring, seconds.
    #[schema(minimum = 5, maximum = 180)]
    pub ring_for_s: Option<u32>,
    /// Wait so long for the answer, seconds, and say with the status what came of it.
    #[schema(minimum = 1, maximum = 120)]
    pub wait_s: Option<u32>,
}

impl Rules for NewCall {
    fn rules(body: &Value, faults: &mut Faults) {
        if text(body, "to").is_some_and(|to| !is_target(to)) {
            let message = "must be +NUMBER, trunk/NAME/NUMBER, user/EXTENSION or sip:USER@HOST without blanks";
            faults.add(FaultCode::InvalidFormat, "/to", message);
        }
        let inline = body.get("agent").is_some_and(Value::is_object);
        let named = body.get("agent_id").is_some_and(Value::is_string);
        if inline == named {
            let message = "name a published agent (agent_id) or give one for this call (agent)";
            faults.add(FaultCode::Inconsistent, "/agent_id", message);
        }
        if inline {
            agent_rules::check(&body["agent"], "/agent", faults);
            for only in ["overrides", "agent_version"] {
                if body.get(only).is_some_and(|value| !value.is_null()) {
                    let message = "belongs to a published agent";
                    faults.add(FaultCode::Inconsistent, format!("/{only}"), message);
                }
            }
        }
    }
}

/// Whether a text names somebody who can be called.
pub fn is_target(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| {
                c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.' | '*' | '#')
            })
    };
    let digits = |n: &str| (3..=15).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = text.strip_prefix('+') {
        return digits(number);
    }
    if let Some(extension) = text.strip_prefix("user/") {
        return extension.split('@').all(plain) && extension.split('@').count() <= 2;
    }
    if let Some((name, number)) = text.strip_prefix("trunk/").and_then(|t| t.split_once('/')) {
        return plain(name) && plain(number);
    }
    let uri = text
        .strip_prefix("sip:")
        .or_else(|| text.strip_prefix("sips:"));
    uri.is_some_and(|uri| {
        !uri.is_empty()
            && uri
                .chars()
                .all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"'))
    })
}

/// Calls somebody and lets an agent talk. 202 at once: the call's state and events tell what comes
/// of it. With `wait_s`: 200 when it was answered, 404 when there is no such number, 408 when
/// nobody answered, 409 when it was busy or refused, 403 when it may not be called, 424 otherwise;
/// 202 when it still rings.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", request_body = NewCall, params(("X-Tenant-Id" = Option<TenantId>, Header, description = "For platform keys"), ("Idempotency-Key" = Option<String>, Header, description = "Done once in 24 hours")), responses((status = 202, body = Call, description = "Ordered"), (status = 200, body = Call, description = "Answered, with wait_s"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:write"))))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewCall>,
) -> Result<Response, ApiError> {
    let tenant = caller.require_tenant()?;
    let agent = agent(&app, tenant, &new).await?;
    let from = shown(&app, tenant, &new, agent.agent.id).await?;
    let now = now_ms();
    let node = app.db().free_node(app.alive_since()).await?;
    let node = node.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Unavailable,
            "no switch takes calls at the moment",
        )
    })?;
    let order = NewOrder {
        command: Command {
            id: fresh(CommandId::new),
            call: fresh(CallId::new),
            tenant,
            action: CommandAction::Dial(Box::new(DialOrder {
                to: new.to,
                from,
                agent,
                ring_for_ms: u64::from(new.ring_for_s.unwrap_or(30)) * 1_000,
            })),
        },
        node,
        now,
        expires_ms: now + EXPIRES_MS,
    };
    let (_, call) = app.db().give(&order).await?;
    app.ring();
    let call = call.ok_or_else(ApiError::not_found)?;
    Ok(match new.wait_s {
        None => (StatusCode::ACCEPTED, Json(view((call, None)))).into_response(),
        Some(seconds) => awaited(&app, call, Duration::from_secs(seconds.into())).await,
    })
}

/// Who talks: frozen for this call.
async fn agent(app: &App, tenant: TenantId, new: &NewCall) -> Result<PublishedAgent, ApiError> {
    let found = app.db().tenant(tenant).await?;
    let found = found.filter(|tenant| tenant.status == TenantStatus::Active);
    let tenant_slug = found.ok_or_else(ApiError::not_found)?.slug;
    let (agent, config) = match (&new.agent, new.agent_id) {
        (Some(config), _) => (inline(config), config.clone()),
        (None, Some(id)) => published(app, tenant, id, new).await?,
        (None, None) => return Err(ApiError::not_found()),
    };
    Ok(PublishedAgent {
        tenant,
        tenant_slug,
        agent,
        latest: false,
        config,
    })
}

fn inline(config: &AgentConfig) -> AgentRef {
    AgentRef {
        id: fresh(AgentId::new),
        slug: "inline".into(),
        version: 0,
        config_hash: config_hash(config),
    }
}

async fn published(
    app: &App,
    tenant: TenantId,
    id: AgentId,
    new: &NewCall,
) -> Result<(AgentRef, AgentConfig), ApiError> {
    let missing = |field: &str, message: &str| {
        ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::NotFound,
            field,
            message,
        )
    };
    let agent = app.db().agent(Some(tenant), id).await?;
    let agent = agent.ok_or_else(|| missing("/agent_id", "there is no such agent"))?;
    let number = new.agent_version.or(agent.latest_version);
    let number = number.ok_or_else(|| missing("/agent_id", "the agent was not published yet"))?;
    let version = app.db().version(Some(tenant), id, number).await?;
    let version = version.ok_or_else(|| missing("/agent_version", "there is no such version"))?;
    let config = version.config.ok_or_else(ApiError::not_found)?;
    let config = overridden(app, config, new.overrides.as_ref())?;
    let hash = config_hash(&config);
    let agent = AgentRef {
        id,
        slug: agent.slug,
        version: number,
        config_hash: hash,
    };
    Ok((agent, config))
}

/// The configuration with this call's changes, checked like any other.
fn overridden(
    app: &App,
    config: AgentConfig,
    overrides: Option<&Value>,
) -> Result<AgentConfig, ApiError> {
    let Some(overrides) = overrides else {
        return Ok(config);
    };
    let mut value = serde_json::to_value(config).unwrap_or_default();
    merge_patch(&mut value, overrides);
    let mut faults = Faults::default();
    Shape::new(app.document(), &mut faults).check("AgentConfig", &value, "/overrides");
    agent_rules::check(&value, "/overrides", &mut faults);
    faults.finish()?;
    body::read(value, "/overrides")
}

/// The number to show: nobody shows a number that is not his.
async fn shown(
    app: &App,
    tenant: TenantId,
    new: &NewCall,
    agent: AgentId,
) -> Result<String, ApiError> {
    let wanted = new.from.as_deref();
    let number = app.db().shown_number(tenant, wanted, Some(agent)).await?;
    number.ok_or_else(|| {
        let message = match wanted {
            Some(_) => "is no active number of this tenant",
            None => "the tenant has no active number to show",
        };
        let fault = FaultCode::NotFound;
        ApiError::at(ErrorCode::ValidationFailed, fault, "/from", message)
    })
}

/// Waits for the answer or the end. Whatever fails from here on, the order stands: a fault of ours
/// must not look as if nothing had been dialled.
async fn awaited(app: &App, call: CallRecord, wait: Duration) -> Response {
    let until = Instant::now() + wait;
    let mut bell = app.bell();
    let mut seen = (call, None);
    loop {
        bell.mark_unchanged();
        if let Ok(Some(found)) = app.db().call(None, seen.0.id).await {
            seen = found;
        }
        match seen.0.state() {
            CallState::InProgress => return (StatusCode::OK, Json(view(seen))).into_response(),
            CallState::Ended if seen.0.answered_ms.is_some() => {
                return (StatusCode::OK, Json(view(seen))).into_response();
            }
            CallState::Ended => return failed(&seen.0).into_response(),
            CallState::Queued | CallState::Ringing => {}
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !app.wait(&mut bell, left.min(LOOK)).await {
            return (StatusCode::ACCEPTED, Json(view(seen))).into_response();
        }
    }
}

/// What came of a call that was never answered. No status here is a server error: those are tried
/// again under the same idempotency key, and nothing is dialled twice.
fn failed(call: &CallRecord) -> ApiError {
    let reason = call.end_reason.map_or("unknown", EndReason::as_str);
    let code = match call.end_reason {
        Some(EndReason::NotFound | EndReason::NoRoute) => ErrorCode::NumberNotFound,
        Some(EndReason::NoAnswer | EndReason::Unavailable) => ErrorCode::NoAnswer,
        Some(EndReason::Busy | EndReason::Rejected) => ErrorCode::CallRefused,
        Some(EndReason::Forbidden) => ErrorCode::Forbidden,
        _ => ErrorCode::CallFailed,
    };
    ApiError::new(code, format!("{} ended: {reason}", call.id))
}

#[cfg(test)]
mod tests {
    use super::is_target;

    #[test]
    fn targets_are_numbers_extensions_trunks_and_uris() {
        for good in [
            "+15550100",
            "user/1000",
            "user/1000@harbour.example",
            "trunk/telnyx/+15550100",
            "sip:echo@127.0.0.1:5990",
        ] {
            assert!(is_target(good), "{good}");
        }
        for bad in [
            "15550100",
            "+1555x",
            "user/",
            "trunk/telnyx",
            "trunk//1",
            "sip:",
            "sip:a b@c",
            "sip:x@h\r\nVia: y",
            "tel:+1",
            "http://x",
        ] {
            assert!(!is_target(bad), "{bad}");
        }
    }
}
