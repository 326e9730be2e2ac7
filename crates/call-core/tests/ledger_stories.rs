//! What the ledger makes of single events: words, hang-ups, dead legs, the caller's side, timings.

use call_core::{
    brain::{BrainNote, FinalTranscript, HistoryLine, PlayoutKind, PlayoutReport, UtteranceId},
    ledger::{Ledger, LedgerConfig, LedgerEvent, Sound, SpokenWord, VoiceEnd},
};
use model::transcript::{Segment, Speaker, Timing, TurnTimings};

const U1: UtteranceId = UtteranceId(1);
const U2: UtteranceId = UtteranceId(2);

/// A ledger with an utterance whose words take 800 samples each, wholly rendered.
fn ledger_with(text: &str) -> Ledger {
    let mut ledger = Ledger::new(LedgerConfig::default());
    say(&mut ledger, U1, text);
    ledger
}

fn say(ledger: &mut Ledger, id: UtteranceId, text: &str) {
    let base = ledger.plan(id, text);
    ledger.extend(id, spoken(text, base));
    ledger.voice_over(id, VoiceEnd::Complete);
}

fn spoken(text: &str, base: usize) -> Sound {
    let starts = text
        .split_whitespace()
        .map(|word| word.as_ptr() as usize - text.as_ptr() as usize);
    let words: Vec<SpokenWord> = starts
        .zip(text.split_whitespace())
        .zip(0u64..)
        .map(|((start, word), nth)| SpokenWord {
            source: base + start..base + start + word.len(),
            samples: nth * 800..(nth + 1) * 800,
        })
        .collect();
    Sound {
        samples: words.len() as u64 * 800,
        words,
        timing: Timing::Exact,
    }
}

fn report(
    utterance: UtteranceId,
    kind: PlayoutKind,
    samples_sent: u64,
    at_ms: u64,
) -> PlayoutReport {
    PlayoutReport {
        utterance,
        kind,
        samples_sent,
        at_ms,
    }
}

fn events(ledger: &mut Ledger) -> Vec<LedgerEvent> {
    std::iter::from_fn(|| ledger.poll_event()).collect()
}

fn segments(ledger: &mut Ledger) -> Vec<Segment> {
    let segment = |event| match event {
        LedgerEvent::Segment(segment) => Some(segment),
        LedgerEvent::Heard { .. }
        | LedgerEvent::Interrupted { .. }
        | LedgerEvent::FalsePause { .. }
        | LedgerEvent::Turn(_) => None,
    };
    events(ledger).into_iter().filter_map(segment).collect()
}

fn heard(segment: &Segment) -> &str {
    segment.heard_text.as_deref().unwrap_or("nothing said")
}

fn caller(start_ms: u64, end_ms: u64, text: &str) -> FinalTranscript {
    FinalTranscript {
        start_ms,
        end_ms,
        text: text.into(),
        confidence: Some(0.9),
    }
}

#[test]
fn ledger_counts_a_word_from_half_of_its_samples_on() {
    for (sent, words) in [
        (0, None),
        (399, Some("")),
        (400, Some("one")),
        (1_199, Some("one")),
        (1_200, Some("one two")),
    ] {
        let mut ledger = ledger_with("one two three");
        ledger.playout(report(U1, PlayoutKind::Started, 0, 1_000));
        ledger.playout(report(U1, PlayoutKind::Cut, sent, 1_200));
        let segments = segments(&mut ledger);
        assert_eq!(segments.first().map(heard), words, "{sent} samples");
    }
}

#[test]
fn ledger_takes_the_far_side_delay_off_a_cut_but_not_off_an_end() {
    let mut ledger = Ledger::new(LedgerConfig {
        far_side_delay_ms: 100,
    });
    say(&mut ledger, U1, "one two three");
    ledger.playout(report(U1, PlayoutKind::Cut, 1_200, 150));
    say(&mut ledger, U2, "four five");
    ledger.playout(report(U2, PlayoutKind::Finished, 1_600, 400));
    let texts: Vec<String> = segments(&mut ledger)
        .iter()
        .map(|s| heard(s).to_owned())
        .collect();
    assert_eq!(texts, ["one", "four five"]);
}

