//! A far side that says where else to call (3xx): followed where the operator or the tenant says so, each contact by the rules of
//! what may be called. Off it is in `wire_money.rs`.

#[path = "rig/carrier.rs"]
mod carrier;
#[path = "rig/node.rs"]
mod rig;

use std::net::SocketAddr;

use carrier::{Caller, Far, Manner, status};
use egress::Request;
use media_server::node::NodeHandle;
use rig::Site;
use serde_json::{Value, json};

fn moved(contacts: &str) -> Far {
    Far::new(Manner::Refuses(302, format!("Contact: {contacts}\r\n")))
}

fn route(name: &str, far: &Far) -> String {
    let at = far.at;
    format!(
        "\n[[route]]\nname = \"{name}\"\nwhen = {{ to = \"{name}\" }}\ndo = [{{ bridge = \"sip:desk@{at}\" }}]\n"
    )
}

/// A server that follows 3xx, its own phones on one side and a carrier on the other; both contexts have these routes.
struct Stage {
    site: Site,
    node: NodeHandle,
    outside: SocketAddr,
}

impl Stage {
    async fn open(trunk: &Far, routes: &str) -> Self {
        let rules = "[outbound]\nprefixes = [\"+33\"]\ncountry = \"FR\"\nemergency = \"reject\"\nredirects = true\n";
        let plan = |context: &str| format!("context = \"{context}\"\n{routes}");
        let site = Site::new(rules, Some(&plan("internal")));
        let outside = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
        let first = site.first_rtp + 4_000;
        site.write("dialplans/public.toml", &plan("public"));
        site.write(
            "profiles/external.toml",
            &format!(
                "listen = [\"udp://{outside}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
                 rtp = {{ ports = \"{first}-{}\" }}\n\n[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.1/32\"]\n\
                 proxy = \"{at}\"\ncaller = \"+33100000008\"\n\n[[trunk]]\nname = \"theirs\"\ntenant = \"demo\"\nproxy = \"{at}\"\n\
                 caller = \"+33100000008\"\n",
                first + 199,
                at = trunk.at
            ),
        );
        let node = site.start().await;
        Self {
            site,
            node,
            outside,
        }
    }
}

async fn call(server: SocketAddr, user: &'static str) -> (Caller, String) {
    let call = move || {
        let mut caller = Caller::invite(server, user, "");
        let said = caller.outcome();
        (caller, said)
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

fn counts(far: [&Far; 3]) -> [usize; 3] {
    far.map(|far| far.invites().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_far_side_names_is_called_instead_the_most_wanted_first() {
    let trunk = Far::at("127.0.0.3", Manner::Silent);
    let (out_of_order, answers, last) = (
        Far::new(Manner::Refuses(503, String::new())),
        Far::new(Manner::Answers),
        Far::new(Manner::Answers),
    );
    let elsewhere = moved(&format!(
        "<sip:c@{}>;q=0.1, <sip:a@{}>;q=0.9, <sip:b@{}>;q=0.5",
        last.at, out_of_order.at, answers.at
    ));
    let stage = Stage::open(&trunk, &route("desk", &elsewhere)).await;
    let (mut caller, said) = call(stage.site.sip, "desk").await;
    assert_eq!(status(&said), 200, "{said}");
    assert_eq!(counts([&out_of_order, &answers, &last]), [1, 1, 0]);
    assert!(answers.invites()[0].starts_with("INVITE sip:b@"));
    tokio::task::spawn_blocking(move || caller.hangs_up(&said))
        .await
        .unwrap();
    answers.hears("BYE ", 1).await;
    let record = stage
        .site
        .office()
        .calls(1, |c| c["state"] == "ended")
        .await;
    let attempts = stage
        .site
        .office()
        .facts(&record[0], "transfer_attempt")
        .await;
    let told = |at: usize| (&attempts[at]["outcome"], &attempts[at]["sip_code"]);
    assert_eq!(
        told(0),
        (&json!("redirected"), &json!(302)),
        "{attempts:#?}"
    );
    let end = attempts.len() - 1;
    assert_eq!(told(end), (&json!("answered"), &json!(200)));
    let who = format!("sip:b@{}", answers.at);
    assert_eq!(attempts[end]["target"], who.as_str(), "{attempts:#?}");
    // Nobody outside is led to a URI that no rule names.
    let (_, said) = call(stage.outside, "desk").await;
    assert_eq!(status(&said), 403, "{said}");
    assert_eq!(counts([&out_of_order, &answers, &last]), [1, 1, 0]);
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_to_a_number_goes_out_for_our_phones_and_never_for_a_caller_from_outside() {
    let trunk = Far::at("127.0.0.3", Manner::Refuses(486, String::new()));
    let elsewhere = moved(&format!("<sip:+33199000077@{}>", trunk.at));
    let expensive = moved(&format!("<sip:+49301234567@{}>", trunk.at));
    let emergency = moved(&format!("<sip:112@{}>", trunk.at));
    let routes = route("desk", &elsewhere) + &route("far", &expensive) + &route("help", &emergency);
    let stage = Stage::open(&trunk, &routes).await;
    for (user, server) in [
        ("desk", stage.outside),
        ("far", stage.site.sip),
        ("help", stage.site.sip),
    ] {
        let (_, said) = call(server, user).await;
        assert_eq!(status(&said), 403, "{user}: {said}");
    }
    assert_eq!(trunk.invites(), Vec::<String>::new());
    let (_, said) = call(stage.site.sip, "desk").await;
    assert_eq!(status(&said), 486, "{said}");
    assert!(trunk.invites()[0].starts_with("INVITE sip:+33199000077@"));
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_call_round_in_circles_ends_it() {
    let trunk = Far::at("127.0.0.3", Manner::Silent);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    // Each answer names itself and more than anybody follows.
    let all: Vec<String> = (0..9).map(|n| format!("<sip:n{n}@{at}>")).collect();
    let contact = format!("Contact: {}\r\n", all.join(", "));
    let circle = Far::on(socket, Manner::Refuses(302, contact));
    let stage = Stage::open(&trunk, &route("desk", &circle)).await;
    let (_, said) = call(stage.site.sip, "desk").await;
    assert!(status(&said) >= 400, "{said}");
    let invites = circle.invites().len();
    assert_eq!(invites, 6, "itself and five whom it named");
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_office_orders_follows_where_its_tenant_says_so() {
    let socket = std::net::UdpSocket::bind("127.0.0.3:0").unwrap();
    let at = socket.local_addr().unwrap();
    let contact = format!("Contact: <sip:+33199000078@{at}>\r\n");
    let trunk = Far::on(socket, Manner::Refuses(302, contact));
    let stage = Stage::open(&trunk, "").await;
    let office = stage.site.office();
    let id = |list: &Value| list["data"][0]["id"].as_str().unwrap().to_owned();
    let tenant = id(&office.get("/v1/tenants").await);
    let agent = id(&office.get("/v1/agents").await);
    for (follows, invites) in [(false, 1), (true, 3)] {
        let rules = json!({ "prefixes": ["+33"], "country": "FR", "emergency": "reject", "redirects": follows });
        let url = format!("{}/v1/tenants/{tenant}", office.base);
        let body = json!({ "outbound": rules });
        office.send(Request::patch(url).json(&body)).await;
        let known = tenant.parse().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let policy = stage.node.services.dialing(Some(known));
            if !policy.prefixes.is_empty() && policy.redirects == follows {
                break;
            }
            assert!(
                std::time::Instant::now() < until,
                "the switch does not know the rules"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let order = json!({ "to": "trunk/theirs/+33199000077", "agent_id": agent });
        let call = office.post_for(&tenant, "/v1/calls", &order).await;
        let id = call["id"].as_str().unwrap().to_owned();
        let mine = |call: &Value| call["id"] == id.as_str() && call["state"] == "ended";
        let record = office.calls(1, mine).await.remove(0);
        assert_eq!(record["sip"]["code"], 302, "{record:#}");
        let called = trunk.invites();
        assert_eq!(called.len(), invites, "{called:#?}");
    }
    assert!(trunk.invites()[2].starts_with("INVITE sip:+33199000078@"));
    stage.node.stop().await;
}
