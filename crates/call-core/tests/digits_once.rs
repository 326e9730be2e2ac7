//! Each press counts once, whatever way and how often it is reported.

use std::time::Duration;

use call_core::digits::{DigitCollector, DigitEvent, Entry, Outcome, Via};
use proptest::prelude::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn press(collector: &mut DigitCollector, at: u64, digit: char, via: Via) -> Option<char> {
    collector.press(ms(at), DigitEvent { digit, via })
}

fn entry() -> Entry {
    Entry {
        min: 2,
        max: 4,
        first: ms(5000),
        between: ms(3000),
        terminators: "#".to_owned(),
        secret: false,
    }
}

fn text(outcome: Option<Outcome>) -> (bool, String) {
    match outcome {
        Some(Outcome::Complete(digits)) => (true, digits.as_str().to_owned()),
        Some(Outcome::Incomplete(digits)) => (false, digits.as_str().to_owned()),
        None => panic!("the entry is still open"),
    }
}

#[test]
fn the_same_press_by_both_ways_counts_once() {
    let mut collector = DigitCollector::default();
    assert_eq!(press(&mut collector, 0, '5', Via::Rfc4733), Some('5'));
    assert_eq!(press(&mut collector, 300, '5', Via::Info), None);
    assert_eq!(
        press(&mut collector, 400, '5', Via::Info),
        Some('5'),
        "its twin was used up"
    );
    assert_eq!(press(&mut collector, 450, '5', Via::Rfc4733), None);
    assert_eq!(press(&mut collector, 3_000, '6', Via::Tones), Some('6'));
    assert_eq!(press(&mut collector, 3_400, '6', Via::Info), None);
}

#[test]
fn two_presses_by_one_way_are_two_and_late_reports_are_new() {
    let mut collector = DigitCollector::default();
    assert_eq!(press(&mut collector, 0, '1', Via::Rfc4733), Some('1'));
    assert_eq!(press(&mut collector, 80, '1', Via::Rfc4733), Some('1'));
    assert_eq!(press(&mut collector, 5000, '1', Via::Info), Some('1'));
}

#[test]
fn what_is_no_digit_is_not_counted() {
    let mut collector = DigitCollector::default();
    for c in ['x', ' ', 'E', '!', 'd', '\n', '٣'] {
        assert_eq!(press(&mut collector, 0, c, Via::Info), None, "{c:?}");
    }
}

#[test]
fn an_entry_ends_by_count_terminator_or_pause() {
    let mut collector = DigitCollector::default();
    collector.begin(entry());
    for digit in ['1', '2', '3'] {
        assert_eq!(collector.feed(ms(0), digit), None);
    }
    assert_eq!(text(collector.feed(ms(0), '4')), (true, "1234".to_owned()));

    collector.begin(entry());
    assert_eq!(collector.feed(ms(0), '7'), None);
    assert_eq!(
        text(collector.feed(ms(10), '#')),
        (false, "7".to_owned()),
        "fewer than min"
    );

    collector.begin(entry());
    collector.feed(ms(0), '7');
    collector.feed(ms(100), '8');
    assert_eq!(collector.expire(ms(3099)), None, "too early");
    assert_eq!(text(collector.expire(ms(3100))), (true, "78".to_owned()));
    assert_eq!(collector.expire(ms(9999)), None, "only once");
}

#[test]
fn the_wait_for_the_first_digit_begins_at_the_end_of_the_prompt() {
    let mut collector = DigitCollector::default();
    collector.begin(entry());
    assert_eq!(collector.deadline(), None);
    collector.prompt_ended(ms(2000));
    assert_eq!(collector.deadline(), Some(ms(7000)));
    assert_eq!(text(collector.expire(ms(7000))), (false, String::new()));
}

#[test]
fn secret_digits_do_not_show_in_debug_output() {
    let mut collector = DigitCollector::default();
    collector.begin(Entry {
        secret: true,
        ..entry()
    });
    collector.feed(ms(0), '8');
    collector.feed(ms(0), '3');
    assert!(!format!("{collector:?}").contains("83"));
    let outcome = collector.feed(ms(0), '#');
    assert!(!format!("{outcome:?}").contains("83"));
    assert_eq!(text(outcome), (true, "83".to_owned()));
}

proptest! {
    /// Presses at least 150 ms apart, each reported by RTP, by INFO or by both with some delay:
    /// the collector lets through exactly what was pressed.
    #[test]
    fn whatever_is_pressed_arrives_once(
        peer in 0u8..3,
        presses in proptest::collection::vec((0usize..12, any::<bool>(), 0u64..140), 1..40),
    ) {
        let digits: Vec<char> = "0123456789*#".chars().collect();
        let mut reports = Vec::new();
        for (at, (digit, info_first, delay)) in presses.iter().enumerate() {
            let (digit, at) = (digits[*digit], at as u64 * 150);
            let (first, second) = if *info_first { (Via::Info, Via::Rfc4733) } else { (Via::Rfc4733, Via::Info) };
            match peer {
                0 => reports.push((at, digit, Via::Rfc4733)),
                1 => reports.push((at, digit, Via::Info)),
                _ => reports.extend([(at, digit, first), (at + delay, digit, second)]),
            }
        }
        reports.sort_by_key(|(at, _, _)| *at);
        let mut collector = DigitCollector::default();
        let heard = reports.iter().filter(|(at, digit, via)| press(&mut collector, *at, *digit, *via).is_some()).count();
        prop_assert_eq!(heard, presses.len());
    }
}
