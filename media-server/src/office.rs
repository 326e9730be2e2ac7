//! The client of `/internal/v1`: the switch's only way to the office.
//!
//! Nothing here is on a call's path except a booking. The office may be down for a minute or a week:
//! the last good snapshot stays in force, facts and recordings wait on the disk, and everything is
//! tried again for ever, less and less often, up to a few seconds apart.

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use egress::{Egress, EgressError, Limits, Policy, Request, Response};
use model::{
    CallId, NodeId, Snapshot,
    booking::{BookingOutcome, BookingRequest},
    command::{CommandReport, Orders},
    internal::{FactAck, Heartbeat, Leased, RecordingAck, RegistrationReport, Registrations},
};

mod backoff;
mod heartbeat;
mod orders;
mod recordings;
mod shipper;
mod snapshot;

pub use heartbeat::{Pulse, heartbeats};
pub use orders::{Carry, follow_orders};
pub use recordings::{Finished, RecordingUploader};
pub use shipper::{Shipper, ShipperStats};
pub use snapshot::SnapshotKeeper;

/// Why the office did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// It could not be reached, or broke off.
    #[error("the office: {0}")]
    Unreachable(#[from] EgressError),
    /// It answered, but not with what was wanted.
    #[error("the office answered {status}: {message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The start of its answer.
        message: String,
    },
    /// Something on our own disk.
    #[error("{what}: {source}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OfficeError {
    /// Whether asking again later can help. A refused key counts: somebody may set it right.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(EgressError::File { .. }) => false,
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => {
                matches!(*status, 401 | 403 | 408 | 425 | 429) || *status >= 500
            }
            Self::Disk { .. } => false,
        }
    }

    /// Whether it did not answer in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Unreachable(EgressError::Timeout { .. }))
    }

    /// The status, if there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Disk { .. } => None,
        }
    }
}

/// How long things may take, and how often they are tried.
#[derive(Debug, Clone, Copy)]
pub struct OfficeTiming {
    /// How long a long poll for the snapshot stays open at the office.
    pub poll: Duration,
    /// Any other request.
    pub request: Duration,
    /// A booking: the caller is waiting.
    pub booking: Duration,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// An upload gets this, plus a second for every 64 KiB.
    pub upload: Duration,
    /// After the first failure.
    pub backoff_min: Duration,
    /// After many.
    pub backoff_max: Duration,
}

impl Default for OfficeTiming {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(25),
            request: Duration::from_secs(10),
            booking: Duration::from_secs(4),
            heartbeat: Duration::from_secs(2),
            upload: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// Where the office is, and how we are let in.
#[derive(Clone)]
pub struct OfficeConfig {
    /// `http://127.0.0.1:8080`; the operator's `control.url`.
    pub base_url: String,
    /// This node's key for `/internal/v1`.
    pub key: String,
    /// Limits.
    pub timing: OfficeTiming,
}

struct Inner {
    egress: Egress,
    config: OfficeConfig,
    reachable: AtomicBool,
    shipping: Arc<ShipperStats>,
}

/// The office, as the switch calls it. Clone it freely.
#[derive(Clone)]
pub struct Office {
    inner: Arc<Inner>,
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office")
            .field("base_url", &self.inner.config.base_url)
            .field("reachable", &self.reachable())
            .finish_non_exhaustive()
    }
}

