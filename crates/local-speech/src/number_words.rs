//! Numbers as English words.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const SCALES: [(u64, &str); 3] = [
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1000, "thousand"),
];
/// What comes after the last scale has no word here; longer numbers are read digit by digit.
pub(crate) const MAX_CARDINAL: u64 = 999_999_999_999;

/// 1250 → one thousand two hundred fifty.
pub(crate) fn cardinal(number: u64) -> Vec<&'static str> {
    let mut words = Vec::new();
    let mut rest = number;
    for (scale, name) in SCALES {
        if rest >= scale {
            words.extend(below_thousand(rest / scale));
            words.push(name);
            rest %= scale;
        }
    }
    if rest > 0 || words.is_empty() {
        words.extend(below_thousand(rest));
    }
    words
}

/// 0 to 999; a larger number is read without what is above.
fn below_thousand(number: u64) -> Vec<&'static str> {
    let number = (number % 1000) as usize;
    let mut words = Vec::new();
    if number >= 100 {
        words.extend([ONES[number / 100], "hundred"]);
    }
    let rest = number % 100;
    match (rest, number) {
        (0, 1..) => {}
        (0..20, _) => words.push(ONES[rest]),
        _ => {
            words.push(TENS[rest / 10]);
            if !rest.is_multiple_of(10) {
                words.push(ONES[rest % 10]);
            }
        }
    }
    words
}

/// 21 → twenty first.
pub(crate) fn ordinal(number: u64) -> Vec<&'static str> {
    let mut words = cardinal(number);
    if let Some(last) = words.last_mut() {
        *last = ordinal_word(last);
    }
    words
}

fn ordinal_word(word: &'static str) -> &'static str {
    match word {
        "zero" => "zeroth",
        "one" => "first",
        "two" => "second",
        "three" => "third",
        "four" => "fourth",
        "five" => "fifth",
        "six" => "sixth",
        "seven" => "seventh",
        "eight" => "eighth",
        "nine" => "ninth",
        "ten" => "tenth",
        "eleven" => "eleventh",
        "twelve" => "twelfth",
        "thirteen" => "thirteenth",
        "fourteen" => "fourteenth",
        "fifteen" => "fifteenth",
        "sixteen" => "sixteenth",
        "seventeen" => "seventeenth",
        "eighteen" => "eighteenth",
        "nineteen" => "nineteenth",
        "twenty" => "twentieth",
        "thirty" => "thirtieth",
        "forty" => "fortieth",
        "fifty" => "fiftieth",
        "sixty" => "sixtieth",
        "seventy" => "seventieth",
        "eighty" => "eightieth",
        "ninety" => "ninetieth",
        "hundred" => "hundredth",
        "thousand" => "thousandth",
        "million" => "millionth",
        "billion" => "billionth",
        other => other,
    }
}

/// One digit character; anything else is nothing.
pub(crate) fn digit(c: char) -> Option<&'static str> {
    c.to_digit(10).and_then(|d| ONES.get(d as usize).copied())
}

/// "4471" → four four seven one.
pub(crate) fn digits(text: &str) -> Vec<&'static str> {
    text.chars().filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_speaker_would() {
        let say = |n| cardinal(n).join(" ");
        assert_eq!(say(0), "zero");
        assert_eq!(say(13), "thirteen");
        assert_eq!(say(40), "forty");
        assert_eq!(say(105), "one hundred five");
        assert_eq!(say(2000), "two thousand");
        assert_eq!(
            say(1_021_300),
            "one million twenty one thousand three hundred"
        );
        assert_eq!(ordinal(21).join(" "), "twenty first");
        assert_eq!(ordinal(30).join(" "), "thirtieth");
    }
}
