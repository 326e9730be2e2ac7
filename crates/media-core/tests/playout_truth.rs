//! The playout queue never lies: what it says was sent of an utterance is what came out of it.

use media_core::playout::{PauseBy, Playout, PlayoutEvent, Position, Tag};
use std::collections::BTreeMap;

#[path = "network/sim.rs"]
mod sim;
use sim::Dice;

/// Each sample names its utterance and its place in it, so that what comes out can be told apart.
fn sample(tag: u64, index: u64) -> i16 {
    (tag as i16 % 100 + 1) * 256 + (index % 251) as i16 + 1
}

#[derive(Default)]
struct Ledger {
    pushed: BTreeMap<u64, u64>,
    emitted: BTreeMap<u64, u64>,
    closed: BTreeMap<u64, PlayoutEvent>,
    started: Vec<u64>,
    cut_through: u64,
}

impl Ledger {
    fn heard(&mut self, pcm: &[i16], speech: usize) {
        assert!(
            pcm[speech..].iter().all(|s| *s == 0),
            "silence where there is no speech"
        );
        for s in &pcm[..speech] {
            let (&tag, done) = self
                .pushed
                .iter()
                .map(|(tag, n)| (tag, self.emitted.get(tag).copied().unwrap_or(0), n))
                .find(|(tag, done, n)| **tag > self.cut_through && done < n)
                .map(|(tag, done, _)| (tag, done))
                .expect("speech comes from something pushed");
            assert_eq!(
                *s,
                sample(tag, done),
                "the next sample of the oldest utterance, none skipped or repeated"
            );
            *self.emitted.entry(tag).or_default() += 1;
        }
    }

    fn told(&mut self, event: PlayoutEvent) {
        let sent = |tag: Tag| self.emitted.get(&tag.0).copied().unwrap_or(0);
        match event {
            PlayoutEvent::Started { tag } => self.started.push(tag.0),
            PlayoutEvent::Paused {
                tag, samples_sent, ..
            }
            | PlayoutEvent::Resumed { tag, samples_sent } => {
                assert_eq!(samples_sent, sent(tag), "{event:?}");
            }
            PlayoutEvent::Cut { tag, samples_sent }
            | PlayoutEvent::Finished { tag, samples_sent } => {
                assert_eq!(samples_sent, sent(tag), "{event:?}");
                assert!(
                    self.closed.insert(tag.0, event).is_none(),
                    "an utterance ends once: {event:?}"
                );
            }
        }
    }
}

/// Small frames and a small ring make the same boundaries ten times as often as 20 ms would.
const FRAME: usize = 16;
const RING: usize = 160;

/// One random conversation of `steps` orders.
fn converse(seed: u64, steps: u64) -> (Ledger, u64) {
    let mut dice = Dice(seed);
    let mut playout = Playout::new(RING, Position::default());
    let mut ledger = Ledger::default();
    let mut tag = 1;
    let mut open = true;
    for _ in 0..steps {
        match dice.below(10) {
            0..=3 if open => {
                let from = ledger.pushed.get(&tag).copied().unwrap_or(0);
                let wanted = dice.below(40) + 1;
                let pcm: Vec<i16> = (from..from + wanted).map(|i| sample(tag, i)).collect();
                let taken = playout.push(Tag(tag), &pcm) as u64;
                if tag > ledger.cut_through && taken > 0 {
                    *ledger.pushed.entry(tag).or_default() += taken;
                }
            }
            4 if ledger.pushed.contains_key(&tag) => {
                open = !playout.end(Tag(tag));
                if !open {
                    (tag, open) = (tag + 1, true);
                }
            }
            5 => playout.pause(if dice.percent(50) {
                PauseBy::Reflex { onset_frames: 3 }
            } else {
                PauseBy::Owner
            }),
            6 => playout.resume(),
            7 if dice.percent(20) => {
                let through = tag.saturating_sub(dice.below(3));
                ledger.cut_through = ledger.cut_through.max(through);
                playout.cut_through(Tag(through));
                if through >= tag {
                    tag += 1;
                }
            }
            _ => {
                let mut frame = [0; FRAME];
                let paused = playout.is_paused();
                let speech = playout.pull(&mut frame);
                assert!(!paused || speech == 0, "a pause is silent");
                ledger.heard(&frame, speech);
                let Position { tag, samples_sent } = playout.position();
                assert_eq!(
                    samples_sent,
                    ledger.emitted.get(&tag.0).copied().unwrap_or(0)
                );
            }
        }
        while let Some(event) = playout.poll_event() {
            ledger.told(event);
        }
    }
    // Play out what is left, so that every utterance has its end.
    playout.end(Tag(tag));
    playout.resume();
    while let Some(event) = playout.poll_event() {
        ledger.told(event);
    }
    for _ in 0..20 {
        let mut frame = [0; FRAME];
        let speech = playout.pull(&mut frame);
        ledger.heard(&frame, speech);
        while let Some(event) = playout.poll_event() {
            ledger.told(event);
        }
    }
    (ledger, tag)
}

