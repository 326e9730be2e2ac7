//! The outermost layer: request ids, one shape for every error, a log line per request.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt as _;

use crate::{
    clock::{now_ms, random},
    error::{ApiError, ErrorCode},
};

/// What answers where no route does.
#[allow(clippy::unused_async)] // axum wants a handler
pub async fn not_found() -> ApiError {
    ApiError::not_found()
}

/// Gives every answer its request id, and every error its body.
pub async fn finish(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let line = format!("{} {}", request.method(), request.uri().path());
    let begun = Instant::now();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = match answered {
        Ok(response) => shaped(response, &id),
        Err(_) => ApiError::new(ErrorCode::Internal, "a fault of ours; the log has it").render(&id),
    };
    if let Ok(value) = HeaderValue::try_from(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    let status = response.status().as_u16();
    let took_ms = begun.elapsed().as_millis();
    if status >= 500 {
        tracing::error!(request_id = %id, status, %took_ms, "{line}");
    } else {
        tracing::debug!(request_id = %id, status, %took_ms, "{line}");
    }
    response
}

/// The caller's own id where it is short and plain, else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get("x-request-id");
    let given = given.and_then(|value| value.to_str().ok());
    let plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if let Some(text) = given.filter(plain) {
        return text.to_owned();
    }
    let id = ulid::Ulid::from_parts(now_ms().unsigned_abs(), u128::from_le_bytes(random()));
    format!("req_{id}")
}

/// Errors that the router or an extractor made by themselves get our shape too.
fn shaped(mut response: Response, id: &str) -> Response {
    if let Some(fault) = response.extensions_mut().remove::<ApiError>() {
        return fault.render(id);
    }
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE);
    let ours = ours.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        status if status.is_client_error() => ErrorCode::InvalidRequest,
        _ => ErrorCode::Internal,
    };
    let reason = status.canonical_reason().unwrap_or("the request failed");
    ApiError::new(code, reason.to_lowercase()).render(id)
}
