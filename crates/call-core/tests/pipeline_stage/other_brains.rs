//! The Brain contract fits more than the pipeline: the echo, and a full-duplex model that hears
//! frames, makes sound, and cuts itself.

use std::{collections::VecDeque, time::Duration};

use super::stage::{Did, Stage};
use call_core::{
    brain::{Brain, BrainEffect, BrainInput, FinalTranscript, PlayoutKind, UtteranceId},
    pipeline::EchoBrain,
};
use model::transcript::Speaker;

fn frame(at_ms: u64, level: i16) -> BrainInput {
    BrainInput::CallerFrame {
        at_ms,
        pcm: vec![level; 320].into_boxed_slice(),
    }
}

#[test]
fn pipeline_echo_returns_every_frame_of_an_answered_call() {
    let mut stage = Stage::new(Box::new(EchoBrain::new()));
    assert!(stage.brain.wants_frames());
    stage.input(BrainInput::Prepare(Box::new(Stage::context())));
    assert!(stage.first(&Did::Ready).is_some());
    stage.input(frame(0, 7));
    assert_eq!(stage.sound, [], "nobody listens before the answer");
    stage.answer();
    for nth in 0..50 {
        stage.input(frame(nth * 20, 7));
        stage.run_to((nth + 1) * 20);
    }
    assert_eq!(stage.sound.len(), 50);
    assert!(
        stage
            .sound
            .iter()
            .all(|sound| *sound == (UtteranceId(1), 320, false))
    );
    stage.hang_up();
    assert_eq!(stage.sound.last(), Some(&(UtteranceId(1), 0, true)));
    let sent = stage.ledger.history();
    assert_eq!(sent, [], "sound without words leaves no line");
}

/// What a speech-to-speech model behind a WebSocket looks like from here: loud frames are speech,
/// its answer streams in faster than it plays, and its own interruption rule cuts it.
#[derive(Default)]
struct FullDuplex {
    loud_ms: u64,
    quiet_ms: u64,
    onset_ms: u64,
    utterance: u64,
    playing: bool,
    to_send: usize,
    effects: VecDeque<BrainEffect>,
    wake: Option<Duration>,
}

const ANSWER: [&str; 4] = ["Good evening,", "a table", "for four,", "certainly."];

impl FullDuplex {
    fn hear(&mut self, now: Duration, at_ms: u64, pcm: &[i16]) {
        if pcm.iter().any(|sample| sample.unsigned_abs() > 1_000) {
            if self.loud_ms == 0 {
                self.onset_ms = at_ms;
            }
            (self.loud_ms, self.quiet_ms) = (self.loud_ms + 20, 0);
            if self.playing && self.loud_ms >= 60 {
                self.playing = false;
                self.wake = None;
                self.effects.push_back(BrainEffect::Cut);
            }
        } else {
            self.quiet_ms += 20;
            if self.loud_ms >= 200 && self.quiet_ms >= 200 {
                self.answer(now, at_ms);
            }
        }
    }

    fn answer(&mut self, now: Duration, at_ms: u64) {
        let said = FinalTranscript {
            start_ms: self.onset_ms,
            end_ms: at_ms - self.quiet_ms,
            text: "four people".into(),
            confidence: None,
        };
        self.effects.push_back(BrainEffect::CallerSaid(said));
        (self.loud_ms, self.quiet_ms) = (0, 0);
        self.utterance += 1;
        self.playing = true;
        self.to_send = 0;
        self.wake = Some(now);
    }
}

impl Brain for FullDuplex {
    fn handle(&mut self, now: Duration, input: BrainInput) {
        match input {
            BrainInput::Prepare(_) => self.effects.push_back(BrainEffect::Ready),
            BrainInput::Answered => self.effects.push_back(BrainEffect::ArmReflex(true)),
            BrainInput::CallerFrame { at_ms, pcm } => self.hear(now, at_ms, &pcm),
            BrainInput::Playout(report) if report.kind == PlayoutKind::Finished => {
                self.playing = false
            }
            _ => {}
        }
    }

    fn poll_effect(&mut self) -> Option<BrainEffect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.wake
    }

    fn handle_timeout(&mut self, now: Duration) {
        let Some(at) = self.wake.filter(|at| *at <= now) else {
            return;
        };
        let utterance = UtteranceId(self.utterance);
        let text = ANSWER[self.to_send].to_owned();
        self.to_send += 1;
        let last = self.to_send == ANSWER.len();
        self.effects
            .push_back(BrainEffect::SoundText { utterance, text });
        self.effects.push_back(BrainEffect::Sound {
            utterance,
            pcm: vec![500; 12_000].into(),
            sample_rate_hz: 24_000,
            last,
        });
        self.wake = (!last).then(|| at + Duration::from_millis(50));
    }

    fn wants_frames(&self) -> bool {
        true
    }
}

#[test]
fn pipeline_contract_fits_a_full_duplex_model_that_cuts_itself() {
    let mut stage = Stage::new(Box::new(FullDuplex::default())).answered();
    let speak = |stage: &mut Stage, until: u64, level: i16| {
        while stage.ms < until {
            let at = stage.ms;
            stage.input(frame(at, level));
            stage.run_to(at + 20);
        }
    };
    speak(&mut stage, 600, 5_000);
    speak(&mut stage, 1_700, 0);
    speak(&mut stage, 2_000, 5_000);
    speak(&mut stage, 6_000, 0);
    let cut_ms = stage.first(&Did::Cut).expect("it cuts itself");
    assert!((1_740..=1_780).contains(&cut_ms), "{cut_ms}");
    let whole = ANSWER.join(" ");
    let heard = stage.heard();
    assert_eq!(heard.len(), 2);
    assert!(
        whole.starts_with(&heard[0].1) && heard[0].1.len() < whole.len() && !heard[0].1.is_empty(),
        "{heard:?}"
    );
    assert_eq!(heard[1].1, whole, "the second answer is heard to its end");
    stage.hang_up();
    let callers = stage.events.iter().filter(|event| matches!(event, call_core::ledger::LedgerEvent::Segment(s) if s.speaker == Speaker::Caller));
    assert_eq!(callers.count(), 2, "what it heard is in the record");
}
