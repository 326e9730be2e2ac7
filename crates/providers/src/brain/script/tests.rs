//! Whole conversations: what a caller says, as a recogniser on a telephone line writes it, and what
//! he is told.

use std::time::Duration;

use call_core::{
    brain::{CallContext, EndWish, HistoryLine, ToolOutcome, ToolRequest},
    pipeline::{Dialogue, DialogueEffect, DialogueInput},
};
use model::agent::{AgentConfig, BrainConfig};
use proptest::prelude::*;
use serde_json::json;

use super::Script;

/// A call to the sample receptionist, on Friday 2026-11-20 at 12:00 in its zone.
struct Call {
    script: Script,
    turn: u32,
    tool: Option<ToolRequest>,
    pace: Option<f32>,
    end: Option<EndWish>,
    history: Vec<HistoryLine>,
}

fn receptionist() -> AgentConfig {
    serde_json::from_str(include_str!("../../../../../agents/receptionist.json")).expect("reads")
}

fn script_of(config: &AgentConfig) -> Script {
    let BrainConfig::Script(script) = &config.brain else {
        panic!("the receptionist is a script");
    };
    Script::new(config, script).expect("the table reads")
}

fn context() -> CallContext {
    CallContext {
        call_id: "cal_1".into(),
        caller_number: Some("+15550123".into()),
        called_number: "+15550100".into(),
        unix_ms: 1_795_176_000_000 + 5 * 3_600_000,
        utc_offset_s: -5 * 3_600,
        history: Vec::new(),
    }
}

impl Call {
    fn with(config: &AgentConfig, context: CallContext) -> Self {
        let mut script = script_of(config);
        script.handle(Duration::ZERO, DialogueInput::Begin(Box::new(context)));
        assert_eq!(script.poll_effect(), None, "a dialogue begins in silence");
        Self {
            script,
            turn: 0,
            tool: None,
            end: None,
            pace: None,
            history: Vec::new(),
        }
    }

    fn new() -> Self {
        Self::with(&receptionist(), context())
    }

    fn hands(&mut self, input: DialogueInput) -> String {
        self.script.handle(Duration::ZERO, input);
        let mut said = String::new();
        while let Some(effect) = self.script.poll_effect() {
            match effect {
                DialogueEffect::Speak { text, last, .. } => {
                    assert!(last && said.is_empty(), "one answer for one turn");
                    said = text;
                }
                DialogueEffect::RunTool(request) => self.tool = Some(request),
                DialogueEffect::End(wish) => self.end = Some(wish),
                DialogueEffect::Pace(pace) => {
                    assert!(said.is_empty(), "the pace comes before the words");
                    self.pace = Some(pace);
                }
                _ => {}
            }
        }
        assert!(!said.contains(['{', '}']), "a gap in: {said}");
        assert!(!said.is_empty() || self.end.is_some(), "silence");
        said
    }

    /// The caller says something; the answer.
    fn say(&mut self, text: &str) -> String {
        self.turn += 1;
        let said = self.hands(DialogueInput::UserSaid {
            turn: self.turn,
            text: text.into(),
            confidence: Some(0.9),
        });
        self.history.push(HistoryLine {
            agent: false,
            text: text.into(),
        });
        self.history.push(HistoryLine {
            agent: true,
            text: said.clone(),
        });
        said
    }

    fn press(&mut self, digits: &str) -> String {
        self.turn += 1;
        self.hands(DialogueInput::UserDigits {
            turn: self.turn,
            digits: digits.into(),
        })
    }

    /// Says it and checks that the answer contains every one of `parts`.
    #[track_caller]
    fn expect(&mut self, text: &str, parts: &[&str]) -> &mut Self {
        let said = self.say(text);
        for part in parts {
            let held = said.to_lowercase().contains(&part.to_lowercase());
            assert!(held, "{text:?} was answered {said:?}, without {part:?}");
        }
        self
    }

    /// The office answers the tool that is out.
    fn office(&mut self, outcome: serde_json::Value) -> String {
        let request = self.tool.take().expect("a tool is out");
        self.hands(DialogueInput::ToolResult(
            request.id,
            ToolOutcome::Ok(outcome),
        ))
    }

