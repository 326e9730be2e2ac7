//! What was negotiated, as the leg uses it: which payload type means what, and the codec instances.

use crate::codec::{Codec, CodecSpec, MAX_PACKET_MS, Tuning};
use crate::resample::Resampler;
use crate::srtp::Keys;
use crate::{Error, FRAME_MS, Frame, Rate};
use std::net::SocketAddr;

/// Codecs accepted beside the one we send.
const MAX_ALSO: usize = 4;

/// Outcome of offer/answer for one audio stream.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// The codec we send.
    pub codec: &'static CodecSpec,
    /// The payload type we send it under.
    pub payload_type: u8,
    /// Milliseconds of sound in each of our packets at most: 20 is one packet a tick, anything from 10 on two.
    pub max_packet_ms: u16,
    /// The payload type the far side sends it under, where that is another one.
    pub receive_payload_type: u8,
    /// The far side's format parameters: what it would like to get.
    pub fmtp: Option<String>,
    /// Further codecs that the far side may switch to in mid-stream (same rate and clock; at most four).
    pub also_receive: Vec<(u8, &'static CodecSpec)>,
    /// RFC 4733 events, when negotiated.
    pub telephone_event: Option<EventFormat>,
    /// RFC 3389, when negotiated.
    pub comfort_noise: Option<u8>,
    /// What both directions are encrypted with. The leg itself sees plain packets: whoever owns the socket seals and opens.
    pub srtp: Option<Keys>,
    /// Where SDP says to send.
    pub remote: Option<SocketAddr>,
    /// Which way RTCP goes.
    pub rtcp: RtcpPath,
    /// Whether the far side asks for VoIP metrics in our reports (RFC 3611 §5).
    pub voip_metrics: bool,
}

/// Which way RTCP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtcpPath {
    /// With RTP (RFC 5761).
    Muxed,
    /// Over ports of its own; here SDP says to send, if it says so.
    Apart(Option<SocketAddr>),
}

/// RFC 4733 events as agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFormat {
    /// The payload type we send.
    pub send: u8,
    /// The payload type we get.
    pub receive: u8,
    /// On which durations count.
    pub clock_hz: u32,
}

impl EventFormat {
    /// One payload type both ways, on the clock of telephones.
    pub const fn both(payload_type: u8) -> Self {
        Self {
            send: payload_type,
            receive: payload_type,
            clock_hz: 8_000,
        }
    }
}

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadKind {
    /// Sound for the decoder of this index.
    Audio(usize),
    /// RFC 4733.
    Event,
    /// RFC 3389.
    ComfortNoise,
}

pub(super) struct Line {
    spec: &'static CodecSpec,
    /// The leg's rate, which stays for its life.
    rate: Rate,
    payload_type: u8,
    halved: bool,
    telephone_event: Option<EventFormat>,
    comfort_noise: Option<u8>,
    encoder: Box<dyn Codec>,
    decoders: Vec<(u8, Box<dyn Codec>)>,
    bend: Option<Bend>,
}

/// Between the leg's rate and that of a codec that was agreed on later.
struct Bend {
    inward: Resampler,
    outward: Resampler,
    pcm: Box<[i16]>,
    bent: Vec<i16>,
}

impl Bend {
    fn new(leg: Rate, codec: Rate) -> Option<Self> {
        if leg == codec {
            return None;
        }
        Some(Self {
            inward: Resampler::new(codec.hz(), leg.hz()).ok()?,
            outward: Resampler::new(leg.hz(), codec.hz()).ok()?,
            pcm: vec![0; codec.samples(MAX_PACKET_MS)].into(),
            bent: Vec::with_capacity(leg.samples(2 * MAX_PACKET_MS)),
        })
    }

    fn decode(
        &mut self,
        codec: &mut dyn Codec,
        payload: &[u8],
        out: &mut [i16],
    ) -> Result<usize, Error> {
        let samples = codec.decode(payload, &mut self.pcm)?;
        self.bent.clear();
        let pcm = self.pcm.get(..samples).unwrap_or(&[]);
        self.inward.push(pcm, &mut self.bent);
        for (to, from) in out.iter_mut().zip(&self.bent) {
            *to = *from;
        }
        Ok(self.bent.len().min(out.len()))
    }
}

