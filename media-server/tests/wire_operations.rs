//! What operators do with a running server, through its signals and its unix socket: reload, drain,
//! restart, look, end calls. And what it refuses on its own.

#[path = "rig/crowd.rs"]
mod crowd;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;
#[path = "rig/sipp.rs"]
mod sipp;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use crowd::{Crowd, Plan};
use media_server::load::flood;
use rig::Site;
use serde_json::json;
use server::{Letters, Server};
use sipp::header;

const LIMIT: Duration = Duration::from_secs(40);
const NO_LIMITS: &str = "[limits]\ncps = 0\ncalls = 0";

const ECHO: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;

fn crowd(site: &Site, udp: usize, tcp: usize) -> Crowd {
    let plan = Plan {
        server: site.sip,
        user: "echo".into(),
        udp,
        tcp,
    };
    Crowd::call(&plan)
}

async fn hears(crowd: &Crowd, packets: usize) {
    let enough =
        |caller: &crowd::Caller| caller.answered.is_some() && caller.packets.len() >= packets;
    crowd.all("answered and heard", LIMIT, enough).await;
}

async fn all_go(crowd: &Crowd) {
    crowd.hang_up_all();
    crowd.all("over", LIMIT, crowd::Caller::is_over).await;
}

/// Where each caller's count of packets stands.
fn counts(crowd: &Crowd) -> Vec<usize> {
    crowd.callers().iter().map(|c| c.packets.len()).collect()
}

