//! Streamed text, cut where a voice can begin: first at a clause, then at sentences.

/// The first piece of an utterance may be a clause of at least so many letters.
const FIRST_CLAUSE_CHARS: usize = 16;
/// A sentence longer than this is cut at a space.
const MAX_PIECE_BYTES: usize = 300;
/// Words with a full stop that ends no sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "no", "vs", "e.g", "i.e", "a.m", "p.m",
];

/// Collects text and gives out pieces.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    text: String,
    begun: bool,
}

impl Sentences {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The next piece that is whole; more text may still follow it.
    pub(super) fn next_piece(&mut self) -> Option<String> {
        loop {
            let end = self.boundary()?;
            let rest = self.text.split_off(end);
            let piece = std::mem::replace(&mut self.text, rest).trim().to_owned();
            if !piece.is_empty() {
                self.begun = true;
                return Some(piece);
            }
        }
    }

    /// What is left when no more follows.
    pub(super) fn finish(&mut self) -> String {
        self.begun = false;
        std::mem::take(&mut self.text).trim().to_owned()
    }

    fn boundary(&self) -> Option<usize> {
        let sentence = boundaries(&self.text).find(|(_, kind)| *kind == Boundary::Sentence);
        let clause = boundaries(&self.text)
            .find(|(end, kind)| *kind == Boundary::Clause && *end >= FIRST_CLAUSE_CHARS);
        let early = clause.filter(|_| !self.begun);
        let found = [sentence, early]
            .into_iter()
            .flatten()
            .map(|(end, _)| end)
            .min();
        found.or_else(|| self.overlong())
    }

    fn overlong(&self) -> Option<usize> {
        let limit = self.text.floor_char_boundary(MAX_PIECE_BYTES);
        if self.text.len() <= MAX_PIECE_BYTES {
            return None;
        }
        let space = self
            .text
            .get(..limit)
            .and_then(|head| head.rfind(char::is_whitespace));
        Some(space.map_or(limit, |at| at + 1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Sentence,
    Clause,
}

/// Bytes at which a piece may end, with the kind. A mark counts once what follows it is known.
fn boundaries(text: &str) -> impl Iterator<Item = (usize, Boundary)> + '_ {
    text.char_indices()
        .zip(text.chars().skip(1))
        .filter_map(|((at, mark), next)| {
            let kind = match mark {
                '\n' => Boundary::Sentence,
                '。' | '！' | '？' => Boundary::Sentence,
                '.' if is_abbreviated(text.get(..at).unwrap_or_default()) => return None,
                '.' | '!' | '?' | '…' if next.is_whitespace() => Boundary::Sentence,
                ',' | ';' | ':' | '–' | '—' if next.is_whitespace() => Boundary::Clause,
                _ => return None,
            };
            Some((at + mark.len_utf8(), kind))
        })
}

fn is_abbreviated(before: &str) -> bool {
    let word = before
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default()
        .to_lowercase();
    ABBREVIATIONS.contains(&word.as_str())
}

/// The end of the sentence that holds byte `from`.
pub(super) fn sentence_end(text: &str, from: usize) -> usize {
    let after = boundaries(text).find(|(end, kind)| *kind == Boundary::Sentence && *end > from);
    after.map_or(text.len(), |(end, _)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(deltas: &[&str]) -> Vec<String> {
        let mut sentences = Sentences::default();
        let mut out = Vec::new();
        for delta in deltas {
            sentences.push(delta);
            while let Some(piece) = sentences.next_piece() {
                out.push(piece);
            }
        }
        out.push(sentences.finish());
        out
    }

    #[test]
    fn the_first_clause_goes_early_and_then_whole_sentences() {
        let text = "Friday at seven for four, of course. That is $12.50 a head, Mr. Smith. Shall I";
        let expected = [
            "Friday at seven for four,",
            "of course.",
            "That is $12.50 a head, Mr. Smith.",
            "Shall I",
        ];
        assert_eq!(pieces(&[text]), expected);
    }

    #[test]
    fn the_cut_of_a_stream_changes_nothing() {
        let text = "Friday at seven for four, of course. It is 3.5 miles. Shall I?";
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(pieces(&letters), pieces(&[text]));
    }

    #[test]
    fn an_endless_sentence_is_cut_at_a_space() {
        let text = "word ".repeat(200);
        let all = pieces(&[&text]);
        assert!(
            all.iter()
                .all(|piece| piece.len() <= MAX_PIECE_BYTES && !piece.is_empty())
        );
        assert_eq!(all.join(" "), text.trim());
    }
}
