//! Voices: word times against the sound itself, rate, order, limits.

#[path = "corpus/prompts.rs"]
mod corpus;

use local_speech::{
    Cancel, SampleRate, SayRequest, SpeechError, SpokenSentence, Timing, Voices, VoicesConfig,
};

fn voices() -> Voices {
    Voices::start(VoicesConfig::default()).expect("voices")
}

fn request(voice: &str, text: &str) -> SayRequest {
    SayRequest {
        text: text.to_owned(),
        voice: voice.to_owned(),
        stretch: 1.0,
        rate: SampleRate::Hz8000,
    }
}

fn say(voices: &Voices, request: SayRequest) -> Vec<SpokenSentence> {
    let mut receiver = voices.say(request, &Cancel::new()).expect("room");
    std::iter::from_fn(|| receiver.blocking_recv())
        .map(|s| s.expect("a sentence"))
        .collect()
}

/// kal always, rms where it is installed.
fn each_voice(test: &str, check: impl Fn(&Voices, &str)) {
    let voices = voices();
    check(&voices, "kal");
    if voices.has("rms") {
        check(&voices, "rms");
    } else {
        println!(
            "SKIP {test} (rms): the program flite is missing: install the Debian package flite"
        );
    }
}

#[test]
fn sentences_come_in_order_with_their_source() {
    each_voice(
        "sentences_come_in_order_with_their_source",
        |voices, voice| {
            let text = "Hello, I'm Ada. It is $12.50 at 7:30! Bye.";
            let sentences = say(voices, request(voice, text));
            let sources: Vec<&str> = sentences.iter().map(|s| &text[s.source.clone()]).collect();
            assert_eq!(
                sources,
                ["Hello, I'm Ada.", "It is $12.50 at 7:30!", "Bye."]
            );
            let last: Vec<bool> = sentences.iter().map(|s| s.last).collect();
            assert_eq!(last, [false, false, true]);
            let words: Vec<&str> = sentences[1]
                .words
                .iter()
                .map(|w| &text[w.source.clone()])
                .collect();
            assert_eq!(
                words,
                [
                    "It", "is", "$12.50", "$12.50", "$12.50", "at", "7:30", "7:30"
                ]
            );
        },
    );
}

#[test]
fn words_follow_each_other_within_the_sound() {
    each_voice(
        "words_follow_each_other_within_the_sound",
        |voices, voice| {
            for sentence in say(
                voices,
                request(voice, "A table for four, on Friday at R-4471 o'clock."),
            ) {
                assert_eq!(sentence.timing, Timing::Exact);
                let mut at = 0;
                for word in &sentence.words {
                    assert!(word.start >= at && word.end > word.start, "{word:?}");
                    at = word.end;
                }
                assert!(at as usize <= sentence.pcm.len());
            }
        },
    );
}

/// The pause of a comma is silent in the sound where the word times say it is.
#[test]
fn the_sound_is_quiet_between_words_that_are_apart() {
    each_voice(
        "the_sound_is_quiet_between_words_that_are_apart",
        |voices, voice| {
            let sentence = say(voices, request(voice, "Yes, we are open.")).remove(0);
            let (gap_from, gap_to) = (
                sentence.words[0].end as usize,
                sentence.words[1].start as usize,
            );
            assert!(
                gap_to >= gap_from + 480,
                "a pause of 60 ms: {gap_from}..{gap_to}"
            );
            let rms = |pcm: &[i16]| {
                let power: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
                (power / pcm.len() as f64).sqrt()
            };
            let middle = &sentence.pcm[gap_from + 160..gap_to - 160];
            let word = &sentence.pcm[sentence.words[0].start as usize..gap_from];
            assert!(
                rms(middle) < rms(word) / 10.0,
                "{} {}",
                rms(middle),
                rms(word)
            );
        },
    );
}

#[test]
fn speech_begins_at_once() {
    each_voice("speech_begins_at_once", |voices, voice| {
        let sentence = say(voices, request(voice, "Good evening.")).remove(0);
        assert!(
            sentence.words[0].start <= 8000 / 16,
            "{:?}",
            sentence.words[0]
        );
    });
}

#[test]
fn slower_is_longer_and_wide_band_has_twice_the_samples() {
    each_voice(
        "slower_is_longer_and_wide_band_has_twice_the_samples",
        |voices, voice| {
            let length = |change: fn(&mut SayRequest)| {
                let mut request = request(voice, "Please say that again slowly.");
                change(&mut request);
                say(voices, request)
                    .iter()
                    .map(|s| s.pcm.len())
                    .sum::<usize>() as f64
            };
            let natural = length(|_| {});
            assert!(length(|r| r.stretch = 1.4) > 1.25 * natural);
            let wide = length(|r| r.rate = SampleRate::Hz16000);
            assert!((wide / natural - 2.0).abs() < 0.01, "{wide} {natural}");
            assert!((length(|r| r.stretch = f32::NAN) / natural - 1.0).abs() < 0.001);
        },
    );
}

#[test]
fn text_that_looks_like_an_option_is_only_spoken() {
    each_voice(
        "text_that_looks_like_an_option_is_only_spoken",
        |voices, voice| {
            let sentence = say(voices, request(voice, "-o /tmp/x; echo `id`")).remove(0);
            assert_eq!(sentence.spoken_text, "o tmp x, echo id");
            assert!(sentence.pcm.len() > 4000);
        },
    );
}

#[test]
fn nothing_to_say_is_no_sentence() {
    assert!(say(&voices(), request("kal", " \u{1f600} … \n")).is_empty());
}

#[test]
fn unknown_voices_and_endless_texts_are_refused() {
    let voices = voices();
    let refused = |request| voices.say(request, &Cancel::new()).map(|_| ());
    let unknown = refused(request("hal", "hello")).expect_err("no such voice");
    assert!(unknown.to_string().contains("kal"), "{unknown}");
    let endless = refused(request("kal", &"word ".repeat(1000)));
    assert!(matches!(endless, Err(SpeechError::TextTooLong { .. })));
}

#[test]
fn a_cancelled_call_is_spoken_to_no_more() {
    let voices = voices();
    let cancel = Cancel::new();
    cancel.cancel();
    let mut receiver = voices.say(request("kal", "Hello."), &cancel).expect("room");
    assert!(matches!(
        receiver.blocking_recv(),
        Some(Err(SpeechError::Cancelled))
    ));
    assert!(receiver.blocking_recv().is_none());
}
