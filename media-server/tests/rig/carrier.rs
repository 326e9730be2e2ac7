//! Far sides made of bytes: a place that is called and does one thing, and a caller. Both keep every
//! message and when it came.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A header's value as it stands in a message.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim().eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

/// The status of a response.
pub fn status(message: &str) -> u16 {
    let code = message.split(' ').nth(1).unwrap_or_default();
    code.parse().unwrap_or_default()
}

/// What a place does with an INVITE.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Refuses with this status and these whole header lines.
    Refuses(u16, String),
    /// Rings and says no more.
    Rings,
    /// Answers, and waits for the BYE.
    Answers,
    /// Answers, and asks for a transfer to this URI.
    Refers(String),
    /// Says nothing.
    Silent,
}

/// A place that can be called.
pub struct Far {
    pub at: SocketAddr,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Far {
    pub fn new(manner: Manner) -> Self {
        Self::at("127.0.0.1", manner)
    }

    /// At another address of this machine.
    pub fn at(ip: &str, manner: Manner) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        Self::on(socket, manner)
    }

    /// On a socket that a phone has registered from.
    pub fn on(socket: UdpSocket, manner: Manner) -> Self {
        let at = socket.local_addr().unwrap();
        socket.set_read_timeout(None).unwrap();
        let seen = Arc::<Mutex<Vec<(Instant, String)>>>::default();
        let notes = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            let mut invite = String::new();
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let mut notes = notes.lock().unwrap();
                let again = notes.iter().any(|(_, earlier)| *earlier == text);
                notes.push((Instant::now(), text.clone()));
                drop(notes);
                if again {
                    continue;
                }
                if text.starts_with("INVITE") {
                    invite.clone_from(&text);
                }
                for said in answers(&text, &invite, &manner, at) {
                    let _ = socket.send_to(said.as_bytes(), from);
                }
            }
        });
        Self { at, seen }
    }

    /// The requests of one method that came, each once, and when.
    pub fn got(&self, method: &str) -> Vec<(Instant, String)> {
        let mut once: Vec<(Instant, String)> = Vec::new();
        for (at, text) in self.seen.lock().unwrap().iter() {
            if text.starts_with(method) && once.iter().all(|(_, earlier)| earlier != text) {
                once.push((*at, text.clone()));
            }
        }
        once
    }

    /// The INVITEs that came.
    pub fn invites(&self) -> Vec<String> {
        self.got("INVITE ")
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// The `nth` message that begins so, counted from 1.
    pub async fn hears(&self, start: &str, nth: usize) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some((_, text)) = self.got(start).into_iter().nth(nth - 1) {
                return text;
            }
            let all = self.seen.lock().unwrap().clone();
            assert!(Instant::now() < until, "no '{start}' came: {all:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const TAG: &str = "far";

fn answers(text: &str, invite: &str, manner: &Manner, at: SocketAddr) -> Vec<String> {
    let method = text.split(' ').next().unwrap_or_default();
    match (method, manner) {
        ("INVITE", Manner::Refuses(status, more)) => vec![said(text, *status, more, at)],
        ("INVITE", Manner::Rings) => vec![said(text, 180, "", at)],
        ("INVITE", Manner::Answers | Manner::Refers(_)) => {
            vec![said(text, 180, "", at), said(text, 200, "", at)]
        }
        ("ACK", Manner::Refers(to)) => vec![refer(invite, to, at)],
        ("BYE", _) => vec![said(text, 200, "", at)],
        ("CANCEL", _) => vec![said(text, 200, "", at), said(invite, 487, "", at)],
        _ => Vec::new(),
    }
}

fn copied(text: &str) -> String {
    let via = text.lines().filter(|line| line.starts_with("Via:"));
    let mut lines: Vec<&str> = via.collect();
    for name in ["From", "Call-ID", "CSeq"] {
        let mut all = text.lines();
        lines.extend(all.find(|line| line.starts_with(&format!("{name}:"))));
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn said(text: &str, status: u16, more: &str, at: SocketAddr) -> String {
    let to = header(text, "To").unwrap_or_default();
    let to = match to.contains(";tag=") {
        true => to.to_owned(),
        false => format!("{to};tag={TAG}"),
    };
    let contact = match more.contains("Contact:") {
        true => String::new(),
        false => format!("Contact: <sip:far@{at}>\r\n"),
    };
    let sdp = match status == 200 && text.starts_with("INVITE") {
        true => sdp(),
        false => String::new(),
    };
    format!(
        "SIP/2.0 {status} Thus\r\n{}To: {to}\r\n{contact}{more}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        copied(text),
        sdp.len()
    )
}

fn sdp() -> String {
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
     m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        .to_owned()
}

fn refer(invite: &str, to: &str, at: SocketAddr) -> String {
    let contact = header(invite, "Contact").unwrap_or_default();
    let contact = contact.trim_start_matches('<').split('>').next().unwrap();
    format!(
        "REFER {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKrefer;rport\r\nMax-Forwards: 70\r\n\
         From: {};tag={TAG}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 REFER\r\nContact: <sip:far@{at}>\r\n\
         Refer-To: <{to}>\r\nReferred-By: <sip:far@{at}>\r\nContent-Length: 0\r\n\r\n",
        header(invite, "To").unwrap_or_default(),
        header(invite, "From").unwrap_or_default(),
        header(invite, "Call-ID").unwrap_or_default(),
    )
}

/// A caller who says what he is told.
pub struct Caller {
    socket: UdpSocket,
    server: SocketAddr,
    from: String,
    call_id: String,
    uri: String,
    cseq: u32,
    seen: Vec<String>,
}

impl Caller {
    /// Invites `user`; `more` are whole header lines.
    pub fn invite(server: SocketAddr, user: &str, more: &str) -> Self {
        Self::invite_from("127.0.0.1", server, user, more)
    }

    /// The same from another address of this machine.
    pub fn invite_from(ip: &str, server: SocketAddr, user: &str, more: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let at = socket.local_addr().unwrap();
        let caller = Self {
            from: format!("<sip:+33100000001@{at}>;tag=near"),
            call_id: format!("{}-{user}@near.invalid", at.port()),
            uri: format!("sip:{user}@{server}"),
            cseq: 1,
            seen: Vec::new(),
            socket,
            server,
        };
        caller.invites(more);
        caller
    }

    fn invites(&self, more: &str) {
        let more = format!("{more}Content-Type: application/sdp\r\n");
        self.send("INVITE", self.cseq, &self.to_plain(), &more, &sdp());
    }

    /// The same call again, with these header lines.
    pub fn again(&mut self, more: &str) {
        self.cseq += 1;
        self.invites(more);
    }

    fn to_plain(&self) -> String {
        format!("<{}>", self.uri)
    }

    fn send(&self, method: &str, cseq: u32, to: &str, more: &str, body: &str) {
        let at = self.socket.local_addr().unwrap();
        // The ACK for a refusal belongs to the INVITE's transaction, that for a 200 does not.
        let refused = method == "ACK" && self.seen.last().is_none_or(|last| status(last) != 200);
        let branch = match method {
            "CANCEL" => "INVITE",
            _ if refused => "INVITE",
            other => other,
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{branch}{cseq}{};rport\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:near@{at}>\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            at.port(),
            self.from,
            body.len(),
            uri = self.uri,
            id = self.call_id,
        );
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// The next message of which `wanted` says yes.
    fn next(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        let mut buffer = [0; 8_192];
        while Instant::now() < until {
            let wait = Some(Duration::from_millis(200));
            self.socket.set_read_timeout(wait).unwrap();
            let Ok(length) = self.socket.recv(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.seen.push(text.clone());
            if wanted(&text) {
                return text;
            }
        }
        panic!("no {what} came: {:#?}", self.seen);
    }

    /// The final response to the INVITE, confirmed.
    pub fn outcome(&mut self) -> String {
        let last = self.next("final response", |text| {
            text.starts_with("SIP/2.0 ") && status(text) >= 200 && text.contains("INVITE")
        });
        let to = header(&last, "To").unwrap().to_owned();
        self.send("ACK", self.cseq, &to, "", "");
        last
    }

    /// The BYE of the server, answered.
    pub fn is_hung_up(&mut self) -> String {
        let bye = self.next("BYE", |text| text.starts_with("BYE "));
        let at = self.socket.local_addr().unwrap();
        let answer = said(&bye, 200, "", at);
        self.socket.send_to(answer.as_bytes(), self.server).unwrap();
        bye
    }

    /// Hangs up.
    pub fn hangs_up(&mut self, answer: &str) {
        let to = header(answer, "To").unwrap().to_owned();
        self.send("BYE", self.cseq + 1, &to, "", "");
        self.next("200 to the BYE", |text| {
            text.starts_with("SIP/2.0 200") && text.contains("BYE")
        });
    }

    /// Gives up while it rings.
    pub fn gives_up(&mut self) {
        self.send("CANCEL", self.cseq, &self.to_plain(), "", "");
        let _ = self.outcome();
    }

    /// Whether a message that begins so has come by now.
    pub fn has_seen(&self, start: &str) -> bool {
        self.seen.iter().any(|text| text.starts_with(start))
    }
}
