//! A profile's sockets. They outlive the Listener actor: when that dies its successor finds the
//! same sockets, and dialogs go on sending meanwhile.
//!
//! Framing, keep-alives and the inbox bound happen here, on the socket tasks, before any mailbox.

mod tcp;
mod udp;

pub(crate) use udp::roomy;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use ractor::ActorRef;
use sip_core::flow::{Flow, Transport};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle};

use crate::{
    clock::Clock,
    gate::{Gate, Verdict, Why},
    listener,
};

/// Messages that may wait in a listener's mailbox; beyond that they are dropped and counted, and
/// SIP's own retransmission brings them back.
const INBOX_BOUND: usize = 8_192;

/// Why a message could not be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The stream connection is closed.
    #[error("the connection is closed")]
    Gone,
    /// The socket's queue is full.
    #[error("the send queue is full")]
    Full,
    /// No socket of this profile fits.
    #[error("no socket of this profile can send there")]
    NoSocket,
}

/// What could not be opened, for `failed(reason)`.
#[derive(Debug, thiserror::Error)]
#[error("{transport} {addr}: {source}")]
pub struct OpenError {
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// Where.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// The sockets of one profile.
pub struct Wire {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    streams: Mutex<HashMap<u64, mpsc::Sender<Bytes>>>,
    next_connection: AtomicU64,
    inbox: ArcSwapOption<ActorRef<listener::Msg>>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    gate: Arc<Gate>,
    clock: Clock,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Wire {
    /// Binds every address of `listen` and starts its tasks.
    ///
    /// # Errors
    /// The first address that cannot be bound; nothing stays open then.
    pub async fn open(
        listen: &[(Transport, SocketAddr)],
        gate: Arc<Gate>,
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        let mut udp = Vec::new();
        let mut tcp = Vec::new();
        for (transport, addr) in listen {
            match transport {
                Transport::Udp => udp.push(udp::bind(*addr)?),
                Transport::Tcp => tcp.push(tcp::bind(*addr).await?),
            }
        }
        let wire = Arc::new(Self::with(udp, gate, clock));
        for (local, socket) in wire.udp.clone() {
            wire.keep(tokio::spawn(udp::receive(wire.clone(), local, socket)));
        }
        for (local, listener) in tcp {
            wire.keep(tokio::spawn(tcp::accept(wire.clone(), local, listener)));
        }
        Ok(wire)
    }

    fn with(udp: Vec<(SocketAddr, Arc<UdpSocket>)>, gate: Arc<Gate>, clock: Clock) -> Self {
        Self {
            udp,
            streams: Mutex::default(),
            next_connection: AtomicU64::new(1),
            inbox: ArcSwapOption::empty(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            gate,
            clock,
            tasks: Mutex::default(),
        }
    }

    fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// From now on, what arrives goes to `listener`.
    pub fn attach(&self, listener: ActorRef<listener::Msg>) {
        self.waiting.store(0, Ordering::Relaxed);
        self.inbox.store(Some(Arc::new(listener)));
    }

    /// The listener took one message out of its mailbox.
    pub fn taken(&self) {
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }

    /// Messages dropped because nobody could take them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Stream connections open now.
    pub fn connections(&self) -> usize {
        self.streams().len()
    }

    /// The profile's gate.
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether the gate lets a packet through to the parser.
    fn lets_in(&self, source: IpAddr, bytes: &[u8]) -> bool {
        self.gate.judge(self.clock.now(), source, bytes) == Verdict::Pass
    }

    /// We are in a dialog with this address: its packets do not queue with strangers'.
    pub fn acquaint(&self, peer: IpAddr) {
        self.gate.acquaint(self.clock.now(), peer);
    }

    /// A source did what it may not.
    pub fn offended(&self, source: IpAddr, why: Why) {
        self.gate.offend(self.clock.now(), source, why);
    }

    /// Hands an arrived message to the listener, or drops it when too many wait.
    fn deliver(&self, msg: listener::Msg) {
        let inbox = self.inbox.load();
        let room = self.waiting.load(Ordering::Relaxed) < INBOX_BOUND;
        match inbox.as_ref() {
            Some(listener) if room && listener.cast(msg).is_ok() => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Puts `bytes` on the wire without waiting.
    ///
    /// # Errors
    /// [`WireError`]; on UDP only when no socket fits (a full socket buffer counts as loss).
    pub fn send(&self, flow: &Flow, bytes: Bytes) -> Result<(), WireError> {
        match flow.transport {
            Transport::Udp => self.send_udp(flow, &bytes),
            Transport::Tcp => self.send_stream(flow.connection, bytes),
        }
    }

    fn send_udp(&self, flow: &Flow, bytes: &[u8]) -> Result<(), WireError> {
        let socket = self.udp_socket(flow).ok_or(WireError::NoSocket)?;
        if socket.try_send_to(bytes, flow.remote).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn udp_socket(&self, flow: &Flow) -> Option<&Arc<UdpSocket>> {
        let exact = self.udp.iter().find(|(local, _)| *local == flow.local);
        let family = || {
            let same = |(local, _): &&(SocketAddr, _)| local.is_ipv4() == flow.remote.is_ipv4();
            self.udp.iter().find(same)
        };
        exact.or_else(family).map(|(_, socket)| socket)
    }

    fn send_stream(&self, connection: u64, bytes: Bytes) -> Result<(), WireError> {
        let sender = self.streams().get(&connection).cloned();
        let sender = sender.ok_or(WireError::Gone)?;
        sender.try_send(bytes).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => WireError::Full,
            mpsc::error::TrySendError::Closed(_) => WireError::Gone,
        })
    }

    /// A flow to `remote`: over UDP at once, over TCP by connecting.
    ///
    /// # Errors
    /// `NoSocket` without a UDP socket of that family, `Gone` when TCP cannot connect.
    pub async fn flow_to(
        self: &Arc<Self>,
        transport: Transport,
        remote: SocketAddr,
    ) -> Result<Flow, WireError> {
        match transport {
            Transport::Udp => self.udp_flow(remote),
            Transport::Tcp => tcp::connect(self, remote).await,
        }
    }

    fn udp_flow(&self, remote: SocketAddr) -> Result<Flow, WireError> {
        let found = self
            .udp
            .iter()
            .find(|(local, _)| local.is_ipv4() == remote.is_ipv4());
        let (local, _) = found.ok_or(WireError::NoSocket)?;
        Ok(Flow {
            transport: Transport::Udp,
            local: *local,
            remote,
            connection: 0,
        })
    }

    /// Closes a stream after what is queued has been written.
    pub fn close_stream(&self, connection: u64) {
        self.streams().remove(&connection);
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Bytes>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every socket.
    pub fn close(&self) {
        self.inbox.store(None);
        self.streams().clear();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.drain(..) {
            task.abort();
        }
    }
}
