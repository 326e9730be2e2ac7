//! The 49 messages of RFC 4475 sent to a live server over UDP: each has the outcome that
//! `crates/sip-core/tests/torture/expected.toml` gives it, and the server answers OPTIONS afterwards.

#[path = "rig/node.rs"]
mod rig;

use std::{
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    time::{Duration, Instant},
};

use rig::Site;

struct Row {
    name: String,
    server: String,
}

fn rows() -> Vec<Row> {
    let text = include_str!("../../crates/sip-core/tests/torture/expected.toml");
    let table: toml::Table = text.parse().unwrap();
    let field = |row: &toml::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = table["message"].as_array().unwrap().iter();
    rows.map(|row| Row {
        name: field(row, "name"),
        server: field(row, "server"),
    })
    .collect()
}

fn options(number: usize, from: SocketAddr) -> String {
    format!(
        "OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKping{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@127.0.0.1>;tag=p{number}\r\nTo: <sip:ping@127.0.0.1>\r\n\
         Call-ID: ping{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A far side with an address of its own, so that late repetitions meet nobody else. Its port is the
/// one to which answers go where Via names a host without a port and wants no rport (RFC 3261 §18.2.2).
struct Far(UdpSocket);

impl Far {
    fn new(server: SocketAddr, number: usize) -> Self {
        let socket = UdpSocket::bind(format!("127.44.75.{}:5060", number + 1)).unwrap();
        socket.connect(server).unwrap();
        Self(socket)
    }

    fn next(&self, until: Instant) -> Option<String> {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.0.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 65_535];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Sends a message and OPTIONS behind it. The statuses that came before the answer to OPTIONS,
    /// and, where a call is expected, its final one.
    fn provoke(&self, number: usize, message: &[u8], expects_call: bool) -> Vec<u16> {
        self.0.send(message).unwrap();
        let from = self.0.local_addr().unwrap();
        self.0.send(options(number, from).as_bytes()).unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        let (mut alive, mut statuses) = (false, Vec::new());
        while !alive || (expects_call && !statuses.iter().any(|s| *s >= 200)) {
            let answer = self.next(until);
            let answer =
                answer.unwrap_or_else(|| panic!("OPTIONS {number}: {alive}, {statuses:?}"));
            let status = answer[8..11].parse().unwrap();
            match answer.contains(&format!("Call-ID: ping{number}\r\n")) {
                true => {
                    assert_eq!(status, 200, "{answer}");
                    alive = true;
                }
                false => statuses.push(status),
            }
        }
        statuses
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_torture_message_has_its_outcome_and_the_server_lives_on() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/rfc4475");
    let folder = PathBuf::from(folder);
    if !folder.is_dir() {
        println!(
            "SKIP every_torture_message_has_its_outcome_and_the_server_lives_on: the RFC 4475 vectors are not there"
        );
        return;
    }
    let site = Site::new("", None);
    let node = site.start().await;
    let (mut wrong, mut calls) = (Vec::new(), 0);
    for (number, row) in rows().iter().enumerate() {
        let message = std::fs::read(folder.join(format!("{}.dat", row.name))).unwrap();
        let is_call = row.server == "new-invite";
        let statuses = Far::new(site.sip, number).provoke(number, &message, is_call);
        let expected: &[&[u16]] = match row.server.as_str() {
            "dropped" => &[&[]],
            // Nobody here has the number it calls.
            "new-invite" => &[&[100, 404], &[404]],
            status => &[&[status.parse().unwrap()]],
        };
        calls += usize::from(is_call);
        if !expected.contains(&statuses.as_slice()) {
            wrong.push(format!("{}: {statuses:?}, not {expected:?}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(calls, 4);
    // Those that were calls have their record, the others left nothing behind.
    let records = site.office().calls(calls, |c| c["state"] == "ended").await;
    assert_eq!(records.len(), calls, "{records:#?}");
    for call in &records {
        assert_eq!(call["end_reason"], "no_route", "{call:#}");
        assert_eq!(call["sip"]["code"], 404);
    }
    let all = site.office().get("/v1/calls?limit=100").await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(calls));
    assert_eq!(node.services.calls.len(), 0);
    node.stop().await;
}
