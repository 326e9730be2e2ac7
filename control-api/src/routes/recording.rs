//! The sound of a call, whole or in part (RFC 9110 §14). Every read is noted in the audit log.

use audio_files::export::Form;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header, response::Builder},
    response::{IntoResponse, Response},
};
use model::CallId;

use crate::{
    app::App,
    auth::Caller,
    body::Id,
    clock::now_ms,
    error::{ApiError, ErrorBody, ErrorCode},
    query::Params,
    rendition::Rendition,
};

/// Bytes `start..end` of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: no range, one of another unit, or several at once.
    Whole,
    /// A part.
    Part(Span),
    /// A part that lies outside.
    Outside,
}

/// Reads a `Range` header (RFC 9110 §14.1.2) against a file of `length` bytes.
pub fn read_range(header: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let span = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => Span {
            start,
            end: last.saturating_add(1).min(length),
        },
        (Ok(start), Err(_)) if last.is_empty() => Span { start, end: length },
        (Err(_), Ok(count)) if first.is_empty() => Span {
            start: length.saturating_sub(count),
            end: length,
        },
        _ => return Wanted::Whole,
    };
    if span.start < span.end {
        Wanted::Part(span)
    } else {
        Wanted::Outside
    }
}

/// The form that `format` and `channels` ask for; none is the master.
fn form(params: &mut Params) -> Option<Form> {
    let opus = params.read("format", "wav or opus", |text| match text {
        "wav" => Some(false),
        "opus" => Some(true),
        _ => None,
    });
    let mixed = params.read("channels", "1 or 2", |text| match text {
        "1" => Some(true),
        "2" => Some(false),
        _ => None,
    });
    match (opus.unwrap_or_default(), mixed.unwrap_or_default()) {
        (false, false) => None,
        (false, true) => Some(Form::MixedWav),
        (true, mixed) => Some(Form::Opus { mixed }),
    }
}

/// The recording: WAV, 16 bit, stereo, caller left, agent right; or in the form that is asked for.
#[utoipa::path(get, path = "/v1/calls/{id}/recording", tag = "calls", params(("id" = CallId, Path), ("format" = Option<String>, Query, description = "wav (without it) or opus, in Ogg"), ("channels" = Option<i32>, Query, description = "2 (without it): caller left, agent right; 1: both together"), ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST")), responses((status = 200, description = "Everything", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))), (status = 206, description = "The part asked for", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))), (status = 304, description = "If-None-Match names it"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("recordings:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    method: Method,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let form = form(&mut params);
    params.finish()?;
    let Some((call, stored)) = app.db().call(caller.tenant, id).await? else {
        return Err(ApiError::not_found());
    };
    let missing = || ApiError::new(ErrorCode::NotFound, "this call has no recording here (yet)");
    let stored = stored.ok_or_else(missing)?;
    let actor = caller.key.to_string();
    let resource = id.to_string();
    let noted = app
        .db()
        .audit(call.tenant, &actor, "recording.read", &resource);
    noted.await?;
    let rendition = Rendition::of(&app, &stored, form).await?;
    let known = |name| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes() == rendition.tag.as_bytes())
    };
    if known(header::IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, rendition.tag)]).into_response());
    }
    // A part of another file is of no use (RFC 9110 §13.1.5).
    let fits = !headers.contains_key(header::IF_RANGE) || known(header::IF_RANGE);
    let range = headers.get(header::RANGE).filter(|_| fits);
    let wanted = read_range(
        range.and_then(|value| value.to_str().ok()),
        rendition.length,
    );
    let (span, response) = head(&rendition, wanted)?;
    let body = match method {
        // Whoever asks for the head alone has nothing made for him.
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(rendition.part(&app, &stored, span.start..span.end).await?),
    };
    response
        .body(body)
        .map_err(|_| ApiError::new(ErrorCode::Internal, "the recording cannot be sent"))
}

/// The part that is sent, and the head of the answer.
fn head(rendition: &Rendition, wanted: Wanted) -> Result<(Span, Builder), ApiError> {
    let length = rendition.length;
    let (status, span) = match wanted {
        Wanted::Whole => (
            StatusCode::OK,
            Span {
                start: 0,
                end: length,
            },
        ),
        Wanted::Part(span) => (StatusCode::PARTIAL_CONTENT, span),
        Wanted::Outside => return Err(outside(length)),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, rendition.media_type)
        .header(header::CONTENT_LENGTH, span.end - span.start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, &rendition.tag)
        .header(header::CACHE_CONTROL, "private");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{length}", span.start, span.end - 1);
        response = response.header(header::CONTENT_RANGE, range);
    }
    Ok((span, response))
}

fn outside(length: u64) -> ApiError {
    ApiError {
        length: Some(length),
        ..ApiError::new(
            ErrorCode::RangeNotSatisfiable,
            format!("the recording has {length} bytes"),
        )
    }
}

/// Deletes the recording, for good. Its sound is gone within seconds, from a bucket once that can be reached.
#[utoipa::path(delete, path = "/v1/calls/{id}/recording", tag = "calls", params(("id" = CallId, Path)), responses((status = 204, description = "It is being deleted"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("recordings:write"))))]
pub async fn erase(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
) -> Result<StatusCode, ApiError> {
    let Some((call, _)) = app.db().call(caller.tenant, id).await? else {
        return Err(ApiError::not_found());
    };
    let (actor, resource) = (caller.key.to_string(), id.to_string());
    if !app.db().erase_recording(id, &actor, now_ms()).await? {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            "this call has no recording here",
        ));
    }
    let noted = app
        .db()
        .audit(call.tenant, &actor, "recording.delete", &resource);
    noted.await?;
    app.ring();
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let part = |start, end| Wanted::Part(Span { start, end });
        let cases = [
            (None, Wanted::Whole),
            (Some("bytes=0-9"), part(0, 10)),
            (Some("bytes=90-"), part(90, 100)),
            (Some("bytes=-5"), part(95, 100)),
            (Some("bytes=-500"), part(0, 100)),
            (Some("bytes=50-5000"), part(50, 100)),
            (Some("bytes=0-18446744073709551615"), part(0, 100)),
            (Some("bytes=100-"), Wanted::Outside),
            (Some("bytes=-0"), Wanted::Outside),
            (Some("bytes=9-0"), Wanted::Whole),
            (Some("bytes=0-1,5-6"), Wanted::Whole),
            (Some("items=0-1"), Wanted::Whole),
            (Some("bytes=x-"), Wanted::Whole),
        ];
        for (header, want) in cases {
            assert_eq!(read_range(header, 100), want, "{header:?}");
        }
    }
}
