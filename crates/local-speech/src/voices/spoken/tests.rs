use super::*;

fn say(text: &str) -> String {
    normalise(text).text
}

#[test]
fn times_are_read_as_times() {
    assert_eq!(say("at 7:30."), "at seven thirty.");
    assert_eq!(
        say("7:00 or 7:05 pm"),
        "seven o'clock or seven oh five pee em"
    );
    assert_eq!(say("7pm, 10:30am"), "seven pee em, ten thirty ay em");
    assert_eq!(say("19:45"), "nineteen forty five");
    assert_eq!(say("at 7 p.m. today"), "at seven pee em today");
    assert_eq!(say("I am 9"), "I am nine");
}

#[test]
fn money_is_read_as_money() {
    assert_eq!(say("It is $12.50!"), "It is twelve dollars fifty!");
    assert_eq!(
        say("$1, $0.99, £1,200"),
        "one dollar, ninety nine cents, one thousand two hundred pounds"
    );
    assert_eq!(say("$5 million"), "five million");
}

#[test]
fn references_and_telephone_numbers_go_digit_by_digit() {
    assert_eq!(say("R-4471"), "r four four seven one");
    assert_eq!(say("code AB12"), "code ay b one two");
    assert_eq!(say("+15550100"), "one five five five zero one zero zero");
    assert_eq!(
        say("call 555-010-0199."),
        "call five five five, zero one zero, zero one nine nine."
    );
    assert_eq!(say("12345678"), "one two three four five six seven eight");
}

#[test]
fn days_dates_and_ranges() {
    assert_eq!(
        say("Mon-Fri 9:00-18:00"),
        "monday to friday nine o'clock to eighteen hundred"
    );
    assert_eq!(say("Fri, Dec 25th"), "friday, december twenty fifth");
    assert_eq!(
        say("in 2026 or 2000 seats"),
        "in twenty twenty six or two thousand seats"
    );
    assert_eq!(say("we sat in the sun"), "we sat in the sun");
    assert_eq!(say("tables 2-4"), "tables two to four");
}

#[test]
fn numbers_of_all_kinds() {
    assert_eq!(
        say("1,250 at 3.5%"),
        "one thousand two hundred fifty at three point five percent"
    );
    assert_eq!(say("room 042, #4"), "room zero four two, number four");
    assert_eq!(say("the 21st"), "the twenty first");
}

#[test]
fn what_cannot_be_spoken_vanishes_and_the_rest_stays() {
    assert_eq!(
        say("Café \u{1f600} déjà-vu & more"),
        "Cafe deja vu and more"
    );
    assert_eq!(say("\u{1f600}"), "");
    assert_eq!(say("well \u{2014} yes \u{2013} no"), "well, yes, no");
    assert_eq!(say("ada@example.com"), "ada at example dot com");
    assert_eq!(say("3kg"), "three kg");
    assert_eq!(say("--help -t $(rm)"), "help t rm,");
}

#[test]
fn every_word_knows_its_source() {
    let text = "It costs $12.50 on Fri.";
    let spoken = normalise(text);
    let pairs: Vec<(&str, &str)> = spoken
        .words
        .iter()
        .map(|w| (&text[w.source.clone()], &spoken.text[w.spoken.clone()]))
        .collect();
    assert_eq!(
        pairs,
        [
            ("It", "It"),
            ("costs", "costs"),
            ("$12.50", "twelve"),
            ("$12.50", "dollars"),
            ("$12.50", "fifty"),
            ("on", "on"),
            ("Fri", "friday"),
        ]
    );
}

#[test]
fn words_and_spaces_of_the_spoken_text_correspond() {
    let spoken = normalise("On Mon-Fri, R-4471 \u{2014} \"déjà vu\" (7:30)… ok?");
    assert_eq!(spoken.text.split(' ').count(), spoken.words.len());
    assert!(spoken.text.is_ascii());
}

#[test]
fn sentences_end_where_a_speaker_would_breathe() {
    let text = "Dr. No is in. It is $12.50 at 7 p.m. today! See you at 7 p.m. We open\nnow";
    let found: Vec<&str> = sentences(text).into_iter().map(|r| &text[r]).collect();
    assert_eq!(
        found,
        [
            "Dr. No is in.",
            "It is $12.50 at 7 p.m. today!",
            "See you at 7 p.m.",
            "We open",
            "now"
        ]
    );
}

#[test]
fn a_text_without_end_is_cut_at_a_space() {
    let text = "word ".repeat(300);
    let spans = sentences(&text);
    assert!(spans.len() >= 3);
    assert!(spans.iter().all(|s| s.len() <= 405));
    assert_eq!(
        spans
            .iter()
            .map(|s| text[s.clone()].split(' ').count())
            .sum::<usize>(),
        300
    );
}
