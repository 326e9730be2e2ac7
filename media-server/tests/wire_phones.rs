//! T11 and T17 with phones that are not ours: baresip and linphone register with their passwords over UDP, TCP and TLS, call the
//! agent and each other over each, and both are heard. JsSIP, a browser's phone, registers, calls and is called over a secured
//! WebSocket.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/linphone.rs"]
mod linphone;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/talker.rs"]
mod talker;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use baresip::{Call, Manner, Running};
use linphone::{Account, Linphone};
use media_server::node::NodeHandle;
use rig::Site;
use serde_json::{Value, json};

/// The host of the address of record: realm and domain.
const DOMAIN: &str = "127.0.0.1";
const LIMIT: Duration = Duration::from_secs(30);
const WORDS: &str = "I would like a table for four people on Friday at seven.";

/// A site whose `internal` profile asks for passwords, over three transports. With MD5: this baresip (libre 1.1) knows no
/// other, and gives up when it is offered SHA-256 as well.
struct Door {
    site: Site,
    tls: SocketAddr,
    wss: SocketAddr,
}

impl Door {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(plan: Option<&str>) -> Self {
        let site = Site::new("", plan);
        let place = |()| SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
        let (tls, wss) = (place(()), place(()));
        let (sip, first) = (site.sip, site.first_rtp);
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new([DOMAIN.to_owned()]).unwrap();
        let own = own.self_signed(&key).unwrap();
        site.write("profiles/cert.pem", &own.pem());
        site.write("profiles/key.pem", &key.serialize_pem());
        let profile = format!(
            "listen = [\"udp://{sip}\", \"tcp://{sip}\", \"tls://{tls}\", \"wss://{wss}\"]\ncontext = \"internal\"\nauth = \"digest\"\n\
             codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{}\" }}\n\
             tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\
             digest = {{ algorithms = [\"MD5\"] }}\n",
            first + 399
        );
        site.write("profiles/internal.toml", &profile);
        Self { site, tls, wss }
    }

    fn at(&self, transport: &str) -> SocketAddr {
        match transport {
            "tls" => self.tls,
            _ => self.site.sip,
        }
    }

    /// A phone of this user, registered by the time it is handed out.
    fn phone(&self, user: &str, manner: &Manner) -> Running {
        let (at, transport) = (self.at(manner.transport), manner.transport);
        let manner = Manner {
            aor: format!("{user}@{at};transport={transport}"),
            watched: true,
            ..manner.clone()
        };
        let phone = Running::register(&manner, &format!("secret-{user}"));
        phone.says("[1 binding]");
        phone
    }

    /// A linphone of this user, on its way to be registered.
    fn linphone(&self, user: &str, transport: &'static str, says: &[i16]) -> Linphone {
        let account = Account {
            user,
            password: &format!("secret-{user}"),
            domain: DOMAIN,
            at: self.at(transport),
            transport,
        };
        Linphone::register(&account, says)
    }

