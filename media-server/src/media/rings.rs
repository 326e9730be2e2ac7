//! The rings between one leg and its actors: what the actors hold, and the ends the media thread holds.

use super::meters::{Meters, count};
use super::recorder::{Mute, RecorderPool, RecordingSpec, Tap};
use super::rooms::RoomPool;
use super::rtcp::RtcpEnds;
use super::shared::Shared;
use super::{BRIDGE_RING, COMMAND_RING, EAR_RING_MS, EVENT_RING, MediaError, VOICE_RING_MS};
use media_core::leg::{Command, EarFrame, LegEvent, Mode};
use media_core::playout::{Position, Tag};
use media_core::srtp::{Keys, Srtp};
use media_core::{FRAME_MS, Frame, Rate, VOICE_RATE};
use rtrb::{Consumer, Producer, RingBuffer};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Samples of one entry of the voice ring.
pub(super) const CHUNK: usize = 160;

/// The command ring takes no more: the media thread has stood still for many ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leg takes no more commands")]
pub struct RingFull;

/// Something the seat tells its actors.
#[derive(Debug, Clone, PartialEq)]
pub enum SeatEvent {
    /// From the leg's machine.
    Leg(LegEvent),
    /// The machine panicked and is gone; the seat waits for `relaunch`.
    Evicted {
        /// What was surely sent.
        position: Position,
        /// The panic's message.
        reason: String,
    },
}

/// What an actor gets when it launches a leg: independent halves, each with one owner.
pub struct LegRings {
    /// Commands.
    pub control: LegControl,
    /// Events.
    pub events: LegEvents,
    /// Speech in.
    pub voice: VoiceSender,
    /// Recogniser frames out.
    pub ears: EarReceiver,
}

/// What a media thread is told between ticks.
pub(super) enum Order {
    Leg(Command),
    Record(Box<Tap>),
    StopRecording,
    Mute(Mute),
    Bridge(BridgeEnds),
    Rtcp(RtcpEnds),
}

pub(super) struct BridgeEnds {
    pub(super) to_peer: Producer<Frame>,
    pub(super) from_peer: Consumer<Frame>,
}

pub(super) struct VoiceChunk {
    pub(super) tag: Tag,
    pub(super) len: usize,
    pub(super) end: bool,
    pub(super) pcm: [i16; CHUNK],
}

/// The media thread's ends; they outlive the machine.
pub(super) struct ThreadEnds {
    pub(super) orders: Consumer<Order>,
    pub(super) voice: Consumer<VoiceChunk>,
    pub(super) ears: Producer<EarFrame>,
    pub(super) events: Producer<SeatEvent>,
    pub(super) tap: Option<Box<Tap>>,
    pub(super) bridge: Option<BridgeEnds>,
    /// Seals and opens what passes the socket. Its counters survive the machine.
    pub(super) srtp: Option<Box<Srtp>>,
    /// For RTCP, when it does not come with RTP.
    pub(super) rtcp: Option<RtcpEnds>,
}

impl ThreadEnds {
    /// Takes over what was agreed (again): a session under way keeps its counters where its keys stay.
    pub(super) fn protect(&mut self, keys: Option<&Keys>) -> Result<(), media_core::Error> {
        match (&mut self.srtp, keys) {
            (_, None) => self.srtp = None,
            (Some(srtp), Some(keys)) => srtp.rekey(keys.clone())?,
            (None, Some(keys)) => self.srtp = Some(Box::new(Srtp::new(keys.clone())?)),
        }
        Ok(())
    }

    /// An RTP packet, sealed when that was agreed.
    pub(super) fn send_rtp(
        &mut self,
        socket: &UdpSocket,
        packet: &[u8],
        to: SocketAddr,
        meters: &Meters,
    ) {
        let packet = match &mut self.srtp {
            None => Ok(packet),
            Some(srtp) => srtp.protect(packet),
        };
        if !packet.is_ok_and(|packet| socket.send_to(packet, to).is_ok()) {
            count(&meters.send_errors);
        }
    }

