//! REFER in both roles (RFC 3515), and the names of dialogs that are to be replaced (RFC 3891).

#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::time::Duration;

use bytes::Bytes;
use sip_core::dialog::{DialogEvent, DialogInput, ReferOrder};
use sip_core::value::Replaces;
use virtual_wire::{CLEAN, Pair};

fn talking() -> Pair {
    let mut pair = Pair::new(CLEAN);
    pair.call();
    pair.run_ms(1_000);
    pair
}

fn ask(pair: &mut Pair, to: &str) {
    let order = ReferOrder {
        to: to.into(),
        referred_by: Some("<sip:alice@10.0.0.1>".into()),
    };
    pair.tell(0, DialogInput::Refer(Box::new(order)));
    pair.run_ms(100);
}

fn progress(pair: &Pair) -> Vec<(Option<u16>, bool)> {
    let events = pair.alice().events.iter();
    events
        .filter_map(|(_, event)| match event {
            DialogEvent::ReferProgress { status, last } => Some((*status, *last)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_transfer_is_accepted_and_its_news_come_until_the_last() {
    let mut pair = talking();
    ask(&mut pair, "sip:carol@10.0.0.3");
    let asked = pair.bob().events.iter().find_map(|(_, event)| match event {
        DialogEvent::Referred(asked) => Some(asked.clone()),
        _ => None,
    });
    let asked = asked.expect("Bob is asked");
    assert_eq!(asked.to.uri().to_string(), "sip:carol@10.0.0.3");
    assert_eq!(
        asked.referred_by.as_deref(),
        Some(b"<sip:alice@10.0.0.1>".as_ref())
    );
    pair.tell(1, DialogInput::AnswerRefer { status: 202 });
    pair.run_ms(100);
    assert_eq!(pair.alice().count("ReferAnswered { status: 202 }"), 1);
    for status in [180, 200] {
        pair.tell(
            1,
            DialogInput::ReferNews {
                status,
                last: false,
            },
        );
        pair.run_ms(100);
    }
    assert_eq!(
        progress(&pair),
        [(Some(100), false), (Some(180), false), (Some(200), true)]
    );
    pair.tell(
        1,
        DialogInput::ReferNews {
            status: 200,
            last: true,
        },
    );
    pair.run_ms(100);
    assert_eq!(progress(&pair).len(), 3, "the last word was said");
    // The next one may be asked for, and its news have a name of their own.
    ask(&mut pair, "sip:dave@10.0.0.4");
    pair.tell(1, DialogInput::AnswerRefer { status: 202 });
    pair.run_ms(100);
    assert_eq!(progress(&pair).len(), 4);
    pair.hangup(0);
    pair.run_ms(100_000);
    pair.assert_ended_once();
    pair.assert_clean();
}

#[test]
fn a_transfer_that_is_refused_or_forgotten_leaves_the_call_as_it_is() {
    let mut pair = talking();
    ask(&mut pair, "sip:carol@10.0.0.3");
    pair.tell(1, DialogInput::AnswerRefer { status: 603 });
    pair.run_ms(100);
    assert_eq!(pair.alice().count("ReferAnswered { status: 603 }"), 1);
    ask(&mut pair, "sip:carol@10.0.0.3");
    // Two at once are one too many.
    ask(&mut pair, "sip:carol@10.0.0.3");
    assert_eq!(pair.alice().count("ReferAnswered { status: 491 }"), 1);
    pair.run(Duration::from_secs(11));
    assert_eq!(
        pair.alice().count("ReferAnswered { status: 603 }"),
        2,
        "nobody decided"
    );
    assert!(progress(&pair).is_empty());
    assert_eq!(pair.alice().dialogs.len(), 1);
}

#[test]
fn a_dialog_to_be_replaced_is_named_so_that_its_owner_knows_it() {
    let pair = talking();
    let (alice, bob) = (pair.sides[0].only(), pair.sides[1].only());
    let seeds = [
        &pair.sides[0].dialogs[&alice].seed(),
        &pair.sides[1].dialogs[&bob].seed(),
    ];
    // Alice tells a third party how Bob knows the call that is to be replaced at his side.
    let named = seeds[0].replaces().expect("confirmed");
    let uri = format!("sip:bob@10.0.0.2?{}", named.in_uri());
    let headers = uri.split_once('?').expect("headers").1;
    let read = Replaces::in_uri_headers(headers.as_bytes()).expect("read back");
    assert_eq!(read, named);
    assert!(seeds[1].is_meant_by(&read) && !seeds[0].is_meant_by(&read));
    assert_eq!(read.dialog_id(), bob);
    for broken in ["", "a;to-tag=1", "a;from-tag=1", ";to-tag=1;from-tag=2"] {
        assert!(Replaces::parse(&Bytes::from(broken)).is_err(), "{broken}");
    }
    let early = Replaces::parse(&Bytes::from("x@y; to-tag=1 ;from-tag=2;early-only")).expect("ok");
    assert!(early.early_only);
    assert_eq!(early.to_string(), "x@y;to-tag=1;from-tag=2;early-only");
}
