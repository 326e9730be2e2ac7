//! What the phone says, and when: a pure machine over what its ear hears.

use std::{collections::VecDeque, path::PathBuf, str::FromStr, time::Duration};

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say this when the other side has fallen silent.
    Say(String),
    /// Say this at once.
    Tell(String),
    /// Say this while the other side speaks.
    Barge(String),
    /// Do nothing for so long.
    Wait(Duration),
    /// Send digits (RFC 4733) when the other side has fallen silent.
    Dtmf(String),
    /// Send digits at once.
    Press(String),
    /// Play a file at once.
    Play(PathBuf),
    /// Hang up when the other side has fallen silent.
    Hangup,
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "say" => Ok(Self::Say(rest.into())),
            "tell" => Ok(Self::Tell(rest.into())),
            "barge" => Ok(Self::Barge(rest.into())),
            "wait" => seconds(rest).map(Self::Wait),
            "dtmf" => Ok(Self::Dtmf(rest.into())),
            "press" => Ok(Self::Press(rest.into())),
            "play" => Ok(Self::Play(rest.into())),
            "hangup" => Ok(Self::Hangup),
            _ => Err(format!(
                "'{name}' is none of say, tell, barge, wait, dtmf, press, play, hangup"
            )),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches('s').parse::<f64>();
    let number = number.map_err(|_| format!("'{text}' is not a time like 2s"))?;
    Duration::try_from_secs_f64(number).map_err(|e| e.to_string())
}

/// What to say to certain words: `WORDS|WORDS=TEXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Any of these, lower case.
    words: Vec<String>,
    text: String,
}

impl FromStr for Reply {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (words, text) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not WORDS=TEXT"))?;
        Ok(Self {
            words: words.split('|').map(|w| w.trim().to_lowercase()).collect(),
            text: text.trim().into(),
        })
    }
}

/// How far into the other side's words an interruption comes.
const BARGE_AFTER: Duration = Duration::from_millis(1_400);
/// An other side that never speaks is spoken to after so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries a script out.
#[derive(Debug)]
pub(super) struct Script {
    steps: VecDeque<Step>,
    replies: Vec<Reply>,
    /// What the other side has said since we last spoke, lower case.
    heard: String,
    silence: Duration,
    /// When the step that is waiting now began to wait.
    since: Duration,
    /// The other side: speaking since, or silent since.
    speaking_since: Option<Duration>,
    silent_since: Option<Duration>,
    /// It has spoken since the last step.
    spoke: bool,
    /// We ourselves are speaking.
    talking: bool,
}

impl Script {
    /// A script that begins now.
    pub(super) fn new(steps: Vec<Step>, silence: Duration, now: Duration) -> Self {
        Self {
            steps: steps.into(),
            replies: Vec::new(),
            heard: String::new(),
            silence,
            since: now,
            speaking_since: None,
            silent_since: None,
            spoke: false,
            talking: false,
        }
    }

    /// After the last step, answers like these.
    pub(super) fn with_replies(mut self, replies: Vec<Reply>) -> Self {
        self.replies = replies;
        self
    }

    /// The words of the other side, as the server tells them.
    pub(super) fn words(&mut self, text: &str) {
        self.heard.push_str(&text.to_lowercase());
        self.heard.push(' ');
    }

    /// The ear says that the other side speaks, or not.
    pub(super) fn hear(&mut self, now: Duration, speaking: bool) {
        match (speaking, self.speaking_since) {
            (true, None) => {
                self.speaking_since = Some(now);
                self.silent_since = None;
                self.spoke = true;
            }
            (false, Some(_)) => {
                self.speaking_since = None;
                self.silent_since = Some(now);
            }
            _ => {}
        }
    }

    /// We begin to speak, or have finished.
    pub(super) fn talk(&mut self, now: Duration, talking: bool) {
        self.talking = talking;
        self.since = now;
        if !talking {
            // What was said over our own words does not count as an answer to them.
            self.spoke = self.speaking_since.is_some();
            self.heard.clear();
        }
    }

