//! T16 with a registrar that is not ours: gateways register at Kamailio over TLS with their passwords, live through its
//! absence, and are called and call through it. A trunk of the office is registered at by one switch, and by another when that
//! one is killed.

#[path = "rig/carrier.rs"]
mod carrier;
#[path = "rig/office.rs"]
mod office;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use carrier::{Far, Manner};
use egress::Request;
use office::{Desk, OFFICE_KEY, control_api};
use rig::{Office, Phone, Site};
use serde_json::{Value, json};
use server::Server;

const LIMIT: Duration = Duration::from_secs(60);
const SHORT: [&str; 4] = ["--step", "wait:0.2s", "--seconds", "1"];

/// A registrar with the password `secret` for everybody: calls that come over TLS are for the world (FAR) and want the
/// password, others are for whom is registered. `brief` is told to stay for two hours at least; nobody is let stay longer
/// than LIFE.
const REGISTRAR: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
enable_tls=yes
listen=udp:HOST:5060
listen=tls:HOST:5061
mpath="MODULES"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "FOLDER/cert.pem")
modparam("tls", "private_key", "FOLDER/key.pem")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", LIFE)
modparam("tm", "fr_timer", 3000)
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        sl_send_reply("481", "Nobody knows it"); exit;
    }
    t_check_trans();
    if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
    if (is_method("REGISTER")) {
        if ($proto != "tls") { sl_send_reply("403", "Not In Clear"); exit; }
        if (!pv_www_authenticate("$td", "secret", "0")) {
            xlog("L_ERR", "CHALLENGED $tU\n");
            www_challenge("$td", "1"); exit;
        }
        xlog("L_ERR", "REGISTER $au for $hdr(Expires) over $proto\n");
        if ($au != $tU) { sl_send_reply("403", "Somebody Else"); exit; }
        $var(life) = $(hdr(Expires){s.int});
        if ($tU == "brief" && $var(life) > 0 && $var(life) < 7200) {
            append_to_reply("Min-Expires: 7200\r\n");
            sl_send_reply("423", "Interval Too Brief"); exit;
        }
        save("location"); exit;
    }
    if ($proto == "tls") {
        if (!pv_proxy_authenticate("HOST", "secret", "0")) { proxy_challenge("HOST", "1"); exit; }
        consume_credentials();
        xlog("L_ERR", "CALL of $au to $rU\n");
        $du = "sip:FAR";
    } else if (!lookup("location")) {
        sl_send_reply("404", "Not Registered"); exit;
    }
    record_route();
    t_relay();
}
"#;

/// Where Debian keeps its modules.
fn modules() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut found = folders.flatten().map(|e| e.path().join("kamailio/modules"));
    let found = found.find(|path| path.join("tls.so").is_file())?;
    Some(found.display().to_string())
}

fn is_here(test: &str) -> bool {
    let found = modules().is_some();
    if !found {
        println!("SKIP {test}: not installed (Debian: kamailio kamailio-tls-modules)");
    }
    found
}

/// The registrar's files, and itself while it is there. Its address is its own: nobody else has ports there.
struct Registrar {
    folder: tempfile::TempDir,
    host: String,
    child: Option<Child>,
}

impl Registrar {
    fn new(nth: u32, life_s: u32, far: Option<SocketAddr>) -> Self {
        let pid = std::process::id();
        let host = format!("127.{}.{}.{}", 77 + nth, pid / 250 % 250, pid % 250 + 1);
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new([host.clone()]).unwrap();
        let own = own.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("cert.pem"), own.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        let far = far.map_or_else(|| "127.0.0.1:9".to_owned(), |far| far.to_string());
        let config = REGISTRAR
            .replace("HOST", &host)
            .replace("MODULES", &modules().unwrap())
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("LIFE", &life_s.to_string())
            .replace("FAR", &far);
        std::fs::write(folder.path().join("kamailio.cfg"), config).unwrap();
        let mut registrar = Self {
            folder,
            host,
            child: None,
        };
        registrar.up();
        registrar
    }

