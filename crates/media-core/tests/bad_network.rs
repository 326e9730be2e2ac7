//! What networks and far ends do to a stream (inventory T09, bC10): the output is exact in length, the counters are right.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use media_core::jitter::JitterCounters;
use media_core::leg::LegEventKind;
use sim::{Sim, Talker, config};
use std::time::Duration;

const SECONDS: u32 = 20;
const FRAMES: u32 = SECONDS * 50;
const WAY: Duration = Duration::from_millis(30);

struct Law {
    loss: u64,
    jitter_ms: u64,
    duplicate: u64,
}

/// Twenty seconds under a law; returns what was dropped and doubled on the way.
fn twenty_seconds(law: &Law, seed: u64) -> (Sim, u64, u64) {
    let mut sim = Sim::new(config(), seed);
    let mut talker = Talker::new(65_000, u32::MAX - 40_000);
    let (mut dropped, mut doubled) = (0, 0);
    for n in 0..FRAMES {
        let bytes = talker.say();
        let delay = WAY + Duration::from_micros(sim.dice.below(law.jitter_ms * 1_000 + 1));
        // The last packet always comes, so that each loss before it shows in the numbers.
        if n + 1 < FRAMES && n > 0 && sim.dice.percent(law.loss) {
            dropped += 1;
            continue;
        }
        let arrives = FRAME * n + delay;
        if sim.dice.percent(law.duplicate) {
            doubled += 1;
            sim.post(arrives + Duration::from_millis(3), bytes.clone());
        }
        sim.post(arrives, bytes);
    }
    sim.run_until(FRAME * FRAMES + Duration::from_millis(400));
    (sim, dropped, doubled)
}

fn assert_exact_length(sim: &Sim) {
    let ticks = sim.now.as_millis() as usize / 20;
    assert_eq!(
        sim.caller.len(),
        ticks * 160,
        "one frame per tick, no more, no less"
    );
    assert_eq!(sim.out_packets.len(), ticks);
}

#[test]
fn loss_is_counted_to_the_packet_and_concealed() {
    for loss in [0, 1, 5, 10] {
        let (sim, dropped, _) = twenty_seconds(
            &Law {
                loss,
                jitter_ms: 0,
                duplicate: 0,
            },
            loss + 1,
        );
        let counters = sim.stats().jitter;
        assert_exact_length(&sim);
        assert_eq!(counters.lost, dropped);
        assert_eq!(counters.received, u64::from(FRAMES) - dropped);
        assert_eq!(
            (
                counters.late,
                counters.duplicate,
                counters.reordered,
                counters.resync
            ),
            (0, 0, 0, 0),
            "{counters:?}"
        );
        // Each hole is a frame long; where the head stands inside frames it touches two ticks.
        assert!(
            counters.concealed >= dropped && counters.concealed <= 2 * dropped + 8,
            "{counters:?}"
        );
        if loss == 0 {
            assert!(
                counters.accelerated + counters.expanded < 5,
                "a clean stream is left alone: {counters:?}"
            );
        }
    }
}

#[test]
fn jitter_is_absorbed_within_the_cap() {
    for jitter_ms in [20, 60, 120] {
        let (sim, _, _) = twenty_seconds(
            &Law {
                loss: 0,
                jitter_ms,
                duplicate: 0,
            },
            jitter_ms,
        );
        let stats = sim.stats();
        assert_exact_length(&sim);
        assert_eq!(stats.jitter.lost, 0);
        assert_eq!(stats.jitter.received, u64::from(FRAMES));
        assert!(
            stats.jitter.late * 100 <= u64::from(FRAMES) * 4,
            "at most 4 % late at {jitter_ms} ms: {:?}",
            stats.jitter
        );
        assert!(
            stats.target_ms <= jitter_ms as i64 + 30,
            "{jitter_ms} ms of jitter need no {} ms",
            stats.target_ms
        );
        assert_eq!(stats.jitter.resync, 0);
    }
}

#[test]
fn loss_jitter_and_duplicates_together_keep_the_counters_right() {
    for seed in 0..20 {
        let (sim, dropped, doubled) = twenty_seconds(
            &Law {
                loss: 5,
                jitter_ms: 60,
                duplicate: 5,
            },
            seed,
        );
        let counters = sim.stats().jitter;
        assert_exact_length(&sim);
        assert_eq!(counters.lost, dropped);
        assert_eq!(counters.duplicate, doubled);
        assert_eq!(counters.received, u64::from(FRAMES) - dropped);
        assert_eq!(counters.stray, 0);
    }
}

