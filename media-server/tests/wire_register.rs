//! T11 and T17: passwords at the door, phones that register, and calls between them.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use media_server::node::{Msg, NodeHandle};
use rig::Site;
use serde_json::json;

const DOMAIN: &str = "127.0.0.1";
const LIMIT: Duration = Duration::from_secs(30);

/// A site whose `internal` profile asks for passwords.
fn site(more: &str) -> Site {
    let site = Site::new("", None);
    let (sip, first) = (site.sip, site.first_rtp);
    let last = first + 399;
    site.write(
        "profiles/internal.toml",
        &format!(
            "listen = [\"udp://{sip}\", \"tcp://{sip}\"]\ncontext = \"internal\"\nauth = \"digest\"\n\
             codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{last}\" }}\n{more}\n"
        ),
    );
    site
}

/// Makes extensions in the demo tenant and waits until the switch knows them.
async fn extensions(site: &Site, node: &NodeHandle, users: &[&str]) {
    let office = site.office();
    let tenants = office.get("/v1/tenants").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({"name": DOMAIN});
    let domain = office.post_for(&tenant, "/v1/sip-domains", &body).await;
    for user in users {
        let body =
            json!({"domain_id": domain["id"], "user": user, "password": format!("secret-{user}")});
        let made = office.post_for(&tenant, "/v1/extensions", &body).await;
        assert_eq!(made["password"], "***", "{made}");
    }
    let last = format!("{}@{DOMAIN}", users.last().unwrap());
    until("the switch knows the extensions", || {
        node.services.registrar.directory().knows(&last)
    })
    .await;
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One request over UDP, one answer.
struct Wire {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Wire {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, server }
    }

    fn send(&self, method: &str, user: &str, domain: &str, cseq: u32, lines: &str) {
        let us = self.socket.local_addr().unwrap();
        let text = format!(
            "{method} sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{method}{user}{cseq};rport\r\n\
             From: <sip:{user}@{domain}>;tag=t\r\nTo: <sip:{user}@{domain}>\r\nCall-ID: {us}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{user}@{us}>\r\nMax-Forwards: 70\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    fn answer(&self) -> String {
        let mut buffer = [0; 4_096];
        let (length, _) = self.socket.recv_from(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn ask(&self, method: &str, user: &str, domain: &str, cseq: u32, lines: &str) -> String {
        self.send(method, user, domain, cseq, lines);
        self.answer()
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// The headers of an answer that could tell somebody something: nonces, tags and names of the request left out.
fn tells(answer: &str) -> Vec<String> {
    let mut lines: Vec<_> = answer.lines().map(str::to_owned).collect();
    lines.retain(|line| {
        let own = ["Via", "From", "To", "Call-ID", "CSeq"];
        !own.iter().any(|name| line.starts_with(&format!("{name}:")))
    });
    let hidden = |line: &String| match line.split_once("nonce=\"") {
        Some((head, tail)) => format!(
            "{head}{}",
            tail.split_once('"').map_or("", |(_, rest)| rest)
        ),
        None => line.clone(),
    };
    lines
        .iter()
        .map(hidden)
        .map(|line| line.replace("nowhere.example", DOMAIN))
        .collect()
}

/// Credentials for the first challenge of an answer.
fn credentials(answer: &str, user: &str, realm: &str, password: &str, method: &str) -> String {
    use sip_core::{
        digest::{Answered, Asker, Login},
        message::{Framing, Message, Method, parse},
    };
    let Ok(Message::Response(response)) = parse(&answer.to_owned().into(), Framing::Datagram)
    else {
        panic!("{answer}");
    };
    let mut asker = Asker::new(Login {
        user: user.into(),
        password: password.to_owned().into(),
        realms: vec![realm.into()],
    });
    asker
        .challenged(401, response.headers(), &mut Answered::default())
        .unwrap();
    let method = if method == "INVITE" {
        Method::Invite
    } else {
        Method::Register
    };
    let uri = format!("sip:{realm}");
    let lines = asker.headers(&method, uri.as_bytes(), &"cnonce".into());
    lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_unknown_users_and_wrong_passwords_get_one_and_the_same_answer() {
    let site = site("");
    let node = site.start().await;
    extensions(&site, &node, &["1001"]).await;
    let wire = Wire::new(site.sip);
    let mut seen = Vec::new();
    let cases = [
        ("1001", DOMAIN, "wrong"),
        ("9999", DOMAIN, "x"),
        ("1001", "nowhere.example", "x"),
    ];
    for (at, (user, domain, password)) in cases.into_iter().enumerate() {
        let first = wire.ask("REGISTER", user, domain, 10 * at as u32 + 1, "");
        assert_eq!(status(&first), "401", "{first}");
        assert!(
            first.contains("nonce=\"") && first.contains("qop=\"auth\""),
            "{first}"
        );
        let given = credentials(&first, user, domain, password, "REGISTER");
        let second = wire.ask("REGISTER", user, domain, 10 * at as u32 + 2, &given);
        assert_eq!(status(&second), "401", "{second}");
        assert!(!second.contains("stale"), "{second}");
        seen.push((tells(&first), tells(&second)));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
    // The right one, once; its copy gets the same answer, its replay does not.
    let first = wire.ask("REGISTER", "1001", DOMAIN, 51, "");
    let given = credentials(&first, "1001", DOMAIN, "secret-1001", "REGISTER");
    let good = wire.ask("REGISTER", "1001", DOMAIN, 52, &given);
    assert_eq!(status(&good), "200", "{good}");
    assert_eq!(
        wire.ask("REGISTER", "1001", DOMAIN, 52, &given),
        good,
        "a retransmission"
    );
    let replay = wire.ask("REGISTER", "1001", DOMAIN, 53, &given);
    assert_eq!(status(&replay), "401");
    assert!(replay.contains("stale=true"), "{replay}");
    assert_eq!(node.services.registrar.listing().len(), 1);
    // Nobody registers for somebody else.
    let fresh = credentials(&replay, "1001", DOMAIN, "secret-1001", "REGISTER");
    let other = wire.ask("REGISTER", "1002", DOMAIN, 54, &fresh);
    assert_eq!(status(&other), "403", "{other}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_rings_before_the_password_and_ack_and_cancel_are_never_challenged() {
    let site = site("");
    let node = site.start().await;
    extensions(&site, &node, &["1001"]).await;
    let wire = Wire::new(site.sip);
    let first = wire.ask("INVITE", "1001", DOMAIN, 1, "");
    assert_eq!(status(&first), "401", "no 100, no 180 before it: {first}");
    wire.send("ACK", "1001", DOMAIN, 1, "");
    let gone = wire.ask("CANCEL", "1001", DOMAIN, 2, "");
    assert_eq!(
        status(&gone),
        "481",
        "the ACK got nothing, the CANCEL no challenge: {gone}"
    );
    assert_eq!(node.services.calls.len(), 0);
    node.stop().await;
}

/// bC08: a used count opens no second call, and its owner is told to ask anew; so is whoever comes with a nonce that grew old.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_opens_one_call_and_an_old_nonce_is_asked_anew() {
    let site = site("digest = { nonce = \"2s\" }");
    let node = site.start().await;
    extensions(&site, &node, &["1001"]).await;
    let wire = Wire::new(site.sip);
    let first = wire.ask("INVITE", "1001", DOMAIN, 1, "");
    wire.send("ACK", "1001", DOMAIN, 1, "");
    let given = credentials(&first, "1001", DOMAIN, "secret-1001", "INVITE");
    let let_in = wire.ask("INVITE", "1001", DOMAIN, 2, &given);
    assert_ne!(status(&let_in), "401", "{let_in}");
    let others = Wire::new(site.sip);
    let replay = others.ask("INVITE", "1001", DOMAIN, 3, &given);
    assert_eq!(status(&replay), "401", "{replay}");
    assert!(replay.contains("stale=true"), "{replay}");
    others.send("ACK", "1001", DOMAIN, 3, "");

    let phone = Wire::new(site.sip);
    let first = phone.ask("REGISTER", "1001", DOMAIN, 11, "");
    let early = credentials(&first, "1001", DOMAIN, "secret-1001", "REGISTER");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let late = phone.ask("REGISTER", "1001", DOMAIN, 12, &early);
    assert_eq!(status(&late), "401", "{late}");
    assert!(late.contains("stale=true"), "{late}");
    let anew = credentials(&late, "1001", DOMAIN, "secret-1001", "REGISTER");
    let good = phone.ask("REGISTER", "1001", DOMAIN, 13, &anew);
    assert_eq!(status(&good), "200", "{good}");
    node.stop().await;
}

/// SIPp registers and calls with MD5.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_registers_with_its_password_and_calls() {
    if !sipp::is_here("sipp_registers_with_its_password_and_calls") {
        return;
    }
    let site = site("digest = { algorithms = [\"MD5\"] }");
    let node = site.start().await;
    extensions(&site, &node, &["1001"]).await;
    let keys = [("user", "1001"), ("password", "secret-1001")];
    let phone = sipp::Sipp::call(site.sip, "t17-a-phone-registers-and-calls", "echo", &keys);
    let call_id = json!(phone.call_id.clone());
    tokio::task::spawn_blocking(move || phone.succeeds(LIMIT))
        .await
        .unwrap();
    let record = site.office().ended(&call_id).await;
    assert_eq!(record["from"], "1001", "{record}");
    // The switch tells the office beside the call.
    let until = Instant::now() + LIMIT;
    loop {
        let listed = site.office().get("/v1/registrations").await;
        if listed["data"] == json!([]) {
            break;
        }
        let waits = Instant::now() < until;
        assert!(waits, "it never un-registered: {listed}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    node.stop().await;
}

/// The built-in phone calls as an extension; without a password nothing rings.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_phone_calls_with_its_password_and_not_without() {
    let site = site("");
    let node = site.start().await;
    extensions(&site, &node, &["1001"]).await;
    site.write("password", "secret-1001\n");
    let file = site.dir.path().join("password").display().to_string();
    let user = format!("1001@{DOMAIN}");
    let known = ["--user", &user, "--password-file", &file];
    let short = ["--step", "wait:0.2s", "--seconds", "1"];
    let phone = site.phone("echo", &[&known[..], &short].concat());
    let stranger = site.phone("echo", &short);
    let (known, stranger) =
        tokio::task::spawn_blocking(|| (phone.finish(LIMIT), stranger.finish(LIMIT)))
            .await
            .unwrap();
    let ((summary, content), (refused, _)) = (known, stranger);
    assert!(content, "{summary:#}");
    let record = site.office().ended(&summary["sip_call_id"]).await;
    assert_eq!(record["from"], "1001", "{record}");
    assert_eq!(refused["status"], 401, "{refused:#}");
    node.stop().await;
}

/// A carrier's registrar: challenges everybody, knows `good` and `brief` by the password `secret`, and gives
/// `brief` no life under two minutes.
struct Carrier {
    port: u16,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Carrier {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let seen = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let notes = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if let Some(answer) = Self::answer(&text) {
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
                if text.starts_with("REGISTER") {
                    notes.lock().unwrap().push(text);
                }
            }
        });
        Self { port, seen }
    }

    fn answer(text: &str) -> Option<String> {
        let line = |name: &str| {
            text.lines()
                .find(|line| line.starts_with(&format!("{name}:")))
        };
        let mut said = String::new();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            said += &format!("{}\r\n", line(name)?);
        }
        let user = line("To")?
            .split("sip:")
            .nth(1)?
            .split('@')
            .next()?
            .to_owned();
        let expires: u32 = line("Expires").map_or(0, |line| line[8..].trim().parse().unwrap());
        let status = match text.split(' ').next()? {
            "REGISTER" if line("Authorization").is_none() => {
                said += "WWW-Authenticate: Digest realm=\"127.0.0.1\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";
                "401 Unauthorized"
            }
            "REGISTER" if user == "wrong" => {
                said += "WWW-Authenticate: Digest realm=\"127.0.0.1\", nonce=\"m\", algorithm=MD5, qop=\"auth\"\r\n";
                "401 Unauthorized"
            }
            "REGISTER" if user == "brief" && (1..120).contains(&expires) => {
                said += "Min-Expires: 120\r\n";
                "423 Interval Too Brief"
            }
            "REGISTER" if expires > 0 => {
                said += &format!("{}\r\n", line("Contact")?);
                "200 OK"
            }
            _ => "200 OK",
        };
        Some(format!(
            "SIP/2.0 {status}\r\n{said}Content-Length: 0\r\n\r\n"
        ))
    }

    fn of(&self, user: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mine = |text: &&String| text.contains(&format!("To: <sip:{user}@"));
        seen.iter().filter(mine).cloned().collect()
    }
}

/// T16: ok, wrong password, 423, a registrar that is not there, and un-REGISTER at the end.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_register_each_for_itself_and_leave_when_the_node_drains() {
    let carrier = Carrier::start();
    let port = carrier.port;
    let trunk = |user: &str, proxy: &str| {
        format!(
            "[[trunk]]\nname = \"{user}\"\nproxy = \"{proxy}\"\nusername = \"{user}\"\npassword = \"secret\"\n\
             register = true\nexpires = \"90s\"\n"
        )
    };
    let here = format!("127.0.0.1:{port}");
    let more = trunk("good", &here)
        + &trunk("wrong", &here)
        + &trunk("brief", &here)
        + &trunk("gone", "no.such.invalid");
    let site = Site::new("", None);
    site.internal("", 400, &more);
    let node = site.start().await;
    let state = |name: &str| {
        let gateways = node.services.gateways();
        let mut mine = gateways.iter().filter(|((_, trunk), _)| trunk == name);
        mine.next()
            .map_or("none", |(_, gateway)| gateway.standing.state)
    };
    let wanted = [
        ("good", "registered"),
        ("wrong", "auth_failed"),
        ("brief", "registered"),
        ("gone", "network"),
    ];
    until("each stands as it must", || {
        wanted.iter().all(|(name, is)| state(name) == *is)
    })
    .await;
    assert_eq!(carrier.of("wrong").len(), 2, "no hammering");
    let brief: Vec<_> = carrier
        .of("brief")
        .iter()
        .map(|text| text.contains("Expires: 120"))
        .collect();
    assert_eq!(brief, [false, false, true]);
    let good = carrier.of("good");
    let contact = format!("Contact: <sip:good@{}>;expires=90", site.sip);
    assert!(
        good[1].contains(&contact) && good[1].contains("nc=00000001"),
        "{}",
        good[1]
    );
    node.drain(Duration::from_secs(1)).await;
    let wanted = [("good", "unregistered"), ("brief", "unregistered")];
    until("they are given back", || {
        wanted.iter().all(|(name, is)| state(name) == *is)
    })
    .await;
    for user in ["good", "brief"] {
        let last = carrier.of(user).pop().unwrap();
        assert!(
            last.contains("Expires: 0") && last.contains("expires=0"),
            "{last}"
        );
    }
    // `drain --undo`: who left comes back.
    node.node.cast(Msg::Undrain).unwrap();
    let wanted = [("good", "registered"), ("brief", "registered")];
    until("they are registered again", || {
        wanted.iter().all(|(name, is)| state(name) == *is)
    })
    .await;
    node.stop().await;
}
