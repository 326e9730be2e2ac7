//! The listener as a machine, with loudness in the neural detector's place.

use super::*;

/// Scores loud frames 0.9 and quiet ones 0.1; counts how often it was asked.
struct ByLoudness(Arc<std::sync::atomic::AtomicUsize>);

impl Scorer for ByLoudness {
    fn score(&mut self, frame: &[f32; VAD_FRAME]) -> Result<f32, SpeechError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mean = frame.iter().map(|s| s.abs()).sum::<f32>() / VAD_FRAME as f32;
        Ok(if mean > 0.1 { 0.9 } else { 0.1 })
    }

    fn reset(&mut self) {}
}

struct Call {
    ears: Ears,
    at_ms: u64,
    asked: Arc<std::sync::atomic::AtomicUsize>,
}

impl Call {
    fn with(config: EarsConfig) -> Call {
        let asked = Arc::default();
        let scorer = Box::new(ByLoudness(Arc::clone(&asked)));
        Call {
            ears: Ears::with_scorer(scorer, config),
            at_ms: 0,
            asked,
        }
    }

    /// Hears `ms` of sound of one level; everything louder than nothing is a candidate.
    fn hear(&mut self, level: i16, ms: u64) -> Vec<EarEvent> {
        for _ in 0..ms / 20 {
            self.ears
                .push(&[level; EAR_FRAME], self.at_ms, level > 0)
                .expect("a whole frame");
            self.at_ms += 20;
        }
        self.events()
    }

    fn events(&mut self) -> Vec<EarEvent> {
        std::iter::from_fn(|| self.ears.poll_event()).collect()
    }
}

const LOUD: i16 = 8000;

fn no_partials() -> EarsConfig {
    EarsConfig {
        partial_ms: 0,
        ..EarsConfig::default()
    }
}

/// One letter for each event: S(tarted) P(artial) E(nded) F(inal) R(esumed) C(losed).
fn story(events: &[EarEvent]) -> String {
    let letter = |event: &EarEvent| match event {
        EarEvent::SpeechStarted { .. } => 'S',
        EarEvent::Decode(r) if r.kind == DecodeKind::Partial => 'P',
        EarEvent::Decode(_) => 'F',
        EarEvent::SpeechEnded { .. } => 'E',
        EarEvent::SpeechResumed { .. } => 'R',
        EarEvent::Closed { .. } => 'C',
    };
    events.iter().map(letter).collect()
}

fn finals(events: &[EarEvent]) -> Vec<&DecodeRequest> {
    let only = |event: &'_ EarEvent| match event {
        EarEvent::Decode(r) if r.kind == DecodeKind::Final => Some(r.pass),
        _ => None,
    };
    events
        .iter()
        .filter(|e| only(e).is_some())
        .filter_map(|e| match e {
            EarEvent::Decode(r) => Some(r),
            _ => None,
        })
        .collect()
}

#[test]
fn an_utterance_has_a_start_an_end_and_both_in_its_sound() {
    let mut call = Call::with(no_partials());
    let mut events = call.hear(0, 1000);
    events.extend(call.hear(LOUD, 1000));
    events.extend(call.hear(0, 2000));
    assert_eq!(story(&events), "SEFC");
    let EarEvent::SpeechStarted { at_ms, .. } = events[0] else {
        panic!("{:?}", events[0]);
    };
    assert!((980..=1040).contains(&at_ms), "{at_ms}");
    let EarEvent::Closed {
        start_ms,
        end_ms,
        speech_ms,
        pass,
        ..
    } = events[3]
    else {
        panic!("{:?}", events[3]);
    };
    assert_eq!(start_ms, at_ms);
    assert!((1980..=2040).contains(&end_ms), "{end_ms}");
    assert!((960..=1060).contains(&speech_ms), "{speech_ms}");
    let request = finals(&events)[0];
    assert_eq!(request.pass, pass);
    assert!(request.start_ms <= 1000 - 250 && request.end_ms >= 2000 + 200);
    assert_eq!(
        request.audio.len() as u64,
        (request.end_ms - request.start_ms) * PER_MS
    );
    let loud = request.audio.iter().filter(|s| s.abs() > 0.1).count();
    assert_eq!(loud, 16_000, "not a sample of the speech is lost");
}

