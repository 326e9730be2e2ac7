//! A disk that has no room for a while: what the office refused then it takes later, in the same
//! process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use control_api::store::{Db, Tx};
use model::{CallId, Fact, FactKind};
use serde_json::Value;

use crate::story::{Switch, ended, segment, started};

/// A call of some 150 KB.
fn long_call(number: u128) -> (CallId, Vec<Fact>) {
    let (switch, call) = (Switch::new(1), CallId::new(1, number));
    let words = "a table for four on friday at seven ".repeat(100);
    let mut facts = vec![switch.fact(call, 0, FactKind::Started(started(None)))];
    facts.extend((1..40).map(|seq| {
        let said = segment(model::transcript::Speaker::Caller, &words, 1_000, None);
        switch.fact(call, seq, FactKind::Segment(said))
    }));
    facts.push(switch.fact(call, 40, ended(model::EndReason::CallerHangup, 4_000)));
    (call, facts)
}

/// A transaction that SQLite ends by itself (it does that when a write fails) must not leave a
/// connection behind that refuses every later one.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_engine_gave_up_harms_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("office.db").display());
    let db = Db::open(&url).await.unwrap();
    db.migrate().await.unwrap();
    for _ in 0..3 {
        let Tx::Sqlite(mut tx) = db.begin().await.unwrap() else {
            panic!("this is about SQLite");
        };
        sqlx::query("rollback").execute(&mut *tx).await.unwrap();
        drop(tx);
    }
    let (call, facts) = long_call(1);
    assert_eq!(db.take_facts(&facts, 1).await.unwrap().new, facts.len());
    let record = db.call(None, call).await.unwrap().unwrap();
    assert!(record.0.ended_ms.is_some());
    db.close().await;
}

/// The program with a limit on the size of its files: a disk that can be filled and emptied.
struct Program {
    child: Child,
    url: String,
    dir: tempfile::TempDir,
}

impl Program {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // A write beyond the limit fails instead of ending the process.
        let ignoring = "trap '' XFSZ; exec \"$0\" serve --listen 127.0.0.1:0";
        let mut child = Command::new("sh")
            .args(["-c", ignoring, env!("CARGO_BIN_EXE_control-api")])
            .current_dir(dir.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("control-api runs");
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let mark = "listening on ";
        let line = lines.find(|line| line.contains(mark)).expect("an address");
        std::thread::spawn(move || lines.for_each(|line| println!("{line}")));
        let url = line.split(mark).nth(1).unwrap();
        let url = url.split(['"', ' ']).next().unwrap().to_owned();
        Self { child, url, dir }
    }

    /// The disk takes what is small, but no call of [`long_call`]'s size: so that it is the
    /// transaction with the facts that fails, when it is committed.
    fn nearly_full(&self) {
        let wal = self.dir.path().join("data").join("sidetone.db-wal");
        let length = std::fs::metadata(&wal).expect("a log").len();
        self.most_bytes(&(length + 60_000).to_string());
    }

    /// No file may grow beyond so many bytes.
    fn most_bytes(&self, bytes: &str) {
        let limited = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string()])
            .arg(format!("--fsize={bytes}:unlimited"))
            .status();
        assert!(limited.expect("prlimit is there").success());
    }

    fn key(&self, name: &str) -> String {
        let path = self.dir.path().join("data").join(name);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    async fn ship(&self, facts: &[Fact]) -> u16 {
        let url = format!("{}/internal/v1/journal", self.url);
        let request = reqwest::Client::new().post(url);
        let batch = Switch::new(1).batch(facts);
        let request = request.bearer_auth(self.key("node.key")).json(&batch);
        request.send().await.unwrap().status().as_u16()
    }

    async fn record(&self, call: CallId) -> Value {
        let url = format!("{}/v1/calls/{call}", self.url);
        let request = reqwest::Client::new().get(url);
        let request = request.bearer_auth(self.key("admin.key"));
        request.send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_disk_refused_is_taken_once_there_is_room() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let office = Program::start();
    let (before, facts) = long_call(1);
    assert_eq!(office.ship(&facts).await, 200);
    let (call, facts) = long_call(2);
    office.nearly_full();
    for _ in 0..3 {
        let status = office.ship(&facts).await;
        assert!(status >= 500, "{status}: the switch would not try again");
    }
    // With no room at all, reading still works.
    office.most_bytes("4096");
    assert!(office.ship(&facts).await >= 500);
    assert_eq!(office.record(before).await["state"], "ended");
    office.most_bytes("unlimited");
    assert_eq!(office.ship(&facts).await, 200, "the office never recovers");
    assert_eq!(office.record(call).await["state"], "ended");
}
