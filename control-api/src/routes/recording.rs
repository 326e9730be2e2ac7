//! The sound of a call, whole or in part (RFC 9110 §14). Every read is noted in the audit log.

use std::io::SeekFrom;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use model::CallId;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use crate::{
    app::App,
    auth::Caller,
    body::Id,
    error::{ApiError, ErrorBody, ErrorCode},
    store::StoredRecording,
};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

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

/// The recording: WAV, 16 bit, stereo, caller left, agent right.
#[utoipa::path(get, path = "/v1/calls/{id}/recording", tag = "calls", params(("id" = CallId, Path), ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST")), responses((status = 200, description = "Everything", body = Vec<u8>, content_type = "audio/wav"), (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "audio/wav"), (status = 304, description = "If-None-Match names it"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("recordings:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
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
    let tag = format!("\"{}\"", stored.sha256);
    let known = |name| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes() == tag.as_bytes())
    };
    if known(header::IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // A part of another file is of no use (RFC 9110 §13.1.5).
    let fits = !headers.contains_key(header::IF_RANGE) || known(header::IF_RANGE);
    let range = headers.get(header::RANGE).filter(|_| fits);
    let wanted = read_range(range.and_then(|value| value.to_str().ok()), stored.bytes);
    let path = app.recordings().join(&stored.path);
    let Ok(file) = File::open(&path).await else {
        tracing::error!(path = %path.display(), "a recording's file is missing");
        return Err(missing());
    };
    send(file, wanted, &stored, tag).await
}

async fn send(
    mut file: File,
    wanted: Wanted,
    stored: &StoredRecording,
    tag: String,
) -> Result<Response, ApiError> {
    let length = stored.bytes;
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
    file.seek(SeekFrom::Start(span.start))
        .await
        .map_err(|_| ApiError::new(ErrorCode::Internal, "the recording cannot be read"))?;
    let size = span.end - span.start;
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "audio/wav")
        .header(header::CONTENT_LENGTH, size)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, "private");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{length}", span.start, span.end - 1);
        response = response.header(header::CONTENT_RANGE, range);
    }
    response
        .body(Body::from_stream(chunks(file, size)))
        .map_err(|_| ApiError::new(ErrorCode::Internal, "the recording cannot be sent"))
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

/// `size` bytes of a file, a chunk at a time.
fn chunks(file: File, size: u64) -> impl stream::Stream<Item = std::io::Result<Vec<u8>>> {
    stream::unfold((file, size), |(mut file, left)| async move {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        if want == 0 {
            return None;
        }
        let mut buffer = vec![0; want];
        match file.read(&mut buffer).await {
            // The file ended early: the connection breaks, so that nobody takes it for whole.
            Ok(0) => Some((Err(std::io::ErrorKind::UnexpectedEof.into()), (file, 0))),
            Ok(count) => {
                buffer.truncate(count);
                let count = u64::try_from(count).unwrap_or(left);
                Some((Ok(buffer), (file, left.saturating_sub(count))))
            }
            Err(fault) => Some((Err(fault), (file, 0))),
        }
    })
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
