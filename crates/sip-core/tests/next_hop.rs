//! RFC 3263: which places a URI stands for, by a name service in a table.

use std::collections::HashMap;
use std::net::IpAddr;

use bytes::Bytes;
use sip_core::flow::Transport;
use sip_core::locate::{
    Ability, Answer, LocateError, MAX_QUESTIONS, MAX_TARGETS, Naptr, Question, Search, Srv, Target,
    Wanted, by_priority_and_weight,
};
use sip_core::value::Uri;

/// A name service: what is not in it does not exist.
#[derive(Default)]
struct Zone(HashMap<Question, Answer>);

impl Zone {
    fn naptr(mut self, name: &str, records: &[(u16, u16, &str, &str)]) -> Self {
        let record = |(order, preference, services, replacement): &(u16, u16, &str, &str)| Naptr {
            order: *order,
            preference: *preference,
            flags: "s".into(),
            services: (*services).into(),
            replacement: (*replacement).into(),
        };
        let records = records.iter().map(record).collect();
        let question = Question::Naptr(name.into());
        self.0.insert(question, Answer::Naptr(records));
        self
    }

    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let records = records.iter().map(srv).collect();
        self.0
            .insert(Question::Srv(name.into()), Answer::Srv(records));
        self
    }

    fn host(mut self, name: &str, ips: &[&str]) -> Self {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let question = Question::Addresses(name.into());
        self.0.insert(question, Answer::Addresses(ips));
        self
    }

    fn fails(mut self, question: Question) -> Self {
        self.0.insert(question, Answer::Failed("no answer".into()));
        self
    }

    /// Where the URI leads, and what had to be asked.
    fn find(&self, uri: &str) -> (Result<Vec<String>, LocateError>, Vec<Question>) {
        self.find_with(uri, &both(), 1)
    }

    fn find_with(
        &self,
        uri: &str,
        ability: &Ability,
        seed: u64,
    ) -> (Result<Vec<String>, LocateError>, Vec<Question>) {
        let uri = Uri::parse(&Bytes::from(uri.to_owned())).unwrap();
        let wanted = match Wanted::of(&uri) {
            Ok(wanted) => wanted,
            Err(error) => return (Err(error), Vec::new()),
        };
        let mut search = Search::new(wanted, ability.clone(), seed);
        let mut asked = Vec::new();
        while let Some(question) = search.poll_question() {
            let answer = self.0.get(&question).cloned();
            asked.push(question);
            search.answer(answer.unwrap_or(Answer::Nothing));
        }
        let text = |targets: Vec<Target>| targets.iter().map(ToString::to_string).collect();
        (search.targets().map(text), asked)
    }
}

fn srv((priority, weight, port, target): &(u16, u16, u16, &str)) -> Srv {
    Srv {
        priority: *priority,
        weight: *weight,
        port: *port,
        target: (*target).into(),
    }
}

fn both() -> Ability {
    Ability {
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        v4: true,
        v6: true,
    }
}

