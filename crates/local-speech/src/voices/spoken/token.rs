//! How one written token is read.

use super::Written;
use crate::number_words::{MAX_CARDINAL, cardinal, digit, digits, ordinal};

const MONTHS: [(&str, &str); 12] = [
    ("jan", "january"),
    ("feb", "february"),
    ("mar", "march"),
    ("apr", "april"),
    ("jun", "june"),
    ("jul", "july"),
    ("aug", "august"),
    ("sep", "september"),
    ("sept", "september"),
    ("oct", "october"),
    ("nov", "november"),
    ("dec", "december"),
];
const DAYS: [(&str, &str); 10] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("tues", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("thur", "thursday"),
    ("thurs", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];
const SHORT: [(&str, &str); 14] = [
    ("mr", "mister"),
    ("mrs", "missus"),
    ("ms", "miz"),
    ("dr", "doctor"),
    ("vs", "versus"),
    ("etc", "et cetera"),
    ("e.g", "for example"),
    ("i.e", "that is"),
    ("approx", "approximately"),
    ("ext", "extension"),
    ("ok", "okay"),
    ("&", "and"),
    ("+", "plus"),
    ("@", "at"),
];
const MONEY: [(char, &str, &str, &str); 3] = [
    ('$', "dollar", "dollars", "cents"),
    ('£', "pound", "pounds", "pence"),
    ('€', "euro", "euros", "cents"),
];
/// Fewer digits than this in groups are no telephone number.
const PHONE_DIGITS: usize = 7;
/// A number with more digits than this and no commas is read digit by digit.
const LONG_NUMBER: usize = 6;

/// The words for one token. A trailing comma on a word asks for a short pause.
pub(crate) fn words(token: &Written<'_>) -> Vec<String> {
    let core = token.core;
    let readings: [&dyn Fn() -> Option<Vec<String>>; 9] = [
        &|| short(token),
        &|| money(core, token.after),
        &|| clock(core),
        &|| range(token),
        &|| telephone(core),
        &|| percent(core),
        &|| number(token),
        &|| reference(core),
        &|| address(core),
    ];
    readings
        .iter()
        .find_map(|read| read())
        .unwrap_or_else(|| plain(core))
}

/// The mark behind a token; the full stop of an abbreviation is one only at the very end.
pub(crate) fn phrase_mark(token: &Written<'_>) -> Option<char> {
    let lower = token.core.to_lowercase();
    let shortened = matches!(lower.as_str(), "a.m" | "p.m")
        || [&SHORT[..], &DAYS, &MONTHS]
            .iter()
            .any(|table| table.iter().any(|(from, _)| *from == lower));
    match token.mark {
        Some('.') if shortened && !token.after.is_empty() => None,
        mark => mark,
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn look_up(table: &[(&str, &str)], word: &str) -> Option<Vec<String>> {
    let (_, long) = table.iter().find(|(from, _)| *from == word)?;
    Some(long.split(' ').map(str::to_owned).collect())
}

/// Abbreviations, halves of the day, days and months.
fn short(token: &Written<'_>) -> Option<Vec<String>> {
    let lower = token.core.to_lowercase();
    let numeric = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
    match lower.as_str() {
        "a.m" | "am" if lower != "am" || numeric(token.before) => {
            return Some(owned(&["ay", "em"]));
        }
        "p.m" | "pm" => return Some(owned(&["pee", "em"])),
        _ => {}
    }
    if let Some(words) = look_up(&SHORT, &lower) {
        return Some(words);
    }
    let capital = token.core.starts_with(|c: char| c.is_ascii_uppercase());
    let dotted = token.mark == Some('.');
    let ordinary = matches!(lower.as_str(), "sat" | "sun" | "mar" | "jun");
    if !capital || (ordinary && !dotted && !numeric(token.after)) {
        return None;
    }
    look_up(&DAYS, &lower).or_else(|| look_up(&MONTHS, &lower))
}

/// `$12.50` → twelve dollars fifty; `$0.99` → ninety nine cents; `$5 million` keeps its scale.
fn money(core: &str, after: &str) -> Option<Vec<String>> {
    let (sign, one, many, small) = MONEY.iter().find(|m| core.starts_with(m.0))?;
    let amount = core.trim_start_matches(*sign).replace(',', "");
    let (whole, part) = amount.split_once('.').unwrap_or((&amount, ""));
    let whole: u64 = bounded(whole)?;
    let part: u64 = if part.is_empty() {
        0
    } else {
        two_places(part)?
    };
    let scale = matches!(after, "million" | "billion" | "thousand");
    let mut words = Vec::new();
    if whole > 0 || part == 0 {
        words.extend(owned(&cardinal(whole)));
        if !scale {
            words.push((if whole == 1 { *one } else { *many }).to_owned());
        }
    }
    if part > 0 {
        words.extend(owned(&cardinal(part)));
        if whole == 0 {
            words.push((*small).to_owned());
        }
    }
    Some(words)
}

fn two_places(part: &str) -> Option<u64> {
    let cents = part.get(..2).unwrap_or(part);
    let value: u64 = bounded(cents)?;
    Some(if part.len() == 1 { value * 10 } else { value })
}

fn bounded(figures: &str) -> Option<u64> {
    let all_digits = !figures.is_empty() && figures.bytes().all(|b| b.is_ascii_digit());
    figures
        .parse()
        .ok()
        .filter(|n| all_digits && *n <= MAX_CARDINAL)
}

/// `7:30` → seven thirty; `19:05` → nineteen oh five; `7:00` → seven o'clock; with am or pm attached too.
fn clock(core: &str) -> Option<Vec<String>> {
    let lower = core.to_lowercase().replace('.', "");
    let (time, half) = half_of_day(&lower);
    let (hour, minute) = match (time.split_once(':'), half) {
        (Some(parts), _) => parts,
        (None, Some(_)) => (time, "00"),
        (None, None) => return None,
    };
    let hour_number = bounded(hour).filter(|h| *h < 25)?;
    let minute_number = bounded(minute).filter(|m| *m < 60 && minute.len() == 2)?;
    let mut words = owned(&cardinal(hour_number));
    match minute_number {
        0 if half.is_some() => {}
        0 if (1..=12).contains(&hour_number) && !hour.starts_with('0') => {
            words.push("o'clock".into());
        }
        0 => words.push("hundred".into()),
        1..10 => {
            words.push("oh".into());
            words.extend(owned(&cardinal(minute_number)));
        }
        _ => words.extend(owned(&cardinal(minute_number))),
    }
    words.extend(half.map(|h| h.to_owned()));
    words.extend(half.map(|_| "em".to_owned()));
    Some(words)
}

/// Splits am or pm from a time; gives how its first letter is said.
fn half_of_day(lower: &str) -> (&str, Option<&'static str>) {
    if let Some(time) = lower.strip_suffix("am") {
        (time, Some("ay"))
    } else if let Some(time) = lower.strip_suffix("pm") {
        (time, Some("pee"))
    } else {
        (lower, None)
    }
}

/// `9-17`, `9:00–18:00`, `Mon-Fri` → … to ….
fn range(token: &Written<'_>) -> Option<Vec<String>> {
    let (from, to) = token.core.split_once(['-', '\u{2013}'])?;
    let days = |t: &str| {
        let lower = t.to_lowercase();
        DAYS.iter()
            .find(|(short, long)| *short == lower || *long == lower)
            .map(|(_, long)| vec![(*long).to_owned()])
    };
    let side = |t: &str| {
        clock(t).or_else(|| days(t)).or_else(|| {
            bounded(t)
                .filter(|n| *n < 1000)
                .map(|n| owned(&cardinal(n)))
        })
    };
    let mut words = side(from)?;
    let after = side(to)?;
    words.push("to".into());
    words.extend(after);
    Some(words)
}

/// `+1 555-0100`, `555-010-0199`: digit by digit, a pause between groups.
fn telephone(core: &str) -> Option<Vec<String>> {
    let number = core.strip_prefix('+').unwrap_or(core);
    let count = number.bytes().filter(u8::is_ascii_digit).count();
    let phone = number
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '(' | ')' | '/'));
    let grouped = number.len() > count || core.starts_with('+');
    if !phone || !grouped || count < PHONE_DIGITS {
        return None;
    }
    let mut words = Vec::new();
    for group in number.split(|c: char| !c.is_ascii_digit()) {
        words.extend(owned(&digits(group)));
        if let Some(last) = words.last_mut() {
            last.push(',');
        }
    }
    if let Some(last) = words.last_mut() {
        last.pop();
    }
    Some(words)
}

fn percent(core: &str) -> Option<Vec<String>> {
    let amount = core.strip_suffix('%')?;
    let mut words = decimal(amount)?;
    words.push("percent".into());
    Some(words)
}

/// Whole numbers, years, ordinals, decimals, `#4`.
fn number(token: &Written<'_>) -> Option<Vec<String>> {
    let core = token.core;
    if let Some(rest) = core.strip_prefix('#') {
        let mut words = vec!["number".to_owned()];
        words.extend(decimal(rest)?);
        return Some(words);
    }
    if let Some(stem) = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|e| core.strip_suffix(e))
    {
        return bounded(stem).map(|n| owned(&ordinal(n)));
    }
    if let Some(n) = bounded(core)
        && (1901..2100).contains(&n)
        && !(2000..2010).contains(&n)
        && year_follows(token.before)
    {
        let mut words = owned(&cardinal(n / 100));
        words.extend(match n % 100 {
            0 => owned(&["hundred"]),
            rest @ 1..10 => owned(&[&["oh"], &cardinal(rest)[..]].concat()),
            rest => owned(&cardinal(rest)),
        });
        return Some(words);
    }
    decimal(core)
}