#[test]
fn the_recogniser_hears_everything_in_order_even_when_packets_overtake_each_other() {
    let mut sim = Sim::new(config(), 3);
    let mut talker = Talker::new(10, 1_000);
    for n in 0..200_u32 {
        // Groups of three arrive backwards.
        let delay = [44, 22, 0][n as usize % 3];
        let bytes = talker.say();
        sim.post(FRAME * n + WAY + Duration::from_millis(delay), bytes);
    }
    sim.run_until(FRAME * 205);
    let times: Vec<u32> = sim
        .ears
        .iter()
        .filter(|(_, heard, _)| *heard)
        .map(|(t, _, _)| *t)
        .collect();
    // Of the very first group only the first to arrive is known to be the beginning.
    assert_eq!(times, (2..200).map(|n| 1_000 + n * 160).collect::<Vec<_>>());
    assert!(sim.stats().jitter.reordered >= 66);
    assert_eq!(sim.stats().jitter.lost, 0);
}

#[test]
fn a_new_ssrc_is_taken_over_without_a_gap_and_stragglers_of_the_old_one_are_ignored() {
    let mut sim = Sim::new(config(), 4);
    let mut old = Talker::new(100, 5_000);
    for n in 0..100 {
        let bytes = old.say();
        sim.post(FRAME * n + WAY, bytes);
    }
    let straggler = old.say();
    let mut new = Talker::new(40_000, 3_000_000_000);
    new.ssrc = 2;
    for n in 100..200 {
        let bytes = new.say();
        sim.post(FRAME * n + WAY, bytes);
    }
    sim.post(FRAME * 101 + WAY, straggler);
    sim.run_until(FRAME * 206);
    let counters = sim.stats().jitter;
    assert_exact_length(&sim);
    assert_eq!(
        (
            counters.received,
            counters.resync,
            counters.stray,
            counters.lost
        ),
        (200, 1, 1, 0),
        "{counters:?}"
    );
    assert!(counters.concealed <= 3, "{counters:?}");
}

#[test]
fn sequence_numbers_and_timestamps_wrap_unnoticed() {
    let (sim, ..) = twenty_seconds(
        &Law {
            loss: 0,
            jitter_ms: 0,
            duplicate: 0,
        },
        0,
    );
    let counters = sim.stats().jitter;
    assert_eq!(
        (counters.lost, counters.resync, counters.reordered),
        (0, 0, 0),
        "the talker wraps at packet 536"
    );
    assert!(
        counters.concealed <= 6,
        "only the fade after the last packet: {counters:?}"
    );
}

#[test]
fn another_negotiated_codec_is_decoded_in_mid_stream_and_a_foreign_one_is_refused() {
    let mut sim = Sim::new(config(), 5);
    let mut talker = Talker::new(0, 0);
    for n in 0..150 {
        talker.payload_type = [0, 8, 18][n as usize / 50];
        let bytes = talker.say();
        sim.post(FRAME * n + WAY, bytes);
    }
    sim.run_until(FRAME * 156);
    let stats = sim.stats();
    assert_exact_length(&sim);
    assert_eq!((stats.jitter.received, stats.foreign_type), (100, 50));
    let second: &[i16] = &sim.caller[60 * 160..98 * 160];
    assert!(
        media_core::frame::level_dbov(second) > -25.0,
        "A-law is heard"
    );
}

#[test]
fn a_pause_of_the_sender_is_silence_not_loss() {
    let mut sim = Sim::new(config(), 6);
    let mut talker = Talker::new(0, 0);
    for n in (0..100).chain(150..250) {
        if n == 150 {
            talker.pause(50);
        }
        let bytes = talker.say();
        sim.post(FRAME * n + WAY, bytes);
    }
    sim.run_until(FRAME * 256);
    let counters = sim.stats().jitter;
    assert_exact_length(&sim);
    assert_eq!(
        (counters.lost, counters.resync, counters.late),
        (0, 0, 0),
        "{counters:?}"
    );
    assert!(
        counters.concealed <= 12,
        "the fade before the pause is known to be one: {counters:?}"
    );
    let pause = &sim.caller[120 * 160..145 * 160];
    assert!(pause.iter().all(|s| *s == 0));
    // The recogniser gets the silence too, in real time, so that it can tell the end of a sentence.
    assert!(
        (248..=260).contains(&sim.ears.len()),
        "{} frames",
        sim.ears.len()
    );
}

