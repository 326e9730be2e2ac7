//! RTCP of a leg: two legs talk over a line with a known delay and loss, and must tell just that. What we write is read by a
//! foreign reader, and the other way round.

use media_core::codec::{Impairment, pcmu};
use media_core::leg::{
    Command, Leg, LegConfig, Mode, Negotiated, REPORT_EVERY, RtcpPath, Timeouts, Wire,
};
use media_core::quality::{Heard, mos_centi};
use media_core::rtcp::{self, Report, ReportBlock, SenderInfo};
use media_core::tone::Tone;
use media_core::{FRAME, rtp};
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;
use rtc_shared::marshal::{Marshal, Unmarshal};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Some moment of 2026 on NTP's clock.
const NTP: u64 = 3_990_000_000 << 32;

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 4_000))
}

fn leg(host: u8, rtcp: RtcpPath) -> Leg {
    let config = LegConfig {
        negotiated: Negotiated {
            codec: &pcmu::SPEC,
            payload_type: 0,
            max_packet_ms: 20,
            receive_payload_type: 0,
            fmtp: None,
            also_receive: Vec::new(),
            telephone_event: None,
            comfort_noise: None,
            srtp: None,
            remote: Some(address(3 - host)),
            rtcp,
            voip_metrics: false,
        },
        mode: Mode::Tone(Tone::sine(440.0, -20.0)),
        ears: None,
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    };
    let wire = Wire {
        ssrc: 0xabcd_0000 + u32::from(host),
        seq: 65_500,
        ..Wire::default()
    };
    Leg::new(config, wire, Duration::ZERO)
}

fn ntp(now: Duration) -> u64 {
    let fraction = u64::from(now.subsec_nanos()) * (1 << 32) / 1_000_000_000;
    NTP + (now.as_secs() << 32 | fraction)
}

type Datagram = (Duration, Vec<u8>, SocketAddr);

/// Two legs on a line; everything from the first to the second is seen, and may be lost.
struct Line {
    legs: [Leg; 2],
    under_way: [VecDeque<Datagram>; 2],
    delay: Duration,
    /// Every so many RTP packets of the first leg, one is lost; 0 is never.
    lose_every: u64,
    sent: u64,
    ticks: u32,
    reports: Vec<(Duration, Vec<u8>)>,
    markers: u64,
}

impl Line {
    fn new(delay_ms: u64, lose_every: u64, rtcp: RtcpPath) -> Self {
        Self {
            legs: [leg(1, rtcp), leg(2, rtcp)],
            under_way: [VecDeque::new(), VecDeque::new()],
            delay: Duration::from_millis(delay_ms),
            lose_every,
            sent: 0,
            ticks: 0,
            reports: Vec::new(),
            markers: 0,
        }
    }

    fn now(&self) -> Duration {
        FRAME * self.ticks
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let now = self.now();
            self.ticks += 1;
            for side in 0..2 {
                self.deliver(side, now);
                let from = address(side as u8 + 1);
                let packet = self.legs[side].tick(now).packet.to_vec();
                self.send(side, now, packet, from);
                let report = self.legs[side].poll_report(now, ntp(now));
                let report = report.map(|(bytes, to)| (bytes.to_vec(), to));
                if let Some((bytes, to)) = report {
                    assert_eq!(to, address(2 - side as u8));
                    if side == 0 {
                        self.reports.push((now, bytes.clone()));
                    }
                    self.under_way[side].push_back((now + self.delay, bytes, from));
                }
            }
        }
    }

    fn send(&mut self, side: usize, now: Duration, packet: Vec<u8>, from: SocketAddr) {
        if side == 0 {
            self.sent += 1;
            self.markers += u64::from(packet[1] & 0x80 != 0);
            if self.lose_every > 0 && self.sent.is_multiple_of(self.lose_every) {
                return;
            }
        }
        self.under_way[side].push_back((now + self.delay, packet, from));
    }

    fn deliver(&mut self, side: usize, now: Duration) {
        while let Some((due, _, _)) = self.under_way[1 - side].front() {
            if *due > now {
                return;
            }
            let Some((due, bytes, from)) = self.under_way[1 - side].pop_front() else {
                return;
            };
            self.legs[side].on_packet(due, from, &bytes);
        }
    }
}

