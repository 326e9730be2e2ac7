//! INVITEs refused by the endpoint itself: each with its machine until the ACK.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::flow::Flow;
use crate::message::Method;
use crate::timers::Timers;
use crate::transaction::{InviteServer, ServerEffect, ServerInput, TransactionKey};

/// A bounded table of refused INVITEs.
#[derive(Debug)]
pub(super) struct Refusals {
    timers: Timers,
    limit: usize,
    by_key: HashMap<TransactionKey, Refused>,
    deadlines: BTreeSet<(Duration, TransactionKey)>,
    sends: VecDeque<(Flow, Bytes)>,
}

#[derive(Debug)]
struct Refused {
    flow: Flow,
    tx: InviteServer,
    deadline: Option<Duration>,
}

impl Refusals {
    pub(super) fn new(timers: Timers, limit: usize) -> Self {
        Self {
            timers,
            limit,
            by_key: HashMap::new(),
            deadlines: BTreeSet::new(),
            sends: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Sends a refusal; `false` when there is no room for it.
    pub(super) fn open(
        &mut self,
        now: Duration,
        key: TransactionKey,
        flow: Flow,
        status: u16,
        bytes: Bytes,
    ) -> bool {
        if self.by_key.len() >= self.limit {
            return false;
        }
        let mut tx = InviteServer::new(self.timers, flow.transport.is_reliable());
        tx.handle(now, ServerInput::Respond { status, bytes });
        let refused = Refused {
            flow,
            tx,
            deadline: None,
        };
        self.by_key.insert(key, refused);
        self.settle(key);
        true
    }

    /// A copy of a refused INVITE, or its ACK; `false` when it is neither.
    pub(super) fn handle(&mut self, now: Duration, key: &TransactionKey, method: &Method) -> bool {
        let Some(refused) = self.by_key.get_mut(key) else {
            return false;
        };
        let input = if *method == Method::Ack {
            ServerInput::Ack
        } else {
            ServerInput::Retransmission
        };
        refused.tx.handle(now, input);
        self.settle(*key);
        true
    }

    pub(super) fn poll_send(&mut self) -> Option<(Flow, Bytes)> {
        self.sends.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        while let Some((at, key)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.deadlines.remove(&(at, key));
            if let Some(refused) = self.by_key.get_mut(&key) {
                refused.deadline = None;
                refused.tx.handle_timeout(now);
            }
            self.settle(key);
        }
    }

    /// Collects what a machine wants and moves its deadline.
    fn settle(&mut self, key: TransactionKey) {
        let Some(refused) = self.by_key.get_mut(&key) else {
            return;
        };
        while let Some(effect) = refused.tx.poll_effect() {
            match effect {
                ServerEffect::Send(bytes) => self.sends.push_back((refused.flow, bytes)),
                ServerEffect::AckTimeout | ServerEffect::Terminated => {}
            }
        }
        if let Some(at) = refused.deadline.take() {
            self.deadlines.remove(&(at, key));
        }
        if refused.tx.is_terminated() {
            self.by_key.remove(&key);
        } else if let Some(at) = refused.tx.poll_timeout() {
            refused.deadline = Some(at);
            self.deadlines.insert((at, key));
        }
    }
}
