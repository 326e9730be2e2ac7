//! RFC 3611: VoIP metrics go to who asks for them, and say what was lost, how, and what it sounds like.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use media_core::quality::Bursts;
use media_core::rtcp::{self, GAP_PACKETS, Report, VoipMetrics, build_voip_metrics};
use rtc_rtcp::extended_report::{ExtendedReport, VoIPMetricsReportBlock};
use rtc_shared::marshal::{Marshal, Unmarshal};
use sim::{Sim, Talker, config};
use std::time::Duration;

const NTP: u64 = 3_990_000_000 << 32;

/// Twelve seconds of a far side, and what our leg reports then.
fn reported(asked: bool) -> (Sim, Vec<u8>) {
    let mut config = config();
    config.negotiated.voip_metrics = asked;
    let (mut sim, mut talker) = (Sim::new(config, 1), Talker::new(0, 0));
    for n in 0..600_u32 {
        let bytes = talker.say();
        // Five in a row out of a hundred.
        if n % 100 < 95 {
            sim.post(FRAME * n + Duration::from_millis(30), bytes);
        }
    }
    sim.run_until(FRAME * 600);
    let now = FRAME * 600;
    let report = sim
        .leg
        .poll_report(now, NTP)
        .map(|(bytes, _)| bytes.to_vec());
    (sim, report.expect("a report is due"))
}

/// The packets of a compound, each with its header.
fn packets(mut compound: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while compound.len() >= 4 {
        let len = 4 + 4 * usize::from(u16::from_be_bytes([compound[2], compound[3]]));
        all.push(compound[..len].to_vec());
        compound = &compound[len..];
    }
    all
}

fn metrics_of(compound: &[u8]) -> Option<VoIPMetricsReportBlock> {
    let packet = packets(compound).into_iter().find(|p| p[1] == 207)?;
    let mut bytes = &packet[..];
    let report = ExtendedReport::unmarshal(&mut bytes).expect("a foreign reader reads it");
    let block = report.reports[0].as_any().downcast_ref();
    let block: Option<&VoIPMetricsReportBlock> = block;
    block.cloned()
}

#[test]
fn who_asks_is_told_and_who_does_not_is_not() {
    let (_, silent) = reported(false);
    assert_eq!(metrics_of(&silent), None);
    let (sim, report) = reported(true);
    let told = metrics_of(&report).expect("VoIP metrics");
    println!("{told:?}");
    assert_eq!(told.ssrc, 1);
    // 25 of 595: the last five are not missed yet.
    assert!((9..=13).contains(&told.loss_rate), "{told:?}");
    assert_eq!((told.discard_rate, told.gap_density), (0, 0));
    assert_eq!(told.burst_density, 255, "a burst is nothing but loss");
    assert_eq!((told.burst_duration, told.gap_duration / 100), (100, 19));
    assert_eq!(told.gmin, GAP_PACKETS);
    let mos = f32::from(sim.stats().mos_centi) / 10.0;
    assert!((f32::from(told.mos_cq) - mos).abs() <= 1.0, "{told:?}");
    assert!(told.mos_lq >= told.mos_cq && told.rfactor > 40, "{told:?}");
    assert_eq!(told.jb_nominal, 20);
    // Our own reader steps over it, and the report before it is whole.
    let read: Vec<_> = rtcp::parse(&report).collect();
    assert!(matches!(
        read[..],
        [Ok(Report::Sender { .. } | Report::Receiver { .. })]
    ));
}

#[test]
fn the_last_compound_holds_all_that_it_may() {
    let (mut sim, _) = reported(true);
    let now = FRAME * 601;
    let (bytes, _) = sim.leg.farewell(now, NTP).expect("a farewell");
    let kinds: Vec<u8> = packets(bytes).iter().map(|packet| packet[1]).collect();
    assert_eq!(kinds, [200, 202, 207, 203]);
}

#[test]
fn a_block_says_to_the_bit_what_it_is_told() {
    let metrics = VoipMetrics {
        ssrc: 0x0102_0304,
        loss_rate: 5,
        discard_rate: 6,
        burst_density: 7,
        gap_density: 8,
        burst_ms: 0x0910,
        gap_ms: 0x1112,
        round_trip_ms: 0x1314,
        end_system_ms: 0x1516,
        rating: 93,
        listening: 44,
        conversational: 43,
        buffer_ms: 40,
        buffer_cap_ms: 200,
    };
    let mut out = [0; 44];
    assert_eq!(build_voip_metrics(9, &metrics, &mut out), Ok(44));
    let head = [0x80, 207, 0, 10, 0, 0, 0, 9, 7, 0, 0, 8];
    let body = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 127, 127, 127, 16, 93, 127, 44, 43,
    ];
    assert_eq!(out[..12], head);
    assert_eq!(out[12..36], body);
    assert_eq!(out[36..], [0xb0, 0, 0, 40, 0, 200, 0, 200]);
    assert!(build_voip_metrics(9, &metrics, &mut out[..43]).is_err());
}

