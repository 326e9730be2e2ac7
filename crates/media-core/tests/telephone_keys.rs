//! RFC 4733: each key exactly once in, well-formed events out.

#[path = "network/sim.rs"]
mod sim;

use media_core::dtmf::{Digits, DtmfReceiver, Event, Key};
use media_core::leg::{Command, Leg, LegEventKind, Mode, Wire};
use media_core::{FRAME, rtp};
use sim::{Dice, config};
use std::time::Duration;

/// The packets of one key: five updates and three ends.
fn key_packets(code: u8, timestamp: u32) -> Vec<(u32, [u8; 4])> {
    let event = |n: u16, end| {
        Event {
            code,
            end,
            volume: 10,
            duration_ticks: n * 160,
        }
        .to_bytes()
    };
    (1..=5)
        .map(|n| (timestamp, event(n, false)))
        .chain((0..3).map(|_| (timestamp, event(6, true))))
        .collect()
}

fn receive(packets: &[(u32, [u8; 4])]) -> String {
    let mut receiver = DtmfReceiver::default();
    packets
        .iter()
        .filter_map(|(t, bytes)| receiver.on_event(1, *t, bytes))
        .map(Key::as_char)
        .collect()
}

#[test]
fn each_key_is_heard_once_whatever_is_lost_of_it() {
    for lost in 0_u32..256 {
        let mut packets = Vec::new();
        for (n, code) in [1, 1, 10, 15].into_iter().enumerate() {
            let all = key_packets(code, 1_000 + n as u32 * 2_000);
            packets.extend(
                all.into_iter()
                    .enumerate()
                    .filter(|(i, _)| lost & (1 << i) == 0)
                    .map(|(_, p)| p),
            );
        }
        let expected = if lost == 255 { "" } else { "11*D" };
        assert_eq!(receive(&packets), expected, "lost pattern {lost:08b}");
    }
}

#[test]
fn packets_of_the_last_key_that_come_after_the_next_one_began_add_nothing() {
    let mut packets = key_packets(1, 1_000);
    let late = packets.split_off(6);
    packets.extend(key_packets(2, 3_000).into_iter().take(3));
    packets.extend(late);
    packets.extend(key_packets(2, 3_000).into_iter().skip(3));
    assert_eq!(receive(&packets), "12");
}

#[test]
fn a_key_held_beyond_the_16_bit_duration_is_still_one() {
    let bytes = |duration, end| {
        Event {
            code: 5,
            end,
            volume: 0,
            duration_ticks: duration,
        }
        .to_bytes()
    };
    let packets = [
        (100, bytes(160, false)),
        (100, bytes(65_535, false)),
        (65_635, bytes(160, false)),
        (65_635, bytes(320, true)),
    ];
    assert_eq!(receive(&packets), "5");
}

#[test]
fn tones_that_are_no_keys_and_cut_payloads_are_ignored() {
    assert_eq!(
        receive(&[(1, [16, 0, 0, 160]), (2, [255, 0x80, 0, 160])]),
        ""
    );
    let mut receiver = DtmfReceiver::default();
    assert_eq!(receiver.on_event(1, 5, &[1, 2, 3]), None);
}

#[test]
fn digits_go_out_as_five_updates_and_three_ends_and_our_own_receiver_reads_them_back() {
    let mut setup = config();
    setup.mode = Mode::Agent;
    let mut leg = Leg::new(
        setup,
        Wire {
            ssrc: 3,
            seq: 65_533,
            timestamp: u32::MAX - 900,
            tick: 0,
            ..Wire::default()
        },
        Duration::ZERO,
    );
    leg.handle(
        Duration::ZERO,
        Command::SendDigits(Digits::parse("19*d").expect("keys")),
    );
    let mut receiver = DtmfReceiver::default();
    let (mut heard, mut markers, mut ends, mut done) = (String::new(), 0, 0, false);
    let mut last: Option<(u16, u32)> = None;
    for n in 0..60 {
        let bytes = leg.tick(FRAME * n).packet.to_vec();
        let packet = rtp::parse(&bytes).expect("ours");
        if let Some((seq, _)) = last {
            assert_eq!(packet.seq, seq.wrapping_add(1));
        }
        last = Some((packet.seq, packet.timestamp));
        if packet.payload_type == 101 {
            heard.extend(
                receiver
                    .on_event(packet.ssrc, packet.timestamp, packet.payload)
                    .map(Key::as_char),
            );
            markers += u32::from(packet.marker);
            ends += u32::from(Event::parse(packet.payload).expect("event").end);
        }
        done |= std::iter::from_fn(|| leg.poll_event()).any(|e| e.kind == LegEventKind::DigitsSent);
    }
    assert_eq!((heard.as_str(), markers, ends, done), ("19*D", 4, 12, true));
}

#[test]
fn keys_through_a_bad_network_arrive_once_and_do_not_count_as_lost_sound() {
    let mut dice = Dice(77);
    let mut sim = sim::Sim::new(config(), 1);
    let mut talker = sim::Talker::new(0, 0);
    for n in 0..500_u32 {
        let bytes = if n % 50 < 8 {
            let start = talker.timestamp.wrapping_sub((n % 50) * 160);
            let end = n % 50 >= 5;
            let event = Event {
                code: (n / 50 % 10) as u8,
                end,
                volume: 10,
                duration_ticks: (n % 50 + 1) as u16 * 160,
            };
            let stamp = sim::Talker {
                payload_type: 101,
                timestamp: start,
                ..talker
            };
            let bytes = stamp.packet(&event.to_bytes());
            talker.skip();
            bytes
        } else {
            talker.say()
        };
        sim.post(FRAME * n + Duration::from_millis(dice.below(40)), bytes);
    }
    sim.run_until(FRAME * 510);
    let digits: String = sim
        .events
        .iter()
        .filter_map(|e| match e {
            LegEventKind::Digit(digit) => Some(digit.key),
            _ => None,
        })
        .collect();
    assert_eq!(digits, "0123456789");
    let counters = sim.stats().jitter;
    assert_eq!(
        (counters.lost, counters.received, counters.resync),
        (0, 500, 0),
        "{counters:?}"
    );
}

#[test]
fn orders_that_are_no_digits_name_the_fault() {
    assert_eq!(
        Digits::parse("12x").map_err(|e| e.to_string()),
        Err("'X' is not a telephone key (0-9 * # A-D)".into())
    );
    assert!(Digits::parse(&"1".repeat(33)).is_err());
}
