//! Facts from the journal to the office, in order, until each is acknowledged.
//!
//! Exactly once comes of two halves: this side sends a batch again until it has an answer, and the
//! office folds what it knows already into nothing.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::internal::FactAck;

use super::{Office, OfficeError, backoff::Backoff};
use crate::journal::{Batch, BatchFact, Journal, JournalError};

/// The office takes at most this many at once.
const MOST_FACTS: usize = 1_000;
/// The first fact after a quiet time leaves at once; while more come, a batch leaves this long after the
/// one before, unless it is full by then. A batch costs both sides more than the facts in it.
const GATHER: Duration = Duration::from_millis(200);

/// The shipper in numbers.
#[derive(Debug, Default)]
pub struct ShipperStats {
    /// Facts the office has.
    pub shipped: AtomicU64,
    /// Requests that failed and were tried again.
    pub failures: AtomicU64,
    /// Facts the office will never take, set aside on disk.
    pub dead_letters: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl ShipperStats {
    /// Why the last round did not ship; none while all is well.
    pub fn trouble(&self) -> Option<String> {
        self.why().clone()
    }

    fn why(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Said in the log when it begins and when it changes, not at each try.
    fn failed(&self, why: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.why();
        if trouble.as_ref() != Some(&why) {
            tracing::warn!(why, "facts wait on disk");
            *trouble = Some(why);
        }
    }

    fn works(&self) {
        if self.why().take().is_some() {
            tracing::info!("facts reach the office again");
        }
    }
}

/// What a round came to.
enum Shipped {
    /// There was nothing.
    Nothing,
    /// All there was.
    Some,
    /// As much as goes at once: there may be more.
    Full,
}

/// See the module.
pub struct Shipper {
    journal: Journal,
    office: Office,
    dead_letters: PathBuf,
    stats: Arc<ShipperStats>,
    backoff: Backoff,
    /// Halved when the office calls a batch too large or does not manage it in time, and grown again.
    most: usize,
}

impl Shipper {
    /// Ships from `journal` to `office`; facts that are refused for good go to the folder
    /// `dead_letters`, sealed.
    pub fn new(journal: Journal, office: Office, dead_letters: &Path) -> Self {
        Self {
            backoff: Backoff::new(office.timing()),
            journal,
            stats: office.shipping(),
            office,
            dead_letters: dead_letters.to_path_buf(),
            most: MOST_FACTS,
        }
    }

    /// The numbers, as they change.
    pub fn stats(&self) -> Arc<ShipperStats> {
        Arc::clone(&self.stats)
    }

    /// Ships for ever; abort the task to stop. What was not acknowledged is sent again.
    pub async fn run(mut self) {
        loop {
            match self.ship_some().await {
                Ok(Shipped::Full) => self.backoff.reset(),
                Ok(Shipped::Some) => {
                    self.backoff.reset();
                    tokio::time::sleep(GATHER).await;
                }
                Ok(Shipped::Nothing) => self.journal.wait_for_facts().await,
                Err(error) => {
                    self.stats.failed(error.to_string());
                    self.backoff.wait().await;
                }
            }
        }
    }

    /// One batch.
    async fn ship_some(&mut self) -> Result<Shipped, ShipError> {
        let batch = self.read().await?;
        if batch.facts.is_empty() {
            self.acknowledge(batch, 0).await?;
            return Ok(Shipped::Nothing);
        }
        let sent = batch.facts.len();
        // More wait on the disk, or something went wrong with this one: no time to lose.
        let full = sent >= self.most;
        match self.office.ship(self.body(&batch)).await {
            Ok(ack) => {
                let all = ack.accepted >= sent;
                self.settle(batch, ack).await?;
                if all && !full {
                    return Ok(Shipped::Some);
                }
            }
            Err(error) if !is_final(&error) => {
                // An office that is too slow for the whole batch would be so each time.
                if error.is_timeout() {
                    self.most = (sent / 2).max(1);
                }
                return Err(error.into());
            }
            // This batch will never be taken as it is.
            Err(error) if sent > 1 => {
                tracing::warn!(%error, facts = sent, "a batch was refused: sending it in halves");
                self.most = sent / 2;
            }
            Err(error) => {
                tracing::error!(%error, "a fact was refused");
                let all = FactAck {
                    accepted: 1,
                    refused: vec![0],
                };
                self.settle(batch, all).await?;
            }
        }
        Ok(Shipped::Full)
    }

    /// Acts on the office's answer.
    async fn settle(&mut self, batch: Batch, ack: FactAck) -> Result<(), ShipError> {
        let accepted = ack.accepted.min(batch.facts.len());
        if accepted == 0 {
            return Err(ShipError::Nothing);
        }
        let refused: Vec<BatchFact> = ack
            .refused
            .iter()
            .filter(|index| **index < accepted)
            .filter_map(|index| batch.facts.get(*index).cloned())
            .collect();
        let lost = refused.len() as u64;
        self.bury(refused).await?;
        self.stats
            .shipped
            .fetch_add(accepted as u64 - lost, Ordering::Relaxed);
        self.most = (self.most * 2).min(MOST_FACTS);
        self.stats.works();
        self.acknowledge(batch, accepted).await
    }

    async fn read(&self) -> Result<Batch, ShipError> {
        let (journal, most) = (self.journal.clone(), self.most);
        let batch = tokio::task::spawn_blocking(move || journal.next_batch(most)).await;
        Ok(batch.map_err(|_| ShipError::Stopped)??)
    }

    async fn acknowledge(&self, batch: Batch, accepted: usize) -> Result<(), ShipError> {
        let journal = self.journal.clone();
        let done = tokio::task::spawn_blocking(move || journal.acknowledge(&batch, accepted)).await;
        Ok(done.map_err(|_| ShipError::Stopped)??)
    }

    /// Keeps what the office refused, for people to look at.
    async fn bury(&self, refused: Vec<BatchFact>) -> Result<(), ShipError> {
        if refused.is_empty() {
            return Ok(());
        }
        let (journal, folder) = (self.journal.clone(), self.dead_letters.clone());
        let count = refused.len() as u64;
        let done =
            tokio::task::spawn_blocking(move || journal.keep_dead_letters(&folder, &refused)).await;
        done.map_err(|_| ShipError::Stopped)??;
        self.stats.dead_letters.fetch_add(count, Ordering::Relaxed);
        tracing::error!(count, folder = %self.dead_letters.display(), "facts the office refused were set aside");
        Ok(())
    }

    /// A `FactBatch`, put together from the facts as the journal wrote them.
    fn body(&self, batch: &Batch) -> Vec<u8> {
        let head = format!(
            "{{\"node\":\"{}\",\"boot\":{},\"facts\":[",
            self.journal.node(),
            self.journal.boot()
        );
        let mut body = head.into_bytes();
        for (index, fact) in batch.facts.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&fact.json);
        }
        body.extend_from_slice(b"]}");
        body
    }
}

/// Whether the office read the batch and will never take it so. Anything else (a proxy's 404, a key
/// that is not known yet) says nothing about the facts, and they stay.
fn is_final(error: &OfficeError) -> bool {
    matches!(error.status(), Some(400 | 413 | 422))
}

/// Why a round did not ship.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error(transparent)]
    Office(#[from] OfficeError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the office acknowledged nothing")]
    Nothing,
    #[error("the runtime is stopping")]
    Stopped,
}
