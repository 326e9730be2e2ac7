//! A profile's sockets. They outlive the Listener actor: when that dies its successor finds the
//! same sockets, and dialogs go on sending meanwhile.
//!
//! Framing, keep-alives and the inbox bound happen here, on the socket tasks, before any mailbox.

mod connection;
mod large;
mod sockets;
mod streams;
mod tcp;
pub(crate) mod tls;
mod udp;
mod websocket;

pub use tls::{Tls, TlsFault};
pub(crate) use udp::roomy;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use ractor::ActorRef;
use sip_core::{
    flow::{Flow, Transport},
    locate::{Ability, Target, Wanted},
};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::{
    clock::Clock,
    gate::{Gate, Verdict, Why},
    listener,
    next_hop::NextHop,
    tap::{Tap, Way},
};
use connection::End;
use sockets::Sockets;
use streams::{Peer, Streams};

/// Messages that may wait in a listener's mailbox; beyond that datagrams are dropped and counted
/// (SIP's own retransmission brings them back), and connections are not read from.
const INBOX_BOUND: usize = 8_192;
/// How often a connection looks whether there is room again.
const FULL_PAUSE: Duration = Duration::from_millis(2);

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
    /// TLS or the WebSocket upgrade did not come about: certificate, name, version, subprotocol.
    #[error("the handshake failed")]
    Handshake,
}

