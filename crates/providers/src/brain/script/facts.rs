//! What the receptionist knows: the published configuration, made ready to be asked.

use model::agent::{AgentConfig, BookingRules, ScriptConfig};

use super::{
    calendar::Hours,
    likeness::{Index, same, stems},
    spell,
    words::Words,
};

/// The tool that books.
pub(super) const BOOK_TABLE: &str = "book_table";
/// Prices listed when none was named.
const LISTED: usize = 4;

/// A price and the words that name it.
struct Priced {
    item: String,
    price: String,
    /// Each a way to name it: all stems of one must be said.
    names: Vec<Vec<String>>,
}

/// Everything the script may say that is not in its table of phrases.
pub(super) struct Facts {
    /// The agent's name.
    pub(super) name: String,
    /// The business.
    pub(super) business: String,
    /// When it is open.
    pub(super) hours: Hours,
    /// What can be booked; `None` when nothing can, or the tool is not granted.
    pub(super) booking: Option<BookingRules>,
    prices: Vec<Priced>,
    answers: Vec<String>,
    index: Index,
}

impl Facts {
    /// Reads the configuration.
    pub(super) fn new(config: &AgentConfig, script: &ScriptConfig) -> Self {
        let granted = config.tools.iter().any(|tool| tool == BOOK_TABLE);
        let documents = script
            .knowledge
            .iter()
            .map(|entry| Words::read(&entry.questions.join(" "), &[]))
            .map(|words| stems(words.iter()))
            .collect();
        Self {
            name: config.display_name.clone(),
            business: script.business.clone(),
            hours: Hours::new(&script.opening_hours),
            booking: config.booking_rules().filter(|_| granted),
            prices: script.prices.iter().map(priced).collect(),
            answers: script.knowledge.iter().map(|k| k.answer.clone()).collect(),
            index: Index::new(documents),
        }
    }

    /// Item and price of everything named; everything (at most four) when nothing is.
    pub(super) fn prices(&self, words: &Words) -> Vec<(&str, &str)> {
        let said = stems(words.iter());
        let named = self.prices.iter().filter(|priced| priced.is_named(&said));
        let mut found: Vec<&Priced> = named.collect();
        if found.is_empty() {
            found = self.prices.iter().take(LISTED).collect();
        }
        found
            .into_iter()
            .map(|priced| (priced.item.as_str(), priced.price.as_str()))
            .collect()
    }

    /// Whether something with a price is named.
    pub(super) fn names_priced(&self, words: &Words) -> bool {
        let said = stems(words.iter());
        self.prices.iter().any(|priced| priced.is_named(&said))
    }

    /// The small answer to a question, if there is one.
    pub(super) fn answer(&self, words: &Words) -> Option<&str> {
        let question = stems(words.iter());
        let at = self.index.best(&question)?;
        self.answers.get(at).map(String::as_str)
    }
}

fn priced(price: &model::agent::Price) -> Priced {
    let ways = std::iter::once(&price.item).chain(&price.aliases);
    Priced {
        item: price.item.clone(),
        price: spell::price(price.cents, &price.currency),
        names: ways
            .map(|way| stems(Words::read(way, &[]).iter()))
            .filter(|stems| !stems.is_empty())
            .collect(),
    }
}

impl Priced {
    fn is_named(&self, said: &[String]) -> bool {
        let all = |name: &[String]| {
            name.iter()
                .all(|stem| said.iter().any(|word| same(word, stem)))
        };
        self.names.iter().any(|name| all(name))
    }
}
