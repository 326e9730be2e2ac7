//! Where each spoken word lies in the sound.

use super::flite::TimedPhone;
use super::kal::Uttered;

/// Begin and end of one word, s.
pub(crate) type Span = (f32, f32);

const PAUSE: &str = "pau";
/// Of the phones, at least this share must agree before their times are trusted.
const TRUSTED_SHARE: f32 = 0.8;

/// Times for each of `count` tokens out of the engine's own words. `None` when a token is
/// not pronounced at all: then the times are no longer exact.
pub(crate) fn by_token(words: &[Uttered], count: usize) -> Option<Vec<Span>> {
    (0..count)
        .map(|token| {
            let mut own = words.iter().filter(|w| w.token == token);
            let first = own.next()?;
            let last = own.next_back().unwrap_or(first);
            Some((first.start_s, last.end_s))
        })
        .collect()
}

/// Gives `words` the times of `phones`, another voice's rendering of the same text: the two
/// phone sequences are aligned, pauses aside. `None` when they have too little in common.
pub(crate) fn retime(words: &[Uttered], phones: &[TimedPhone]) -> Option<Vec<Uttered>> {
    let wanted: Vec<&str> = words
        .iter()
        .flat_map(|w| w.phones.iter().map(String::as_str))
        .collect();
    let spoken: Vec<(&str, Span)> = spans(phones);
    let pairs = align(&wanted, &spoken.iter().map(|(p, _)| *p).collect::<Vec<_>>());
    let agreed = pairs
        .iter()
        .filter(|(w, s)| wanted.get(*w) == spoken.get(*s).map(|(p, _)| p))
        .count();
    if (agreed as f32) < TRUSTED_SHARE * wanted.len().max(1) as f32 {
        return None;
    }
    let mut at = 0;
    let mut timed = Vec::with_capacity(words.len());
    for word in words {
        let range = at..at + word.phones.len();
        at = range.end;
        let mut own = pairs.iter().filter(|(w, _)| range.contains(w));
        let first = own.next()?;
        let last = own.next_back().unwrap_or(first);
        timed.push(Uttered {
            start_s: spoken.get(first.1)?.1.0,
            end_s: spoken.get(last.1)?.1.1,
            ..word.clone()
        });
    }
    Some(timed)
}

/// Phones with begin and end, pauses left out.
fn spans(phones: &[TimedPhone]) -> Vec<(&str, Span)> {
    let mut start = 0.0;
    let mut spans = Vec::with_capacity(phones.len());
    for (phone, end) in phones {
        if phone != PAUSE {
            spans.push((phone.as_str(), (start, *end)));
        }
        start = *end;
    }
    spans
}

/// Pairs of positions on the cheapest way to turn one sequence into the other.
fn align(a: &[&str], b: &[&str]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut cost: Vec<u32> = (0..width as u32).collect();
    for i in 1..=a.len() {
        cost.push(i as u32);
        for j in 1..=b.len() {
            let change = cost[(i - 1) * width + j - 1] + u32::from(a[i - 1] != b[j - 1]);
            let drop = cost[(i - 1) * width + j] + 1;
            let insert = cost[i * width + j - 1] + 1;
            cost.push(change.min(drop).min(insert));
        }
    }
    let (mut i, mut j) = (a.len(), b.len());
    let mut pairs = Vec::new();
    while i > 0 && j > 0 {
        let here = cost[i * width + j];
        if here == cost[(i - 1) * width + j - 1] + u32::from(a[i - 1] != b[j - 1]) {
            (i, j) = (i - 1, j - 1);
            pairs.push((i, j));
        } else if here == cost[(i - 1) * width + j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    pairs.reverse();
    pairs
}

/// A guess where nothing better is known: each word's share of `total_s` by its letters.
pub(crate) fn proportional(lengths: &[usize], total_s: f32) -> Vec<Span> {
    let all: usize = lengths.iter().map(|l| l + 1).sum();
    let scale = total_s / all.max(1) as f32;
    let mut at = 0.0;
    lengths
        .iter()
        .map(|length| {
            let start = at;
            at += (length + 1) as f32 * scale;
            (start, at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(token: usize, phones: &str) -> Uttered {
        Uttered {
            token,
            phones: phones.split(' ').map(str::to_owned).collect(),
            ..Uttered::default()
        }
    }

    fn timed(table: &[(&str, f32)]) -> Vec<TimedPhone> {
        table.iter().map(|(p, e)| ((*p).to_owned(), *e)).collect()
    }

    #[test]
    fn words_take_the_times_of_their_phones_across_a_pause_and_a_changed_vowel() {
        let words = [word(0, "hh ax l ow"), word(1, "w er l d")];
        let phones = timed(&[
            ("pau", 0.1),
            ("hh", 0.2),
            ("eh", 0.3),
            ("l", 0.4),
            ("ow", 0.5),
            ("pau", 0.7),
            ("w", 0.8),
            ("er", 0.9),
            ("l", 1.0),
            ("d", 1.1),
            ("pau", 1.3),
        ]);
        let retimed = retime(&words, &phones).expect("alike enough");
        assert_eq!(by_token(&retimed, 2), Some(vec![(0.1, 0.5), (0.7, 1.1)]));
    }

    #[test]
    fn phones_of_another_text_are_not_trusted() {
        let words = [word(0, "hh ax l ow")];
        assert_eq!(retime(&words, &timed(&[("s", 0.2), ("t", 0.3)])), None);
    }

    #[test]
    fn a_guess_follows_the_letters() {
        let spans = proportional(&[1, 3], 6.0);
        assert_eq!(spans, [(0.0, 2.0), (2.0, 6.0)]);
    }
}