    fn up(&mut self) {
        let folder = self.folder.path();
        let log = folder.join("kamailio.log");
        let log = std::fs::File::options().create(true).append(true).open(log);
        let log = log.unwrap();
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "64", "-M", "16", "-f"]);
        command
            .arg(folder.join("kamailio.cfg"))
            .arg("-Y")
            .arg(folder);
        let command = command
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap());
        self.child = Some(command.stdout(log).spawn().unwrap());
    }

    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It ends its children itself when it is asked to.
            let pid = child.id().to_string();
            let _ = Command::new("kill").arg(pid).status();
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("kamailio.log")).unwrap_or_default()
    }

    /// Its certificate becomes the one that this site believes.
    fn is_believed_by(&self, site: &Site) {
        let cert = std::fs::read_to_string(self.folder.path().join("cert.pem")).unwrap();
        site.write("profiles/registrar.pem", &cert);
    }

    /// Calls who is registered; true when it was answered.
    fn calls(&self, user: &str) -> bool {
        let uri = format!("sip:{user}@{}:5060", self.host);
        answered(Phone::call(&uri, &SHORT))
    }
}

/// Whether a call was answered, once it is over. The phone stays until its BYE has its answer.
fn answered(mut phone: Phone) -> bool {
    phone.wait_for("ended", LIMIT);
    let answered = phone.has_happened("answered");
    std::thread::spawn(move || phone.finish(LIMIT));
    answered
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.down();
    }
}

