//! Which trunk an INVITE belongs to: by source and one thing more, never by guessing.

use call_core::trunk::{Arrival, Candidate, Unchosen, choose};
use model::TenantId;

const PLAIN: Candidate<'static> = Candidate {
    name: "plain",
    tenant: None,
    bits: 32,
    hosts: &[],
    headers: &[],
    digest_user: None,
    owner: None,
};

fn tenant(n: u128) -> TenantId {
    TenantId::new(1, n)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[test]
fn an_unknown_source_is_403() {
    let none = choose(&Arrival::default(), &[]);
    assert_eq!(none.as_ref().map_err(Unchosen::sip_status), Err(403));
}

#[test]
fn two_customers_of_one_carrier_are_told_apart_by_their_numbers() {
    let one = Candidate {
        name: "one",
        tenant: Some(tenant(1)),
        owner: Some(tenant(2)),
        ..PLAIN
    };
    let two = Candidate {
        name: "two",
        tenant: Some(tenant(2)),
        ..one
    };
    let chosen = choose(&Arrival::default(), &[one, two]).unwrap();
    assert_eq!((chosen.name, chosen.tenant), ("two", Some(tenant(2))));
}

#[test]
fn a_number_of_somebody_else_is_404_whatever_else_fits() {
    let headers = [pair("X-Twilio-AccountSid", "AC1")];
    let mine = Candidate {
        tenant: Some(tenant(1)),
        headers: &headers,
        owner: Some(tenant(2)),
        ..PLAIN
    };
    let arrival = Arrival {
        headers: &headers,
        ..Arrival::default()
    };
    assert_eq!(choose(&arrival, &[mine]), Err(Unchosen::ForeignNumber));
    assert_eq!(
        choose(
            &arrival,
            &[Candidate {
                owner: None,
                ..mine
            }]
        ),
        Err(Unchosen::ForeignNumber)
    );
    assert_eq!(Unchosen::ForeignNumber.sip_status(), 404);
}

#[test]
fn a_header_a_host_or_a_digest_user_tells_trunks_of_one_tenant_apart() {
    let (a, b) = (
        [pair("X-Twilio-AccountSid", "AC1")],
        [pair("X-Twilio-AccountSid", "AC2")],
    );
    let owned = Candidate {
        tenant: Some(tenant(1)),
        owner: Some(tenant(1)),
        ..PLAIN
    };
    let trunks = [
        Candidate {
            name: "a",
            headers: &a,
            ..owned
        },
        Candidate {
            name: "b",
            headers: &b,
            ..owned
        },
    ];
    let sent = [pair("x-twilio-accountsid", "AC2"), pair("X-Other", "1")];
    let arrival = Arrival {
        headers: &sent,
        ..Arrival::default()
    };
    assert_eq!(choose(&arrival, &trunks).unwrap().name, "b");
    let wrong = [pair("X-Twilio-AccountSid", "AC3")];
    let arrival = Arrival {
        headers: &wrong,
        ..Arrival::default()
    };
    assert_eq!(
        choose(&arrival, &trunks),
        Err(Unchosen::Unknown),
        "a stranger on a known address"
    );

    let (x, y) = (["x.example".to_owned()], ["y.example".to_owned()]);
    let hosts = [
        Candidate {
            name: "x",
            hosts: &x,
            ..owned
        },
        Candidate {
            name: "y",
            hosts: &y,
            ..owned
        },
    ];
    let arrival = Arrival {
        host: "Y.example",
        ..Arrival::default()
    };
    assert_eq!(choose(&arrival, &hosts).unwrap().name, "y");

    let users = [
        Candidate {
            name: "u",
            digest_user: Some("u"),
            ..owned
        },
        Candidate {
            name: "v",
            digest_user: Some("v"),
            ..owned
        },
    ];
    let arrival = Arrival {
        digest_user: Some("u"),
        ..Arrival::default()
    };
    assert_eq!(choose(&arrival, &users).unwrap().name, "u");
    assert_eq!(choose(&Arrival::default(), &users), Err(Unchosen::Unknown));
}

#[test]
fn two_that_fit_equally_well_are_503_and_ambiguous() {
    let one = Candidate {
        name: "one",
        tenant: Some(tenant(1)),
        owner: Some(tenant(1)),
        ..PLAIN
    };
    let two = Candidate { name: "two", ..one };
    let fault = choose(&Arrival::default(), &[one, two]).unwrap_err();
    assert_eq!(fault.sip_status(), 503);
    assert!(fault.to_string().starts_with("ambiguous_trunk"), "{fault}");
}

#[test]
fn what_asks_more_or_is_narrower_goes_first() {
    let headers = [pair("X-Account", "1")];
    let wide = Candidate {
        name: "wide",
        bits: 8,
        ..PLAIN
    };
    let narrow = Candidate {
        name: "narrow",
        bits: 24,
        ..PLAIN
    };
    let strict = Candidate {
        name: "strict",
        bits: 8,
        headers: &headers,
        ..PLAIN
    };
    let plain = Arrival::default();
    let marked = Arrival {
        headers: &headers,
        ..plain
    };
    assert_eq!(
        choose(&plain, &[wide, narrow, strict]).unwrap().name,
        "narrow"
    );
    assert_eq!(
        choose(&marked, &[wide, narrow, strict]).unwrap().name,
        "strict"
    );
    let own = Candidate {
        name: "own",
        tenant: Some(tenant(1)),
        owner: Some(tenant(1)),
        bits: 8,
        ..PLAIN
    };
    let shared = Candidate {
        owner: Some(tenant(1)),
        ..narrow
    };
    assert_eq!(choose(&plain, &[shared, own]).unwrap().name, "own");
}

#[test]
fn a_trunk_of_the_operator_takes_every_number_and_names_its_owner() {
    let shared = Candidate {
        owner: Some(tenant(7)),
        ..PLAIN
    };
    assert_eq!(
        choose(&Arrival::default(), &[shared]).unwrap().tenant,
        Some(tenant(7))
    );
    assert_eq!(choose(&Arrival::default(), &[PLAIN]).unwrap().tenant, None);
}
