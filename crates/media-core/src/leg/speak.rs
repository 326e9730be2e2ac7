//! The sending half: picks the tick's frame by mode, encodes it, puts it into the tick's packet.

use super::line::Line;
use super::{Mode, Wire};
use crate::dtmf::{Digits, DtmfSender, EventPacket, Key};
use crate::mix::mix;
use crate::playout::Playout;
use crate::resample::Resampler;
use crate::rtp::{self, Packet};
use crate::tone::Tone;
use crate::{Frame, Rate};

/// Room for the longest payload of a 20 ms frame (linear 16 kHz).
const MAX_PAYLOAD: usize = 640;

pub(super) struct Speaker {
    rate: Rate,
    mode: Mode,
    pub(super) playout: Playout,
    digits: DtmfSender,
    /// Whether keys go out as tones where there are no events.
    in_band: bool,
    /// The key that is down, as a tone that goes on from frame to frame.
    dialled: Option<(Key, Tone)>,
    bridge: Option<Frame>,
    bridge_resampler: Option<Resampler>,
    /// What we say comes at the voice's rate: this brings it to a wideband line's.
    lift: Option<Resampler>,
    wire: Wire,
    marker: bool,
    frame: Frame,
    payload: [u8; MAX_PAYLOAD],
    packet: [u8; MAX_PAYLOAD + rtp::HEADER_LEN],
    packet_len: usize,
    /// The tick's other half, where the far side takes no more than 10 ms in a packet.
    second: [u8; MAX_PAYLOAD / 2 + rtp::HEADER_LEN],
    second_len: usize,
}

impl Speaker {
    pub(super) fn new(
        rate: Rate,
        mode: Mode,
        playout: Playout,
        digits: DtmfSender,
        wire: Wire,
    ) -> Self {
        Self {
            rate,
            mode,
            playout,
            digits,
            in_band: false,
            dialled: None,
            bridge: None,
            bridge_resampler: None,
            lift: (rate != super::VOICE_RATE)
                .then(|| Resampler::new(super::VOICE_RATE.hz(), rate.hz()).ok())
                .flatten(),
            wire,
            marker: true,
            frame: Frame::silence(rate),
            payload: [0; MAX_PAYLOAD],
            packet: [0; MAX_PAYLOAD + rtp::HEADER_LEN],
            packet_len: 0,
            second: [0; MAX_PAYLOAD / 2 + rtp::HEADER_LEN],
            second_len: 0,
        }
    }

    /// Keys go out as tones where no events are agreed on.
    pub(super) const fn dialling(mut self, in_band: bool) -> Self {
        self.in_band = in_band;
        self
    }

    pub(super) const fn tick(&self) -> u64 {
        self.wire.tick
    }

    pub(super) const fn wire(&self) -> Wire {
        Wire {
            position: self.playout.position(),
            ..self.wire
        }
    }

    pub(super) fn packet(&self) -> &[u8] {
        self.packet.get(..self.packet_len).unwrap_or(&[])
    }

    /// Empty unless packets are of 10 ms.
    pub(super) fn second_packet(&self) -> &[u8] {
        self.second.get(..self.second_len).unwrap_or(&[])
    }

