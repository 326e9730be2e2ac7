//! Requests that are too large for a datagram leave over TCP (RFC 3261 §18.1.1).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use sip_core::flow::{Flow, Transport};
use tokio::time::Instant;

use super::Wire;

/// "within 200 bytes of the path MTU, or … larger than 1300 bytes and the path MTU is unknown".
const MAX_REQUEST_BYTES: usize = 1_300;
/// So long an address that refused TCP gets its large requests over UDP at once.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Addresses remembered.
const MAX_REFUSED: usize = 1_024;

/// Who does not take TCP.
#[derive(Default)]
pub(super) struct Large {
    refused: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Large {
    fn refused(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes_tcp(&self, remote: SocketAddr) -> bool {
        let refused = self.refused();
        let at = refused.get(&remote);
        at.is_none_or(|at| at.elapsed() > REFUSED_FOR)
    }

    fn note_refusal(&self, remote: SocketAddr) {
        let mut refused = self.refused();
        refused.retain(|_, at| at.elapsed() <= REFUSED_FOR);
        if refused.len() < MAX_REFUSED {
            refused.insert(remote, Instant::now());
        }
    }
}

/// Whether these bytes should not go as a datagram.
pub(super) fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > MAX_REQUEST_BYTES && !bytes.starts_with(b"SIP/2.0 ")
}

/// Sends a large request over TCP, and as it was when the far side does not take TCP.
pub(super) fn send(wire: &Arc<Wire>, flow: Flow, bytes: Bytes) {
    let over_tcp = rewritten(&bytes).filter(|_| wire.large.takes_tcp(flow.remote));
    let Some(over_tcp) = over_tcp else {
        return wire.send_datagram(&flow, &bytes);
    };
    let wire = wire.clone();
    tokio::spawn(async move {
        let way = wire.way(Transport::Tcp, flow.remote, "").await;
        let sent = way.and_then(|way| wire.streams.send(way.connection, over_tcp));
        if sent.is_err() {
            wire.large.note_refusal(flow.remote);
            wire.send_datagram(&flow, &bytes);
        }
    });
}

/// The top Via says what it really goes over.
fn rewritten(bytes: &Bytes) -> Option<Bytes> {
    const UDP: &[u8] = b"SIP/2.0/UDP";
    let at = bytes.windows(UDP.len()).position(|part| part == UDP)?;
    let mut out = bytes.to_vec();
    out.get_mut(at..at + UDP.len())?
        .copy_from_slice(b"SIP/2.0/TCP");
    Some(out.into())
}