#[test]
fn the_detector_sleeps_while_the_gate_hears_nothing() {
    let mut call = Call::with(no_partials());
    call.hear(0, 10_000);
    assert_eq!(call.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
    call.hear(LOUD, 200);
    assert!(call.asked.load(std::sync::atomic::Ordering::Relaxed) >= 6);
}

#[test]
fn a_short_pause_resumes_the_utterance_and_the_last_pass_has_all_of_it() {
    let mut call = Call::with(no_partials());
    let mut events = call.hear(0, 500);
    events.extend(call.hear(LOUD, 800));
    events.extend(call.hear(0, 500));
    events.extend(call.hear(LOUD, 800));
    events.extend(call.hear(0, 1500));
    assert_eq!(story(&events), "SEFREFC");
    let requests = finals(&events);
    assert_eq!((requests[0].pass, requests[1].pass), (1, 2));
    let loud = requests[1].audio.iter().filter(|s| s.abs() > 0.1).count();
    assert_eq!(loud, 2 * 800 * 16);
}

#[test]
fn a_long_pause_makes_two_utterances_that_share_no_sample() {
    let mut call = Call::with(no_partials());
    let mut events = Vec::new();
    for _ in 0..2 {
        events.extend(call.hear(LOUD, 600));
        events.extend(call.hear(0, 1200));
    }
    assert_eq!(story(&events), "SEFCSEFC");
    let requests = finals(&events);
    assert_ne!(requests[0].utterance, requests[1].utterance);
    assert!(requests[0].end_ms <= requests[1].start_ms);
}

#[test]
fn taking_the_turn_closes_what_ended_and_nothing_else() {
    let mut call = Call::with(no_partials());
    call.hear(LOUD, 600);
    call.ears.close();
    assert_eq!(story(&call.events()), "", "speech in progress goes on");
    assert_eq!(story(&call.hear(0, 400)), "EF");
    call.ears.close();
    assert_eq!(story(&call.events()), "C");
    assert_eq!(story(&call.hear(LOUD, 200)), "S", "a new utterance");
}

#[test]
fn partials_come_while_somebody_speaks() {
    let mut call = Call::with(EarsConfig::default());
    let events = call.hear(LOUD, 2200);
    assert_eq!(story(&events), "SPPPP");
    assert_eq!(story(&call.hear(0, 2000)), "EFC");
}

#[test]
fn speech_without_a_pause_is_cut_at_its_quietest_point_and_nothing_is_lost() {
    let mut call = Call::with(no_partials());
    let mut events = call.hear(LOUD, 18_000);
    events.extend(call.hear(4000, 320)); // still speech, but quieter
    events.extend(call.hear(LOUD, 12_000));
    events.extend(call.hear(0, 2000));
    assert_eq!(story(&events), "SEFCSEFC");
    let requests = finals(&events);
    assert!(
        (18_000..18_400).contains(&requests[0].end_ms),
        "{}",
        requests[0].end_ms
    );
    assert_eq!(requests[0].end_ms, requests[1].start_ms);
    let loud: usize = requests
        .iter()
        .map(|r| r.audio.iter().filter(|s| s.abs() > 0.1).count())
        .sum();
    assert_eq!(loud, 30_320 * 16);
}

#[test]
fn a_blip_is_no_speech() {
    let mut call = Call::with(no_partials());
    let mut events = call.hear(0, 500);
    events.extend(call.hear(LOUD, 20));
    events.extend(call.hear(0, 2000));
    assert_eq!(story(&events), "");
}

#[test]
fn frames_whose_times_wander_are_still_one_after_the_other() {
    let mut call = Call::with(no_partials());
    let mut events = Vec::new();
    for (n, wander) in [0, 40, 20, 0, 60, 20]
        .into_iter()
        .cycle()
        .take(75)
        .enumerate()
    {
        let level = if n < 50 { LOUD } else { 0 };
        call.at_ms = 1000 + 20 * n as u64 + wander;
        events.extend(call.hear(level, 20));
    }
    assert_eq!(story(&events), "SEF");
    let audio = &finals(&events)[0].audio;
    let speech = |s: &f32| *s > 0.1;
    let first = audio.iter().position(speech).expect("speech");
    let last = audio.iter().rposition(speech).expect("speech");
    assert_eq!(last + 1 - first, 50 * EAR_FRAME, "no silence within");
    assert!(audio[first..=last].iter().all(speech));
}

#[test]
fn lost_frames_are_silence_and_a_long_hole_ends_the_utterance() {
    let mut call = Call::with(no_partials());
    call.hear(LOUD, 600);
    call.at_ms += 100;
    let events = call.hear(LOUD, 600);
    assert_eq!(story(&events), "", "one utterance across the small hole");
    call.at_ms += 5000;
    let events = call.hear(LOUD, 600);
    assert_eq!(story(&events), "EFCS");
    let EarEvent::SpeechStarted { at_ms, .. } = events[3] else {
        panic!("{:?}", events[3]);
    };
    assert!(at_ms >= 6200, "{at_ms}");
    assert_eq!(
        finals(&events)[0].audio.len() as u64,
        (finals(&events)[0].end_ms - finals(&events)[0].start_ms) * PER_MS
    );
}

#[test]
fn the_end_of_the_call_closes_what_is_open() {
    let mut call = Call::with(no_partials());
    call.hear(LOUD, 600);
    call.ears.finish();
    assert_eq!(story(&call.events()), "EFC");
    call.ears.finish();
    assert_eq!(story(&call.events()), "");
}

#[test]
fn a_frame_of_another_length_is_refused() {
    let mut call = Call::with(no_partials());
    let refused = call.ears.push(&[0; 160], 0, false);
    assert!(matches!(
        refused,
        Err(SpeechError::FrameLength { got: 160, .. })
    ));
}

#[test]
fn an_idle_call_keeps_only_its_pre_roll() {
    let mut call = Call::with(no_partials());
    call.hear(0, 60_000);
    let kept = call.ears.line.end() - call.ears.line.origin();
    assert!(kept <= 2 * 320 * PER_MS + EAR_FRAME as u64, "{kept}");
}
