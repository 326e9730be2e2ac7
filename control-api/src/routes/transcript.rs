//! What was said in a call. Every read is noted in the audit log.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use model::{CallId, transcript::Segment};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    body::Id,
    error::{ApiError, ErrorBody, ErrorCode},
    query::Params,
    render,
};

/// What was said, in the order of its beginning.
#[derive(Debug, Serialize, ToSchema)]
pub struct Transcript {
    /// The call.
    pub call_id: CallId,
    /// Stretches of speech.
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Txt,
    Vtt,
}

impl Format {
    fn named(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "txt" => Some(Self::Txt),
            "vtt" => Some(Self::Vtt),
            _ => None,
        }
    }

    /// The first acceptable one of an `Accept` header, JSON without one.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let Some(accept) = headers.get(header::ACCEPT) else {
            return Some(Self::Json);
        };
        let accept = accept.to_str().unwrap_or_default();
        accept.split(',').find_map(
            |kind| match kind.split(';').next().unwrap_or_default().trim() {
                "application/json" | "application/*" | "*/*" => Some(Self::Json),
                "text/plain" | "text/*" => Some(Self::Txt),
                "text/vtt" => Some(Self::Vtt),
                _ => None,
            },
        )
    }
}

/// What was said in a call.
#[utoipa::path(get, path = "/v1/calls/{id}/transcript", tag = "calls", params(("id" = CallId, Path), ("format" = Option<String>, Query, description = "json, txt or vtt; without it, Accept decides")), responses((status = 200, content((Transcript = "application/json"), (String = "text/plain"), (String = "text/vtt"))), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CallId>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let named = params.read("format", "json, txt or vtt", Format::named);
    params.finish()?;
    let Some(format) = named.or_else(|| Format::accepted(&headers)) else {
        return Err(ApiError::new(
            ErrorCode::NotAcceptable,
            "a transcript is application/json, text/plain or text/vtt",
        ));
    };
    let Some((call, _)) = app.db().call(caller.tenant, id).await? else {
        return Err(ApiError::not_found());
    };
    let actor = caller.key.to_string();
    let resource = id.to_string();
    let noted = app
        .db()
        .audit(call.tenant, &actor, "transcript.read", &resource);
    noted.await?;
    let segments = app.db().segments(id).await?;
    Ok(match format {
        Format::Json => Json(Transcript {
            call_id: id,
            segments,
        })
        .into_response(),
        Format::Txt => typed("text/plain; charset=utf-8", render::txt(&segments)),
        Format::Vtt => typed("text/vtt; charset=utf-8", render::vtt(&segments)),
    })
}

fn typed(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