#[test]
fn ledger_waits_with_a_cut_for_word_times_that_are_late() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.plan(U1, "one two three");
    let Sound {
        samples,
        mut words,
        timing,
    } = spoken("one two three", 0);
    ledger.extend(
        U1,
        Sound {
            samples,
            words: vec![],
            timing,
        },
    );
    ledger.playout(report(U1, PlayoutKind::Started, 0, 0));
    ledger.playout(report(U1, PlayoutKind::Cut, 1_400, 200));
    assert_eq!(events(&mut ledger), [], "nothing is known of its words");
    words.reverse();
    ledger.extend(
        U1,
        Sound {
            samples: 0,
            words,
            timing,
        },
    );
    ledger.voice_over(U1, VoiceEnd::CutShort);
    let segments = segments(&mut ledger);
    assert_eq!(heard(&segments[0]), "one two");
    assert_eq!(
        (segments[0].timing, segments[0].samples_total),
        (Some(Timing::Exact), None)
    );
}

#[test]
fn ledger_estimates_words_that_nobody_placed_and_says_so() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.plan(U1, "aaa bbb ccc ddd");
    ledger.extend(
        U1,
        Sound {
            samples: 8_000,
            words: vec![],
            timing: Timing::Estimated,
        },
    );
    ledger.voice_over(U1, VoiceEnd::Complete);
    ledger.playout(report(U1, PlayoutKind::Cut, 4_100, 600));
    let segments = segments(&mut ledger);
    assert_eq!(
        (heard(&segments[0]), segments[0].timing),
        ("aaa bbb", Some(Timing::Estimated))
    );
}

#[test]
fn ledger_takes_the_silence_after_a_sentence_for_silence() {
    for end in [VoiceEnd::Complete, VoiceEnd::CutShort] {
        let mut ledger = ledger_with_two_sentences();
        ledger.voice_over(U1, end);
        ledger.playout(report(U1, PlayoutKind::Cut, 3_800, 600));
        let segments = segments(&mut ledger);
        assert_eq!(
            (heard(&segments[0]), segments[0].timing),
            ("one two", Some(Timing::Exact)),
            "the second sentence was never rendered"
        );
    }
}

/// Two words and 300 ms of silence are rendered; the second sentence is not.
fn ledger_with_two_sentences() -> Ledger {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.plan(U1, "one two");
    let mut sound = spoken("one two", 0);
    sound.samples += 2_400;
    ledger.extend(U1, sound);
    ledger.plan(U1, "I am three");
    ledger
}

#[test]
fn ledger_survives_word_places_that_make_no_sense() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.plan(U1, "é one");
    let word = |source, samples| SpokenWord { source, samples };
    #[expect(clippy::reversed_empty_ranges, reason = "a voice may send anything")]
    let words = vec![
        word(1..1, 5..2),
        word(0..9, 0..u64::MAX),
        word(90..7, 0..u64::MAX),
        word(usize::MAX..usize::MAX, 9..9),
    ];
    ledger.extend(
        U1,
        Sound {
            samples: u64::MAX,
            words,
            timing: Timing::Exact,
        },
    );
    ledger.voice_over(U1, VoiceEnd::CutShort);
    ledger.playout(report(U1, PlayoutKind::Cut, 100, 100));
    assert_eq!(segments(&mut ledger).len(), 1);
}

#[test]
fn ledger_closes_a_hang_up_with_the_legs_last_word() {
    let mut ledger = ledger_with("one two three four");
    ledger.playout(report(U1, PlayoutKind::Started, 0, 1_000));
    ledger.finish(Some((U1, 1_600)), 1_200);
    let segments = segments(&mut ledger);
    assert_eq!(segments.len(), 1);
    assert_eq!(
        (heard(&segments[0]), segments[0].samples_sent),
        ("one two", Some(1_600))
    );
    assert!(segments[0].interrupted);
    ledger.playout(report(U1, PlayoutKind::Finished, 3_200, 1_400));
    ledger.finish(None, 2_000);
    assert_eq!(events(&mut ledger), [], "closed once is closed");
}

#[test]
fn ledger_closes_everything_when_the_leg_dies() {
    let mut ledger = ledger_with("one two three four");
    say(&mut ledger, U2, "five six");
    ledger.playout(report(U1, PlayoutKind::Started, 0, 1_000));
    let cuts = ledger.evicted(Some((U1, 800)), 1_120);
    assert_eq!(
        cuts,
        [
            report(U1, PlayoutKind::Cut, 800, 1_120),
            report(U2, PlayoutKind::Cut, 0, 1_120)
        ]
    );
    let segments = segments(&mut ledger);
    assert_eq!(segments.iter().map(heard).collect::<Vec<_>>(), ["one"]);
}