    /// An RTCP compound, sealed when RTP is.
    pub(super) fn send_rtcp(
        &mut self,
        rtp: &UdpSocket,
        compound: &[u8],
        to: SocketAddr,
        meters: &Meters,
    ) {
        let packet = match &mut self.srtp {
            None => Ok(compound),
            Some(srtp) => srtp.protect_rtcp(compound),
        };
        let sent = packet.map(|packet| match &self.rtcp {
            Some(own) => own.socket.send_to(packet, to),
            None => rtp.send_to(packet, to),
        });
        if !sent.is_ok_and(|sent| sent.is_ok()) {
            count(&meters.send_errors);
        }
    }
}

impl std::fmt::Debug for ThreadEnds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ThreadEnds")
    }
}

pub(super) fn rings(
    rate: Rate,
    shared: &Arc<Shared>,
    recorders: &Arc<RecorderPool>,
    rooms: &Arc<RoomPool>,
    tap: Option<Box<Tap>>,
) -> (LegRings, ThreadEnds) {
    let (order_in, orders) = RingBuffer::new(COMMAND_RING);
    let (voice_in, voice) = RingBuffer::new(VOICE_RATE.samples(VOICE_RING_MS) / CHUNK);
    let (ears, ear_out) = RingBuffer::new((EAR_RING_MS / FRAME_MS) as usize);
    let (events, event_out) = RingBuffer::new(EVENT_RING);
    let dropped = Arc::clone(shared);
    let control = LegControl {
        orders: order_in,
        recorders: Arc::clone(recorders),
        rooms: Arc::clone(rooms),
        shared: Arc::clone(shared),
        rate,
    };
    let held = LegRings {
        control,
        events: LegEvents {
            ring: event_out,
            shared: Arc::clone(shared),
        },
        voice: VoiceSender {
            ring: voice_in,
            refused: 0,
        },
        ears: EarReceiver {
            ring: ear_out,
            shared: dropped,
        },
    };
    (
        held,
        ThreadEnds {
            orders,
            voice,
            ears,
            events,
            tap,
            bridge: None,
            srtp: None,
            rtcp: None,
        },
    )
}

/// Commands to one leg; in force from its next tick.
pub struct LegControl {
    orders: Producer<Order>,
    recorders: Arc<RecorderPool>,
    rooms: Arc<RoomPool>,
    shared: Arc<Shared>,
    rate: Rate,
}

impl LegControl {
    /// Orders something.
    ///
    /// # Errors
    /// [`RingFull`] when 64 orders wait already.
    pub fn send(&mut self, command: Command) -> Result<(), RingFull> {
        self.order(Order::Leg(command))
    }

    /// Begins to record into a file; a recording under way is closed first.
    ///
    /// # Errors
    /// The file cannot be made, or the ring is full.
    pub fn record(&mut self, spec: RecordingSpec) -> Result<(), MediaError> {
        let tap = self
            .recorders
            .open(spec, self.rate, Arc::clone(&self.shared))?;
        Ok(self.order(Order::Record(tap))?)
    }

    /// Ends the recording. A full ring is no matter: the seat closes it at the latest.
    pub fn stop_recording(&mut self) {
        let _ = self.order(Order::StopRecording);
    }

    /// Makes the recording silent, or ends that; without a recording it means nothing.
    ///
    /// # Errors
    /// [`RingFull`] when 64 orders wait already.
    pub fn mute_recording(&mut self, mute: Mute) -> Result<(), RingFull> {
        self.order(Order::Mute(mute))
    }

    /// Joins two legs: each sends what the other's caller says, with its own playout mixed in.
    ///
    /// # Errors
    /// [`RingFull`]; then neither leg is changed for good.
    pub fn bridge(a: &mut Self, b: &mut Self) -> Result<(), RingFull> {
        let (to_b, from_a) = RingBuffer::new(BRIDGE_RING);
        let (to_a, from_b) = RingBuffer::new(BRIDGE_RING);
        if a.orders.slots() < 2 || b.orders.slots() < 2 {
            return Err(RingFull);
        }
        for (leg, to_peer, from_peer) in [(a, to_b, from_b), (b, to_a, from_a)] {
            leg.order(Order::Leg(Command::SetMode(Mode::Bridge)))?;
            leg.order(Order::Bridge(BridgeEnds { to_peer, from_peer }))?;
        }
        Ok(())
    }

