//! The driver shared by every wire: sends, retries, reads the stream, falls back.

use std::{sync::Arc, time::Duration};

use call_core::brain::{MindEvent, ThinkRequest};
use egress::{Egress, Limits, Policy, Request, Response};
use tokio::{sync::mpsc::Sender, time::sleep};

use super::{Llm, Thinking};
use crate::{Class, ProviderError};

/// Attempts at one request.
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; doubled before the third.
const BACKOFF: Duration = Duration::from_millis(200);
/// A provider that asks for a longer wait than this is of no use within a call.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest error body that is read, bytes.
const ERROR_BYTES: u64 = 64 * 1_024;

/// One answer of a model, read from bytes.
pub(crate) trait Answer: Send {
    /// More bytes; the events that are certain now ([`MindEvent::Delta`] only).
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<MindEvent>, ProviderError>;
    /// Whether the model said that it has finished.
    fn is_over(&self) -> bool;
    /// The bytes are over: the tools it wants, then [`MindEvent::Done`].
    fn finish(&mut self) -> Result<Vec<MindEvent>, ProviderError>;
}

/// What one kind of server speaks. Pure.
pub(crate) trait Wire: Send + Sync + 'static {
    /// The operator's name of it.
    fn name(&self) -> &str;
    /// The request for a thought.
    fn request(&self, think: &ThinkRequest) -> Request;
    /// A reader for the response's body.
    fn answer(&self, content_type: &str) -> Box<dyn Answer>;
    /// What a refusal means.
    fn refusal(&self, status: u16, retry_after: Option<Duration>, body: &[u8]) -> ProviderError;
}

/// A wire with the way out.
pub(crate) struct Driven<W> {
    pub(crate) wire: Arc<W>,
    pub(crate) egress: Egress,
}

impl<W: Wire> Llm for Driven<W> {
    fn think(&self, request: ThinkRequest) -> Thinking {
        let (wire, egress) = (self.wire.clone(), self.egress.clone());
        Thinking::run(|tell| async move {
            let end = match attempts(&*wire, &egress, &request, &tell).await {
                Ok(last) => last,
                Err(error) => vec![MindEvent::Failed {
                    why: error.to_string(),
                }],
            };
            for event in end {
                if tell.send(event).await.is_err() {
                    return;
                }
            }
        })
    }
}

async fn attempts<W: Wire>(
    wire: &W,
    egress: &Egress,
    think: &ThinkRequest,
    tell: &Sender<MindEvent>,
) -> Result<Vec<MindEvent>, ProviderError> {
    let mut backoff = BACKOFF;
    let mut attempt = 1;
    loop {
        let mut spoken = false;
        let error = match once(wire, egress, think, tell, &mut spoken).await {
            Ok(end) => return Ok(end),
            Err(error) => error,
        };
        let Class::Retry { after } = error.class else {
            return Err(error);
        };
        let wait = after.unwrap_or(backoff);
        if spoken || attempt == ATTEMPTS || wait > PATIENCE {
            return Err(error);
        }
        tracing::debug!(provider = wire.name(), attempt, why = %error.why, "asking again");
        sleep(wait).await;
        backoff *= 2;
        attempt += 1;
    }
}

/// One attempt. `spoken` tells whether words of it have gone out: then it cannot be repeated.
async fn once<W: Wire>(
    wire: &W,
    egress: &Egress,
    think: &ThinkRequest,
    tell: &Sender<MindEvent>,
    spoken: &mut bool,
) -> Result<Vec<MindEvent>, ProviderError> {
    let failed = |error: egress::EgressError| ProviderError::from_egress(wire.name(), &error);
    let request = wire.request(think).limits(limits());
    let mut response = egress.send(Policy::Named, request).await.map_err(failed)?;
    if !response.is_success() {
        return Err(refused(wire, response).await);
    }
    let content_type = response
        .header("content-type")
        .unwrap_or_default()
        .to_owned();
    let mut answer = wire.answer(&content_type);
    while let Some(bytes) = response.chunk().await.map_err(failed)? {
        for event in answer.push(&bytes)? {
            *spoken = true;
            if tell.send(event).await.is_err() {
                return Ok(Vec::new());
            }
        }
        if answer.is_over() {
            break;
        }
    }
    answer.finish()
}

fn limits() -> Limits {
    Limits {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        total: Duration::from_secs(60),
        body_bytes: 4 << 20,
        redirects: 0,
    }
}

async fn refused<W: Wire>(wire: &W, mut response: Response) -> ProviderError {
    let status = response.status();
    let after = response
        .header("retry-after")
        .and_then(|text| text.trim().parse::<f64>().ok())
        .filter(|seconds| (0.0..86_400.0).contains(seconds))
        .map(Duration::from_secs_f64);
    let mut body = Vec::new();
    // What cannot be read of an error body is not needed: the status says enough.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > ERROR_BYTES {
            break;
        }
    }
    wire.refusal(status, after, &body)
}

/// Asks the first; when it fails before its first word, the next.
pub(crate) fn with_fallbacks(row: Vec<Arc<dyn Llm>>) -> Arc<dyn Llm> {
    match <[Arc<dyn Llm>; 1]>::try_from(row) {
        Ok([only]) => only,
        Err(row) => Arc::new(InTurn(row)),
    }
}

struct InTurn(Vec<Arc<dyn Llm>>);

impl Llm for InTurn {
    fn think(&self, request: ThinkRequest) -> Thinking {
        let row = self.0.clone();
        Thinking::run(|tell| async move {
            let mut why = String::new();
            for llm in row {
                match relay(llm.think(request.clone()), &tell).await {
                    Some(failure) => why = failure,
                    None => return,
                }
            }
            // Nobody reads it any more when this fails.
            let _ = tell.send(MindEvent::Failed { why }).await;
        })
    }
}

/// Passes a thought on. `Some(why)` when it failed before anything was passed on.
async fn relay(mut thinking: Thinking, tell: &Sender<MindEvent>) -> Option<String> {
    let mut told = false;
    while let Some(event) = thinking.next().await {
        if let (MindEvent::Failed { why }, false) = (&event, told) {
            return Some(why.clone());
        }
        told = true;
        if tell.send(event).await.is_err() {
            return None;
        }
    }
    None
}
