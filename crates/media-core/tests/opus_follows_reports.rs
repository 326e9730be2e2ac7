//! Opus over a line that loses packets: what the far side reports, and nothing else, decides how much redundancy our encoder
//! adds (RFC 7587 §3.3), and one report does not switch it to and fro.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use media_core::codec::libopus;
use media_core::leg::{Command, Leg, LegConfig, Mode, Negotiated, Wire};
use media_core::rtcp::{self, Report, ReportBlock};
use media_core::rtp::{self, Packet};
use media_core::tone::Tone;
use sim::Dice;
use std::net::SocketAddr;
use std::time::Duration;

const NTP: u64 = 3_990_000_000 << 32;
const TICKS_A_SECOND: u32 = 50;

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 4_000))
}

fn leg(side: usize, fmtp: &str) -> Leg {
    let usual = sim::config();
    let negotiated = Negotiated {
        codec: &libopus::SPEC,
        payload_type: 111,
        receive_payload_type: 111,
        fmtp: Some(fmtp.into()),
        also_receive: Vec::new(),
        remote: Some(address(1 - side)),
        ..usual.negotiated
    };
    let config = LegConfig {
        negotiated,
        mode: Mode::Tone(Tone::new([300.0, 1_100.0], -16.0, 400, 100)),
        ears: None,
        ..usual
    };
    let wire = Wire {
        ssrc: 0xabcd_0000 + side as u32,
        ..Wire::default()
    };
    Leg::new(config, wire, Duration::ZERO)
}

/// RFC 6716 §4.2.4: the flag after that of voice activity, in a packet of one SILK frame.
fn is_redundant(packet: &[u8]) -> bool {
    let payload = rtp::parse(packet).expect("RTP").payload;
    let silk = payload.first().is_some_and(|toc| toc & 0x80 == 0);
    silk && payload.get(1).is_some_and(|byte| byte & 0x40 != 0)
}

/// Two legs; so much of what the first one says is lost.
struct Call {
    legs: [Leg; 2],
    ticks: u32,
    dice: Dice,
}

impl Call {
    fn new(fmtp: &str) -> Self {
        Self {
            legs: [leg(0, fmtp), leg(1, "useinbandfec=1")],
            ticks: 0,
            dice: Dice(7),
        }
    }

    /// So many seconds; for each the share of our packets with redundancy in it, in percent.
    fn run(&mut self, seconds: u32, loss_percent: u64) -> Vec<u32> {
        let share = |call: &mut Self| {
            let redundant = (0..TICKS_A_SECOND).filter(|_| call.tick(loss_percent));
            redundant.count() as u32 * 100 / TICKS_A_SECOND
        };
        (0..seconds).map(|_| share(self)).collect()
    }

    fn tick(&mut self, loss_percent: u64) -> bool {
        let now = FRAME * self.ticks;
        self.ticks += 1;
        let [near, far] = &mut self.legs;
        let packet = near.tick(now).packet;
        if !self.dice.percent(loss_percent) {
            far.on_packet(now, address(0), packet);
        }
        let redundant = is_redundant(packet);
        let back = far.tick(now).packet;
        near.on_packet(now, address(1), back);
        if let Some((report, _)) = far.poll_report(now, NTP) {
            near.on_packet(now, address(1), report);
        }
        redundant
    }
}

#[test]
fn redundancy_comes_with_reported_loss_and_goes_with_it() {
    let mut call = Call::new("useinbandfec=1");
    let clean = call.run(7, 0);
    assert_eq!(clean, [0; 7], "nothing is lost");
    let lossy = call.run(18, 10);
    println!("10 % lost: {lossy:?}");
    assert!(lossy[12..].iter().all(|share| *share > 60), "{lossy:?}");
    let expected = call.legs[0].stats().tuning.loss_percent;
    assert!((6..=16).contains(&expected), "{expected} %");
    let after = call.run(50, 0);
    println!("nothing lost any more: {after:?}");
    assert!(after[46..].iter().all(|share| *share == 0), "{after:?}");
    assert_eq!(call.legs[0].stats().tuning.loss_percent, 0);
}

/// One to three of a hundred, for an hour: as it falls out, some reports tell of none and some of five.
#[test]
fn a_line_at_the_edge_does_not_switch_it_to_and_fro() {
    for loss_percent in [1, 2, 3] {
        let (mut leg, mut dice) = (leg(0, "useinbandfec=1"), Dice(loss_percent));
        leg.on_packet(Duration::ZERO, address(1), &packet_of_sound());
        let (mut on, mut told) = (Vec::new(), Vec::new());
        for n in 1..=720 {
            let lost = (0..250).filter(|_| dice.percent(loss_percent)).count();
            let now = Duration::from_secs(5 * n);
            leg.on_packet(now, address(1), &report(lost as u32 * 256 / 250));
            on.push(leg.stats().tuning.loss_percent > 0);
            told.push(lost * 100 >= 250 * 2);
        }
        let switched = |states: &[bool]| states.windows(2).filter(|two| two[0] != two[1]).count();
        let (smoothed, raw) = (switched(&on), switched(&told));
        println!(
            "{loss_percent} %: switched {smoothed} times in an hour; by each report alone {raw}"
        );
        assert!(smoothed * 3 <= raw, "{loss_percent} %: {smoothed} of {raw}");
    }
}

fn packet_of_sound() -> Vec<u8> {
    let mut bytes = [0; 64];
    let packet = Packet {
        payload_type: 111,
        marker: true,
        seq: 1,
        timestamp: 0,
        ssrc: 5,
        payload: &[0x48, 0],
    };
    let len = rtp::build(&packet, &mut bytes).expect("room");
    bytes[..len].to_vec()
}

fn report(fraction_lost: u32) -> Vec<u8> {
    let block = ReportBlock {
        ssrc: 0xabcd_0000,
        fraction_lost: fraction_lost as u8,
        ..ReportBlock::default()
    };
    let report = Report::Receiver {
        ssrc: 5,
        block: Some(block),
    };
    let mut bytes = [0; 64];
    let len = rtcp::build(&report, &mut bytes).expect("room");
    bytes[..len].to_vec()
}

/// RFC 7587 §6.1: a far side that makes no use of redundancy gets none, whatever it loses.
#[test]
fn who_does_not_want_it_gets_none() {
    for fmtp in ["", "useinbandfec=0", "stereo=0; useinbandfec = 0"] {
        let mut call = Call::new(fmtp);
        assert_eq!(call.run(8, 20), [0; 8], "{fmtp}");
    }
}

/// A new machine of the same line, and a repeated offer, keep what is known of it.
#[test]
fn a_repeated_offer_keeps_what_is_known_of_the_line() {
    let mut call = Call::new("useinbandfec=1");
    call.run(14, 10);
    let again = Negotiated {
        codec: &libopus::SPEC,
        payload_type: 111,
        receive_payload_type: 111,
        fmtp: Some("useinbandfec=1".into()),
        also_receive: Vec::new(),
        remote: Some(address(1)),
        ..sim::config().negotiated
    };
    let now = FRAME * call.ticks;
    call.legs[0].handle(now, Command::Renegotiate(again));
    let shares = call.run(3, 10);
    assert!(shares[1..].iter().all(|share| *share > 60), "{shares:?}");
}
