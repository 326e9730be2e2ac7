//! Every action of the table behaves like an action.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use call_core::call::{Call, CallConfig, CallFact, Effect, Incoming, Input, Limits};
use call_core::dialplan::action::{ALL, LATER, Row};
use call_core::dialplan::{Dialplans, Known, Question};
use call_core::document::{Fault, SourceFile};

fn parse(text: &str) -> (Option<Dialplans>, Vec<Fault>) {
    let file = SourceFile {
        name: "plan.toml".to_owned(),
        text: text.to_owned(),
    };
    Dialplans::parse(&[file], &Known::default())
}

/// A context that does one thing, with everything around it that an example may refer to.
fn plan(action: &str) -> String {
    format!(
        "context = \"internal\"\n[[route]]\nname = \"seed\"\nwhen = {{ to = \"never\" }}\ndo = [{{ set = {{ queue = \"x\" }} }}]\n\
         [[route]]\nname = \"it\"\ndo = [{action}]\n[section.closed]\ndo = [\"hangup\"]\n"
    )
}

fn errors(faults: &[Fault]) -> Vec<String> {
    faults
        .iter()
        .filter(|fault| fault.is_error())
        .map(Fault::render)
        .collect()
}

#[test]
fn names_are_unique_sorted_and_have_a_file_each() {
    let names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names, unique.into_iter().collect::<Vec<_>>());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dialplan/action");
    for name in names {
        assert!(folder.join(format!("{name}.rs")).is_file(), "{name}.rs");
        assert!(
            !LATER.contains(&name),
            "{name} is here and promised for later"
        );
    }
}

#[test]
fn every_example_is_taken_and_does_something() {
    for row in &ALL {
        let (plans, faults) = parse(&plan(row.example));
        let plans = plans.unwrap_or_else(|| panic!("{}: {:?}", row.name, errors(&faults)));
        let story = plans.simulate(&question()).to_string();
        assert!(story.contains("✓ internal/it"), "{}: {story}", row.name);
        assert!(story.lines().count() >= 4, "{}: {story}", row.name);
    }
}

fn question() -> Question {
    Question {
        to: "1000".to_owned(),
        from: "2000".to_owned(),
        profile: "internal".to_owned(),
        context: "internal".to_owned(),
        trunk: None,
        headers: Vec::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
        bound: None,
    }
}

#[test]
fn a_word_alone_is_taken_exactly_where_the_table_says_so() {
    for row in &ALL {
        let (plans, faults) = parse(&plan(&format!("\"{}\"", row.name)));
        assert_eq!(
            plans.is_some(),
            row.bare,
            "{}: {:?}",
            row.name,
            errors(&faults)
        );
    }
}

#[test]
fn unknown_fields_are_refused_with_their_place() {
    for row in ALL.iter().filter(|row| row.name != "set") {
        let (plans, faults) = parse(&plan(&format!(
            "{{ {} = {{ no_such_field = 1 }} }}",
            row.name
        )));
        assert!(plans.is_none(), "{}", row.name);
        let fault = faults
            .iter()
            .find(|fault| fault.message == "unknown key `no_such_field`");
        let fault = fault.unwrap_or_else(|| panic!("{}: {:?}", row.name, errors(&faults)));
        assert_eq!(fault.line, 8, "{}", row.name);
        assert_eq!(
            fault.column as usize,
            "do = [{ ".len() + row.name.len() + " = { ".len() + 1,
            "{}",
            row.name
        );
    }
}

#[test]
fn freeswitch_names_get_a_hint_and_later_actions_say_so() {
    for row in &ALL {
        for name in row.freeswitch {
            let (_, faults) = parse(&plan(&format!("{{ {name} = 1 }}")));
            assert!(
                faults
                    .iter()
                    .any(|fault| fault.hint.as_deref() == Some(row.example)),
                "{name}"
            );
        }
    }
    for name in LATER {
        let (_, faults) = parse(&plan(&format!("{{ {name} = 1 }}")));
        let message = format!("`{name}` is not available yet");
        assert!(
            faults.iter().any(|fault| fault.message == message),
            "{name}"
        );
    }
}

#[test]
fn every_action_stands_in_the_schema() {
    let schema = serde_json::to_string(&call_core::dialplan::schema()).unwrap();
    for row in &ALL {
        assert!(
            schema.contains(&format!("\"{}\"", row.name)),
            "{}",
            row.name
        );
    }
}

/// Runs the example as a call with an obliging world around it.
fn run(row: &Row) -> Vec<Effect> {
    let (plans, _) = parse(&plan(row.example));
    let config = CallConfig {
        wall_at_start: jiff::Timestamp::UNIX_EPOCH,
        limits: Limits::default(),
    };
    let mut call = Call::new(config, Arc::new(plans.unwrap()));
    let mut now = Duration::ZERO;
    let incoming = Incoming {
        context: "internal".to_owned(),
        to: "1000".to_owned(),
        ..Incoming::default()
    };
    call.handle(now, Input::Incoming(Box::new(incoming)));
    call.handle(now, Input::Journaled);
    let mut effects = Vec::new();
    for _ in 0..200 {
        while let Some(effect) = call.poll_effect() {
            match &effect {
                Effect::PrepareAgent { .. } => call.handle(now, Input::AgentReady),
                Effect::Answer => call.handle(now, Input::Acknowledged),
                Effect::Play { tag, .. } | Effect::Say { tag, .. } => {
                    call.handle(now, Input::PlayFinished { tag: *tag })
                }
                Effect::CloseMedia => call.handle(now, Input::MediaClosed),
                _ => {}
            }
            effects.push(effect);
        }
        let Some(at) = call.poll_timeout() else { break };
        now = at;
        call.handle_timeout(now);
    }
    effects
}

#[test]
fn every_example_runs_as_a_call_to_exactly_one_record() {
    for row in &ALL {
        let effects = run(row);
        let records = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Ended(_)))
            .count();
        let facts = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Journal(CallFact::Ended(_))))
            .count();
        assert_eq!((records, facts), (1, 1), "{}: {effects:?}", row.name);
    }
}

#[test]
fn the_operators_page_shows_every_action_with_its_example() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dialplans/README.md");
    let page = std::fs::read_to_string(page).unwrap();
    for row in &ALL {
        assert!(
            page.contains(&format!("| `{}` | `{}` |", row.name, row.example)),
            "{}",
            row.name
        );
    }
    for name in LATER {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
