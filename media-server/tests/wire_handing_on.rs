//! Phones of ours hand calls on: blindly, after a word with whom they hand on to, and one takes the place of another. Each told by
//! phones made of bytes, with what both who are left truly hear, and what each record says.

#[path = "rig/carrier.rs"]
mod carrier;
#[path = "rig/phone.rs"]
mod phone;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/talker.rs"]
mod talker;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use carrier::{Caller, Far, Manner, status};
use egress::Request;
use media_server::node::NodeHandle;
use phone::{DOMAIN, PASSWORD, Phone, Talk};
use rig::{Office, Site};
use serde_json::{Value, json};
use talker::Talker;

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "phones"
when = { to = '(?<ext>10\d\d)' }
do = [{ bridge = { to = "user/{to.ext}", ring_for = "40s" } }]

[[route]]
name = "out"
when = { to = '(?<n>\+.*)' }
do = [{ bridge = "trunk/carrier/{to.n}" }]
"#;

const PUBLIC: &str = "context = \"public\"\n\n[[route]]\nname = \"desk\"\nwhen = { to = \"desk\" }\n\
                      do = [{ bridge = \"user/1001\" }]\n";

/// Where callers from outside are.
const OUTSIDE: &str = "127.0.0.5";

/// A server with phones that have passwords, and a carrier.
struct Floor {
    site: Site,
    node: NodeHandle,
    office: Office,
    /// The carrier's side.
    outside: SocketAddr,
    carrier: Far,
}

