//! How alike words and sentences are: for recogniser slips, example sentences and small answers.

use std::collections::BTreeMap;

/// Words that carry no subject.
const EMPTY: &[&str] = &[
    "a", "an", "the", "is", "are", "am", "was", "be", "been", "do", "does", "did", "you", "your",
    "i", "im", "id", "we", "us", "our", "my", "me", "it", "its", "this", "that", "there", "theres",
    "their", "and", "or", "but", "so", "of", "to", "for", "in", "on", "at", "with", "by", "from",
    "as", "if", "can", "could", "would", "will", "shall", "may", "might", "please", "what",
    "whats", "which", "how", "who", "when", "have", "has", "had", "get", "got", "any", "some",
    "also", "just", "um", "uh", "er", "well", "oh", "tell", "know", "want", "like", "about", "ok",
    "okay", "yes", "no", "hi", "hello", "hey",
];

/// Whether a word carries the subject of a sentence.
pub(super) fn has_content(word: &str) -> bool {
    word.len() > 1 && !EMPTY.contains(&word)
}

/// A word without its ending.
pub(super) fn stem(word: &str) -> &str {
    if let Some(short) = word.strip_suffix("ing").filter(|_| word.len() > 6) {
        return short;
    }
    if word.len() > 4 {
        for ending in ["es", "ed"] {
            if let Some(short) = word.strip_suffix(ending) {
                return short;
            }
        }
    }
    let plural = word.len() > 3 && !word.ends_with("ss");
    let short = if plural { word.strip_suffix('s') } else { None };
    short.map_or(word, |short| short).trim_end_matches('e')
}

/// The stems of the words that matter.
pub(super) fn stems<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words
        .filter(|word| has_content(word))
        .map(|word| stem(word).to_owned())
        .collect()
}

/// Whether two stems are one word: equal, or a slip apart when they are long.
pub(super) fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let short = a.len().min(b.len());
    short >= 5 && distance(a, b) <= 1
}

/// How many letters differ (optimal string alignment).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(24).collect(), b.chars().take(24).collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// Share of subject words that two sentences have in common (Dice), 0 to 1; 0 with fewer than two.
pub(super) fn overlap(a: &[String], b: &[String]) -> f32 {
    let common = a
        .iter()
        .filter(|word| b.iter().any(|other| same(word, other)))
        .count();
    if common < 2 {
        return 0.0;
    }
    2.0 * common as f32 / (a.len() + b.len()) as f32
}

/// Small answers found by their words: Okapi BM25 (k1 = 1.2, b = 0.75).
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    documents: Vec<Vec<String>>,
    seen_in: BTreeMap<String, usize>,
    mean_length: f32,
}

impl Index {
    /// An index over documents, each a list of stems.
    pub(super) fn new(documents: Vec<Vec<String>>) -> Self {
        let mut seen_in: BTreeMap<String, usize> = BTreeMap::new();
        for document in &documents {
            let mut once = document.clone();
            once.sort();
            once.dedup();
            for word in once {
                *seen_in.entry(word).or_default() += 1;
            }
        }
        let total: usize = documents.iter().map(Vec::len).sum();
        Self {
            mean_length: (total as f32 / documents.len().max(1) as f32).max(1.0),
            documents,
            seen_in,
        }
    }

    /// The best document, when it covers at least half of what the question weighs.
    pub(super) fn best(&self, question: &[String]) -> Option<usize> {
        let asked: f32 = question.iter().map(|word| self.weight(word)).sum();
        let scored = (0..self.documents.len()).map(|at| (at, self.score(at, question)));
        let (best, _) = scored
            .filter(|(_, score)| *score > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
        let covered: f32 = question
            .iter()
            .filter(|word| self.count(best, word) > 0)
            .map(|word| self.weight(word))
            .sum();
        (covered >= 0.5 * asked).then_some(best)
    }

    fn score(&self, at: usize, question: &[String]) -> f32 {
        let length = self.documents[at].len() as f32 / self.mean_length;
        question
            .iter()
            .map(|word| {
                let count = self.count(at, word) as f32;
                self.weight(word) * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length))
            })
            .sum()
    }

    fn count(&self, at: usize, word: &str) -> usize {
        self.documents[at]
            .iter()
            .filter(|other| same(word, other))
            .count()
    }

    /// Inverse document frequency; a word no document knows weighs as much as one that a single
    /// document has.
    fn weight(&self, word: &str) -> f32 {
        let known = self.seen_in.iter().filter(|(other, _)| same(word, other));
        let seen = known.map(|(_, n)| *n).max().unwrap_or(1) as f32;
        let all = self.documents.len() as f32;
        (1.0 + (all - seen + 0.5) / (seen + 0.5)).ln().max(0.05)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        stems(text.split(' '))
    }

    #[test]
    fn slips_of_long_words_are_the_same_word() {
        assert!(same("vegetarian", "vegitarian"));
        assert!(same("parking", "parkign"));
        assert!(!same("four", "five"));
        assert_eq!(distance("wensday", "wednesday"), 2);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_answer_that_covers_the_question_is_found() {
        let index = Index::new(vec![
            words("where can i park is there parking car"),
            words("do you have vegetarian vegan dishes"),
            words("can i bring my dog pets"),
        ]);
        assert_eq!(index.best(&words("is there any parking nearby")), Some(0));
        assert_eq!(index.best(&words("vegetarian dishes")), Some(1));
        assert_eq!(index.best(&words("are dogs welcome")), Some(2));
        assert_eq!(
            index.best(&words("who won the football match yesterday")),
            None
        );
        assert_eq!(index.best(&[]), None);
    }
}