    /// RTCP, which came with RTP so far, comes on a port of its own from now on.
    ///
    /// # Errors
    /// [`RingFull`]; then reports go out from the RTP port.
    pub fn take_rtcp(&mut self, port: RtcpPort) -> Result<(), RingFull> {
        self.order(Order::Rtcp(port.0))
    }

    /// Takes the leg into a room: it sends what all others there say, with its own playout mixed in. It is in until it is
    /// given another mode, or ends.
    ///
    /// # Errors
    /// [`MediaError::RingFull`]; the runtime stops.
    pub fn enter(&mut self, room: Arc<str>) -> Result<(), MediaError> {
        if self.orders.slots() < 2 {
            return Err(RingFull.into());
        }
        let ends = self.rooms.enter(room)?;
        self.order(Order::Leg(Command::SetMode(Mode::Bridge)))?;
        Ok(self.order(Order::Bridge(ends))?)
    }

    fn order(&mut self, order: Order) -> Result<(), RingFull> {
        self.orders.push(order).map_err(|_| RingFull)
    }
}

/// A served RTCP port on its way to a leg.
pub struct RtcpPort(pub(super) RtcpEnds);

/// Events of one leg.
pub struct LegEvents {
    ring: Consumer<SeatEvent>,
    shared: Arc<Shared>,
}

impl LegEvents {
    /// The next event, if one is there.
    pub fn try_event(&mut self) -> Option<SeatEvent> {
        self.ring.pop().ok()
    }

    /// The next event; none when the seat is gone for good. Cancel-safe.
    pub async fn event(&mut self) -> Option<SeatEvent> {
        loop {
            let closed = self.shared.is_closed();
            if let Some(event) = self.try_event() {
                return Some(event);
            }
            if closed {
                return None;
            }
            self.shared.event_wake.notified().await;
        }
    }
}

/// Speech into one leg's playout, at [`VOICE_RATE`] whatever the line's.
pub struct VoiceSender {
    ring: Producer<VoiceChunk>,
    refused: u64,
}

impl VoiceSender {
    /// What is pushed must be at this rate.
    pub const fn rate(&self) -> Rate {
        VOICE_RATE
    }

    /// Samples that can be pushed in full chunks of 160.
    pub fn room(&self) -> usize {
        self.ring.slots() * CHUNK
    }

    /// Pushes speech of an utterance; returns the samples taken. Top up at least every 500 ms.
    pub fn push(&mut self, tag: Tag, pcm: &[i16]) -> usize {
        let mut taken = 0;
        for part in pcm.chunks(CHUNK) {
            let mut chunk = VoiceChunk {
                tag,
                len: part.len(),
                end: false,
                pcm: [0; CHUNK],
            };
            chunk.pcm[..part.len()].copy_from_slice(part);
            if self.ring.push(chunk).is_err() {
                self.refused += (pcm.len() - taken) as u64;
                break;
            }
            taken += part.len();
        }
        taken
    }

    /// Nothing more comes for this utterance. False when there is no room; try again.
    pub fn end(&mut self, tag: Tag) -> bool {
        self.ring
            .push(VoiceChunk {
                tag,
                len: 0,
                end: true,
                pcm: [0; CHUNK],
            })
            .is_ok()
    }

    /// Samples that found no room so far.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Recogniser frames of one leg, in order.
pub struct EarReceiver {
    ring: Consumer<EarFrame>,
    shared: Arc<Shared>,
}

impl EarReceiver {
    /// The next frame, if one is there.
    pub fn try_recv(&mut self) -> Option<EarFrame> {
        self.ring.pop().ok()
    }

    /// The next frame; none when the seat is gone for good. Cancel-safe.
    pub async fn recv(&mut self) -> Option<EarFrame> {
        loop {
            let closed = self.shared.is_closed();
            if let Some(frame) = self.try_recv() {
                return Some(frame);
            }
            if closed {
                return None;
            }
            self.shared.ear_wake.notified().await;
        }
    }

    /// Frames dropped because the ring was full.
    pub fn dropped(&self) -> u64 {
        self.shared.ear_drops.load(Ordering::Relaxed)
    }
}
