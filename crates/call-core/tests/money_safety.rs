//! Money safety: nothing is dialled that the policy does not allow, by whatever way it is asked for.

use std::time::Duration;

use call_core::country::by_code;
use call_core::dialing::{
    Ask, By, Digits, Emergency, MAX_DURATION, Origin, Outlet, Policy, Prefixes, Refusal, Wanted,
    Way, may_dial,
};
use proptest::prelude::*;

const EVERY_BY: [By; 7] = [
    By::Dialplan,
    By::Api,
    By::Agent,
    By::Refer,
    By::Redirect,
    By::Diversion,
    By::Fallback,
];
const EVERY_ORIGIN: [Origin; 3] = [Origin::Office, Origin::Internal, Origin::Public];
const EVERY_DIGITS: [Digits; 2] = [Digits::Written, Digits::Supplied];

fn outlet(name: &str, priority: u16, weight: u16) -> Outlet {
    Outlet {
        name: name.into(),
        hosts: vec![format!("{name}.example")],
        priority,
        weight,
        up: true,
        country: None,
    }
}

fn policy() -> Policy {
    Policy {
        prefixes: Prefixes::new(["+33", "!+33899"]),
        forward_to: vec!["+33100000009".into()],
        country: by_code("FR"),
        emergency: Some(Emergency::Route("paris".into())),
        redirects: true,
        operator: false,
        max_duration: None,
        trunks: vec![outlet("paris", 1, 10), outlet("backup", 2, 10)],
        draw: 0,
    }
}

fn ask(text: &str, by: By, origin: Origin, digits: Digits) -> Ask<'_> {
    Ask {
        wanted: Wanted::parse(text).unwrap(),
        by,
        origin,
        digits,
    }
}

fn office(text: &str) -> Ask<'_> {
    ask(text, By::Api, Origin::Office, Digits::Written)
}

