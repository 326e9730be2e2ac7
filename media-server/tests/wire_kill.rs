//! Switch and office as two processes, and one of them dies: calls outlive the office, and what a
//! killed switch owes its callers and its records it pays when it is back.

#[path = "rig/crowd.rs"]
mod crowd;
#[path = "rig/office.rs"]
mod office;
#[path = "rig/node.rs"]
mod rig;

use std::{
    collections::BTreeMap,
    fs::File,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crowd::{Caller, Crowd, Plan};
use egress::Request;
use office::{OFFICE_KEY, control_api};
use rig::{Office, Site, free_port};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);
/// How long the office is away.
const OUTAGE: Duration = Duration::from_secs(180);
/// From the switch's new start to the last BYE.
const FAREWELL: Duration = Duration::from_secs(5);
/// 32 bytes, hexadecimal, of no value anywhere else.
const NODE_KEY: &str = "6b1d0f5a9c3e7784a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0";

const PLAN: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "ringing"
when = { to = "ringing" }
do = ["ring", { sleep = "60s" }, "answer"]

[[route]]
name = "taped"
when = { to = "taped" }
do = ["answer", { record = { channels = 2, consent = "announce" } }, "echo"]
"#;

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

/// A process that is gone when this is.
struct Program(Child);

impl Program {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let command = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        Self(command.stderr(log).spawn().unwrap())
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and waits for the end.
    fn stop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The two programs' files and addresses.
struct Pair {
    site: Site,
    office: SocketAddr,
}

impl Pair {
    fn new() -> Self {
        egress::tls::install();
        let site = Site::new("", Some(PLAN));
        let office = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let dir = site.dir.path().display();
        let (ops, models) = (site.ops, rig::root().join("models"));
        let text = format!(
            "mode = \"switch\"\nprofiles_dir = \"profiles\"\ndialplans_dir = \"dialplans\"\n\
             [control]\nurl = \"http://{office}\"\nkey = \"{OFFICE_KEY}\"\n\
             [data]\ndir = \"{dir}/switch\"\n[journal]\ndir = \"{dir}/switch/journal\"\n\
             [ops]\nbind = \"{ops}\"\nsocket = \"{dir}/ctl.sock\"\n\
             [speech]\nmodels_dir = \"{}\"\n",
            models.display()
        );
        site.write("sidetone.toml", &text);
        site.write("node.key", OFFICE_KEY);
        Self { site, office }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.dir.path().join(name)
    }

    async fn start_office(&self) -> Program {
        let mut command = Command::new(control_api());
        let database = format!("sqlite://{}", self.path("office.db").display());
        command.args(["serve", "--database-url", &database]);
        command.args(["--listen", &self.office.to_string()]);
        command.arg("--data-dir").arg(self.path("office"));
        command.arg("--node-key-file").arg(self.path("node.key"));
        command.arg("--admin-key-file").arg(self.path("admin.key"));
        let program = Program::start(command, self.path("office.log"));
        self.listens(self.office, "office.log").await;
        program
    }

    async fn start_switch(&self) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_media-server"));
        command.args(["serve", "--config"]).arg(self.site.config());
        command.env("SIDETONE_NODE_KEY", NODE_KEY);
        let program = Program::start(command, self.path("switch.log"));
        self.listens(self.site.ops, "switch.log").await;
        program
    }

    async fn listens(&self, address: SocketAddr, log: &str) {
        let until = Instant::now() + LIMIT;
        while std::net::TcpStream::connect(address).is_err() {
            let said = || std::fs::read_to_string(self.path(log)).unwrap();
            assert!(Instant::now() < until, "nobody listens: {}", said());
            tokio::time::sleep(seconds(0.05)).await;
        }
    }

    fn rest(&self) -> Office {
        let key = std::fs::read_to_string(self.path("admin.key")).unwrap();
        Office::new(format!("http://{}", self.office), key.trim().to_owned()).of(&self.site)
    }

