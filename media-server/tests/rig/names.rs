//! A name server in this process, on loopback: answers from a table, counts what it was asked.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, task::JoinHandle};

const A: u16 = 1;
const SRV: u16 = 33;
const AAAA: u16 = 28;
const NAPTR: u16 = 35;

/// A zone and its server.
pub struct Names {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    task: JoinHandle<()>,
}

/// What is in the zone; names in small letters, without the last dot.
#[derive(Default, Clone)]
pub struct Zone {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    mute: Vec<String>,
    ttl_s: u32,
}

impl Zone {
    pub fn new() -> Self {
        Self {
            ttl_s: 60,
            ..Self::default()
        }
    }

    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl_s = seconds;
        self
    }

    pub fn host(mut self, name: &str, ip: &str) -> Self {
        let (kind, data) = match ip.parse().unwrap() {
            IpAddr::V4(ip) => (A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
        };
        self.add(name, kind, data);
        self
    }

    pub fn srv(mut self, name: &str, (priority, weight): (u16, u16), at: (&str, u16)) -> Self {
        let mut data = Vec::new();
        for number in [priority, weight, at.1] {
            data.extend(number.to_be_bytes());
        }
        data.extend(labels(at.0));
        self.add(name, SRV, data);
        self
    }

    pub fn naptr(mut self, name: &str, order: u16, service: &str, replacement: &str) -> Self {
        let mut data = Vec::new();
        data.extend(order.to_be_bytes());
        data.extend(10_u16.to_be_bytes());
        for text in ["s", service, ""] {
            data.push(text.len() as u8);
            data.extend(text.as_bytes());
        }
        data.extend(labels(replacement));
        self.add(name, NAPTR, data);
        self
    }

    /// Questions about this name get no answer at all.
    pub fn mute(mut self, name: &str) -> Self {
        self.mute.push(name.to_owned());
        self
    }

    fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) {
        let key = (name.to_owned(), kind);
        self.records.entry(key).or_default().push(data);
    }

    pub async fn serve(self) -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = self.answer(&buffer[..length], &log) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Names { addr, asked, task }
    }

    /// RFC 1035 §4: the question again, and the records of that name and type.
    fn answer(&self, query: &[u8], log: &Mutex<Vec<(String, u16)>>) -> Option<Vec<u8>> {
        let (name, end) = name_at(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        log.lock().unwrap().push((name.clone(), kind));
        if self.mute.contains(&name) {
            return None;
        }
        let records = self.records.get(&(name.clone(), kind));
        let records = records.map_or(&[][..], Vec::as_slice);
        let exists = self.records.keys().any(|(known, _)| *known == name);
        let mut out = query[..2].to_vec();
        out.extend([0x81, if exists { 0x80 } else { 0x83 }, 0, 1]);
        out.extend((records.len() as u16).to_be_bytes());
        out.extend([0; 4]);
        out.extend(&query[12..end + 4]);
        for data in records {
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1]);
            out.extend(self.ttl_s.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        Some(out)
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = message.get(at..at + length)?;
        name.push_str(&String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}

impl Names {
    /// How often this name was asked for, whatever the type.
    pub fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(known, _)| known == name).count()
    }

    pub fn total(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}
