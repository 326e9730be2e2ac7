//! Two endpoints with their dialogs on a wire that loses, delays and reorders, under virtual time; and the ladder of what passed.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use sip_core::dialog::{
    Dialog, DialogConfig, DialogEffect, DialogEvent, DialogId, DialogInput, OutboundCall, Reliable,
    SessionTimer,
};
use sip_core::endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput, NewInvite};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Framing, Message, Method, parse};
use sip_core::offer_answer::{CodecCapability, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy};
use sip_core::tokens::TokenSource;
use sip_core::value::{NameAddr, Uri};

/// How the wire treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub seed: u64,
    /// Lost datagrams in 100.
    pub loss: u64,
    pub delay_ms: u64,
    /// Up to this much more, so that datagrams overtake one another.
    pub jitter_ms: u64,
}

pub const CLEAN: Wire = Wire {
    seed: 1,
    loss: 0,
    delay_ms: 10,
    jitter_ms: 0,
};

/// What a called side does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// 180, then 200.
    RingsAndAnswers,
    /// 200 at once.
    Answers,
    /// 180 only.
    Rings,
    /// Nothing but the 100.
    Waits,
}

/// One side: an endpoint and its dialogs.
pub struct Side {
    pub name: &'static str,
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    pub dialogs: BTreeMap<DialogId, Dialog>,
    pub events: Vec<(Duration, DialogEvent)>,
    pub callee: Callee,
    /// Refuse new calls with this status instead of making a dialog.
    pub refuse: Option<u16>,
    pub tokens: TokenSource,
    pub transport: Transport,
    pub session_timer: SessionTimer,
    pub reliable: Reliable,
}

/// Side of origin and first line → lost or not.
pub type Lose = Box<dyn FnMut(usize, &str) -> bool>;

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub side: usize,
    pub method: String,
    pub branch: String,
    pub to_tag: String,
    pub cseq: u32,
}

pub struct Pair {
    pub now: Duration,
    pub wire: Wire,
    pub sides: [Side; 2],
    random: u64,
    /// Datagrams on their way: when, order, to which side, from which address, bytes.
    flying: BTreeMap<(Duration, u64), (usize, SocketAddr, Bytes)>,
    count: u64,
    pub ladder: Vec<String>,
    /// First copies of requests inside dialogs, other than ACK and CANCEL.
    pub requests: Vec<Sent>,
    /// Decides by first line and side of origin whether a datagram is lost.
    pub lose: Lose,
}

pub fn policy() -> MediaPolicy {
    let codec = |name: &str, payload_type| CodecCapability {
        name: name.into(),
        payload_type,
        clock_rate_hz: 8000,
        channels: 1,
        fmtp: None,
    };
    MediaPolicy {
        codecs: vec![codec("PCMU", 0), codec("PCMA", 8)],
        telephone_event: Some(101),
        negotiation: Negotiation::Offerer,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp: SrtpPolicy::Off,
    }
}

pub fn media(port: u16) -> MediaAddress {
    MediaAddress {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
        port,
    }
}

fn side(name: &'static str, host: u8, seed: u8, transport: Transport) -> Side {
    let mut tokens = TokenSource::new([seed; 32]);
    let config = EndpointConfig {
        server: name.into(),
        ..EndpointConfig::default()
    };
    Side {
        name,
        address: SocketAddr::from(([10, 0, 0, host], 5060)),
        endpoint: Endpoint::new(config, tokens.fork()),
        dialogs: BTreeMap::new(),
        events: Vec::new(),
        callee: Callee::RingsAndAnswers,
        refuse: None,
        tokens,
        transport,
        session_timer: SessionTimer::default(),
        reliable: Reliable::default(),
    }
}

impl Side {
    pub fn config(&self) -> DialogConfig {
        let mut config = DialogConfig::new(self.address.ip().to_string(), 5060, policy());
        config.user_agent = self.name.into();
        config.session_timer = self.session_timer;
        config.reliable = self.reliable;
        config
    }

    pub fn only(&self) -> DialogId {
        assert_eq!(self.dialogs.len(), 1, "{} has one dialog", self.name);
        self.dialogs.keys().next().expect("one").clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|(_, event)| name_of(event))
            .collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|known| *known == name).count()
    }
}

/// An event in a word or two.
pub fn name_of(event: &DialogEvent) -> String {
    match event {
        DialogEvent::Media(agreed) => format!("Media {}", agreed.direction.name()),
        DialogEvent::EarlyMedia(_) => "EarlyMedia".into(),
        DialogEvent::Ended(ended) => format!("Ended {:?} {:?}", ended.by, ended.cause),
        DialogEvent::Ringing { status } => format!("Ringing {status}"),
        DialogEvent::Info { .. } => "Info".into(),
        other => format!("{other:?}"),
    }
}

impl Pair {
    pub fn new(wire: Wire) -> Self {
        Self::over(wire, Transport::Udp)
    }

    pub fn over(wire: Wire, transport: Transport) -> Self {
        Self {
            now: Duration::ZERO,
            wire,
            sides: [
                side("alice", 1, 11, transport),
                side("bob", 2, 22, transport),
            ],
            random: wire.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            flying: BTreeMap::new(),
            count: 0,
            ladder: Vec::new(),
            requests: Vec::new(),
            lose: Box::new(|_, _| false),
        }
    }