    fn crowd(&self, user: &str, udp: usize, tcp: usize) -> Crowd {
        Crowd::call(&Plan {
            server: self.site.sip,
            user: user.into(),
            udp,
            tcp,
        })
    }

    /// A number of the switch's metrics.
    async fn metric(&self, name: &str) -> u64 {
        let ops = Office::new(format!("http://{}", self.site.ops), String::new());
        let text = String::from_utf8(ops.bytes("/metrics").await).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim().parse().unwrap()
    }

    /// The one record of each caller, once all have ended.
    async fn records(&self, callers: &[Caller]) -> Vec<Value> {
        let rest = self.rest();
        let ended = rest.calls(callers.len(), |c| c["state"] == "ended").await;
        let all = rest.calls(callers.len(), |_| true).await;
        assert_eq!(all.len(), callers.len(), "records and calls");
        assert_eq!(ended.len(), callers.len(), "ended records and calls");
        let by_id: BTreeMap<&str, &Value> = ended
            .iter()
            .map(|call| (call["sip_call_id"].as_str().unwrap(), call))
            .collect();
        let mine = |caller: &Caller| by_id[caller.call_id.as_str()].clone();
        callers.iter().map(mine).collect()
    }
}

/// How long the two talked by the caller's own clock.
fn talked(caller: &Caller) -> Duration {
    let (ended, _) = caller.ended.as_ref().unwrap();
    *ended - caller.answered.unwrap()
}

/// What the switch sent in this time, told by the numbers it put on its packets: its clock went on, and
/// there is a packet for nearly each of its ticks; those it skipped while this machine gave nobody any
/// time are excused as far as the crowd's own sleepers were held up too (at a load of 16 on two cores
/// the switch skipped 4 of 100; on a quiet machine nothing is excused). *When* a packet was read here,
/// and whether the caller's own sound came in time to be echoed in it, is a matter of the machine: but
/// two seconds without any sound would be silence.
fn was_sent_all_the_while(crowd: &Crowd, caller: &Caller, from: Duration, to: Duration) {
    let mut sent = caller.between(from, to);
    sent.sort_by_key(|packet| packet.ticks);
    let (Some(first), Some(last)) = (sent.first(), sent.last()) else {
        panic!("{} heard nothing", caller.name);
    };
    let whole = (to - from).as_millis() as u32 / 20;
    let ticks = last.ticks.wrapping_sub(first.ticks) / 160 + 1;
    let packets = u32::from(last.sequence.wrapping_sub(first.sequence)) + 1;
    assert!(
        ticks.abs_diff(whole) <= 50,
        "{}: {ticks} ticks in {whole}",
        caller.name
    );
    // Two sleepers watch: what both missed is counted twice.
    let excused = (crowd.stalled(from, to).as_millis() / 2 / 20) as u32;
    assert!(
        (packets + excused) * 100 >= ticks * 97,
        "{}: {packets} packets for {ticks} ticks, {excused} excused",
        caller.name
    );
    let loud: Vec<Duration> = sent.iter().filter(|p| p.loud).map(|p| p.at).collect();
    let edges = [&[from], loud.as_slice(), &[to]].concat();
    let longest = edges
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max();
    assert!(
        longest < Some(seconds(2.0)),
        "{} was silent for {longest:?}",
        caller.name
    );
}

