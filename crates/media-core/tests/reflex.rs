//! The reflex: pauses at speech onset, resumes by itself, learns from being wrong, with nobody above it alive.

#[path = "network/sim.rs"]
mod sim;

use media_core::leg::{Command, Leg, LegEventKind, Mode, Wire};
use media_core::playout::{PauseBy, PlayoutEvent, Tag};
use media_core::{FRAME, codec, frame};
use sim::{Talker, config, far_end, voice};
use std::time::Duration;

/// A leg that speaks an endless utterance while the caller is quiet, hums or talks.
struct Scene {
    leg: Leg,
    talker: Talker,
    tick: u32,
    told: Vec<(u32, PlayoutEvent)>,
    sent: Vec<Vec<i16>>,
    feeding: Option<Tag>,
}

impl Scene {
    fn new(armed: bool) -> Self {
        let mut setup = config();
        (setup.mode, setup.reflex_armed) = (Mode::Agent, armed);
        let leg = Leg::new(setup, Wire::default(), Duration::ZERO);
        Self {
            leg,
            talker: Talker::new(0, 0),
            tick: 0,
            told: Vec::new(),
            sent: Vec::new(),
            feeding: Some(Tag(1)),
        }
    }

    fn now(&self) -> Duration {
        FRAME * self.tick
    }

    fn run(&mut self, frames: u32, amplitude: f32) {
        for _ in 0..frames {
            let pcm: Vec<i16> = (0..160)
                .map(|i| {
                    let noise = (i * 7_919 + self.tick as i64 * 31) % 21 - 10;
                    (f32::from(voice(u64::from(self.tick) * 160 + i as u64)) * amplitude) as i16
                        + noise as i16
                })
                .collect();
            let mut payload = [0; 160];
            (codec::pcmu::SPEC.make)()
                .encode(&pcm, &mut payload)
                .expect("fits");
            let bytes = self.talker.packet(&payload);
            self.talker.skip();
            self.leg.on_packet(self.now(), far_end(), &bytes);
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now();
        while self.leg.poll_ear(now).is_some() {}
        if let Some(tag) = self.feeding {
            self.leg.playout().push(tag, &[900; 160]);
        }
        self.sent.push(self.leg.tick(now).agent.samples().to_vec());
        self.tick += 1;
        while let Some(event) = self.leg.poll_event() {
            if let LegEventKind::Playout(event) = event.kind {
                self.told.push((self.tick, event));
            }
        }
    }

    fn order(&mut self, command: Command) {
        let now = self.now();
        self.leg.handle(now, command);
    }

    fn pauses(&self) -> usize {
        self.told
            .iter()
            .filter(|(_, e)| {
                matches!(
                    e,
                    PlayoutEvent::Paused {
                        by: PauseBy::Reflex { .. },
                        ..
                    }
                )
            })
            .count()
    }

    fn is_speaking(&self) -> bool {
        self.sent
            .last()
            .is_some_and(|f| frame::level_dbov(f) > -50.0)
    }
}

#[test]
fn speech_pauses_the_agent_within_100_ms_and_an_unconfirmed_pause_ends_after_300() {
    let mut scene = Scene::new(true);
    scene.run(100, 0.0);
    assert!(scene.is_speaking() && scene.pauses() == 0);
    scene.run(5, 1.0);
    assert!(!scene.is_speaking(), "silent within 100 ms of onset");
    let paused_at = scene
        .told
        .iter()
        .find(|(_, e)| matches!(e, PlayoutEvent::Paused { .. }))
        .expect("paused")
        .0;
    scene.run(30, 0.0);
    let (resumed_at, resumed) = *scene.told.last().expect("resumed");
    assert!(
        matches!(resumed, PlayoutEvent::Resumed { .. }),
        "{resumed:?}"
    );
    assert_eq!(resumed_at - paused_at, 15, "300 ms");
    assert!(scene.is_speaking());
}

#[test]
fn a_confirmed_pause_stays_until_the_owner_decides() {
    let mut scene = Scene::new(true);
    scene.run(100, 0.0);
    scene.run(5, 1.0);
    scene.order(Command::ConfirmPause);
    scene.run(100, 0.0);
    assert!(!scene.is_speaking());
    scene.order(Command::CutThrough(Tag(1)));
    scene.feeding = Some(Tag(2));
    scene.run(3, 0.0);
    assert!(
        scene.is_speaking(),
        "the next utterance is not held by the pause of the one that was cut"
    );
    assert!(
        scene
            .told
            .iter()
            .any(|(_, e)| matches!(e, PlayoutEvent::Cut { tag: Tag(1), .. }))
    );
}

#[test]
fn after_two_unconfirmed_pauses_it_is_off_for_the_rest_of_the_utterance_and_on_again_for_the_next()
{
    let mut scene = Scene::new(true);
    scene.run(100, 0.0);
    for _ in 0..4 {
        scene.run(6, 1.0);
        scene.run(60, 0.0);
    }
    assert_eq!(scene.pauses(), 2);
    assert!(scene.is_speaking());
    scene.leg.playout().end(Tag(1));
    scene.feeding = Some(Tag(2));
    scene.run(60, 0.0);
    scene.run(6, 1.0);
    assert_eq!(scene.pauses(), 3);
}

#[test]
fn it_does_nothing_when_disarmed_when_the_agent_is_silent_or_for_a_single_click() {
    let mut disarmed = Scene::new(false);
    disarmed.run(100, 0.0);
    disarmed.run(50, 1.0);
    assert_eq!(disarmed.pauses(), 0);

    let mut silent = Scene::new(true);
    silent.feeding = None;
    silent.run(100, 0.0);
    silent.run(50, 1.0);
    assert_eq!(silent.pauses(), 0);

    let mut click = Scene::new(true);
    click.run(100, 0.0);
    click.run(2, 1.0);
    click.run(50, 0.0);
    assert_eq!(click.pauses(), 0);
}

#[test]
fn it_is_armed_and_works_without_any_recogniser_attached() {
    let mut scene = Scene::new(false);
    scene.order(Command::Listen(None));
    scene.order(Command::ArmReflex(true));
    scene.run(100, 0.0);
    scene.run(6, 1.0);
    assert_eq!(scene.pauses(), 1);
}

#[test]
fn steady_noise_is_learnt_as_the_floor() {
    let mut scene = Scene::new(true);
    scene.run(1_500, 0.05);
    let pauses = scene.pauses();
    scene.run(200, 0.05);
    assert_eq!(scene.pauses(), pauses, "a constant hum does not interrupt");
}
