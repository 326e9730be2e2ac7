//! A phone made of bytes, with a password: it registers, calls, is called, and can be told any request within its calls. What it
//! is asked it answers as a phone would; every message is kept.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sip_core::{
    digest::{Answered, Asker, Login},
    message::{Framing, Message, Method, parse},
};

/// The domain of all extensions.
pub const DOMAIN: &str = "127.0.0.1";
/// The password of all extensions.
pub const PASSWORD: &str = "secret-of-it";
const LIMIT: Duration = Duration::from_secs(60);

fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim().eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value.trim())
}

fn status(message: &str) -> u16 {
    let code = message.strip_prefix("SIP/2.0 ").map(|rest| &rest[..3]);
    code.and_then(|code| code.parse().ok()).unwrap_or_default()
}

fn tag(value: &str) -> &str {
    let tag = value.split_once(";tag=").map_or("", |(_, tag)| tag);
    tag.split(';').next().unwrap_or_default()
}

/// Answers the challenge of `answer`.
pub fn credentials(answer: &str, user: &str, method: &str, uri: &str) -> String {
    let Ok(Message::Response(response)) = parse(&answer.to_owned().into(), Framing::Datagram)
    else {
        panic!("{answer}");
    };
    let mut asker = Asker::new(Login {
        user: user.into(),
        password: PASSWORD.to_owned().into(),
        realms: vec![DOMAIN.into()],
    });
    let headers = response.headers();
    asker
        .challenged(401, headers, &mut Answered::default())
        .unwrap();
    let method = match method {
        "INVITE" => Method::Invite,
        _ => Method::Register,
    };
    let lines = asker.headers(&method, uri.as_bytes(), &"cnonce".into());
    lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// A dialog as the phone has it.
#[derive(Debug, Clone)]
pub struct Talk {
    pub call_id: String,
    /// From of our requests, with our tag.
    near: String,
    /// To of our requests, with the far tag.
    far: String,
    target: String,
}

impl Talk {
    /// As whoever has the other end must name it (RFC 3891).
    pub fn replaces(&self) -> String {
        let (to, from) = (tag(&self.far), tag(&self.near));
        format!("{};to-tag={to};from-tag={from}", self.call_id)
    }
}

/// See the module.
pub struct Phone {
    user: &'static str,
    pub at: SocketAddr,
    server: SocketAddr,
    socket: UdpSocket,
    seen: Arc<Mutex<Vec<String>>>,
    rtp: u16,
    cseq: AtomicU32,
}

impl Phone {
    /// Registers; its sound comes from and goes to this port. It takes calls, or lets them ring.
    pub fn register(server: SocketAddr, user: &'static str, rtp: u16, takes: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let phone = Self {
            user,
            at: socket.local_addr().unwrap(),
            server,
            seen: Arc::default(),
            rtp,
            cseq: AtomicU32::new(0),
            socket,
        };
        phone.listen(takes);
        let id = format!("reg-{}", phone.at.port());
        let register = |more: &str| {
            let cseq = phone.cseq.fetch_add(1, Ordering::Relaxed) + 1;
            let (at, uri) = (phone.at, format!("sip:{DOMAIN}"));
            let to = format!("<sip:{user}@{DOMAIN}>");
            phone.send(&format!(
                "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKreg{cseq};rport\r\nFrom: {to};tag=r\r\n\
                 To: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{at}>\r\nMax-Forwards: 70\r\n\
                 Expires: 300\r\n{more}Content-Length: 0\r\n\r\n"
            ));
            phone.answer_to(&id, cseq)
        };
        let asked = register("");
        let given = credentials(&asked, user, "REGISTER", &format!("sip:{DOMAIN}"));
        let said = register(&given);
        assert_eq!(status(&said), 200, "{said}");
        phone
    }

    fn listen(&self, takes: bool) {
        let (socket, seen) = (self.socket.try_clone().unwrap(), self.seen.clone());
        let (at, rtp) = (self.at, self.rtp);
        std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let mut kept = seen.lock().unwrap();
                if !kept.contains(&text) {
                    kept.push(text.clone());
                }
                let invite = cancelled(&kept, &text);
                drop(kept);
                for said in reactions(&text, &invite, takes, at, rtp) {
                    let _ = socket.send_to(said.as_bytes(), from);
                }
            }
        });
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// The `nth` message of which this is so, counted from 1.
    fn find(&self, what: &str, nth: usize, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let seen = self.seen.lock().unwrap().clone();
            if let Some(found) = seen.iter().filter(|text| wanted(text)).nth(nth - 1) {
                return found.clone();
            }
            assert!(
                Instant::now() < until,
                "{}: no {what}: {seen:#?}",
                self.user
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The `nth` message that begins so.
    pub fn hears(&self, start: &str, nth: usize) -> String {
        self.find(start, nth, |text| text.starts_with(start))
    }

    /// The messages so far that begin so.
    pub fn heard(&self, start: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap().clone();
        seen.into_iter()
            .filter(|text| text.starts_with(start))
            .collect()
    }

    /// What the NOTIFYs within a dialog have said so far, once there are so many.
    pub fn news(&self, talk: &Talk, count: usize) -> Vec<u16> {
        let mine =
            |text: &str| text.starts_with("NOTIFY ") && value(text, "Call-ID") == talk.call_id;
        self.find("NOTIFY", count, mine);
        let said = |text: &String| {
            let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
            status(body)
        };
        let all = self.heard("NOTIFY ");
        all.iter().filter(|text| mine(text)).map(said).collect()
    }

    /// It is hung up on in this dialog.
    pub fn is_left(&self, talk: &Talk) -> String {
        self.find("BYE", 1, |text| {
            text.starts_with("BYE ") && value(text, "Call-ID") == talk.call_id
        })
    }

    fn answer_to(&self, call_id: &str, cseq: u32) -> String {
        self.find("final response", 1, |text| {
            let number = value(text, "CSeq").split(' ').next().unwrap_or_default();
            status(text) >= 200 && value(text, "Call-ID") == call_id && number == cseq.to_string()
        })
    }

    /// Calls `to`; what came of it, confirmed. `more` are whole header lines.
    pub fn invites(&self, to: &str, more: &str) -> (String, Talk) {
        let first = self.cseq.fetch_add(2, Ordering::Relaxed) + 1;
        let talk = Talk {
            call_id: format!("{}-{first}@{}", self.user, self.at.port()),
            near: format!("<sip:{}@{DOMAIN}>;tag=n{first}", self.user),
            far: format!("<sip:{to}@{}>", self.server),
            target: format!("sip:{to}@{}", self.server),
        };
        let sdp = sdp(self.rtp);
        let more = format!("{more}Content-Type: application/sdp\r\n");
        self.request("INVITE", first, &talk, &more, &sdp);
        let asked = self.answer_to(&talk.call_id, first);
        self.ack(&talk, first, &asked);
        let given = credentials(&asked, self.user, "INVITE", &talk.target);
        self.request("INVITE", first + 1, &talk, &(given + &more), &sdp);
        let said = self.answer_to(&talk.call_id, first + 1);
        self.ack(&talk, first + 1, &said);
        let talk = Talk {
            far: value(&said, "To").to_owned(),
            ..talk
        };
        (said, talk)
    }

    /// Calls `to`, who takes the call.
    pub fn calls(&self, to: &str) -> Talk {
        let (said, talk) = self.invites(to, "");
        assert_eq!(status(&said), 200, "{said}");
        talk
    }

    /// The `nth` call that came.
    pub fn was_called(&self, nth: usize) -> Talk {
        let invite = self.hears("INVITE ", nth);
        let target = value(&invite, "Contact").trim_start_matches('<');
        Talk {
            call_id: value(&invite, "Call-ID").to_owned(),
            near: format!("{};tag={}", value(&invite, "To"), own_tag(self.at)),
            far: value(&invite, "From").to_owned(),
            target: target.split('>').next().unwrap().to_owned(),
        }
    }

    fn ack(&self, talk: &Talk, cseq: u32, answer: &str) {
        let talk = Talk {
            far: value(answer, "To").to_owned(),
            ..talk.clone()
        };
        let method = match status(answer) {
            200..=299 => "ACK",
            _ => "ACK of a refusal",
        };
        self.request(method, cseq, &talk, "", "");
    }

    /// A request within a dialog, and its final response.
    pub fn asks(&self, talk: &Talk, method: &str, more: &str) -> String {
        let cseq = self.cseq.fetch_add(1, Ordering::Relaxed) + 1_001;
        self.request(method, cseq, talk, more, "");
        self.answer_to(&talk.call_id, cseq)
    }

    fn request(&self, what: &str, cseq: u32, talk: &Talk, more: &str, body: &str) {
        let method = what.split(' ').next().unwrap();
        // The ACK of a refusal belongs to its INVITE.
        let branch = match what {
            "ACK of a refusal" => "INVITE",
            other => other,
        };
        let (
            at,
            Talk {
                target,
                near,
                far,
                call_id,
            },
        ) = (self.at, talk);
        self.send(&format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{branch}{cseq}x{};rport\r\n\
             Max-Forwards: 70\r\nFrom: {near}\r\nTo: {far}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{}@{at}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            at.port(),
            self.user,
            body.len()
        ));
    }
}