impl Floor {
    async fn open(carrier: Manner) -> Self {
        let carrier = Far::at("127.0.0.3", carrier);
        let rules = "[outbound]\nprefixes = [\"+33\"]\ncountry = \"FR\"\nemergency = \"reject\"\n";
        let site = Site::new(rules, Some(PLAN));
        let (sip, first) = (site.sip, site.first_rtp);
        let outside = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
        site.write(
            "profiles/internal.toml",
            &format!(
                "listen = [\"udp://{sip}\"]\ncontext = \"internal\"\nauth = \"digest\"\ncodecs = [\"PCMU\"]\n\
                 rtp = {{ ports = \"{first}-{}\" }}\n",
                first + 199
            ),
        );
        site.write("dialplans/public.toml", PUBLIC);
        site.write(
            "profiles/external.toml",
            &format!(
                "listen = [\"udp://{outside}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
                 rtp = {{ ports = \"{}-{}\" }}\n\n{}{}",
                first + 200,
                first + 399,
                trunk("carrier", "", &carrier),
                trunk("theirs", "tenant = \"demo\"\n", &carrier),
            ),
        );
        let node = site.start().await;
        let office = site.office();
        let floor = Self {
            site,
            node,
            office,
            outside,
            carrier,
        };
        floor.extensions().await;
        floor
    }

    async fn extensions(&self) {
        let tenants = self.office.get("/v1/tenants").await;
        let tenant = tenants["data"][0]["id"].as_str().unwrap().to_owned();
        let domain = json!({"name": DOMAIN});
        let domain = self
            .office
            .post_for(&tenant, "/v1/sip-domains", &domain)
            .await;
        for user in ["1001", "1002", "1003", "1004"] {
            let body = json!({ "domain_id": domain["id"], "user": user, "password": PASSWORD });
            self.office.post_for(&tenant, "/v1/extensions", &body).await;
        }
        let policy =
            json!({ "outbound": { "prefixes": ["+33"], "country": "FR", "emergency": "reject" } });
        let url = format!("{}/v1/tenants/{tenant}", self.office.base);
        self.office.send(Request::patch(url).json(&policy)).await;
        let tenant = tenant.parse().unwrap();
        let services = &self.node.services;
        until("the switch knows all that", || {
            services.registrar.directory().knows("1004@127.0.0.1")
                && !services.dialing(Some(tenant)).prefixes.is_empty()
        })
        .await;
    }

    fn phone(&self, user: &'static str, voice: &Talker) -> Phone {
        Phone::register(self.site.sip, user, voice.port, true)
    }

    /// All records, once so many calls are over and nothing is left.
    async fn records(&self, count: usize) -> Vec<Value> {
        until("every call is over", || self.node.services.calls.is_empty()).await;
        assert_eq!(self.node.services.rooms.count(), (0, 0));
        let told = |call: &Value| call["state"] == "ended" && call["provisional"] == false;
        let calls = self.office.calls(count, told).await;
        for call in &calls {
            assert_eq!(self.office.facts(call, "ended").await.len(), 1, "{call:#}");
        }
        calls
    }

    /// The record of one call.
    async fn record(&self, talk: &Talk, reason: &str) -> Value {
        let record = self.office.ended(&json!(talk.call_id)).await;
        assert_eq!(record["end_reason"], reason, "{record:#}");
        record
    }

    /// Whom a call was handed on to, and how.
    async fn handed(&self, record: &Value) -> Vec<(String, String)> {
        let facts = self.office.facts(record, "transferred").await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pair = |fact: &Value| (text(&fact["target"]), text(&fact["mode"]));
        facts.iter().map(pair).collect()
    }
}

fn trunk(name: &str, more: &str, far: &Far) -> String {
    format!(
        "[[trunk]]\nname = \"{name}\"\n{more}sources = [\"{}/32\"]\nproxy = \"{}\"\ncaller = \"+33100000008\"\n",
        if more.is_empty() {
            OUTSIDE
        } else {
            "127.0.0.6"
        },
        far.at
    )
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// 400 ms of a sine.
fn tone(hz: f64) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / 8_000.0;
    let one = |at: u32| ((f64::from(at) * step).sin() * 8_000.0) as i16;
    (0..3_200).map(one).collect()
}

/// How much of 40 ms lies at this frequency, the best of all (Goertzel).
fn share(pcm: &[i16], hz: f64) -> f64 {
    let omega = std::f64::consts::TAU * hz / 8_000.0;
    let best = pcm.chunks_exact(320).map(|block| {
        let power: f64 = block.iter().map(|s| f64::from(*s).powi(2)).sum();
        let (mut re, mut im) = (0.0, 0.0);
        for (at, sample) in block.iter().enumerate() {
            re += f64::from(*sample) * (omega * at as f64).cos();
            im += f64::from(*sample) * (omega * at as f64).sin();
        }
        match power < 320.0 * 200.0_f64.powi(2) {
            true => 0.0,
            false => 2.0 * (re * re + im * im) / (320.0 * power),
        }
    });
    best.fold(0.0, f64::max)
}

/// Each speaks a tone of its own, again and again, until the other hears it. What was heard before has other tones.
fn hear_each_other((one, hz): (&Talker, f64), (another, other_hz): (&Talker, f64)) {
    let until = Instant::now() + Duration::from_secs(60);
    let heard = || {
        (
            share(&another.sound(), hz) > 0.8,
            share(&one.sound(), other_hz) > 0.8,
        )
    };
    while heard() != (true, true) {
        assert!(
            Instant::now() < until,
            "{hz} Hz, {other_hz} Hz: {:?}",
            heard()
        );
        one.say(tone(hz));
        another.say(tone(other_hz));
        std::thread::sleep(Duration::from_millis(400));
    }
}

fn refer_to(user: &str, server: SocketAddr, replaces: Option<&Talk>) -> String {
    let more = replaces.map(|talk| {
        let escaped = talk.replaces().replace(';', "%3B").replace('=', "%3D");
        format!("?Replaces={}", escaped.replace('@', "%40"))
    });
    let more = more.unwrap_or_default();
    format!("Refer-To: <sip:{user}@{server}{more}>\r\nReferred-By: <sip:1001@{DOMAIN}>\r\n")
}

/// Blocking phones beside the runtime.
async fn told<T: Send + 'static>(story: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(story).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_joins_its_two_calls_and_who_is_left_hear_each_other() {
    let floor = Floor::open(Manner::Silent).await;
    let (hand, bob, carol) = (Talker::start(), Talker::start(), Talker::start());
    let (a, b, c) = (
        floor.phone("1001", &hand),
        floor.phone("1002", &bob),
        floor.phone("1003", &carol),
    );
    let server = floor.site.sip;
    let (first, second, b) = told(move || {
        let (first, second) = (a.calls("1002"), a.calls("1003"));
        let said = a.asks(&first, "REFER", &refer_to("1003", server, Some(&second)));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(a.news(&first, 2), [100, 200]);
        a.is_left(&first);
        a.is_left(&second);
        hear_each_other((&bob, 700.0), (&carol, 1_100.0));
        let to_b = b.was_called(1);
        let bye = b.asks(&to_b, "BYE", "");
        assert_eq!(status(&bye), 200, "{bye}");
        c.is_left(&c.was_called(1));
        (first, second, b)
    })
    .await;
    assert_eq!(
        b.heard("BYE ").len(),
        0,
        "whoever hung up is not hung up on"
    );
    assert_eq!(floor.records(2).await.len(), 2);
    for (talk, to) in [(first, "user/1003"), (second, "user/1002")] {
        let record = floor.record(&talk, "transferred").await;
        let attended = (to.to_owned(), "attended".to_owned());
        assert_eq!(floor.handed(&record).await, [attended], "{record:#}");
    }
    floor.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_was_called_asks_somebody_else_and_hands_its_caller_over() {
    let floor = Floor::open(Manner::Silent).await;
    let (hand, bob, carol) = (Talker::start(), Talker::start(), Talker::start());
    let (a, b, c) = (
        floor.phone("1001", &hand),
        floor.phone("1002", &bob),
        floor.phone("1003", &carol),
    );
    let server = floor.site.sip;
    let (first, second) = told(move || {
        let first = b.calls("1001");
        let at_a = a.was_called(1);
        let second = a.calls("1003");
        // Somebody else's call cannot be joined, nor one that is not there.
        let foreign = a.asks(&at_a, "REFER", &refer_to("1003", server, Some(&first)));
        assert_eq!(status(&foreign), 202);
        assert_eq!(a.news(&at_a, 2), [100, 481]);
        let said = a.asks(&at_a, "REFER", &refer_to("1003", server, Some(&second)));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(a.news(&at_a, 4)[2..], [100, 200]);
        a.is_left(&at_a);
        a.is_left(&second);
        hear_each_other((&bob, 700.0), (&carol, 1_100.0));
        // Whom the caller was handed to hands him on: nobody is lost.
        let at_c = c.was_called(1);
        assert_eq!(status(&c.asks(&at_c, "BYE", "")), 200);
        b.is_left(&first);
        (first, second)
    })
    .await;
    assert_eq!(floor.records(2).await.len(), 2);
    let record = floor.record(&first, "bridge_ended").await;
    let attended = ("user/1003".to_owned(), "attended".to_owned());
    assert_eq!(floor.handed(&record).await, [attended]);
    floor.record(&second, "transferred").await;
    floor.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_hands_on_blindly_and_what_comes_to_nothing_leaves_the_call_as_it_is() {
    let floor = Floor::open(Manner::Refuses(486, String::new())).await;
    let (hand, bob, carol) = (Talker::start(), Talker::start(), Talker::start());
    let (a, b, c) = (
        floor.phone("1001", &hand),
        floor.phone("1002", &bob),
        floor.phone("1003", &carol),
    );
    let (server, outside) = (floor.site.sip, floor.outside);
    let first = told(move || {
        let first = a.calls("1002");
        // Nobody may be called who no rule allows, by no spelling.
        for to in ["+49301234567", "112", "trunk%2Fcarrier%2F+33199000001"] {
            let said = a.asks(&first, "REFER", &refer_to(to, server, None));
            assert!([403, 603].contains(&status(&said)), "{to}: {said}");
        }
        let elsewhere = SocketAddr::from(([127, 0, 0, 9], outside.port()));
        let said = a.asks(&first, "REFER", &refer_to("x;method=BYE", elsewhere, None));
        assert_eq!(status(&said), 603, "{said}");
        // Known and not there; a number that is busy.
        for (to, outcome) in [("1004", 480), ("+33199000001", 486)] {
            let before = a.heard("NOTIFY ").len();
            let said = a.asks(&first, "REFER", &refer_to(to, server, None));
            assert_eq!(status(&said), 202, "{to}: {said}");
            assert_eq!(a.news(&first, before + 2)[before..], [100, outcome], "{to}");
        }
        assert!(a.heard("BYE ").is_empty() && b.heard("BYE ").is_empty());
        let before = a.heard("NOTIFY ").len();
        let said = a.asks(&first, "REFER", &refer_to("1003", server, None));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(a.news(&first, before + 3)[before..], [100, 180, 200]);
        a.is_left(&first);
        let invite = c.hears("INVITE ", 1);
        assert!(
            invite.contains("sip:1002@"),
            "who is left is shown: {invite}"
        );
        assert!(invite.contains("Referred-By: <sip:1001@"), "{invite}");
        hear_each_other((&bob, 700.0), (&carol, 1_100.0));
        // Whom it was handed to hands it on, back to the first.
        let at_c = c.was_called(1);
        let said = c.asks(&at_c, "REFER", &refer_to("1001", server, None));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(c.news(&at_c, 3), [100, 180, 200]);
        c.is_left(&at_c);
        hear_each_other((&hand, 900.0), (&bob, 1_500.0));
        let bye = b.asks(&b.was_called(1), "BYE", "");
        assert_eq!(status(&bye), 200);
        a.is_left(&a.was_called(1));
        first
    })
    .await;
    // The first, and one for everybody who was called for it.
    let records = floor.records(5).await;
    assert_eq!(records.len(), 5, "{records:#?}");
    let record = floor.record(&first, "transferred").await;
    let blind = ("user/1003".to_owned(), "blind".to_owned());
    assert_eq!(floor.handed(&record).await, [blind]);
    let mut reasons: Vec<&str> = records
        .iter()
        .filter_map(|call| call["end_reason"].as_str())
        .collect();
    reasons.sort_unstable();
    let expected = [
        "bridge_ended",
        "busy",
        "transferred",
        "transferred",
        "unavailable",
    ];
    assert_eq!(reasons, expected);
    floor.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_does_not_wait_for_the_outcome_leaves_its_partner_to_whom_it_named() {
    let floor = Floor::open(Manner::Silent).await;
    let (hand, bob, carol) = (Talker::start(), Talker::start(), Talker::start());
    let (a, b) = (floor.phone("1001", &hand), floor.phone("1002", &bob));
    let c = Phone::register(floor.site.sip, "1003", carol.port, false);
    let server = floor.site.sip;
    let first = told(move || {
        let first = a.calls("1002");
        let said = a.asks(&first, "REFER", &refer_to("1003", server, None));
        assert_eq!(status(&said), 202, "{said}");
        c.hears("INVITE ", 1);
        assert_eq!(status(&a.asks(&first, "BYE", "")), 200);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            b.heard("BYE ").is_empty(),
            "it waits for whom it was handed to"
        );
        // Who is left gives up: nobody rings any more.
        let at_b = b.was_called(1);
        assert_eq!(status(&b.asks(&at_b, "BYE", "")), 200);
        c.hears("CANCEL ", 1);
        first
    })
    .await;
    assert_eq!(floor.records(2).await.len(), 2);
    floor.record(&first, "transferred").await;
    floor.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_takes_the_place_of_another_one_that_talks_or_that_rings() {
    let floor = Floor::open(Manner::Silent).await;
    let (hand, bob, carol) = (Talker::start(), Talker::start(), Talker::start());
    let (a, b, c) = (
        floor.phone("1001", &hand),
        floor.phone("1002", &bob),
        floor.phone("1003", &carol),
    );
    let rings = Phone::register(floor.site.sip, "1004", 40_000, false);
    let outside = floor.outside;
    let (first, taken) = told(move || {
        let first = a.calls("1002");
        let replaces = |talk: &Talk, more: &str| format!("Replaces: {}{more}\r\n", talk.replaces());
        let (said, _) = c.invites("1001", "Replaces: nobody@x;to-tag=1;from-tag=2\r\n");
        assert_eq!(status(&said), 481, "{said}");
        let (said, _) = c.invites("1001", &replaces(&first, ";early-only"));
        assert_eq!(status(&said), 486, "{said}");
        let mut stranger = Caller::invite_from(OUTSIDE, outside, "desk", &replaces(&first, ""));
        let said = stranger.outcome();
        assert_eq!(status(&said), 403, "{said}");
        let (said, taken) = c.invites("1001", &replaces(&first, ""));
        assert_eq!(status(&said), 200, "{said}");
        a.is_left(&first);
        hear_each_other((&bob, 700.0), (&carol, 1_100.0));
        assert_eq!(status(&c.asks(&taken, "BYE", "")), 200);
        b.is_left(&b.was_called(1));
        // A phone that rings, and somebody else picks up.
        let caller = std::thread::spawn(move || (b.calls("1004"), b));
        rings.hears("INVITE ", 1);
        let ringing = rings.was_called(1);
        let (said, picked) = c.invites("1004", &replaces(&ringing, ";early-only"));
        assert_eq!(status(&said), 200, "{said}");
        rings.hears("CANCEL ", 1);
        let (talk, b) = caller.join().unwrap();
        hear_each_other((&bob, 900.0), (&carol, 1_500.0));
        assert_eq!(status(&b.asks(&talk, "BYE", "")), 200);
        c.is_left(&picked);
        (first, taken)
    })
    .await;
    let record = floor.record(&first, "transferred").await;
    let replaced = ("1003".to_owned(), "replaced".to_owned());
    assert_eq!(floor.handed(&record).await, [replaced]);
    floor.record(&taken, "caller_hangup").await;
    // Three whose INVITE was refused, two and two who talked.
    assert_eq!(floor.records(7).await.len(), 7);
    floor.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_from_outside_is_handed_to_our_phones_and_never_out_again() {
    let floor = Floor::open(Manner::Answers).await;
    let hand = Talker::start();
    let (a, c) = (floor.phone("1001", &hand), floor.phone("1003", &hand));
    let (server, outside) = (floor.site.sip, floor.outside);
    let second = told(move || {
        let mut x = Caller::invite_from(OUTSIDE, outside, "desk", "");
        let said = x.outcome();
        assert_eq!(status(&said), 200, "{said}");
        let at_a = a.was_called(1);
        let said = a.asks(&at_a, "REFER", &refer_to("+33199000001", server, None));
        assert_eq!(status(&said), 403, "{said}");
        // Also not by way of a call that the phone itself may make.
        let second = a.calls("+33199000002");
        let said = a.asks(&at_a, "REFER", &refer_to("x", server, Some(&second)));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(a.news(&at_a, 2), [100, 403]);
        assert!(a.heard("BYE ").is_empty(), "both calls go on");
        let said = a.asks(&at_a, "REFER", &refer_to("1003", server, None));
        assert_eq!(status(&said), 202, "{said}");
        assert_eq!(a.news(&at_a, 5)[2..], [100, 180, 200]);
        a.is_left(&at_a);
        // Nor by the one after.
        let at_c = c.was_called(1);
        let said = c.asks(&at_c, "REFER", &refer_to("+33199000003", server, None));
        assert_eq!(status(&said), 403, "{said}");
        assert_eq!(status(&c.asks(&at_c, "BYE", "")), 200);
        x.is_hung_up();
        assert_eq!(status(&a.asks(&second, "BYE", "")), 200);
        second
    })
    .await;
    floor.record(&second, "caller_hangup").await;
    let invites = floor.carrier.invites();
    assert_eq!(invites.len(), 1, "{invites:#?}");
    assert!(invites[0].contains("+33199000002"), "{invites:#?}");
    assert_eq!(floor.records(3).await.len(), 3);
    floor.node.stop().await;
}
