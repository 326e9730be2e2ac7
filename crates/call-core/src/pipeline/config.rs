//! What of an agent's configuration the pipeline itself speaks.

use std::time::Duration;

use model::agent::{AgentConfig, TurnConfig};

use super::sentences::sentence_end;

/// Where the disclosure goes in a greeting.
const MARKER: &str = "{disclosure}";

/// See the module's first line.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// Turn-taking.
    pub turn: TurnConfig,
    /// First words, with or without `{disclosure}`.
    pub greeting: String,
    /// Whether the caller is told that no human speaks.
    pub disclosure: bool,
    /// Last words on a natural end and after too much silence; may be empty.
    pub farewell: String,
    /// What is said when the agent cannot go on.
    pub apology: String,
    /// Said while a model or a tool is slow, in turn.
    pub fillers: Vec<String>,
    /// Said by an agent that replaced a broken one; may be empty.
    pub resumption: String,
    /// The disclosure within a sentence ("an automated assistant").
    pub disclosure_phrase: String,
    /// The disclosure as a sentence of its own.
    pub disclosure_sentence: String,
    /// Silence of the agent at work after which a filler is said.
    pub filler_after: Duration,
    /// A tool that has not come back by then has failed.
    pub tool_limit: Duration,
    /// A model that says nothing for so long has failed.
    pub mind_limit: Duration,
}

/// The pipeline's own words in one language.
struct Phrases {
    language: &'static str,
    disclosure_phrase: &'static str,
    disclosure_sentence: &'static str,
    fillers: [&'static str; 2],
    resumption: &'static str,
}

const PHRASES: &[Phrases] = &[
    Phrases {
        language: "en",
        disclosure_phrase: "an automated assistant",
        disclosure_sentence: "I am an automated assistant.",
        fillers: ["One moment, please.", "I am still checking."],
        resumption: "I am sorry, I lost you for a moment. What did you say?",
    },
    Phrases {
        language: "de",
        disclosure_phrase: "ein automatischer Assistent",
        disclosure_sentence: "Ich bin ein automatischer Assistent.",
        fillers: ["Einen Moment, bitte.", "Ich sehe noch nach."],
        resumption: "Entschuldigung, ich war kurz weg. Was sagten Sie?",
    },
    Phrases {
        language: "fr",
        disclosure_phrase: "un assistant automatique",
        disclosure_sentence: "Je suis un assistant automatique.",
        fillers: ["Un instant, s'il vous plaît.", "Je vérifie encore."],
        resumption: "Excusez-moi, je vous ai perdu un instant. Que disiez-vous ?",
    },
    Phrases {
        language: "es",
        disclosure_phrase: "un asistente automático",
        disclosure_sentence: "Soy un asistente automático.",
        fillers: ["Un momento, por favor.", "Sigo comprobándolo."],
        resumption: "Perdone, le perdí un momento. ¿Qué decía?",
    },
];

/// The phrases of a BCP 47 language; English where there are none.
fn phrases(language: &str) -> Option<&'static Phrases> {
    let primary = language.split('-').next().unwrap_or_default();
    let known = PHRASES
        .iter()
        .find(|phrases| phrases.language.eq_ignore_ascii_case(primary));
    known.or(PHRASES.first())
}

impl From<&AgentConfig> for PipelineConfig {
    fn from(agent: &AgentConfig) -> Self {
        let own = phrases(&agent.language);
        let text = |pick: fn(&Phrases) -> &'static str| {
            own.map_or(String::new(), |own| pick(own).to_owned())
        };
        Self {
            turn: agent.turn.clone(),
            greeting: agent.greeting.clone(),
            disclosure: agent.disclosure,
            farewell: agent.farewell.clone(),
            apology: agent.apology.clone(),
            fillers: own.map_or(Vec::new(), |own| own.fillers.map(String::from).to_vec()),
            resumption: text(|own| own.resumption),
            disclosure_phrase: text(|own| own.disclosure_phrase),
            disclosure_sentence: text(|own| own.disclosure_sentence),
            filler_after: Duration::from_millis(1_500),
            tool_limit: Duration::from_secs(15),
            mind_limit: Duration::from_secs(12),
        }
    }
}

impl PipelineConfig {
    /// The first utterances, and whether they are protected. Everything up to the end of the
    /// disclosure's sentence is.
    pub(super) fn openings(&self) -> Vec<(String, bool)> {
        let greeting = self.greeting.trim();
        if !self.disclosure {
            return spoken([(without_marker(greeting), false), (String::new(), false)]);
        }
        let Some(marker) = greeting.find(MARKER) else {
            let whole = format!("{greeting} {}", self.disclosure_sentence);
            return spoken([(whole, true), (String::new(), false)]);
        };
        let text = greeting.replace(MARKER, &self.disclosure_phrase);
        let end = sentence_end(&text, marker + self.disclosure_phrase.len());
        let (disclosing, rest) = text.split_at_checked(end).unwrap_or((&text, ""));
        spoken([(disclosing.to_owned(), true), (rest.to_owned(), false)])
    }
}

fn spoken(parts: [(String, bool); 2]) -> Vec<(String, bool)> {
    let trimmed = parts.map(|(text, protected)| (text.trim().to_owned(), protected));
    trimmed
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .collect()
}

/// The greeting of an agent that discloses nothing: the marker goes with the comma before it.
fn without_marker(greeting: &str) -> String {
    let with_comma = format!(", {MARKER}");
    greeting
        .replace(&with_comma, "")
        .replace(MARKER, "")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openings(greeting: &str, disclosure: bool) -> Vec<(String, bool)> {
        let json = serde_json::json!({
            "display_name": "Ada", "greeting": greeting, "disclosure": disclosure, "brain": { "kind": "echo" },
        });
        let agent: AgentConfig = serde_json::from_value(json).unwrap();
        PipelineConfig::from(&agent).openings()
    }

    #[test]
    fn the_disclosure_is_protected_and_nothing_after_it() {
        assert_eq!(
            openings(
                "Hello, I'm Ada, {disclosure}. This call is recorded. How can I help?",
                true
            ),
            [
                ("Hello, I'm Ada, an automated assistant.".to_owned(), true),
                ("This call is recorded. How can I help?".to_owned(), false),
            ]
        );
        assert_eq!(
            openings("Hello.", true),
            [("Hello. I am an automated assistant.".to_owned(), true)]
        );
        assert_eq!(
            openings("", true),
            [("I am an automated assistant.".to_owned(), true)]
        );
    }

    #[test]
    fn an_agent_without_disclosure_greets_plainly() {
        assert_eq!(
            openings("Hello, I'm Ada, {disclosure}. Hi!", false),
            [("Hello, I'm Ada. Hi!".to_owned(), false)]
        );
        assert_eq!(openings("", false), []);
    }
}
