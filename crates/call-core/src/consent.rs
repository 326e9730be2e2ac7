//! Words about being recorded: what callers are told and asked, and what they say to it.

use model::{AgentConfig, RecordingMode};

use crate::dialplan::action::{Consent, ConsentOp, Op, RecordSpec};

/// When a call is recorded, where its dialplan does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordingPolicy {
    /// When.
    pub mode: RecordingMode,
    /// What the caller is told or asked first.
    pub text: String,
}

impl RecordingPolicy {
    /// An agent's, or what the number that was called says instead.
    pub fn of(agent: &AgentConfig, number: Option<RecordingMode>) -> RecordingPolicy {
        let mode = number.unwrap_or_else(|| agent.recording_mode());
        let text = agent.recording_text.clone();
        RecordingPolicy {
            mode,
            text: text.unwrap_or_else(|| usual(mode, &agent.language).to_owned()),
        }
    }

    /// What the call does before its agent talks; nothing when it is not recorded.
    pub fn op(self) -> Option<Op> {
        match self.mode {
            RecordingMode::Off => None,
            RecordingMode::On => Some(Op::Record(RecordSpec {
                channels: 2,
                consent: Consent::Given,
            })),
            RecordingMode::Announce | RecordingMode::Ask => Some(Op::Consent(ConsentOp {
                mode: self.mode,
                channels: 2,
                text: self.text,
            })),
        }
    }
}

/// A caller's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It may be recorded.
    Yes,
    /// It may not.
    No,
}

struct Words {
    language: &'static str,
    announcement: &'static str,
    question: &'static str,
}

const WORDS: [Words; 4] = [
    Words {
        language: "en",
        announcement: "This call is recorded.",
        question: "May this call be recorded? Press one, or say yes, to agree. Press two, or say no, and nothing is kept.",
    },
    Words {
        language: "de",
        announcement: "Dieses Gespräch wird aufgezeichnet.",
        question: "Darf dieses Gespräch aufgezeichnet werden? Drücken Sie die Eins oder sagen Sie ja. Mit der Zwei oder nein wird nichts gespeichert.",
    },
    Words {
        language: "fr",
        announcement: "Cet appel est enregistré.",
        question: "Pouvons-nous enregistrer cet appel ? Tapez un ou dites oui. Tapez deux ou dites non, et rien n'est conservé.",
    },
    Words {
        language: "es",
        announcement: "Esta llamada se graba.",
        question: "¿Podemos grabar esta llamada? Pulse uno o diga sí. Pulse dos o diga no, y no se guarda nada.",
    },
];

/// What is said before a recording in a BCP 47 language; in English where no words are known.
pub fn usual(mode: RecordingMode, language: &str) -> &'static str {
    let primary = language.split('-').next().unwrap_or_default();
    let [english, ..] = &WORDS;
    let known = WORDS
        .iter()
        .find(|words| words.language.eq_ignore_ascii_case(primary));
    let words = known.unwrap_or(english);
    match mode {
        RecordingMode::Ask => words.question,
        RecordingMode::Off | RecordingMode::On | RecordingMode::Announce => words.announcement,
    }
}

const NO: [&str; 20] = [
    "no", "nope", "nah", "not", "dont", "never", "neither", "stop", "refuse", "disagree",
    "decline", "nein", "nicht", "kein", "keine", "non", "pas", "nunca", "jamais", "nee",
];
const YES: [&str; 20] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "agree",
    "agreed",
    "sure",
    "okay",
    "ok",
    "fine",
    "certainly",
    "absolutely",
    "ja",
    "gerne",
    "einverstanden",
    "oui",
    "accord",
    "si",
    "sí",
    "vale",
];

/// Whether a caller agreed. A single no among many words is a no: what is not kept can be asked for
/// again, what was kept cannot be unsaid.
pub fn answer(text: &str) -> Option<Answer> {
    let words = plain(text);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    match (any(&NO), any(&YES)) {
        (true, _) => Some(Answer::No),
        (false, true) => Some(Answer::Yes),
        (false, false) => None,
    }
}

const STOP: [&str; 22] = [
    "stop recording",
    "stop the recording",
    "stop this recording",
    "stop to record",
    "dont record",
    "do not record",
    "dont want to be recorded",
    "do not want to be recorded",
    "not want this recorded",
    "dont want this recorded",
    "not be recorded",
    "end the recording",
    "delete the recording",
    "delete this recording",
    "turn off the recording",
    "nicht aufzeichnen",
    "nicht aufnehmen",
    "keine aufnahme",
    "arrêtez lenregistrement",
    "arrêtez denregistrer",
    "deje de grabar",
    "no grabe",
];

/// Whether a caller wants it recorded no longer.
pub fn withdraws(text: &str) -> bool {
    let said = format!(" {} ", plain(text).join(" "));
    STOP.iter()
        .any(|phrase| said.contains(&format!(" {phrase} ")))
}

/// Words in lower case, without what is not a letter or digit.
fn plain(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let kept = word.chars().filter(|c| c.is_alphanumeric());
        kept.flat_map(char::to_lowercase).collect::<String>()
    };
    text.split(|c: char| c.is_whitespace() || c == '-' || c == ',')
        .map(word)
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_among_the_words_is_a_no_and_what_is_neither_is_nothing() {
        for yes in ["Yes.", "yeah, sure", "Okay, I agree", "Oui.", "Sí"] {
            assert_eq!(answer(yes), Some(Answer::Yes), "{yes}");
        }
        for no in [
            "No.",
            "I don't agree",
            "yes, no, wait",
            "no problem",
            "Nein",
            "please do not",
        ] {
            assert_eq!(answer(no), Some(Answer::No), "{no}");
        }
        for unclear in ["", "a table for two", "what?", "yesterday"] {
            assert_eq!(answer(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn who_wants_no_recording_says_so_in_many_ways() {
        for stop in [
            "Stop recording.",
            "please stop the recording now",
            "I don't want to be recorded",
            "Do not record this.",
        ] {
            assert!(withdraws(stop), "{stop}");
        }
        for other in [
            "what was your record this year",
            "stop it",
            "the recording studio",
            "I do not recall",
        ] {
            assert!(!withdraws(other), "{other}");
        }
    }

    #[test]
    fn the_number_counts_more_than_the_agent_and_the_agents_words_more_than_the_usual_ones() {
        let agent =
            |json: serde_json::Value| -> AgentConfig { serde_json::from_value(json).unwrap() };
        let ada = agent(serde_json::json!({
            "display_name": "Ada", "brain": { "kind": "echo" }, "record": true, "language": "de-AT",
        }));
        assert_eq!(RecordingPolicy::of(&ada, None).mode, RecordingMode::On);
        let asked = RecordingPolicy::of(&ada, Some(RecordingMode::Ask));
        assert!(asked.text.starts_with("Darf dieses"), "{asked:?}");
        assert!(
            RecordingPolicy::of(&ada, Some(RecordingMode::Off))
                .op()
                .is_none()
        );
        let bob = agent(serde_json::json!({
            "display_name": "Bob", "brain": { "kind": "echo" }, "record": true, "recording": "announce",
            "recording_text": "Heads up.",
        }));
        let told = RecordingPolicy::of(&bob, None);
        assert_eq!(
            (told.mode, told.text.as_str()),
            (RecordingMode::Announce, "Heads up.")
        );
    }
}