fn own_tag(at: SocketAddr) -> String {
    format!("p{}", at.port())
}

/// The INVITE that a CANCEL gives up.
fn cancelled(seen: &[String], text: &str) -> String {
    let id = value(text, "Call-ID");
    let mut invites = seen.iter().filter(|text| text.starts_with("INVITE "));
    let found = invites.rfind(|invite| value(invite, "Call-ID") == id);
    found.cloned().unwrap_or_default()
}

fn reactions(text: &str, invite: &str, takes: bool, at: SocketAddr, rtp: u16) -> Vec<String> {
    let method = text.split(' ').next().unwrap_or_default();
    match method {
        "INVITE" if takes => vec![said(text, 180, at, ""), said(text, 200, at, &sdp(rtp))],
        "INVITE" => vec![said(text, 180, at, "")],
        "CANCEL" => vec![said(text, 200, at, ""), said(invite, 487, at, "")],
        "BYE" | "NOTIFY" | "OPTIONS" | "INFO" | "UPDATE" => vec![said(text, 200, at, "")],
        _ => Vec::new(),
    }
}

fn said(request: &str, status: u16, at: SocketAddr, sdp: &str) -> String {
    let via = request.lines().filter(|line| line.starts_with("Via:"));
    let via: String = via.map(|line| format!("{line}\r\n")).collect();
    let to = value(request, "To");
    let to = match to.contains(";tag=") {
        true => to.to_owned(),
        false => format!("{to};tag={}", own_tag(at)),
    };
    let (from, id, cseq) = (
        value(request, "From"),
        value(request, "Call-ID"),
        value(request, "CSeq"),
    );
    format!(
        "SIP/2.0 {status} Thus\r\n{via}From: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:phone@{at}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

fn sdp(rtp: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {rtp} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
}