    pub fn alice(&self) -> &Side {
        &self.sides[0]
    }

    pub fn bob(&self) -> &Side {
        &self.sides[1]
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    pub fn flow(&self, from: usize) -> Flow {
        Flow {
            transport: self.sides[from].transport,
            local: self.sides[from].address,
            remote: self.sides[1 - from].address,
            connection: u64::from(self.sides[from].transport == Transport::Tcp),
        }
    }

    pub fn outbound(&self) -> OutboundCall {
        let uri = |text: &str| text.parse::<Uri>().expect("uri");
        OutboundCall {
            target: uri("sip:bob@10.0.0.2"),
            from: NameAddr::new(Some("Alice"), &uri("sip:alice@10.0.0.1")).expect("from"),
            to: None,
            flow: self.flow(0),
            route: Vec::new(),
            media: media(4000),
            delayed_offer: false,
            headers: Vec::new(),
            ring_timeout: None,
            max_forwards: 70,
        }
    }

    /// Alice calls Bob.
    pub fn call(&mut self) -> DialogId {
        let call = self.outbound();
        self.place(&call)
    }

    pub fn place(&mut self, call: &OutboundCall) -> DialogId {
        let alice = &mut self.sides[0];
        let dialog = Dialog::uac(self.now, alice.config(), alice.tokens.fork(), call);
        let id = dialog.id().clone();
        alice
            .endpoint
            .handle(self.now, EndpointInput::Adopt(id.clone()));
        alice.dialogs.insert(id.clone(), dialog);
        self.settle(0);
        id
    }

    /// Something a side's only dialog is told.
    pub fn tell(&mut self, side: usize, input: DialogInput) {
        let id = self.sides[side].only();
        self.tell_dialog(side, &id, input);
    }

    pub fn tell_dialog(&mut self, side: usize, id: &DialogId, input: DialogInput) {
        let now = self.now;
        let dialog = self.sides[side].dialogs.get_mut(id).expect("dialog");
        dialog.handle(now, input);
        self.settle(side);
    }

    pub fn hangup(&mut self, side: usize) {
        self.tell(side, DialogInput::Hangup { reason: None });
    }

    /// Raw bytes from a stranger's address to a side.
    pub fn inject(&mut self, to: usize, from: SocketAddr, bytes: impl Into<Bytes>) {
        self.deliver(to, from, bytes.into());
    }

    /// Lets time pass, doing everything that comes due.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            assert!(next >= self.now, "time went backwards");
            self.now = next;
            self.step();
        }
        self.now = end;
    }

    pub fn run_ms(&mut self, span_ms: u64) {
        self.run(Duration::from_millis(span_ms));
    }

    fn next_moment(&self) -> Option<Duration> {
        let flying = self.flying.keys().next().map(|(at, _)| *at);
        let timers = self.sides.iter().flat_map(|side| {
            let dialogs = side.dialogs.values().map(Dialog::poll_timeout);
            dialogs.chain([side.endpoint.poll_timeout()])
        });
        timers
            .chain([flying])
            .flatten()
            .min()
            .map(|at| at.max(self.now))
    }

    fn step(&mut self) {
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, from, bytes) = entry.remove();
            self.deliver(to, from, bytes);
        }
        for side in 0..2 {
            let now = self.now;
            self.sides[side].endpoint.handle_timeout(now);
            for dialog in self.sides[side].dialogs.values_mut() {
                dialog.handle_timeout(now);
            }
            self.settle(side);
        }
    }

    fn deliver(&mut self, to: usize, from: SocketAddr, bytes: Bytes) {
        let flow = Flow {
            remote: from,
            ..self.flow(to)
        };
        let now = self.now;
        self.sides[to]
            .endpoint
            .handle(now, EndpointInput::Received { flow, bytes });
        self.settle(to);
    }

    /// Carries out what an endpoint and its dialogs want until nothing is left.
    fn settle(&mut self, side: usize) {
        loop {
            let mut moved = false;
            while let Some(effect) = self.sides[side].endpoint.poll_effect() {
                moved = true;
                self.endpoint_effect(side, effect);
            }
            let ids: Vec<_> = self.sides[side].dialogs.keys().cloned().collect();
            for id in ids {
                moved |= self.drain(side, &id);
            }
            if !moved {
                return;
            }
        }
    }

    fn endpoint_effect(&mut self, side: usize, effect: EndpointEffect) {
        match effect {
            EndpointEffect::Transmit { flow, bytes } => self.transmit(side, flow, bytes),
            EndpointEffect::NewInvite(invite) => self.new_invite(side, *invite),
            EndpointEffect::Deliver {
                dialog_id,
                flow,
                message,
            } => {
                let now = self.now;
                let dialog = self.sides[side].dialogs.get_mut(&dialog_id);
                let dialog = dialog.expect("the endpoint delivers to live dialogs only");
                dialog.handle(now, DialogInput::Received { flow, message });
            }
            EndpointEffect::Register(_)
            | EndpointEffect::Close { .. }
            | EndpointEffect::Alias { .. }
            | EndpointEffect::Dropped { .. } => {}
        }
    }

    fn new_invite(&mut self, side: usize, invite: NewInvite) {
        let now = self.now;
        let callee = &mut self.sides[side];
        if let Some(status) = callee.refuse {
            let refusal = sip_core::dialog::Refusal::new(status);
            let invite = Box::new(invite);
            let input = EndpointInput::Refuse { invite, refusal };
            return callee.endpoint.handle(now, input);
        }
        let id = invite.dialog_id.clone();
        let mut dialog = Dialog::uas(now, callee.config(), callee.tokens.fork(), invite);
        if matches!(callee.callee, Callee::Rings | Callee::RingsAndAnswers) {
            dialog.handle(now, DialogInput::Ring);
        }
        if matches!(callee.callee, Callee::Answers | Callee::RingsAndAnswers) {
            dialog.handle(now, DialogInput::Answer { media: media(5000) });
        }
        callee.dialogs.insert(id, dialog);
    }

    fn drain(&mut self, side: usize, id: &DialogId) -> bool {
        let mut moved = false;
        while let Some(effect) = self.sides[side]
            .dialogs
            .get_mut(id)
            .and_then(Dialog::poll_effect)
        {
            moved = true;
            match effect {
                DialogEffect::Transmit { flow, bytes } => self.transmit(side, flow, bytes),
                DialogEffect::Event(DialogEvent::Finished) => self.finish(side, id),
                DialogEffect::Event(event) => {
                    let now = self.now;
                    let line = format!("{}: {}", self.sides[side].name, name_of(&event));
                    self.note(&line);
                    self.sides[side].events.push((now, event));
                }
                DialogEffect::WantTarget => panic!("it has one target"),
            }
        }
        moved
    }

    fn finish(&mut self, side: usize, id: &DialogId) {
        let now = self.now;
        let dialog = self.sides[side].dialogs.remove(id).expect("dialog");
        assert!(dialog.is_finished());
        let input = EndpointInput::Forget {
            dialog_id: id.clone(),
            finished: dialog.finished(),
        };
        self.sides[side].endpoint.handle(now, input);
    }

    fn note(&mut self, line: &str) {
        let ms = self.now.as_millis();
        self.ladder.push(format!("{ms:>6} ms  {line}"));
    }

    fn record(&mut self, side: usize, bytes: &Bytes) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let message = parse(bytes, Framing::Datagram).expect("only sound messages are sent");
        if let Message::Request(request) = message
            && let Some(tag) = request.to().tag()
            && !matches!(request.method(), Method::Ack | Method::Cancel)
        {
            let sent = Sent {
                side,
                method: request.method().to_string(),
                branch: text(request.via().branch().expect("branch")),
                to_tag: text(tag),
                cseq: request.cseq(),
            };
            if !self.requests.contains(&sent) {
                self.requests.push(sent);
            }
        }
    }

    fn transmit(&mut self, from: usize, flow: Flow, bytes: Bytes) {
        self.record(from, &bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let first = text.lines().next().unwrap_or_default().to_owned();
        let to = self
            .sides
            .iter()
            .position(|side| side.address == flow.remote);
        let lost = (self.lose)(from, &first) || {
            let loss = self.wire.loss;
            self.random(100) < loss
        };
        let arrow = match (to, lost) {
            (None, _) => "-> elsewhere",
            (Some(_), true) => "-> lost",
            (Some(_), false) => "->",
        };
        let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: "));
        let sdp = if text.contains("\r\nv=0") {
            " +sdp"
        } else {
            ""
        };
        let mut line = format!("{} {arrow} {first}", self.sides[from].name);
        if first.starts_with("SIP/2.0") {
            let _ = write!(
                line,
                " ({})",
                cseq.and_then(|c| c.split(' ').nth(1)).unwrap_or("?")
            );
        }
        line.push_str(sdp);
        self.note(&line);
        if let (Some(to), false) = (to, lost) {
            let jitter = self.wire.jitter_ms;
            let delay = self.wire.delay_ms + self.random(jitter + 1);
            let at = self.now + Duration::from_millis(delay);
            self.count += 1;
            let source = self.sides[from].address;
            self.flying.insert((at, self.count), (to, source, bytes));
        }
    }

    pub fn ladder_text(&self) -> String {
        self.ladder.join("\n")
    }

    /// Both sides are as before the first call: nothing held anywhere.
    pub fn assert_clean(&self) {
        for side in &self.sides {
            assert!(side.dialogs.is_empty(), "{} keeps a dialog", side.name);
            assert_eq!(side.endpoint.dialogs(), 0, "{}", side.name);
            assert_eq!(side.endpoint.remembered(), 0, "{}", side.name);
        }
    }

    /// Each side that made a dialog heard `Ended` exactly once.
    pub fn assert_ended_once(&self) {
        for side in &self.sides {
            let ended = side
                .names()
                .iter()
                .filter(|name| name.starts_with("Ended"))
                .count();
            assert_eq!(ended, 1, "{}: {:?}", side.name, side.names());
        }
    }
}
