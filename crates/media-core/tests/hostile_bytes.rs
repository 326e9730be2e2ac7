//! Whatever arrives on the port: no panic, exact output, at most a counter moves.

#[path = "network/sim.rs"]
mod sim;

use media_core::dtmf::Event;
use media_core::leg::{Leg, Wire};
use media_core::rtcp::{self, Report, ReportBlock, SenderInfo};
use media_core::{FRAME, rtp};
use sim::{Dice, Talker, config, far_end};
use std::time::Duration;

fn seeds() -> Vec<Vec<u8>> {
    let mut talker = Talker::new(1, 1);
    let mut all = vec![talker.say(), talker.say()];
    talker.payload_type = 101;
    all.push(
        talker.packet(
            &Event {
                code: 1,
                end: true,
                volume: 3,
                duration_ticks: 800,
            }
            .to_bytes(),
        ),
    );
    let block = Some(ReportBlock {
        ssrc: 1,
        cumulative_lost: -3,
        ..ReportBlock::default()
    });
    let reports = [
        Report::Sender {
            ssrc: 2,
            info: SenderInfo {
                ntp: 1 << 40,
                ..SenderInfo::default()
            },
            block,
        },
        Report::Receiver { ssrc: 2, block },
        Report::Bye { ssrc: Some(2) },
    ];
    for report in reports {
        let mut bytes = [0; 64];
        let len = rtcp::build(&report, &mut bytes).expect("fits");
        all.push(bytes[..len].to_vec());
    }
    // CSRCs, extension and padding at once.
    let mut rich = vec![
        0xb2, 0x00, 0, 9, 0, 0, 0, 9, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 9, 9,
        9, 9,
    ];
    rich.extend([0x55; 160]);
    rich.extend([0, 0, 3]);
    all.push(rich);
    all
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(2) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        match dice.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.roll() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            3 if at < bytes.len() => bytes[at] = dice.roll() as u8,
            4 => bytes.extend(std::iter::repeat_n(
                dice.roll() as u8,
                dice.below(1_500) as usize,
            )),
            _ => bytes.rotate_left(at),
        }
    }
}

#[test]
fn three_hundred_thousand_mutations_neither_panic_nor_stop_the_stream() {
    let (mut dice, seeds) = (Dice(2_026), seeds());
    let mut leg = Leg::new(config(), Wire::default(), Duration::ZERO);
    for n in 0..300_000_u32 {
        let mut bytes = seeds[dice.below(seeds.len() as u64) as usize].clone();
        mutate(&mut dice, &mut bytes);
        let now = Duration::from_millis(u64::from(n) * 5);
        leg.on_packet(now, far_end(), &bytes);
        let _ = rtp::parse(&bytes).map(|p| rtp::build(&p, &mut [0; 4_096]));
        assert!(rtcp::parse(&bytes).count() <= bytes.len());
        while leg.poll_ear(now).is_some() {}
        if n % 4 == 0 {
            assert_eq!(leg.tick(now).packet.len(), 172);
            assert!(leg.stats().buffered_ms <= 200);
        }
        while leg.poll_event().is_some() {}
    }
    let stats = leg.stats();
    assert!(
        stats.malformed > 10_000 && stats.foreign_type > 1_000 && stats.jitter.received > 1_000,
        "{stats:?}"
    );
}

#[test]
fn rtp_and_rtcp_print_and_parse_to_the_same() {
    for bytes in seeds().iter().take(3) {
        let packet = rtp::parse(bytes).expect("valid");
        let mut again = vec![0; bytes.len()];
        assert_eq!(rtp::build(&packet, &mut again), Ok(bytes.len()));
        assert_eq!(&again, bytes);
    }
    let mut compound = Vec::new();
    let mut sent = Vec::new();
    for bytes in seeds().iter().skip(3).take(3) {
        sent.extend(rtcp::parse(bytes));
        compound.extend_from_slice(bytes);
    }
    assert_eq!(sent.len(), 3);
    assert_eq!(rtcp::parse(&compound).collect::<Vec<_>>(), sent);
    assert!(matches!(
        sent[1],
        Ok(Report::Receiver {
            block: Some(ReportBlock {
                cumulative_lost: -3,
                ..
            }),
            ..
        })
    ));
}

#[test]
fn random_noise_on_the_port_changes_nothing_but_counters() {
    let mut dice = Dice(1);
    let mut leg = Leg::new(config(), Wire::default(), Duration::ZERO);
    for n in 0..100_000_u32 {
        let bytes: Vec<u8> = (0..dice.below(300)).map(|_| dice.roll() as u8).collect();
        leg.on_packet(FRAME * n, far_end(), &bytes);
        assert_eq!(leg.tick(FRAME * n).caller.samples().len(), 160);
    }
}