    /// What the office knows of registrations, once it is so many.
    async fn registered(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + LIMIT;
        loop {
            let listed = self.site.office().get("/v1/registrations").await;
            let all = listed["data"].as_array().cloned().unwrap_or_default();
            if all.len() == count {
                return all;
            }
            assert!(Instant::now() < end, "{count} of {all:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
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
        office.post_for(&tenant, "/v1/extensions", &body).await;
    }
    let last = format!("{}@{DOMAIN}", users.last().unwrap());
    let end = Instant::now() + LIMIT;
    while !node.services.registrar.directory().knows(&last) {
        assert!(Instant::now() < end, "the switch does not know {last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says the sentence once, after the agent's greeting.
async fn guest(transport: &'static str) -> Manner {
    let mut says = vec![0; 11 * 8_000];
    says.extend(talker::spoken(WORDS).await);
    says.resize(60 * 8_000, 0);
    Manner {
        transport,
        says,
        seconds: 24,
        ..Manner::default()
    }
}

async fn assert_understood(door: &Door, transport: &str, call: &Call) {
    let story = format!("{transport}: {}", call.trace);
    assert!(call.trace.contains("Authorization: Digest"), "{story}");
    let via = format!("SIP/2.0/{}", transport.to_uppercase());
    assert!(call.trace.contains(&via), "{story}");
    let office = door.site.office();
    let record = office.ended(&json!(call.invited())).await;
    assert_eq!(record["from"], json!(user_of(transport)), "{record:#}");
    assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    let said = office.said(&record, "caller").await;
    let text = |s: &Value| s["text"].as_str().unwrap_or_default().to_owned();
    let heard = said.iter().map(text).collect::<Vec<_>>().join(" ");
    let score = local_speech::wer::score(WORDS, &heard);
    println!("{transport}: '{heard}' {:.2}", score.rate());
    assert!(score.rate() <= 0.5, "{transport}: '{heard}'");
    let agent = office.said(&record, "agent").await;
    assert!(!agent.is_empty(), "{record:#}");
    let loud = call.heard.iter().filter(|s| s.unsigned_abs() > 1_000);
    assert!(loud.count() > 8_000, "the phone hears the agent");
}

fn user_of(transport: &str) -> &'static str {
    match transport {
        "udp" => "1001",
        "tcp" => "1002",
        _ => "1003",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_registers_over_udp_tcp_and_tls_calls_the_agent_and_both_are_heard() {
    let test = "baresip_registers_over_udp_tcp_and_tls_calls_the_agent_and_both_are_heard";
    if !baresip::is_here(test) {
        return;
    }
    let door = Door::new();
    let node = door.site.start().await;
    if node.services.models.is_none() {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
        return node.stop().await;
    }
    extensions(&door.site, &node, &["1001", "1002", "1003"]).await;
    let mut phones = Vec::new();
    for transport in ["udp", "tcp", "tls"] {
        let manner = guest(transport).await;
        phones.push((transport, door.phone(user_of(transport), &manner)));
    }
    let listed = door.registered(3).await;
    for (transport, phone) in &mut phones {
        let aor = format!("{}@{DOMAIN}", user_of(transport));
        let listed = listed.iter().find(|one| one["aor"] == json!(aor));
        println!("{listed:?}");
        let at = door.at(transport);
        phone.tell("dial", &format!("sip:agent@{at};transport={transport}"));
        phone.wait_for("CALL_ESTABLISHED");
    }
    for (transport, phone) in phones {
        let call = tokio::task::spawn_blocking(move || phone.finish());
        assert_understood(&door, transport, &call.await.unwrap()).await;
    }
    door.registered(0).await;
    node.stop().await;
}

/// A tone that comes and goes.
fn tone(hz: f64) -> Vec<i16> {
    let sample = |n: usize| {
        let wave = (n as f64 * hz / 8_000.0 * std::f64::consts::TAU).sin();
        if n % 4_000 < 3_200 {
            (wave * 8_000.0) as i16
        } else {
            0
        }
    };
    (0..8_000).map(sample).collect()
}

/// How many 20 ms of it are this tone and little else (Goertzel).
fn frames_of(hz: f64, heard: &[i16]) -> usize {
    frames_at(8_000, hz, heard)
}

fn frames_at(rate_hz: u32, hz: f64, heard: &[i16]) -> usize {
    let rate = f64::from(rate_hz);
    let is_tone = |frame: &[i16]| {
        let power: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
        let angle = hz / rate * std::f64::consts::TAU;
        let parts = frame.iter().enumerate().map(|(n, s)| {
            let (sin, cos) = (angle * n as f64).sin_cos();
            (f64::from(*s) * cos, f64::from(*s) * sin)
        });
        let (re, im) = parts.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let share = (re * re + im * im) * 2.0 / (frame.len() as f64 * power.max(1.0));
        power / frame.len() as f64 > 250_000.0 && share > 0.8
    };
    let frame = rate_hz as usize / 50;
    heard.chunks_exact(frame).filter(|f| is_tone(f)).count()
}

const PHONES: &str = r#"
context = "internal"

[[route]]
name = "phones"
when = { to = '(?<ext>10\d\d)' }
do = [{ bridge = { to = "user/{to.ext}", ring_for = "10s" } }]
"#;

/// Each calls the next one, from transport to transport, and is heard there; what comes back is heard too.
#[tokio::test(flavor = "multi_thread")]
async fn phones_call_each_other_over_udp_tcp_and_tls() {
    let test = "phones_call_each_other_over_udp_tcp_and_tls";
    if !baresip::is_here(test) {
        return;
    }
    let door = Door::with(Some(PHONES));
    let node = door.site.start().await;
    extensions(&door.site, &node, &["1001", "1002", "1003"]).await;
    let each = [("udp", 600.0), ("tcp", 1_000.0), ("tls", 1_600.0)];
    let mut phones = each.map(|(transport, hz)| {
        let manner = Manner {
            transport,
            says: tone(hz),
            seconds: 90,
            ..Manner::default()
        };
        door.phone(user_of(transport), &manner)
    });
    door.registered(3).await;
    for (caller, (transport, _)) in each.iter().enumerate() {
        let called = (caller + 1) % 3;
        let user = user_of(each[called].0);
        let at = door.at(transport);
        println!("{transport} calls {user}");
        phones[caller].tell("dial", &format!("sip:{user}@{at};transport={transport}"));
        phones[caller].wait_for("CALL_ESTABLISHED");
        phones[called].wait_for("CALL_ESTABLISHED");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        phones[caller].tell("hangup", "");
        phones[caller].wait_for("CALL_CLOSED");
        phones[called].wait_for("CALL_CLOSED");
    }
    let calls: Vec<Call> = phones
        .into_iter()
        .map(|mut phone| {
            phone.tell("quit", "");
            phone.finish()
        })
        .collect();
    for (who, call) in calls.iter().enumerate() {
        for other in [(who + 1) % 3, (who + 2) % 3] {
            let (from, hz) = each[other];
            let frames = frames_of(hz, &call.heard);
            println!("{} hears {frames} frames of {from}", each[who].0);
            assert!(
                frames > 40,
                "{} does not hear {from}\n{}",
                each[who].0,
                call.trace
            );
        }
    }
    let ended = |c: &Value| c["state"] == "ended" && c["end_reason"] == "caller_hangup";
    assert_eq!(door.site.office().calls(3, ended).await.len(), 3);
    door.registered(0).await;
    node.stop().await;
}

/// Linphone calls the agent over each transport at the same time; each is understood, and hears the agent.
#[tokio::test(flavor = "multi_thread")]
async fn linphone_registers_over_udp_tcp_and_tls_calls_the_agent_and_both_are_heard() {
    let test = "linphone_registers_over_udp_tcp_and_tls_calls_the_agent_and_both_are_heard";
    if !linphone::is_here(test) {
        return;
    }
    let door = Door::new();
    let node = door.site.start().await;
    if node.services.models.is_none() {
        println!("SKIP {test}: the models of the recogniser are not here (scripts/models)");
        return node.stop().await;
    }
    extensions(&door.site, &node, &["1001", "1002", "1003"]).await;
    let says = guest("udp").await.says;
    let mut phones =
        ["udp", "tcp", "tls"].map(|way| (way, door.linphone(user_of(way), way, &says)));
    door.registered(3).await;
    for (_, phone) in &mut phones {
        phone.keep("heard.wav");
        phone.tell(&format!("call sip:agent@{DOMAIN}"));
        phone.wait_for("Media streams established");
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for (transport, mut phone) in phones {
        phone.tell("terminate");
        phone.wait_for("ended");
        let (heard, rate_hz) = phone.kept("heard.wav");
        phone.quit();
        let user = json!(user_of(transport));
        let over = |c: &Value| c["state"] == "ended" && c["from"] == user;
        let record = door.site.office().calls(1, over).await.remove(0);
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        let said = door.site.office().said(&record, "caller").await;
        let text = |s: &Value| s["text"].as_str().unwrap_or_default().to_owned();
        let words = said.iter().map(text).collect::<Vec<_>>().join(" ");
        let score = local_speech::wer::score(WORDS, &words);
        println!("{transport}: '{words}' {:.2}", score.rate());
        assert!(score.rate() <= 0.5, "{transport}: '{words}'");
        let loud = heard.iter().filter(|s| s.unsigned_abs() > 1_000).count();
        assert!(
            loud > rate_hz as usize,
            "{transport} hears the agent: {loud}"
        );
    }
    door.registered(0).await;
    node.stop().await;
}

/// Over each transport: linphone calls baresip, then baresip calls linphone; each hears the other.
#[tokio::test(flavor = "multi_thread")]
async fn linphone_and_baresip_call_each_other_over_udp_tcp_and_tls() {
    let test = "linphone_and_baresip_call_each_other_over_udp_tcp_and_tls";
    if !linphone::is_here(test) || !baresip::is_here(test) {
        return;
    }
    let door = Door::with(Some(PHONES));
    let node = door.site.start().await;
    extensions(&door.site, &node, &["1001", "1002"]).await;
    for (transport, calls) in [("udp", 2), ("tcp", 4), ("tls", 6)] {
        let at = door.at(transport);
        let manner = Manner {
            transport,
            says: tone(600.0),
            seconds: 60,
            ..Manner::default()
        };
        let mut bare = door.phone("1001", &manner);
        let mut lin = door.linphone("1002", transport, &tone(1_000.0).repeat(30));
        door.registered(2).await;
        lin.keep("first.wav");
        lin.tell(&format!("call sip:1001@{DOMAIN}"));
        lin.wait_for("Media streams established");
        bare.wait_for("CALL_ESTABLISHED");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        lin.tell("terminate");
        lin.wait_for("ended");
        bare.wait_for("CALL_CLOSED");
        lin.keep("second.wav");
        bare.tell("dial", &format!("sip:1002@{at};transport={transport}"));
        bare.wait_for("CALL_ESTABLISHED");
        lin.wait_for("Media streams established");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        bare.tell("hangup", "");
        bare.wait_for("CALL_CLOSED");
        lin.wait_for("ended");
        for name in ["first.wav", "second.wav"] {
            let (heard, rate_hz) = lin.kept(name);
            let frames = frames_at(rate_hz, 600.0, &heard);
            println!("{transport} {name}: {frames} frames of baresip");
            assert!(frames > 40, "{transport} {name}: {}", lin.console());
        }
        lin.quit();
        bare.tell("quit", "");
        let call = bare.finish();
        let frames = frames_of(1_000.0, &call.heard);
        println!("{transport}: baresip hears {frames} frames of linphone");
        assert!(frames > 40, "{transport}: {}", call.trace);
        let ended = |c: &Value| c["state"] == "ended" && c["end_reason"] == "caller_hangup";
        assert_eq!(door.site.office().calls(calls, ended).await.len(), calls);
        door.registered(0).await;
    }
    node.stop().await;
}

/// Nobody gets in with a wrong password, and the phone is told so.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_with_a_wrong_password_is_refused_over_each_transport() {
    let test = "baresip_with_a_wrong_password_is_refused_over_each_transport";
    if !baresip::is_here(test) {
        return;
    }
    let door = Door::new();
    let node = door.site.start().await;
    extensions(&door.site, &node, &["1001"]).await;
    for transport in ["udp", "tcp", "tls"] {
        let at = door.at(transport);
        let manner = Manner {
            transport,
            aor: format!("1001@{at};transport={transport}"),
            seconds: 2,
            ..Manner::default()
        };
        let phone = Running::register(&manner, "wrong").finish();
        let refused = phone.trace.matches("SIP/2.0 401").count();
        assert!(
            phone.trace.contains("Authorization: Digest"),
            "{}",
            phone.trace
        );
        assert!(refused >= 2, "{}", phone.trace);
        assert!(!phone.trace.contains("SIP/2.0 200"), "{}", phone.trace);
    }
    assert!(node.services.registrar.listing().is_empty());
    node.stop().await;
}

/// A browser's phone, in Node.
struct Browser {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn packages() -> std::path::PathBuf {
        rig::root().join("target/jssip/node_modules")
    }

    fn is_here(test: &str) -> bool {
        let node = Command::new("node").arg("--version").output().is_ok();
        let found = node && Self::packages().join("jssip").exists();
        if !found {
            println!("SKIP {test}: JsSIP is not installed (npm: jssip, jssip-node-websocket)");
        }
        found
    }

    fn start(door: &Door, user: &str, password: &str) -> Self {
        let script = rig::root().join("media-server/tests/rig/jssip.js");
        let mut child = Command::new("node")
            .arg(script)
            .arg(Self::packages())
            .arg(format!("wss://{}", door.wss))
            .arg(format!("{user}@{DOMAIN}"))
            .arg(password)
            .env(
                "NODE_EXTRA_CA_CERTS",
                door.site.dir.path().join("profiles/cert.pem"),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn tells(&mut self) -> String {
        self.lines.next().map_or_else(String::new, Result::unwrap)
    }

    /// Waits until it tells this.
    fn waits_for(&mut self, wanted: &str) {
        let mut told = Vec::new();
        loop {
            let line = self.lines.next();
            let line = line.unwrap_or_else(|| panic!("no '{wanted}' of {told:?}"));
            told.push(line.unwrap());
            if told.last().is_some_and(|last| last == wanted) {
                return;
            }
        }
    }

    fn does(&mut self, what: &str) {
        let mut input = self.child.stdin.as_ref().unwrap();
        input.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    /// Waits until so many frames of this tone came in its call.
    fn hears(&mut self, hz: u32, frames: u32) {
        let end = Instant::now() + LIMIT;
        loop {
            self.does(&format!("heard {hz}"));
            let told = self.tells();
            let count = told
                .strip_prefix("heard ")
                .unwrap_or_else(|| panic!("{told}"));
            if count.parse::<u32>().unwrap() >= frames {
                return;
            }
            assert!(Instant::now() < end, "{hz} Hz: {told}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn leave(&mut self) {
        self.does("");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// T17: SIP over WSS with a phone that is not ours, which trusts our certificate and no other.
#[tokio::test(flavor = "multi_thread")]
async fn jssip_registers_over_a_secured_websocket_and_not_with_a_wrong_password() {
    let test = "jssip_registers_over_a_secured_websocket_and_not_with_a_wrong_password";
    if !Browser::is_here(test) {
        return;
    }
    let door = Door::new();
    let node = door.site.start().await;
    extensions(&door.site, &node, &["1001"]).await;
    let mut phone = Browser::start(&door, "1001", "secret-1001");
    let told = [phone.tells(), phone.tells(), phone.tells()];
    assert_eq!(told, ["connected", "registered", "options 200"]);
    let listed = door.registered(1).await;
    assert_eq!(listed[0]["aor"], json!(format!("1001@{DOMAIN}")));
    let contact = listed[0]["contact"].as_str().unwrap_or_default();
    assert!(
        contact.contains(".invalid") && contact.contains("transport=ws"),
        "{contact}"
    );
    phone.leave();
    assert_eq!(phone.tells(), "unregistered");
    door.registered(0).await;
    let mut stranger = Browser::start(&door, "1001", "wrong");
    assert_eq!(
        [stranger.tells(), stranger.tells()],
        ["connected", "refused 401"]
    );
    assert!(node.services.registrar.listing().is_empty());
    node.stop().await;
}

const BROWSER: &str = r#"
context = "internal"

[[route]]
name = "phones"
when = { to = '(?<ext>10\d\d)' }
do = [{ bridge = { to = "user/{to.ext}", ring_for = "20s" } }]

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;

/// T17: a foreign phone calls over its WebSocket and is called over it: echo, an extension on UDP, and that extension calls
/// back. Everybody hears the other, and either side hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn jssip_calls_and_is_called_over_its_websocket_and_both_are_heard() {
    let test = "jssip_calls_and_is_called_over_its_websocket_and_both_are_heard";
    if !Browser::is_here(test) || !baresip::is_here(test) {
        return;
    }
    let door = Door::with(Some(BROWSER));
    let node = door.site.start().await;
    extensions(&door.site, &node, &["1001", "1002"]).await;
    let mut phone = Browser::start(&door, "1001", "secret-1001");
    phone.waits_for("options 200");
    let manner = Manner {
        says: tone(1_000.0),
        seconds: 90,
        ..Manner::default()
    };
    let mut desk = door.phone("1002", &manner);
    door.registered(2).await;

    phone.does("call echo");
    phone.waits_for("talking");
    // Its own 600 Hz come back.
    phone.hears(600, 50);
    phone.does("hangup");
    phone.waits_for("over by local");

    phone.does("call 1002");
    phone.waits_for("talking");
    desk.wait_for("CALL_ESTABLISHED");
    phone.hears(1_000, 50);
    phone.does("hangup");
    phone.waits_for("over by local");
    desk.wait_for("CALL_CLOSED");

    let at = door.at("udp");
    desk.tell("dial", &format!("sip:1001@{at}"));
    phone.waits_for("called by 1002");
    phone.waits_for("talking");
    desk.wait_for("CALL_ESTABLISHED");
    phone.hears(1_000, 50);
    desk.tell("hangup", "");
    phone.waits_for("over by remote");
    desk.wait_for("CALL_CLOSED");

    let ended = |c: &Value| c["state"] == "ended" && c["end_reason"] == "caller_hangup";
    assert_eq!(door.site.office().calls(3, ended).await.len(), 3);
    desk.tell("quit", "");
    let call = desk.finish();
    let frames = frames_of(600.0, &call.heard);
    println!("baresip hears {frames} frames of JsSIP");
    assert!(frames > 60, "{}", call.trace);
    phone.leave();
    phone.waits_for("unregistered");
    door.registered(0).await;
    node.stop().await;
}
