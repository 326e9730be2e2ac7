use std::sync::Mutex;

use tokio::time::Instant;

use super::*;

/// A voice that speaks as its script says, and keeps what it was asked.
struct Scripted {
    script: Vec<Step>,
    asked: Mutex<Vec<SpeakRequest>>,
}

#[derive(Clone)]
enum Step {
    Wait(u64),
    /// So many words, 100 ms each, with their places.
    Words(usize),
    /// Sound alone, milliseconds.
    Sound(u64),
    Fail(Class),
    Hang,
}

fn voice(script: &[Step]) -> Arc<Scripted> {
    Arc::new(Scripted {
        script: script.to_vec(),
        asked: Mutex::default(),
    })
}

const WORD: u64 = 800;

impl Tts for Scripted {
    fn speak(&self, request: SpeakRequest) -> Result<Speech, ProviderError> {
        self.asked.lock().unwrap().push(request.clone());
        let state = (self.script.clone(), plan(&request.text), 0_u64);
        let events = stream::unfold(Some(state), |state| async move {
            let (mut script, plan, at) = state?;
            if at == 0 && script.iter().any(|step| matches!(step, Step::Words(_))) {
                // All is planned before the first sound.
                return Some((SpeechEvent::Plan(plan.clone()), Some((script, plan, 1))));
            }
            while let [Step::Wait(ms), ..] = script.as_slice() {
                sleep(Duration::from_millis(*ms)).await;
                script.remove(0);
            }
            let sound = |samples: u64| SpeechEvent::Audio(vec![1; samples as usize].into());
            match script.first().cloned() {
                Some(Step::Words(count)) => {
                    script.remove(0);
                    Some((sound(count as u64 * WORD), Some((script, plan, 1))))
                }
                Some(Step::Sound(ms)) => {
                    script.remove(0);
                    Some((sound(ms * SAMPLES_PER_MS), Some((script, plan, 1))))
                }
                Some(Step::Fail(class)) => {
                    let error = ProviderError::new("scripted", class, "by script");
                    Some((SpeechEvent::Failed(error), None))
                }
                Some(Step::Hang | Step::Wait(_)) => std::future::pending().await,
                None => Some((SpeechEvent::Done, None)),
            }
        });
        Ok(Speech::new("scripted", Box::pin(events)))
    }

    fn voices(&self) -> Vec<String> {
        vec!["v".into()]
    }
}

fn plan(text: &str) -> SpeechPlan {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let from = words.len() as u64 * WORD;
        words.push(PlannedWord {
            source: start..start + word.len(),
            spoken: start..start + word.len(),
            samples: from..from + WORD,
        });
    }
    SpeechPlan {
        spoken_text: text.into(),
        samples: 0..words.len() as u64 * WORD,
        words,
        timing: Timing::Exact,
    }
}

const TEXT: &str = "one two three four five six";

struct Told {
    words: Vec<(String, Range<u64>)>,
    samples: u64,
    troubles: usize,
    end: SpeechEvent,
    /// The longest wait for sound.
    gap: Duration,
}

async fn told(row: &[&Arc<Scripted>]) -> Told {
    let member = |(nth, tts): (usize, &&Arc<Scripted>)| Member {
        name: format!("v{nth}"),
        voice: Some(format!("own{nth}")),
        tts: (*tts).clone(),
        breaker: Arc::new(Breaker::default()),
    };
    let chain = Chain(row.iter().enumerate().map(member).collect());
    told_by(&chain).await
}

async fn told_by(chain: &Chain) -> Told {
    let mut speech = chain
        .speak(SpeakRequest {
            text: TEXT.into(),
            voice: "wanted".into(),
            rate: 1.0,
        })
        .unwrap();
    let mut told = Told {
        words: Vec::new(),
        samples: 0,
        troubles: 0,
        end: SpeechEvent::Done,
        gap: Duration::ZERO,
    };
    let mut last = Instant::now();
    while let Some(event) = speech.next().await {
        match event {
            SpeechEvent::Plan(plan) => {
                let word = |word: PlannedWord| (TEXT[word.source].to_owned(), word.samples);
                told.words.extend(plan.words.into_iter().map(word));
            }
            SpeechEvent::Audio(pcm) => {
                told.samples += pcm.len() as u64;
                told.gap = told.gap.max(last.elapsed());
                last = Instant::now();
            }
            SpeechEvent::Trouble(_) => told.troubles += 1,
            end @ (SpeechEvent::Done | SpeechEvent::Failed(_)) => told.end = end,
        }
    }
    told
}

