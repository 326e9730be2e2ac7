//! What 20 ms of one G.711 leg cost in both directions: one packet in, one tick, recogniser frames drained.

use criterion::{Criterion, criterion_group, criterion_main};
use media_core::codec::pcmu;
use media_core::leg::{EventFormat, Leg, LegConfig, Mode, Negotiated, RtcpPath, Timeouts, Wire};
use media_core::playout::Tag;
use media_core::rtp::{self, Packet};
use media_core::tone::Tone;
use media_core::{FRAME, Rate};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

fn config(mode: Mode, ears: Option<Rate>) -> LegConfig {
    let negotiated = Negotiated {
        codec: &pcmu::SPEC,
        payload_type: 0,
        max_packet_ms: 20,
        receive_payload_type: 0,
        fmtp: None,
        also_receive: Vec::new(),
        telephone_event: Some(EventFormat::both(101)),
        comfort_noise: None,
        srtp: None,
        remote: None,
        rtcp: RtcpPath::Muxed,
        voip_metrics: false,
    };
    LegConfig {
        negotiated,
        mode,
        ears,
        timeouts: Timeouts::default(),
        reflex_armed: ears.is_some(),
        keys_in_band: false,
    }
}

struct Rig {
    leg: Leg,
    now: Duration,
    seq: u16,
    timestamp: u32,
    source: SocketAddr,
    payload: Vec<u8>,
    speech: Vec<i16>,
}

impl Rig {
    fn new(mode: Mode, ears: Option<Rate>) -> Self {
        let mut tone = Tone::new([220.0, 660.0], -20.0, 400, 200);
        let speech: Vec<i16> = (0..50)
            .flat_map(|_| tone.next_frame(Rate::Hz8000).samples().to_vec())
            .collect();
        let mut payload = vec![0; 160];
        (pcmu::SPEC.make)()
            .encode(&speech[..160], &mut payload)
            .expect("room");
        let leg = Leg::new(config(mode, ears), Wire::default(), Duration::ZERO);
        let source = SocketAddr::from(([127, 0, 0, 1], 4_000));
        Self {
            leg,
            now: Duration::ZERO,
            seq: 0,
            timestamp: 0,
            source,
            payload,
            speech,
        }
    }

    fn step(&mut self) {
        let mut bytes = [0; 172];
        let packet = Packet {
            payload_type: 0,
            marker: false,
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: 7,
            payload: &self.payload,
        };
        let len = rtp::build(&packet, &mut bytes).unwrap_or(0);
        self.leg.on_packet(self.now, self.source, &bytes[..len]);
        while let Some(ear) = self.leg.poll_ear(self.now) {
            black_box(&ear);
        }
        self.leg.playout().push(Tag(1), &self.speech[..160]);
        black_box(self.leg.tick(self.now).packet);
        while self.leg.poll_event().is_some() {}
        self.now += FRAME;
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
    }
}

fn legs(c: &mut Criterion) {
    let cases = [
        ("echo, tap off", Mode::Echo, None),
        (
            "agent, gate and reflex, ears at 8 kHz",
            Mode::Agent,
            Some(Rate::Hz8000),
        ),
        (
            "agent, gate and reflex, ears at 16 kHz",
            Mode::Agent,
            Some(Rate::Hz16000),
        ),
    ];
    for (name, mode, ears) in cases {
        let mut rig = Rig::new(mode, ears);
        c.bench_function(&format!("20 ms both ways: {name}"), |b| {
            b.iter(|| rig.step())
        });
    }
}

criterion_group!(benches, legs);
criterion_main!(benches);
