//! Who asks: API keys for `/v1`, node keys for `/internal/v1`. Deny by default.

pub mod key;
mod scope;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use model::{KeyId, TenantId};
pub use scope::{Role, Scope};

use crate::{
    app::App,
    clock::now_ms,
    error::{ApiError, ErrorCode, FaultCode},
    store::StoredKey,
};

/// How stale `last_used_at` may be.
const USED_EVERY_MS: i64 = 60_000;

/// Who asks, once the key is accepted.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key.
    pub key: KeyId,
    /// Its name.
    pub name: String,
    /// Its public part.
    pub prefix: String,
    /// The tenant asked for: the key's own, or the one that a platform key named.
    pub tenant: Option<TenantId>,
    /// What it is.
    pub role: Role,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Caller {
    /// The tenant to create in.
    pub fn require_tenant(&self) -> Result<TenantId, ApiError> {
        self.tenant.ok_or_else(|| {
            ApiError::at(
                ErrorCode::ValidationFailed,
                FaultCode::Required,
                "/header/X-Tenant-Id",
                "a platform key must say in which tenant: send X-Tenant-Id",
            )
        })
    }

    fn of(stored: &StoredKey, tenant: Option<TenantId>) -> Self {
        Self {
            key: stored.key.id,
            name: stored.key.name.clone(),
            prefix: stored.key.prefix.clone(),
            tenant,
            role: stored.key.role,
            scopes: stored.key.scopes.clone(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(unauthenticated)
    }
}

/// The bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// Lets a request of `/v1` through if its route's declared access allows it.
pub async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str).to_owned();
    // HEAD is answered by GET's handler and asks for the same right.
    let method = match request.method().clone() {
        Method::HEAD => Method::GET,
        other => other,
    };
    match admit(&app, &method, &path, request.headers()).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

async fn admit(
    app: &App,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ApiError> {
    let access = app.access(method, path);
    if access == Some(Access::Public) {
        return Ok(None);
    }
    let caller = authenticate(app, headers).await?;
    match access {
        Some(Access::AnyKey) => Ok(Some(caller)),
        Some(Access::Needs(scope)) if caller.scopes.contains(&scope) => Ok(Some(caller)),
        Some(Access::Needs(scope)) => Err(ApiError::new(
            ErrorCode::Forbidden,
            format!("this key lacks the scope {scope}"),
        )),
        Some(Access::Public) | None if app.knows_path(path) => Err(ApiError::new(
            ErrorCode::MethodNotAllowed,
            format!("this path does not take {method}"),
        )),
        Some(Access::Public) | None => Err(ApiError::new(
            ErrorCode::Forbidden,
            "no key may use this route",
        )),
    }
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let token = bearer(headers).ok_or_else(unauthenticated)?;
    let prefix = key::prefix_of(token).ok_or_else(unauthenticated)?;
    let stored = app.db().key_by_prefix(prefix).await?;
    let stored = stored.ok_or_else(unauthenticated)?;
    let now = now_ms();
    let expired = stored.key.expires_at.is_some_and(|at| at.0 <= now);
    let refused = stored.key.revoked_at.is_some() || expired || !stored.tenant_active;
    if !key::same(&key::hash(token), &stored.hash) || refused {
        return Err(unauthenticated());
    }
    let stale = |at: crate::clock::Stamp| at.0 < now - USED_EVERY_MS;
    if stored.key.last_used_at.is_none_or(stale)
        && let Err(fault) = app.db().touch_key(stored.key.id, now).await
    {
        // Who only reads is not refused because nothing can be written.
        tracing::warn!(%fault, "the use of a key could not be noted");
    }
    let tenant = named_tenant(app, &stored, headers).await?;
    Ok(Caller::of(&stored, tenant))
}

/// The tenant that a request is about. A key bound to a tenant cannot name another.
async fn named_tenant(
    app: &App,
    stored: &StoredKey,
    headers: &HeaderMap,
) -> Result<Option<TenantId>, ApiError> {
    let Some(named) = headers.get("x-tenant-id") else {
        return Ok(stored.key.tenant_id);
    };
    let unknown = || {
        ApiError::at(
            ErrorCode::NotFound,
            FaultCode::NotFound,
            "/header/X-Tenant-Id",
            "there is no such tenant",
        )
    };
    let named: TenantId = named
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(unknown)?;
    let allowed = match stored.key.tenant_id {
        Some(own) => own == named,
        None => app.db().tenant(named).await?.is_some(),
    };
    allowed.then_some(Some(named)).ok_or_else(unknown)
}

/// Lets a request of `/internal/v1` through if it carries one of the node keys.
pub async fn node_guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let token = bearer(request.headers()).unwrap_or_default();
    // Every key is compared, so that the time does not tell which one came near.
    let matches = app
        .node_keys()
        .iter()
        .fold(false, |found, known| key::same(known, token) | found);
    if matches && !token.is_empty() {
        next.run(request).await
    } else {
        unauthenticated().into_response()
    }
}

fn unauthenticated() -> ApiError {
    ApiError::new(
        ErrorCode::Unauthenticated,
        "send a valid key: Authorization: Bearer …",
    )
}

/// What a route asks of its caller; written as `x-scope` beside its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// Any accepted key.
    AnyKey,
    /// A key with this scope.
    Needs(Scope),
}

impl Access {
    /// The access that `x-scope` names: `public`, `any` or a scope.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "public" => Some(Self::Public),
            "any" => Some(Self::AnyKey),
            scope => scope.parse().ok().map(Self::Needs),
        }
    }
}
