//! Two switches, each on a machine of its own, behind Kamailio as dispatcher; one of them is killed: new calls flow on over
//! the other, and a phone that was registered there is registered here before its time is over.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/cage.rs"]
mod cage;
#[path = "rig/office.rs"]
mod office;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cage::Cage;
use office::{Desk, OFFICE_KEY, control_api};
use rig::{Office, Phone, Site};
use serde_json::json;
use server::Server;

const LIMIT: Duration = Duration::from_secs(40);

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]
"#;

/// Round robin over what answers OPTIONS; the next one when the first says 503 or nothing.
const DISPATCHER: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
mhomed=1
listen=udp:10.8.1.1:5060
listen=udp:10.8.2.1:5060
listen=udp:10.8.3.1:5060
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
loadmodule "path.so"
loadmodule "dispatcher.so"
modparam("tm", "fr_timer", 1500)
modparam("tm", "fr_inv_timer", 30000)
modparam("dispatcher", "list_file", "FOLDER/dispatcher.list")
modparam("dispatcher", "flags", 2)
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 3)
modparam("dispatcher", "ds_inactive_threshold", 1)
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        sl_send_reply("481", "Nobody knows it"); exit;
    }
    t_check_trans();
    remove_hf("Route");
    if (is_method("INVITE")) { record_route(); }
    if (is_method("REGISTER")) {
        # A challenge and its answer go to one switch, as long as it is there.
        add_path();
        if (!ds_select_dst("1", "0")) { sl_send_reply("503", "No switch"); exit; }
        t_on_failure("NEXT");
        t_relay();
        exit;
    }
    if (!ds_select_dst("1", "4")) { sl_send_reply("503", "No switch"); exit; }
    t_on_failure("NEXT");
    t_relay();
}
failure_route[NEXT] {
    if (t_is_canceled()) { exit; }
    if (t_check_status("503") || (t_branch_timeout() && !t_branch_replied())) {
        if (ds_next_dst()) { t_on_failure("NEXT"); t_relay(); exit; }
    }
}
"#;

/// Where Debian keeps its modules.
fn modules() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut found = folders.flatten().map(|e| e.path().join("kamailio/modules"));
    let found = found.find(|path| path.join("dispatcher.so").is_file())?;
    Some(found.display().to_string())
}

struct Kamailio(Child);

impl Kamailio {
    fn start(cage: &Cage, folder: &Path, modules: &str) -> Self {
        let text = DISPATCHER.replace("MODULES", modules);
        let text = text.replace("FOLDER", &folder.display().to_string());
        let list = "1 sip:10.8.1.2:5060\n1 sip:10.8.2.2:5060\n";
        std::fs::write(folder.join("dispatcher.list"), list).unwrap();
        std::fs::write(folder.join("kamailio.cfg"), text).unwrap();
        let log = std::fs::File::create(folder.join("kamailio.log")).unwrap();
        let mut command: Command = cage.command("mid", "kamailio");
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]);
        command.arg(folder.join("kamailio.cfg"));
        command.arg("-w").arg(folder).arg("-Y").arg(folder);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(log).spawn().unwrap())
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children go with it only when asked politely.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

/// Where the office is, seen by the switches.
const OFFICE: &str = "10.8.3.1:8080";
const DOMAIN: &str = "phones.test";