fn said(told: &Told) -> String {
    let words: Vec<&str> = told.words.iter().map(|(word, _)| word.as_str()).collect();
    words.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_breaks_off_is_followed_by_the_next_from_the_first_word_that_is_not_in_the_sound()
 {
    let first = voice(&[Step::Words(2), Step::Fail(Class::FailOver)]);
    let next = voice(&[Step::Wait(300), Step::Words(4)]);
    let told = told(&[&first, &next]).await;
    assert_eq!(said(&told), TEXT);
    assert_eq!(
        (told.samples, told.troubles, told.end.clone()),
        (6 * WORD, 1, SpeechEvent::Done)
    );
    let asked = next.asked.lock().unwrap();
    assert_eq!(asked[0].text.trim(), "three four five six");
    assert_eq!(asked[0].voice, "own1", "a voice stands in with its own");
    assert_eq!(first.asked.lock().unwrap()[0].voice, "wanted");
    let places: Vec<Range<u64>> = told
        .words
        .iter()
        .map(|(_, samples)| samples.clone())
        .collect();
    let expected: Vec<Range<u64>> = (0..6).map(|n| n * WORD..(n + 1) * WORD).collect();
    assert_eq!(places, expected);
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_hangs_within_a_sentence_is_followed_within_a_second_and_a_half() {
    let hung = voice(&[
        Step::Wait(200),
        Step::Words(1),
        Step::Wait(100),
        Step::Words(1),
        Step::Hang,
    ]);
    let next = voice(&[Step::Wait(300), Step::Words(4)]);
    let told = told(&[&hung, &next]).await;
    assert_eq!(said(&told), TEXT);
    assert!(told.gap <= Duration::from_millis(1_500), "{:?}", told.gap);
}

#[tokio::test(start_paused = true)]
async fn sound_ahead_gives_a_slow_voice_time() {
    let bursts = voice(&[
        Step::Words(5),
        Step::Sound(3_000),
        Step::Wait(2_500),
        Step::Words(1),
    ]);
    let next = voice(&[Step::Words(6)]);
    let told = told(&[&bursts, &next]).await;
    assert_eq!((told.troubles, told.end), (0, SpeechEvent::Done));
}

#[tokio::test(start_paused = true)]
async fn half_a_word_counts_as_said_and_less_does_not() {
    for (ms, rest) in [
        (160, "three four five six"),
        (130, "two three four five six"),
    ] {
        // Words are planned at 100 ms each; the sound breaks off within the second.
        let first = voice(&[Step::Words(0), Step::Sound(ms), Step::Fail(Class::FailOver)]);
        let next = voice(&[Step::Words(6)]);
        let _ = told(&[&first, &next]).await;
        assert_eq!(next.asked.lock().unwrap()[0].text.trim(), rest, "{ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn without_places_the_words_are_guessed_from_the_length_of_the_sound() {
    // "one two " is 8 letters: 600 ms at 13 letters a second.
    let first = voice(&[Step::Sound(620), Step::Fail(Class::FailOver)]);
    let next = voice(&[Step::Words(4)]);
    let _ = told(&[&first, &next]).await;
    assert_eq!(
        next.asked.lock().unwrap()[0].text.trim(),
        "three four five six"
    );
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_asked_again_once_and_what_cannot_be_done_is_asked_of_nobody_else() {
    let busy = voice(&[Step::Fail(Class::Retry { after: None })]);
    let next = voice(&[Step::Words(6)]);
    let both = told(&[&busy, &next]).await;
    assert_eq!(busy.asked.lock().unwrap().len(), 2);
    assert_eq!((both.troubles, said(&both)), (1, TEXT.into()));
    let wrong = voice(&[Step::Fail(Class::Fatal)]);
    let next = voice(&[Step::Words(6)]);
    let told = told(&[&wrong, &next]).await;
    assert!(matches!(told.end, SpeechEvent::Failed(_)));
    assert!(next.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_a_voice_is_left_alone_and_asked_only_when_there_is_no_other() {
    let dead = voice(&[Step::Hang]);
    let next = voice(&[Step::Words(6)]);
    let member = |name: &str, tts: &Arc<Scripted>| Member {
        name: name.into(),
        voice: None,
        tts: tts.clone(),
        breaker: Arc::new(Breaker::default()),
    };
    let chain = Chain(vec![member("dead", &dead), member("next", &next)]);
    for _ in 0..5 {
        assert_eq!(said(&told_by(&chain).await), TEXT);
    }
    assert_eq!(dead.asked.lock().unwrap().len(), 3);
    let alone = Chain(vec![chain.0[0].clone()]);
    assert!(matches!(told_by(&alone).await.end, SpeechEvent::Failed(_)));
    assert_eq!(dead.asked.lock().unwrap().len(), 4);
}
