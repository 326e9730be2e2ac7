//! The table of phrases, read once: what callers mean and what is said to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde::Deserialize;

use super::{
    likeness,
    pattern::Pattern,
    words::{Repair, Words},
};

/// What a caller may want, beside the values he gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Intent {
    Yes,
    No,
    Cancel,
    Repeat,
    Slower,
    Faster,
    Wait,
    Robot,
    Human,
    Emergency,
    Code,
    OwnNumber,
    Price,
    Hours,
    Book,
    Change,
    Help,
    Who,
    HowAreYou,
    Thanks,
    Done,
    Bye,
    Hello,
    First,
    Second,
    Third,
    Last,
    SlotDay,
    SlotTime,
    SlotParty,
    SlotPhone,
}

/// How alike an example must be.
const ALIKE: f32 = 0.66;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    courtesies: Vec<String>,
    repairs: Vec<Repair>,
    intents: Vec<IntentRow>,
    say: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentRow {
    name: Intent,
    #[serde(default)]
    anywhere: Vec<String>,
    #[serde(default)]
    whole: Vec<String>,
    #[serde(default)]
    starts: Vec<String>,
    #[serde(default)]
    like: Vec<String>,
}

struct Row {
    intent: Intent,
    anywhere: Vec<Pattern>,
    whole: Vec<Pattern>,
    starts: Vec<Pattern>,
    like: Vec<Vec<String>>,
}

/// The table.
pub(super) struct Talk {
    courtesies: Vec<String>,
    repairs: Vec<Repair>,
    rows: Vec<Row>,
    say: BTreeMap<String, Vec<String>>,
}

impl Talk {
    /// The built-in table, read at first use.
    ///
    /// # Errors
    /// The reader's words, when the table is broken (a test holds that it is not).
    pub(super) fn built_in() -> Result<Arc<Self>, String> {
        static TABLE: OnceLock<Result<Arc<Talk>, String>> = OnceLock::new();
        TABLE
            .get_or_init(|| Self::read(include_str!("talk.toml")).map(Arc::new))
            .clone()
    }

    fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self {
            courtesies: file.courtesies,
            repairs: file.repairs,
            rows: file.intents.into_iter().map(row).collect(),
            say: file.say,
        })
    }

    /// The caller's words, made even.
    pub(super) fn words(&self, text: &str) -> Words {
        Words::read(text, &self.repairs)
    }

    /// Everything the caller may mean.
    pub(super) fn intents(&self, words: &Words) -> Vec<Intent> {
        let core = self.without_courtesies(words);
        let stems = likeness::stems(words.iter());
        self.rows
            .iter()
            .filter(|row| row.hits(words, &core, &stems))
            .map(|row| row.intent)
            .collect()
    }

    /// The words without courtesies at either end; all of them when nothing else is there.
    fn without_courtesies(&self, words: &Words) -> Words {
        let polite = |word: &&str| self.courtesies.iter().any(|known| known == word);
        let mut core: Vec<&str> = words.iter().skip_while(polite).collect();
        while core.last().is_some_and(polite) {
            core.pop();
        }
        if core.is_empty() {
            return words.clone();
        }
        Words::read(&core.join(" "), &[])
    }

    /// One of the sentences under `key` (`turn` makes variants take turns) with `{name}`s filled in.
    pub(super) fn say(&self, key: &str, turn: usize, values: &[(&str, &str)]) -> String {
        let variants = self.say.get(key).map_or(&[][..], Vec::as_slice);
        let mut text = match variants.len() {
            0 => String::new(),
            n => variants[turn % n].clone(),
        };
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        capitalised(&text)
    }
}

fn row(row: IntentRow) -> Row {
    let patterns = |texts: Vec<String>| texts.iter().map(|text| Pattern::new(text)).collect();
    let like = row.like.iter().map(|text| likeness::stems(text.split(' ')));
    Row {
        intent: row.name,
        like: like.collect(),
        anywhere: patterns(row.anywhere),
        whole: patterns(row.whole),
        starts: patterns(row.starts),
    }
}

impl Row {
    fn hits(&self, words: &Words, core: &Words, stems: &[String]) -> bool {
        self.anywhere.iter().any(|p| p.find(words).is_some())
            || self.starts.iter().any(|p| p.match_at(core, 0).is_some())
            || self.starts.iter().any(|p| p.match_at(words, 0).is_some())
            || [words, core].iter().any(|words| self.is_whole(words))
            || self
                .like
                .iter()
                .any(|example| likeness::overlap(stems, example) >= ALIKE)
    }

    fn is_whole(&self, words: &Words) -> bool {
        let all = words.len();
        self.whole.iter().any(|p| p.match_at(words, 0) == Some(all))
    }
}

/// With a capital letter at its start, as sentences have.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(text: &str) -> Vec<Intent> {
        let talk = Talk::built_in().expect("the table reads");
        talk.intents(&talk.words(text))
    }

    #[test]
    fn the_table_reads_and_every_sentence_is_there() {
        let talk = Talk::built_in().expect("the table reads");
        for key in super::super::SENTENCES {
            assert!(!talk.say(key, 0, &[]).is_empty(), "{key}");
        }
        for key in talk.say.keys() {
            assert!(
                super::super::SENTENCES.contains(&key.as_str()),
                "{key} is never said"
            );
        }
    }

    #[test]
    fn intents_are_found_in_what_callers_say() {
        for (text, intent) in [
            ("Yes, please.", Intent::Yes),
            ("Okay.", Intent::Yes),
            ("that's right", Intent::Yes),
            ("No, thank you.", Intent::No),
            ("I'd like to book a table", Intent::Book),
            ("Can I make a reservation?", Intent::Book),
            ("How much is the tasting menu?", Intent::Price),
            ("When do you open?", Intent::Hours),
            ("What are your opening hours?", Intent::Hours),
            ("Are you open on Sunday?", Intent::Hours),
            ("Are you a robot?", Intent::Robot),
            ("Am I talking to a real person?", Intent::Robot),
            ("Can I speak to a human?", Intent::Human),
            ("Could you repeat that?", Intent::Repeat),
            ("Sorry?", Intent::Repeat),
            ("Could you speak more slowly?", Intent::Slower),
            ("Hold on a second.", Intent::Wait),
            ("The number I am calling from.", Intent::OwnNumber),
            ("Thanks, goodbye.", Intent::Bye),
            ("That's all.", Intent::Done),
            ("What can you do?", Intent::Help),
            ("Never mind.", Intent::Cancel),
        ] {
            assert!(
                intents(text).contains(&intent),
                "{text}: {:?}",
                intents(text)
            );
        }
    }

    #[test]
    fn intents_are_not_found_where_they_are_not() {
        for (text, intent) in [
            ("a table for four on friday", Intent::Yes),
            ("I'd like to book a table", Intent::No),
            ("at seven", Intent::Hours),
            ("no wait make it eight", Intent::Cancel),
            ("half past seven", Intent::Repeat),
            ("What is the weather like?", Intent::Price),
            ("four people", Intent::Wait),
        ] {
            assert!(
                !intents(text).contains(&intent),
                "{text}: {:?}",
                intents(text)
            );
        }
    }
}
