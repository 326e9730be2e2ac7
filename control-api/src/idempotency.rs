//! `Idempotency-Key` on every POST: the same request is done once and answered alike for 24 hours.
//!
//! A claim whose process died stays claimed: whether the work was done is unknown, and doing it
//! twice would be worse than saying so. Answers that show a secret are kept sealed under the
//! caller's own API key, which the office does not store.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::Aead as _};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    auth::{self, Caller},
    clock::{now_ms, random},
    error::{ApiError, ErrorBody, ErrorCode, FaultCode},
    store::{Answer, Claim, StoreError, hex},
};

/// How long an answer is kept.
pub const KEPT_MS: i64 = 24 * 3_600_000;
/// The largest body of a POST, and of an answer that is kept.
const BODY_LIMIT: usize = 1 << 20;
/// Headers that are repeated with the answer.
const HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// Marks an answer that shows a secret.
#[derive(Debug, Clone, Copy)]
pub struct ShowsSecret;

/// A request's claim.
struct Ticket {
    scope: String,
    key_hash: String,
    seal: [u8; 32],
}

/// Does a POST with an `Idempotency-Key` once.
pub async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key("idempotency-key") {
        return next.run(request).await;
    }
    match claim_and_run(app, request, next).await {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

async fn claim_and_run(app: App, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let ticket = Ticket::read(&parts)?;
    let too_large = |_| ApiError::new(ErrorCode::PayloadTooLarge, "the body is too large");
    let body = to_bytes(body, BODY_LIMIT).await.map_err(too_large)?;
    let query = parts.uri.query().unwrap_or_default();
    let body_hash = hex(&Sha256::digest([query.as_bytes(), b"\0", &body].concat()));
    let now = now_ms();
    let claim = app
        .db()
        .claim(
            &ticket.scope,
            &ticket.key_hash,
            &body_hash,
            now,
            now - KEPT_MS,
        )
        .await?;
    match claim {
        Claim::Fresh => {
            let request = Request::from_parts(parts, Body::from(body));
            // A caller that hangs up must not leave the work half done and the claim open.
            let work = tokio::spawn(async move { run(&app, &ticket, request, next).await });
            work.await.map_err(|_| {
                ApiError::new(ErrorCode::Internal, "a fault of ours; the log has it")
            })?
        }
        Claim::Done(answer) => ticket.replay(answer),
        Claim::Running => Err(ApiError::new(
            ErrorCode::InProgress,
            "the request with this Idempotency-Key has not ended; whether it was done is not known yet",
        )),
        Claim::Mismatch => Err(mismatch()),
    }
}

fn mismatch() -> ApiError {
    ApiError::new(
        ErrorCode::IdempotencyMismatch,
        "this Idempotency-Key was used with another request",
    )
}

/// Does the work and keeps its answer; a failure of ours is not kept.
async fn run(
    app: &App,
    ticket: &Ticket,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let mut response = next.run(request).await;
    // Errors get their body from the outermost layer, with the id of the request they answer.
    if let Some(fault) = response.extensions_mut().remove::<ApiError>() {
        response = keep_fault(app, ticket, fault).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let too_large = |_| ApiError::new(ErrorCode::Internal, "a fault of ours; the log has it");
    let body = to_bytes(body, BODY_LIMIT).await.map_err(too_large)?;
    let secret = parts.extensions.get::<ShowsSecret>().is_some();
    let answer = ticket.answer(parts.status, &parts.headers, &body, secret)?;
    app.db()
        .keep_answer(&ticket.scope, &ticket.key_hash, &answer)
        .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// A refusal is an answer like any other, a fault of ours is not: the claim is given back.
async fn keep_fault(app: &App, ticket: &Ticket, fault: ApiError) -> Result<Response, ApiError> {
    if fault.status().is_server_error() {
        let released = app.db().release_claim(&ticket.scope, &ticket.key_hash);
        released.await?;
        return Err(fault);
    }
    let rendered = fault.clone().render("req_replayed");
    let (parts, body) = rendered.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let answer = ticket.answer(parts.status, &parts.headers, &body, false)?;
    app.db()
        .keep_answer(&ticket.scope, &ticket.key_hash, &answer)
        .await?;
    Ok(fault.into_response())
}

impl Ticket {
    fn read(parts: &axum::http::request::Parts) -> Result<Self, ApiError> {
        let key = parts.headers.get("idempotency-key");
        let key = key.map(HeaderValue::as_bytes).unwrap_or_default();
        if key.is_empty() || key.len() > 255 {
            return Err(ApiError::at(
                ErrorCode::InvalidRequest,
                FaultCode::OutOfRange,
                "/header/Idempotency-Key",
                "Idempotency-Key must have 1 to 255 characters",
            ));
        }
        let tenant = parts.extensions.get::<Caller>().and_then(|c| c.tenant);
        let tenant = tenant.map_or_else(|| "platform".to_owned(), |id| id.to_string());
        let token = auth::bearer(&parts.headers).unwrap_or_default();
        let mut seal = Sha256::new();
        seal.update(b"sidetone idempotency\0");
        seal.update(token.as_bytes());
        seal.update(b"\0");
        seal.update(key);
        Ok(Self {
            scope: format!("{tenant} POST {}", parts.uri.path()),
            key_hash: hex(&Sha256::digest(key)),
            seal: seal.finalize().into(),
        })
    }

    fn answer(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        secret: bool,
    ) -> Result<Answer, ApiError> {
        let kept: serde_json::Map<String, serde_json::Value> = HEADERS
            .iter()
            .filter_map(|name| {
                let value = headers.get(name)?.to_str().ok()?;
                Some((name.to_string(), value.into()))
            })
            .collect();
        let body = if secret {
            self.seal(body)?
        } else {
            String::from_utf8_lossy(body).into_owned()
        };
        Ok(Answer {
            status: status.as_u16(),
            headers: serde_json::Value::Object(kept).to_string(),
            body,
            sealed: secret,
        })
    }

    fn seal(&self, body: &[u8]) -> Result<String, ApiError> {
        let nonce: [u8; 12] = random();
        let sealed = Aes256Gcm::new(&self.seal.into())
            .encrypt(&nonce.into(), body)
            .map_err(|_| ApiError::new(ErrorCode::Internal, "the answer could not be sealed"))?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The body, if this caller is the one that it was sealed for.
    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<12>()?;
        let cipher = Aes256Gcm::new(&self.seal.into());
        cipher.decrypt(&(*nonce).into(), sealed).ok()
    }

    fn replay(&self, answer: Answer) -> Result<Response, ApiError> {
        let body = if answer.sealed {
            self.open(&answer.body).ok_or_else(mismatch)?
        } else {
            answer.body.into_bytes()
        };
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        if status.is_client_error()
            && let Ok(told) = serde_json::from_slice::<ErrorBody>(&body)
        {
            return Err(ApiError::told(told));
        }
        let mut response = (status, body).into_response();
        let headers: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&answer.headers).unwrap_or_default();
        let out = response.headers_mut();
        out.remove(header::CONTENT_TYPE);
        for (name, value) in headers {
            let name = HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                out.insert(name, value);
            }
        }
        out.insert("idempotency-replayed", HeaderValue::from_static("true"));
        Ok(response)
    }
}

/// Forgets answers that were kept long enough.
pub async fn prune(app: &App) -> Result<u64, StoreError> {
    app.db().prune_claims(now_ms() - KEPT_MS).await
}
