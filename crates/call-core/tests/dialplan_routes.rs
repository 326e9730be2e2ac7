//! Which route a call takes, and what the simulation tells about it.

use call_core::dialplan::{Binding, Dialplans, Known, Question};
use call_core::document::SourceFile;
use proptest::prelude::*;

fn plans(text: &str) -> Dialplans {
    let file = SourceFile {
        name: "public.toml".to_owned(),
        text: text.to_owned(),
    };
    let (plans, faults) = Dialplans::parse(&[file], &Known::default());
    plans.unwrap_or_else(|| panic!("{faults:?}"))
}

fn question(to: &str) -> Question {
    Question {
        to: to.to_owned(),
        from: "+33600000001".to_owned(),
        profile: "external".to_owned(),
        context: "public".to_owned(),
        trunk: Some("telnyx".to_owned()),
        headers: vec![
            ("X-Tenant".to_owned(), "acme-7".to_owned()),
            ("x-tenant".to_owned(), "second".to_owned()),
        ],
        at: "2026-01-05T12:00:00Z".parse().unwrap(),
        bound: None,
    }
}

/// The routes of a call, in the order they were taken.
fn taken(text: &str, question: &Question) -> Vec<String> {
    let lines = plans(text).simulate(question).lines;
    let routes = lines
        .iter()
        .filter_map(|line| line.strip_prefix("✓ public/"));
    routes
        .map(|line| line.split(" (").next().unwrap_or_default().to_owned())
        .collect()
}

fn matches(when: &str, question: &Question) -> bool {
    let text = format!(
        "context = \"public\"\n[[route]]\nname = \"it\"\nwhen = {{ {when} }}\ndo = [\"answer\"]\n"
    );
    !taken(&text, question).is_empty()
}

const OFFICE: &str = r#"
context = "public"

[schedule.office]
zone = "Europe/Paris"
open = ["mon-fri 09:00-18:00"]
closed_on = ["2026-12-25"]

[[route]]
name = "reception"
when = { number = "+33100000001", schedule = "office" }
do   = ["answer", { record = { channels = 2, consent = "announce" } }, { agent = "demo/receptionist" }]
else = [{ goto = "closed" }]

[[route]]
name = "desk"
when = { to = '(?<ext>10\d\d)', profile = "internal" }
do = [{ bridge = { to = [["sip:{to.ext}@10.0.0.5", "sip:1000@10.0.0.5"], "sip:+33100000009@10.0.0.9"], ring_for = "25s",
        on = { busy = "closed", no_answer = "closed", failed = "closed" } } }]

[section.closed]
do = [{ play = "closed.wav" }, { hangup = "normal" }]
"#;

#[test]
fn the_first_match_wins_and_else_is_for_the_schedule_alone() {
    let plans = plans(OFFICE);
    let open = plans.simulate(&question("+33100000001"));
    assert_eq!(
        open.lines,
        [
            "+33600000001 calls +33100000001 on external, context public, at 2026-01-05T12:00:00Z",
            "number +33100000001",
            "✓ public/reception (public.toml:9)",
            "  answer (200)   (public.toml:12)",
            "  record, 2 channel(s)   (public.toml:12)",
            "  agent demo/receptionist   (public.toml:12)",
            "the plan is done: hang up (before an answer: 480)",
        ]
    );
    let sunday = Question {
        at: "2026-01-04T12:00:00Z".parse().unwrap(),
        ..question("0033100000001")
    };
    let closed = plans.simulate(&sunday).to_string();
    assert!(
        closed.contains("✓ public/reception (public.toml:9), but schedule office is closed: else"),
        "{closed}"
    );
    assert!(
        closed.contains("goto closed\n  play closed.wav") && closed.ends_with("the call is over\n"),
        "{closed}"
    );
    let other = plans.simulate(&question("+33100000002")).to_string();
    assert!(
        other.contains("- reception (public.toml:9): number is +33100000002")
            && other.contains("404"),
        "{other}"
    );
}

#[test]
fn captures_go_into_targets() {
    let inside = Question {
        profile: "internal".to_owned(),
        ..question("1042")
    };
    let story = plans(OFFICE).simulate(&inside).to_string();
    assert!(story.contains("bridge to sip:1042@10.0.0.5 + sip:1000@10.0.0.5, then sip:+33100000009@10.0.0.9, each for 25s"), "{story}");
}

#[test]
fn every_condition_means_what_it_says() {
    let call = question("+33100000001");
    let yes = [
        "number = \"+33100000001\"",
        "number = [\"+33100000009\", \"+33100000001\"]",
        "to = '\\+331\\d+'",
        "to_contains = '1000'",
        "from = '\\+336.*'",
        "trunk = \"telnyx\"",
        "trunk = [\"other\", \"telnyx\"]",
        "profile = \"external\"",
        "header = { x-tenant = 'acme-\\d' }",
        "header = { X-Tenant = 'second' }",
        "any = [{ trunk = \"other\" }, { profile = \"external\" }]",
        "all = [{ trunk = \"telnyx\" }, { profile = \"external\" }]",
        "not = { trunk = \"other\" }",
    ];
    let no = [
        "number = \"+33100000002\"",
        "to = '331'",
        "to = '\\+331\\d+|x', from = 'x'",
        "to_contains = '999'",
        "from = '\\+336'",
        "trunk = \"other\"",
        "profile = \"internal\"",
        "header = { X-Tenant = 'acme' }",
        "header = { X-Other = '.*' }",
        "any = [{ trunk = \"other\" }, { profile = \"internal\" }]",
        "all = [{ trunk = \"telnyx\" }, { profile = \"internal\" }]",
        "not = { trunk = \"telnyx\" }",
    ];
    for when in yes {
        assert!(matches(when, &call), "{when}");
    }
    for when in no {
        assert!(!matches(when, &call), "{when}");
    }
}

