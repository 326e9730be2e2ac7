//! Whatever the gate, the recogniser and the agent do: every stretch of speech ends up in exactly
//! one turn or is discarded, no pause is held for ever, and the machine never stays stuck.

use std::{collections::BTreeMap, time::Duration};

use call_core::{
    brain::FinalTranscript,
    turn::{Floor, TurnEffect, TurnInput, TurnMachine},
};
use model::agent::TurnConfig;
use proptest::prelude::*;

/// One stretch of the caller, and what the recogniser makes of it.
#[derive(Debug, Clone)]
struct Speech {
    silence_ms: u64,
    speech_ms: u64,
    ears: Ears,
}

#[derive(Debug, Clone, Copy)]
enum Ears {
    Words {
        late_ms: u64,
    },
    Nothing {
        late_ms: u64,
    },
    MmHmm {
        late_ms: u64,
    },
    OnlyPartial,
    Dead,
    /// The caller hesitates: one utterance for the recogniser, whose last pass covers both halves.
    Halves {
        gap_ms: u64,
    },
}

/// What the agent's side does of its own accord.
#[derive(Debug, Clone)]
struct Agent {
    at_ms: u64,
    floor: Floor,
}

#[derive(Debug, Clone)]
enum Event {
    Turn(TurnInput),
    Reflex,
}

/// What the recogniser makes of a stretch, and its span.
struct Word {
    text: String,
    from: u64,
    to: u64,
}

struct World {
    machine: TurnMachine,
    ms: u64,
    paused: bool,
    held: bool,
    paused_at: u64,
    /// What became of each word: turns that stand.
    turns: BTreeMap<u32, String>,
    discarded: Vec<(u64, u64)>,
    turn_seen: u32,
}

impl World {
    fn now(&self) -> Duration {
        Duration::from_millis(7_000 + self.ms)
    }

    fn input(&mut self, input: TurnInput) {
        let now = self.now();
        self.machine.handle(now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                TurnEffect::Taken(taken) => {
                    assert_eq!(
                        taken.turn,
                        self.turn_seen + 1,
                        "turns are counted without holes"
                    );
                    assert!(!taken.text.is_empty() && taken.speech_end_ms <= taken.decided_ms);
                    self.turn_seen = taken.turn;
                    assert_eq!(self.turns.insert(taken.turn, taken.text), None);
                }
                TurnEffect::Withdrawn { turn } => {
                    if turn == self.turn_seen {
                        self.turns.remove(&turn);
                        self.turn_seen -= 1;
                    } else {
                        assert_eq!(
                            turn,
                            self.turn_seen + 1,
                            "only the last or the likely turn is withdrawn"
                        );
                    }
                }
                TurnEffect::Interrupt { onset_ms } => {
                    assert!(onset_ms <= self.ms);
                    self.paused = false;
                }
                TurnEffect::HoldPause => self.held = self.paused,
                TurnEffect::Resume { .. } => self.paused = false,
                TurnEffect::Discarded {
                    start_ms, end_ms, ..
                } => self.discarded.push((start_ms, end_ms)),
                TurnEffect::Likely { turn, .. } => assert_eq!(turn, self.turn_seen + 1),
                TurnEffect::WantFinal
                | TurnEffect::NotUnderstood { .. }
                | TurnEffect::Idle { .. } => {}
            }
        }
    }

    fn run_to(&mut self, ms: u64) {
        while self.ms < ms {
            self.ms += 10;
            let mut rounds = 0;
            while self
                .machine
                .poll_timeout()
                .is_some_and(|at| at <= self.now())
            {
                let now = self.now();
                self.machine.handle_timeout(now);
                self.drain();
                rounds += 1;
                assert!(rounds < 20, "a machine that stays overdue");
            }
            if self.paused && !self.held && self.ms >= self.paused_at + 300 {
                self.paused = false;
                let at_ms = self.ms;
                self.input(TurnInput::Resumed { at_ms });
            }
            assert!(
                !self.paused || self.ms < self.paused_at + 6_000,
                "a pause is held for ever"
            );
        }
    }

    fn reflex(&mut self) {
        if matches!(self.machine.floor(), Floor::Speaking { .. }) && !self.paused {
            (self.paused, self.held, self.paused_at) = (true, false, self.ms);
            let at_ms = self.ms;
            self.input(TurnInput::Paused { at_ms });
        }
    }
}

fn said(start_ms: u64, end_ms: u64, text: String) -> TurnInput {
    TurnInput::Final(FinalTranscript {
        start_ms,
        end_ms,
        text,
        confidence: None,
    })
}

/// The events of the script, and each stretch's word with its span.
fn events(script: &[Speech]) -> (Vec<(u64, Event)>, Vec<Word>) {
    let (mut at, mut out, mut words) = (1_000, Vec::new(), Vec::new());
    for (nth, speech) in script.iter().enumerate() {
        let from = at + speech.silence_ms;
        let to = from + speech.speech_ms;
        let word = format!("word{nth}x");
        words.push(Word {
            text: word.clone(),
            from,
            to,
        });
        at = to;
        out.push((from + 80, Event::Reflex));
        let mut turn = |at_ms: u64, input: TurnInput| out.push((at_ms, Event::Turn(input)));
        turn(from + 120, TurnInput::SpeechStarted { at_ms: from });
        let ended = |at_ms: u64, speech_ms: u64| TurnInput::SpeechEnded { at_ms, speech_ms };
        match speech.ears {
            Ears::Words { late_ms } => turn(to + 240 + late_ms, said(from, to, word)),
            Ears::Nothing { late_ms } => turn(to + 240 + late_ms, said(from, to, String::new())),
            Ears::MmHmm { late_ms } => turn(to + 240 + late_ms, said(from, to, "mm-hmm".into())),
            Ears::OnlyPartial => turn(
                from + 130,
                TurnInput::Partial {
                    at_ms: from + 130,
                    text: word,
                },
            ),
            Ears::Dead => {}
            Ears::Halves { gap_ms } => {
                let (again, end) = (to + 250 + gap_ms, to + 250 + gap_ms + 400);
                turn(to + 241, said(from, to, "half".into()));
                turn(again + 120, TurnInput::SpeechStarted { at_ms: again });
                turn(end + 240, ended(end, 400));
                turn(end + 280, said(from, end, word));
                at = end;
            }
        }
        turn(to + 240, ended(to, speech.speech_ms));
    }
    out.sort_by_key(|(at, _)| *at);
    (out, words)
}