fn is_as_long_as_the_caller_says(record: &Value, caller: &Caller) {
    let talked = talked(caller).as_millis() as i64;
    let recorded = record["duration_ms"].as_i64().unwrap();
    assert!(
        (talked - recorded).abs() < 1_500,
        "{talked} ms talked, {recorded} ms in the record of {}",
        caller.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_outlive_three_minutes_without_the_office() {
    let pair = Pair::new();
    let mut office = pair.start_office().await;
    let mut switch = pair.start_switch().await;
    let crowd = pair.crowd("echo", 18, 2);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(2.0)).await;
    office.kill();
    let away = crowd.now();

    // Some go, some come meanwhile: the switch routes from what it has on disk.
    tokio::time::sleep(OUTAGE / 2).await;
    (0..5).for_each(|number| crowd.hang_up(number));
    let late = pair.crowd("echo", 3, 0);
    late.settled(LIMIT).await;
    late.hang_up(0);
    tokio::time::sleep(OUTAGE.saturating_sub(crowd.now() - away)).await;
    for (number, caller) in crowd.callers().iter().enumerate() {
        assert_eq!(
            caller.is_over(),
            number < 5,
            "{}: {:?}",
            caller.name,
            caller.ended
        );
        caller.heard_one_stream();
        if number >= 5 {
            was_sent_all_the_while(&crowd, caller, away, away + OUTAGE);
        }
    }
    drop(office);
    let office = pair.start_office().await;

    // What happened meanwhile arrives; the office's own clock of its switches starts anew, and none
    // of the calls is lost to it.
    let rest = pair.rest();
    let until = Instant::now() + LIMIT;
    loop {
        let all = rest.calls(20, |_| true).await;
        let open = all.iter().filter(|c| c["state"] != "ended").count();
        assert!(
            all.iter().all(|c| c["end_reason"] != "node_lost"),
            "{all:#?}"
        );
        if (all.len(), open) == (23, 17) {
            break;
        }
        assert!(Instant::now() < until, "{open} of {} are open", all.len());
        tokio::time::sleep(seconds(0.2)).await;
    }
    tokio::time::sleep(seconds(3.0)).await;
    crowd.hang_up_all();
    late.hang_up_all();
    crowd.all("over", LIMIT, Caller::is_over).await;
    late.all("over", LIMIT, Caller::is_over).await;
    let callers: Vec<Caller> = crowd.callers().into_iter().chain(late.callers()).collect();
    let records = pair.records(&callers).await;
    for (record, caller) in records.iter().zip(&callers) {
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
        is_as_long_as_the_caller_says(record, caller);
        let ends = rest.facts(record, "ended").await;
        assert_eq!(ends.len(), 1, "{ends:#?}");
    }
    switch.stop();
    drop(office);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_switch_says_goodbye_and_every_call_has_its_one_record() {
    let pair = Pair::new();
    let office = pair.start_office().await;
    let mut switch = pair.start_switch().await;
    let crowd = pair.crowd("taped", 18, 2);
    crowd.settled(LIMIT).await;
    tokio::time::sleep(seconds(6.0)).await;
    let killed = crowd.now();
    switch.kill();
    tokio::time::sleep(seconds(1.0)).await;
    assert!(crowd.callers().iter().all(|c| c.ended.is_none()));

    let restart = Instant::now();
    let mut switch = pair.start_switch().await;
    let left = FAREWELL.saturating_sub(restart.elapsed());
    let told = |c: &Caller| c.was_hung_up_on() || c.name.as_str() >= "caller-18";
    crowd.all("told goodbye", left, told).await;
    println!("all told {:?} after the start", restart.elapsed());
    for caller in &crowd.callers()[..18] {
        let (_, ended) = caller.ended.as_ref().unwrap();
        let cause = ended.reason.as_ref().and_then(|reason| reason.cause);
        assert_eq!(cause, Some(41), "{ended:?}");
    }
    // A connection died with the switch, and nobody listens where it came from.
    let until = Instant::now() + LIMIT;
    while pair.metric("ms_farewells_unreachable_total").await < 2 {
        assert!(Instant::now() < until, "nobody counted the two over TCP");
        tokio::time::sleep(seconds(0.1)).await;
    }

    let callers = crowd.callers();
    let records = pair.records(&callers).await;
    let rest = pair.rest();
    for (record, caller) in records.iter().zip(&callers) {
        assert_eq!(record["end_reason"], "node_lost", "{record:#}");
        assert_eq!(rest.facts(record, "ended").await.len(), 1);
        let wav = rest.recording(record).await;
        let recorded = wav.channel(0).len() as f64 / f64::from(wav.rate_hz);
        let answered = caller.answered.unwrap();
        let talked = (killed - answered).as_secs_f64();
        assert!(
            recorded > talked - 0.7 && recorded < talked + 1.5,
            "{recorded} s of {talked} s are in the recording of {}",
            caller.name
        );
        let told = record["duration_ms"].as_f64().unwrap() / 1_000.0;
        assert!((told - recorded).abs() < 0.1, "{told} s, says {record:#}");
        let loud = wav
            .channel(0)
            .iter()
            .rev()
            .take(8_000)
            .any(|s| s.abs() > 1_000);
        assert!(loud, "the last second of {} is empty", caller.name);
    }
    sent_again_it_changes_nothing(&pair, &records).await;
    let records = pair.records(&callers).await;

    // A second life that lost nothing owes nothing.
    switch.kill();
    let mut switch = pair.start_switch().await;
    let again = pair.crowd("echo", 2, 0);
    again.settled(LIMIT).await;
    again.hang_up_all();
    again.all("over", LIMIT, Caller::is_over).await;
    let all: Vec<Caller> = callers.iter().cloned().chain(again.callers()).collect();
    let after = pair.records(&all).await;
    assert_eq!(after[..20], records, "a second start changed old records");
    assert_eq!(pair.metric("ms_farewells_unreachable_total").await, 0);
    switch.stop();
    drop(office);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_switch_also_settles_what_was_ringing_or_waited_for_its_ack() {
    let pair = Pair::new();
    let office = pair.start_office().await;
    let mut switch = pair.start_switch().await;
    let ringing = Handmade::invite(pair.site.sip, "ringing");
    ringing.receives("SIP/2.0 180 ", LIMIT);
    let unacknowledged = Handmade::invite(pair.site.sip, "echo");
    unacknowledged.receives("SIP/2.0 200 ", LIMIT);
    // A fact is written at most 5 ms after it happened.
    tokio::time::sleep(seconds(0.1)).await;
    switch.kill();
    ringing.forgets();
    unacknowledged.forgets();
    let mut switch = pair.start_switch().await;

    // The INVITE that rang gets a final answer.
    let refusal = ringing.receives("SIP/2.0 ", FAREWELL);
    let status: u16 = refusal[8..11].parse().unwrap();
    assert!((400..700).contains(&status), "{refusal}");
    ringing.acknowledges(&refusal);
    // A 2xx is repeated until its ACK; only then may the BYE leave (RFC 3261 §15).
    let ok = unacknowledged.receives("SIP/2.0 200 ", FAREWELL);
    unacknowledged.acknowledges(&ok);
    let bye = unacknowledged.receives("BYE ", FAREWELL);
    assert!(bye.contains("cause=41"), "{bye}");
    unacknowledged.accepts(&bye);

    let rest = pair.rest();
    let records = rest.calls(2, |c| c["state"] == "ended").await;
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record["end_reason"], "node_lost", "{record:#}");
    }
    assert_eq!(pair.metric("ms_farewells_unreachable_total").await, 0);
    switch.stop();
    drop(office);
}

/// A caller that sends what a test writes and nothing by itself.
struct Handmade {
    socket: UdpSocket,
    user: &'static str,
    server: SocketAddr,
}

impl Handmade {
    fn invite(server: SocketAddr, user: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let caller = Self {
            socket,
            user,
            server,
        };
        let me = caller.me();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0\r\n",
            me.port()
        );
        let to = format!("<sip:{user}@{server}>");
        let more = format!("Contact: <sip:me@{me}>\r\nContent-Type: application/sdp\r\n");
        caller.request("INVITE", "invite", &to, &more, &sdp);
        caller
    }

    fn me(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn request(&self, method: &str, branch: &str, to: &str, more: &str, body: &str) {
        let (me, user, server) = (self.me(), self.user, self.server);
        let text = format!(
            "{method} sip:{user}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {me};branch=z9hG4bK-{branch}-{user};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:me@{me}>;tag=me\r\nTo: {to}\r\n\
             Call-ID: {user}@{me}\r\nCSeq: 1 {method}\r\n{more}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send_to(text.as_bytes(), server).unwrap();
    }

    /// The next message that begins so.
    fn receives(&self, start: &str, limit: Duration) -> String {
        let until = Instant::now() + limit;
        let mut others = Vec::new();
        let mut buffer = [0; 65_535];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with(start) {
                    return text;
                }
                others.push(text);
            }
            assert!(Instant::now() < until, "no {start} but {others:#?}");
        }
    }

    /// What came so far was not seen.
    fn forgets(&self) {
        let mut buffer = [0; 65_535];
        let moment = Duration::from_millis(20);
        self.socket.set_read_timeout(Some(moment)).unwrap();
        while self.socket.recv_from(&mut buffer).is_ok() {}
    }

    /// RFC 3261 §17.1.1.3 for a refusal, §13.2.2.4 for a 2xx.
    fn acknowledges(&self, response: &str) {
        let branch = match response.starts_with("SIP/2.0 2") {
            true => "ack",
            false => "invite",
        };
        self.request("ACK", branch, header(response, "To"), "", "");
    }

    fn accepts(&self, request: &str) {
        let field = |name| format!("{name}: {}\r\n", header(request, name));
        let fields = ["Via", "From", "To", "Call-ID", "CSeq"].map(field).concat();
        let text = format!("SIP/2.0 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim() == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {message}"))
        .1
        .trim()
}