#[test]
fn a_whole_match_cannot_be_escaped_by_an_alternative_or_a_line_break() {
    assert!(!matches("to = 'a|b'", &question("ab")));
    assert!(!matches("to = '\\d+'", &question("12\n34")));
    assert!(!matches("to = '1$'", &question("1\n")));
}

#[test]
fn conditions_see_what_the_routes_before_them_set() {
    let text = "context = \"public\"\n\
        [[route]]\nname = \"first\"\ncontinue = true\ndo = [{ set = { queue = \"vip\" } }]\n\
        [[route]]\nname = \"vip\"\nwhen = { var = { queue = 'vi(?<rest>.)' } }\ncontinue = true\ndo = [{ log = \"{var.rest}\" }, { unset = \"queue\" }]\n\
        [[route]]\nname = \"never\"\nwhen = { var = { queue = 'vip' } }\ndo = [\"hangup\"]\n\
        [[route]]\nname = \"last\"\ndo = [\"answer\"]\n";
    assert_eq!(taken(text, &question("x")), ["first", "vip", "last"]);
    let story = plans(text).simulate(&question("x")).to_string();
    assert!(story.contains("log \"p\""), "{story}");
}

#[test]
fn a_number_of_the_office_needs_no_route() {
    let bound = Some(Binding {
        agent: "acme/bob".to_owned(),
        recording: Default::default(),
    });
    let story = plans(OFFICE)
        .simulate(&Question {
            bound: bound.clone(),
            ..question("+33100000002")
        })
        .to_string();
    assert!(
        story.contains("✓ the number belongs to agent acme/bob\n  answer (200)\n  agent acme/bob"),
        "{story}"
    );
    let story = plans(OFFICE)
        .simulate(&Question {
            bound,
            ..question("+33100000001")
        })
        .to_string();
    assert!(
        story.contains("✓ public/reception"),
        "a route with `number` overrides: {story}"
    );
}

#[test]
fn default_is_another_name_of_internal_and_files_of_one_context_add_up() {
    let file = |name: &str, text: &str| SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        file(
            "a.toml",
            "context = \"default\"\n[[route]]\nname = \"a\"\nwhen = { to = \"a\" }\ndo = [{ goto = \"s\" }]\n",
        ),
        file(
            "b.toml",
            "context = \"internal\"\n[section.s]\ndo = [\"hangup\"]\n[[route]]\nname = \"b\"\ndo = [\"answer\"]\n",
        ),
    ];
    let (plans, faults) = Dialplans::parse(&files, &Known::default());
    let plans = plans.unwrap_or_else(|| panic!("{faults:?}"));
    assert_eq!(plans.names().collect::<Vec<_>>(), ["internal"]);
    let ask = |to: &str, context: &str| {
        plans
            .simulate(&Question {
                context: context.to_owned(),
                ..question(to)
            })
            .to_string()
    };
    assert!(ask("a", "default").contains("✓ internal/a (a.toml:2)"));
    assert!(ask("z", "internal").contains("✓ internal/b (b.toml:4)"));
    assert!(ask("z", "public").contains("404"));
}

#[test]
fn a_menu_that_returns_to_itself_is_told_a_while() {
    let text = "context = \"public\"\n[[route]]\ndo = [{ goto = \"m\" }]\n[section.m]\ndo = [{ gather = { max = 1 } }, { goto = \"m\" }]\n";
    let story = plans(text).simulate(&question("x"));
    assert!(story.lines.len() < 250 && story.lines.last().unwrap().contains("stopped after"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever an operator's editor makes of a file: faults, or a plan; never a panic. And each
    /// fault points into the file.
    #[test]
    fn a_mutilated_file_is_refused_or_read_but_never_fatal(cuts in proptest::collection::vec((0usize..1200, 0usize..30, "[\\[\\]{}\"'=,.#a-z0-9 \n\\\\é]{0,6}"), 1..6), to in ".{0,40}") {
        let mut text = OFFICE.to_owned();
        for (at, length, insert) in cuts {
            let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (from, until) = (floor(at), floor(at + length));
            text.replace_range(from..until, &insert);
        }
        let lines = text.lines().count().max(1) + 1;
        let file = SourceFile { name: "public.toml".to_owned(), text };
        let (plans, faults) = Dialplans::parse(&[file], &Known::default());
        prop_assert_eq!(plans.is_none(), faults.iter().any(|fault| fault.is_error()));
        for fault in &faults {
            prop_assert!(fault.line >= 1 && fault.line as usize <= lines && fault.column >= 1, "{}", fault.render());
        }
        if let Some(plans) = plans {
            prop_assert!(!plans.simulate(&question(&to)).lines.is_empty());
        }
    }
}