fn switch(cage: &Cage, name: &str, address: &str, kamailio: &str) -> (Site, Server) {
    let site = Site::new("", Some(PLAN));
    let (dir, ops) = (site.dir.path().display(), site.ops);
    let text = format!(
        "mode = \"switch\"\nprofiles_dir = \"profiles\"\ndialplans_dir = \"dialplans\"\n\
         [control]\nurl = \"http://{OFFICE}\"\nkey = \"{OFFICE_KEY}\"\n\
         [registrar]\nmin_expires = \"5s\"\n\
         [data]\ndir = \"{dir}/switch\"\n[journal]\ndir = \"{dir}/switch/journal\"\n\
         [ops]\nbind = \"{ops}\"\nsocket = \"{dir}/ctl.sock\"\n\
         [speech]\nmodels_dir = \"{}\"\n",
        rig::root().join("models").display()
    );
    site.write("sidetone.toml", &text);
    let profile = format!(
        "listen = [\"udp://{address}:5060\"]\ncontext = \"internal\"\nauth = \"digest\"\n\
         digest = {{ algorithms = [\"MD5\"] }}\ncodecs = [\"PCMU\"]\n\
         [[trunk]]\nname = \"kamailio\"\nsources = [\"{kamailio}/32\"]\n"
    );
    site.write("profiles/internal.toml", &profile);
    let program = cage.command(name, env!("CARGO_BIN_EXE_media-server"));
    let server = Server::start_with(&site, program);
    // Its log tells which calls it had.
    server.says(&["trace", "on"]);
    (site, server)
}

/// Calls, and hangs up; what happened.
fn call(cage: &Cage, args: &[&str]) -> Vec<String> {
    let program = cage.command("ph", env!("CARGO_BIN_EXE_media-server"));
    let mut phone = Phone::call_with(program, "sip:echo@10.8.3.1:5060", args);
    phone.wait_for("ended", LIMIT);
    let name = |event: &serde_json::Value| event["event"].as_str().unwrap_or_default().to_owned();
    let events = phone.events.iter().map(name).collect();
    // It stays until its BYE has its answer.
    std::thread::spawn(move || phone.finish(LIMIT));
    events
}

fn has(events: &[String], wanted: &str) -> bool {
    events.iter().any(|event| event == wanted)
}

const SHORT: [&str; 4] = ["--step", "wait:0.2s", "--seconds", "1"];

/// An office that knows one extension, as a folder.
async fn office_with_an_extension() -> tempfile::TempDir {
    egress::tls::install();
    let folder = tempfile::tempdir().unwrap();
    let (desk, rest) = open_here(folder.path());
    let tenant = json!({ "slug": "phones", "name": "Phones" });
    let tenant = rest.post("/v1/tenants", &tenant).await;
    let tenant = tenant["id"].as_str().unwrap_or_else(|| panic!("{tenant}"));
    let domain = json!({ "name": DOMAIN });
    let domain = rest.post_for(tenant, "/v1/sip-domains", &domain).await;
    let phone = json!({ "domain_id": domain["id"], "user": "1001", "password": "secret-1001" });
    let phone = rest.post_for(tenant, "/v1/extensions", &phone).await;
    assert_eq!(phone["password"], "***", "{phone}");
    drop(desk);
    folder
}

/// The office of a folder, outside of the cage.
fn open_here(folder: &Path) -> (Desk, Office) {
    let listen = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let desk = Desk::start(folder, Command::new(control_api()), listen);
    desk.listens(listen);
    let key = std::fs::read_to_string(folder.join("admin.key")).unwrap();
    let rest = Office::new(format!("http://{listen}"), key.trim().to_owned());
    (desk, rest)
}

/// baresip, which registers through Kamailio for twenty seconds at a time.
struct Registered(Child);

