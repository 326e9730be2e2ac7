//! What was negotiated, as the leg uses it: which payload type means what, and the codec instances.

use crate::codec::{Codec, CodecSpec};
use crate::srtp::Keys;
use crate::{Error, Rate};
use std::net::SocketAddr;

/// Codecs accepted beside the one we send.
const MAX_ALSO: usize = 4;

/// Outcome of offer/answer for one audio stream.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// The codec we send.
    pub codec: &'static CodecSpec,
    /// Its payload type, both ways.
    pub payload_type: u8,
    /// Further codecs that the far side may switch to in mid-stream (same rate and clock; at most four).
    pub also_receive: Vec<(u8, &'static CodecSpec)>,
    /// RFC 4733 events, when negotiated.
    pub telephone_event: Option<u8>,
    /// RFC 3389, when negotiated: its packets are taken as silence.
    pub comfort_noise: Option<u8>,
    /// What both directions are encrypted with. The leg itself sees plain packets: whoever owns the socket seals and opens.
    pub srtp: Option<Keys>,
    /// Where SDP says to send.
    pub remote: Option<SocketAddr>,
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
    payload_type: u8,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
    encoder: Box<dyn Codec>,
    decoders: Vec<(u8, Box<dyn Codec>)>,
}

impl Line {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        let spec = negotiated.codec;
        let fits = |other: &CodecSpec| other.rate == spec.rate && other.rtp_clock == spec.rtp_clock;
        let also = negotiated
            .also_receive
            .iter()
            .filter(|(_, other)| fits(other))
            .take(MAX_ALSO);
        let mut decoders = vec![(negotiated.payload_type, (spec.make)())];
        decoders.extend(also.map(|(pt, other)| (*pt, (other.make)())));
        Self {
            spec,
            payload_type: negotiated.payload_type,
            telephone_event: negotiated.telephone_event,
            comfort_noise: negotiated.comfort_noise,
            encoder: (spec.make)(),
            decoders,
        }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.spec.rate
    }

    pub(super) const fn rtp_clock(&self) -> u32 {
        self.spec.rtp_clock
    }

    pub(super) const fn ticks_per_frame(&self) -> u32 {
        self.spec.ticks_per_frame()
    }

    pub(super) const fn payload_type(&self) -> u8 {
        self.payload_type
    }

    pub(super) const fn telephone_event(&self) -> Option<u8> {
        self.telephone_event
    }

    pub(super) fn kind(&self, payload_type: u8) -> Option<PayloadKind> {
        if let Some(index) = self.decoders.iter().position(|(pt, _)| *pt == payload_type) {
            return Some(PayloadKind::Audio(index));
        }
        if self.telephone_event == Some(payload_type) {
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
        self.decoders
            .get_mut(index)
            .ok_or(refused)?
            .1
            .decode(payload, pcm)
    }

    pub(super) fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        self.encoder.encode(pcm, payload)
    }
}
