//! An office in this process whose moods a test chooses.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use egress::{Egress, EgressConfig};
use media_server::office::{Office, OfficeConfig, OfficeTiming};
use model::{
    CallId, Fact, Snapshot, TrunkId,
    booking::{BookingOutcome, BookingRequest},
    internal::{FactAck, FactBatch, Heartbeat, Leased, RecordingAck, Share},
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

pub const KEY: &str = "node-key-of-the-tests";

/// How the office meets one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Does it and says so.
    Well,
    /// 503, nothing done.
    Unwell,
    /// Does it, but the answer never arrives in time.
    DoneButSilent,
    /// Does the first half only (facts), else as `Well`.
    Half,
    /// This status, nothing done.
    Says(u16),
}

/// What the office has seen and stored.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub moods: VecDeque<Mood>,
    pub requests: usize,
    pub strangers: usize,
    pub facts: BTreeMap<(CallId, u64, u32), Fact>,
    pub order: Vec<(CallId, u32)>,
    pub duplicates: usize,
    pub largest_batch: usize,
    /// Facts whose line says this are refused for good.
    pub refuse_line: Option<String>,
    /// Batches larger than this are 413.
    pub most_facts: Option<usize>,
    /// Batches larger than this are not done before the client gives up; nothing of them is kept.
    pub slow_beyond: Option<usize>,
    pub snapshot: Snapshot,
    pub recordings: HashMap<CallId, Vec<u8>>,
    pub uploads: usize,
    pub beats: Vec<Heartbeat>,
    pub bookings: HashMap<String, BookingRequest>,
    pub booking_requests: usize,
}

#[derive(Clone)]
pub struct Fake {
    world: Arc<watch::Sender<World>>,
    pub url: String,
}

impl Fake {
    pub async fn start() -> Self {
        egress::tls::install();
        let (world, _) = watch::channel(World::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self {
            world: Arc::new(world),
            url,
        };
        let routes = Router::new()
            .route("/internal/v1/journal", post(journal))
            .route("/internal/v1/snapshot", get(snapshot))
            .route("/internal/v1/recordings/{call}", put(recording))
            .route("/internal/v1/heartbeat", post(heartbeat))
            .route("/internal/v1/bookings", post(booking))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    /// A client with short waits and a request limit of `request`.
    pub fn client(&self, request: Duration) -> Office {
        let timing = OfficeTiming {
            request,
            booking: request,
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(4),
            heartbeat: Duration::from_millis(20),
            ..OfficeTiming::default()
        };
        let config = OfficeConfig {
            base_url: format!("{}/", self.url),
            key: KEY.into(),
            timing,
        };
        Office::new(config, Egress::new(EgressConfig::default()).unwrap())
    }

    pub fn change(&self, change: impl FnOnce(&mut World)) {
        self.world.send_modify(change);
    }

    pub fn see<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.world.borrow())
    }

    /// Waits until the world is as wished; a minute is far more than any test needs.
    pub async fn until(&self, wished: impl FnMut(&World) -> bool) {
        let mut watching = self.world.subscribe();
        let waited = tokio::time::timeout(Duration::from_mins(1), watching.wait_for(wished)).await;
        assert!(waited.is_ok(), "never came true");
    }

    /// The mood for this request; `Err` is the answer when nothing is to be done.
    fn meet(&self, headers: &HeaderMap) -> Result<Mood, Box<Response>> {
        let bearer = format!("Bearer {KEY}");
        let known = headers.get("authorization").is_some_and(|v| *v == *bearer);
        let mut mood = Mood::Well;
        self.change(|world| {
            world.requests += 1;
            world.strangers += usize::from(!known);
            mood = world.moods.pop_front().unwrap_or(Mood::Well);
        });
        let status = match mood {
            Mood::Well | Mood::DoneButSilent | Mood::Half if known => return Ok(mood),
            Mood::Unwell => StatusCode::SERVICE_UNAVAILABLE,
            Mood::Says(status) => StatusCode::from_u16(status).unwrap(),
            Mood::Well | Mood::DoneButSilent | Mood::Half => StatusCode::UNAUTHORIZED,
        };
        Err(Box::new((status, "in a mood").into_response()))
    }
}