impl Registered {
    fn start(cage: &Cage, folder: &Path) -> Self {
        let config = "poll_method epoll\nsip_listen 10.8.3.2:5070\nmodule_path /usr/lib/baresip/modules\n\
             module g711.so\nmodule_app account.so\nmodule_app menu.so\n";
        let account = format!(
            "<sip:1001@{DOMAIN}>;auth_user=1001;auth_pass=secret-1001;regint=20;outbound=\"sip:10.8.3.1:5060\"\n"
        );
        for (name, text) in [("config", config), ("accounts", &account), ("contacts", "")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let log = std::fs::File::create(folder.join("baresip.log")).unwrap();
        let mut command = cage.command("ph", "baresip");
        command
            .arg("-f")
            .arg(folder)
            .args(["-s", "-v", "-t", "300"]);
        let command = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        Self(command.stderr(log).spawn().unwrap())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the phone is registered at this switch.
fn holds(server: &Server) -> bool {
    let status = server.json(&["status"]);
    let all = status["registrations"].as_array().unwrap();
    all.iter().any(|one| one["aor"] == format!("1001@{DOMAIN}"))
}

/// Waits until it is so; else what was said. A phone whose REGISTER was refused or lost tries again after a minute.
fn until(is_so: impl Fn() -> bool, said: impl Fn() -> String) {
    let limit = 3 * LIMIT;
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "not within {limit:?}\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_possible(name: &str) -> Option<String> {
    if !cage::is_here(name) {
        return None;
    }
    let modules = modules();
    if modules.is_none() {
        println!("SKIP {name} (kamailio): not installed (Debian: kamailio)");
    }
    modules.filter(|_| baresip::is_here(&format!("{name} (baresip)")))
}

fn world() -> Cage {
    let mut cage = Cage::new(&["mid", "s1", "s2", "ph"]);
    for (n, end) in ["s1", "s2", "ph"].into_iter().enumerate() {
        let net = format!("10.8.{}", n + 1);
        let (here, there) = (format!("{net}.2/24"), format!("{net}.1/24"));
        cage.link((end, &here), ("mid", &there));
        cage.gateway(end, &format!("{net}.1"));
    }
    cage.routes("mid", "");
    cage
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_two_switches_killed_new_calls_flow_and_registrations_move_to_the_other() {
    let name = "with_one_of_two_switches_killed_new_calls_flow_and_registrations_move_to_the_other";
    let Some(modules) = is_possible(name) else {
        return;
    };
    let office = office_with_an_extension().await;
    let cage = world();
    let program = cage.command("mid", &control_api().display().to_string());
    let _desk = Desk::start(office.path(), program, OFFICE.parse().unwrap());
    let first = switch(&cage, "s1", "10.8.1.2", "10.8.1.1");
    let second = switch(&cage, "s2", "10.8.2.2", "10.8.2.1");
    let folder = tempfile::tempdir().unwrap();
    let _kamailio = Kamailio::start(&cage, folder.path(), &modules);
    let log = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    // A phone that nobody knows yet is refused, and comes back after a minute.
    for (_, server) in [&first, &second] {
        let known = || server.json(&["status"])["snapshot"].as_u64() > Some(0);
        server.until("it knows the extension", known);
    }
    let answered = || has(&call(&cage, &SHORT), "answered");
    first.1.until("kamailio relays", answered);
    let words = ["--step", "tell:one two three", "--seconds", "3"];
    for _ in 0..2 {
        let events = call(&cage, &words);
        let heard = has(&events, "speaking_ended");
        assert!(heard, "{events:?}\n{}", log("kamailio.log"));
    }
    for (_, server) in [&first, &second] {
        let log = server.log();
        assert!(log.contains("INVITE sip:echo@"), "both had calls\n{log}");
    }
    let _phone = Registered::start(&cage, folder.path());
    let either = || holds(&first.1) || holds(&second.1);
    let logs = || log("baresip.log") + &log("kamailio.log") + &first.1.log() + &second.1.log();
    until(either, logs);
    assert!(!(holds(&first.1) && holds(&second.1)), "at one of them");
    let (held, other) = match holds(&first.1) {
        true => (first, second),
        false => (second, first),
    };
    drop(held);
    for _ in 0..3 {
        let log = || log("kamailio.log");
        assert!(answered(), "new calls flow\n{}", log());
    }
    let logs = || log("baresip.log") + &log("kamailio.log") + &other.1.log();
    until(|| holds(&other.1), logs);
    // One phone, one row, held by the switch that lives.
    let node = other.1.json(&["status"])["node"].clone();
    let (_second_desk, rest) = open_here(office.path());
    let end = Instant::now() + LIMIT;
    loop {
        let known = rest.get("/v1/registrations").await;
        let rows = known["data"].as_array().unwrap();
        if rows.len() == 1 && rows[0]["node_id"] == node {
            break;
        }
        assert!(Instant::now() < end, "{known:#}\n{}", log("baresip.log"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