/// The packets of a compound.
fn split(compound: &[u8]) -> Vec<&[u8]> {
    let mut rest = compound;
    let mut parts = Vec::new();
    while rest.len() >= 4 {
        let len = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])) * 4;
        parts.push(&rest[..len]);
        rest = &rest[len..];
    }
    parts
}

#[test]
fn a_report_leaves_every_five_seconds_and_a_foreign_reader_understands_it() {
    let mut line = Line::new(30, 0, RtcpPath::Muxed);
    line.run(50 * 60);
    assert!((11..=13).contains(&line.reports.len()), "in a minute");
    for pair in line.reports.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        assert!(apart >= REPORT_EVERY && apart < REPORT_EVERY + 2 * FRAME);
    }
    let (at, compound) = line.reports.last().expect("reports");
    let parts = split(compound);
    let report = SenderReport::unmarshal(&mut &parts[0][..]).expect("a sender report");
    assert_eq!(report.ssrc, 0xabcd_0001);
    assert_eq!(report.ntp_time, ntp(*at));
    let ticks = (at.as_millis() / 20) as u32 + 1;
    assert_eq!(
        (report.packet_count, report.octet_count),
        (ticks, ticks * 160)
    );
    assert_eq!(report.rtp_time, ticks * 160);
    let block = &report.reports[0];
    assert_eq!(block.ssrc, 0xabcd_0002);
    assert_eq!(
        (block.fraction_lost, block.total_lost, block.jitter),
        (0, 0, 0)
    );
    let heard = ticks - 2;
    assert_eq!(block.last_sequence_number, 65_500 + (1 << 16) + heard - 1);
    let name = SourceDescription::unmarshal(&mut &parts[1][..]).expect("a name");
    assert_eq!(name.chunks[0].source, 0xabcd_0001);
    assert_eq!(&name.chunks[0].items[0].text[..], b"abcd0001");
    assert_eq!(parts.len(), 2);
}

#[test]
fn the_far_side_learns_what_was_lost_and_how_long_the_way_is() {
    let mut line = Line::new(40, 10, RtcpPath::Muxed);
    line.run(50 * 30);
    let stats = line.legs[0].stats();
    let told = stats.remote_report.expect("told of our stream");
    assert_eq!(told.ssrc, 0xabcd_0001);
    assert!((24..=27).contains(&told.fraction_lost), "{told:?}");
    assert!((100..=150).contains(&told.cumulative_lost), "{told:?}");
    let way = stats.round_trip_us.expect("measured");
    assert!((80_000..=81_000).contains(&way), "{way} µs there and back");
    // The other direction lost nothing; both are as good as that allows.
    let heard = line.legs[1].stats();
    assert_eq!(
        heard.remote_report.map(|report| report.cumulative_lost),
        Some(0)
    );
    assert!(
        (280..=345).contains(&heard.mos_centi),
        "{}",
        heard.mos_centi
    );
    assert!(
        (425..=440).contains(&stats.mos_centi),
        "{}",
        stats.mos_centi
    );
    assert_eq!(heard.jitter_us, 0, "an even line");
}

#[test]
fn over_ports_of_its_own_reports_come_from_the_same_host_and_go_back_there() {
    let beside = SocketAddr::from(([192, 0, 2, 2], 4_001));
    let mut leg = leg(1, RtcpPath::Apart(Some(beside)));
    let mut bytes = [0; 172];
    let sound = rtp::Packet {
        payload_type: 0,
        marker: false,
        seq: 1,
        timestamp: 160,
        ssrc: 5,
        payload: &[0xff; 160],
    };
    let len = rtp::build(&sound, &mut bytes).expect("room");
    leg.on_packet(FRAME, address(2), &bytes[..len]);
    let now = Duration::from_secs(4);
    let to = leg.poll_report(now, NTP).map(|(_, to)| to);
    assert_eq!(to, Some(beside));
    let mut report = [0; 64];
    let told = Report::Receiver {
        ssrc: 5,
        block: Some(ReportBlock {
            ssrc: 0xabcd_0001,
            ..ReportBlock::default()
        }),
    };
    let len = rtcp::build(&told, &mut report).expect("room");
    let stranger = SocketAddr::from(([203, 0, 113, 9], 4_001));
    leg.on_packet(now, stranger, &report[..len]);
    assert_eq!(leg.stats().remote_report, None, "not from a stranger");
    let behind_nat = SocketAddr::from(([192, 0, 2, 2], 9_001));
    leg.on_packet(now, behind_nat, &report[..len]);
    assert!(leg.stats().remote_report.is_some());
    let (_, to) = leg.farewell(now, NTP).expect("a farewell");
    assert_eq!(to, behind_nat, "reports go to where they come from");
}

