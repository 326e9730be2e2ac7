//! Calls over trunks that the office orders, and calls between our own phones: how trunks are paced,
//! which is next, what a challenge gets, and which phones ring.

#[path = "rig/carrier.rs"]
mod carrier;
#[path = "rig/phone.rs"]
mod phone;
#[path = "rig/node.rs"]
mod rig;

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use carrier::{Caller, Far, Manner, header, status};
use egress::Request;
use media_server::node::NodeHandle;
use model::snapshot::TenantLimits;
use phone::{DOMAIN, credentials};
use rig::{Office, Site};
use serde_json::{Value, json};

/// A server whose demo tenant has trunks and may call France.
struct Desk {
    site: Site,
    node: NodeHandle,
    office: Office,
    tenant: String,
    agent: String,
}

impl Desk {
    async fn open(trunks: &str) -> Self {
        Self::open_with(trunks, None).await
    }

    async fn open_with(trunks: &str, plan: Option<&str>) -> Self {
        let site = Site::new("", plan);
        site.internal("", 400, trunks);
        let node = site.start().await;
        let office = site.office();
        let tenants = office.get("/v1/tenants").await;
        let agents = office.get("/v1/agents").await;
        let id = |list: &Value| list["data"][0]["id"].as_str().unwrap().to_owned();
        let desk = Self {
            tenant: id(&tenants),
            agent: id(&agents),
            node,
            office,
            site,
        };
        desk.allow().await;
        desk
    }

    /// The office allows it, and the switch knows.
    async fn allow(&self) {
        let policy =
            json!({ "outbound": { "prefixes": ["+33"], "country": "FR", "emergency": "reject" } });
        let url = format!("{}/v1/tenants/{}", self.office.base, self.tenant);
        let changed = self.office.send(Request::patch(url).json(&policy)).await;
        assert_eq!(changed["outbound"]["prefixes"][0], "+33", "{changed:#}");
        let tenant = self.tenant.parse().unwrap();
        until("the switch knows the rules", || {
            !self.node.services.dialing(Some(tenant)).prefixes.is_empty()
        })
        .await;
    }

    /// The tenant may have so much and no more, and the switch knows.
    async fn limit(&self, limits: Value) {
        let url = format!("{}/v1/tenants/{}", self.office.base, self.tenant);
        let body = json!({ "limits": limits });
        let changed = self.office.send(Request::patch(url).json(&body)).await;
        let wanted: TenantLimits = serde_json::from_value(changed["limits"].clone()).unwrap();
        until("the switch knows the limits", || {
            let snapshot = self.node.services.snapshots.current();
            snapshot.tenants.iter().any(|one| one.limits == wanted)
        })
        .await;
    }

    fn refused(&self, why: &str) -> u64 {
        let refused = &self.node.services.metrics.refused;
        refused.with_label_values(&["internal", why]).get()
    }

    async fn dial(&self, to: &str) -> String {
        let order = json!({ "to": to, "agent_id": self.agent });
        let call = self
            .office
            .post_for(&self.tenant, "/v1/calls", &order)
            .await;
        let id = call["id"].as_str();
        id.unwrap_or_else(|| panic!("{call:#}")).to_owned()
    }

