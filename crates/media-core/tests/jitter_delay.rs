//! What the jitter buffer adds to the way: the 97th percentile of the relative delay and one frame, no more.

#[path = "network/sim.rs"]
mod sim;

use media_core::jitter::{Jitter, Stamp};
use media_core::{FRAME, Frame, Rate};
use sim::Dice;
use std::time::Duration;

const PACKETS: u32 = 3_000;
const WAY: Duration = Duration::from_millis(30);
/// The first five seconds are for learning.
const LEARNT: usize = 250;

struct Stay {
    /// Behind the fastest packet, over all ticks.
    mean_ms: f64,
    target_ms: i64,
    late: u64,
}

/// A minute of packets, each as late as `law` says, and how far behind the fastest of them the head stands.
fn a_minute(mut law: impl FnMut() -> Duration) -> Stay {
    let mut arrivals: Vec<(Duration, u32)> =
        (0..PACKETS).map(|n| (FRAME * n + WAY + law(), n)).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut jitter = Jitter::new(Rate::Hz8000, 8_000, false);
    let (mut first, mut delays) = (None, Vec::new());
    for tick in 0..PACKETS {
        let now = FRAME * tick + Duration::from_millis(7);
        while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= now) {
            let stamp = Stamp {
                ssrc: 1,
                seq: n as u16,
                timestamp: n * 160,
            };
            jitter.put(at, stamp, &[1_000; 160]);
        }
        let pulled = jitter.pull(now, &mut Frame::silence(Rate::Hz8000));
        if pulled.advanced > 0 {
            let said_ms = (pulled.position - *first.get_or_insert(pulled.position)) / 8;
            delays.push((now - WAY).as_millis() as i64 - said_ms);
        }
    }
    let learnt = &delays[LEARNT..];
    Stay {
        mean_ms: learnt.iter().sum::<i64>() as f64 / learnt.len() as f64,
        target_ms: jitter.target_ms(),
        late: jitter.counters().late,
    }
}

fn uniform(seed: u64, most_ms: u64) -> Stay {
    let mut dice = Dice(seed);
    a_minute(|| Duration::from_micros(dice.below(most_ms * 1_000 + 1)))
}

#[test]
fn sixty_milliseconds_of_jitter_cost_at_most_ninety() {
    for seed in 0..8 {
        let Stay {
            mean_ms,
            target_ms,
            late,
        } = uniform(seed, 60);
        println!(
            "jitter 0–60 ms, seed {seed}: {mean_ms:.1} ms behind the fastest packet, target {target_ms} ms, {late} of {PACKETS} late"
        );
        assert!(mean_ms <= 90.0, "{mean_ms} ms");
        assert!(late * 100 <= u64::from(PACKETS) * 3, "{late} late");
    }
}

#[test]
fn the_target_is_the_97th_percentile_and_a_frame() {
    // The percentile of each law is known; the histogram rounds up to 5 ms.
    for (most_ms, percentile_ms) in [(20, 19.4), (40, 38.8), (60, 58.2), (100, 97.0)] {
        let Stay {
            mean_ms, target_ms, ..
        } = uniform(most_ms, most_ms);
        let exact = percentile_ms + 20.0;
        println!(
            "jitter 0–{most_ms} ms: target {target_ms} ms for {exact:.1}, mean {mean_ms:.1} ms"
        );
        assert!(
            (target_ms as f64 - exact).abs() <= 6.0,
            "{target_ms} for {exact}"
        );
    }
}

#[test]
fn without_jitter_it_is_one_frame_and_the_step_to_the_tick() {
    let stay = a_minute(|| Duration::ZERO);
    println!(
        "no jitter: {:.1} ms, target {} ms",
        stay.mean_ms, stay.target_ms
    );
    assert_eq!((stay.target_ms, stay.late), (20, 0));
    assert!((20.0..40.0).contains(&stay.mean_ms), "{}", stay.mean_ms);
}