impl Office {
    /// The office at `config.base_url`. Asks nothing yet.
    pub fn new(mut config: OfficeConfig, egress: Egress) -> Self {
        config
            .base_url
            .truncate(config.base_url.trim_end_matches('/').len());
        let inner = Inner {
            egress,
            config,
            reachable: AtomicBool::new(false),
            shipping: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Whether the last request got an answer.
    pub fn reachable(&self) -> bool {
        self.inner.reachable.load(Ordering::Relaxed)
    }

    /// How the facts are getting there.
    pub fn shipping(&self) -> Arc<ShipperStats> {
        Arc::clone(&self.inner.shipping)
    }

    /// This node's key there: what the office seals to this node opens with it.
    pub fn node_key(&self) -> &str {
        &self.inner.config.key
    }

    /// The limits in force.
    pub fn timing(&self) -> OfficeTiming {
        self.inner.config.timing
    }

    /// The snapshot, as soon as its revision is not `after`; none when `wait` passed before.
    pub async fn snapshot(
        &self,
        after: u64,
        wait: Duration,
    ) -> Result<Option<Snapshot>, OfficeError> {
        let path = format!("snapshot?after={after}&wait_ms={}", wait.as_millis());
        let limits = Limits {
            head: wait + self.timing().request,
            total: wait + self.timing().request * 6,
            body_bytes: 256 << 20,
            ..Limits::default()
        };
        let request = Request::get(self.url(&path)).limits(limits);
        let response = self.send(request).await?;
        match response.status() {
            304 => Ok(None),
            200 => Ok(Some(response.json().await?)),
            _ => Err(refused(response).await),
        }
    }

    /// Hands over facts: `body` is a `FactBatch` in JSON.
    pub async fn ship(&self, body: Vec<u8>) -> Result<FactAck, OfficeError> {
        let request = Request::post(self.url("journal")).body("application/json", body);
        let request = request.limits(self.limits());
        answer(self.send(request).await?).await
    }

    /// Books a table; the request's idempotency key keeps a second try from booking twice.
    pub async fn book(&self, request: &BookingRequest) -> Result<BookingOutcome, OfficeError> {
        let limits = Limits {
            head: self.timing().booking,
            total: self.timing().booking,
            ..Limits::default()
        };
        let request = Request::post(self.url("bookings"))
            .header("idempotency-key", &request.idempotency_key)
            .json(request)
            .limits(limits);
        answer(self.send(request).await?).await
    }

    /// Says that this node is alive; its part of what all together may do.
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<Leased, OfficeError> {
        let limits = self.limits();
        let request = Request::post(self.url("heartbeat"))
            .json(beat)
            .limits(limits);
        answer(self.send(request).await?).await
    }

    /// Tells where our phones are.
    pub async fn report_registrations(
        &self,
        report: &RegistrationReport,
    ) -> Result<(), OfficeError> {
        let request = Request::post(self.url("registrations")).json(report);
        let response = self.send(request.limits(self.limits())).await?;
        match response.is_success() {
            true => Ok(()),
            false => Err(refused(response).await),
        }
    }

    /// Asks where an address is registered, on whatever switch.
    pub async fn registrations(&self, aor: &str) -> Result<Registrations, OfficeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
        let escaped: String = aor
            .bytes()
            .map(|byte| match plain(byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect();
        let url = self.url(&format!("registrations?aor={escaped}"));
        answer(self.send(Request::get(url).limits(self.limits())).await?).await
    }

    /// The orders for this start of this node, as soon as there are some; none when `wait` passed
    /// before. With `again` also those that were handed out before and are not answered.
    pub async fn orders(
        &self,
        node: NodeId,
        boot: u64,
        again: bool,
        wait: Duration,
    ) -> Result<Orders, OfficeError> {
        let wait_ms = wait.as_millis();
        let path = format!("commands?node={node}&boot={boot}&again={again}&wait_ms={wait_ms}");
        let limits = Limits {
            head: wait + self.timing().request,
            total: wait + self.timing().request,
            ..Limits::default()
        };
        answer(
            self.send(Request::get(self.url(&path)).limits(limits))
                .await?,
        )
        .await
    }

    /// Says what came of orders.
    pub async fn report(&self, reports: &[CommandReport]) -> Result<(), OfficeError> {
        let request = Request::post(self.url("commands")).json(&reports);
        let response = self.send(request.limits(self.limits())).await?;
        if response.is_success() {
            Ok(())
        } else {
            Err(refused(response).await)
        }
    }

    /// Sends a recording, piece by piece.
    pub async fn upload(
        &self,
        call: CallId,
        wav: &Path,
        finished: &Finished,
    ) -> Result<RecordingAck, OfficeError> {
        let time = self.timing().upload + Duration::from_secs(finished.bytes / (64 * 1024));
        let limits = Limits {
            head: time,
            total: time,
            ..Limits::default()
        };
        let request = Request::put(self.url(&format!("recordings/{call}")))
            .header("x-content-sha256", &finished.sha256)
            .file("audio/wav", wav)
            .limits(limits);
        answer(self.send(request).await?).await
    }

    async fn send(&self, request: Request) -> Result<Response, OfficeError> {
        let request = request.bearer(&self.inner.config.key);
        // The operator named this host in his own file.
        let response = self.inner.egress.send(Policy::Named, request).await;
        let answered = response.is_ok();
        if self.inner.reachable.swap(answered, Ordering::Relaxed) != answered {
            let url = &self.inner.config.base_url;
            if answered {
                tracing::info!(%url, "the office is reachable");
            } else {
                tracing::warn!(%url, "the office is out of reach: calls go on, facts wait on disk");
            }
        }
        Ok(response?)
    }

    fn limits(&self) -> Limits {
        Limits {
            head: self.timing().request,
            total: self.timing().request,
            ..Limits::default()
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/internal/v1/{path}", self.inner.config.base_url)
    }
}

/// A 2xx with JSON.
async fn answer<T: serde::de::DeserializeOwned>(response: Response) -> Result<T, OfficeError> {
    if response.is_success() {
        Ok(response.json().await?)
    } else {
        Err(refused(response).await)
    }
}

/// What the office said instead of yes.
async fn refused(response: Response) -> OfficeError {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let message = String::from_utf8_lossy(&body).chars().take(200).collect();
    OfficeError::Status { status, message }
}