#[test]
fn ledger_leaves_nothing_of_an_utterance_that_never_started() {
    let mut ledger = ledger_with("one two");
    ledger.playout(report(U1, PlayoutKind::Cut, 0, 100));
    ledger.plan(U2, "three");
    ledger.voice_over(U2, VoiceEnd::CutShort);
    ledger.finish(None, 200);
    assert_eq!(events(&mut ledger), []);
    assert_eq!(ledger.history(), []);
}

#[test]
fn ledger_history_holds_the_heard_part_of_what_plays() {
    let mut ledger = ledger_with("one two three");
    ledger.playout(report(U1, PlayoutKind::Started, 0, 1_000));
    ledger.caller(&caller(1_050, 1_150, "wait"));
    ledger.position(U1, 1_200, 1_150);
    let line = |agent, text: &str| HistoryLine {
        agent,
        text: text.into(),
    };
    assert_eq!(
        ledger.history(),
        [line(true, "one two"), line(false, "wait")]
    );
}

#[test]
fn ledger_files_a_callers_stretch_once_with_its_last_words() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.caller(&caller(100, 500, "a table"));
    ledger.caller(&caller(100, 900, "a table for four"));
    ledger.caller_closed(100);
    ledger.caller(&caller(100, 950, "too late"));
    ledger.caller_closed(2_000);
    ledger.caller(&caller(2_000, 2_400, "at seven"));
    ledger.caller(&caller(3_000, 3_100, ""));
    ledger.caller(&caller(4_000, 4_100, "bye"));
    ledger.finish(None, 5_000);
    let segments = segments(&mut ledger);
    assert!(
        segments
            .iter()
            .all(|segment| segment.speaker == Speaker::Caller)
    );
    assert_eq!(
        segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(),
        ["a table for four", "at seven", "bye"]
    );
}

#[test]
fn ledger_tells_how_fast_the_agent_yielded_and_how_long_it_paused_for_nothing() {
    let mut ledger = ledger_with("one two three four five");
    ledger.playout(report(U1, PlayoutKind::Started, 0, 1_000));
    let paused = |onset_ms| PlayoutKind::Paused {
        onset_ms: Some(onset_ms),
    };
    ledger.playout(report(U1, paused(1_040), 800, 1_100));
    ledger.playout(report(U1, PlayoutKind::Resumed, 800, 1_340));
    ledger.playout(report(U1, paused(1_460), 2_400, 1_540));
    // The neural detector notices speech after the reflex, and dates it later: that is not when the caller began.
    ledger.note(&BrainNote::Interrupted { onset_ms: 1_520 });
    ledger.playout(report(U1, PlayoutKind::Cut, 2_400, 1_800));
    let events = events(&mut ledger);
    assert_eq!(events[0], LedgerEvent::FalsePause { paused_ms: 240 });
    assert_eq!(events[1], LedgerEvent::Interrupted { yield_ms: 80 });
    let LedgerEvent::Segment(segment) = &events[2] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (segment.start_ms, segment.end_ms),
        (1_000, 1_540),
        "silence is not the utterance's"
    );
}

#[test]
fn ledger_shows_where_a_turns_time_went() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.note(&BrainNote::TurnTaken {
        turn: 1,
        speech_end_ms: 1_000,
        decided_ms: 1_400,
    });
    ledger.note(&BrainNote::Answering {
        turn: 1,
        utterance: U1,
        transcript_ms: Some(1_320),
        words_ms: 1_410,
    });
    say(&mut ledger, U1, "one two");
    ledger.first_sound(U1, 1_430);
    ledger.playout(report(U1, PlayoutKind::Started, 0, 1_440));
    let expected = TurnTimings {
        turn: 1,
        endpoint_ms: Some(400),
        transcript_ms: Some(320),
        brain_ms: Some(10),
        voice_ms: Some(20),
        first_packet_ms: Some(440),
    };
    assert_eq!(events(&mut ledger), [LedgerEvent::Turn(expected)]);
    ledger.note(&BrainNote::TurnTaken {
        turn: 2,
        speech_end_ms: 3_000,
        decided_ms: 3_400,
    });
    ledger.note(&BrainNote::TurnTaken {
        turn: 2,
        speech_end_ms: 3_900,
        decided_ms: 4_400,
    });
    ledger.finish(None, 5_000);
    let turns: Vec<_> = events(&mut ledger)
        .into_iter()
        .filter(|e| matches!(e, LedgerEvent::Turn(_)))
        .collect();
    let unanswered = TurnTimings {
        turn: 2,
        endpoint_ms: Some(500),
        ..TurnTimings::default()
    };
    assert_eq!(
        turns,
        [LedgerEvent::Turn(unanswered)],
        "a turn taken back is no turn"
    );
}