    #[track_caller]
    fn wants(&self, starts: &str, party: u32, phone: &str) {
        let request = self.tool.as_ref().expect("a tool is out");
        assert_eq!(request.name, "book_table");
        assert_eq!(
            request.arguments,
            json!({ "starts_local": starts, "party_size": party, "phone": phone })
        );
    }
}

fn booked() -> serde_json::Value {
    json!({ "outcome": "booked", "id": "bkg_01J8ZQ4W5T9V6B3N2M1K0H7G5F", "code": "R-4471" })
}

#[test]
fn the_call_of_the_front_page() {
    let mut call = Call::new();
    call.expect(
        "a table for four on friday at seven",
        &["Friday at 7 PM for four", "Shall I book it?"],
    )
    .expect(
        "no wait make it eight",
        &["at 8 PM for four", "Shall I book it?"],
    )
    .expect("yes please", &["One moment"]);
    call.wants("2026-11-20T20:00", 4, "+15550123");
    let said = call.office(booked());
    assert!(said.contains("Your booking code is R 4 4 7 1."), "{said}");
    call.expect("no thank you", &[]);
    assert_eq!(call.end, Some(EndWish::Goodbye));
}

#[test]
fn one_sentence_gives_everything_however_it_is_written() {
    for text in [
        "I'd like to book a table for four tomorrow at seven thirty.",
        "A table for 4 tomorrow at 7:30 p.m.",
        "Table four tomorrow at half past seven please",
        "a table for for to morrow at 7.30",
        "Could we come tomorrow night at seven thirty? There'll be four of us.",
        "Can I make a reservation for saturday 7:30 pm party of four",
        "book satur day seven thirty four people",
        "um hi, uh, tomorrow at a 7 30, for 4 people please",
        "for 4 on Saturday at 730",
        "Do you have a table for four on the 21st at half seven?",
        "in one day at 19:30 for two adults and two kids",
        "me and three friends would like to come for dinner on Saturday at seven thirty",
        "table for four on November 21st, half passed seven",
    ] {
        let mut call = Call::new();
        call.expect(
            text,
            &["tomorrow, Saturday at 7:30 PM for four", "Shall I book it?"],
        );
        call.say("Yes.");
        call.wants("2026-11-21T19:30", 4, "+15550123");
    }
}

/// Transcripts that a small recogniser wrote of four voices over a telephone line.
const WRITTEN: &[(&[&str], &str, u32)] = &[
    (
        &[
            "The table for for on Friday at seven.",
            "No weight, make it hate.",
            "Yes, please.",
        ],
        "2026-11-20T20:00",
        4,
    ),
    (
        &[
            "A table four two to night attate, please.",
            "Yes, that right.",
        ],
        "2026-11-20T20:00",
        2,
    ),
    (
        &[
            "A table for two to model at seventh thirty.",
            "Good, at seven thirty.",
            "Brett.",
        ],
        "2026-11-21T19:30",
        2,
    ),
    (
        &[
            "Good evening, can I be a table for to the Maro at half past seven?",
            "U. S. police.",
        ],
        "2026-11-21T19:30",
        2,
    ),
    (
        &[
            "I like to book a table.",
            "To marrow it hath passed seven.",
            "Four to people.",
            "Direct.",
        ],
        "2026-11-21T19:30",
        2,
    ),
    (
        &[
            "We need a table for Fort Monroe at seven o'clock.",
            "No thirsty.",
            "Yes, please, but it.",
        ],
        "2026-11-26T19:00",
        4,
    ),
    (
        &[
            "A table for four unsaturd at seven.",
            "Actually, make it free people.",
            "That's right.",
        ],
        "2026-11-21T19:00",
        3,
    ),
    (
        &[
            "Parties six on Saturday at eight p.m.",
            "Add eight thirty.",
            "Correct.",
        ],
        "2026-11-21T20:30",
        6,
    ),
    (
        &[
            "I would like to reserve the table.",
            "On Wedding.",
            "Quarter-tate.",
            "Do.",
            "Okay.",
        ],
        "2026-11-25T19:45",
        2,
    ),
    (
        &[
            "book a table please",
            "Into days.",
            "He has passed them in.",
            "At one.",
            "Four.",
            "yes",
        ],
        "2026-11-22T13:00",
        4,
    ),
];

