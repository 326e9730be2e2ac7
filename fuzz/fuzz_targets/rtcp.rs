//! RTCP: compounds through the reader and into a leg that hears their sender. What is read is written and read the same; a leg
//! that was told anything still reports.
#![no_main]

use std::{net::SocketAddr, time::Duration};

use libfuzzer_sys::fuzz_target;
use media_core::{
    FRAME, Leg, codec,
    leg::{LegConfig, Mode, Negotiated, RtcpPath, Timeouts, Wire},
    rtcp::{self, Report},
    rtp::{self, Packet},
};

const NTP: u64 = 3_990_000_000 << 32;

fn far() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4_000))
}

/// A leg that has heard its far side.
fn leg() -> Leg {
    let negotiated = Negotiated {
        codec: &codec::libopus::SPEC,
        payload_type: 111,
        max_packet_ms: 20,
        receive_payload_type: 111,
        fmtp: Some("useinbandfec=1".to_owned()),
        also_receive: Vec::new(),
        telephone_event: None,
        comfort_noise: None,
        srtp: None,
        remote: Some(far()),
        rtcp: RtcpPath::Muxed,
        voip_metrics: true,
    };
    let config = LegConfig {
        negotiated,
        mode: Mode::Mute,
        ears: None,
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    };
    let mut leg = Leg::new(config, Wire::default(), Duration::ZERO);
    let packet = Packet {
        payload_type: 111,
        marker: true,
        seq: 1,
        timestamp: 0,
        ssrc: 7,
        payload: &[0xfc, 0xff, 0xfe],
    };
    let mut bytes = [0; 32];
    let len = rtp::build(&packet, &mut bytes).expect("room");
    leg.on_packet(Duration::ZERO, far(), &bytes[..len]);
    leg
}

fn written(report: &Report) -> Option<Report> {
    let mut out = [0; 128];
    let len = rtcp::build(report, &mut out).expect("room");
    rtcp::parse(&out[..len]).next()?.ok()
}

fuzz_target!(|data: &[u8]| {
    for report in rtcp::parse(data).flatten() {
        assert_eq!(written(&report), Some(report), "what we write we read");
    }
    for metrics in rtcp::voip_metrics(data) {
        let mut out = [0; 64];
        let len = rtcp::build_voip_metrics(1, &metrics, &mut out).expect("room");
        assert_eq!(rtcp::voip_metrics(&out[..len]).last(), Some(metrics));
    }
    let mut leg = leg();
    let mut rest = data;
    let mut now = Duration::ZERO;
    while let [wait, len, more @ ..] = rest {
        now += Duration::from_millis(u64::from(*wait) * 100);
        let _ = leg.poll_report(now, NTP + (now.as_secs() << 32));
        let (compound, left) = more.split_at(usize::from(*len).min(more.len()));
        leg.on_packet(now, far(), compound);
        rest = left;
    }
    leg.on_packet(now, far(), data);
    let later = now + FRAME * 500;
    let (report, _) = leg.poll_report(later, NTP).expect("a report is due");
    assert!(rtcp::parse(report).all(|read| read.is_ok()), "ours is whole");
});