impl Line {
    /// A line on a leg of this rate.
    pub(super) fn new(negotiated: &Negotiated, rate: Rate) -> Self {
        let spec = negotiated.codec;
        let fits = |other: &CodecSpec| other.rate == spec.rate && other.rtp_clock == spec.rtp_clock;
        let also = negotiated
            .also_receive
            .iter()
            .filter(|(_, other)| fits(other))
            .take(MAX_ALSO);
        let mut decoders = vec![(negotiated.receive_payload_type, (spec.make)())];
        decoders.extend(also.map(|(pt, other)| (*pt, (other.make)())));
        let mut encoder = (spec.make)();
        encoder.heed(negotiated.fmtp.as_deref().unwrap_or_default());
        Self {
            spec,
            rate,
            payload_type: negotiated.payload_type,
            halved: u64::from(negotiated.max_packet_ms) < FRAME_MS,
            telephone_event: negotiated.telephone_event,
            comfort_noise: negotiated.comfort_noise,
            encoder,
            decoders,
            bend: Bend::new(rate, spec.rate),
        }
    }

    pub(super) const fn spec(&self) -> &'static CodecSpec {
        self.spec
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    pub(super) const fn rtp_clock(&self) -> u32 {
        self.spec.rtp_clock
    }

    pub(super) const fn ticks_per_frame(&self) -> u32 {
        self.spec.ticks_per_frame()
    }

    /// Ticks of 20 ms on the clock of telephone events.
    pub(super) fn event_ticks_per_frame(&self) -> u32 {
        let clock = self.telephone_event.map(|event| event.clock_hz / 50);
        clock.unwrap_or(self.ticks_per_frame())
    }

    /// Whether a tick's sound goes out in two packets of 10 ms.
    pub(super) const fn is_halved(&self) -> bool {
        self.halved
    }

    pub(super) const fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// The payload type of our events.
    pub(super) fn telephone_event(&self) -> Option<u8> {
        self.telephone_event.map(|event| event.send)
    }

    pub(super) fn kind(&self, payload_type: u8) -> Option<PayloadKind> {
        if let Some(index) = self.decoders.iter().position(|(pt, _)| *pt == payload_type) {
            return Some(PayloadKind::Audio(index));
        }
        if self
            .telephone_event
            .is_some_and(|e| e.receive == payload_type)
        {
            return Some(PayloadKind::Event);
        }
        (self.comfort_noise == Some(payload_type)).then_some(PayloadKind::ComfortNoise)
    }

    pub(super) fn decode(
        &mut self,
        index: usize,
        payload: &[u8],
        pcm: &mut [i16],
    ) -> Result<usize, Error> {
        let refused = Error::Payload {
            codec: self.spec.name,
            bytes: payload.len(),
        };
        let (_, codec) = self.decoders.get_mut(index).ok_or(refused)?;
        match &mut self.bend {
            None => codec.decode(payload, pcm),
            Some(bend) => bend.decode(&mut **codec, payload, pcm),
        }
    }

    /// Makes up the packet lost right before this one, if the codec can. A bent line leaves it to the concealment.
    pub(super) fn recover(&mut self, index: usize, next: &[u8], lost: &mut [i16]) -> Option<usize> {
        let (_, codec) = self.decoders.get_mut(index)?;
        match &self.bend {
            None => codec.recover(next, lost),
            Some(_) => None,
        }
    }

    pub(super) fn encode(&mut self, frame: &Frame, payload: &mut [u8]) -> Result<usize, Error> {
        match &mut self.bend {
            None => self.encoder.encode(frame.samples(), payload),
            Some(bend) => {
                let bent = bend.outward.frame(frame);
                self.encoder.encode(bent.samples(), payload)
            }
        }
    }

    /// A frame as the codec takes it, to be encoded in parts.
    pub(super) fn bent(&mut self, frame: &Frame) -> Frame {
        match &mut self.bend {
            None => *frame,
            Some(bend) => bend.outward.frame(frame),
        }
    }

    pub(super) fn encode_part(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        self.encoder.encode(pcm, payload)
    }

    pub(super) fn tune(&mut self, tuning: Tuning) {
        self.encoder.tune(tuning);
    }
}