#[test]
fn the_farewell_ends_with_bye() {
    let mut line = Line::new(0, 0, RtcpPath::Muxed);
    line.run(50);
    let (compound, _) = line.legs[0].farewell(FRAME * 50, NTP).expect("a farewell");
    let compound = compound.to_vec();
    let parts = split(&compound);
    let bye = Goodbye::unmarshal(&mut &parts[2][..]).expect("BYE");
    assert_eq!((bye.sources, parts.len()), (vec![0xabcd_0001], 3));
    line.legs[1].on_packet(FRAME * 50, address(1), &compound);
    let events = std::iter::from_fn(|| line.legs[1].poll_event());
    let byes = events.filter(|e| format!("{e:?}").contains("RemoteBye"));
    assert_eq!(byes.count(), 1);
}

/// Catalogue of failures, row 2: a marker on every packet makes nonsense of everybody's figures.
#[test]
fn the_marker_stands_on_the_first_packet_alone() {
    let mut line = Line::new(0, 0, RtcpPath::Muxed);
    line.run(500);
    assert_eq!((line.markers, line.sent), (1, 500));
}

#[test]
fn jitter_is_that_of_the_rfc() {
    let mut leg = leg(1, RtcpPath::Muxed);
    let mut expected = 0.0_f64;
    let mut before: Option<i64> = None;
    for n in 0..400_u32 {
        // Packets come 0 to 30 ms late, in an order that repeats.
        let late_ms = u64::from(n * 7 % 31);
        let now = FRAME * n + Duration::from_millis(late_ms);
        let mut bytes = [0; 172];
        let packet = rtp::Packet {
            payload_type: 0,
            marker: false,
            seq: n as u16,
            timestamp: n * 160,
            ssrc: 5,
            payload: &[0xff; 160],
        };
        let len = rtp::build(&packet, &mut bytes).expect("room");
        leg.on_packet(now, address(2), &bytes[..len]);
        let transit = late_ms as i64 * 8;
        if let Some(before) = before {
            // RFC 3550 §6.4.1.
            expected += ((transit - before).abs() as f64 - expected) / 16.0;
        }
        before = Some(transit);
    }
    let jitter_us = f64::from(leg.stats().jitter_us);
    let expected_us = expected * 125.0;
    assert!(
        (jitter_us - expected_us).abs() < 250.0,
        "{jitter_us} {expected_us}"
    );
}

#[test]
fn a_foreign_writers_reports_are_read() {
    let block = ReceptionReport {
        ssrc: 9,
        fraction_lost: 12,
        total_lost: 0x00ff_ffff,
        last_sequence_number: 70_000,
        jitter: 33,
        last_sender_report: 0x1234_5678,
        delay: 65_536,
    };
    let sender = SenderReport {
        ssrc: 5,
        ntp_time: NTP,
        rtp_time: 7,
        packet_count: 8,
        octet_count: 9,
        reports: vec![block.clone(), block.clone()],
        ..SenderReport::default()
    };
    let receiver = ReceiverReport {
        ssrc: 6,
        reports: vec![block],
        ..ReceiverReport::default()
    };
    let ours = ReportBlock {
        ssrc: 9,
        fraction_lost: 12,
        // 24 bits with a sign: one packet came twice.
        cumulative_lost: -1,
        highest_seq: 70_000,
        jitter_ticks: 33,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 65_536,
    };
    let info = SenderInfo {
        ntp: NTP,
        rtp_timestamp: 7,
        packets: 8,
        octets: 9,
    };
    let bytes = [
        sender.marshal().expect("bytes"),
        receiver.marshal().expect("bytes"),
    ]
    .concat();
    let read: Vec<_> = rtcp::parse(&bytes).collect();
    let block = Some(ours);
    let expected = [
        Ok(Report::Sender {
            ssrc: 5,
            info,
            block,
        }),
        Ok(Report::Receiver { ssrc: 6, block }),
    ];
    assert_eq!(read, expected);
}