/// Waits until each has heard so much more.
async fn goes_on(crowd: &Crowd, since: &[usize]) {
    let number = |name: &str| name["caller-".len()..].parse::<usize>().unwrap();
    let more =
        |c: &crowd::Caller| c.packets.len() >= since[number(&c.name)] + 25 && !c.was_hung_up_on();
    crowd.all("hears on", LIMIT, more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_fifty_at_ten_a_second_gets_its_share_and_503_for_the_rest() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    site.internal("", 200, "limits = { cps = 10, burst = 10 }");
    let node = site.start().await;
    let mut letters = Letters::to(site.sip);
    let ids: Vec<String> = (0..50)
        .map(|_| letters.send("INVITE", "echo", ""))
        .collect();
    let mut finals = std::collections::BTreeMap::new();
    while finals.len() < 50 {
        let answer = letters.receive().expect("each gets a final answer");
        let id = header(&answer, "Call-ID").unwrap().to_owned();
        if !answer.starts_with("SIP/2.0 1") {
            finals.insert(id, answer);
        }
    }
    assert!(ids.iter().all(|id| finals.contains_key(id)));
    let answered = finals.values().filter(|a| a.starts_with("SIP/2.0 200"));
    let answered = answered.count();
    assert!((10..50).contains(&answered), "{answered} of 50");
    let refused = finals.values().filter(|a| a.starts_with("SIP/2.0 503"));
    let after: Vec<u32> = refused
        .map(|answer| header(answer, "Retry-After").unwrap().parse().unwrap())
        .collect();
    assert_eq!(after.len(), 50 - answered);
    let spread: BTreeSet<u32> = after.into_iter().collect();
    assert!(
        spread.len() > 2,
        "they would come back together: {spread:?}"
    );
    let refused = node
        .services
        .metrics
        .refused
        .with_label_values(&["internal", "rate"]);
    assert_eq!(refused.get(), 50 - answered as u64);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_has_limits_of_its_own() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let trunk =
        "[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.9/32\"]\nlimits = { calls = 1 }\n";
    site.internal("", 200, trunk);
    let node = site.start().await;
    let mut theirs = Letters::from("127.0.0.9", site.sip);
    let mut others = Letters::to(site.sip);
    let first = theirs.ask("INVITE", "echo", "").unwrap();
    assert!(first.starts_with("SIP/2.0 200"), "{first}");
    let second = theirs.ask("INVITE", "echo", "").unwrap();
    assert!(second.starts_with("SIP/2.0 503"), "{second}");
    let other = others.ask("INVITE", "echo", "").unwrap();
    assert!(other.starts_with("SIP/2.0 200"), "{other}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_a_hundred_calls_loses_none() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let (kept, moved, taken) = (site.sip, place(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (old, new) = (place(), place());
    let profile = |listen: &[SocketAddr], more: &str| {
        let listen: Vec<_> = listen.iter().map(|at| format!("\"udp://{at}\"")).collect();
        format!(
            "listen = [{}]\ncontext = \"internal\"\nauth = \"none\"\n{more}",
            listen.join(", ")
        )
    };
    site.write("profiles/old.toml", &profile(&[old], ""));
    let server = Server::start(&site);
    let on_old = Crowd::call(&Plan {
        server: old,
        user: "echo".into(),
        udp: 20,
        tcp: 0,
    });
    let crowd = crowd(&site, 70, 10);
    hears(&crowd, 10).await;
    hears(&on_old, 10).await;

    a_bad_file_changes_nothing(&site, &server);

    // Everything at once: another dialplan, a profile with another address beside its own, one that
    // is new, one that cannot be, one that is gone.
    site.write(
        "dialplans/internal.toml",
        &ECHO.replace("to = \"echo\"", "to = \"mirror\""),
    );
    let text = std::fs::read_to_string(site.dir.path().join("profiles/internal.toml")).unwrap();
    let text = text.replace("listen = [", &format!("listen = [\"udp://{moved}\", "));
    site.write("profiles/internal.toml", &text);
    site.write("profiles/new.toml", &profile(&[new], ""));
    site.write(
        "profiles/broken.toml",
        &profile(&[taken.local_addr().unwrap()], ""),
    );
    std::fs::remove_file(site.dir.path().join("profiles/old.toml")).unwrap();
    let (before, before_old) = (counts(&crowd), counts(&on_old));
    let done = server.json(&["reload"])["reloaded"].clone();
    assert_eq!(done["added"], json!(["broken", "new"]), "{done}");
    assert_eq!(done["changed"], json!(["internal"]), "{done}");
    assert_eq!(done["removed"], json!(["old"]), "{done}");
    for at in [kept, moved, new] {
        let options = Letters::to(at).ask("OPTIONS", "echo", "").unwrap();
        assert!(options.starts_with("SIP/2.0 200"), "{at}: {options}");
    }
    let gone = Letters::to(kept).ask("INVITE", "echo", "").unwrap();
    assert!(gone.starts_with("SIP/2.0 404"), "the new dialplan: {gone}");
    let leaving = Letters::to(old).ask("INVITE", "echo", "").unwrap();
    assert!(leaving.starts_with("SIP/2.0 503"), "{leaving}");
    let status = server.says(&["status", "profile"]);
    let line = |name: &str| {
        status
            .lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("broken").contains("failed") && line("broken").contains("in use"),
        "{status}"
    );
    assert!(
        line("internal").contains("up") && line("new").contains("up"),
        "{status}"
    );
    assert!(line("old").contains("leaving"), "{status}");
    goes_on(&crowd, &before).await;
    goes_on(&on_old, &before_old).await;

    moves_away(&site, &server, &crowd, (&on_old, old), moved).await;
    all_go(&crowd).await;
    let ours = |call: &serde_json::Value| {
        call["state"] == "ended" && call["to"] == "echo" && call["answered_at"] != json!(null)
    };
    let calls = site.office().calls(100, ours).await;
    assert_eq!(calls.len(), 100);
    assert!(
        calls
            .iter()
            .all(|call| call["end_reason"] == "caller_hangup"),
        "{calls:#?}"
    );
}

fn a_bad_file_changes_nothing(site: &Site, server: &Server) {
    // A bad file: nothing changes, and it says where.
    site.write(
        "dialplans/internal.toml",
        "context = \"internal\"\n[[route]]\ndo = [\"anwser\"]\n",
    );
    let refused = server.run(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        said.contains("dialplans/internal.toml:3:7: error: unknown action `anwser`"),
        "{said}"
    );
    let mut letters = Letters::to(site.sip);
    assert!(
        letters
            .ask("OPTIONS", "echo", "")
            .unwrap()
            .starts_with("SIP/2.0 200")
    );
}

/// By signal: an address goes from a profile, and its socket with it; then the profile is restarted.
async fn moves_away(
    site: &Site,
    server: &Server,
    crowd: &Crowd,
    (on_old, old): (&Crowd, SocketAddr),
    moved: SocketAddr,
) {
    let text = std::fs::read_to_string(site.dir.path().join("profiles/internal.toml")).unwrap();
    let text = text.replace(&format!("\"udp://{moved}\", "), "");
    site.write("profiles/internal.toml", &text);
    server.signal("HUP");
    server.until("the address is closed", || UdpSocket::bind(moved).is_ok());
    all_go(on_old).await;
    server.until("the profile is gone", || UdpSocket::bind(old).is_ok());
    let before = counts(crowd);
    goes_on(crowd, &before).await;
    // A restart of the profile under its calls.
    server.says(&["restart", "internal"]);
    let before = counts(crowd);
    goes_on(crowd, &before).await;
}

fn place() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], rig::free_port()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_live_calls_finish_says_goodbye_to_the_rest_and_keeps_every_record() {
    let limits = "[limits]\ncps = 0\ncalls = 0\ndrain = \"4s\"";
    let site = Site::new(limits, Some(ECHO));
    let mut server = Server::start(&site);
    assert_eq!(server.ready(), 200);
    let crowd = crowd(&site, 3, 1);
    hears(&crowd, 10).await;
    // The command closes the door and opens it again.
    server.says(&["drain"]);
    server.until("not ready", || server.ready() == 503);
    let mut letters = Letters::to(site.sip);
    let refused = letters.ask("INVITE", "echo", "").unwrap();
    assert!(refused.starts_with("SIP/2.0 503") && header(&refused, "Retry-After").is_some());
    server.says(&["drain", "--undo"]);
    server.until("ready", || server.ready() == 200);
    assert!(
        letters
            .ask("OPTIONS", "echo", "")
            .unwrap()
            .starts_with("SIP/2.0 200")
    );

    server.signal("TERM");
    server.until("not ready", || server.ready() == 503);
    for method in ["INVITE", "OPTIONS"] {
        let refused = letters.ask(method, "echo", "").unwrap();
        assert!(refused.starts_with("SIP/2.0 503"), "{method}: {refused}");
        assert!(header(&refused, "Retry-After").is_some(), "{refused}");
    }
    // Two of four finish in their own time, in-dialog requests are not shed.
    crowd.hang_up(0);
    crowd.hang_up(3);
    for number in [0, 3] {
        crowd
            .one(number, "gone", LIMIT, crowd::Caller::is_over)
            .await;
    }
    for number in [1, 2] {
        crowd
            .one(number, "hung up on", LIMIT, crowd::Caller::was_hung_up_on)
            .await;
    }
    assert_eq!(server.ends(LIMIT).code(), Some(0), "{}", server.log());
    drop(server);

    let server = Server::start(&site);
    let ended = |call: &serde_json::Value| call["state"] == "ended";
    let calls = site.office().calls(4, ended).await;
    let reasons = |wanted: &str| calls.iter().filter(|c| c["end_reason"] == wanted).count();
    let all = (
        calls.len(),
        reasons("caller_hangup"),
        reasons("node_drained"),
    );
    assert_eq!(all, (4, 2, 2), "{calls:#?}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_show_and_end_calls_and_trace_without_secrets() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let server = Server::start(&site);
    let status = server.says(&["status"]);
    assert!(
        status.starts_with("takes calls; 0 calls, 0 dialogs"),
        "{status}"
    );
    server.says(&["trace", "on", "--ip", "127.0.0.1"]);
    let crowd = crowd(&site, 2, 0);
    hears(&crowd, 5).await;
    let mut letters = Letters::to(site.sip);
    letters.ask(
        "OPTIONS",
        "echo",
        "Authorization: Digest response=\"5ccc069c\"\r\n",
    );
    server.says(&["trace", "off"]);
    letters.ask("OPTIONS", "after-the-trace", "");
    let table = server.says(&["calls"]);
    assert!(table.starts_with("CALL "), "{table}");
    let calls = server.json(&["calls"]);
    let ids: Vec<&str> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["call"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(calls[0]["profile"], "internal");
    let shown = server.json(&["show", ids[0]]);
    assert_eq!(shown["legs"][0]["transport"], "UDP", "{shown}");
    assert_eq!(shown["legs"][0]["local"], site.sip.to_string(), "{shown}");
    assert!(server.says(&["show", ids[0]]).contains("CALL-ID"));
    let wrong = server.run(&["kill", ids[0], "nonsense"]);
    assert!(!wrong.status.success(), "no such cause");
    server.says(&["kill", ids[0], "busy"]);
    server.says(&["kill", ids[1]]);
    crowd
        .all("hung up on", LIMIT, crowd::Caller::was_hung_up_on)
        .await;
    let ended = |call: &serde_json::Value| call["end_reason"] == "operator_hangup";
    let calls = site.office().calls(2, ended).await;
    let causes: BTreeSet<u64> = calls
        .iter()
        .map(|c| c["sip"]["q850"].as_u64().unwrap())
        .collect();
    assert_eq!(causes, BTreeSet::from([16, 17]), "{calls:#?}");
    let unknown = server.run(&["kill", ids[0]]);
    assert!(!unknown.status.success());
    let log = server.log();
    assert!(
        log.contains("sip-trace: <- UDP") && log.contains("INVITE sip:echo@"),
        "{log}"
    );
    assert!(
        log.contains("Authorization: ***") && !log.contains("5ccc069c"),
        "{log}"
    );
    assert!(!log.contains("after-the-trace"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_its_ladder_and_the_capture_server_its_copies() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(5));
    collector.set_read_timeout(patience).unwrap();
    let hep = format!(
        "{NO_LIMITS}\n[hep]\ncollector = \"udp://{}\"\nid = 7\nkey = \"of-the-collector\"",
        collector.local_addr().unwrap()
    );
    let site = Site::new(&hep, Some(ECHO));
    let node = site.start().await;
    let crowd = crowd(&site, 1, 0);
    hears(&crowd, 5).await;
    all_go(&crowd).await;
    let id = json!(crowd.caller(0).call_id);
    let call = site.office().ended(&id).await;
    let mut ladders = Vec::new();
    for _ in 0..100 {
        ladders = site.office().facts(&call, "ladder").await;
        if !ladders.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rungs = ladders[0]["rungs"].as_array().unwrap();
    let lines: Vec<String> = rungs
        .iter()
        .map(|r| {
            format!(
                "{} {}",
                r["way"].as_str().unwrap(),
                r["line"].as_str().unwrap()
            )
        })
        .collect();
    let begins = |at: usize, begin: &str| assert!(lines[at].starts_with(begin), "{lines:#?}");
    begins(0, "in INVITE sip:echo@");
    begins(1, "out SIP/2.0 100");
    for wanted in ["out SIP/2.0 200", "in ACK ", "in BYE "] {
        assert!(
            lines.iter().any(|l| l.starts_with(wanted)),
            "{wanted}: {lines:#?}"
        );
    }
    begins(lines.len() - 1, "out SIP/2.0 200");
    let first = rungs[0]["headers"].as_array().unwrap();
    assert!(
        first
            .iter()
            .any(|h| h.as_str().unwrap().starts_with("Call-ID: ")),
        "{first:#?}"
    );
    assert!(
        rungs[0]["body"]
            .as_str()
            .unwrap()
            .starts_with("application/sdp, ")
    );
    let offsets: Vec<u64> = rungs
        .iter()
        .map(|r| r["offset_ms"].as_u64().unwrap())
        .collect();
    assert!(offsets.is_sorted(), "{offsets:?}");

    let mut copies = Vec::new();
    while copies.len() < lines.len() {
        let mut packet = [0; 65_535];
        let length = collector.recv(&mut packet).expect("a copy of each message");
        copies.push(hep_chunks(&packet[..length]));
    }
    let payload = |copy: &Vec<(u16, Vec<u8>)>| String::from_utf8(chunk(copy, 0x0f)).unwrap();
    let invite = copies
        .iter()
        .find(|c| payload(c).starts_with("INVITE"))
        .unwrap();
    assert_eq!(chunk(invite, 0x01), [2], "IPv4");
    assert_eq!(chunk(invite, 0x02), [17], "UDP");
    assert_eq!(chunk(invite, 0x04), [127, 0, 0, 1]);
    assert_eq!(chunk(invite, 0x08), site.sip.port().to_be_bytes());
    assert_eq!(chunk(invite, 0x0b), [1], "SIP");
    assert_eq!(chunk(invite, 0x0c), [0, 0, 0, 7]);
    assert_eq!(chunk(invite, 0x0e), b"of-the-collector");
    assert_eq!(chunk(invite, 0x11), id.as_str().unwrap().as_bytes());
    let byes = copies
        .iter()
        .filter(|c| payload(c).starts_with("BYE"))
        .count();
    assert_eq!(byes, 1);
    node.stop().await;
}

/// HEPv3: chunks of vendor, kind, length and value after the magic and the total length.
fn hep_chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
    assert_eq!(&packet[..4], b"HEP3");
    let total = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    assert_eq!(total, packet.len());
    let (mut rest, mut chunks) = (&packet[6..], Vec::new());
    while !rest.is_empty() {
        let field = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        assert_eq!(field(0), 0, "vendor");
        let length = usize::from(field(4));
        chunks.push((field(2), rest[6..length].to_vec()));
        rest = &rest[length..];
    }
    chunks
}

fn chunk(chunks: &[(u16, Vec<u8>)], kind: u16) -> Vec<u8> {
    let found = chunks.iter().find(|(k, _)| *k == kind);
    found.unwrap_or_else(|| panic!("no chunk {kind}")).1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_turned_away_then_banned_and_the_line_for_fail2ban_is_there() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let external = place();
    let profile = format!(
        "listen = [\"udp://{external}\"]\ncontext = \"internal\"\nauth = \"acl\"\n\
         guard = {{ pps = 20, burst = 20, ban_after = 30, ban = \"10m\", scanners = \"drop\" }}\n\
         [[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.9/32\"]\n"
    );
    site.write("profiles/external.toml", &profile);
    let server = Server::start(&site);
    let mut stranger = Letters::from("127.0.0.66", external);
    let refused = stranger.ask("INVITE", "echo", "").unwrap();
    assert!(refused.starts_with("SIP/2.0 403"), "{refused}");
    for _ in 0..100 {
        stranger.send("INVITE", "echo", "");
    }
    let banned = || server.says(&["bans"]).contains("127.0.0.66");
    server.until("it is banned", banned);
    let quiet = |letters: &mut Letters| {
        while letters.receive().is_some() {}
        letters.ask("INVITE", "echo", "").is_none()
    };
    assert!(quiet(&mut stranger), "a banned source hears nothing");
    let mut scanner = Letters::from("127.0.0.67", external);
    let scan = scanner.ask("OPTIONS", "100", "User-Agent: friendly-scanner\r\n");
    assert_eq!(scan, None, "scanners hear nothing");
    let mut carrier = Letters::from("127.0.0.9", external);
    let taken = carrier.ask("INVITE", "echo", "").unwrap();
    assert!(taken.starts_with("SIP/2.0 200"), "{taken}");
    let log = server.log();
    let lines = log.matches("sip-guard: blocked 127.0.0.66 reason=acl packets=1 profile=external");
    assert_eq!(lines.count(), 1, "{log}");
    assert_eq!(
        log.matches("sip-guard: blocked 127.0.0.66").count(),
        1,
        "{log}"
    );
    assert!(
        log.contains("sip-guard: blocked 127.0.0.67 reason=scanner"),
        "{log}"
    );
    server.says(&["bans", "--lift", "127.0.0.66"]);
    let again = stranger.ask("INVITE", "echo", "").unwrap();
    assert!(again.starts_with("SIP/2.0 403"), "{again}");
    assert!(server.metric("ms_sip_blocked{profile=\"external\",reason=\"banned\"}") >= 1.0);
}

/// So many descriptors and tasks may come and go beside the calls: connections to the office, of which each has two ends in this
/// process, and of who asks; files of the database. A tenth of what forty calls take.
const BESIDE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_grow_by_the_call_and_everything_is_back_when_the_calls_are_over() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let server = Server::start(&site);
    // The first calls open what is opened once.
    let warm = crowd(&site, 2, 0);
    hears(&warm, 5).await;
    all_go(&warm).await;
    let idle =
        || server.metric("ms_dialogs_active") == 0.0 && server.metric("ms_calls_active") == 0.0;
    let free = || server.metric("ms_media{what=\"ports_leased\"}") == 0.0;
    server.until("idle", idle);
    server.until("the first calls' sockets are closed", free);
    let (begin, tasks) = (server.descriptors_by_kind(), server.metric("ms_tasks"));
    let ten = crowd(&site, 10, 0);
    hears(&ten, 5).await;
    let with_ten = server.descriptors_by_kind();
    let twenty = crowd(&site, 20, 0);
    hears(&twenty, 5).await;
    let with_thirty = server.descriptors_by_kind();
    let muxed = Crowd::call_muxed(&Plan {
        server: site.sip,
        user: "echo".into(),
        udp: 10,
        tcp: 0,
    });
    hears(&muxed, 5).await;
    let with_forty = server.descriptors_by_kind();
    assert_eq!(
        (with_ten.udp - begin.udp, with_thirty.udp - with_ten.udp),
        (10 * 2, 20 * 2),
        "a socket for RTP and one for RTCP a call"
    );
    assert_eq!(
        with_forty.udp - with_thirty.udp,
        10,
        "one where both come together"
    );
    // What is open beside them does not grow by the call: forty calls are not ten.
    let beside = [with_ten, with_thirty, with_forty].map(|counted| counted.others);
    let few = begin.others + BESIDE;
    assert!(
        beside.iter().all(|others| *others <= few),
        "{begin:?}, then {beside:?}"
    );
    for crowd in [&ten, &twenty, &muxed] {
        all_go(crowd).await;
    }
    server.until("no dialog is left", idle);
    server.until("sockets are closed", || {
        server.descriptors_by_kind().udp == begin.udp
    });
    server.until("so is the rest", || {
        server.descriptors_by_kind().others <= few
    });
    server.until("ports rest or are free", free);
    server.until("tasks are over", || {
        server.metric("ms_tasks") <= tasks + BESIDE as f64
    });
    assert_eq!(server.json(&["status"])["dialogs"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_is_not_parsed_and_live_calls_do_not_hear_it() {
    let site = Site::new(NO_LIMITS, Some(ECHO));
    let external = place();
    let acl = format!(
        "listen = [\"udp://{external}\"]\ncontext = \"internal\"\nauth = \"acl\"\n\
         [[trunk]]\nname = \"carrier\"\nsources = [\"192.0.2.1/32\"]\n"
    );
    site.write("profiles/external.toml", &acl);
    let node = site.start().await;
    let crowd = crowd(&site, 3, 0);
    hears(&crowd, 10).await;
    let before = counts(&crowd);
    let flood = flood::Args {
        to: external,
        pps: 5_000,
        sources: 250,
        seconds: 3,
    };
    let sent = tokio::task::spawn_blocking(move || flood::send(&flood).unwrap().0);
    let sent = sent.await.unwrap();
    goes_on(&crowd, &before).await;
    let gate = node
        .services
        .lines
        .get("external")
        .unwrap()
        .wire
        .gate()
        .clone();
    let dropped: u64 = gate.dropped().numbers().iter().map(|(_, n)| n).sum();
    // 500 at once and 500 a second may pass; what the kernel dropped was not even looked at.
    assert_eq!(sent, 15_000);
    assert!(dropped >= 5_000, "{:?}", gate.dropped());
    all_go(&crowd).await;
    for caller in crowd.callers() {
        caller.heard_one_stream();
    }
    node.stop().await;
}
