use std::sync::Mutex;

use super::*;

/// Answers as told, in turn, the last again and again; keeps what it was given.
struct Scripted {
    answers: Vec<Answer>,
    given: Mutex<Vec<HearRequest>>,
}

#[derive(Clone)]
enum Answer {
    Words(&'static str),
    Fail(Class),
    Hang,
}

fn ears(answers: &[Answer]) -> Arc<Scripted> {
    Arc::new(Scripted {
        answers: answers.to_vec(),
        given: Mutex::default(),
    })
}

impl Stt for Scripted {
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        let mut given = self.given.lock().unwrap();
        let nth = given.len().min(self.answers.len() - 1);
        given.push(request);
        let answer = self.answers[nth].clone();
        Ok(Hearing::new(async move {
            match answer {
                Answer::Words(text) => Ok(Heard {
                    text: text.into(),
                    confidence: None,
                    troubles: Vec::new(),
                }),
                Answer::Fail(class) => Err(ProviderError::new("scripted", class, "by script")),
                Answer::Hang => std::future::pending().await,
            }
        }))
    }
}

fn chain(row: &[&Arc<Scripted>]) -> Chain {
    let member = |(nth, stt): (usize, &&Arc<Scripted>)| Member {
        name: format!("e{nth}"),
        stt: (*stt).clone(),
        breaker: Arc::new(Breaker::default()),
    };
    Chain(row.iter().enumerate().map(member).collect())
}

fn stretch(speech_ms: u32) -> HearRequest {
    HearRequest {
        audio: vec![0.5; 16_000].into(),
        kind: HearKind::Final,
        start_ms: 2_000,
        end_ms: 3_000,
        speech_ms,
    }
}

async fn heard(chain: &Chain, speech_ms: u32) -> Result<Heard, ProviderError> {
    chain.hear(stretch(speech_ms)).unwrap().text().await
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_recogniser_was_given_the_next_gets_whole_and_in_time() {
    for dead in [Answer::Hang, Answer::Fail(Class::FailOver)] {
        let (first, next) = (ears(&[dead]), ears(&[Answer::Words("a table")]));
        let begin = Instant::now();
        let heard = heard(&chain(&[&first, &next]), 800).await.unwrap();
        assert_eq!((heard.text.as_str(), heard.troubles.len()), ("a table", 1));
        assert_eq!(heard.troubles[0].class, Class::FailOver);
        assert!(begin.elapsed() <= LIMIT, "{:?}", begin.elapsed());
        assert_eq!(next.given.lock().unwrap()[0], stretch(800));
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_asked_again_once_and_what_is_wrong_is_asked_of_nobody_else() {
    let busy = Answer::Fail(Class::Retry { after: None });
    let first = ears(&[busy, Answer::Words("at last")]);
    let next = ears(&[Answer::Words("no")]);
    let heard_at_last = heard(&chain(&[&first, &next]), 800).await.unwrap();
    assert_eq!(
        (heard_at_last.text.as_str(), heard_at_last.troubles.len()),
        ("at last", 0)
    );
    let wrong = ears(&[Answer::Fail(Class::Fatal)]);
    assert!(heard(&chain(&[&wrong, &next]), 800).await.is_err());
    assert!(next.given.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn long_speech_without_a_word_is_given_to_another_and_a_cough_is_not() {
    let (deaf, next) = (
        ears(&[Answer::Words("")]),
        ears(&[Answer::Words("eight people")]),
    );
    let row = chain(&[&deaf, &next]);
    let cough = heard(&row, 300).await.unwrap();
    assert_eq!(
        (cough.text.as_str(), next.given.lock().unwrap().len()),
        ("", 0)
    );
    let long = heard(&row, 2_000).await.unwrap();
    assert_eq!(
        (long.text.as_str(), long.troubles.len()),
        ("eight people", 1)
    );
    let both = chain(&[&deaf, &ears(&[Answer::Words("")])]);
    let noise = heard(&both, 2_000).await.unwrap();
    assert_eq!((noise.text.as_str(), noise.troubles.len()), ("", 0));
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_a_recogniser_is_left_alone() {
    let (dead, next) = (ears(&[Answer::Hang]), ears(&[Answer::Words("yes")]));
    let row = chain(&[&dead, &next]);
    for _ in 0..5 {
        assert_eq!(heard(&row, 800).await.unwrap().text, "yes");
    }
    assert_eq!(dead.given.lock().unwrap().len(), 3);
}