/// Answers, or keeps the connection open without a word until the client has given up.
async fn answer(mood: Mood, response: impl IntoResponse) -> Response {
    if mood == Mood::DoneButSilent {
        std::future::pending::<()>().await;
    }
    response.into_response()
}

async fn journal(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(batch): Json<FactBatch>,
) -> Response {
    let mood = match fake.meet(&headers) {
        Ok(mood) => mood,
        Err(refusal) => return *refusal,
    };
    if fake
        .see(|world| world.most_facts)
        .is_some_and(|most| batch.facts.len() > most)
    {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if fake
        .see(|world| world.slow_beyond)
        .is_some_and(|most| batch.facts.len() > most)
    {
        return answer(Mood::DoneButSilent, ()).await;
    }
    let accepted = match mood {
        Mood::Half => batch.facts.len().div_ceil(2),
        Mood::Well | Mood::DoneButSilent | Mood::Unwell | Mood::Says(_) => batch.facts.len(),
    };
    let mut refused = Vec::new();
    fake.change(|world| {
        world.largest_batch = world.largest_batch.max(batch.facts.len());
        for (index, fact) in batch.facts.into_iter().take(accepted).enumerate() {
            if world.refuses(&fact) {
                refused.push(index);
            } else {
                world.fold(fact);
            }
        }
    });
    answer(mood, Json(FactAck { accepted, refused })).await
}

impl World {
    fn refuses(&self, fact: &Fact) -> bool {
        match (&fact.kind, &self.refuse_line) {
            (model::FactKind::Logged { line }, Some(unwanted)) => line == unwanted,
            _ => false,
        }
    }

    fn fold(&mut self, fact: Fact) {
        let key = (fact.conversation, fact.boot, fact.seq);
        if self.facts.contains_key(&key) {
            self.duplicates += 1;
        } else {
            self.order.push((fact.conversation, fact.seq));
            self.facts.insert(key, fact);
        }
    }
}

async fn snapshot(
    State(fake): State<Fake>,
    Query(query): Query<HashMap<String, u64>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = fake.meet(&headers) {
        return *refusal;
    }
    let after = query["after"];
    let mut watching = fake.world.subscribe();
    let wait = Duration::from_millis(query["wait_ms"]);
    let news = watching.wait_for(|world| world.snapshot.revision != after);
    match tokio::time::timeout(wait, news).await {
        Ok(Ok(world)) => Json(world.snapshot.clone()).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::NOT_MODIFIED.into_response(),
    }
}

async fn recording(
    State(fake): State<Fake>,
    Path(call): Path<CallId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mood = match fake.meet(&headers) {
        Ok(mood) => mood,
        Err(refusal) => return *refusal,
    };
    let bytes: Bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let hash = Sha256::digest(&bytes);
    let sha256: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if headers["x-content-sha256"] != *sha256 {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let ack = RecordingAck {
        sha256,
        bytes: bytes.len() as u64,
    };
    fake.change(|world| {
        world.uploads += 1;
        world.recordings.insert(call, bytes.to_vec());
    });
    answer(mood, Json(ack)).await
}

async fn heartbeat(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(beat): Json<Heartbeat>,
) -> Response {
    if let Err(refusal) = fake.meet(&headers) {
        return *refusal;
    }
    fake.change(|world| world.beats.push(beat));
    let share = Share { part: 1, of: 3 };
    let registers = vec![TrunkId::new(7, 7)];
    Json(Leased { share, registers }).into_response()
}

async fn booking(
    State(fake): State<Fake>,
    headers: HeaderMap,
    Json(request): Json<BookingRequest>,
) -> Response {
    let mood = match fake.meet(&headers) {
        Ok(mood) => mood,
        Err(refusal) => return *refusal,
    };
    assert_eq!(headers["idempotency-key"], *request.idempotency_key);
    fake.change(|world| {
        world.booking_requests += 1;
        world
            .bookings
            .insert(request.idempotency_key.clone(), request);
    });
    let outcome = BookingOutcome::Full {
        alternatives: vec!["2026-05-01T18:30".into()],
    };
    answer(mood, Json(outcome)).await
}

/// Waits for what no channel tells of.
pub async fn eventually(mut wished: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if wished() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came true");
}
