//! The next hop against a name server on loopback: order, memory, time limits; and calls that go on to another place.

use sip_core::{
    locate::{Ability, Wanted},
    value::Uri,
};
use tokio::time::Instant;

use super::{
    names::{Names, Zone},
    *,
};

fn finder(names: &Names) -> NextHop {
    NextHop::new(&settings::Dns {
        servers: vec![names.addr],
    })
}

fn ability() -> Ability {
    Ability {
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        v4: true,
        v6: true,
    }
}

async fn find(finder: &NextHop, uri: &str) -> Result<Vec<String>, String> {
    let uri = Uri::parse(&uri.to_owned().into()).unwrap();
    let wanted = Wanted::of(&uri).unwrap();
    let targets = finder.find(wanted, &ability()).await?;
    Ok(targets.iter().map(ToString::to_string).collect())
}

fn carrier() -> Zone {
    Zone::new()
        .naptr("carrier.test", 10, "SIPS+D2T", "_sips._tcp.carrier.test")
        .naptr("carrier.test", 20, "SIP+D2U", "_sip._udp.carrier.test")
        .srv("_sips._tcp.carrier.test", (10, 0), ("a.carrier.test", 5061))
        .srv("_sips._tcp.carrier.test", (20, 0), ("b.carrier.test", 5071))
        .srv("_sip._udp.carrier.test", (10, 0), ("a.carrier.test", 5060))
        .host("a.carrier.test", "192.0.2.1")
        .host("a.carrier.test", "2001:db8::1")
        .host("b.carrier.test", "192.0.2.2")
}

#[tokio::test]
async fn naptr_srv_and_addresses_lead_to_ordered_places() {
    let names = carrier().serve().await;
    let finder = finder(&names);
    let places = find(&finder, "sip:carrier.test").await.unwrap();
    assert_eq!(
        places,
        [
            "TLS 192.0.2.1:5061",
            "TLS [2001:db8::1]:5061",
            "TLS 192.0.2.2:5071",
            "UDP 192.0.2.1:5060",
            "UDP [2001:db8::1]:5060",
        ]
    );
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_its_ttl_and_a_literal_address_asks_nobody() {
    let names = carrier().serve().await;
    let finder = finder(&names);
    find(&finder, "sip:carrier.test").await.unwrap();
    for _ in 0..5 {
        find(&finder, "sip:carrier.test").await.unwrap();
    }
    for name in [
        "carrier.test",
        "_sips._tcp.carrier.test",
        "_sip._udp.carrier.test",
    ] {
        assert_eq!(names.asked(name), 1, "{name} was remembered");
    }
    assert_eq!(
        names.asked("a.carrier.test"),
        2,
        "its A and its AAAA, once each"
    );
    let asked = names.total();
    find(&finder, "sip:192.0.2.9;transport=tcp").await.unwrap();
    assert_eq!(names.total(), asked, "an address is an address");
    let short = Zone::new().ttl(0).host("moves.test", "192.0.2.1");
    let names = short.serve().await;
    let finder = self::finder(&names);
    find(&finder, "sip:moves.test:5060").await.unwrap();
    let once = names.asked("moves.test");
    find(&finder, "sip:moves.test:5060").await.unwrap();
    assert_eq!(names.asked("moves.test"), 2 * once, "TTL 0 is asked anew");
}

#[tokio::test]
async fn what_has_just_failed_is_tried_last() {
    let names = carrier().serve().await;
    let finder = finder(&names);
    finder.failed_at(Transport::Tls, "192.0.2.1:5061".parse().unwrap());
    let places = find(&finder, "sips:carrier.test").await.unwrap();
    assert_eq!(
        places,
        [
            "TLS [2001:db8::1]:5061",
            "TLS 192.0.2.2:5071",
            "TLS 192.0.2.1:5061"
        ]
    );
}

#[tokio::test]
async fn a_name_without_an_address_and_a_silent_server_are_told_apart_and_bounded() {
    let names = Zone::new().mute("silent.test").serve().await;
    let finder = finder(&names);
    let nowhere = find(&finder, "sip:nobody.test:5060").await.unwrap_err();
    assert_eq!(nowhere, "dns: nobody.test has no address");
    let began = Instant::now();
    let silent = find(&finder, "sip:silent.test:5060").await.unwrap_err();
    assert!(silent.starts_with("dns: silent.test"), "{silent}");
    assert!(began.elapsed() < Duration::from_secs(15), "it is bounded");
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let finder = NextHop::new(&settings::Dns {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
    });
    let places = find(&finder, "sip:localhost").await.unwrap();
    assert!(
        places.contains(&"UDP 127.0.0.1:5060".to_owned()),
        "{places:?}"
    );
}

/// RFC 3263 §4.3 on the wire: nobody takes TCP at the first place, the second says nothing, the third takes the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_past_a_dead_and_a_silent_place_to_the_one_that_answers() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let plan = r#"
context = "internal"

[[route]]
name = "out"
when = { to = "out" }
do = [{ bridge = { to = "sip:echo@carrier.test", ring_for = "20s" } }]

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;
    let site = Site::new("", Some(plan));
    let names = Zone::new()
        .naptr("carrier.test", 10, "SIP+D2T", "_sip._tcp.carrier.test")
        .naptr("carrier.test", 20, "SIP+D2U", "_sip._udp.carrier.test")
        .srv(
            "_sip._tcp.carrier.test",
            (1, 0),
            ("a.carrier.test", rig::free_port()),
        )
        .srv(
            "_sip._udp.carrier.test",
            (1, 0),
            ("a.carrier.test", silent.local_addr().unwrap().port()),
        )
        .srv(
            "_sip._udp.carrier.test",
            (2, 0),
            ("a.carrier.test", site.sip.port()),
        )
        .host("a.carrier.test", "127.0.0.1")
        .serve()
        .await;
    let config = std::fs::read_to_string(site.config()).unwrap();
    let config = format!("{config}\n[dns]\nservers = [\"{}\"]\n", names.addr);
    std::fs::write(site.config(), config).unwrap();
    let node = site.start().await;
    let phone = site.phone("out", &["--step", "wait:1s", "--seconds", "8"]);
    let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    let office = site.office();
    let record = office.ended(&summary["sip_call_id"]).await;
    assert_eq!(
        office.facts(&record, "bridged").await.len(),
        1,
        "{record:#}"
    );
    let mut buffer = vec![0; 4_096];
    let length = timeout(LIMIT, silent.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let first = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(first.starts_with("INVITE sip:echo@carrier.test"), "{first}");
    // The same call, to whom the record shows: one Call-ID for all places (RFC 3263 §4.3).
    let id = first
        .lines()
        .find_map(|line| line.strip_prefix("Call-ID: "))
        .unwrap();
    let theirs = office.ended(&serde_json::json!(id)).await;
    assert_eq!(theirs["direction"], "inbound", "{theirs:#}");
    node.stop().await;
}