#[test]
fn a_timestamp_jump_is_resynchronised_within_a_frame() {
    for jump in [80_000_u32, 0x8000_0000, 0_u32.wrapping_sub(90_000)] {
        let mut sim = Sim::new(config(), 7);
        let mut talker = Talker::new(0, 1_000_000);
        for n in 0..200 {
            if n == 100 {
                talker.timestamp = talker.timestamp.wrapping_add(jump);
            }
            let bytes = talker.say();
            sim.post(FRAME * n + WAY, bytes);
        }
        sim.run_until(FRAME * 206);
        let counters = sim.stats().jitter;
        assert_exact_length(&sim);
        assert_eq!(
            (
                counters.received,
                counters.lost,
                counters.late,
                counters.resync
            ),
            (200, 0, 0, 1),
            "{jump}: {counters:?}"
        );
        assert!(counters.concealed <= 3, "{jump}: {counters:?}");
    }
}

#[test]
fn twenty_five_lost_in_a_row_resynchronise() {
    let mut sim = Sim::new(config(), 8);
    let mut talker = Talker::new(0, 0);
    for n in 0..200 {
        let bytes = talker.say();
        if !(100..126).contains(&n) {
            sim.post(FRAME * n + WAY, bytes);
        }
    }
    sim.run_until(FRAME * 206);
    let counters = sim.stats().jitter;
    assert_exact_length(&sim);
    assert_eq!(
        (counters.lost, counters.resync, counters.received),
        (26, 1, 174),
        "{counters:?}"
    );
}

#[test]
fn a_stall_followed_by_a_burst_never_exceeds_the_cap() {
    let mut sim = Sim::new(config(), 9);
    let mut talker = Talker::new(0, 0);
    for n in 0..300_u32 {
        let bytes = talker.say();
        let sent = FRAME * n + WAY;
        let stalled = (100..150).contains(&n);
        sim.post(if stalled { FRAME * 150 + WAY } else { sent }, bytes);
        sim.run_until(sent);
        assert!(sim.stats().buffered_ms <= 200);
    }
    sim.run_until(FRAME * 306);
    assert_exact_length(&sim);
    let JitterCounters { lost, overflow, .. } = sim.stats().jitter;
    assert_eq!(lost, 0);
    assert!(overflow > 0);
    // The recogniser still hears each of them.
    assert!(sim.ears.iter().filter(|(_, heard, _)| *heard).count() >= 290);
}

#[test]
fn missing_media_is_reported_once_and_its_return_too() {
    let mut sim = Sim::new(config(), 10);
    sim.run_until(Duration::from_secs(20));
    let mut talker = Talker::new(0, 0);
    for n in 1_000..1_010 {
        let bytes = talker.say();
        sim.post(FRAME * n, bytes);
    }
    sim.run_until(Duration::from_secs(60));
    sim.events
        .retain(|event| !matches!(event, LegEventKind::Quality(_)));
    let kinds: Vec<String> = sim.events.iter().map(|e| format!("{e:?}")).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(matches!(
        sim.events[0],
        LegEventKind::MediaTimeout(media_core::leg::Silence::Never)
    ));
    assert!(matches!(sim.events[1], LegEventKind::FirstPacket { .. }));
    assert!(matches!(sim.events[2], LegEventKind::MediaBack));
    assert!(matches!(
        sim.events[3],
        LegEventKind::MediaTimeout(media_core::leg::Silence::Stopped)
    ));
}

#[test]
fn our_own_stream_never_pauses_whatever_comes_in() {
    let (sim, ..) = twenty_seconds(
        &Law {
            loss: 10,
            jitter_ms: 120,
            duplicate: 5,
        },
        11,
    );
    let sent: Vec<_> = sim
        .out_packets
        .iter()
        .map(|p| media_core::rtp::parse(p).expect("our own packet"))
        .collect();
    assert!(sent[0].marker && sent[1..].iter().all(|p| !p.marker));
    for pair in sent.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
    }
}