#[test]
fn what_a_recogniser_really_wrote_is_understood() {
    for (turns, starts, party) in WRITTEN {
        let mut call = Call::new();
        for turn in *turns {
            call.say(turn);
        }
        assert!(call.tool.is_some(), "{turns:?}: {:?}", call.history.last());
        call.wants(starts, *party, "+15550123");
    }
}

#[test]
fn what_is_missing_is_asked_for_one_by_one() {
    let mut call = Call::new();
    call.expect("I would like to book a table", &["day"])
        .expect("on wensday", &["Wednesday the 25th", "time"])
        .expect("7", &["7 PM", "many people"])
        .expect(
            "too",
            &[
                "Wednesday the 25th at 7 PM for two",
                "calling from",
                "Shall I book it?",
            ],
        )
        .expect("that's right", &["moment"]);
    call.wants("2026-11-25T19:00", 2, "+15550123");
}

#[test]
fn partial_answers_are_kept_in_any_order() {
    let mut call = Call::new();
    call.expect("There will be six of us", &["a table for six", "day"])
        .expect("next friday", &["Friday, November 27th", "time"])
        .expect(
            "around eight in the evening",
            &["Friday, November 27th at 8 PM for six"],
        );
    let mut call = Call::new();
    call.expect("do you have something free at eight", &["at 8 PM", "day"])
        .expect("in four days", &["Tuesday the 24th at 8 PM", "many"])
        .expect("just me", &["for one", "Shall I book it?"]);
}

#[test]
fn every_slot_can_be_corrected_before_booking() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.expect("no, Thursday", &["Thursday the 26th at 7 PM for four"])
        .expect(
            "actually five people",
            &["Thursday the 26th at 7 PM for five"],
        )
        .expect("no wait make it eight", &["for eight"])
        .expect("not thursday, wednesday", &["Wednesday the 25th"])
        .expect("half past six instead", &["at 6:30 PM"])
        .expect("i said seven not six", &["at 7 PM"])
        .expect(
            "and use the number 555 0199",
            &["5 5 5, 0 1 9 9", "Shall I book it?"],
        )
        .expect(
            "no use the number i'm calling from",
            &["the number you are calling from"],
        )
        .expect("yeah that's fine", &["moment"]);
    call.wants("2026-11-25T19:00", 8, "+15550123");
}

#[test]
fn a_no_asks_what_to_change() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.expect("no", &["What should I change"])
        .expect("the time", &["time"])
        .expect("eight thirty", &["8:30 PM", "Shall I book it?"])
        .expect("that's wrong", &["What should I change"])
        .expect("a different day", &["day"])
        .expect("thursday", &["Thursday the 26th"]);
}

#[test]
fn a_bare_number_after_a_party_corrects_the_party() {
    let mut call = Call::new();
    call.say("book a table");
    call.say("tomorrow");
    call.say("at seven");
    call.expect("four", &["for four", "Shall I book it?"])
        .expect("make it eight", &["at 7 PM for eight"]);
}

#[test]
fn a_phone_number_is_taken_in_groups() {
    let anonymous = CallContext {
        caller_number: None,
        ..context()
    };
    let mut call = Call::with(&receptionist(), anonymous);
    call.expect("table for two tomorrow at seven", &["phone"])
        .expect(
            "the number I am calling from",
            &["cannot see", "digit by digit"],
        )
        .expect("it's five five five", &["5 5 5"])
        .expect("oh one two three", &["5 5 5, 0 1 2 3", "Shall I book it?"])
        .expect(
            "no it's five five five double oh double seven",
            &["5 5 5, 0 0 7 7"],
        )
        .expect("Yes, please.", &["moment"]);
    call.wants("2026-11-21T19:00", 2, "5550077");
}

