//! Trouble in the world: it harms what it touches, says why, and passes.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use media_server::{
    http,
    node::{NodeHandle, ProfileStatus},
};
use rig::Site;
use serde_json::{Value, json};
use sipp::{Sipp, header};
use socket2::{Domain, Socket, Type};

const LIMIT: Duration = Duration::from_secs(50);

/// Whether somebody answers OPTIONS there.
fn answers(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = socket.local_addr().unwrap();
    let limit = Some(Duration::from_secs(2));
    socket.set_read_timeout(limit).unwrap();
    let request = format!(
        "OPTIONS sip:ping@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKping{from}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@127.0.0.1>;tag=p\r\nTo: <sip:ping@{server}>\r\n\
         Call-ID: {from}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), server).unwrap();
    let mut answer = [0; 2_048];
    let length = socket.recv(&mut answer).unwrap_or(0);
    answer[..length].starts_with(b"SIP/2.0 200")
}

async fn status(node: &NodeHandle, profile: &str) -> ProfileStatus {
    let mut all = http::profiles(&node.node).await.into_iter();
    all.find(|status| status.name == profile).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_fails_its_profile_alone_until_it_is_free() {
    let site = Site::new("", None);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (udp, tcp) = (taken.local_addr().unwrap(), taken_tcp.local_addr().unwrap());
    let profile = |listen: &str, first: u16| {
        let first = site.first_rtp + first;
        format!(
            "listen = [{listen}]\ncontext = \"internal\"\nauth = \"none\"\n\
             rtp = {{ ports = \"{first}-{}\" }}\n",
            first + 9
        )
    };
    site.internal("", 100, "");
    site.write(
        "profiles/first.toml",
        &profile(&format!("\"udp://{udp}\""), 100),
    );
    site.write(
        "profiles/second.toml",
        &profile(&format!("\"tcp://{tcp}\""), 200),
    );
    let node = site.start().await;
    for (name, place) in [
        ("first", format!("udp {udp}")),
        ("second", format!("tcp {tcp}")),
    ] {
        let failed = status(&node, name).await;
        assert_eq!(failed.state, "failed");
        let reason = failed.reason.unwrap();
        assert!(
            reason.starts_with(&place) && reason.contains("in use"),
            "{reason}"
        );
    }
    let up = status(&node, "internal").await;
    assert_eq!((up.state, up.reason), ("up", None));
    assert!(answers(site.sip), "the others serve");
    drop((taken, taken_tcp));
    let until = Instant::now() + Duration::from_secs(15);
    for name in ["first", "second"] {
        while status(&node, name).await.state != "up" {
            assert!(Instant::now() < until, "{:?}", status(&node, name).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(status(&node, name).await.reason, None);
    }
    assert!(answers(udp), "what was free again serves");
    node.stop().await;
}

/// A port at which nobody answers for as long as its holders live: UDP that nobody reads, TCP that refuses. A port that is merely free
/// is soon some other socket's.
fn dead_port() -> ((UdpSocket, Socket), u16) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = udp.local_addr().unwrap();
        let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if tcp.bind(&at.into()).is_ok() {
            return ((udp, tcp), at.port());
        }
    }
}

/// Far sides that cannot be reached: no such name, nobody at the port, nobody who answers.
const DEAD: &str = r#"
context = "internal"

[[route]]
name = "name"
when = { to = "name" }
do = [{ bridge = { to = "sip:x@nobody.invalid", ring_for = "20s", on = { failed = "closed", no_answer = "silent" } } }]

[[route]]
name = "port"
when = { to = "port" }
do = [{ bridge = { to = "sip:x@127.0.0.1:PORT;transport=tcp", ring_for = "20s", on = { failed = "closed", no_answer = "silent" } } }]

[[route]]
name = "silence"
when = { to = "silence" }
do = [{ bridge = { to = "sip:x@127.0.0.1:PORT", ring_for = "2s", on = { failed = "closed", no_answer = "silent" } } }]

[[route]]
name = "in-turn"
when = { to = "in-turn" }
do = [{ bridge = { to = ["sip:x@127.0.0.1:PORT;transport=tcp", "sip:echo@SIP"], ring_for = "5s" } }]

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[section.closed]
do = [{ log = "cannot be reached" }, "answer", { say = "Nobody is there." }, { hangup = "normal" }]

[section.silent]
do = [{ log = "does not answer" }, "answer", { say = "Nobody answers." }, { hangup = "normal" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_far_side_takes_its_own_branch_and_nobody_else_notices() {
    let (_held, dead) = dead_port();
    let site = Site::new("", None);
    let plan = DEAD.replace("PORT", &dead.to_string());
    let plan = plan.replace("SIP", &site.sip.to_string());
    site.write("dialplans/internal.toml", &plan);
    let node = site.start().await;
    let office = site.office();
    let expected = [
        ("name", "cannot be reached"),
        ("port", "cannot be reached"),
        ("silence", "does not answer"),
    ];
    for (to, line) in expected {
        let phone = site.phone(to, &["--stay", "--seconds", "40"]);
        let (summary, _) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
            .await
            .unwrap();
        let call = office.ended(&summary["sip_call_id"]).await;
        let logged = office.facts(&call, "logged").await;
        assert_eq!(logged, [json!({ "line": line })], "{to}: {call:#}");
        assert_eq!(call["end_reason"], "dialplan_hangup", "{to}: {call:#}");
        assert!(answers(site.sip));
    }
    // The next target in turn is tried after a dead one.
    let phone = site.phone("in-turn", &["--step", "wait:1s", "--seconds", "2"]);
    let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    let ids = summary["sip_call_id"].clone();
    let call = office.ended(&ids).await;
    let bridged = office.facts(&call, "bridged").await;
    assert_eq!(bridged.len(), 1, "{call:#}");
    assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_port_the_caller_gets_503_and_a_record() {
    if !sipp::is_here("without_a_free_port_the_caller_gets_503_and_a_record") {
        return;
    }
    let site = Site::new("", None);
    site.internal("", 2, "");
    let node = site.start().await;
    let office = site.office();
    let mut first = site.phone("echo", &["--step", "wait:4s", "--seconds", "4"]);
    let first = tokio::task::spawn_blocking(move || {
        first.wait_for("answered", LIMIT);
        first
    });
    let first = first.await.unwrap();
    let keys = [("rtp_port", "40000")];
    let second = Sipp::call(site.sip, "trouble-there-is-no-room", "echo", &keys);
    let id = json!(second.call_id);
    let ladder = second.succeeds(LIMIT);
    let refusal = ladder.first("SIP/2.0 503");
    assert!(header(&refusal, "Retry-After").is_some(), "{refusal}");
    let refused = office.ended(&id).await;
    assert_eq!(refused["end_reason"], "capacity", "{refused:#}");
    assert_eq!(refused["sip"]["code"], 503);
    assert_eq!(refused["duration_ms"], 0);
    // The first call did not notice, and its port serves again when it has rested.
    let (summary, content) = tokio::task::spawn_blocking(move || first.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let phone = site.phone("echo", &["--step", "wait:1s", "--seconds", "1"]);
    let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_callers_get_503_and_the_call_goes_on() {
    if !sipp::is_here("beyond_the_limit_callers_get_503_and_the_call_goes_on") {
        return;
    }
    let site = Site::new("", None);
    site.internal("", 100, "limits = { calls = 1 }");
    let node = site.start().await;
    let mut first = site.phone("echo", &["--step", "wait:3s", "--seconds", "3"]);
    let first = tokio::task::spawn_blocking(move || {
        first.wait_for("answered", LIMIT);
        first
    });
    let first = first.await.unwrap();
    let keys = [("rtp_port", "40000")];
    let second = Sipp::call(site.sip, "trouble-there-is-no-room", "echo", &keys);
    let refusal = second.succeeds(LIMIT).first("SIP/2.0 503");
    assert!(header(&refusal, "Retry-After").is_some(), "{refusal}");
    let (summary, content) = tokio::task::spawn_blocking(move || first.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    node.stop().await;
}

fn broken() -> Vec<PathBuf> {
    let folder = rig::root().join("crates/settings/tests/broken");
    let folders = std::fs::read_dir(folder).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn run(command: &str, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_media-server"))
        .arg(command)
        .arg("--config")
        .arg(config)
        // What the folders name beside themselves is named from there.
        .current_dir(rig::root().join("crates/settings"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn check_finds_every_fault_of_every_broken_folder_with_its_place() {
    let folders = broken();
    assert!(folders.len() >= 20, "{folders:?}");
    for folder in folders {
        let output = run("check", &folder.join("sidetone.toml"));
        assert_eq!(output.status.code(), Some(1), "{}", folder.display());
        let said = String::from_utf8(output.stdout).unwrap();
        let said = said.replace(&format!("{}/", folder.display()), "");
        let expected = std::fs::read_to_string(folder.join("expected")).unwrap();
        let lines: Vec<_> = said.lines().collect();
        for fault in expected.lines() {
            assert!(lines.contains(&fault), "'{fault}' is missing in\n{said}");
        }
    }
}

/// A copy of a folder of the tree.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

#[test]
fn serve_refuses_what_check_refuses_and_starts_nothing() {
    for folder in broken() {
        let dir = tempfile::tempdir().unwrap();
        copy(&folder, dir.path());
        let before = files(dir.path());
        let output = run("serve", &dir.path().join("sidetone.toml"));
        assert!(!output.status.success(), "{}", folder.display());
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let said = said.replace(&format!("{}/", dir.path().display()), "");
        let expected = std::fs::read_to_string(folder.join("expected")).unwrap();
        let first = expected.lines().next().unwrap();
        let (_, words) = first.split_once(": error: ").unwrap();
        assert!(said.contains(words), "'{words}' is missing in\n{said}");
        assert_eq!(files(dir.path()), before, "{}", folder.display());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Trouble of one call is in its record, whoever had it.
#[tokio::test(flavor = "multi_thread")]
async fn no_common_codec_is_488_with_a_record() {
    if !sipp::is_here("no_common_codec_is_488_with_a_record") {
        return;
    }
    let site = Site::new("", None);
    let node = site.start().await;
    let keys = [("rtp_port", "40000")];
    let call = Sipp::call(site.sip, "trouble-no-codec-in-common", "echo", &keys);
    let id = Value::String(call.call_id.clone());
    call.succeeds(LIMIT);
    let call = site.office().ended(&id).await;
    assert_eq!(call["end_reason"], "no_common_codec", "{call:#}");
    assert_eq!(call["sip"]["code"], 488);
    node.stop().await;
}

/// A carrier that answers everything with 200.
fn carrier() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let kept = request
                .lines()
                .filter(|l| copied.iter().any(|c| l.starts_with(c)));
            let kept: Vec<&str> = kept.collect();
            let answer = format!(
                "SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n",
                kept.join("\r\n")
            );
            socket.send_to(answer.as_bytes(), from).unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_trunk_and_a_dead_name_fail_alone_and_say_why() {
    let site = Site::new("", None);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let trunk = |name: &str, proxy: &str| {
        format!("[[trunk]]\nname = \"{name}\"\nproxy = \"{proxy}\"\nping = \"1s\"\n")
    };
    let trunks = [
        trunk("alive", &carrier().to_string()),
        trunk("nameless", "carrier.invalid"),
        trunk("mute", &silent.local_addr().unwrap().to_string()),
    ];
    site.internal("", 100, &trunks.concat());
    let node = site.start().await;
    let until = Instant::now() + LIMIT;
    let healths = loop {
        let status = status(&node, "internal").await;
        let healths = status.trunks;
        let known = healths
            .iter()
            .filter(|t| t.health.state != "unknown")
            .count();
        if known == 3 || Instant::now() > until {
            break healths;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let of = |name: &str| &healths.iter().find(|t| t.name == name).unwrap().health;
    assert_eq!(of("alive").state, "up");
    assert_eq!(of("nameless").state, "failed");
    let why = of("nameless").reason.as_deref().unwrap_or_default();
    assert!(why.starts_with("dns: carrier.invalid"), "{why}");
    assert_eq!(of("mute").state, "failed");
    assert_eq!(of("mute").reason.as_deref(), Some("no answer to OPTIONS"));
    assert!(answers(site.sip), "the profile serves all the same");
    node.stop().await;
}
