//! Two switches, each on a machine of its own, behind Kamailio as dispatcher; one of them is killed and
//! new calls flow on over the other.

#[path = "rig/cage.rs"]
mod cage;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cage::Cage;
use rig::{Phone, Site};
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
loadmodule "dispatcher.so"
modparam("tm", "fr_timer", 1500)
modparam("tm", "fr_inv_timer", 30000)
modparam("dispatcher", "list_file", "FOLDER/dispatcher.list")
modparam("dispatcher", "flags", 2)
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_probing_mode", 1)
modparam("dispatcher", "ds_probing_threshold", 1)
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
    if (is_method("INVITE")) { record_route(); }
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

fn switch(cage: &Cage, name: &str, address: &str, kamailio: &str) -> (Site, Server) {
    let site = Site::new("", Some(PLAN));
    let profile = format!(
        "listen = [\"udp://{address}:5060\"]\ncontext = \"internal\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
         [[trunk]]\nname = \"kamailio\"\nsources = [\"{kamailio}/32\"]\n"
    );
    site.write("profiles/internal.toml", &profile);
    let program = cage.command(name, env!("CARGO_BIN_EXE_media-server"));
    let server = Server::start_with(&site, program);
    // Its log tells which calls it had.
    server.says(&["trace", "on"]);
    (site, server)
}

fn call(cage: &Cage) -> (serde_json::Value, bool) {
    let program = cage.command("ph", env!("CARGO_BIN_EXE_media-server"));
    let words = ["--step", "tell:one two three", "--seconds", "3"];
    Phone::call_with(program, "sip:echo@10.8.3.1:5060", &words).finish(LIMIT)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_two_switches_killed_new_calls_flow_over_the_other() {
    let name = "with_one_of_two_switches_killed_new_calls_flow_over_the_other";
    if !cage::is_here(name) {
        return;
    }
    let Some(modules) = modules() else {
        println!("SKIP {name} (kamailio): not installed (Debian: kamailio)");
        return;
    };
    let mut cage = Cage::new(&["mid", "s1", "s2", "ph"]);
    for (n, end) in ["s1", "s2", "ph"].into_iter().enumerate() {
        let net = format!("10.8.{}", n + 1);
        cage.link(
            (end, &format!("{net}.2/24")),
            ("mid", &format!("{net}.1/24")),
        );
        cage.gateway(end, &format!("{net}.1"));
    }
    cage.routes("mid", "");
    let (first, second) = (
        switch(&cage, "s1", "10.8.1.2", "10.8.1.1"),
        switch(&cage, "s2", "10.8.2.2", "10.8.2.1"),
    );
    let folder = tempfile::tempdir().unwrap();
    let _kamailio = Kamailio::start(&cage, folder.path(), &modules);
    let log = || std::fs::read_to_string(folder.path().join("kamailio.log")).unwrap_or_default();
    first.1.until("kamailio relays", || call(&cage).1);
    for _ in 0..3 {
        let (summary, content) = call(&cage);
        assert!(
            content && summary["voiced_ms"].as_u64().unwrap() > 300,
            "{summary:#}\n{}",
            log()
        );
    }
    for (_, server) in [&first, &second] {
        let log = server.log();
        assert!(log.contains("INVITE sip:echo@"), "both had calls\n{log}");
    }
    drop(second);
    for _ in 0..3 {
        let (summary, content) = call(&cage);
        assert!(content, "new calls flow: {summary:#}\n{}", log());
    }
    drop(first);
}