    /// Whether every step has been taken.
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty() && !self.talking
    }

    /// Whether the other side speaks.
    pub(super) fn is_spoken_to(&self) -> bool {
        self.speaking_since.is_some()
    }

    /// How long nobody has spoken: neither the other side, nor we.
    pub(super) fn lull(&self, now: Duration) -> Option<Duration> {
        let quiet = self.speaking_since.is_none() && !self.talking;
        let last = self.silent_since.unwrap_or_default().max(self.since);
        quiet.then(|| now.saturating_sub(last))
    }

    /// How long the other side has been silent after speaking.
    fn silence(&self, now: Duration) -> Option<Duration> {
        self.silent_since.map(|at| now.saturating_sub(at))
    }

    /// The next step, when its time has come. Asked often.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Step> {
        if self.talking {
            return None;
        }
        let Some(step) = self.steps.front() else {
            return self.reply(now);
        };
        if !self.is_due(now, step) {
            return None;
        }
        self.since = now;
        self.spoke = self.speaking_since.is_some();
        self.steps.pop_front()
    }

    fn reply(&mut self, now: Duration) -> Option<Step> {
        if !self.spoke || self.silence(now)? < self.silence {
            return None;
        }
        let fits = |reply: &&Reply| reply.words.iter().any(|w| self.heard.contains(w));
        let text = self.replies.iter().find(fits)?.text.clone();
        self.heard.clear();
        Some(Step::Say(text))
    }

    fn is_due(&self, now: Duration, step: &Step) -> bool {
        let waited = now.saturating_sub(self.since);
        match step {
            Step::Play(_) | Step::Tell(_) | Step::Press(_) => true,
            Step::Wait(time) => waited >= *time,
            Step::Barge(_) => {
                let into = self
                    .speaking_since
                    .map(|at| now.saturating_sub(at.max(self.since)));
                into.is_some_and(|into| into >= BARGE_AFTER)
            }
            Step::Say(_) | Step::Dtmf(_) | Step::Hangup => {
                let silent = self
                    .silence(now)
                    .is_some_and(|silence| silence >= self.silence);
                (self.spoke && silent) || (waited >= PATIENCE && self.speaking_since.is_none())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn script(steps: &[&str]) -> Script {
        let steps = steps.iter().map(|s| s.parse().unwrap()).collect();
        Script::new(steps, ms(700), ms(0))
    }

    #[test]
    fn a_line_waits_for_the_end_of_the_others_words() {
        let mut script = script(&["say:hello"]);
        assert_eq!(script.poll(ms(100)), None);
        script.hear(ms(200), true);
        script.hear(ms(2_000), false);
        assert_eq!(script.poll(ms(2_600)), None);
        assert_eq!(script.poll(ms(2_700)), Some(Step::Say("hello".into())));
    }

    #[test]
    fn an_interruption_comes_in_the_middle() {
        let mut script = script(&["barge:no wait"]);
        script.hear(ms(1_000), true);
        assert_eq!(script.poll(ms(2_300)), None);
        assert!(script.poll(ms(2_400)).is_some());
    }

    #[test]
    fn a_question_gets_the_first_answer_that_fits() {
        let reply = |text: &str| text.parse().unwrap();
        let mut script = script(&[]).with_replies(vec![
            reply("8 pm|at eight=yes"),
            reply("shall i book=no, at eight"),
        ]);
        script.hear(ms(200), true);
        script.words("At 7 PM.");
        script.words("Shall I book it?");
        script.hear(ms(2_000), false);
        assert_eq!(script.poll(ms(2_500)), None);
        assert_eq!(
            script.poll(ms(2_700)),
            Some(Step::Say("no, at eight".into()))
        );
        script.talk(ms(2_700), true);
        script.talk(ms(3_500), false);
        script.hear(ms(4_000), true);
        script.hear(ms(5_000), false);
        assert_eq!(script.poll(ms(6_000)), None, "nothing was understood yet");
        script.words("At 8 PM. Shall I book it?");
        assert_eq!(script.poll(ms(6_020)), Some(Step::Say("yes".into())));
    }

    #[test]
    fn a_silent_other_side_is_spoken_to_in_the_end() {
        let mut script = script(&["say:anybody"]);
        assert_eq!(script.poll(ms(9_000)), None);
        assert!(script.poll(ms(10_000)).is_some());
    }

    #[test]
    fn nothing_is_taken_while_we_speak() {
        let mut script = script(&["wait:0s"]);
        script.talk(ms(0), true);
        assert_eq!(script.poll(ms(5_000)), None);
        script.talk(ms(5_000), false);
        assert!(script.poll(ms(5_000)).is_some());
    }
}
