//! What a call may cost: who gets out over a trunk and who does not, told by a carrier that counts
//! what reaches it.

#[path = "rig/carrier.rs"]
mod carrier;
#[path = "rig/node.rs"]
mod rig;

use std::{net::SocketAddr, time::Duration};

use carrier::{Caller, Far, Manner, header, status};
use media_server::node::NodeHandle;
use rig::Site;
use serde_json::{Value, json};

/// The only number that calls from outside may be put through to.
const LISTED: &str = "+33100000009";

/// Where a trunk is that comes in over the profile of our own phones.
const NEIGHBOUR: &str = "127.0.0.4";

/// A server between a carrier and its own phones.
struct Stage {
    site: Site,
    node: NodeHandle,
    /// Where the carrier's calls come in.
    outside: SocketAddr,
    /// The carrier, as it is called.
    trunk: Far,
    /// A phone that answers and then wants the caller transferred to a number over the trunk.
    schemer: Far,
    /// A phone that says where else to call.
    elsewhere: Far,
}

impl Stage {
    async fn open() -> Self {
        // A host of its own: whatever goes to a trunk's host is a call over the trunk.
        let trunk = Far::at("127.0.0.3", Manner::Refuses(486, String::new()));
        let expensive = format!("sip:+33199000077@{}", trunk.at);
        let schemer = Far::new(Manner::Refers(expensive.clone()));
        let contact = format!("Contact: <{expensive}>\r\n");
        let elsewhere = Far::new(Manner::Refuses(302, contact));
        let outside = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
        let plan = internal(&schemer, &elsewhere);
        let site = Site::new(
            &format!(
                "[outbound]\nprefixes = [\"+33\"]\nforward_to = [\"{LISTED}\"]\ncountry = \"FR\"\n\
                 emergency = \"route:carrier\"\n"
            ),
            Some(&plan),
        );
        site.write("dialplans/public.toml", &public(&schemer, &elsewhere));
        let first = site.first_rtp + 4_000;
        site.write(
            "profiles/external.toml",
            &format!(
                "listen = [\"udp://{outside}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
                 rtp = {{ ports = \"{first}-{}\" }}\n\n[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.1/32\"]\n\
                 proxy = \"{}\"\ncaller = \"+33100000008\"\n",
                first + 199,
                trunk.at
            ),
        );
        site.internal(
            "",
            4_000,
            &format!("[[trunk]]\nname = \"neighbour\"\nsources = [\"{NEIGHBOUR}/32\"]\n"),
        );
        let node = site.start().await;
        Self {
            site,
            node,
            outside,
            trunk,
            schemer,
            elsewhere,
        }
    }

    /// Somebody outside calls; what came of it.
    async fn outside_calls(&self, user: &str, more: &str) -> String {
        outcome(self.outside, user, more).await
    }

    /// One of our own phones calls.
    async fn inside_calls(&self, user: &str) -> String {
        outcome(self.site.sip, user, "").await
    }

    /// No INVITE has reached the carrier, nor will one: nothing lives that could send it.
    async fn nothing_left(&self, why: &str) {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while !self.node.services.calls.is_empty() {
            assert!(std::time::Instant::now() < until, "{why}: a call is left");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.trunk.invites(), Vec::<String>::new(), "{why}");
    }
}

async fn outcome(server: SocketAddr, user: &str, more: &str) -> String {
    let (user, more) = (user.to_owned(), more.to_owned());
    let call = move || Caller::invite(server, &user, &more).outcome();
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// Every way a dialplan could let a caller out again. The numbers say what they try.
fn public(schemer: &Far, elsewhere: &Far) -> String {
    format!(
        "context = \"public\"\n{}{}{}{}{}{}{}",
        route(
            "written",
            "1001",
            "{ bridge = \"trunk/carrier/+33199000077\" }"
        ),
        route(
            "dialled",
            "(?<n>\\\\+33199.*)",
            "{ bridge = \"trunk/carrier/{to.n}\" }"
        ),
        route(
            "listed",
            "1002",
            &format!("{{ bridge = \"trunk/carrier/{LISTED}\" }}")
        ),
        route(
            "refer",
            "1003",
            "\"answer\", { transfer = \"trunk/carrier/+33199000077\" }"
        ),
        route(
            "302",
            "1004",
            &format!("{{ bridge = \"sip:desk@{}\" }}", elsewhere.at)
        ),
        route(
            "schemer",
            "1005",
            &format!("{{ bridge = \"sip:desk@{}\" }}", schemer.at)
        ),
        route("emergency", "112", "{ bridge = \"trunk/carrier/112\" }"),
    )
}

fn internal(schemer: &Far, elsewhere: &Far) -> String {
    let fallback = format!(
        "{{ bridge = {{ to = \"sip:desk@{}\", on = {{ failed = \"help\" }} }} }}",
        elsewhere.at
    );
    format!(
        "context = \"internal\"\n{}{}{}{}{}\n[section.help]\ndo = [{{ bridge = \"trunk/carrier/112\" }}]\n",
        route("emergency", "112", "{ bridge = \"trunk/carrier/{to}\" }"),
        route(
            "out",
            "(?<n>\\\\+.*)",
            "{ bridge = \"trunk/carrier/{to.n}\" }"
        ),
        route("fallback", "2001", &fallback),
        route(
            "schemer",
            "2002",
            &format!("{{ bridge = \"sip:desk@{}\" }}", schemer.at)
        ),
        route(
            "agent",
            "agent",
            "\"answer\", { agent = \"demo/receptionist\" }"
        ),
    )
}

fn route(name: &str, to: &str, action: &str) -> String {
    format!("\n[[route]]\nname = \"{name}\"\nwhen = {{ to = \"{to}\" }}\ndo = [{action}]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_from_outside_never_comes_back_out_by_any_way() {
    let stage = Stage::open().await;
    let rows = [
        ("1001", "", "a number that the plan names and nobody listed"),
        ("+33199000077", "", "a number that the caller dialled"),
        (
            "+33199000077",
            "Diversion: <sip:+33100000009@127.0.0.1>;reason=unconditional\r\n",
            "a Diversion to a listed number",
        ),
        ("112", "", "an emergency number"),
    ];
    for (user, more, why) in rows {
        let said = stage.outside_calls(user, more).await;
        assert_eq!(status(&said), 403, "{why}: {said}");
        stage.nothing_left(why).await;
    }
    let said = stage.outside_calls("1004", "").await;
    assert!(status(&said) >= 400, "a 302 is not followed: {said}");
    assert_eq!(stage.elsewhere.invites().len(), 1);
    stage.nothing_left("a 302").await;
    let outside = stage.outside;
    let refer = move || {
        let mut caller = Caller::invite(outside, "1003", "");
        let said = caller.outcome();
        assert_eq!(status(&said), 200, "{said}");
        caller.is_hung_up();
        assert!(!caller.has_seen("REFER "), "the caller is asked to dial it");
    };
    tokio::task::spawn_blocking(refer).await.unwrap();
    stage
        .nothing_left("a transfer by REFER, or instead of it")
        .await;
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_of_the_far_side_gets_603_and_dials_nobody() {
    let stage = Stage::open().await;
    let mut nth = 0;
    for (server, user) in [(stage.outside, "1005"), (stage.site.sip, "2002")] {
        let call = move || {
            let mut caller = Caller::invite(server, user, "");
            let said = caller.outcome();
            assert_eq!(status(&said), 200, "{said}");
            (caller, said)
        };
        let (mut caller, said) = tokio::task::spawn_blocking(call).await.unwrap();
        nth += 1;
        let refused = stage.schemer.hears("SIP/2.0 603", nth).await;
        assert!(header(&refused, "CSeq").unwrap().ends_with("REFER"));
        let end = move || caller.hangs_up(&said);
        tokio::task::spawn_blocking(end).await.unwrap();
        stage.nothing_left(user).await;
    }
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trunk_brings_is_from_outside_whatever_profile_it_comes_in_over() {
    let stage = Stage::open().await;
    let server = stage.site.sip;
    for user in ["+33199000077", LISTED, "112"] {
        let call = move || Caller::invite_from(NEIGHBOUR, server, user, "").outcome();
        let said = tokio::task::spawn_blocking(call).await.unwrap();
        assert_eq!(status(&said), 403, "{user}: {said}");
        stage.nothing_left(user).await;
    }
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_lasts_as_long_as_it_may_ends_for_both_and_the_record_says_so() {
    let far = Far::new(Manner::Answers);
    let bridge = format!("{{ bridge = \"sip:desk@{}\" }}, \"echo\"", far.at);
    let plan = format!("context = \"internal\"\n{}", route("far", "far", &bridge));
    let site = Site::new("[outbound]\nmax_duration = \"2s\"\n", Some(&plan));
    let node = site.start().await;
    let said = outcome_until_bye(site.sip, "far").await;
    assert_eq!(status(&said), 200, "{said}");
    far.hears("BYE ", 1).await;
    let ended = |call: &Value| call["state"] == "ended";
    let record = site.office().calls(1, ended).await.remove(0);
    assert_eq!(record["end_reason"], "max_duration", "{record:#}");
    let lasted = record["duration_ms"].as_u64().unwrap_or_default();
    assert!(lasted >= 1_500, "{record:#}");
    node.stop().await;
}

/// Somebody calls and waits until he is hung up on.
async fn outcome_until_bye(server: SocketAddr, user: &'static str) -> String {
    let call = move || {
        let mut caller = Caller::invite(server, user, "");
        let said = caller.outcome();
        caller.is_hung_up();
        said
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_and_what_our_phones_dial_goes_out_as_the_rules_say() {
    let stage = Stage::open().await;
    let said = stage.outside_calls("1002", "").await;
    assert_eq!(
        status(&said),
        486,
        "what the carrier says comes back: {said}"
    );
    let said = stage.inside_calls("+33199000077").await;
    assert_eq!(status(&said), 486, "{said}");
    let said = stage.inside_calls("112").await;
    assert_eq!(status(&said), 486, "{said}");
    let called: Vec<String> = stage.trunk.invites();
    let users: Vec<&str> = called
        .iter()
        .map(|text| text["INVITE sip:".len()..].split('@').next().unwrap())
        .collect();
    assert_eq!(users, [LISTED, "+33199000077", "112"]);
    let from = header(&called[0], "From").unwrap();
    assert!(from.contains("sip:+33100000001@"), "{}", called[0]);
    // No prefix, no number.
    let said = stage.inside_calls("+49301234567").await;
    assert_eq!(status(&said), 403, "{said}");
    // What runs because somebody else was not reached calls no emergency number.
    let said = stage.inside_calls("2001").await;
    assert_eq!(status(&said), 403, "{said}");
    assert_eq!(stage.trunk.invites().len(), 3);
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_an_agent_reach_no_emergency_number_and_no_trunk_of_the_operator() {
    let stage = Stage::open().await;
    let office = stage.site.office();
    let tenants = office.get("/v1/tenants").await;
    let agents = office.get("/v1/agents").await;
    let id = |list: &Value| list["data"][0]["id"].as_str().unwrap().to_owned();
    let (tenant, agent) = (id(&tenants), id(&agents));
    let emergency = format!("sip:112@{}", stage.trunk.at);
    let rows = [
        "trunk/carrier/112",
        &emergency,
        "trunk/carrier/+33199000077",
    ];
    for to in rows {
        let order = json!({ "to": to, "agent_id": agent });
        let call = office.post_for(&tenant, "/v1/calls", &order).await;
        let id = call["id"].as_str().unwrap().to_owned();
        let mine = |call: &Value| call["id"] == id.as_str() && call["state"] == "ended";
        let call = office.calls(1, mine).await.pop().unwrap();
        assert_eq!(call["end_reason"], "forbidden", "{to}: {call:#}");
    }
    let server = stage.site.sip;
    let call = move || {
        let mut caller = Caller::invite(server, "agent", "");
        let said = caller.outcome();
        (caller, said)
    };
    let (mut caller, said) = tokio::task::spawn_blocking(call).await.unwrap();
    assert_eq!(status(&said), 200, "{said}");
    let live = |call: &Value| call["state"] == "in_progress";
    let live = office.calls(1, live).await.pop().unwrap();
    let path = format!("/v1/calls/{}/transfer", live["id"].as_str().unwrap());
    for to in rows {
        let plan = json!({ "plan": { "targets": [[to]] } });
        let order = office.post(&path, &plan).await;
        assert_eq!(order["state"], "queued", "{order:#}");
    }
    let orders = office.settled_orders(&live).await;
    assert_eq!(orders.len(), rows.len(), "{orders:#?}");
    let refused = |order: &Value| order["state"] == "refused";
    assert!(orders.iter().all(refused), "{orders:#?}");
    tokio::task::spawn_blocking(move || caller.hangs_up(&said))
        .await
        .unwrap();
    stage.nothing_left("an order, an agent").await;
    stage.node.stop().await;
}