/// ITU-T G.107: R = 93.2 is 4.41; what loss and delay take is the recommendation's.
#[test]
fn the_opinion_score_is_that_of_the_e_model() {
    let score = |loss_percent: f32, delay_ms: f32| {
        mos_centi(Heard {
            loss_percent,
            delay_ms,
            impairment: Impairment::G711,
        })
    };
    assert_eq!(score(0.0, 0.0), 440);
    assert!(
        (390..=396).contains(&score(5.0, 0.0)),
        "{}",
        score(5.0, 0.0)
    );
    assert!(
        (298..=312).contains(&score(0.0, 400.0)),
        "{}",
        score(0.0, 400.0)
    );
    assert_eq!(score(100.0, 2_000.0), 100);
    let falling: Vec<u16> = (0..100).map(|loss| score(loss as f32, 50.0)).collect();
    assert!(falling.windows(2).all(|pair| pair[1] <= pair[0]));
}

/// RFC 3550 §6.4: who has sent nothing for two intervals reports as a receiver.
#[test]
fn a_leg_that_rests_reports_as_a_receiver_and_as_a_sender_again_when_it_goes_on() {
    let mut line = Line::new(0, 0, RtcpPath::Muxed);
    let kinds = |line: &mut Line| {
        let reports = std::mem::take(&mut line.reports);
        let kinds = reports.iter().map(|(_, bytes)| bytes[1]);
        kinds.collect::<Vec<_>>()
    };
    line.run(50 * 11);
    assert_eq!(kinds(&mut line), [200, 200]);
    let now = line.now();
    line.legs[0].handle(now, Command::SetSending(false));
    line.run(50 * 20);
    assert_eq!(kinds(&mut line), [200, 200, 201, 201]);
    let now = line.now();
    line.legs[0].handle(now, Command::SetSending(true));
    line.run(50 * 10);
    assert_eq!(kinds(&mut line), [200, 200]);
}

/// A clock of whole milliseconds may say that it kept a report a little longer than it was away; a lie says nothing.
#[test]
fn a_round_trip_is_never_below_nothing() {
    for (kept_ms, expected) in [(995, Some(5_000)), (1_004, Some(0)), (60_000, None)] {
        let mut leg = leg(1, RtcpPath::Muxed);
        let mut bytes = [0; 172];
        let sound = rtp::Packet {
            payload_type: 0,
            marker: false,
            seq: 1,
            timestamp: 160,
            ssrc: 5,
            payload: &[0xff; 160],
        };
        let len = rtp::build(&sound, &mut bytes).expect("room");
        leg.on_packet(FRAME, address(2), &bytes[..len]);
        leg.tick(FRAME);
        let left = Duration::from_secs(4);
        assert!(leg.poll_report(left, NTP).is_some());
        let block = Some(ReportBlock {
            ssrc: 0xabcd_0001,
            last_sr: (NTP >> 16) as u32,
            delay_since_last_sr: (kept_ms * 65_536_u64 / 1_000) as u32,
            ..ReportBlock::default()
        });
        let mut report = [0; 64];
        let told = Report::Receiver { ssrc: 5, block };
        let len = rtcp::build(&told, &mut report).expect("room");
        let now = left + Duration::from_secs(1);
        leg.on_packet(now, address(2), &report[..len]);
        let measured = leg.stats().round_trip_us;
        let near = |(m, e): (u32, u32)| m.abs_diff(e) < 100;
        assert_eq!(measured.is_some(), expected.is_some(), "{kept_ms}");
        assert!(measured.zip(expected).is_none_or(near), "{measured:?}");
    }
}
