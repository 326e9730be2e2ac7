//! Finished transactions: key, last response and deadline, nothing else.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::dialog::FinishedTransaction;
use crate::flow::Flow;
use crate::transaction::TransactionKey;

/// A bounded memory of finished transactions, the oldest first in line.
#[derive(Debug)]
pub(super) struct Finished {
    limit: usize,
    by_key: HashMap<TransactionKey, Kept>,
    /// In order of arrival; lifetimes are equal but for a second or two.
    order: VecDeque<(TransactionKey, Duration)>,
}

#[derive(Debug)]
struct Kept {
    flow: Flow,
    response: Option<Bytes>,
}

impl Finished {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            by_key: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Keeps one; returns how many were forgotten to make room.
    pub(super) fn remember(&mut self, transaction: FinishedTransaction) -> u64 {
        let FinishedTransaction {
            key,
            response,
            flow,
            until,
        } = transaction;
        // A slice of a larger buffer would keep all of it alive.
        let response = response.map(|response| Bytes::copy_from_slice(&response));
        if self.by_key.insert(key, Kept { flow, response }).is_none() {
            self.order.push_back((key, until));
        }
        let mut forgotten = 0;
        while self.order.len() > self.limit {
            if let Some((key, _)) = self.order.pop_front() {
                self.by_key.remove(&key);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Where a copy's answer goes, and what it is (`None` absorbs the copy).
    pub(super) fn find(&self, key: &TransactionKey) -> Option<(Flow, Option<Bytes>)> {
        let kept = self.by_key.get(key)?;
        Some((kept.flow, kept.response.clone()))
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.order.front().map(|(_, until)| *until)
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        while let Some((key, _)) = self.order.pop_front_if(|(_, until)| *until <= now) {
            self.by_key.remove(&key);
        }
        if self.by_key.is_empty() {
            self.by_key.shrink_to_fit();
            self.order.shrink_to_fit();
        }
    }
}
