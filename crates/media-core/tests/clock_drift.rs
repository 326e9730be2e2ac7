//! The far side's clock runs 200 ppm fast or slow for an hour: the jitter buffer absorbs it, the recording does not slide.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use sim::{Sim, Talker, config};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// One hour of quiet with a click once a second on the talker's clock; the last click's place in the recording.
fn hour(ppm: i64) -> (Sim, Duration, usize) {
    let mut setup = config();
    setup.ears = None;
    let mut sim = Sim::new(setup, 42);
    let mut talker = Talker::new(0, 0);
    let frame_ns = (20_000_000 * (1_000_000 - ppm) / 1_000_000) as u64;
    let (mut n, mut last_click) = (0_u64, Duration::ZERO);
    loop {
        let sent = Duration::from_nanos(frame_ns * n);
        if sent >= HOUR {
            break;
        }
        let click = n % 50 == 25;
        let mut payload = [0xff_u8; 160];
        if click {
            payload[..8].fill(0x80);
            last_click = sent;
        }
        let bytes = talker.packet(&payload);
        talker.skip();
        let jitter = Duration::from_millis(sim.dice.below(20));
        sim.post(sent + jitter, bytes);
        sim.run_until(sent);
        n += 1;
    }
    sim.run_until(HOUR + Duration::from_millis(200));
    let place = sim
        .caller
        .iter()
        .rposition(|s| s.abs() > 8_000)
        .expect("clicks are heard");
    (sim, last_click, place)
}

#[test]
fn an_hour_at_plus_and_minus_200_ppm_ends_within_20_ms() {
    let delay_ms = |ppm| {
        let (sim, said, place) = hour(ppm);
        assert_eq!(
            sim.caller.len(),
            (HOUR + Duration::from_millis(200)).as_millis() as usize / 20 * 160
        );
        let counters = sim.stats().jitter;
        assert_eq!(
            (counters.lost, counters.resync, counters.overflow),
            (0, 0, 0),
            "{ppm}: {counters:?}"
        );
        assert!(
            counters.late * 1_000 < counters.received * 10,
            "{ppm}: {counters:?}"
        );
        place as i64 / 8 - said.as_millis() as i64
    };
    let straight = delay_ms(0);
    for ppm in [200, -200] {
        let drifted = delay_ms(ppm);
        assert!(
            (drifted - straight).abs() <= 20,
            "{ppm} ppm: {drifted} ms behind, without drift {straight} ms"
        );
    }
}

/// There is no wall clock to jump: the leg knows only the monotonic time it is told. A tick that comes an hour late (a
/// suspended machine) is one tick, and the stream goes on.
#[test]
fn an_hour_that_passes_between_two_ticks_makes_one_frame_and_no_panic() {
    let mut sim = Sim::new(config(), 1);
    let mut talker = Talker::new(0, 0);
    for n in 0..100 {
        let bytes = talker.say();
        sim.post(FRAME * n, bytes);
    }
    sim.run_until(FRAME * 100);
    let mut leg = sim.leg;
    let late = HOUR + FRAME * 100;
    assert_eq!(leg.tick(late).caller.samples().len(), 160);
    for n in 0..50 {
        let now = late + FRAME * n;
        leg.on_packet(now, sim::far_end(), &talker.say());
        assert_eq!(leg.tick(now).caller.samples().len(), 160);
    }
    let stats = leg.stats();
    assert_eq!((stats.jitter.received, stats.jitter.lost), (150, 0));
    assert!(stats.buffered_ms <= 200);
}
