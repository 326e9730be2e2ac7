//! NAT on both sides, by nftables between network namespaces: the phone behind one that translates
//! addresses and ports and lets nobody in, the server behind one that only translates its address.

#[path = "rig/cage.rs"]
mod cage;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use cage::Cage;
use rig::{Phone, Site};
use serde_json::json;
use server::Server;

const LIMIT: Duration = Duration::from_secs(40);
/// Where the world sees the server, and the phone.
const SERVER: &str = "203.0.113.7";
const PHONE: &str = "203.0.113.99";

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "we-hang-up"
when = { to = "we-hang-up" }
do = ["answer", { sleep = "2s" }, { hangup = "normal" }]
"#;

fn world() -> Cage {
    let mut cage = Cage::new(&["srv", "nats", "natp", "ph"]);
    cage.link(("srv", "10.9.0.2/24"), ("nats", "10.9.0.1/24"));
    let (outside, phones) = (format!("{SERVER}/24"), format!("{PHONE}/24"));
    cage.link(("nats", &outside), ("natp", &phones));
    cage.link(("natp", "192.168.5.1/24"), ("ph", "192.168.5.2/24"));
    cage.gateway("srv", "10.9.0.1");
    cage.gateway("ph", "192.168.5.1");
    // 1:1, as a cloud gives it.
    cage.routes(
        "nats",
        &format!(
            "table ip nat {{\n\
             chain pre {{ type nat hook prerouting priority -100; iifname \"to-natp\" ip daddr {SERVER} dnat to 10.9.0.2; }}\n\
             chain post {{ type nat hook postrouting priority 100; oifname \"to-natp\" ip saddr 10.9.0.2 snat to {SERVER}; }}\n}}\n"
        ),
    );
    // As a router at home has it: other ports outside, and nobody comes in uninvited.
    cage.routes(
        "natp",
        "table ip nat {\n\
         chain post { type nat hook postrouting priority 100; oifname \"to-nats\" masquerade random; }\n}\n\
         table ip filter {\n\
         chain forward { type filter hook forward priority 0; policy accept; iifname \"to-nats\" ct state new drop; }\n}\n",
    );
    cage
}

fn profile(external: &str) -> String {
    format!(
        "listen = [\"udp://10.9.0.2:5080\", \"tcp://10.9.0.2:5080\"]\nexternal_ip = \"{external}\"\n\
         local_nets = [\"10.9.0.0/24\"]\ncontext = \"internal\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
         [[trunk]]\nname = \"home\"\nsources = [\"{PHONE}/32\"]\n"
    )
}

