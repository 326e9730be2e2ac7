//! RTCP on ports of its own: one thread waits for all of them, notes when each datagram came, and lays it into its leg's ring.
//!
//! Reports come every five seconds. A media thread that looked for them would spend a system call per leg and tick on nothing;
//! one that looked rarely would tell round trips that are longer than they are. So it does not look: its ring is memory.

use super::MediaError;
use super::meters::{Meters, count};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Compounds that may wait for a leg's next tick.
pub(super) const RTCP_RING: usize = 4;
/// Largest compound taken, sealed and all: reports, a description of the source, BYE.
const MAX_COMPOUND: usize = 512;
/// Datagrams read of one port in one go; the next one that comes wakes us for the rest.
const MAX_READS: usize = RTCP_RING;
/// Ports served in one go.
const MAX_EVENTS: usize = 256;
/// The token that ends the thread; ports count from the one after.
const STOP: Token = Token(0);

/// A datagram, and when it came by the media's clock.
pub(super) struct Compound {
    pub(super) at: std::time::Duration,
    pub(super) from: SocketAddr,
    bytes: [u8; MAX_COMPOUND],
    len: usize,
}

impl Compound {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// A leg's ends: what came, and the socket to answer from.
pub(super) struct RtcpEnds {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) came: Consumer<Compound>,
}

/// One served port; dropping it ends the service.
pub(super) struct Served {
    token: Token,
    desk: Arc<Desk>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.desk.ports().remove(&self.token);
    }
}

struct Port {
    socket: Arc<UdpSocket>,
    ring: Producer<Compound>,
}

/// All ports, and the thread that waits for them.
pub(super) struct Desk {
    registry: Registry,
    waker: Waker,
    stops: AtomicBool,
    next: AtomicUsize,
    ports: Mutex<HashMap<Token, Port>>,
    meters: Arc<Meters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Desk {
    pub(super) fn start(epoch: Instant, meters: &Arc<Meters>) -> Result<Arc<Self>, MediaError> {
        let poll = Poll::new().map_err(MediaError::Thread)?;
        let registry = poll.registry().try_clone().map_err(MediaError::Thread)?;
        let waker = Waker::new(poll.registry(), STOP).map_err(MediaError::Thread)?;
        let desk = Arc::new(Self {
            registry,
            waker,
            stops: AtomicBool::new(false),
            next: AtomicUsize::new(STOP.0 + 1),
            ports: Mutex::default(),
            meters: Arc::clone(meters),
            thread: Mutex::default(),
        });
        let its = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("rtcp".into());
        let thread = thread.spawn(move || its.run(poll, epoch));
        let thread = thread.map_err(MediaError::Thread)?;
        *lock(&desk.thread) = Some(thread);
        Ok(desk)
    }

    /// Serves a port from now on.
    pub(super) fn serve(
        self: &Arc<Self>,
        socket: std::net::UdpSocket,
    ) -> std::io::Result<(Served, RtcpEnds)> {
        socket.set_nonblocking(true)?;
        let mut socket = UdpSocket::from_std(socket);
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        // Known before it is watched: the first datagram finds its ring.
        let mut ports = self.ports();
        self.registry
            .register(&mut socket, token, Interest::READABLE)?;
        let socket = Arc::new(socket);
        let (ring, came) = RingBuffer::new(RTCP_RING);
        let port = Port {
            socket: Arc::clone(&socket),
            ring,
        };
        ports.insert(token, port);
        drop(ports);
        let desk = Arc::clone(self);
        Ok((Served { token, desk }, RtcpEnds { socket, came }))
    }

    pub(super) fn shutdown(&self) {
        self.stops.store(true, Ordering::Release);
        let woken = self.waker.wake();
        if let Some(thread) = lock(&self.thread).take()
            && woken.is_ok()
        {
            let _ = thread.join();
        }
    }

    fn run(&self, mut poll: Poll, epoch: Instant) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while !self.stops.load(Ordering::Acquire) {
            match poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return tracing::error!(%error, "RTCP is not read any more"),
            }
            for event in &events {
                self.read(event.token(), epoch);
            }
        }
    }

    fn read(&self, token: Token, epoch: Instant) {
        let mut ports = self.ports();
        let Some(port) = ports.get_mut(&token) else {
            return;
        };
        for _ in 0..MAX_READS {
            let mut bytes = [0; MAX_COMPOUND];
            let Ok((len, from)) = port.socket.recv_from(&mut bytes) else {
                return;
            };
            let compound = Compound {
                at: epoch.elapsed(),
                from,
                bytes,
                len,
            };
            if port.ring.push(compound).is_err() {
                count(&self.meters.rtcp_drops);
            }
        }
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<Token, Port>> {
        lock(&self.ports)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