#[test]
fn questions_in_mid_booking_are_answered_and_the_booking_goes_on() {
    let mut call = Call::new();
    call.expect(
        "I want to book a table for tomorrow",
        &["tomorrow, Saturday", "time"],
    )
    .expect(
        "how much is the tasting menu?",
        &["The tasting menu is $85.", "time"],
    )
    .expect(
        "and what are your opening hours",
        &["Tuesday to Thursday from 5 PM to 10 PM", "time"],
    )
    .expect("is there parking", &["free parking", "time"])
    .expect(
        "are you open on mondays",
        &["On Monday we are closed.", "time"],
    )
    .expect(
        "are you a robot",
        &["Yes. I am Ada, an automated assistant", "time"],
    )
    .expect("okay at eight then", &["8 PM", "many"])
    .expect(
        "four, and do you have vegan food",
        &["for four", "Shall I book it?"],
    )
    .expect(
        "what does the kids menu cost",
        &["$12.50", "Shall I book it?"],
    )
    .expect("yes", &["moment"]);
    call.wants("2026-11-21T20:00", 4, "+15550123");
}

#[test]
fn facts_come_from_the_configuration() {
    let mut config = receptionist();
    let BrainConfig::Script(script) = &mut config.brain else {
        panic!("a script");
    };
    script.prices[0].cents = 9_950;
    script.opening_hours[0].closes = "21:30".into();
    let mut call = Call::with(&config, context());
    call.expect("how much is the tasting menu", &["$99.50", "else"])
        .expect(
            "when do you open on wednesday",
            &["On Wednesday we are open from 5 PM to 9:30 PM."],
        )
        .expect("what do you charge", &["$99.50", "$42", "$12.50"])
        .expect(
            "are you open today",
            &["On Friday we are open from 5 PM to 11 PM."],
        )
        .expect("where are you", &["12 Quay Street"])
        .expect("do you take credit cards", &["by card or in cash"])
        .expect("can I bring my dog", &["terrace"]);
}

#[test]
fn closed_days_and_hours_are_refused_before_the_office_is_asked() {
    let mut call = Call::new();
    call.expect(
        "a table for two on monday at seven",
        &["closed on Monday", "Which other day"],
    )
    .expect(
        "tuesday then",
        &["Tuesday the 24th at 7 PM for two", "Shall I book it?"],
    )
    .expect(
        "make it eleven pm",
        &["not open at 11 PM on Tuesday", "from 5 PM to 10 PM", "time"],
    )
    .expect("nine", &["at 9 PM"]);
    assert_eq!(call.tool, None);
    let mut call = Call::new();
    call.expect(
        "a table for two today at eleven in the morning",
        &["not open at 11 AM"],
    );
    let mut call = Call::new();
    call.expect("a table for twenty tomorrow at seven", &["at most eight"])
        .expect("eight then", &["for eight"]);
}

#[test]
fn seven_is_the_evening_and_one_on_sunday_is_lunch() {
    for (text, starts) in [
        ("table for two on sunday at one", "2026-11-22T13:00"),
        ("table for two on sunday at noon", "2026-11-22T12:00"),
        ("table for two on sunday at twelve", "2026-11-22T12:00"),
        ("table for two on sunday at seven", "2026-11-22T19:00"),
        ("table for two on friday at five", "2026-11-20T17:00"),
        ("table for two on saturday at 19 30", "2026-11-21T19:30"),
        (
            "table for two tonight at quarter to nine",
            "2026-11-20T20:45",
        ),
    ] {
        let mut call = Call::new();
        call.expect(text, &["Shall I book it?"]);
        call.say("yes");
        call.wants(starts, 2, "+15550123");
    }
}

#[test]
fn a_weekday_said_after_its_hour_is_next_weeks() {
    let late = CallContext {
        unix_ms: context().unix_ms + 9 * 3_600_000,
        ..context()
    };
    let mut call = Call::with(&receptionist(), late);
    call.expect(
        "a table for four on friday at seven",
        &["Friday, November 27th at 7 PM"],
    );
}

