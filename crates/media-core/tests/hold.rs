//! A leg whose far side holds it: it rests to the sample, and is not taken for dead.

use std::net::SocketAddr;
use std::time::Duration;

use media_core::codec;
use media_core::leg::{Command, Leg, LegConfig, LegEventKind, Mode, Negotiated, Timeouts, Wire};
use media_core::playout::Tag;
use media_core::rtp::{self, Packet};

const TICK: Duration = Duration::from_millis(20);

fn far() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4000))
}

fn leg() -> Leg {
    let config = LegConfig {
        negotiated: Negotiated {
            codec: codec::by_name("PCMU").expect("G.711"),
            payload_type: 0,
            max_packet_ms: 20,
            receive_payload_type: 0,
            fmtp: None,
            also_receive: Vec::new(),
            telephone_event: None,
            comfort_noise: None,
            remote: Some(far()),
            srtp: None,
            rtcp: media_core::leg::RtcpPath::Muxed,
            voip_metrics: false,
        },
        mode: Mode::Agent,
        ears: None,
        timeouts: Timeouts {
            never: Duration::from_secs(1),
            stopped: Duration::from_secs(1),
        },
        reflex_armed: false,
        keys_in_band: false,
    };
    Leg::new(config, Wire::default(), Duration::ZERO)
}

fn packet(seq: u16) -> Vec<u8> {
    let packet = Packet {
        payload_type: 0,
        marker: false,
        seq,
        timestamp: u32::from(seq) * 160,
        ssrc: 9,
        payload: &[0xff; 160],
    };
    let mut bytes = vec![0; 172];
    let len = rtp::build(&packet, &mut bytes).expect("room");
    bytes.truncate(len);
    bytes
}

struct Sent {
    packets: u32,
    now: Duration,
    /// Sequence number, timestamp and marker of the last packet.
    last: Option<(u16, u32, bool)>,
    first: Option<(u16, u32, bool)>,
}

fn run(leg: &mut Leg, now: Duration, ticks: u32) -> Sent {
    let mut sent = Sent {
        packets: 0,
        now,
        last: None,
        first: None,
    };
    for _ in 0..ticks {
        sent.now += TICK;
        let tick = leg.tick(sent.now);
        if tick.to.is_some() {
            let packet = rtp::parse(tick.packet).expect("ours");
            let seen = (packet.seq, packet.timestamp, packet.marker);
            sent.packets += 1;
            sent.first.get_or_insert(seen);
            sent.last = Some(seen);
        }
    }
    sent
}

fn timeouts(leg: &mut Leg) -> usize {
    std::iter::from_fn(|| leg.poll_event())
        .filter(|event| matches!(event.kind, LegEventKind::MediaTimeout(_)))
        .count()
}

#[test]
fn a_held_leg_sends_nothing_and_goes_on_at_the_very_sample() {
    let mut leg = leg();
    leg.playout().push(Tag(1), &[1_000; 3_200]);
    let before = run(&mut leg, Duration::ZERO, 5);
    assert_eq!(before.packets, 5);
    leg.handle(before.now, Command::Pause);
    leg.handle(before.now, Command::SetSending(false));
    let held = run(&mut leg, before.now, 50);
    assert_eq!(held.packets, 0);
    assert_eq!(
        leg.position().samples_sent,
        800,
        "not one sample passed unheard"
    );
    leg.handle(held.now, Command::SetSending(true));
    leg.handle(held.now, Command::Resume);
    let after = run(&mut leg, held.now, 15);
    assert_eq!(after.packets, 15);
    assert_eq!(leg.position().samples_sent, 3_200);
    let (_, was, _) = before.last.expect("sent");
    let (_, now, marker) = after.first.expect("sent");
    assert_eq!(now - was, 51 * 160, "the clock went on");
    assert!(marker, "a new stretch of speech begins");
    assert_eq!(leg.stats().packets_out, 20);
}

#[test]
fn a_held_leg_has_its_own_patience_and_starts_afresh_afterwards() {
    let mut leg = leg();
    leg.on_packet(Duration::ZERO, far(), &packet(1));
    let long = Timeouts {
        never: Duration::from_secs(30),
        stopped: Duration::from_secs(30),
    };
    leg.handle(Duration::from_millis(900), Command::SetTimeouts(long));
    let held = run(&mut leg, Duration::from_millis(900), 500);
    assert_eq!(timeouts(&mut leg), 0, "ten silent seconds are no loss");
    let short = Timeouts {
        never: Duration::from_secs(1),
        stopped: Duration::from_secs(1),
    };
    leg.handle(held.now, Command::SetTimeouts(short));
    let soon = run(&mut leg, held.now, 40);
    assert_eq!(
        timeouts(&mut leg),
        0,
        "the far side gets its time to come back"
    );
    run(&mut leg, soon.now, 20);
    assert_eq!(timeouts(&mut leg), 1);
}
