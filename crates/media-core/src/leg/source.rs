//! Symmetric RTP with a lock: media is taken from, and sent to, one address (RFC 4961; RFC 7362 on latching).

use std::net::SocketAddr;
use std::time::Duration;

/// Another source may take over once the present one was silent for this long.
pub const TAKEOVER: Duration = Duration::from_secs(2);

/// What the lock says of a packet's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The source as before.
    Same,
    /// The first source of this leg.
    First,
    /// Another one has taken over.
    Changed {
        /// The one before.
        from: SocketAddr,
    },
    /// Not the leg's source.
    Refused,
}

#[derive(Debug, Clone, Copy)]
enum Lock {
    /// Nothing ever came.
    Open,
    Locked {
        source: SocketAddr,
        last_heard: Duration,
    },
    /// Re-negotiated: the next valid packet decides.
    Released { source: SocketAddr },
}

/// Locks to the first valid source; changes only after re-negotiation or two seconds of silence.
#[derive(Debug, Clone)]
pub struct SourceLock {
    signalled: Option<SocketAddr>,
    /// Ours goes to where media comes from.
    symmetric: bool,
    lock: Lock,
    refused: u64,
}

impl SourceLock {
    /// A lock that sends to the signalled address until somebody speaks.
    pub const fn new(signalled: Option<SocketAddr>) -> Self {
        Self {
            signalled,
            symmetric: true,
            lock: Lock::Open,
            refused: 0,
        }
    }

    /// Sends to the signalled address whoever speaks: for a far side that listens elsewhere than it sends from.
    pub const fn send_as_signalled(&mut self) {
        self.symmetric = false;
    }

    /// Judges the sender of a packet that is valid otherwise.
    pub fn admit(&mut self, now: Duration, from: SocketAddr) -> Admission {
        let admission = match self.lock {
            Lock::Open => Admission::First,
            Lock::Locked { source, .. } | Lock::Released { source } if source == from => {
                Admission::Same
            }
            Lock::Released { source } => Admission::Changed { from: source },
            Lock::Locked { source, last_heard } if now.saturating_sub(last_heard) >= TAKEOVER => {
                Admission::Changed { from: source }
            }
            Lock::Locked { .. } => Admission::Refused,
        };
        if admission == Admission::Refused {
            self.refused += 1;
        } else {
            self.lock = Lock::Locked {
                source: from,
                last_heard: now,
            };
        }
        admission
    }

    /// Where our packets go.
    pub const fn target(&self) -> Option<SocketAddr> {
        match self.lock {
            Lock::Locked { source, .. } if self.symmetric => Some(source),
            Lock::Locked { .. } | Lock::Open | Lock::Released { .. } => self.signalled,
        }
    }

    /// Whether media comes from here.
    pub fn is_locked_to(&self, from: SocketAddr) -> bool {
        matches!(self.lock, Lock::Locked { source, .. } if source == from)
    }

    /// Offer/answer named an address anew. The same one as before changes nothing.
    pub fn renegotiate(&mut self, signalled: Option<SocketAddr>) {
        if signalled == self.signalled {
            return;
        }
        self.signalled = signalled;
        if let Lock::Locked { source, .. } = self.lock {
            self.lock = Lock::Released { source };
        }
    }

    /// Whether signalling named this address.
    pub fn is_signalled(&self, from: SocketAddr) -> bool {
        self.signalled == Some(from)
    }

    /// Where media comes from now.
    pub const fn source(&self) -> Option<SocketAddr> {
        match self.lock {
            Lock::Locked { source, .. } => Some(source),
            Lock::Open | Lock::Released { .. } => None,
        }
    }

    /// Packets refused so far.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}
