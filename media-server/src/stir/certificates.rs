//! Certificates by URL: fetched once for everybody who waits, kept for a time, never too many.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use sip_core::shaken::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Chain;

/// URLs that are kept, those that failed among them.
const MOST_KEPT: usize = 256;
/// Fetches at once. Beyond them a proof fails: whoever sends us so many places at once means no good.
const MOST_FETCHES: usize = 16;
/// A fetch that failed is not tried again for so long.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// What a server wants to be asked for more often than this is kept all the same.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// What was fetched.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// PEM; empty where there was nothing.
    pub pem: Bytes,
    /// How long its server says that it is good.
    pub fresh_for: Option<Duration>,
}

/// A fetch under way: what came, or in one line why nothing did.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, String>> + Send>>;

/// Fetches what lies at a URL, within a limit of its own.
pub type Fetch = Arc<dyn Fn(String) -> Fetching + Send + Sync>;

/// See the module.
pub struct Certificates {
    fetch: Fetch,
    fetches: Arc<Semaphore>,
    kept: Mutex<HashMap<String, Entry>>,
}

/// `None` while it is being fetched.
type Outcome = Option<Result<Kept, Failure>>;

#[derive(Debug, Clone)]
struct Kept {
    chain: Arc<Chain>,
    lifetime: Duration,
}

struct Entry {
    since: Duration,
    outcome: watch::Receiver<Outcome>,
}

impl Entry {
    fn is_good(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.since);
        match &*self.outcome.borrow() {
            // The sender is gone where a fetch broke.
            None => self.outcome.has_changed().is_ok(),
            Some(Ok(kept)) => age < kept.lifetime,
            Some(Err(_)) => age < FAILED_FOR,
        }
    }
}

impl Certificates {
    /// Nothing is kept yet.
    pub fn new(fetch: Fetch) -> Self {
        Self {
            fetch,
            fetches: Arc::new(Semaphore::new(MOST_FETCHES)),
            kept: Mutex::default(),
        }
    }

    /// The chain at a URL, not older than `max_age`. Whoever does not want to wait drops this: the fetch
    /// goes on for the next one.
    ///
    /// # Errors
    /// [`Failure::Unreachable`].
    pub async fn chain(
        &self,
        url: &str,
        now: Duration,
        max_age: Duration,
    ) -> Result<Arc<Chain>, Failure> {
        let outcome = self.outcome(url, now, max_age);
        let mut outcome = outcome.ok_or(Failure::Unreachable)?;
        let settled = outcome.wait_for(Option::is_some).await;
        match settled.as_deref() {
            Ok(Some(Ok(kept))) => Ok(kept.chain.clone()),
            Ok(Some(Err(failure))) => Err(*failure),
            Ok(None) | Err(_) => Err(Failure::Unreachable),
        }
    }

    /// How many URLs are kept.
    pub fn len(&self) -> usize {
        self.kept().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept().is_empty()
    }

    /// The fetch that is wanted: one that was made or is under way, else a new one.
    fn outcome(
        &self,
        url: &str,
        now: Duration,
        max_age: Duration,
    ) -> Option<watch::Receiver<Outcome>> {
        let mut kept = self.kept();
        if let Some(entry) = kept.get(url).filter(|entry| entry.is_good(now)) {
            return Some(entry.outcome.clone());
        }
        let permit = self.fetches.clone().try_acquire_owned().ok()?;
        make_room(&mut kept, now);
        let (to, outcome) = watch::channel(None);
        let entry = Entry {
            since: now,
            outcome: outcome.clone(),
        };
        kept.insert(url.to_owned(), entry);
        let fetching = (self.fetch)(url.to_owned());
        tokio::spawn(settle(fetching, max_age, to, permit));
        Some(outcome)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn settle(
    fetching: Fetching,
    max_age: Duration,
    to: watch::Sender<Outcome>,
    _permit: OwnedSemaphorePermit,
) {
    let fetched = fetching.await.inspect_err(|why| {
        tracing::warn!(why, "a certificate could not be fetched");
    });
    let kept = fetched.ok().and_then(|fetched| {
        let told = fetched.fresh_for.unwrap_or(max_age);
        Some(Kept {
            chain: Arc::new(Chain::read(&fetched.pem)?),
            lifetime: told.max(LEAST_AGE).min(max_age),
        })
    });
    to.send_replace(Some(kept.ok_or(Failure::Unreachable)));
}

/// What is over goes, then the oldest.
fn make_room(kept: &mut HashMap<String, Entry>, now: Duration) {
    if kept.len() < MOST_KEPT {
        return;
    }
    kept.retain(|_, entry| entry.is_good(now));
    let oldest = kept.iter().min_by_key(|(_, entry)| entry.since);
    let oldest = oldest.map(|(url, _)| url.clone());
    if let Some(url) = oldest.filter(|_| kept.len() >= MOST_KEPT) {
        kept.remove(&url);
    }
}