fn year_follows(before: &str) -> bool {
    let lower = before.to_lowercase();
    let month = MONTHS.iter().any(|(s, l)| *s == lower || *l == lower) || lower == "may";
    let day = before.len() <= 4 && before.starts_with(|c: char| c.is_ascii_digit());
    month || day || matches!(lower.as_str(), "in" | "since" | "until" | "year")
}

/// `1,250`, `3.5`, `0471`, `12345678`.
fn decimal(text: &str) -> Option<Vec<String>> {
    let plain = grouped(text)?;
    let (whole, part) = match plain.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, Some(part)),
        Some(_) => return None,
        None => (plain.as_str(), None),
    };
    let n = bounded(whole)?;
    let spelled = (whole.len() > 1 && whole.starts_with('0'))
        || (whole.len() > LONG_NUMBER && !text.contains(','));
    let mut words = owned(&if spelled { digits(whole) } else { cardinal(n) });
    if let Some(part) = part {
        bounded(part)?;
        words.push("point".into());
        words.extend(owned(&digits(part)));
    }
    Some(words)
}

/// Takes the commas out of a number that has them at each third digit only.
fn grouped(text: &str) -> Option<String> {
    let mut groups = text.split('.').next()?.split(',').skip(1);
    groups.all(|g| g.len() == 3).then(|| text.replace(',', ""))
}