#[test]
fn what_is_written_out_asks_nobody() {
    let cases = [
        ("sip:192.0.2.1", "UDP 192.0.2.1:5060"),
        ("sip:192.0.2.1:5070;transport=tcp", "TCP 192.0.2.1:5070"),
        ("sips:192.0.2.1", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=tcp", "TLS 192.0.2.1:5061"),
        ("sip:192.0.2.1;transport=TLS", "TLS 192.0.2.1:5061"),
        ("sip:[2001:db8::1]:5062", "UDP [2001:db8::1]:5062"),
        (
            "sip:example.com;maddr=192.0.2.9;transport=udp",
            "UDP 192.0.2.9:5060",
        ),
        ("sip:a@192.0.2.1;transport=ws", "WS 192.0.2.1:80"),
        ("sips:a@192.0.2.1:7443;transport=ws", "WSS 192.0.2.1:7443"),
    ];
    for (uri, place) in cases {
        let (targets, asked) = Zone::default().find(uri);
        assert_eq!(targets.unwrap(), [place], "{uri}");
        assert!(asked.is_empty(), "{uri} asked {asked:?}");
    }
}

#[test]
fn a_port_means_the_host_itself_and_no_service_records() {
    let zone = Zone::default()
        .host("example.com", &["192.0.2.1", "2001:db8::1"])
        .srv(
            "_sip._udp.example.com",
            &[(1, 1, 5099, "other.example.com")],
        );
    let (targets, asked) = zone.find("sip:example.com:5080");
    assert_eq!(
        targets.unwrap(),
        ["UDP 192.0.2.1:5080", "UDP [2001:db8::1]:5080"]
    );
    assert_eq!(asked, [Question::Addresses("example.com".into())]);
}

#[test]
fn naptr_chooses_the_transport_and_srv_the_hosts() {
    let zone = Zone::default()
        .naptr(
            "example.com",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (10, 50, "SIP+D2S", "_sip._sctp.example.com"),
            ],
        )
        .srv(
            "_sips._tcp.example.com",
            &[(2, 0, 5061, "b.example.com"), (1, 0, 5071, "a.example.com")],
        )
        .srv("_sip._tcp.example.com", &[(1, 0, 5060, "a.example.com")])
        .host("a.example.com", &["192.0.2.1"])
        .host("b.example.com", &["192.0.2.2"]);
    let (targets, _) = zone.find("sip:example.com");
    assert_eq!(
        targets.unwrap(),
        [
            "TLS 192.0.2.1:5071",
            "TLS 192.0.2.2:5061",
            "TCP 192.0.2.1:5060"
        ]
    );
    // `sips:` takes only what is secured (RFC 3263 §4.1).
    let (targets, _) = zone.find("sips:example.com");
    assert_eq!(
        targets.unwrap(),
        ["TLS 192.0.2.1:5071", "TLS 192.0.2.2:5061"]
    );
}

#[test]
fn without_naptr_the_service_records_of_our_transports_are_asked_in_turn() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", &[(1, 0, 5062, "a.example.com")])
        .host("a.example.com", &["192.0.2.1"])
        .host("example.com", &["192.0.2.200"]);
    let (targets, asked) = zone.find("sip:example.com");
    assert_eq!(targets.unwrap(), ["TCP 192.0.2.1:5062"]);
    let names: Vec<_> = asked.iter().map(Question::name).collect();
    assert_eq!(
        names,
        [
            "example.com",
            "_sip._udp.example.com",
            "_sip._tcp.example.com",
            "a.example.com"
        ]
    );
}

#[test]
fn without_any_service_record_the_host_and_the_default_port() {
    let zone = Zone::default().host("example.com", &["192.0.2.1"]);
    let (targets, _) = zone.find("sip:example.com");
    assert_eq!(targets.unwrap(), ["UDP 192.0.2.1:5060"]);
    let (targets, asked) = zone.find("sip:example.com;transport=tls");
    assert_eq!(targets.unwrap(), ["TLS 192.0.2.1:5061"]);
    assert_eq!(asked[0], Question::Srv("_sips._tcp.example.com".into()));
    let (targets, _) = zone.find("sips:example.com");
    assert_eq!(targets.unwrap(), ["TLS 192.0.2.1:5061"]);
}

#[test]
fn a_service_that_is_not_offered_falls_back_to_the_next() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", &[(0, 0, 0, ".")])
        .srv("_sip._tcp.example.com", &[(0, 0, 5060, "a.example.com")])
        .host("a.example.com", &["192.0.2.1"]);
    let (targets, _) = zone.find("sip:example.com");
    assert_eq!(targets.unwrap(), ["TCP 192.0.2.1:5060"]);
}

#[test]
fn only_addresses_that_can_be_reached_are_targets() {
    let v4 = Ability {
        v6: false,
        ..both()
    };
    let zone = Zone::default().host("example.com", &["2001:db8::1", "192.0.2.1"]);
    let (targets, _) = zone.find_with("sip:example.com:5060", &v4, 1);
    assert_eq!(targets.unwrap(), ["UDP 192.0.2.1:5060"]);
    let zone = Zone::default().host("example.com", &["2001:db8::1"]);
    let (targets, _) = zone.find_with("sip:example.com:5060", &v4, 1);
    assert_eq!(targets, Err(LocateError::Nowhere("example.com".into())));
}