#[test]
fn a_full_slot_gives_alternatives_to_choose_from() {
    let full = json!({ "outcome": "full", "alternatives":
        ["2026-11-21T18:30", "2026-11-21T19:30", "2026-11-21T20:00"] });
    for (answer, starts) in [
        ("the first one", "2026-11-21T18:30"),
        ("eight", "2026-11-21T20:00"),
        ("Half past seven.", "2026-11-21T19:30"),
        ("7:30 please", "2026-11-21T19:30"),
        ("the second one please", "2026-11-21T19:30"),
        ("the last one", "2026-11-21T20:00"),
        ("the earlier one", "2026-11-21T18:30"),
        ("the later one", "2026-11-21T20:00"),
        ("I'll take eight o'clock", "2026-11-21T20:00"),
        ("either is fine", "2026-11-21T18:30"),
    ] {
        let mut call = Call::new();
        call.say("a table for four tomorrow at seven");
        call.say("yes");
        let said = call.office(full.clone());
        assert!(
            said.contains("tomorrow, Saturday at 7 PM is full"),
            "{said}"
        );
        assert!(said.contains("6:30 PM, 7:30 PM or 8 PM"), "{said}");
        call.expect(answer, &["moment"]);
        call.wants(starts, 4, "+15550123");
        assert!(call.office(booked()).contains("R 4 4 7 1"));
    }
}

#[test]
fn a_choice_can_be_refused_asked_again_or_replaced() {
    let full =
        json!({ "outcome": "full", "alternatives": ["2026-11-21T18:30", "2026-11-21T20:00"] });
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("yes");
    call.office(full.clone());
    call.expect("sorry?", &["is full", "6:30 PM or 8 PM"])
        .expect("how much is the set dinner", &["$42", "6:30 PM or 8 PM"])
        .expect("yes", &["Which would you like: 6:30 PM or 8 PM"])
        .expect("no neither", &["Which other day or time"])
        .expect(
            "sunday at six",
            &["Sunday the 22nd at 6 PM for four", "Shall I book it?"],
        )
        .expect("yes", &["moment"]);
    call.office(full);
    call.expect("what about tuesday", &["Tuesday the 24th", "time"]);
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("yes");
    let said = call.office(json!({ "outcome": "full", "alternatives": [] }));
    assert!(said.contains("fully booked"), "{said}");
    call.expect("tuesday at seven", &["Tuesday the 24th at 7 PM for four"]);
}

#[test]
fn one_alternative_is_taken_with_a_yes() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("yes");
    let said = call.office(json!({ "outcome": "full", "alternatives": ["2026-11-21T20:30"] }));
    assert!(said.contains("8:30 PM. Would you like that?"), "{said}");
    call.expect("yes please", &["moment"]);
    call.wants("2026-11-21T20:30", 4, "+15550123");
}

#[test]
fn a_refusal_says_why_and_a_failure_is_tried_again_under_the_same_name() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("yes");
    let said = call
        .office(json!({ "outcome": "refused", "reason": "we have a private party that night" }));
    assert!(
        said.starts_with("We have a private party that night."),
        "{said}"
    );
    call.expect("sunday at six", &["Sunday the 22nd at 6 PM for four"]);
    call.say("yes");
    let first = call.tool.take().expect("a tool is out");
    let failed = ToolOutcome::Failed {
        why: "no answer".into(),
    };
    let said = call.hands(DialogueInput::ToolResult(first.id.clone(), failed));
    assert!(said.contains("Shall I try again?"), "{said}");
    call.say("yes");
    assert_eq!(call.tool.as_ref().map(|tool| &tool.id), Some(&first.id));
    let said = call.office(json!("nonsense"));
    assert!(said.contains("Shall I try again?"), "{said}");
    call.expect("no", &["I have not booked anything"]);
}

#[test]
fn a_result_nobody_waits_for_is_passed_over() {
    let mut call = Call::new();
    call.script.handle(
        Duration::ZERO,
        DialogueInput::ToolResult(
            call_core::brain::ToolRunId("9/9".into()),
            ToolOutcome::Ok(booked()),
        ),
    );
    assert_eq!(call.script.poll_effect(), None);
}

#[test]
fn repeat_slower_and_wait_leave_everything_as_it_is() {
    let mut call = Call::new();
    let summary = call.say("a table for four tomorrow at seven");
    assert_eq!(call.say("could you repeat that please"), summary);
    assert_eq!(call.say("Sorry, what?"), summary);
    let said = call.say("can you speak a bit slower");
    assert!(
        said.contains("slowly") && said.ends_with(&summary),
        "{said}"
    );
    assert_eq!(call.pace, Some(0.8));
    call.expect("hold on a second", &["wait"]);
    call.expect("wait", &["take your time"]);
    call.expect("okay go ahead", &["moment"]);
    call.wants("2026-11-21T19:00", 4, "+15550123");
}

