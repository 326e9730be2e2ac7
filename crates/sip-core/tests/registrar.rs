//! A registrar: who is bound where, for how long, and what a REGISTER is answered.

#[path = "support/letters.rs"]
mod letters;

use std::time::Duration;

use letters::{request, tcp, udp};
use proptest::prelude::*;
use sip_core::flow::Flow;
use sip_core::message::{Framing, Message, Request, parse};
use sip_core::registrar::{Answer, Binding, Place, Registrar, RegistrarConfig};

const AOR: &str = "1001@pbx.example";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn registrar() -> Registrar {
    Registrar::new(RegistrarConfig::default())
}

fn read(extra: &[&str]) -> Request {
    let bytes = request("REGISTER", "sip:pbx.example", extra, "");
    match parse(&bytes, Framing::Datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn register_on(registrar: &mut Registrar, now: u64, flow: Flow, extra: &[&str]) -> Answer {
    let place = Place {
        aor: AOR,
        profile: "internal",
        flow,
    };
    registrar.register(at(now), &place, &read(extra))
}

fn register(registrar: &mut Registrar, now: u64, extra: &[&str]) -> Answer {
    register_on(registrar, now, udp("198.51.100.9:40001"), extra)
}

fn bound(registrar: &Registrar, now: u64) -> Vec<String> {
    let bindings = registrar.bindings_of(at(now), AOR);
    bindings
        .iter()
        .map(|binding| String::from_utf8_lossy(&binding.contact).into_owned())
        .collect()
}

fn header(answer: &Answer, name: &str) -> Vec<String> {
    let values = answer.headers.iter().filter(|(is, _)| *is == name);
    values
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

const DESK: &str = "Contact: <sip:1001@10.0.0.5:5060>";
const MOBILE: &str = "Contact: <sip:1001@10.0.0.6:5062;transport=tcp>;q=0.5";

#[test]
fn a_phone_is_bound_until_its_time_is_over() {
    let mut registrar = registrar();
    let answer = register(
        &mut registrar,
        0,
        &[DESK, "Expires: 120", "CSeq: 1 REGISTER"],
    );
    assert_eq!(answer.status, 200);
    assert_eq!(
        header(&answer, "Contact"),
        ["<sip:1001@10.0.0.5:5060>;expires=120"]
    );
    assert_eq!(
        registrar.bindings_of(at(1), AOR)[0].flow,
        udp("198.51.100.9:40001")
    );
    assert_eq!(bound(&registrar, 119), ["sip:1001@10.0.0.5:5060"]);
    assert_eq!(registrar.poll_timeout(), Some(at(120)));
    assert!(bound(&registrar, 120).is_empty());
    registrar.take_changed();
    registrar.handle_timeout(at(120));
    assert_eq!(
        (registrar.len(), registrar.take_changed()),
        (0, vec![AOR.to_owned()])
    );
    assert_eq!(registrar.poll_timeout(), None);
}

#[test]
fn several_phones_ring_in_the_order_of_their_preference() {
    let mut registrar = registrar();
    register(&mut registrar, 0, &[MOBILE, "Call-ID: a"]);
    let answer = register(&mut registrar, 1, &[DESK, "Call-ID: b"]);
    assert_eq!(header(&answer, "Contact").len(), 2);
    assert_eq!(
        bound(&registrar, 2),
        [
            "sip:1001@10.0.0.5:5060",
            "sip:1001@10.0.0.6:5062;transport=tcp"
        ]
    );
    let query = register(&mut registrar, 3, &["Contact: -", "CSeq: 9 REGISTER"]);
    assert_eq!((query.status, header(&query, "Contact").len()), (200, 2));
}

#[test]
fn a_refresh_replaces_and_an_older_request_changes_nothing() {
    let mut registrar = registrar();
    register(
        &mut registrar,
        0,
        &[DESK, "Expires: 100", "CSeq: 5 REGISTER"],
    );
    assert_eq!(
        register(&mut registrar, 50, &[DESK, "CSeq: 6 REGISTER"]).status,
        200
    );
    assert_eq!(registrar.len(), 1);
    for cseq in ["CSeq: 6 REGISTER", "CSeq: 5 REGISTER"] {
        let late = register(&mut registrar, 51, &[DESK, "Expires: 0", cseq]);
        assert_eq!(late.status, 500);
        assert_eq!(bound(&registrar, 51).len(), 1);
    }
    // A phone that restarted begins with a new Call-ID and any number.
    let fresh = register(
        &mut registrar,
        52,
        &[DESK, "CSeq: 1 REGISTER", "Call-ID: other"],
    );
    assert_eq!((fresh.status, registrar.len()), (200, 1));
}

#[test]
fn a_phone_takes_back_one_or_all_of_its_bindings() {
    let mut registrar = registrar();
    register(&mut registrar, 0, &[DESK, "Call-ID: a"]);
    register(&mut registrar, 0, &[MOBILE, "Call-ID: b"]);
    let gone = register(
        &mut registrar,
        1,
        &[
            "Contact: <sip:1001@10.0.0.5:5060>;expires=0",
            "Call-ID: a",
            "CSeq: 2 REGISTER",
        ],
    );
    assert_eq!((gone.status, bound(&registrar, 1).len()), (200, 1));
    for wrong in [&["Contact: *", "Expires: 10"][..], &["Contact: *"]] {
        assert_eq!(register(&mut registrar, 2, wrong).status, 400, "{wrong:?}");
    }
    assert_eq!(registrar.len(), 1);
    let all = register(
        &mut registrar,
        3,
        &["Contact: *", "Expires: 0", "Call-ID: c", "CSeq: 1 REGISTER"],
    );
    assert_eq!((all.status, registrar.len()), (200, 0));
}

#[test]
fn a_life_too_short_is_refused_and_one_too_long_is_cut() {
    let mut registrar = registrar();
    let brief = register(&mut registrar, 0, &[DESK, "Expires: 30"]);
    assert_eq!(
        (brief.status, header(&brief, "Min-Expires")),
        (423, vec!["60".to_owned()])
    );
    assert_eq!(registrar.len(), 0);
    for (asked, granted) in [
        ("Expires: 99999999999", "3600"),
        ("Expires: soon", "3600"),
        ("X: y", "3600"),
        ("Expires: 61", "61"),
    ] {
        let mut registrar = self::registrar();
        let answer = register(&mut registrar, 0, &[DESK, asked]);
        assert!(
            header(&answer, "Contact")[0].ends_with(&format!("expires={granted}")),
            "{asked}"
        );
    }
    // One Contact refused refuses the whole request.
    let both = register(
        &mut registrar,
        0,
        &["Contact: <sip:a@10.0.0.5>;expires=600, <sip:b@10.0.0.5>;expires=5"],
    );
    assert_eq!((both.status, registrar.len()), (423, 0));
}

#[test]
fn more_phones_than_allowed_are_refused() {
    let config = RegistrarConfig {
        max_contacts: 2,
        max_bindings: 3,
        ..RegistrarConfig::default()
    };
    let mut registrar = Registrar::new(config);
    let line = |n: u8| format!("Contact: <sip:1001@10.0.0.{n}>");
    for n in 1..=3 {
        let answer = register(&mut registrar, 0, &[&line(n), &format!("Call-ID: {n}")]);
        assert_eq!(answer.status, if n < 3 { 200 } else { 403 });
    }
    let mut other = |aor, n: u8| {
        let place = Place {
            aor,
            profile: "internal",
            flow: udp("198.51.100.9:1"),
        };
        registrar.register(at(0), &place, &read(&[&line(n)])).status
    };
    assert_eq!((other("a@b", 1), other("c@d", 1)), (200, 403));
}

#[test]
fn a_path_is_kept_and_shown() {
    let mut registrar = registrar();
    let path = [
        "Path: <sip:edge1.example;lr>, <sip:edge2.example;lr>",
        "Supported: path",
        DESK,
    ];
    let answer = register(&mut registrar, 0, &path);
    assert_eq!(
        header(&answer, "Path"),
        ["<sip:edge1.example;lr>, <sip:edge2.example;lr>"]
    );
    let kept: Vec<_> = registrar.bindings_of(at(1), AOR)[0]
        .path
        .iter()
        .map(|p| String::from_utf8_lossy(p).into_owned())
        .collect();
    assert_eq!(kept, ["<sip:edge1.example;lr>", "<sip:edge2.example;lr>"]);
    let long = format!("Path: <sip:{}.example;lr>", "x".repeat(3_000));
    assert_eq!(
        register(&mut registrar, 1, &[&long, DESK, "CSeq: 2 REGISTER"]).status,
        400
    );
}

const MANAGED: &str =
    "Contact: <sip:1001@10.0.0.5:5060;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id=1";

#[test]
fn a_flow_of_the_phone_lives_and_dies_with_its_connection() {
    let mut registrar = registrar();
    let outbound = [MANAGED, "Supported: path, outbound"];
    let answer = register_on(&mut registrar, 0, tcp("198.51.100.9:40001"), &outbound);
    assert_eq!(header(&answer, "Require"), ["outbound"]);
    assert_eq!(header(&answer, "Flow-Timer"), ["120"]);
    assert!(header(&answer, "Contact")[0].contains("+sip.instance=\"<urn:uuid:1>\";reg-id=1"));
    // The same instance from another address is the same binding, a second flow another.
    let moved = [
        "Contact: <sip:1001@10.9.9.9:7777>;+sip.instance=\"<urn:uuid:1>\";reg-id=1",
        "Supported: outbound",
        "Call-ID: new",
    ];
    register_on(&mut registrar, 1, tcp("198.51.100.9:40001"), &moved);
    assert_eq!(bound(&registrar, 2), ["sip:1001@10.9.9.9:7777"]);
    let second = [
        "Contact: <sip:1001@10.9.9.9:7778>;+sip.instance=\"<urn:uuid:1>\";reg-id=2",
        "Supported: outbound",
        "Call-ID: new2",
    ];
    register(&mut registrar, 3, &second);
    register_on(
        &mut registrar,
        3,
        tcp("198.51.100.9:5"),
        &[
            "Contact: <sip:1001@10.0.0.8;transport=tcp>",
            "Call-ID: plain",
        ],
    );
    assert_eq!(registrar.len(), 3);
    registrar.connection_lost("external", 7);
    assert_eq!(registrar.len(), 3, "another profile's");
    registrar.connection_lost("internal", 7);
    let mut left = bound(&registrar, 4);
    left.sort();
    assert_eq!(
        left,
        ["sip:1001@10.0.0.8;transport=tcp", "sip:1001@10.9.9.9:7778"]
    );
    let plain = registrar.bindings_of(at(4), AOR);
    assert!(plain.iter().all(|binding| binding.flow.connection == 0));
}

#[test]
fn a_flow_over_a_hop_that_keeps_none_is_refused() {
    let two = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKp, SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKq";
    let two_lines =
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKp\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKq";
    let mut registrar = registrar();
    for via in [two, two_lines] {
        let plain = [MANAGED, "Supported: outbound", via];
        assert_eq!(register(&mut registrar, 0, &plain).status, 439, "{via}");
    }
    let edge = [
        MANAGED,
        "Supported: outbound, path",
        two_lines,
        "Path: <sip:edge.example;lr;ob>",
    ];
    assert_eq!(register(&mut registrar, 0, &edge).status, 200);
    assert_eq!(registrar.bindings_of(at(1), AOR)[0].reg_id, Some(1));
}

#[test]
fn a_kept_binding_comes_back_with_the_life_it_had_left() {
    let mut before = registrar();
    register_on(
        &mut before,
        0,
        tcp("198.51.100.9:40001"),
        &[MOBILE, "Path: <sip:edge;lr>"],
    );
    let kept = serde_json::to_string(before.bindings_of(at(10), AOR)[0]).unwrap();
    let binding: Binding = serde_json::from_str(&kept).unwrap();
    let mut after = registrar();
    after.restore(at(3), AOR, binding.clone(), at(90));
    after.restore(at(3), "gone@pbx.example", binding, at(0));
    assert_eq!(
        (
            after.len(),
            bound(&after, 92).len(),
            bound(&after, 93).len()
        ),
        (1, 1, 0)
    );
    let back = after.bindings_of(at(4), AOR)[0];
    assert_eq!((back.flow.connection, back.q, back.path.len()), (0, 500, 1));
    // The phone's next refresh is in order with what was kept.
    let old = register(&mut after, 5, &[MOBILE, "CSeq: 1 REGISTER"]);
    assert_eq!(old.status, 500);
    let next = register(&mut after, 5, &[MOBILE, "CSeq: 2 REGISTER"]);
    assert_eq!((next.status, after.len()), (200, 1));
}

proptest! {
    #[test]
    fn the_count_is_the_sum_and_everything_ends(steps in proptest::collection::vec((0u8..6, 0u8..4, 0u32..400, 1u64..100), 1..60)) {
        let config = RegistrarConfig { min_expires_s: 1, max_contacts: 3, max_bindings: 5, ..RegistrarConfig::default() };
        let mut registrar = Registrar::new(config);
        let mut now = 0;
        for (cseq, (user, phone, expires, pause)) in steps.into_iter().enumerate() {
            now += pause;
            let aor = format!("{user}@pbx.example");
            let place = Place { aor: &aor, profile: "internal", flow: tcp("198.51.100.9:40001") };
            let contact = if phone == 3 && expires % 2 == 0 { "Contact: *".to_owned() } else { format!("Contact: <sip:x@10.0.0.{phone}>") };
            let expires = if contact.ends_with('*') { 0 } else { expires };
            let lines = [contact, format!("Expires: {expires}"), format!("CSeq: {} REGISTER", cseq + 1)];
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            registrar.register(at(now), &place, &read(&lines));
            let sum: usize = registrar.all().map(|(_, bindings)| bindings.len()).sum();
            prop_assert_eq!(sum, registrar.len());
            prop_assert!(registrar.len() <= 5);
            prop_assert!(registrar.all().all(|(_, bindings)| (1..=3).contains(&bindings.len())));
            prop_assert!(registrar.poll_timeout().is_none_or(|deadline| deadline > at(now)));
        }
        registrar.handle_timeout(at(now + 400));
        prop_assert_eq!((registrar.len(), registrar.poll_timeout()), (0, None));
    }
}