    async fn record(&self, id: &str) -> Value {
        // Until the switch's own word is there.
        let told = |call: &Value| call["state"] == "ended" && call["provisional"] == false;
        let mine = |call: &Value| call["id"] == id && told(call);
        let call = self.office.calls(1, mine).await.pop();
        call.unwrap_or_else(|| panic!("{id} has not ended"))
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn trunk(name: &str, far: &Far, more: &str) -> String {
    format!(
        "[[trunk]]\nname = \"{name}\"\ntenant = \"demo\"\nproxy = \"{}\"\ncaller = \"+33100000008\"\n{more}\n",
        far.at
    )
}

fn busy() -> Manner {
    Manner::Refuses(486, String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_takes_one_call_a_second_gets_one_a_second() {
    let far = Far::new(busy());
    let desk = Desk::open(&trunk("slow", &far, "pace = { cps = 1 }")).await;
    let calls = [
        desk.dial("trunk/slow/+33199000001").await,
        desk.dial("trunk/slow/+33199000002").await,
        desk.dial("trunk/slow/+33199000003").await,
    ];
    for id in calls {
        let call = desk.record(&id).await;
        assert_eq!(call["end_reason"], "busy", "{call:#}");
    }
    let times: Vec<Instant> = far.got("INVITE ").into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 3);
    for pair in times.windows(2) {
        // What the machine adds comes to both ends of a gap: it may look shorter by that.
        assert!(pair[1] - pair[0] >= Duration::from_millis(700), "{times:?}");
    }
    assert!(
        times[2] - times[0] >= Duration::from_millis(1_700),
        "{times:?}"
    );
    desk.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_trunk_is_tried_when_one_is_out_of_order_or_taken_and_never_after_a_no() {
    let broken = Far::new(Manner::Refuses(503, String::new()));
    let good = Far::new(busy());
    let last = Far::new(busy());
    let trunks = trunk("one", &broken, "priority = 1")
        + &trunk("two", &good, "priority = 2")
        + &trunk("three", &last, "priority = 3");
    let desk = Desk::open(&trunks).await;
    let id = desk.dial("+33199000001").await;
    let call = desk.record(&id).await;
    assert_eq!(call["end_reason"], "busy", "{call:#}");
    let counts = [&broken, &good, &last].map(|far| far.invites().len());
    assert_eq!(counts, [1, 1, 0], "a busy number is busy everywhere");
    desk.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_with_all_its_calls_taken_says_so_and_the_next_order_waits_for_nobody() {
    let far = Far::new(Manner::Rings);
    let desk = Desk::open(&trunk("one", &far, "pace = { calls = 1 }")).await;
    let rings = desk.dial("+33199000001").await;
    let _ = far.hears("INVITE ", 1).await;
    let refused = desk.dial("+33199000002").await;
    let call = desk.record(&refused).await;
    assert_eq!(
        (&call["end_reason"], &call["sip"]["code"]),
        (&json!("capacity"), &json!(503)),
        "{call:#}"
    );
    let path = format!("/v1/calls/{rings}/hangup");
    desk.office.post(&path, &json!({})).await;
    let call = desk.record(&rings).await;
    assert_eq!(call["end_reason"], "operator_hangup", "{call:#}");
    until("its place is free again", || {
        desk.node.services.calls.is_empty()
    })
    .await;
    let again = desk.dial("+33199000003").await;
    let invite = far.hears("INVITE ", 2).await;
    assert!(invite.contains("+33199000003"), "{invite}");
    let path = format!("/v1/calls/{again}/hangup");
    desk.office.post(&path, &json!({})).await;
    desk.record(&again).await;
    desk.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_of_the_trunk_is_answered_with_its_password_and_a_stranger_s_is_not() {
    let ask = |realm: &str| {
        let line = format!(
            "Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n"
        );
        Far::new(Manner::Refuses(407, line))
    };
    let (own, foreign) = (ask("carrier.example"), ask("somebody.else"));
    let login = "username = \"us\"\npassword = \"secret\"\nrealm = \"carrier.example\"";
    let trunks = trunk("own", &own, login) + &trunk("foreign", &foreign, login);
    let desk = Desk::open(&trunks).await;
    for (name, far, times) in [("own", &own, 2), ("foreign", &foreign, 1)] {
        let id = desk.dial(&format!("trunk/{name}/+33199000001")).await;
        let call = desk.record(&id).await;
        assert_eq!(call["end_reason"], "auth_failed", "{call:#}");
        assert_eq!(far.invites().len(), times, "{name}: {:#?}", far.invites());
    }
    let invites = own.invites();
    let given = header(&invites[1], "Proxy-Authorization").unwrap();
    for part in [
        "username=\"us\"",
        "realm=\"carrier.example\"",
        "nonce=\"n1\"",
        "nc=00000001",
    ] {
        assert!(given.contains(part), "{part}: {given}");
    }
    let cseq = |text: &str| {
        let number = header(text, "CSeq").unwrap().split(' ').next().unwrap();
        number.parse::<u32>().unwrap()
    };
    assert_eq!(cseq(&invites[1]), cseq(&invites[0]) + 1);
    let from = header(&invites[1], "From").unwrap();
    assert!(
        from.contains("sip:+1555") || from.contains("sip:+33100000008@"),
        "{from}"
    );
    desk.node.stop().await;
}

/// A server whose phones have passwords, and call each other by their extensions.
async fn phones() -> (Site, NodeHandle) {
    let plan = "context = \"internal\"\n\n[[route]]\nname = \"desk\"\nwhen = { to = '(?<ext>10\\d\\d)' }\n\
                do = [{ bridge = { to = \"user/{to.ext}\", ring_for = \"20s\" } }]\n";
    let site = Site::new("", Some(plan));
    let (sip, first) = (site.sip, site.first_rtp);
    site.write(
        "profiles/internal.toml",
        &format!(
            "listen = [\"udp://{sip}\"]\ncontext = \"internal\"\nauth = \"digest\"\ncodecs = [\"PCMU\"]\n\
             rtp = {{ ports = \"{first}-{}\" }}\n",
            first + 399
        ),
    );
    let node = site.start().await;
    let office = site.office();
    let tenants = office.get("/v1/tenants").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap().to_owned();
    let domain = office
        .post_for(&tenant, "/v1/sip-domains", &json!({"name": DOMAIN}))
        .await;
    for user in ["1001", "1002", "1003"] {
        let body = json!({ "domain_id": domain["id"], "user": user, "password": "secret-of-it" });
        office.post_for(&tenant, "/v1/extensions", &body).await;
    }
    let known = || node.services.registrar.directory().knows("1003@127.0.0.1");
    until("the switch knows the extensions", known).await;
    (site, node)
}

/// A phone registers and then does this with calls.
fn registered(server: SocketAddr, user: &str, manner: Manner) -> Far {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let us = socket.local_addr().unwrap();
    let mut given = String::new();
    for cseq in 1..=2 {
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKreg{cseq};rport\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=t\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {us}\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{us}>\r\nMax-Forwards: 70\r\nExpires: 300\r\n\
             {given}Content-Length: 0\r\n\r\n"
        );
        socket.send_to(text.as_bytes(), server).unwrap();
        let mut buffer = [0; 4_096];
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if cseq == 2 {
            assert_eq!(status(&answer), 200, "{answer}");
        } else {
            given = credentials(&answer, user, "REGISTER", &format!("sip:{DOMAIN}"));
        }
    }
    Far::on(socket, manner)
}

/// Calls with the password of `user`.
fn calls(server: SocketAddr, user: &'static str, to: &'static str) -> (Caller, String) {
    let mut caller = Caller::invite(server, to, "");
    let challenge = caller.outcome();
    assert_eq!(status(&challenge), 401, "{challenge}");
    let uri = format!("sip:{to}@{server}");
    let given = credentials(&challenge, user, "INVITE", &uri);
    caller.again(&given);
    let said = caller.outcome();
    (caller, said)
}

/// It stops ringing and has missed nothing (RFC 3326 §2).
async fn is_taken_elsewhere(far: &Far) {
    let cancel = far.hears("CANCEL ", 1).await;
    let why = header(&cancel, "Reason").unwrap_or_default();
    assert!(why.starts_with("SIP;cause=200"), "{cancel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_call_each_other_all_of_an_extension_ring_and_one_has_the_call() {
    let (site, node) = phones().await;
    let server = site.sip;
    let ringing = registered(server, "1001", Manner::Rings);
    let answering = registered(server, "1001", Manner::Answers);
    let call = tokio::task::spawn_blocking(move || calls(server, "1002", "1001"));
    let (mut caller, said) = call.await.unwrap();
    assert_eq!(status(&said), 200, "{said}");
    for far in [&ringing, &answering] {
        let invite = far.hears("INVITE ", 1).await;
        assert!(
            invite.starts_with(&format!("INVITE sip:1001@{} ", far.at)),
            "{invite}"
        );
        assert!(
            header(&invite, "To")
                .unwrap()
                .contains("sip:1001@127.0.0.1"),
            "{invite}"
        );
        assert!(
            header(&invite, "From")
                .unwrap()
                .contains("sip:1002@127.0.0.1"),
            "{invite}"
        );
    }
    is_taken_elsewhere(&ringing).await;
    let _ = tokio::task::spawn_blocking(move || caller.hangs_up(&said)).await;
    answering.hears("BYE ", 1).await;
    // Known, and nobody there; and nobody of this name.
    for (to, wanted) in [("1003", 480), ("1099", 404)] {
        let call = tokio::task::spawn_blocking(move || calls(server, "1002", to));
        let (_, said) = call.await.unwrap();
        assert_eq!(status(&said), wanted, "{to}: {said}");
    }
    until("every call is over", || node.services.calls.is_empty()).await;
    node.stop().await;
}

/// The tenant's number; everybody else is at `echo`.
const OURS: &str = r#"
context = "internal"

[[route]]
name = "ours"
when = { number = "+15550100" }
do = ["answer", "echo"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_tenants_limits_its_callers_get_503_and_its_orders_wait_or_end() {
    let far = Far::new(busy());
    let near = "[[trunk]]\nname = \"near\"\ntenant = \"demo\"\nsources = [\"127.0.0.1/32\"]\n";
    let trunks = near.to_owned() + &trunk("far", &far, "");
    let desk = Desk::open_with(&trunks, Some(OURS)).await;
    let sip = desk.site.sip;
    let number = "+15550100";

    // Calls at the same time, in and out.
    desk.limit(json!({ "calls": 2 })).await;
    let mut held = [(); 2].map(|()| Caller::invite(sip, number, ""));
    let answers = held.each_mut().map(Caller::outcome);
    assert!(answers.iter().all(|answer| status(answer) == 200));
    let refused = Caller::invite(sip, number, "").outcome();
    assert_eq!(status(&refused), 503, "{refused}");
    let wait = header(&refused, "Retry-After").expect("when to come again");
    assert!(
        (1..=10).contains(&wait.parse::<u32>().unwrap()),
        "{refused}"
    );
    assert_eq!(
        (desk.refused("tenant_calls"), desk.refused("calls")),
        (1, 0)
    );
    let call = desk
        .record(&desk.dial("trunk/far/+33199000001").await)
        .await;
    assert_eq!(call["end_reason"], "capacity", "{call:#}");
    assert!(far.invites().is_empty(), "it was never placed");
    held[0].hangs_up(&answers[0]);
    until("there is room", || desk.node.services.calls.len() == 1).await;
    let call = desk
        .record(&desk.dial("trunk/far/+33199000002").await)
        .await;
    assert_eq!(call["end_reason"], "busy", "{call:#}");

    // Calls a second: callers are refused, orders are paced.
    desk.limit(json!({ "cps": 1, "burst": 2 })).await;
    let mut burst: Vec<_> = (0..12).map(|_| Caller::invite(sip, number, "")).collect();
    let answers = burst.iter_mut().map(Caller::outcome);
    let statuses: Vec<_> = answers.map(|answer| status(&answer)).collect();
    let answered = statuses.iter().filter(|status| **status == 200).count();
    assert!((2..12).contains(&answered), "{statuses:?}");
    let sent_away = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(answered + sent_away, 12, "{statuses:?}");
    assert_eq!(desk.refused("tenant_rate"), sent_away as u64);
    let mut ids = Vec::new();
    for to in [
        "+33199000003",
        "+33199000004",
        "+33199000005",
        "+33199000006",
    ] {
        ids.push(desk.dial(&format!("trunk/far/{to}")).await);
    }
    for id in ids {
        let call = desk.record(&id).await;
        assert_eq!(call["end_reason"], "busy", "paced, not failed: {call:#}");
    }
    let times: Vec<Instant> = far.got("INVITE ").into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 5, "the one before and these four");
    // Of four at one a second two can be a burst; the others have a second each.
    let took = times[4] - times[1];
    assert!(took >= Duration::from_millis(1_700), "{took:?}");
    desk.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_rings_every_phone_of_an_extension_and_one_has_the_call() {
    let (site, node) = phones().await;
    let server = site.sip;
    let ringing = registered(server, "1001", Manner::Rings);
    let answering = registered(server, "1001", Manner::Answers);
    let busy = [(); 2].map(|()| registered(server, "1002", busy()));
    let office = site.office();
    let id = |list: &Value| list["data"][0]["id"].as_str().unwrap().to_owned();
    let tenant = id(&office.get("/v1/tenants").await);
    let agent = id(&office.get("/v1/agents").await);
    let dial = async |to: &str| {
        let order = json!({ "to": to, "agent_id": agent });
        let call = office.post_for(&tenant, "/v1/calls", &order).await;
        call["id"].as_str().unwrap().to_owned()
    };
    let ended = async |id: &str| {
        let mine = |call: &Value| call["id"] == id && call["state"] == "ended";
        office.calls(1, mine).await.remove(0)
    };
    let talks = dial("user/1001").await;
    for far in [&ringing, &answering] {
        far.hears("INVITE ", 1).await;
    }
    is_taken_elsewhere(&ringing).await;
    let live = |call: &Value| call["id"] == talks.as_str() && call["state"] == "in_progress";
    assert_eq!(office.calls(1, live).await.len(), 1);
    let path = format!("/v1/calls/{talks}/hangup");
    office.post(&path, &json!({})).await;
    answering.hears("BYE ", 1).await;
    let record = ended(&talks).await;
    assert_eq!(record["end_reason"], "operator_hangup", "{record:#}");
    // All are busy: so is the call, and each was asked once.
    let record = ended(&dial("user/1002").await).await;
    assert_eq!(record["end_reason"], "busy", "{record:#}");
    assert_eq!(busy.map(|far| far.invites().len()), [1, 1]);
    // Given up while both ring.
    let another = registered(server, "1003", Manner::Rings);
    let one_more = registered(server, "1003", Manner::Rings);
    let rings = dial("user/1003").await;
    another.hears("INVITE ", 1).await;
    one_more.hears("INVITE ", 1).await;
    let path = format!("/v1/calls/{rings}/hangup");
    office.post(&path, &json!({})).await;
    another.hears("CANCEL ", 1).await;
    one_more.hears("CANCEL ", 1).await;
    let record = ended(&rings).await;
    assert_eq!(record["end_reason"], "operator_hangup", "{record:#}");
    until("every call is over", || node.services.calls.is_empty()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_forwarded_rings_another_one_where_its_owner_lets_it() {
    let (site, node) = phones().await;
    let server = site.sip;
    let to = |user: &str| format!("Contact: <sip:{user}@{DOMAIN}>\r\n");
    let forwarded = registered(server, "1001", Manner::Refuses(302, to("1003")));
    let back = registered(server, "1003", Manner::Refuses(302, to("1001")));
    let answers = registered(server, "1003", Manner::Answers);
    let call = tokio::task::spawn_blocking(move || calls(server, "1002", "1001"));
    let (_, said) = call.await.unwrap();
    assert!(status(&said) >= 300, "off until somebody says so: {said}");
    assert_eq!(answers.invites(), Vec::<String>::new());
    let office = site.office();
    let tenants = office.get("/v1/tenants").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap().to_owned();
    let rules = json!({ "outbound": { "emergency": "reject", "redirects": true } });
    let url = format!("{}/v1/tenants/{tenant}", office.base);
    office.send(Request::patch(url).json(&rules)).await;
    let known = tenant.parse().unwrap();
    until("the switch knows the rules", || {
        node.services.dialing(Some(known)).redirects
    })
    .await;
    let call = tokio::task::spawn_blocking(move || calls(server, "1002", "1001"));
    let (mut caller, said) = call.await.unwrap();
    assert_eq!(status(&said), 200, "{said}");
    assert_eq!(answers.invites().len(), 1);
    let _ = tokio::task::spawn_blocking(move || caller.hangs_up(&said)).await;
    answers.hears("BYE ", 1).await;
    // Each was asked once: whoever sends the call back to where it was is not followed.
    let asked = [&forwarded, &back].map(Far::invites);
    assert_eq!(asked.each_ref().map(Vec::len), [2, 1], "{asked:#?}");
    until("every call is over", || node.services.calls.is_empty()).await;
    node.stop().await;
}