#[test]
fn small_talk_and_the_truth_about_itself() {
    let mut call = Call::new();
    call.expect("hello", &["Hello", "?"])
        .expect("how are you today", &["I am well"])
        .expect(
            "am I talking to a real person",
            &["automated assistant", "not a person"],
        )
        .expect("who is this", &["Ada", "the Harbour Restaurant"])
        .expect("what can you do", &["book a table", "opening hours"])
        .expect("can I speak to the manager", &["cannot connect you"])
        .expect(
            "who won the football game last night",
            &["I can book a table"],
        )
        .expect("thank you", &[]);
    assert_eq!(call.end, None, "{:?}", call.history.last());
    call.expect("goodbye", &[]);
    assert_eq!(call.end, Some(EndWish::Goodbye));
}

#[test]
fn a_booking_is_dropped_when_the_caller_wants_none() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.expect(
        "actually never mind",
        &["I have not booked anything", "else"],
    )
    .expect("no that's all", &[]);
    assert_eq!(call.end, Some(EndWish::Goodbye));
    let mut call = Call::new();
    call.expect(
        "I want to cancel my booking for friday",
        &["cannot change or cancel"],
    )
    .expect(
        "then book a table for two on friday at six",
        &["today, Friday at 6 PM for two"],
    );
}

#[test]
fn after_booking_the_code_is_told_again_and_nothing_is_changed_silently() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("yes");
    call.office(booked());
    call.expect("what was my booking code again", &["R 4 4 7 1"])
        .expect("make it eight o'clock", &["cannot change a booking"])
        .expect(
            "book another table for two on sunday at six",
            &["Sunday the 22nd at 6 PM for two"],
        );
}

#[test]
fn two_failures_offer_the_keypad_and_digits_fill_every_slot() {
    let mut call = Call::new();
    call.say("I'd like a table");
    call.expect("blah fluff", &["did not", "day"])
        .expect("mumble", &["press the digits", "day"]);
    assert!(call.press("21").contains("tomorrow, Saturday"));
    call.say("fluff");
    call.expect("fluff", &["four digits"]);
    assert!(call.press("1930").contains("7:30 PM"));
    call.say("fluff");
    call.expect("fluff", &["number of people"]);
    assert!(call.press("4").contains("Shall I book it?"));
    assert!(call.press("2").contains("Please press 1 to change the day"));
    assert!(call.press("4").contains("phone number"));
    assert!(call.press("555").contains("too short"));
    assert!(call.press("5550199").contains("5 5 5, 0 1 9 9"));
    call.press("1");
    call.wants("2026-11-21T19:30", 4, "5550199");
    call.office(
        json!({ "outcome": "full", "alternatives": ["2026-11-21T18:30", "2026-11-21T20:00"] }),
    );
    call.press("2");
    call.wants("2026-11-21T20:00", 4, "5550199");
}

#[test]
fn unrecognised_speech_leads_to_the_menu_and_at_last_to_the_end() {
    let mut call = Call::new();
    let mut said = String::new();
    for times in 1..=2 {
        said = call.hands(DialogueInput::NotUnderstood { times });
    }
    assert!(said.contains("press the digits"), "{said}");
    assert!(call.press("2").contains("We are open"));
    assert!(call.press("3").contains("$85"));
    assert!(call.press("1").contains("day"));
    for times in 1..=12 {
        if call.end.is_none() {
            call.hands(DialogueInput::NotUnderstood { times });
        }
    }
    assert_eq!(call.end, Some(EndWish::GaveUp));
}

#[test]
fn a_turn_that_goes_on_is_taken_back() {
    let mut call = Call::new();
    call.say("a table for four tomorrow at seven");
    call.say("no");
    call.script.handle(
        Duration::ZERO,
        DialogueInput::UserWentOn { turn: call.turn },
    );
    call.turn -= 1;
    call.expect(
        "no wait make it eight",
        &["at 8 PM for four", "Shall I book it?"],
    );
}