fn every_way(text: &str, mut check: impl FnMut(Ask<'_>)) {
    for by in EVERY_BY {
        for origin in EVERY_ORIGIN {
            for digits in EVERY_DIGITS {
                check(ask(text, by, origin, digits));
            }
        }
    }
}

#[test]
fn outbound_is_off_until_a_prefix_allows_it() {
    let off = Policy {
        prefixes: Prefixes::default(),
        ..policy()
    };
    every_way("+33100000009", |ask| {
        assert!(may_dial(&ask, &off).is_err(), "{ask:?}");
        assert!(may_dial(&ask, &Policy::default()).is_err(), "{ask:?}");
    });
}

#[test]
fn the_longest_prefix_decides_and_the_number_goes_out_in_e164() {
    let route = may_dial(&office("01 00 00 00 01"), &policy()).unwrap();
    let Way::Trunks { number, trunks } = route.way else {
        panic!()
    };
    assert_eq!(
        (number.as_str(), trunks),
        ("+33100000001", vec!["paris".into(), "backup".into()])
    );
    for (number, refusal) in [
        ("+33899000001", Refusal::NotAllowed),
        ("+442000000001", Refusal::NotAllowed),
        ("trunk/paris/+442000000001", Refusal::NotAllowed),
        ("trunk/london/+33100000001", Refusal::NoTrunk),
        ("1000", Refusal::NotANumber),
        ("alice", Refusal::NotANumber),
    ] {
        assert_eq!(
            may_dial(&office(number), &policy()).unwrap_err(),
            refusal,
            "{number}"
        );
    }
}

#[test]
fn a_caller_from_outside_never_comes_back_out_by_digits_of_his_own() {
    for text in [
        "+33100000001",
        "+33100000009",
        "trunk/paris/+33100000009",
        "sip:+33100000009@paris.example",
    ] {
        for by in EVERY_BY {
            let asked = ask(text, by, Origin::Public, Digits::Supplied);
            assert_eq!(
                may_dial(&asked, &policy()).unwrap_err(),
                Refusal::Hairpin,
                "{by:?} {text}"
            );
        }
    }
}

#[test]
fn from_outside_only_a_listed_number_that_we_wrote_ourselves_is_reached() {
    let to = |text| ask(text, By::Agent, Origin::Public, Digits::Written);
    assert!(may_dial(&to("+33100000009"), &policy()).is_ok());
    assert_eq!(
        may_dial(&to("+33100000001"), &policy()).unwrap_err(),
        Refusal::Hairpin
    );
    let listed_abroad = Policy {
        forward_to: vec!["+442000000001".into()],
        ..policy()
    };
    assert_eq!(
        may_dial(&to("+442000000001"), &listed_abroad).unwrap_err(),
        Refusal::NotAllowed,
        "the list is no prefix"
    );
}

#[test]
fn a_raw_uri_is_no_way_around() {
    let policy = policy();
    let plan = |text, origin, digits| may_dial(&ask(text, By::Dialplan, origin, digits), &policy);
    assert_eq!(
        plan("sip:1000@10.0.0.5:5060", Origin::Public, Digits::Written)
            .unwrap()
            .way,
        Way::Uri
    );
    assert_eq!(
        plan("sip:1000@10.0.0.5", Origin::Public, Digits::Supplied),
        Err(Refusal::ForeignUri)
    );
    assert_eq!(
        plan(
            "sip:+33100000001@PARIS.example:5060;transport=tcp",
            Origin::Public,
            Digits::Written
        ),
        Err(Refusal::Hairpin)
    );
    for by in [By::Api, By::Agent, By::Refer, By::Redirect, By::Diversion] {
        let asked = ask(
            "sip:x@elsewhere.example",
            by,
            Origin::Internal,
            Digits::Written,
        );
        assert_eq!(
            may_dial(&asked, &policy).unwrap_err(),
            Refusal::ForeignUri,
            "{by:?}"
        );
    }
}

#[test]
fn a_redirection_names_a_uri_by_the_rules_of_the_operator_alone_and_for_nobody_outside() {
    let own = Policy {
        operator: true,
        ..policy()
    };
    let uri = "sip:x@elsewhere.example";
    for origin in EVERY_ORIGIN {
        let asked = ask(uri, By::Redirect, origin, Digits::Supplied);
        let got = may_dial(&asked, &own).map(|route| route.way);
        let expected = match origin {
            Origin::Public => Err(Refusal::ForeignUri),
            Origin::Office | Origin::Internal => Ok(Way::Uri),
        };
        assert_eq!(got, expected, "{origin:?}");
        assert_eq!(may_dial(&asked, &policy()), Err(Refusal::ForeignUri));
        // A number needs its prefix, whatever host is said to have it; what is only digits is a number, or nothing.
        let rows = [
            ("sip:+33100000001@elsewhere.example", Ok(Way::Uri)),
            (
                "sip:+49301234567@elsewhere.example",
                Err(Refusal::NotAllowed),
            ),
            ("sip:0049301234567@192.0.2.7", Err(Refusal::NotAllowed)),
            ("sip:118218@192.0.2.7", Err(Refusal::NotANumber)),
            ("sip:112@elsewhere.example", Err(Refusal::Emergency)),
        ];
        for (uri, expected) in rows {
            let asked = ask(uri, By::Redirect, origin, Digits::Supplied);
            let got = may_dial(&asked, &own).map(|route| route.way);
            match (origin, expected) {
                (Origin::Public, Ok(_) | Err(Refusal::NotAllowed | Refusal::NotANumber)) => {
                    assert_eq!(got, Err(Refusal::ForeignUri), "{uri}");
                }
                (_, expected) => assert_eq!(got, expected, "{uri}, {origin:?}"),
            }
        }
        let trunk = ask(
            "sip:+33100000001@paris.example",
            By::Redirect,
            origin,
            Digits::Supplied,
        );
        let out = may_dial(&trunk, &own);
        assert_eq!(
            out.is_err(),
            origin == Origin::Public,
            "{origin:?}: {out:?}"
        );
    }
}

#[test]
fn redirection_is_off_by_default() {
    let asked = ask(
        "+33100000001",
        By::Redirect,
        Origin::Office,
        Digits::Supplied,
    );
    let off = Policy {
        redirects: false,
        ..policy()
    };
    assert_eq!(may_dial(&asked, &off).unwrap_err(), Refusal::RedirectOff);
    assert!(may_dial(&asked, &policy()).is_ok());
    assert!(!Policy::default().redirects);
}

#[test]
fn emergency_numbers_go_out_by_the_explicit_route_of_a_phone_of_ours_and_no_other_way() {
    for number in [
        "112",
        "15",
        "17",
        "18",
        "+33112",
        "tel:112",
        "trunk/backup/18",
        "sip:112@elsewhere.example",
        "urn:service:sos",
    ] {
        every_way(number, |asked| {
            let got = may_dial(&asked, &policy());
            if asked.by == By::Dialplan && asked.origin == Origin::Internal {
                let route = got.unwrap();
                assert!(route.emergency, "{asked:?}");
                let Way::Trunks { number, trunks } = route.way else {
                    panic!()
                };
                assert!(number.len() <= 3 && trunks == ["paris"], "{asked:?}");
            } else {
                assert_eq!(got.unwrap_err(), Refusal::Emergency, "{asked:?}");
            }
        });
    }
}

#[test]
fn emergency_is_refused_when_so_decided_and_outbound_stays_off_while_it_is_undecided() {
    let phone = ask("112", By::Dialplan, Origin::Internal, Digits::Supplied);
    let reject = Policy {
        emergency: Some(Emergency::Reject),
        ..policy()
    };
    assert_eq!(may_dial(&phone, &reject).unwrap_err(), Refusal::Emergency);
    let unset = Policy {
        emergency: None,
        ..policy()
    };
    assert_eq!(
        may_dial(&phone, &unset).unwrap_err(),
        Refusal::EmergencyUnset
    );
    assert_eq!(
        may_dial(&office("+33100000001"), &unset).unwrap_err(),
        Refusal::EmergencyUnset
    );
}

#[test]
fn an_emergency_route_is_tried_though_its_trunk_seems_down() {
    let mut policy = policy();
    policy.trunks.iter_mut().for_each(|trunk| trunk.up = false);
    let phone = ask("15", By::Dialplan, Origin::Internal, Digits::Supplied);
    assert!(may_dial(&phone, &policy).unwrap().emergency);
    assert_eq!(
        may_dial(&office("+33100000001"), &policy).unwrap_err(),
        Refusal::TrunksDown
    );
}

#[test]
fn the_country_of_a_trunk_counts_too() {
    let mut policy = policy();
    policy.trunks[1].country = by_code("US");
    assert_eq!(
        may_dial(&office("911"), &policy).unwrap_err(),
        Refusal::Emergency
    );
}

#[test]
fn every_leg_has_a_longest_duration() {
    let route = may_dial(&office("+33100000001"), &policy()).unwrap();
    assert_eq!(route.max_duration, MAX_DURATION);
    let short = Policy {
        max_duration: Some(Duration::from_secs(60)),
        ..policy()
    };
    let phone = ask("user/1000", By::Dialplan, Origin::Public, Digits::Supplied);
    assert_eq!(
        may_dial(&phone, &short).unwrap().max_duration,
        Duration::from_secs(60)
    );
}

#[test]
fn trunks_that_are_down_are_left_out_and_weights_share_the_first_place() {
    let mut policy = policy();
    policy.trunks = vec![
        outlet("a", 1, 30),
        outlet("b", 1, 10),
        outlet("c", 1, 0),
        outlet("d", 0, 1),
    ];
    policy.trunks[3].up = false;
    let mut first = [0_u32; 3];
    for draw in 0..4_000 {
        policy.draw = draw * 7_919;
        let Way::Trunks { trunks, .. } = may_dial(&office("+33100000001"), &policy).unwrap().way
        else {
            panic!()
        };
        assert_eq!(trunks.len(), 3);
        assert!(trunks.last().is_some_and(|last| last == "c"));
        first[["a", "b", "c"]
            .iter()
            .position(|n| trunks[0] == *n)
            .unwrap()] += 1;
    }
    assert!(
        (2_700..3_300).contains(&first[0]) && first[2] == 0,
        "{first:?}"
    );
}

proptest! {
    /// Whatever is asked by anybody: what goes out over a trunk is allowed, or an emergency call by its route.
    #[test]
    fn nothing_leaves_that_the_policy_does_not_allow(
        text in prop_oneof!["[+0-9*#a-z/:@. ;-]{0,24}", "(trunk/paris/|tel:|sip:|)[+]?[0-9]{1,16}(@[a-z.]{3,12})?"],
        by in prop::sample::select(EVERY_BY.to_vec()),
        origin in prop::sample::select(EVERY_ORIGIN.to_vec()),
        digits in prop::sample::select(EVERY_DIGITS.to_vec()),
    ) {
        let policy = policy();
        let Some(wanted) = Wanted::parse(&text) else { return Ok(()) };
        let Ok(route) = may_dial(&Ask { wanted, by, origin, digits }, &policy) else { return Ok(()) };
        if let Way::Trunks { number, .. } = &route.way {
            if route.emergency {
                prop_assert!(by == By::Dialplan && origin == Origin::Internal);
            } else {
                prop_assert!(policy.prefixes.allow(number), "{number}");
                prop_assert!(origin != Origin::Public || digits == Digits::Written);
                prop_assert!(origin != Origin::Public || policy.forward_to.contains(number));
            }
        }
    }
}
