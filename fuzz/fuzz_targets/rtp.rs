//! Datagrams at any time into a leg on any codec: header, payloads, events, comfort noise, jitter buffer, concealment, tones.
//! Whatever comes, each tick yields one packet that we can read, and the buffer keeps within its cap.
#![no_main]

use std::{net::SocketAddr, time::Duration};

use libfuzzer_sys::fuzz_target;
use media_core::{
    FRAME, Leg, Rate, codec,
    jitter::CAP_MS,
    leg::{EventFormat, LegConfig, Mode, Negotiated, RtcpPath, Timeouts, Wire},
    rtp,
};

/// Ticks in which what is left in the buffer must come out.
const AFTER: u32 = 12;

fn far() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4_000))
}

fn leg(choice: u8) -> Leg {
    let spec = codec::ALL[usize::from(choice) % codec::ALL.len()];
    let negotiated = Negotiated {
        codec: spec,
        payload_type: spec.offered_pt,
        max_packet_ms: if choice & 0x40 == 0 { 20 } else { 10 },
        receive_payload_type: spec.offered_pt,
        fmtp: spec.fmtp.map(str::to_owned),
        also_receive: vec![(8, &codec::pcma::SPEC)],
        telephone_event: (choice & 0x80 == 0).then(|| EventFormat::both(101)),
        comfort_noise: Some(13),
        srtp: None,
        remote: Some(far()),
        rtcp: RtcpPath::Muxed,
        voip_metrics: true,
    };
    let config = LegConfig {
        negotiated,
        mode: Mode::Echo,
        ears: Some(Rate::Hz16000),
        timeouts: Timeouts::default(),
        reflex_armed: true,
        keys_in_band: true,
    };
    Leg::new(config, Wire::default(), Duration::ZERO)
}

fn tick(leg: &mut Leg, now: Duration) {
    let tick = leg.tick(now);
    assert!(rtp::parse(tick.packet).is_ok(), "one packet a tick");
    while leg.poll_ear(now).is_some() {}
    while leg.poll_event().is_some() {}
    let waiting = u64::try_from(leg.stats().buffered_ms).unwrap_or(0);
    assert!(waiting <= CAP_MS, "{waiting} ms");
}

fuzz_target!(|data: &[u8]| {
    if let Ok(packet) = rtp::parse(data) {
        let mut out = vec![0; rtp::HEADER_LEN + packet.payload.len()];
        let len = rtp::build(&packet, &mut out).expect("room");
        assert_eq!(rtp::parse(&out[..len]), Ok(packet), "what we write we read");
    }
    let Some((choice, mut rest)) = data.split_first() else {
        return;
    };
    let (mut leg, mut now, mut due) = (leg(*choice), Duration::ZERO, FRAME);
    // Milliseconds, length, datagram; again and again.
    while let [wait, len, more @ ..] = rest {
        now += Duration::from_millis(u64::from(*wait));
        while due <= now {
            tick(&mut leg, due);
            due += FRAME;
        }
        let (datagram, left) = more.split_at(usize::from(*len).min(more.len()));
        leg.on_packet(now, far(), datagram);
        while leg.poll_ear(now).is_some() {}
        rest = left;
    }
    for _ in 0..AFTER {
        tick(&mut leg, due);
        due += FRAME;
    }
});
