//! The seat of a leg: what must outlive the machine. Owned by the Call; a Leg actor may come and go.

use super::ports::PortLease;
use super::recorder::RecordingSpec;
use super::rings::{self, LegRings, RtcpPort, ThreadEnds};
use super::rtcp::{RtcpEnds, Served};
use super::seated::Seated;
use super::shared::Shared;
use super::{Media, MediaError};
use media_core::codec::Tuning;
use media_core::leg::{Leg, LegConfig, LegStats, RtcpPath, Wire};
use media_core::playout::Position;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The random beginnings of our RTP stream (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireSeed {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub seq: u16,
    /// First timestamp.
    pub timestamp: u32,
}

impl WireSeed {
    /// From the system's random source; without one, from the clock (these values are no secrets).
    pub fn random() -> Self {
        let mut bytes = [0; 10];
        if getrandom::fill(&mut bytes).is_err() {
            let nanos = std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos());
            bytes.copy_from_slice(&nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[6..]);
        }
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Self {
            ssrc: u32::from_be_bytes([a, b, c, d]),
            // RFC 3711 §3.3.1: in the lower half, lest the first packets be lost across a wrap and the far side miscount.
            seq: u16::from_be_bytes([e, f]) & 0x7fff,
            timestamp: u32::from_be_bytes([g, h, i, j]),
        }
    }
}

/// How a leg is served.
#[derive(Debug, Default)]
pub struct SeatOptions {
    /// Wake the recogniser every so many frames; 0 and 1 mean each.
    pub ear_batch: usize,
    /// Record from the first tick on.
    pub recording: Option<RecordingSpec>,
    /// Ours goes to where signalling says, wherever RTP comes from.
    pub as_signalled: bool,
}

/// Socket, port, stream state and rings of one media leg.
pub struct LegSeat {
    media: Media,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    shared: Arc<Shared>,
    launched: bool,
    ear_batch: usize,
    as_signalled: bool,
    /// Bound with the RTP port, until it is known whether RTCP comes there.
    rtcp: Option<UdpSocket>,
    served: Option<Served>,
    lease: PortLease,
}

impl LegSeat {
    pub(super) fn new(
        media: Media,
        (socket, rtcp): (UdpSocket, UdpSocket),
        lease: PortLease,
        seed: WireSeed,
    ) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let WireSeed {
            ssrc,
            seq,
            timestamp,
        } = seed;
        let shared = Arc::new(Shared::new(Wire {
            ssrc,
            seq,
            timestamp,
            ..Wire::default()
        }));
        Ok(Self {
            media,
            socket: Arc::new(socket),
            local,
            shared,
            launched: false,
            ear_batch: 1,
            as_signalled: false,
            rtcp: Some(rtcp),
            served: None,
            lease,
        })
    }

    /// The address for SDP; RTCP is on the next port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Puts the machine into a media thread: the first packet leaves within 20 ms.
    ///
    /// # Errors
    /// [`MediaError::Seat`] when it was launched before; a recording that cannot be made; a runtime that stops.
    pub fn seat(
        &mut self,
        config: LegConfig,
        options: SeatOptions,
    ) -> Result<LegRings, MediaError> {
        if self.launched {
            return Err(MediaError::Seat("already launched"));
        }
        let rate = config.negotiated.codec.rate;
        let recorders = &self.media.inner.recorders;
        let open = |spec| recorders.open(spec, rate, Arc::clone(&self.shared));
        let tap = options.recording.map(open).transpose()?;
        self.ear_batch = options.ear_batch.max(1);
        self.as_signalled = options.as_signalled;
        let (held, mut ends) =
            rings::rings(rate, &self.shared, recorders, &self.media.inner.rooms, tap);
        ends.protect(config.negotiated.srtp.as_ref())?;
        ends.rtcp = self.serve_rtcp(config.negotiated.rtcp);
        self.put(config, ends, None)?;
        self.launched = true;
        Ok(held)
    }

    /// Offer/answer was done again: a port of its own for RTCP, if there is none and it comes with RTP no more.
    pub fn renegotiated(&mut self, path: RtcpPath) -> Option<RtcpPort> {
        match self.served {
            Some(_) => None,
            None => self.serve_rtcp(path).map(RtcpPort),
        }
    }

    /// RFC 3550 §11: RTCP that does not come with RTP is on the next port. One that nobody will use is closed.
    fn serve_rtcp(&mut self, path: RtcpPath) -> Option<RtcpEnds> {
        let bound = self.rtcp.take();
        match path {
            RtcpPath::Muxed => None,
            RtcpPath::Apart(_) => {
                let beside = || UdpSocket::bind(rtcp_addr(self.local)).ok();
                let socket = bound.or_else(beside)?;
                let (served, ends) = self.media.inner.rtcp.serve(socket).ok()?;
                self.served = Some(served);
                Some(ends)
            }
        }
    }

    /// Puts a new machine where one was evicted: same socket, same stream, same rings. Missed ticks are made good on the
    /// timestamp and in the recording; at most 40 ms of the utterance under way are lost.
    ///
    /// # Errors
    /// [`MediaError::Seat`] when nothing was evicted; a runtime that stops.
    pub fn relaunch(&mut self, config: LegConfig) -> Result<(), MediaError> {
        let mut ends = self
            .shared
            .returned()
            .take()
            .ok_or(MediaError::Seat("not evicted"))?;
        ends.protect(config.negotiated.srtp.as_ref())?;
        self.put(config, ends, self.shared.last_tick())
    }

    /// Whether the machine is gone and the seat waits for another.
    pub fn evicted(&self) -> bool {
        self.shared.returned().is_some()
    }

    /// The utterance last sent from and its samples sent; stored each tick, true after an eviction.
    pub fn position(&self) -> Position {
        self.shared.position.load()
    }

    /// Ticks of the call so far: its timeline in units of 20 ms.
    pub fn tick(&self) -> u64 {
        self.shared.tick()
    }

    /// Figures, at most 100 ms old.
    pub fn stats(&self) -> LegStats {
        self.shared.stats()
    }

    /// Ends the leg; the machine is gone within 20 ms, a recording is closed, waiting receivers end.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        (self.rtcp, self.served) = (None, None);
        let waiting = self.shared.returned().take();
        if waiting.is_some() || !self.launched {
            drop(waiting);
            self.shared.close();
        }
    }

    fn put(
        &self,
        config: LegConfig,
        ends: ThreadEnds,
        resumes_from: Option<Duration>,
    ) -> Result<(), MediaError> {
        let mut leg = Leg::new(config, self.shared.wire(), self.media.now());
        leg.shun(self.lease.formers());
        if self.as_signalled {
            leg.send_as_signalled();
        }
        let seated = Seated {
            leg,
            ends,
            shared: Arc::clone(&self.shared),
            socket: Arc::clone(&self.socket),
            ear_batch: self.ear_batch,
            ears_waiting: 0,
            resumes_from,
            ntp_at_epoch: self.media.ntp_at_epoch(),
            quiet: Default::default(),
            behind: false,
            complexity: Tuning::USUAL_COMPLEXITY,
            confession: None,
        };
        self.media.inner.tickers.admit(Box::new(seated))
    }
}

impl Drop for LegSeat {
    fn drop(&mut self) {
        self.stop();
        let heard = self.stats().heard;
        self.lease.heard(heard);
    }
}

/// The port after RTP's (RFC 3550 §11).
pub(super) const fn rtcp_addr(rtp: SocketAddr) -> SocketAddr {
    let mut address = rtp;
    address.set_port(rtp.port() | 1);
    address
}
