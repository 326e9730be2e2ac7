//! Live events as SSE. Each listener reads from the database at its own pace, in bounded pieces:
//! a slow one costs nobody memory, and one that falls too far behind is told to start anew.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event as Frame, KeepAlive, Sse},
};
use futures_util::stream::{self, Stream};
use model::{CallId, TenantId};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    app::App,
    auth::Caller,
    clock::Stamp,
    error::{ApiError, ErrorBody},
    events::RESYNC,
    query::Params,
    store::{Event, StoreError},
};

/// Events read at a time.
const PIECE: i64 = 200;
/// How many events a listener may be behind.
const LAG: i64 = 20_000;
/// How late another replica's events may be seen.
const LOOK: Duration = Duration::from_millis(500);
/// How often a silent stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

struct Listener {
    app: App,
    bell: watch::Receiver<u64>,
    tenant: Option<TenantId>,
    call: Option<CallId>,
    kinds: Option<HashSet<String>>,
    last: i64,
    ready: VecDeque<Frame>,
}

/// Live events. Without `Last-Event-ID` the stream starts now; with it, after that event. A
/// `resync` event means that events were missed: read the state again over REST.
#[utoipa::path(get, path = "/v1/stream", tag = "events", params(("call_id" = Option<CallId>, Query, description = "Only this call's"), ("types" = Option<String>, Query, description = "Only these types, by comma"), ("after" = Option<i64>, Query, description = "The same as Last-Event-ID"), ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")), responses((status = 200, description = "Server-sent events: id, event, data = {id, type, version, created_at, tenant_id, agent_id, call_id, seq, data}", body = String, content_type = "text/event-stream"), (status = "default", body = ErrorBody, description = "An error")), extensions(("x-scope" = json!("calls:read"))))]
pub async fn listen(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Sse<impl Stream<Item = Result<Frame, Infallible>>>, ApiError> {
    let header = headers.get("last-event-id");
    let header = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = params.parsed("after", "an event's id");
    let call = params.parsed("call_id", "a call's id");
    let kinds = params.text("types");
    params.finish()?;
    if let Some(call) = call
        && !app.db().call_visible(caller.tenant, call).await?
    {
        return Err(ApiError::not_found());
    }
    let newest = app.db().last_event().await?;
    let mut listener = Listener {
        bell: app.bell(),
        tenant: caller.tenant,
        call,
        kinds: kinds.map(|text| text.split(',').map(|kind| kind.trim().to_owned()).collect()),
        last: header.or(after).unwrap_or(newest),
        ready: VecDeque::new(),
        app,
    };
    listener.resume(newest).await?;
    let frames = stream::unfold(listener, Listener::step);
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(ALIVE)))
}

impl Listener {
    /// Starts anew when the events asked for are no longer there, or never were.
    async fn resume(&mut self, newest: i64) -> Result<(), StoreError> {
        let oldest = self.app.db().first_event().await?.unwrap_or(newest + 1);
        if self.last > newest || self.last < oldest - 1 {
            self.resync(newest);
        }
        Ok(())
    }

    fn resync(&mut self, newest: i64) {
        let data = json!({"id": newest, "type": RESYNC, "version": "1", "data": {"missed_after": self.last}});
        let frame = Frame::default().id(newest.to_string()).event(RESYNC);
        self.ready.push_back(frame.data(data.to_string()));
        self.last = newest;
    }

    /// The next frame; the stream ends when the office closes or the database fails (the listener
    /// comes back with its `Last-Event-ID`).
    async fn step(mut self) -> Option<(Result<Frame, Infallible>, Self)> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some((Ok(frame), self));
            }
            self.bell.mark_unchanged();
            if let Err(fault) = self.fetch().await {
                tracing::warn!(%fault, "an event stream ends");
                return None;
            }
            let app = self.app.clone();
            if self.ready.is_empty() && !app.wait(&mut self.bell, LOOK).await {
                return None;
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let newest = self.app.db().last_event().await?;
        if newest - self.last > LAG {
            self.resync(newest);
            return Ok(());
        }
        if newest == self.last {
            return Ok(());
        }
        let db = self.app.db();
        let events = db
            .events_after(self.tenant, self.call, self.last, PIECE)
            .await?;
        self.last = match events.last() {
            Some(event) => event.id,
            None => newest,
        };
        let wanted = |kind: &String| self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind));
        let frames = events.iter().filter(|event| wanted(&event.kind)).map(frame);
        self.ready.extend(frames);
        Ok(())
    }
}

fn frame(event: &Event) -> Frame {
    let data = json!({
        "id": event.id,
        "type": event.kind,
        "version": "1",
        "created_at": Stamp(event.at_ms),
        "tenant_id": event.tenant_id,
        "agent_id": event.agent_id,
        "call_id": event.call_id,
        "seq": event.seq,
        "data": event.data,
    });
    Frame::default()
        .id(event.id.to_string())
        .event(&event.kind)
        .data(data.to_string())
}