#[test]
fn a_restarted_dialogue_knows_what_was_said() {
    let mut call = Call::new();
    call.say("a table for four tomorrow");
    let restarted = CallContext {
        history: call.history.clone(),
        ..context()
    };
    let mut call = Call::with(&receptionist(), restarted);
    call.turn = 1;
    call.expect("at seven", &["tomorrow, Saturday at 7 PM for four"]);
}

#[test]
fn without_the_tool_nothing_is_booked() {
    let mut config = receptionist();
    config.tools.clear();
    let mut call = Call::with(&config, context());
    call.expect(
        "a table for four tomorrow at seven",
        &["cannot take bookings"],
    )
    .expect("what can you do", &["opening hours and prices"]);
    assert_eq!(call.tool, None);
}

#[test]
fn an_empty_configuration_answers_too() {
    let mut config = receptionist();
    let BrainConfig::Script(script) = &mut config.brain else {
        panic!("a script");
    };
    script.opening_hours.clear();
    script.prices.clear();
    script.knowledge.clear();
    let mut call = Call::with(&config, context());
    call.expect("when are you open", &["do not have our opening hours"])
        .expect("how much is the menu", &["no prices"])
        .expect("a table for two tomorrow at seven", &["Shall I book it?"]);
}

const FRAGMENTS: &[&str] = &[
    "a table",
    "for four",
    "for 4",
    "on friday",
    "tomorrow",
    "at seven",
    "7:30 p.m.",
    "half past",
    "no",
    "yes",
    "make it eight",
    "wait",
    "the number i'm calling from",
    "five five five",
    "oh one two three",
    "how much",
    "tasting menu",
    "when do you open",
    "repeat that",
    "slower",
    "never mind",
    "the first one",
    "eight",
    "robot",
    "next monday",
    "the 31st",
    "february 30th",
    "in 60 weeks",
    "at 99",
    "for 0 people",
    "9999999999999999999999",
    "plus",
    "double",
    "triple seven",
    "the time",
    "different day",
    "fluff",
    "…",
    "é",
    "\u{0}",
    "quarter to one",
    "not friday",
    "midnight",
];

#[derive(Debug, Clone)]
enum Act {
    Say(Vec<&'static str>),
    Raw(String),
    Press(String),
    Deaf,
    Back,
    Tool(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec(prop::sample::select(FRAGMENTS), 1..6).prop_map(Act::Say),
        2 => ".{0,60}".prop_map(Act::Raw),
        2 => "[0-9*#A-D]{0,40}".prop_map(Act::Press),
        1 => Just(Act::Deaf),
        1 => Just(Act::Back),
        4 => (0u8..6).prop_map(Act::Tool),
    ]
}

fn outcome(kind: u8) -> ToolOutcome {
    match kind {
        0 => ToolOutcome::Ok(booked()),
        1 => {
            ToolOutcome::Ok(json!({ "outcome": "full", "alternatives": ["2026-11-21T18:30", "x"] }))
        }
        2 => ToolOutcome::Ok(json!({ "outcome": "full", "alternatives": [] })),
        3 => ToolOutcome::Ok(json!({ "outcome": "refused", "reason": "" })),
        4 => ToolOutcome::Ok(json!(null)),
        _ => ToolOutcome::Failed { why: "x".into() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, the dialogue speaks or ends, exactly once for each turn.
    #[test]
    fn no_sequence_of_inputs_panics_or_meets_silence(acts in prop::collection::vec(act(), 1..25)) {
        let mut call = Call::new();
        for act in acts {
            if call.end.is_some() {
                break;
            }
            match act {
                Act::Say(parts) => drop(call.say(&parts.join(" "))),
                Act::Raw(text) => drop(call.say(&text)),
                Act::Press(digits) => drop(call.press(&digits)),
                Act::Deaf => drop(call.hands(DialogueInput::NotUnderstood { times: 1 })),
                Act::Back => {
                    call.script.handle(Duration::ZERO, DialogueInput::UserWentOn { turn: call.turn });
                    call.tool = None;
                }
                Act::Tool(kind) => {
                    if let Some(request) = call.tool.take() {
                        call.hands(DialogueInput::ToolResult(request.id, outcome(kind)));
                    }
                }
            }
        }
    }
}
