//! A far end and a network between it and one leg, in simulated time: seeded loss, jitter, reordering, duplication, drift.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use media_core::leg::{
    EventFormat, Leg, LegConfig, LegEventKind, LegStats, Mode, Negotiated, RtcpPath, Timeouts, Wire,
};
use media_core::rtp::{self, Packet};
use media_core::{FRAME, Rate, codec};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub fn far_end() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

pub fn config() -> LegConfig {
    LegConfig {
        negotiated: Negotiated {
            codec: &codec::pcmu::SPEC,
            payload_type: 0,
            max_packet_ms: 20,
            receive_payload_type: 0,
            fmtp: None,
            also_receive: vec![(8, &codec::pcma::SPEC)],
            telephone_event: Some(EventFormat::both(101)),
            comfort_noise: Some(13),
            srtp: None,
            remote: Some(far_end()),
            rtcp: RtcpPath::Muxed,
            voip_metrics: false,
        },
        mode: Mode::Mute,
        ears: Some(Rate::Hz8000),
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    }
}

/// SplitMix64: enough for a simulation, the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.roll() % limit }
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

pub struct Sim {
    pub leg: Leg,
    pub dice: Dice,
    pub now: Duration,
    next_tick: Duration,
    in_flight: BTreeMap<(Duration, u64), Vec<u8>>,
    sent: u64,
    pub caller: Vec<i16>,
    pub ears: Vec<(u32, bool, Vec<i16>)>,
    pub events: Vec<LegEventKind>,
    pub out_packets: Vec<Vec<u8>>,
}

impl Sim {
    pub fn new(config: LegConfig, seed: u64) -> Self {
        let wire = Wire {
            ssrc: 0xfeed,
            seq: 65_500,
            timestamp: u32::MAX - 5_000,
            tick: 0,
            ..Wire::default()
        };
        Self {
            leg: Leg::new(config, wire, Duration::ZERO),
            dice: Dice(seed),
            now: Duration::ZERO,
            next_tick: Duration::ZERO,
            in_flight: BTreeMap::new(),
            sent: 0,
            caller: Vec::new(),
            ears: Vec::new(),
            events: Vec::new(),
            out_packets: Vec::new(),
        }
    }

    pub fn post(&mut self, arrives: Duration, bytes: Vec<u8>) {
        self.sent += 1;
        self.in_flight.insert((arrives, self.sent), bytes);
    }

    /// Runs packets and ticks in order of time up to `until`.
    pub fn run_until(&mut self, until: Duration) {
        loop {
            let packet = self
                .in_flight
                .keys()
                .next()
                .map(|(at, _)| *at)
                .filter(|at| *at <= self.next_tick);
            match packet {
                Some(at) if at < until => self.deliver(at),
                _ if self.next_tick < until => self.tick(),
                _ => break,
            }
        }
        self.now = until;
    }

    fn deliver(&mut self, at: Duration) {
        self.now = at;
        if let Some((_, bytes)) = self.in_flight.pop_first() {
            self.leg.on_packet(at, far_end(), &bytes);
        }
        self.drain();
    }

    fn tick(&mut self) {
        self.now = self.next_tick;
        self.next_tick += FRAME;
        let tick = self.leg.tick(self.now);
        self.caller.extend_from_slice(tick.caller.samples());
        self.out_packets.push(tick.packet.to_vec());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(ear) = self.leg.poll_ear(self.now) {
            self.ears
                .push((ear.rtp_time, ear.heard, ear.frame.samples().to_vec()));
        }
        while let Some(event) = self.leg.poll_event() {
            self.events.push(event.kind);
        }
    }

    pub fn stats(&self) -> LegStats {
        self.leg.stats()
    }
}

/// A talker whose every packet is one 20 ms frame of a steady voice-like sound.
pub struct Talker {
    pub ssrc: u32,
    pub seq: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub phase: u64,
}

impl Talker {
    pub fn new(seq: u16, timestamp: u32) -> Self {
        Self {
            ssrc: 1,
            seq,
            timestamp,
            payload_type: 0,
            phase: 0,
        }
    }

    pub fn frame(&mut self) -> Vec<i16> {
        let start = self.phase;
        self.phase += 160;
        (start..start + 160).map(voice).collect()
    }

    /// The next packet's bytes.
    pub fn say(&mut self) -> Vec<u8> {
        let pcm = self.frame();
        let spec = if self.payload_type == 8 {
            &codec::pcma::SPEC
        } else {
            &codec::pcmu::SPEC
        };
        let mut payload = [0; 160];
        (spec.make)().encode(&pcm, &mut payload).expect("fits");
        let bytes = self.packet(&payload);
        self.skip();
        bytes
    }

    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let packet = Packet {
            payload_type: self.payload_type,
            marker: false,
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload,
        };
        let mut bytes = vec![0; rtp::HEADER_LEN + payload.len()];
        rtp::build(&packet, &mut bytes).expect("fits");
        bytes
    }

    pub fn skip(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
    }

    pub fn pause(&mut self, frames: u32) {
        self.timestamp = self.timestamp.wrapping_add(frames * 160);
        self.phase += u64::from(frames) * 160;
    }
}

/// 125 Hz pulses with two formants: periodic like a vowel.
pub fn voice(sample: u64) -> i16 {
    let t = sample as f32 / 8_000.0;
    let envelope = 1.0 - (t * 125.0).fract();
    (6_000.0
        * envelope
        * ((t * 700.0 * std::f32::consts::TAU).sin()
            + 0.5 * (t * 1_200.0 * std::f32::consts::TAU).sin())) as i16
}