/// Waits until it is so; else what was said.
async fn until(what: &str, mut done: impl FnMut() -> bool, said: impl Fn() -> String) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(
            Instant::now() < end,
            "{what}: not within {LIMIT:?}\n{}",
            said()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const OUT: &str = r#"
context = "internal"

[[route]]
name = "out"
when = { to = "out" }
do = [{ bridge = { to = "trunk/good/+15550100099", ring_for = "20s" } }]
"#;

const IN: &str = r#"
context = "public"

[[route]]
name = "in"
when = { any = [{ to = "good" }, { number = "+15550100077" }] }
do = ["answer", "echo"]
"#;

const OUTBOUND: &str =
    "[outbound]\nprefixes = [\"+1\"]\ncountry = \"US\"\nemergency = \"reject\"\n";

/// The profile that reaches the registrar, over TLS alone.
fn external(site: &Site, tls: SocketAddr, trunks: &str) {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.self_signed(&key).unwrap();
    site.write("profiles/cert.pem", &own.pem());
    site.write("profiles/key.pem", &key.serialize_pem());
    let first = site.first_rtp + 4_000;
    let profile = format!(
        "listen = [\"tls://{tls}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
         rtp = {{ ports = \"{first}-{}\" }}\n\
         tls = {{ certificate = \"cert.pem\", key = \"key.pem\", ca = \"registrar.pem\" }}\n{trunks}",
        first + 399
    );
    site.write("profiles/external.toml", &profile);
    site.write("dialplans/public.toml", IN);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_register_at_kamailio_over_tls_live_through_its_absence_and_calls_go_both_ways() {
    let test =
        "gateways_register_at_kamailio_over_tls_live_through_its_absence_and_calls_go_both_ways";
    if !is_here(test) {
        return;
    }
    let far = Far::new(Manner::Answers);
    let mut registrar = Registrar::new(0, 8, Some(far.at));
    let site = Site::new(OUTBOUND, Some(OUT));
    let proxy = format!("{}:5061", registrar.host);
    let trunk = |user: &str, password: &str, more: &str| {
        format!(
            "[[trunk]]\nname = \"{user}\"\nproxy = \"{proxy}\"\ntransport = \"tls\"\nusername = \"{user}\"\n\
             password = \"{password}\"\nregister = true\nretry = \"1s\"\n{more}\n"
        )
    };
    let trunks = trunk("good", "secret", "sources = [\"127.0.0.0/8\"]")
        + &trunk("wrong", "guess", "")
        + &trunk("brief", "secret", "");
    registrar.is_believed_by(&site);
    let tls = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    external(&site, tls, &trunks);
    let node = site.start().await;
    let stands = |all: &[(&str, &str)]| {
        let gateways = node.services.gateways();
        all.iter().all(|(name, state)| {
            let mut mine = gateways.iter().filter(|((_, trunk), _)| trunk == name);
            mine.any(|(_, gateway)| gateway.standing.state == *state)
        })
    };
    let registered = [("good", "registered"), ("brief", "registered")];
    let wrong = [("wrong", "auth_failed")];
    let done = || stands(&registered) && stands(&wrong);
    until("each stands as it must", done, || registrar.log()).await;
    let log = registrar.log();
    for line in [
        "REGISTER good for 3600 over tls",
        "REGISTER brief for 3600 over tls",
        "REGISTER brief for 7200 over tls",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    let asked = log.matches("CHALLENGED wrong").count();
    assert_eq!(
        asked, 2,
        "once without and once with it, no hammering: {log}"
    );

    // In: the registrar knows where we are.
    assert!(registrar.calls("good"), "{}", registrar.log());
    // Out: it asks for the password, and takes the call to the world.
    let phone = site.phone("out", &SHORT);
    assert!(answered(phone), "{}", registrar.log());
    let invite = far.hears("INVITE sip:+15550100099@", 1).await;
    assert!(!invite.contains("Authorization"), "{invite}");
    let log = registrar.log();
    assert!(log.contains("CALL of good to +15550100099"), "{log}");
    let office = site.office();
    let over = |c: &Value| c["state"] == "ended" && c["end_reason"] == "caller_hangup";
    let records = office.calls(2, over).await;
    let came = records.iter().find(|call| call["to"] == "good");
    assert_eq!(came.expect("the call in")["trunk"], "good", "{records:#?}");

    // It goes, and comes back.
    registrar.down();
    let gone = || stands(&[("good", "network")]);
    until("its absence is noticed", gone, || registrar.log()).await;
    registrar.up();
    until(
        "it is registered again",
        || stands(&registered),
        || registrar.log(),
    )
    .await;
    assert!(stands(&wrong), "a wrong password stays wrong");
    node.drain(Duration::from_secs(1)).await;
    let left = || registrar.log().contains("REGISTER good for 0 over tls");
    until("it is given back", left, || registrar.log()).await;
    node.stop().await;
}

const NUMBER: &str = "15550100077";

/// A switch of an office elsewhere.
fn switch(office: &str, registrar: &Registrar) -> (Site, Server) {
    let site = Site::new("", None);
    let (dir, ops) = (site.dir.path().display(), site.ops);
    let text = format!(
        "mode = \"switch\"\nprofiles_dir = \"profiles\"\ndialplans_dir = \"dialplans\"\n\
         [control]\nurl = \"{office}\"\nkey = \"{OFFICE_KEY}\"\n\
         [data]\ndir = \"{dir}/switch\"\n[journal]\ndir = \"{dir}/switch/journal\"\n\
         [ops]\nbind = \"{ops}\"\nsocket = \"{dir}/ctl.sock\"\n\
         [speech]\nmodels_dir = \"{dir}/none\"\n"
    );
    site.write("sidetone.toml", &text);
    registrar.is_believed_by(&site);
    let tls = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let elsewhere = "[[trunk]]\nname = \"elsewhere\"\nsources = [\"192.0.2.0/24\"]\n";
    external(&site, tls, elsewhere);
    let server = Server::start(&site);
    (site, server)
}

/// How the registration of a trunk stands at a switch, where it is its own to keep.
fn standing(server: &Server) -> Option<String> {
    let status = server.json(&["status"]);
    let profiles = status["profiles"].as_array().unwrap().iter();
    let trunks = profiles.flat_map(|profile| profile["trunks"].as_array().unwrap());
    let states = trunks.filter_map(|trunk| trunk["registration"]["state"].as_str());
    states.map(str::to_owned).next()
}

/// A tenant with a number and a trunk that registers, made over REST; the trunk.
async fn carrier_of_a_tenant(office: &Office, registrar: &Registrar) -> String {
    let tenant = json!({ "slug": "harbour", "name": "Harbour" });
    let tenant = office.post("/v1/tenants", &tenant).await;
    let tenant = tenant["id"].as_str().unwrap_or_else(|| panic!("{tenant}"));
    let agent = std::fs::read_to_string(rig::root().join("agents/receptionist.json")).unwrap();
    let agent: Value = serde_json::from_str(&agent).unwrap();
    let body = json!({ "slug": "receptionist", "config": agent });
    let agent = office.post_for(tenant, "/v1/agents", &body).await;
    let body = json!({ "e164": format!("+{NUMBER}"), "agent_id": agent["id"] });
    let number = office.post_for(tenant, "/v1/numbers", &body).await;
    assert!(number["id"].is_string(), "{number}");
    let body = json!({ "name": "carrier", "password": "secret", "config": {
        "mode": "register", "proxy": format!("{}:5061", registrar.host), "transport": "tls",
        "username": NUMBER, "sources": ["127.0.0.0/8"], "numbers": { "in": "e164" },
    } });
    let trunk = office.post_for(tenant, "/v1/trunks", &body).await;
    let id = trunk["id"].as_str();
    id.unwrap_or_else(|| panic!("{trunk}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_of_the_office_is_registered_by_one_switch_and_by_another_when_that_is_killed() {
    let test =
        "a_trunk_of_the_office_is_registered_by_one_switch_and_by_another_when_that_is_killed";
    if !is_here(test) {
        return;
    }
    egress::tls::install();
    let registrar = Registrar::new(1, 600, None);
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let desk = Desk::start(folder.path(), Command::new(control_api()), listen);
    desk.listens(listen);
    let url = format!("http://{listen}");
    let key = std::fs::read_to_string(folder.path().join("admin.key")).unwrap();
    let office = Office::new(url.clone(), key.trim().to_owned());
    let trunk = carrier_of_a_tenant(&office, &registrar).await;
    let mut switches = vec![switch(&url, &registrar), switch(&url, &registrar)];
    let logs = |switches: &[(Site, Server)]| -> String {
        let logs = switches.iter().map(|(_, server)| server.log());
        registrar.log() + &logs.collect::<String>()
    };
    let stand = |switches: &[(Site, Server)]| -> Vec<Option<String>> {
        switches
            .iter()
            .map(|(_, server)| standing(server))
            .collect()
    };
    let yes = Some("registered".to_owned());
    let done = || stand(&switches).contains(&yes);
    until("one of them registers", done, || logs(&switches)).await;
    let all = stand(&switches);
    assert_eq!(
        all.iter().flatten().count(),
        1,
        "and the other does not: {all:?}"
    );
    assert!(registrar.calls(NUMBER), "{}", logs(&switches));

    // SIGKILL: nobody un-registers, nobody says goodbye.
    let holder = all.iter().position(|state| *state == yes).unwrap();
    drop(switches.remove(holder));
    let done = || stand(&switches).contains(&yes);
    until("the other registers", done, || logs(&switches)).await;
    assert!(registrar.calls(NUMBER), "{}", logs(&switches));

    // Another password, and the right one again: the office's word counts at once.
    for (password, state) in [("guess", "auth_failed"), ("secret", "registered")] {
        let change = Request::patch(format!("{url}/v1/trunks/{trunk}"));
        let change = change.json(&json!({ "password": password }));
        office.send(change).await;
        let wanted = Some(state.to_owned());
        let done = || stand(&switches).contains(&wanted);
        until(state, done, || logs(&switches)).await;
    }
}
