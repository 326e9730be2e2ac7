use model::agent::{BookingConfig, ScriptConfig};

use super::*;

fn script() -> ScriptConfig {
    let hours = |days: &[&str], opens: &str, closes: &str| OpeningHours {
        days: days.iter().map(|day| (*day).to_owned()).collect(),
        opens: opens.to_owned(),
        closes: closes.to_owned(),
    };
    ScriptConfig {
        business: "the Harbour Restaurant".to_owned(),
        zone: "Europe/Paris".to_owned(),
        opening_hours: vec![
            hours(&["fri", "sat"], "12:00", "14:30"),
            hours(&["fri", "sat"], "18:00", "22:00"),
        ],
        prices: Vec::new(),
        knowledge: Vec::new(),
        booking: Some(BookingConfig {
            resource: "tables".to_owned(),
            tables: 2,
            max_party: 8,
            slot_minutes: 60,
        }),
    }
}

/// Friday, 20 November 2026, 11:00 in Paris.
fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn wish(starts: &str, party: u32) -> Result<Wish, String> {
    Rules::of(script().booking_rules().unwrap())
        .unwrap()
        .wish(starts, party, now())
}

#[test]
fn a_wish_inside_the_hours_falls_into_a_slot() {
    let wish = wish("2026-11-20T19:10", 4).unwrap();
    assert_eq!(wish.starts_local, "2026-11-20T19:10");
    assert_eq!(wish.slot_local, "2026-11-20T19:00");
}

#[test]
fn refusals_say_why() {
    let cases = [
        ("2026-11-22T19:00", 4, "closed on Sunday"),
        (
            "2026-11-20T16:00",
            4,
            "from 12:00 to 13:30 and from 18:00 to 21:00",
        ),
        ("2026-11-20T21:30", 4, "from 18:00 to 21:00"),
        ("2026-11-20T10:59", 4, "already passed"),
        ("2028-11-24T19:00", 4, "that far ahead"),
        ("2026-11-20T19:00", 9, "at most 8"),
        ("2026-11-20T19:00", 0, "How many"),
        ("tomorrow", 2, "did not understand"),
        ("2026-02-30T19:00", 2, "did not understand"),
    ];
    for (starts, party, words) in cases {
        let refusal = wish(starts, party).unwrap_err();
        assert!(refusal.contains(words), "{starts}: {refusal}");
    }
}

#[test]
fn the_zone_decides_what_has_passed() {
    // 12:30 in Paris is still ahead at 10:00 UTC, although 12:30 UTC minus two hours is not.
    assert!(wish("2026-11-20T12:30", 2).is_ok());
}

#[test]
fn alternatives_are_free_near_and_ahead() {
    let script = script();
    let rules = Rules::of(script.booking_rules().unwrap()).unwrap();
    let wish = rules.wish("2026-11-20T19:00", 2, now()).unwrap();
    let free = |slot: &str| slot != "2026-11-20T20:00";
    let others = rules.alternatives(&wish, now(), free);
    let want = ["2026-11-20T18:00", "2026-11-20T21:00", "2026-11-20T13:00"];
    assert_eq!(others, want);
}

#[test]
fn a_day_that_is_closed_has_no_slots() {
    let script = script();
    let rules = Rules::of(script.booking_rules().unwrap()).unwrap();
    assert!(
        rules
            .slots(read_date("2026-11-22").unwrap(), now())
            .is_empty()
    );
    assert_eq!(
        rules.slots(read_date("2026-11-21").unwrap(), now()).len(),
        6
    );
}

#[test]
fn a_script_without_booking_has_no_rules() {
    let mut script = script();
    script.booking = None;
    assert!(script.booking_rules().and_then(Rules::of).is_none());
}