fn foreign(block: VoIPMetricsReportBlock) -> Vec<u8> {
    let report = ExtendedReport {
        sender_ssrc: 1,
        reports: vec![Box::new(block)],
    };
    report
        .marshal()
        .expect("a foreign writer writes it")
        .to_vec()
}

/// What a foreign writer says of our stream is read, and nothing else is.
#[test]
fn what_the_far_side_tells_of_our_sound_is_kept() {
    let (mut sim, _) = reported(false);
    let ours = sim.leg.wire().ssrc;
    let told = VoIPMetricsReportBlock {
        ssrc: ours,
        loss_rate: 12,
        round_trip_delay: 180,
        rfactor: 80,
        mos_lq: 41,
        mos_cq: 39,
        ..VoIPMetricsReportBlock::default()
    };
    let other = VoIPMetricsReportBlock {
        ssrc: ours + 1,
        ..told.clone()
    };
    let hear = |sim: &mut Sim, bytes: &[u8]| sim.leg.on_packet(FRAME * 601, sim::far_end(), bytes);
    hear(&mut sim, &foreign(other));
    assert_eq!(sim.stats().remote_voip, None, "of another stream");
    hear(&mut sim, &foreign(told));
    let kept = sim.stats().remote_voip.expect("metrics");
    assert_eq!((kept.loss_rate, kept.round_trip_ms), (12, 180));
    assert_eq!(kept.mos_centi(), Some(390));
    assert_eq!(sim.stats().malformed, 0);
}

/// RFC 3611 §4.7.5: what nobody measures is 127; a rating stands for the score that is missing.
#[test]
fn an_opinion_that_nobody_has_is_none() {
    let opinion = |rating, listening, conversational| {
        let metrics = VoipMetrics {
            rating,
            listening,
            conversational,
            ..VoipMetrics::default()
        };
        metrics.mos_centi()
    };
    assert_eq!(opinion(127, 127, 127), None);
    assert_eq!(opinion(127, 40, 127), Some(400));
    assert_eq!(opinion(127, 40, 38), Some(380));
    assert!(opinion(93, 127, 127).is_some_and(|mos| (430..=450).contains(&mos)));
    assert_eq!(opinion(0, 0, 0), Some(100));
    assert_eq!(opinion(255, 255, 9), None);
}

/// Whatever its lengths say, a block is read within its packet, and only at its own length.
#[test]
fn a_block_cut_short_or_of_another_length_is_none() {
    let metrics = VoipMetrics {
        ssrc: 7,
        ..VoipMetrics::default()
    };
    let mut whole = [0; 44];
    build_voip_metrics(9, &metrics, &mut whole).expect("room");
    let read = |bytes: &[u8]| rtcp::voip_metrics(bytes).count();
    assert_eq!(read(&whole), 1);
    assert_eq!(read(&[whole, whole].concat()), 2);
    for len in 0..44 {
        assert_eq!(read(&whole[..len]), 0, "{len} bytes");
    }
    for words in [0, 1, 7, 9, 0xffff_u16] {
        let mut wrong = whole;
        wrong[10..12].copy_from_slice(&words.to_be_bytes());
        assert_eq!(read(&wrong), 0, "{words} words");
    }
    // A packet that holds less than its block says.
    let mut short = whole;
    short[2..4].copy_from_slice(&5_u16.to_be_bytes());
    assert_eq!(read(&short), 0);
    // Another block before it.
    let mut two = [0; 48];
    two[..8].copy_from_slice(&whole[..8]);
    two[3] = 11;
    two[8..12].copy_from_slice(&[4, 0, 0, 0]);
    two[12..].copy_from_slice(&whole[8..]);
    assert_eq!(read(&two), 1);
}

/// RFC 3611 §4.7.2: loss far apart is no burst.
#[test]
fn bursts_and_gaps_are_told_apart() {
    let mut lone = Bursts::default();
    for n in 1..=1_000 {
        if n % 50 == 0 {
            lone.lost();
        } else {
            lone.received();
        }
    }
    let figures = lone.figures();
    assert!(
        figures.burst_density == 0 || figures.burst_packets <= 1,
        "{figures:?}"
    );
    let mut thick = Bursts::default();
    for n in 0..2_000 {
        // Every other one for thirty packets, then seventy whole.
        if n % 100 < 30 && n % 2 == 1 {
            thick.lost();
        } else {
            thick.received();
        }
    }
    let figures = thick.figures();
    println!("{figures:?}");
    assert!((100..=160).contains(&figures.burst_density), "{figures:?}");
    assert!((27..=31).contains(&figures.burst_packets), "{figures:?}");
    assert!((68..=75).contains(&figures.gap_packets), "{figures:?}");
    assert_eq!(figures.gap_density, 0);
}
