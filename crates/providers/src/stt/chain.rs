//! Recognisers in turn: what one does not understand in time, the next gets whole, from the first sample of the utterance.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{HearKind, HearRequest, Heard, Hearing, Stt};
use crate::{Class, ProviderError, breaker::Breaker};

/// A recogniser that has no words by then has failed, unless it is the last.
const LIMIT: Duration = Duration::from_millis(2_500);
/// Wait before the same one is asked once more.
const AGAIN: Duration = Duration::from_millis(100);
/// So much speech has words in it: who finds none is doubted, and the next is asked.
const SPEECH_MS: u32 = 1_500;

/// One of the recognisers.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) stt: Arc<dyn Stt>,
    pub(crate) breaker: Arc<Breaker>,
}

/// See the module.
pub(crate) struct Chain(pub(crate) Vec<Member>);

impl Stt for Chain {
    fn hear(&self, request: HearRequest) -> Result<Hearing, ProviderError> {
        let row = self.row();
        match request.kind {
            // Nobody is asked twice for words that are asked for again soon.
            HearKind::Partial => match row.first() {
                Some(first) => first.stt.hear(request),
                None => Err(nobody()),
            },
            HearKind::Final => Ok(Hearing::new(in_turn(row, request))),
        }
    }

    fn warm(&self) {
        if let Some(first) = self.row().first() {
            first.stt.warm();
        }
    }
}

impl Chain {
    /// Those that are not left alone, then those that are.
    fn row(&self) -> Vec<Member> {
        let now = Instant::now();
        let all = self.0.iter().cloned();
        let (mut row, rest): (Vec<_>, Vec<_>) = all.partition(|one| one.breaker.allows(now));
        row.extend(rest);
        row
    }
}

fn nobody() -> ProviderError {
    ProviderError::new("recogniser", Class::FailOver, "there is no recogniser")
}

async fn in_turn(row: Vec<Member>, request: HearRequest) -> Result<Heard, ProviderError> {
    let mut troubles = Vec::new();
    let mut wordless = None;
    for (nth, member) in row.iter().enumerate() {
        let is_last = nth + 1 == row.len();
        match asked(member, &request).await {
            Ok(heard) if heard.text.is_empty() && doubtful(&request) && !is_last => {
                wordless.get_or_insert((member, heard));
            }
            Ok(heard) => {
                member.breaker.succeeded();
                if let Some((deaf, _)) = wordless.filter(|_| !heard.text.is_empty()) {
                    let why = "speech without a word in it, which another understood";
                    let error = ProviderError::new(&deaf.name, Class::FailOver, why);
                    deaf.breaker.failed(Instant::now());
                    troubles.push(error);
                }
                return Ok(Heard { troubles, ..heard });
            }
            Err(error) => {
                member.breaker.failed(Instant::now());
                let fatal = error.class == Class::Fatal;
                troubles.push(error);
                if fatal {
                    break;
                }
            }
        }
    }
    match wordless {
        Some((_, heard)) => Ok(Heard { troubles, ..heard }),
        None => Err(troubles.pop().unwrap_or_else(nobody)),
    }
}

fn doubtful(request: &HearRequest) -> bool {
    request.speech_ms >= SPEECH_MS
}

/// The words of one of them, who is asked once more when what failed may pass.
async fn asked(member: &Member, request: &HearRequest) -> Result<Heard, ProviderError> {
    let begin = Instant::now();
    match once(member, request, LIMIT).await {
        Err(error) if passes(&error) => {
            sleep(AGAIN).await;
            once(member, request, LIMIT.saturating_sub(begin.elapsed())).await
        }
        answer => answer,
    }
}

fn passes(error: &ProviderError) -> bool {
    matches!(error.class, Class::Retry { after } if after.unwrap_or(AGAIN) <= AGAIN)
}

async fn once(
    member: &Member,
    request: &HearRequest,
    limit: Duration,
) -> Result<Heard, ProviderError> {
    let hearing = member.stt.hear(request.clone())?;
    let silent = |_| ProviderError::new(&member.name, Class::FailOver, "no words within its time");
    timeout(limit, hearing.text()).await.map_err(silent)?
}

#[cfg(test)]
mod tests;
