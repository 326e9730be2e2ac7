//! Request bodies: read once, checked whole, every fault named by its pointer.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{ApiError, ErrorCode, FaultCode, Faults},
    shape::Shape,
};

/// What a body must say beyond its shape. Runs even when the shape is wrong elsewhere.
pub trait Rules {
    /// Notes what is wrong.
    fn rules(_body: &Value, _faults: &mut Faults) {}
}

/// A JSON body that was checked.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + ToSchema + Rules> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = Bytes::from_request(request, app).await.map_err(unread)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|fault| not_json(&fault))?;
        let mut faults = Faults::default();
        Shape::new(app.document(), &mut faults).check(&T::name(), &value, "");
        T::rules(&value, &mut faults);
        faults.finish()?;
        read(value, "").map(Self)
    }
}

/// Reads a value whose shape was checked.
pub fn read<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|fault| {
        ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::InvalidFormat,
            at,
            fault.to_string(),
        )
    })
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let patch = essence == "application/merge-patch+json";
    if essence == "application/json" || patch {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "the body must be application/json",
    ))
}

#[allow(clippy::needless_pass_by_value)] // a function for map_err
fn unread(rejection: BytesRejection) -> ApiError {
    match rejection.status().as_u16() {
        413 => ApiError::new(ErrorCode::PayloadTooLarge, "the body is too large"),
        _ => ApiError::new(ErrorCode::InvalidRequest, "the body could not be read"),
    }
}

fn not_json(fault: &serde_json::Error) -> ApiError {
    ApiError::at(
        ErrorCode::InvalidRequest,
        FaultCode::InvalidFormat,
        "",
        format!("the body is not JSON: {fault}"),
    )
}

/// A text member of a body, where it is there and is text.
pub fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// The id in the path. What is not an id of the kind does not exist.
pub struct Id<T>(pub T);

impl<T: std::str::FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| ApiError::not_found())?;
        let id = text.parse().map_err(|_| ApiError::not_found())?;
        Ok(Self(id))
    }
}