/// `R-4471`, `AB12`: letters by their names, digits one by one.
fn reference(core: &str) -> Option<Vec<String>> {
    let letters = core.chars().filter(char::is_ascii_alphabetic).count();
    let figures = core.chars().filter(char::is_ascii_digit).count();
    let code = core
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '_' | '#'));
    if !code || letters == 0 || figures == 0 || core.chars().any(|c| c.is_ascii_lowercase()) {
        return None;
    }
    Some(core.chars().filter_map(spelled).collect())
}

/// The name of one letter or digit.
fn spelled(c: char) -> Option<String> {
    match c.to_ascii_lowercase() {
        'a' => Some("ay".to_owned()),
        letter @ 'b'..='z' => Some(letter.to_string()),
        other => digit(other).map(str::to_owned),
    }
}

/// `ada@example.com`, `example.com/menu`: the signs are named.
fn address(core: &str) -> Option<Vec<String>> {
    let inner_dot = core.trim_matches('.').contains('.');
    if !(core.contains('@') && inner_dot || inner_dot && core.is_ascii() && !core.contains("..")) {
        return None;
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in core.chars() {
        let sign = match c {
            '@' => "at",
            '.' => "dot",
            '/' => "slash",
            '-' => "dash",
            '_' => "underscore",
            _ => {
                word.push(c);
                continue;
            }
        };
        words.extend(plain(&std::mem::take(&mut word)));
        words.push(sign.to_owned());
    }
    words.extend(plain(&word));
    Some(words)
}

/// Anything else: split at signs, accents folded, figures read one by one.
fn plain(core: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in core.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}'))) {
        let folded: String = part.chars().filter_map(fold).collect();
        let trimmed = folded.trim_matches('\'');
        if trimmed.bytes().any(|b| b.is_ascii_digit()) {
            words.extend(mixed(trimmed));
        } else if !trimmed.is_empty() {
            words.push(trimmed.to_owned());
        }
    }
    words
}

/// `4pm`-like leftovers such as `3kg` or `2nd-hand`: numbers and letters apart.
fn mixed(part: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in part.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let letters = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        let figures = &piece[..piece.len() - letters.len()];
        if let Some(number) = decimal(figures) {
            words.extend(number);
            words.extend((!letters.is_empty()).then(|| letters.to_owned()));
        } else if let Some(word) = words.last_mut() {
            word.push_str(letters);
        } else {
            words.push(letters.to_owned());
        }
    }
    words
}

/// The voices read ASCII: common accents are dropped, other signs vanish.
fn fold(c: char) -> Option<char> {
    match c {
        '\u{2019}' => Some('\''),
        c if c.is_ascii() => Some(c),
        'à'..='å' | 'À'..='Å' => Some('a'),
        'è'..='ë' | 'È'..='Ë' => Some('e'),
        'ì'..='ï' | 'Ì'..='Ï' => Some('i'),
        'ò'..='ö' | 'Ò'..='Ö' | 'ø' | 'Ø' => Some('o'),
        'ù'..='ü' | 'Ù'..='Ü' => Some('u'),
        'ç' | 'Ç' => Some('c'),
        'ñ' | 'Ñ' => Some('n'),
        'ý' | 'ÿ' => Some('y'),
        'ß' => Some('s'),
        _ => None,
    }
}