/// A call from behind the phone's NAT; its summary.
fn call(cage: &Cage, user: &str, args: &[&str]) -> serde_json::Value {
    let program = env!("CARGO_BIN_EXE_media-server");
    let command = cage.command("ph", program);
    let phone = Phone::call_with(command, &format!("sip:{user}@{SERVER}:5080"), args);
    phone.finish(LIMIT).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_behind_nat_and_a_server_behind_nat_hear_each_other_and_end_their_calls() {
    if !cage::is_here(
        "a_phone_behind_nat_and_a_server_behind_nat_hear_each_other_and_end_their_calls",
    ) {
        return;
    }
    let site = Site::new("", Some(PLAN));
    let loopback = std::fs::read_to_string(site.dir.path().join("profiles/internal.toml")).unwrap();
    site.write("profiles/internal.toml", &profile(SERVER));
    let cage = world();
    let mut server = Server::start_with(
        &site,
        cage.command("srv", env!("CARGO_BIN_EXE_media-server")),
    );
    let words = ["--step", "tell:one two three four five", "--seconds", "4"];
    // The address in SDP and Contact is the phone's private one, which nobody can reach.
    let udp = call(&cage, "echo", &words);
    let tcp = call(
        &cage,
        "echo",
        &[&words[..], &["--transport", "tcp"]].concat(),
    );
    let ours = call(&cage, "we-hang-up", &["--stay", "--seconds", "20"]);
    for summary in [&udp, &tcp] {
        let heard = summary["voiced_ms"].as_u64().unwrap_or(0);
        assert!(
            heard > 500,
            "our words come back: {summary:#}\n{}",
            server.log()
        );
    }
    assert!(
        ours["talked_ms"].as_u64().unwrap() < 10_000,
        "our BYE reaches it: {ours:#}"
    );
    server.signal("TERM");
    assert_eq!(server.ends(LIMIT).code(), Some(0), "{}", server.log());
    drop(server);

    site.write("profiles/internal.toml", &loopback);
    let _server = Server::start(&site);
    for (summary, reason) in [
        (&udp, "caller_hangup"),
        (&tcp, "caller_hangup"),
        (&ours, "dialplan_hangup"),
    ] {
        let call = site.office().ended(&summary["sip_call_id"]).await;
        assert_eq!(call["end_reason"], json!(reason), "{call:#}");
        assert_eq!(
            site.office().facts(&call, "ack_confirmed").await.len(),
            1,
            "{call:#}"
        );
        let ladder = site.office().facts(&call, "ladder").await;
        let answer = ladder[0]["rungs"].as_array().unwrap().iter().find(|rung| {
            rung["way"] == "out" && rung["line"] == "SIP/2.0 200 OK" && rung["body"] != json!(null)
        });
        let headers = answer.unwrap()["headers"].as_array().unwrap();
        let contact = headers
            .iter()
            .find_map(|h| h.as_str().unwrap().strip_prefix("Contact: "));
        assert!(
            contact.unwrap().contains(&format!("@{SERVER}:5080")),
            "{contact:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stun_server_that_is_away_holds_up_nothing() {
    let site = Site::new("", Some(PLAN));
    site.internal("", 100, "external_ip = \"stun:nobody.invalid\"");
    let node = site.start().await;
    let mut letters = server::Letters::to(site.sip);
    let answer = letters.ask("OPTIONS", "echo", "").unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let status = media_server::http::profiles(&node.node).await;
    let outside = status[0].external_ip.as_deref();
    assert_eq!(outside, Some("stun:nobody.invalid:3478: not known yet"));
    node.stop().await;
}

/// Calls as a far side that sends from another port than it listens at; whether our sound goes to the one it sends from.
fn follows_the_source(sip: SocketAddr) -> bool {
    let [named, other] =
        ["127.0.0.77:40000", "127.0.0.77:0"].map(|at| UdpSocket::bind(at).unwrap());
    let patience = Some(Duration::from_millis(100));
    named.set_read_timeout(patience).unwrap();
    other.set_nonblocking(true).unwrap();
    let mut letters = server::Letters::from("127.0.0.77", sip);
    let answer = letters.ask("INVITE", "echo", "").unwrap();
    let line = answer.split("m=audio ").nth(1);
    let port = line.and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
    let media = (sip.ip(), port.unwrap_or_else(|| panic!("{answer}")));
    let mut buffer = [0; 2_048];
    let mut at_named = 0;
    for n in 0..200_u8 {
        let ticks = (u32::from(n) * 160).to_be_bytes();
        let head = [&[0x80, 0, 0, n][..], &ticks, &[9, 9, 9, 9]].concat();
        let packet = [&head[..], &[0xff; 160]].concat();
        other.send_to(&packet, media).unwrap();
        at_named += u32::from(named.recv(&mut buffer).is_ok());
        if other.recv(&mut buffer).is_ok() {
            return true;
        }
        if at_named == 50 {
            return false;
        }
    }
    panic!("{at_named} packets at the port it named, none at the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn symmetric_rtp_can_be_switched_off() {
    for (rtp, symmetric) in [("", true), (", symmetric = false", false)] {
        let site = Site::new("", Some(PLAN));
        site.internal(rtp, 100, "");
        let node = site.start().await;
        let sip = site.sip;
        let follows = tokio::task::spawn_blocking(move || follows_the_source(sip));
        assert_eq!(follows.await.unwrap(), symmetric);
        node.stop().await;
    }
}
