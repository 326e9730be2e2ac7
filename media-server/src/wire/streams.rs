//! The connections of a profile: who they lead to, and what each may cost.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use sip_core::flow::{Flow, Transport};
use tokio::sync::mpsc;

use super::WireError;

/// Messages that may wait to be written on one connection.
pub(super) const WRITE_QUEUE: usize = 256;
/// Names of servers remembered for connections that are gone.
const MAX_NAMES: usize = 10_000;

/// The far end of a connection, as a request looks for it (RFC 5923 §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
}

/// See the module.
#[derive(Default)]
pub(super) struct Streams {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<u64, Open>,
    /// What a request to this address goes over: opened by us, or an alias that the far side offered.
    ways: HashMap<Peer, u64>,
    /// Whose certificate our connections asked for: for opening them again.
    names: HashMap<Peer, String>,
    sources: HashMap<IpAddr, u32>,
}

struct Open {
    flow: Flow,
    queue: mpsc::Sender<Bytes>,
    name: Option<String>,
}

impl Streams {
    /// A seat for a connection that `source` opened, when there is room: `total` in all, `per_source` from there.
    pub(super) fn admit(&self, source: IpAddr, total: u32, per_source: u32) -> bool {
        let mut inner = self.lock();
        let all: u32 = inner.sources.values().sum();
        let count = inner.sources.entry(source).or_default();
        if all >= total || *count >= per_source {
            inner.sources.retain(|_, count| *count > 0);
            return false;
        }
        *count += 1;
        true
    }

    /// Gives the seat back.
    pub(super) fn leave(&self, source: IpAddr) {
        let mut inner = self.lock();
        if let Some(count) = inner.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inner.sources.remove(&source);
            }
        }
    }

    /// A connection is open. `ours` when we opened it, with the name its certificate was checked for.
    pub(super) fn enter(&self, flow: Flow, queue: mpsc::Sender<Bytes>, ours: Option<String>) {
        let mut inner = self.lock();
        let peer = Peer {
            transport: flow.transport,
            remote: flow.remote,
        };
        if let Some(name) = &ours {
            inner.ways.insert(peer.clone(), flow.connection);
            if inner.names.len() < MAX_NAMES {
                inner.names.insert(peer, name.clone());
            }
        }
        let open = Open {
            flow,
            queue,
            name: ours,
        };
        inner.open.insert(flow.connection, open);
    }

    /// RFC 5923 §8.1: requests to `remote` may go over this connection, which its owner opened to us.
    pub(super) fn alias(&self, connection: u64, remote: SocketAddr) {
        let mut inner = self.lock();
        if let Some(open) = inner.open.get(&connection) {
            let transport = open.flow.transport;
            inner.ways.insert(Peer { transport, remote }, connection);
        }
    }

    /// The connection to this address, if one is open and its certificate was checked for that name.
    pub(super) fn way(&self, peer: &Peer, name: &str) -> Option<Flow> {
        let inner = self.lock();
        let open = inner.open.get(inner.ways.get(peer)?)?;
        let fits = open.name.as_ref().is_none_or(|known| known == name);
        fits.then_some(open.flow)
    }

    /// The name asked for when this address was connected to before.
    pub(super) fn name(&self, peer: &Peer) -> Option<String> {
        self.lock().names.get(peer).cloned()
    }

    /// Queues bytes for a connection.
    pub(super) fn send(&self, connection: u64, bytes: Bytes) -> Result<(), WireError> {
        let queue = {
            let inner = self.lock();
            let open = inner.open.get(&connection);
            open.map(|open| open.queue.clone()).ok_or(WireError::Gone)?
        };
        queue.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WireError::Full,
            mpsc::error::TrySendError::Closed(_) => WireError::Gone,
        })
    }

    /// Nothing goes over this connection any more; what is queued still does.
    pub(super) fn remove(&self, connection: u64) {
        let mut inner = self.lock();
        if inner.open.remove(&connection).is_some() {
            inner.ways.retain(|_, way| *way != connection);
        }
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.open.clear();
        inner.ways.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
