//! Errors as REST shows them: one shape, a closed list of codes, all faults at once.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{closed::closed, store::StoreError};

closed! {
    /// What kind of error an answer is.
    pub enum ErrorCode {
        /// The request cannot be read.
        InvalidRequest = "invalid_request",
        /// The request can be read, but says what cannot be.
        ValidationFailed = "validation_failed",
        /// No key, or one that is not accepted.
        Unauthenticated = "unauthenticated",
        /// The key may not do this.
        Forbidden = "forbidden",
        /// There is no such thing for this key.
        NotFound = "not_found",
        /// The path does not take this method.
        MethodNotAllowed = "method_not_allowed",
        /// Something else has this name, or depends on this.
        Conflict = "conflict",
        /// No seat is left in the slot.
        SlotFull = "slot_full",
        /// The idempotency key was used with another body.
        IdempotencyMismatch = "idempotency_mismatch",
        /// The request with this idempotency key is still running.
        InProgress = "in_progress",
        /// The thing was changed since it was read.
        PreconditionFailed = "precondition_failed",
        /// Too large.
        PayloadTooLarge = "payload_too_large",
        /// Not JSON.
        UnsupportedMediaType = "unsupported_media_type",
        /// No answer of the wanted form.
        NotAcceptable = "not_acceptable",
        /// The asked-for range lies outside.
        RangeNotSatisfiable = "range_not_satisfiable",
        /// The number that was called does not exist.
        NumberNotFound = "number_not_found",
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// The called party is busy or declined.
        CallRefused = "call_refused",
        /// The call could not be made; the message has its end reason.
        CallFailed = "call_failed",
        /// The office cannot do it now.
        Unavailable = "unavailable",
        /// A fault of ours; the log has it under the request id.
        Internal = "internal",
    }
}

closed! {
    /// What is wrong with a field.
    pub enum FaultCode {
        /// It is missing.
        Required = "required",
        /// It is of another JSON type.
        InvalidType = "invalid_type",
        /// There is no such field.
        UnknownField = "unknown_field",
        /// It is none of the allowed values.
        UnknownValue = "unknown_value",
        /// Its form is wrong.
        InvalidFormat = "invalid_format",
        /// It is too small or too large, too short or too long.
        OutOfRange = "out_of_range",
        /// It names what does not exist.
        NotFound = "not_found",
        /// It is taken.
        Taken = "taken",
        /// It does not fit the other fields.
        Inconsistent = "inconsistent",
        /// It is not available at that time.
        NotAvailable = "not_available",
    }
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Detail {
    /// What kind.
    pub code: FaultCode,
    /// Where: a JSON pointer into the body, `/query/NAME` or `/header/NAME`.
    pub field: String,
    /// For people.
    pub message: String,
}

/// Collects the faults of a request.
#[derive(Debug, Default)]
pub struct Faults(Vec<Detail>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, code: FaultCode, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Detail {
            code,
            field: field.into(),
            message: message.into(),
        });
    }

    /// Nothing wrong, or a 422 with everything that is.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = match self.0.as_slice() {
            [one] => one.message.clone(),
            many => format!("{} faults", many.len()),
        };
        Err(ApiError {
            details: self.0,
            ..ApiError::new(ErrorCode::ValidationFailed, message)
        })
    }
}

/// The body of an error answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorContent,
}

/// What an error answer says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorContent {
    /// What kind.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The request, as the log names it.
    pub request_id: String,
    /// Every fault that was found.
    pub details: Vec<Detail>,
}

/// An error on its way out; the outermost layer gives it its request id and body.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// What kind.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Every fault that was found.
    pub details: Vec<Detail>,
    /// The length of what was asked for, with `range_not_satisfiable`.
    pub length: Option<u64>,
}

impl ApiError {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            length: None,
        }
    }

    /// An error with one fault.
    pub fn at(
        code: ErrorCode,
        fault: FaultCode,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        let mut faults = Faults::default();
        faults.add(fault, field, message.clone());
        Self {
            details: faults.0,
            ..Self::new(code, message)
        }
    }

    /// The error that a rendered answer told; it will get the id of its own request.
    pub fn told(body: ErrorBody) -> Self {
        Self {
            details: body.error.details,
            ..Self::new(body.error.code, body.error.message)
        }
    }

    /// There is no such thing, as far as this key may know.
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such resource")
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self.code {
            ErrorCode::InvalidRequest => StatusCode::BAD_REQUEST,
            ErrorCode::ValidationFailed => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound | ErrorCode::NumberNotFound => StatusCode::NOT_FOUND,
            ErrorCode::NoAnswer => StatusCode::REQUEST_TIMEOUT,
            ErrorCode::CallFailed => StatusCode::FAILED_DEPENDENCY,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::Conflict
            | ErrorCode::SlotFull
            | ErrorCode::CallRefused
            | ErrorCode::IdempotencyMismatch
            | ErrorCode::InProgress => StatusCode::CONFLICT,
            ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            ErrorCode::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer, once the request id is known.
    pub fn render(self, request_id: &str) -> Response {
        let status = self.status();
        let length = self.length;
        let body = ErrorBody {
            error: ErrorContent {
                code: self.code,
                message: self.message,
                request_id: request_id.to_owned(),
                details: self.details,
            },
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(range) = length.and_then(|n| format!("bytes */{n}").parse().ok()) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(fault: StoreError) -> Self {
        tracing::error!(%fault, "the store failed");
        match fault.is_unreachable() {
            true => Self::new(ErrorCode::Unavailable, "the database cannot be reached"),
            false => Self::new(ErrorCode::Internal, "a fault of ours; the log has it"),
        }
    }
}