/// Sends all facts of these calls once more, as the switch would after a lost answer.
async fn sent_again_it_changes_nothing(pair: &Pair, records: &[Value]) {
    let rest = pair.rest();
    let identity = std::fs::read(pair.path("switch/journal/node.json")).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    let mut before = Vec::new();
    let mut facts = Vec::new();
    for record in records {
        let timeline = rest.part(record, "timeline?limit=500").await;
        let rows = timeline["data"].as_array().unwrap().clone();
        facts.extend(rows.iter().map(|row| fact(&identity["node"], record, row)));
        before.push((timeline, whole(&rest, record).await));
    }
    let batch = json!({ "node": identity["node"], "boot": 2, "facts": facts });
    let switch = Office::new(rest.base.clone(), OFFICE_KEY.into());
    for _ in 0..2 {
        let request = Request::post(format!("{}/internal/v1/journal", rest.base));
        let ack = switch.send(request.json(&batch)).await;
        assert_eq!(ack["accepted"], facts.len(), "{ack:#}");
        assert_eq!(ack["refused"], json!([]), "{ack:#}");
    }
    for (record, before) in records.iter().zip(before) {
        let timeline = rest.part(record, "timeline?limit=500").await;
        assert_eq!((timeline, whole(&rest, record).await), before);
    }
    let all = rest.calls(records.len(), |_| true).await;
    assert_eq!(all.len(), records.len());
}

/// The call with all that the office says of it.
async fn whole(rest: &Office, record: &Value) -> Value {
    let id = record["id"].as_str().unwrap();
    rest.get(&format!("/v1/calls/{id}")).await
}

/// A row of the timeline as the switch sent it.
fn fact(node: &Value, record: &Value, row: &Value) -> Value {
    let at: jiff::Timestamp = row["at"].as_str().unwrap().parse().unwrap();
    let mut fact = json!({
        "node": node,
        "boot": row["boot"],
        "conversation": record["id"],
        "seq": row["seq"],
        "at_unix_ms": at.as_millisecond(),
        "offset_ms": row["offset_ms"],
        "type": row["type"],
    });
    if !row["data"].is_null() {
        fact["data"] = row["data"].clone();
    }
    fact
}
