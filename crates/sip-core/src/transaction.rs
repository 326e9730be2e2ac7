//! The four transaction machines of RFC 3261 §17 with the Accepted state of RFC 6026.
//!
//! Each owns its timers (A–M), sends and re-sends by itself and tells its user the little that matters. None knows
//! sockets or dialogs. Over reliable transports the timers that guard against loss are zero.
//! Every machine ends: at the latest 64·T1 after its last own step (the INVITE machines wait for a human in between).

mod client;
mod invite_client;
mod invite_server;
mod key;
mod server;

pub use client::ClientTransaction;
pub use invite_client::InviteClient;
pub(crate) use invite_client::{again_of, cancel_of};
pub use invite_server::InviteServer;
pub use key::TransactionKey;
pub use server::ServerTransaction;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

/// What a server transaction is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerInput {
    /// The same request again.
    Retransmission,
    /// An ACK with this transaction's branch (INVITE only).
    Ack,
    /// Send this response.
    Respond {
        /// Its status.
        status: u16,
        /// Its wire form.
        bytes: Bytes,
    },
    /// The transport could not send.
    TransportFailed,
}

/// What a server transaction wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEffect {
    /// Put these bytes on the wire.
    Send(Bytes),
    /// A non-2xx final response was not acknowledged within 64·T1 (timer H).
    AckTimeout,
    /// The transaction is over.
    Terminated,
}

/// What a client transaction is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// A response with this transaction's branch and method.
    Response {
        /// Its status.
        status: u16,
        /// Its To value, for the ACK of a non-2xx (INVITE only).
        to: Bytes,
    },
    /// The transport could not send.
    TransportFailed,
}

/// What a client transaction wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Put these bytes on the wire.
    Send(Bytes),
    /// The response just handed in is news for the user (not a retransmission that the machine absorbed).
    PassUp,
    /// No response within 64·T1 (timers B, F).
    TimedOut,
    /// The transport failed before a final response.
    TransportFailed,
    /// The transaction is over.
    Terminated,
}

/// A timer that doubles: A, E and G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubling {
    next: Duration,
    interval: Duration,
}

impl Doubling {
    pub(crate) fn start(now: Duration, interval: Duration) -> Self {
        Self {
            next: now + interval,
            interval,
        }
    }

    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// Whether it is due; if so it is armed again from now, at `interval(previous)`.
    pub(crate) fn fire(&mut self, now: Duration, interval: impl Fn(Duration) -> Duration) -> bool {
        if now < self.next {
            return false;
        }
        self.interval = interval(self.interval);
        self.next = now + self.interval;
        true
    }
}

type Effects<E> = VecDeque<E>;