#[test]
fn a_silent_name_server_is_told_from_a_name_that_is_not_there() {
    let (targets, _) = Zone::default().find("sip:nobody.example.com");
    let nowhere = LocateError::Nowhere("nobody.example.com".into());
    assert_eq!(targets, Err(nowhere));
    let addresses = Question::Addresses("nobody.example.com".into());
    let (targets, _) = Zone::default()
        .fails(addresses)
        .find("sip:nobody.example.com:5060");
    let text = targets.unwrap_err().to_string();
    assert_eq!(text, "nobody.example.com: no answer");
}

#[test]
fn what_cannot_be_sent_to_is_refused_before_anything_is_asked() {
    for (uri, error) in [
        ("tel:+15550100", LocateError::NoHost),
        ("sip:example.com;transport=sctp", LocateError::Transport),
        ("sips:example.com;transport=udp", LocateError::Transport),
    ] {
        let (targets, asked) = Zone::default().find(uri);
        assert_eq!(targets, Err(error), "{uri}");
        assert!(asked.is_empty());
    }
}

#[test]
fn the_certificate_has_to_name_what_was_looked_for() {
    let wanted = Wanted::at("example.com")
        .unwrap()
        .over(Some(Transport::Tls));
    let mut search = Search::new(wanted, both(), 1);
    while let Some(question) = search.poll_question() {
        search.answer(match question {
            Question::Srv(_) => Answer::Srv(vec![srv(&(1, 1, 5061, "edge7.carrier.net"))]),
            Question::Addresses(_) => Answer::Addresses(vec![IpAddr::from([192, 0, 2, 1])]),
            Question::Naptr(_) => Answer::Nothing,
        });
    }
    let targets = search.targets().unwrap();
    assert_eq!(targets[0].name.to_string(), "example.com");
}

#[test]
fn weights_share_the_load_and_priorities_come_first() {
    let records: Vec<Srv> = [
        (1, 60, 1, "big"),
        (1, 20, 1, "small"),
        (1, 0, 1, "last"),
        (2, 100, 1, "spare"),
    ]
    .iter()
    .map(srv)
    .collect();
    let mut first: HashMap<String, u32> = HashMap::new();
    for seed in 0..8_000_u64 {
        let ordered = by_priority_and_weight(records.clone(), seed.wrapping_mul(0x5851_f42d));
        assert_eq!(ordered.len(), 4);
        assert_eq!(ordered[3].target, "spare");
        *first.entry(ordered[0].target.clone()).or_default() += 1;
    }
    let share = |name: &str| f64::from(first.get(name).copied().unwrap_or(0)) / 8_000.0;
    assert!((0.70..0.79).contains(&share("big")), "{first:?}");
    assert!((0.20..0.29).contains(&share("small")), "{first:?}");
    assert!(share("last") < 0.03 && share("last") > 0.0, "{first:?}");
}

/// Answers of an enemy: many records, and each leads on to more.
#[test]
fn a_hostile_zone_costs_a_bounded_number_of_questions() {
    let uri = Uri::parse(&Bytes::from_static(b"sip:evil.example.com")).unwrap();
    let mut search = Search::new(Wanted::of(&uri).unwrap(), both(), 7);
    let mut asked = 0;
    while let Some(question) = search.poll_question() {
        asked += 1;
        let endless = |n: u16| Naptr {
            order: n,
            preference: n,
            flags: "s".into(),
            services: "SIP+D2U".into(),
            replacement: format!("_sip._udp.{n}.example.com"),
        };
        search.answer(match question {
            Question::Naptr(_) => Answer::Naptr((0..1_000).map(endless).collect()),
            Question::Srv(name) => {
                let record = |n: u16| srv(&(n, n, n, &format!("{n}.{name}")));
                Answer::Srv((0..1_000).map(record).collect())
            }
            Question::Addresses(_) => Answer::Nothing,
        });
    }
    assert!(asked <= MAX_QUESTIONS, "{asked}");
    let many = Zone::default().host(
        "many.example.com",
        &(0..200)
            .map(|n| format!("192.0.2.{n}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let (targets, _) = many.find("sip:many.example.com:5060");
    assert_eq!(targets.unwrap().len(), MAX_TARGETS);
}