    pub(super) const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The next packet begins something new.
    pub(super) const fn mark(&mut self) {
        self.marker = true;
    }

    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.bridge = None;
        self.mode = mode;
    }

    pub(super) fn send_digits(&mut self, digits: &Digits) {
        self.digits.send(digits);
    }

    pub(super) fn is_sending_digits(&self) -> bool {
        self.digits.is_busy()
    }

    pub(super) fn push_bridge(&mut self, frame: &Frame) {
        let from = frame.rate().hz();
        if from == self.rate.hz() {
            self.bridge = Some(*frame);
            return;
        }
        if self
            .bridge_resampler
            .as_ref()
            .is_none_or(|r| r.from_hz() != from)
        {
            self.bridge_resampler = Resampler::new(from, self.rate.hz()).ok();
        }
        self.bridge = self.bridge_resampler.as_mut().map(|r| r.frame(frame));
    }

    pub(super) fn skip(&mut self, ticks: u64, ticks_per_frame: u32) {
        self.wire.tick += ticks;
        self.wire.timestamp = self
            .wire
            .timestamp
            .wrapping_add((ticks as u32).wrapping_mul(ticks_per_frame));
    }

    /// Another clock: keys that wait are told on it.
    pub(super) fn set_digits(&mut self, digits: DtmfSender) {
        self.digits = digits;
    }

    /// One tick: sound, or a key in its place.
    pub(super) fn speak(&mut self, caller: &Frame, line: &mut Line) {
        self.second_len = 0;
        match (self.digits_tick(line), line.telephone_event()) {
            (Some(key), Some(payload_type)) => self.write_event(payload_type, key),
            (Some(key), None) => {
                self.dial(key);
                self.write_frame(line);
            }
            (None, _) => {
                self.pick_frame(caller);
                self.write_frame(line);
            }
        }
        self.wire.seq = self.wire.seq.wrapping_add(1);
        self.skip(1, line.ticks_per_frame());
    }

    /// Without events and tones there is no way to send keys: they are dropped rather than left waiting.
    fn digits_tick(&mut self, line: &Line) -> Option<EventPacket> {
        if line.telephone_event().is_none() && !self.in_band {
            self.digits.clear();
        }
        self.digits.tick()
    }

    fn write_event(&mut self, payload_type: u8, key: EventPacket) {
        self.frame.samples_mut().fill(0);
        let payload = key.event.to_bytes();
        let timestamp = self.wire.timestamp.wrapping_sub(key.age_ticks);
        self.write(
            payload_type,
            key.marker,
            timestamp,
            payload.len(),
            Some(payload),
        );
        self.marker = true;
    }

    /// The key's two tones while it is down, silence after it.
    fn dial(&mut self, packet: EventPacket) {
        let key = Key::from_event(packet.event.code).filter(|_| !packet.event.end);
        self.dialled = key.map(|key| match self.dialled.take() {
            Some((down, tone)) if down == key && !packet.marker => (down, tone),
            Some(_) | None => (key, key.tone()),
        });
        self.frame = match &mut self.dialled {
            Some((_, tone)) => tone.next_frame(self.rate),
            None => Frame::silence(self.rate),
        };
    }

    fn write_frame(&mut self, line: &mut Line) {
        match line.is_halved() {
            true => self.write_halves(line),
            false => self.write_sound(line),
        }
    }

    fn write_sound(&mut self, line: &mut Line) {
        let len = line.encode(&self.frame, &mut self.payload).unwrap_or(0);
        let marker = std::mem::take(&mut self.marker);
        self.write(line.payload_type(), marker, self.wire.timestamp, len, None);
    }

    /// Two packets of 10 ms, each with a number and a time of its own.
    fn write_halves(&mut self, line: &mut Line) {
        let frame = line.bent(&self.frame);
        let (first, second) = frame.samples().split_at(frame.samples().len() / 2);
        let len = line.encode_part(first, &mut self.payload).unwrap_or(0);
        let marker = std::mem::take(&mut self.marker);
        let timestamp = self.wire.timestamp;
        self.write(line.payload_type(), marker, timestamp, len, None);
        let len = line.encode_part(second, &mut self.payload).unwrap_or(0);
        self.wire.seq = self.wire.seq.wrapping_add(1);
        let packet = Packet {
            payload_type: line.payload_type(),
            marker: false,
            seq: self.wire.seq,
            timestamp: timestamp.wrapping_add(line.ticks_per_frame() / 2),
            ssrc: self.wire.ssrc,
            payload: self.payload.get(..len).unwrap_or(&[]),
        };
        self.second_len = rtp::build(&packet, &mut self.second).unwrap_or(0);
    }

    fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        len: usize,
        event: Option<[u8; 4]>,
    ) {
        let payload = event
            .as_ref()
            .map_or(self.payload.get(..len).unwrap_or(&[]), |bytes| bytes);
        let Wire { ssrc, seq, .. } = self.wire;
        let packet = Packet {
            payload_type,
            marker,
            seq,
            timestamp,
            ssrc,
            payload,
        };
        self.packet_len = rtp::build(&packet, &mut self.packet).unwrap_or(0);
    }

    fn pick_frame(&mut self, caller: &Frame) {
        match &mut self.mode {
            Mode::Mute => self.frame.samples_mut().fill(0),
            Mode::Agent => self.pick_voice(),
            Mode::Echo => self.frame = *caller,
            Mode::Tone(tone) => self.frame = tone.next_frame(self.rate),
            Mode::Bridge => self.pick_bridge(),
        }
    }

    fn pick_voice(&mut self) {
        let Some(lift) = &mut self.lift else {
            self.playout.pull(self.frame.samples_mut());
            return;
        };
        let mut voice = Frame::silence(super::VOICE_RATE);
        self.playout.pull(voice.samples_mut());
        self.frame = lift.frame(&voice);
    }

    fn pick_bridge(&mut self) {
        self.pick_voice();
        if let Some(peer) = self.bridge.take() {
            mix(&mut self.frame, &peer);
        }
    }
}
