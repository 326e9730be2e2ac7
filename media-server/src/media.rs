//! The media runtime: std threads that hold every leg's 20 ms, apart from the actors and from tokio.
//!
//! Each media thread has one ticker with 20 slots of 1 ms; a leg keeps its slot, and few
//! legs share those 5 ms apart (`slots.rs`). A tick is one straight
//! call chain: socket → jitter → recogniser ring, and voice ring → playout → encode → socket. Where clocks meet (agent,
//! recogniser, recorder) there are bounded rings with drop counters; sound never enters a mailbox.
//!
//! A leg runs in `catch_unwind`: a panic evicts that leg alone. Its [`LegSeat`] – socket, port, SSRC, sequence, timestamp,
//! rings, recording – survives, and a new machine is put on it with the very rings the actors already hold.
//!
//! | bounded queue | bound | when full |
//! |---|---|---|
//! | commands → leg | [`COMMAND_RING`] orders | the sender gets an error |
//! | voice → playout | [`VOICE_RING_MS`] ms | the sender keeps the rest |
//! | leg → recogniser | [`EAR_RING_MS`] ms | the newest frame is dropped, counted |
//! | leg → events | [`EVENT_RING`] events, 8 of them reserved | they wait in the leg, then are counted |
//! | leg → recorder | [`RECORDER_RING_MS`] ms | silence takes the place of what was dropped, counted |
//! | RTCP port → leg | 4 compounds | the newest is dropped, counted |
//! | leg → peer leg or room, and back | [`BRIDGE_RING`] frames | the oldest are skipped |

mod effort;
pub(crate) mod lateness;
mod meters;
mod panics;
mod ports;
mod recorder;
mod rings;
mod rooms;
mod rtcp;
mod seat;
mod seated;
mod shared;
mod slots;
mod ticker;

pub use lateness::Lateness;
pub use meters::MediaStats;
pub use ports::PortNumbers;
pub use recorder::{Mute, RecordingReport, RecordingSpec, mend};
pub use rings::{
    EarReceiver, LegControl, LegEvents, LegRings, RingFull, RtcpPort, SeatEvent, VoiceSender,
};
pub use seat::{LegSeat, SeatOptions, WireSeed};

use meters::Meters;
use ports::PortPool;
use recorder::RecorderPool;
use rooms::RoomPool;
use rtcp::Desk;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ticker::TickerPool;

/// Orders that may wait for a leg's next tick.
pub const COMMAND_RING: usize = 64;
/// Speech that may wait in the ring before the playout.
pub const VOICE_RING_MS: u64 = 1_000;
/// Recogniser frames that may wait.
pub const EAR_RING_MS: u64 = 640;
/// Events that may wait.
pub const EVENT_RING: usize = 128;
/// Recording that may wait for the disk.
pub const RECORDER_RING_MS: u64 = 2_000;
/// Frames between two bridged legs, or a leg and its room.
pub const BRIDGE_RING: usize = 5;

/// Ports tried before a lease is given up because others hold them.
const BIND_ATTEMPTS: usize = 64;

/// How the runtime is laid out.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Media threads; one carries about a thousand G.711 calls.
    pub threads: usize,
    /// Address that legs bind to unless they name one.
    pub bind_ip: IpAddr,
    /// RTP ports; the even ones are used.
    pub ports: RangeInclusive<u16>,
    /// Threads that write recordings.
    pub recorder_threads: usize,
}

impl Default for MediaConfig {
    /// One thread of each kind, 127.0.0.1, ports 16384–32767.
    fn default() -> Self {
        let bind_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            threads: 1,
            bind_ip,
            ports: 16_384..=32_767,
            recorder_threads: 1,
        }
    }
}