#[test]
fn over_a_hundred_thousand_random_interruptions_samples_sent_is_what_was_emitted() {
    let mut utterances = 0;
    for seed in 0..100_000 {
        let (ledger, _) = converse(seed, 40);
        for (tag, pushed) in &ledger.pushed {
            let end = ledger
                .closed
                .get(tag)
                .unwrap_or_else(|| panic!("seed {seed}: utterance {tag} has no end"));
            if let PlayoutEvent::Finished { samples_sent, .. } = end {
                assert_eq!(
                    samples_sent, pushed,
                    "seed {seed}: finished means all of it"
                );
            }
        }
        assert!(
            ledger.started.windows(2).all(|w| w[0] < w[1]),
            "seed {seed}: started once each, in order"
        );
        utterances += ledger.pushed.len();
    }
    assert!(
        utterances > 200_000,
        "the conversations are worth the name: {utterances}"
    );
}

#[test]
fn speech_resumes_at_the_very_sample_where_it_was_paused() {
    let mut playout = Playout::new(1_600, Position::default());
    let pcm: Vec<i16> = (0..800).map(|i| i as i16 + 1).collect();
    assert_eq!(playout.push(Tag(1), &pcm), 800);
    let mut out = Vec::new();
    let mut frame = [0; 160];
    for n in 0..20 {
        match n {
            2 => playout.pause(PauseBy::Owner),
            12 => playout.resume(),
            _ => {}
        }
        let speech = playout.pull(&mut frame);
        assert_eq!(speech == 0, (2..12).contains(&n) || n >= 15, "tick {n}");
        out.extend_from_slice(&frame[..speech]);
    }
    assert_eq!(out, pcm);
}

#[test]
fn a_cut_is_for_ever_even_for_sound_that_was_under_way() {
    let mut playout = Playout::new(1_600, Position::default());
    playout.push(Tag(5), &[7; 320]);
    playout.push(Tag(6), &[8; 100]);
    let mut frame = [0; 160];
    playout.pull(&mut frame);
    playout.cut_through(Tag(6));
    assert_eq!(
        playout.push(Tag(6), &[8; 100]),
        100,
        "taken, so that nobody waits for room"
    );
    assert_eq!(playout.pull(&mut frame), 0);
    assert_eq!(playout.discarded(), 100);
    playout.push(Tag(7), &[9; 160]);
    assert_eq!(playout.pull(&mut frame), 160);
    let events: Vec<_> = std::iter::from_fn(|| playout.poll_event()).collect();
    assert_eq!(
        events,
        [
            PlayoutEvent::Started { tag: Tag(5) },
            PlayoutEvent::Cut {
                tag: Tag(5),
                samples_sent: 160
            },
            PlayoutEvent::Cut {
                tag: Tag(6),
                samples_sent: 0
            },
            PlayoutEvent::Started { tag: Tag(7) },
        ]
    );
}

#[test]
fn a_new_life_of_the_leg_goes_on_counting_where_the_old_one_stopped() {
    let mut playout = Playout::new(
        1_600,
        Position {
            tag: Tag(3),
            samples_sent: 480,
        },
    );
    playout.push(Tag(3), &[1; 160]);
    playout.end(Tag(3));
    let mut frame = [0; 160];
    playout.pull(&mut frame);
    let events: Vec<_> = std::iter::from_fn(|| playout.poll_event()).collect();
    assert_eq!(
        events,
        [PlayoutEvent::Finished {
            tag: Tag(3),
            samples_sent: 640
        }],
        "not started twice"
    );
}