/// What could not be opened, for `failed(reason)`.
#[derive(Debug, thiserror::Error)]
#[error("{} {addr}: {source}", transport.via_name().to_ascii_lowercase())]
pub struct OpenError {
    /// The transport.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// What the sockets of a profile need beside their addresses.
pub struct Options {
    /// Certificates.
    pub tls: Tls,
    /// Bounds of the connections.
    pub limits: settings::Streams,
    /// Finds the places of requests.
    pub next_hop: Arc<NextHop>,
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// Who looks at messages.
    pub tap: Arc<Tap>,
    /// The clock.
    pub clock: Clock,
}

/// Connections counted by what became of them.
#[derive(Debug, Default)]
struct Counts {
    refused: AtomicU64,
    idle: AtomicU64,
    slow: AtomicU64,
    not_sip: AtomicU64,
    dead: AtomicU64,
}

/// The sockets of one profile.
pub struct Wire {
    sockets: Sockets,
    streams: Streams,
    large: large::Large,
    tls: ArcSwap<Tls>,
    limits: ArcSwap<settings::Streams>,
    next_hop: Arc<NextHop>,
    counts: Counts,
    next_connection: AtomicU64,
    inbox: ArcSwapOption<ActorRef<listener::Msg>>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    gate: Arc<Gate>,
    tap: Arc<Tap>,
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
        options: Options,
    ) -> Result<Arc<Self>, OpenError> {
        let wire = Arc::new(Self {
            sockets: Sockets::default(),
            streams: Streams::default(),
            large: large::Large::default(),
            tls: ArcSwap::from_pointee(options.tls),
            limits: ArcSwap::from_pointee(options.limits),
            next_hop: options.next_hop,
            counts: Counts::default(),
            next_connection: AtomicU64::new(1),
            inbox: ArcSwapOption::empty(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            gate: options.gate,
            tap: options.tap,
            clock: options.clock,
            tasks: Mutex::default(),
        });
        wire.relisten(listen).await?;
        Ok(wire)
    }

    /// Other certificates, for connections from now on.
    pub fn certify(&self, tls: Tls) {
        self.tls.store(Arc::new(tls));
    }

    /// Other bounds, for connections from now on.
    pub fn limit(&self, limits: settings::Streams) {
        self.limits.store(Arc::new(limits));
    }

    fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Ended ones go when their number has doubled, so that keeping many costs each little.
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
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
        self.streams.len()
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
        if let listener::Msg::Received { flow, bytes } = &msg {
            self.tap.see(Way::In, flow, bytes);
        }
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

    /// Hands an arrived message to the listener once there is room: nobody sends it again on a stream.
    async fn deliver_in_turn(&self, msg: listener::Msg) {
        while self.waiting.load(Ordering::Relaxed) >= INBOX_BOUND {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        self.deliver(msg);
    }

    /// Puts `bytes` on the wire without waiting; a request that is too large for a datagram goes over TCP.
    ///
    /// # Errors
    /// [`WireError`]; on UDP only when no socket fits (a full socket buffer counts as loss).
    pub fn send(self: &Arc<Self>, flow: &Flow, bytes: Bytes) -> Result<(), WireError> {
        self.tap.see(Way::Out, flow, &bytes);
        match flow.transport {
            Transport::Udp => {
                self.udp_socket(flow).ok_or(WireError::NoSocket)?;
                if large::is_large(&bytes) {
                    large::send(self, *flow, bytes);
                } else {
                    self.send_datagram(flow, &bytes);
                }
                Ok(())
            }
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                self.streams.send(flow.connection, bytes)
            }
        }
    }

    fn send_datagram(&self, flow: &Flow, bytes: &[u8]) {
        let sent = self
            .udp_socket(flow)
            .map(|socket| socket.try_send_to(bytes, flow.remote));
        if !matches!(sent, Some(Ok(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn udp_socket(&self, flow: &Flow) -> Option<Arc<UdpSocket>> {
        let udp = self.sockets.udp();
        let exact = udp.iter().find(|(local, _)| *local == flow.local);
        let family = || {
            let same = |(local, _): &&(SocketAddr, _)| local.is_ipv4() == flow.remote.is_ipv4();
            udp.iter().find(same)
        };
        exact.or_else(family).map(|(_, socket)| socket.clone())
    }

    /// Finds the places of requests.
    pub fn next_hop(&self) -> &Arc<NextHop> {
        &self.next_hop
    }

    /// What can be sent over: UDP where a UDP socket is, every stream transport (it needs none of our sockets), and the
    /// address families that we listen on, because the far side has to reach us.
    pub fn ability(&self) -> Ability {
        let mut transports = vec![
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Ws,
            Transport::Wss,
        ];
        if self.sockets.udp().is_empty() {
            transports.remove(0);
        }
        let listening = self.sockets.listening();
        let family = |v4: bool| listening.iter().any(|at| at.is_ipv4() == v4);
        Ability {
            transports,
            v4: family(true),
            v6: family(false),
        }
    }

    /// A flow to `target`: over UDP at once, over a connection that is open (RFC 5923), else by connecting.
    /// `server_name` is what its certificate must show when that is not the host that was looked for.
    ///
    /// # Errors
    /// `NoSocket` without a UDP socket of that family, `Gone` when nobody takes the connection, `Handshake`.
    pub async fn flow_to(
        self: &Arc<Self>,
        target: &Target,
        server_name: Option<&str>,
    ) -> Result<Flow, WireError> {
        if target.transport == Transport::Udp {
            return self.udp_flow(target.remote);
        }
        let host = target.name.to_string();
        let name = match server_name {
            Some(name) => name,
            None if target.transport.is_secure() => &host,
            None => "",
        };
        self.way(target.transport, target.remote, name).await
    }

    async fn way(
        self: &Arc<Self>,
        transport: Transport,
        remote: SocketAddr,
        name: &str,
    ) -> Result<Flow, WireError> {
        let peer = Peer { transport, remote };
        match self.streams.way(&peer, name) {
            Some(flow) => Ok(flow),
            None => tcp::connect(self, transport, remote, name).await,
        }
    }

    /// A connection in place of one that is gone: to where it led when we opened it, else to `wanted`, where the far side
    /// said that it can be reached.
    ///
    /// # Errors
    /// As [`Self::flow_to`]; `Gone` when there is nothing to connect to.
    pub async fn reopen(
        self: &Arc<Self>,
        old: Flow,
        wanted: Option<Wanted>,
    ) -> Result<Flow, WireError> {
        let peer = Peer {
            transport: old.transport,
            remote: old.remote,
        };
        if let Some(name) = self.streams.name(&peer) {
            return self.way(old.transport, old.remote, &name).await;
        }
        let wanted = wanted.ok_or(WireError::Gone)?;
        let wanted = wanted.over(Some(old.transport));
        let found = self.next_hop.find(wanted, &self.ability()).await;
        for target in found.map_err(|_| WireError::Gone)? {
            if let Ok(flow) = self.flow_to(&target, None).await {
                return Ok(flow);
            }
        }
        Err(WireError::Gone)
    }

    /// RFC 5923: the far side of this connection takes our requests over it, as if we had opened it to `port`. Over TLS
    /// only from who has shown a certificate.
    pub fn alias(&self, flow: &Flow, port: u16) {
        if !flow.transport.is_secure() || self.tls.load().knows_clients() {
            let remote = SocketAddr::new(flow.remote.ip(), port);
            self.streams.alias(flow.connection, remote);
        }
    }

    fn udp_flow(&self, remote: SocketAddr) -> Result<Flow, WireError> {
        let udp = self.sockets.udp();
        let found = udp
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

    fn new_flow(&self, transport: Transport, local: SocketAddr, remote: SocketAddr) -> Flow {
        Flow {
            transport,
            local,
            remote,
            connection: self.next_connection.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The address that connections to `remote` come from: where we listen, when that is one public address.
    fn source_for(&self, remote: SocketAddr) -> Option<IpAddr> {
        let here = self.sockets.listening().into_iter().map(|local| local.ip());
        let mut fitting = here.filter(|ip| {
            ip.is_ipv4() == remote.is_ipv4() && !ip.is_unspecified() && !ip.is_loopback()
        });
        fitting.next()
    }

    fn count_end(&self, end: End) {
        let counts = &self.counts;
        let counter = match end {
            End::Closed => return,
            End::Idle => &counts.idle,
            End::Slow => &counts.slow,
            End::NotSip => &counts.not_sip,
            End::Dead => &counts.dead,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn count_refused(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections open now, and how many ended why, for `/metrics`.
    pub fn stream_numbers(&self) -> Vec<(&'static str, u64)> {
        let counts = &self.counts;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("open", self.streams.len() as u64),
            ("refused", of(&counts.refused)),
            ("idle", of(&counts.idle)),
            ("slow", of(&counts.slow)),
            ("not_sip", of(&counts.not_sip)),
            ("dead", of(&counts.dead)),
        ]
    }

    /// Closes a stream after what is queued has been written.
    pub fn close_stream(&self, connection: u64) {
        self.streams.remove(connection);
    }

    /// Closes every socket.
    pub fn close(&self) {
        self.inbox.store(None);
        self.streams.clear();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.drain(..) {
            task.abort();
        }
        drop(tasks);
        self.drop_sockets();
    }
}