/// Why the media runtime refuses.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// All RTP ports are in use or rest; the caller gets 503.
    #[error("no RTP port is free ({leased} in use, {resting} resting)")]
    PortsExhausted {
        /// In use.
        leased: usize,
        /// Used shortly before.
        resting: usize,
    },
    /// The address cannot be bound at all.
    #[error("cannot bind an RTP socket on {ip}: {source}")]
    Bind {
        /// The address.
        ip: IpAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a media thread: {0}")]
    Thread(std::io::Error),
    /// The recording's file cannot be made.
    #[error("cannot record to {path}: {source}")]
    Recording {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The seat is taken, or was never evicted.
    #[error("the leg is {0}")]
    Seat(&'static str),
    /// The agreed SRTP keys cannot be used.
    #[error(transparent)]
    Protection(#[from] media_core::Error),
    /// The runtime is shutting down.
    #[error("the media threads are stopping")]
    Stopping,
    /// The command ring is full: the media thread has stood still.
    #[error(transparent)]
    RingFull(#[from] RingFull),
}

/// The runtime; cheap to clone, one per process.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    config: MediaConfig,
    epoch: Instant,
    /// The wall clock at the epoch, 32.32 fixed point (RFC 3550 §4).
    ntp_at_epoch: u64,
    ports: Arc<Mutex<PortPool>>,
    meters: Arc<Meters>,
    tickers: TickerPool,
    rtcp: Arc<Desk>,
    rooms: Arc<RoomPool>,
    recorders: Arc<RecorderPool>,
}

impl Media {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`MediaError::Thread`] when the system refuses one.
    pub fn start(config: MediaConfig) -> Result<Self, MediaError> {
        panics::install();
        let epoch = Instant::now();
        let meters = Arc::new(Meters::new(config.threads.max(1)));
        let tickers = TickerPool::start(epoch, &meters)?;
        let rtcp = Desk::start(epoch, &meters)?;
        let rooms = Arc::new(RoomPool::start(epoch, &meters)?);
        let recorders = Arc::new(RecorderPool::start(
            config.recorder_threads.max(1),
            &meters,
        )?);
        let ports = Arc::new(Mutex::new(PortPool::new(&config.ports)));
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                epoch,
                ntp_at_epoch: ntp_of(crate::clock::unix_ms()),
                ports,
                meters,
                tickers,
                rtcp,
                rooms,
                recorders,
            }),
        })
    }

    /// Monotonic time since the start: the clock of all media.
    pub fn now(&self) -> Duration {
        self.inner.epoch.elapsed()
    }

    /// The wall clock as it was at the epoch: from there on RTCP counts by the media's own.
    fn ntp_at_epoch(&self) -> u64 {
        self.inner.ntp_at_epoch
    }

    /// A socket on an even port, and one on the next for RTCP, for one leg of one call. Nothing is sent or read before it is launched.
    ///
    /// # Errors
    /// [`MediaError::PortsExhausted`], or [`MediaError::Bind`] when the address itself is wrong.
    pub fn seat(&self, ip: Option<IpAddr>, wire: WireSeed) -> Result<LegSeat, MediaError> {
        self.seat_among(&self.inner.config.ports, ip, wire)
    }

    /// The same on a port of this range.
    ///
    /// # Errors
    /// As [`Self::seat`].
    pub fn seat_among(
        &self,
        ports: &RangeInclusive<u16>,
        ip: Option<IpAddr>,
        wire: WireSeed,
    ) -> Result<LegSeat, MediaError> {
        let ip = ip.unwrap_or(self.inner.config.bind_ip);
        let (sockets, lease) = self.bind(ip, ports)?;
        LegSeat::new(self.clone(), sockets, lease, wire)
            .map_err(|source| MediaError::Bind { ip, source })
    }

    /// Figures for metrics.
    pub fn stats(&self) -> MediaStats {
        let now = self.now();
        let ports = self
            .inner
            .ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .numbers(now);
        self.inner.meters.stats(ports)
    }

    /// Stops the media threads, then the recorders once every file is closed. Blocks for at most a few hundred ms.
    pub fn shutdown(&self) {
        self.inner.tickers.shutdown();
        self.inner.rtcp.shutdown();
        self.inner.rooms.shutdown();
        self.inner.recorders.shutdown();
    }

    fn bind(
        &self,
        ip: IpAddr,
        ports: &RangeInclusive<u16>,
    ) -> Result<((UdpSocket, UdpSocket), ports::PortLease), MediaError> {
        let mut refused = None;
        for _ in 0..BIND_ATTEMPTS {
            let lease = ports::lease(&self.inner.ports, self.inner.epoch, ports)?;
            match bind_pair(SocketAddr::new(ip, lease.port())) {
                Ok(sockets) => return Ok((sockets, lease)),
                // Somebody else has one of them: the lease goes back to rest, the next pair is tried.
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    refused = Some(error)
                }
                Err(source) => return Err(MediaError::Bind { ip, source }),
            }
        }
        let source = refused.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
        Err(MediaError::Bind { ip, source })
    }
}

/// RTP here, RTCP on the next port.
fn bind_pair(rtp: SocketAddr) -> std::io::Result<(UdpSocket, UdpSocket)> {
    Ok((
        UdpSocket::bind(rtp)?,
        UdpSocket::bind(seat::rtcp_addr(rtp))?,
    ))
}

/// Seconds from 1900, when NTP begins, to 1970.
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// Milliseconds of the wall clock as NTP has them, 32.32 fixed point.
const fn ntp_of(unix_ms: i64) -> u64 {
    let seconds = unix_ms / 1_000 + NTP_TO_UNIX_SECONDS;
    let fraction = (unix_ms % 1_000).unsigned_abs() * (1 << 32) / 1_000;
    (seconds as u64) << 32 | fraction
}

/// The wall clock so much later.
fn ntp_after(ntp: u64, passed: Duration) -> u64 {
    let fraction = u64::from(passed.subsec_nanos()) * (1 << 32) / 1_000_000_000;
    ntp.wrapping_add(passed.as_secs() << 32 | fraction)
}