fn check(script: &[Speech], agent: &[Agent], barge_in: bool) {
    let (mut all, words) = events(script);
    all.extend(
        agent
            .iter()
            .map(|agent| (agent.at_ms, Event::Turn(TurnInput::Floor(agent.floor)))),
    );
    all.sort_by_key(|(at, _)| *at);
    let world = play(all, barge_in);
    for (speech, word) in script.iter().zip(&words) {
        check_word(&world, speech, word);
    }
    let hums = script
        .iter()
        .zip(&words)
        .filter(|(s, _)| matches!(s.ears, Ears::MmHmm { .. }));
    let let_pass = |from: u64| world.discarded.iter().any(|(start, _)| *start == from);
    let passed = hums.clone().filter(|(_, word)| let_pass(word.from)).count();
    let taken: usize = world
        .turns
        .values()
        .map(|text| text.matches("mm-hmm").count())
        .sum();
    assert_eq!(
        taken + passed,
        hums.count(),
        "each mm-hmm is in a turn or let pass"
    );
}

fn check_word(world: &World, speech: &Speech, Word { text, from, to }: &Word) {
    let turns = world
        .turns
        .values()
        .filter(|turn| turn.contains(text.as_str()))
        .count();
    let overlaps = |(start, end): &&(u64, u64)| start <= to && end >= from;
    let discards = world.discarded.iter().filter(overlaps).count();
    match speech.ears {
        Ears::Words { .. } | Ears::OnlyPartial => assert_eq!((turns, discards), (1, 0), "{text}"),
        Ears::Halves { .. } => assert_eq!(turns, 1, "{text}: {:?}", world.turns),
        Ears::Nothing { .. } | Ears::Dead => assert_eq!((turns, discards), (0, 1), "{text}"),
        Ears::MmHmm { .. } => assert!(discards <= 1, "{text}"),
    }
}

/// Plays the events, lets ten quiet seconds settle everything, and ends the call.
fn play(events: Vec<(u64, Event)>, barge_in: bool) -> World {
    let config = TurnConfig {
        barge_in,
        ..TurnConfig::default()
    };
    let mut world = World {
        machine: TurnMachine::new(config, 0),
        ms: 0,
        paused: false,
        held: false,
        paused_at: 0,
        turns: BTreeMap::new(),
        discarded: Vec::new(),
        turn_seen: 0,
    };
    world.input(TurnInput::Answered);
    for (at_ms, event) in events {
        world.run_to(at_ms);
        match event {
            Event::Turn(input) => {
                // An agent that stops speaking in a pause was cut (by a digit, by a fault).
                let silent = |floor| !matches!(floor, Floor::Speaking { .. });
                world.paused &= !matches!(&input, TurnInput::Floor(floor) if silent(*floor));
                world.input(input);
            }
            Event::Reflex => world.reflex(),
        }
    }
    world.paused = false;
    world.input(TurnInput::Floor(Floor::Quiet));
    let end_ms = world.ms + 10_000;
    world.run_to(end_ms);
    let before = world.discarded.len();
    world.input(TurnInput::CallOver);
    assert_eq!(
        world.discarded.len(),
        before,
        "ten quiet seconds settle everything"
    );
    world
}

fn ears() -> impl Strategy<Value = Ears> {
    prop_oneof![
        6 => (20..400u64).prop_map(|late_ms| Ears::Words { late_ms }),
        2 => (20..400u64).prop_map(|late_ms| Ears::Nothing { late_ms }),
        2 => (20..400u64).prop_map(|late_ms| Ears::MmHmm { late_ms }),
        1 => Just(Ears::OnlyPartial),
        1 => Just(Ears::Dead),
        1 => (20..300u64).prop_map(|gap_ms| Ears::Halves { gap_ms }),
    ]
}

fn speech() -> impl Strategy<Value = Speech> {
    (400..4_000u64, 150..2_500u64, ears()).prop_map(|(silence_ms, speech_ms, ears)| Speech {
        silence_ms,
        speech_ms,
        ears,
    })
}

fn agent() -> impl Strategy<Value = Agent> {
    let floor = prop_oneof![
        Just(Floor::Quiet),
        Just(Floor::Thinking),
        Just(Floor::Busy),
        Just(Floor::Speaking {
            interruptible: true
        }),
        Just(Floor::Speaking {
            interruptible: true
        }),
        Just(Floor::Speaking {
            interruptible: false
        }),
    ];
    (0..30_000u64, floor).prop_map(|(at_ms, floor)| Agent { at_ms, floor })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turn_has_every_stretch_in_exactly_one_turn_or_discarded(
        script in prop::collection::vec(speech(), 1..8),
        agent in prop::collection::vec(agent(), 0..8),
        barge_in in prop::bool::weighted(0.9),
    ) {
        check(&script, &agent, barge_in);
    }
}
