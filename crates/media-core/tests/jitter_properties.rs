//! The jitter buffer under any arrival pattern: it never reorders, never holds more than its cap, loses nothing in time.

use media_core::jitter::{CAP_MS, Jitter, Stamp};
use media_core::{FRAME, Frame, Rate};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Clone)]
struct Arrival {
    at_us: u64,
    n: u16,
}

fn arrivals(max_jitter_ms: u64) -> impl Strategy<Value = Vec<Arrival>> {
    let packet = (0..=max_jitter_ms * 1_000, 0..100_u8, 0..100_u8);
    prop::collection::vec(packet, 20..200).prop_map(|packets| {
        let mut all = Vec::new();
        for (n, (delay, lost, twice)) in packets.into_iter().enumerate() {
            let arrival = Arrival {
                at_us: n as u64 * 20_000 + delay,
                n: n as u16,
            };
            if twice < 5 {
                all.push(Arrival {
                    at_us: arrival.at_us + 7_000,
                    ..arrival.clone()
                });
            }
            if lost >= 8 {
                all.push(arrival);
            }
        }
        all.sort_by_key(|a| a.at_us);
        all
    })
}

/// What was played of each packet, by the head's own report; and the largest content seen.
struct Played {
    /// (position of the head, samples it moved, samples missing) of each tick.
    ticks: Vec<(i64, usize, usize)>,
    /// Tick before which it arrived, and the positions of it that were still to come.
    arrived: Vec<(usize, i64, i64)>,
    most_ms: i64,
    jitter: Jitter,
}

fn play(arrivals: &[Arrival]) -> Played {
    let jitter = Jitter::new(Rate::Hz8000, 8_000, false);
    let mut played = Played {
        ticks: Vec::new(),
        arrived: Vec::new(),
        most_ms: 0,
        jitter,
    };
    let (mut head, mut seen) = (i64::MIN, BTreeSet::<u16>::new());
    // The line begins where the first packet was placed.
    let origin = arrivals
        .first()
        .map_or(0, |a| (a.at_us * 8 / 1_000) as i64 - i64::from(a.n) * 160);
    let mut next = arrivals.iter().peekable();
    for tick in 0..arrivals.len() as u32 + 60 {
        let now = FRAME * tick;
        while let Some(a) = next.next_if(|a| Duration::from_micros(a.at_us) <= now) {
            let stamp = Stamp {
                ssrc: 9,
                seq: a.n.wrapping_add(65_400),
                timestamp: u32::from(a.n) * 160,
            };
            played
                .jitter
                .put(Duration::from_micros(a.at_us), stamp, &[1_000; 160]);
            let start = origin + i64::from(a.n) * 160;
            if seen.insert(a.n) && start + 160 > head {
                played
                    .arrived
                    .push((tick as usize, start.max(head), start + 160));
            }
            played.most_ms = played.most_ms.max(played.jitter.buffered_ms());
        }
        let mut frame = Frame::silence(Rate::Hz8000);
        let pulled = played.jitter.pull(now, &mut frame);
        assert_eq!(frame.samples().len(), 160);
        if pulled.advanced > 0 {
            head = pulled.position + pulled.advanced as i64;
        }
        played
            .ticks
            .push((pulled.position, pulled.advanced, pulled.missing));
    }
    played
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_never_plays_real_sound_twice_or_out_of_order(arrivals in arrivals(150)) {
        let played = play(&arrivals);
        let mut real_until = i64::MIN;
        for (position, advanced, missing) in played.ticks {
            if advanced > 0 && missing == 0 {
                prop_assert!(position >= real_until, "{position} after {real_until}");
                real_until = position + advanced as i64;
            }
        }
    }

    #[test]
    fn it_never_holds_more_than_its_cap(arrivals in arrivals(400)) {
        prop_assert!(play(&arrivals).most_ms <= CAP_MS as i64);
    }

    #[test]
    fn every_packet_is_counted_exactly_once(arrivals in arrivals(150)) {
        let counters = play(&arrivals).jitter.counters();
        prop_assert_eq!(counters.received + counters.duplicate + counters.stray, arrivals.len() as u64);
        let mut numbers: Vec<u16> = arrivals.iter().map(|a| a.n).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if counters.stray == 0 && counters.resync == 0 && let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            prop_assert_eq!(counters.received, numbers.len() as u64);
            prop_assert_eq!(counters.lost, u64::from(last - first) + 1 - numbers.len() as u64);
        }
    }

    #[test]
    fn what_came_in_time_is_played(arrivals in arrivals(100)) {
        let played = play(&arrivals);
        let counters = played.jitter.counters();
        prop_assume!(counters.resync == 0 && counters.stray == 0 && counters.overflow == 0);
        prop_assert!(played.arrived.len() * 2 > arrivals.len());
        let mut head = i64::MIN;
        for (tick, &(position, advanced, missing)) in played.ticks.iter().enumerate() {
            let end = position + advanced as i64;
            let due = in_time(&played.arrived, tick, position, end);
            prop_assert!(due + missing as i64 <= advanced.max(missing) as i64, "{missing} made up where {due} were there, at {position}");
            if head > i64::MIN {
                prop_assert_eq!(in_time(&played.arrived, tick, head, position), 0, "skipped at {}", head);
            }
            head = if advanced > 0 { end } else { head };
        }
    }
}

/// How many samples of `[from, to)` were there before this tick.
fn in_time(arrived: &[(usize, i64, i64)], tick: usize, from: i64, to: i64) -> i64 {
    let there = arrived.iter().filter(|(before, ..)| *before <= tick);
    there
        .map(|(_, a, b)| (*b.min(&to) - *a.max(&from)).max(0))
        .sum()
}
