//! Many callers at once, light enough for a small machine: real SIP machines on one UDP socket (and
//! some TCP connections), real RTP on a socket for each ten, a handful of threads for all of them.
//! What arrives is kept with its time, source and sequence number.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use media_server::entropy;
use sip_core::{
    dialog::{
        Dialog, DialogConfig, DialogEffect, DialogEvent, DialogId, DialogInput, Ended, EndedBy,
        OutboundCall, Refusal,
    },
    endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput},
    flow::{Flow, Transport},
    framing::{Frame, StreamFramer},
    message::{Message, Method},
    offer_answer::{CodecCapability, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy},
    tokens::TokenSource,
    value::{NameAddr, Uri},
};

/// 20 ms of G.711.
const FRAME: usize = 160;
/// Callers that share an RTP socket: its buffer then holds half a second of theirs.
const GROUP: usize = 10;
/// One INVITE in so long.
const PACE: Duration = Duration::from_millis(20);
/// Mean magnitude above which a frame counts as sound.
const LOUD: i32 = 200;
/// A sleeper that wakes up later than this was held up by the machine.
const LATE: Duration = Duration::from_millis(8);

/// Who calls whom.
#[derive(Clone)]
pub struct Plan {
    /// The server.
    pub server: SocketAddr,
    /// The user part that is called.
    pub user: String,
    /// Callers over UDP; they come first.
    pub udp: usize,
    /// Callers over TCP.
    pub tcp: usize,
}

/// What a caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// A tone of 440 Hz.
    Tone,
    /// Digital silence.
    Silence,
    /// Something as loud and as broad as speech.
    Noise,
    /// What [`Crowd::call_saying`] was given, from its beginning, then silence.
    Words,
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// When, since the crowd's beginning.
    pub at: Duration,
    /// The stream.
    pub ssrc: u32,
    /// Its place.
    pub sequence: u16,
    /// Its time.
    pub ticks: u32,
    /// Whether there is sound in it.
    pub loud: bool,
}

/// One caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// User part of From.
    pub name: String,
    /// Its Call-ID.
    pub call_id: String,
    /// When the 200 came.
    pub answered: Option<Duration>,
    /// When and how it ended.
    pub ended: Option<(Duration, Ended)>,
    /// When the server answered our BYE.
    pub farewell: Option<Duration>,
    /// What it heard.
    pub packets: Vec<Packet>,
    voice: Voice,
    /// Samples of the words spoken so far.
    spoken: usize,
    media: Option<SocketAddr>,
}

impl Caller {
    fn new(number: usize) -> Self {
        Self {
            name: format!("caller-{number:02}"),
            call_id: String::new(),
            answered: None,
            ended: None,
            farewell: None,
            packets: Vec::new(),
            voice: Voice::Tone,
            spoken: 0,
            media: None,
        }
    }

    /// Whether the server said goodbye.
    pub fn was_hung_up_on(&self) -> bool {
        let ended = self.ended.as_ref();
        ended.is_some_and(|(_, ended)| ended.by == EndedBy::Remote)
    }

    /// Whether it is over for both sides.
    pub fn is_over(&self) -> bool {
        self.was_hung_up_on() || self.farewell.is_some()
    }

    /// The packets of a stretch of time.
    pub fn between(&self, from: Duration, to: Duration) -> Vec<Packet> {
        let all = self.packets.iter().copied();
        all.filter(|p| (from..=to).contains(&p.at)).collect()
    }

    /// Asserts that all it heard is one stream: one source, no number missing, none twice.
    pub fn heard_one_stream(&self) {
        let mut sorted = self.packets.clone();
        sorted.sort_by_key(|p| p.ticks);
        for pair in sorted.windows(2) {
            assert_eq!(pair[0].ssrc, pair[1].ssrc, "{}: another source", self.name);
            assert_eq!(
                pair[0].sequence.wrapping_add(1),
                pair[1].sequence,
                "{}: the sequence has a hole",
                self.name
            );
        }
    }
}

struct Room {
    epoch: Instant,
    callers: Mutex<Vec<Caller>>,
    /// Stretches in which a thread that only sleeps was not woken up.
    stalls: Mutex<Vec<(Duration, Duration)>>,
    over: AtomicBool,
}

impl Room {
    fn callers(&self) -> MutexGuard<'_, Vec<Caller>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

/// See the module. They hang up on nobody when this is dropped: they are just gone.
pub struct Crowd {
    room: Arc<Room>,
    orders: mpsc::Sender<usize>,
}

impl Crowd {
    /// Places the calls, one after the other.
    pub fn call(plan: &Plan) -> Self {
        Self::call_saying(plan, &[])
    }

    /// The same; they can speak these words (8 kHz).
    pub fn call_saying(plan: &Plan, words: &[i16]) -> Self {
        Self::begin(plan, words, false)
    }

    /// The same; they take RTCP on their RTP port, and offer that.
    pub fn call_muxed(plan: &Plan) -> Self {
        Self::begin(plan, &[], true)
    }

    fn begin(plan: &Plan, words: &[i16], muxed: bool) -> Self {
        let count = plan.udp + plan.tcp;
        let room = Arc::new(Room {
            epoch: Instant::now(),
            callers: Mutex::new((0..count).map(Caller::new).collect()),
            stalls: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let (orders, inbox) = mpsc::channel();
        let mut addresses = Vec::new();
        for first in (0..count).step_by(GROUP) {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            addresses.push(socket.local_addr().unwrap());
            let sound = Sound::new(room.clone(), socket, first, words.to_vec());
            std::thread::spawn(move || sound.run());
        }
        let desk = Desk::open(plan.clone(), room.clone(), addresses, muxed);
        std::thread::spawn(move || desk.run(&inbox));
        for _ in 0..2 {
            let room = room.clone();
            std::thread::spawn(move || watch_the_machine(&room));
        }
        Self { room, orders }
    }

    /// Time since they began.
    pub fn now(&self) -> Duration {
        self.room.now()
    }

    /// One of them, as it is now.
    pub fn caller(&self, number: usize) -> Caller {
        self.room.callers()[number].clone()
    }

    /// All of them, as they are now.
    pub fn callers(&self) -> Vec<Caller> {
        self.room.callers().clone()
    }

    /// Hangs up.
    pub fn hang_up(&self, number: usize) {
        let _ = self.orders.send(number);
    }

    /// All hang up.
    pub fn hang_up_all(&self) {
        (0..self.room.callers().len()).for_each(|number| self.hang_up(number));
    }

    /// What a caller sends from now on.
    pub fn speak(&self, number: usize, voice: Voice) {
        self.room.callers()[number].voice = voice;
    }

    /// Waits until it is so of all of them.
    pub async fn all(&self, what: &str, limit: Duration, is_so: impl Fn(&Caller) -> bool) {
        let until = Instant::now() + limit;
        loop {
            let wrong: Vec<Caller> = {
                let callers = self.room.callers();
                callers.iter().filter(|c| !is_so(c)).cloned().collect()
            };
            if wrong.is_empty() {
                return;
            }
            let names: Vec<_> = wrong.iter().map(|c| (&c.name, &c.ended)).collect();
            assert!(Instant::now() < until, "not {what} in {limit:?}: {names:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is so of one of them.
    pub async fn one(
        &self,
        number: usize,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Caller) -> bool,
    ) {
        let name = format!("caller-{number:02}");
        self.all(what, limit, |c| c.name != name || is_so(c)).await;
    }

    /// Waits until all are answered and hear something.
    pub async fn settled(&self, limit: Duration) {
        self.all("answered and heard", limit, |c| {
            c.answered.is_some() && c.packets.iter().any(|p| p.loud)
        })
        .await;
    }

    /// The longest time that `number` heard nothing in a stretch, less what the machine itself
    /// stood still then (two sleeping threads measure that).
    pub fn gap(&self, number: usize, from: Duration, to: Duration) -> Duration {
        self.gap_in(number, from, to, |_| true)
    }

    /// The same, where only packets count of which `counts` says so.
    pub fn gap_in(
        &self,
        number: usize,
        from: Duration,
        to: Duration,
        counts: impl Fn(&Packet) -> bool,
    ) -> Duration {
        let packets = self.caller(number).between(from, to);
        let mut at: Vec<Duration> = packets.iter().filter(|p| counts(p)).map(|p| p.at).collect();
        at.insert(0, from);
        at.push(to);
        let gaps = at
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).saturating_sub(self.stalled(pair[0], pair[1])));
        gaps.max().unwrap_or_default()
    }

    /// How long others were quiet because of what happened at these moments: the lower quartile of
    /// the longest gaps after each. A machine with other things to do spoils one moment or
    /// another; what a fault causes, it causes each time.
    pub fn disturbed(&self, others: &[usize], moments: &[Duration]) -> Duration {
        let worst = |at: &Duration| {
            let to = *at + Duration::from_millis(400);
            let gaps = others.iter().map(|number| self.gap(*number, *at, to));
            gaps.max().unwrap_or_default()
        };
        let mut gaps: Vec<Duration> = moments.iter().map(worst).collect();
        gaps.sort_unstable();
        println!("quiet after each: {gaps:?}");
        gaps[(gaps.len() - 1) / 4]
    }

    /// How long the machine stood still in a stretch.
    pub fn stalled(&self, from: Duration, to: Duration) -> Duration {
        let stalls = self.room.stalls.lock().unwrap();
        let mine = stalls.iter().filter(|(a, b)| *a < to && *b > from);
        mine.map(|(a, b)| (*b).min(to) - (*a).max(from)).sum()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.room.over.store(true, Ordering::Release);
    }
}

/// Sleeps, and notes when it was woken up late.
fn watch_the_machine(room: &Room) {
    const NAP: Duration = Duration::from_millis(2);
    while !room.over.load(Ordering::Acquire) {
        let before = room.now();
        std::thread::sleep(NAP);
        let after = room.now();
        if after - before > NAP + LATE {
            room.stalls.lock().unwrap().push((before, after));
        }
    }
}

/// The RTP of some of them: a 20 ms clock, one socket.
struct Sound {
    room: Arc<Room>,
    socket: UdpSocket,
    first: usize,
    tick: u32,
    noise: u32,
    words: Vec<i16>,
}

impl Sound {
    fn new(room: Arc<Room>, socket: UdpSocket, first: usize, words: Vec<i16>) -> Self {
        Self {
            room,
            socket,
            first,
            tick: 0,
            noise: 1,
            words,
        }
    }

    fn run(mut self) {
        let mut next = self.room.now();
        let mut packet = [0; 2_048];
        while !self.room.over.load(Ordering::Acquire) {
            let left = next.saturating_sub(self.room.now());
            if left < Duration::from_millis(1) {
                self.speak();
                next += Duration::from_millis(20);
                continue;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok((length, from)) = self.socket.recv_from(&mut packet) {
                self.hear(from, &packet[..length]);
            }
        }
    }

    fn hear(&self, from: SocketAddr, bytes: &[u8]) {
        if bytes.len() < 12 || bytes[1] & 0x7f != 0 {
            return;
        }
        let at = self.room.now();
        let mut callers = self.room.callers();
        let mut mine = callers.iter_mut().skip(self.first).take(GROUP);
        let Some(caller) = mine.find(|c| c.media == Some(from)) else {
            return;
        };
        caller.packets.push(Packet {
            at,
            ssrc: u32::from_be_bytes(bytes[8..12].try_into().unwrap()),
            sequence: u16::from_be_bytes(bytes[2..4].try_into().unwrap()),
            ticks: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
            loud: loudness(&bytes[12..]) > LOUD,
        });
    }

    fn speak(&mut self) {
        let tick = self.tick;
        self.tick = tick.wrapping_add(1);
        let tone = self.frame(Voice::Tone);
        let noise = self.frame(Voice::Noise);
        let mut callers = self.room.callers();
        let mine = callers.iter_mut().enumerate();
        for (number, caller) in mine.skip(self.first).take(GROUP) {
            let Some(to) = caller.media.filter(|_| caller.ended.is_none()) else {
                continue;
            };
            let mut packet = vec![0x80, 0];
            packet.extend((tick as u16).to_be_bytes());
            packet.extend(tick.wrapping_mul(FRAME as u32).to_be_bytes());
            packet.extend((0x7000_0000 + number as u32).to_be_bytes());
            match caller.voice {
                Voice::Tone => packet.extend(&tone),
                Voice::Noise => packet.extend(&noise),
                Voice::Silence => packet.extend([0xff; FRAME]),
                Voice::Words => {
                    let words = self.words.iter().skip(caller.spoken).take(FRAME);
                    packet.extend(words.map(|s| mu_law(*s)));
                    packet.resize(12 + FRAME, 0xff);
                    caller.spoken += FRAME;
                }
            }
            let _ = self.socket.send_to(&packet, to);
        }
    }

    fn frame(&mut self, voice: Voice) -> Vec<u8> {
        let begin = self.tick as usize * FRAME;
        let samples = (0..FRAME).map(|n| match voice {
            Voice::Silence | Voice::Words => 0,
            Voice::Tone => {
                let turns = (begin + n) as f64 * 440.0 / 8_000.0;
                (turns.fract() * std::f64::consts::TAU)
                    .sin()
                    .mul_add(6_000.0, 0.0) as i16
            }
            Voice::Noise => {
                self.noise = self
                    .noise
                    .wrapping_mul(1_664_525)
                    .wrapping_add(1_013_904_223);
                ((self.noise >> 16) as i16) / 3
            }
        });
        samples.map(mu_law).collect()
    }
}

fn loudness(payload: &[u8]) -> i32 {
    let sum: i32 = payload.iter().map(|b| i32::from(linear(*b)).abs()).sum();
    sum / payload.len().max(1) as i32
}

/// ITU-T G.711 µ-law, by the definition.
fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let level = i32::from(sample).abs().min(32_635) + 132;
    let exponent = (31 - level.leading_zeros()).saturating_sub(7);
    let mantissa = (level >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

fn linear(code: u8) -> i16 {
    let code = !code;
    let level = (((i32::from(code & 0x0f) << 3) + 132) << ((code >> 4) & 7)) - 132;
    (if code & 0x80 == 0 { level } else { -level }) as i16
}

/// The signalling of all of them.
struct Desk {
    plan: Plan,
    room: Arc<Room>,
    muxed: bool,
    udp: UdpSocket,
    sound: Vec<SocketAddr>,
    endpoint: Endpoint,
    tokens: TokenSource,
    dialogs: Vec<Dialog>,
    numbers: HashMap<DialogId, usize>,
    streams: HashMap<u64, (TcpStream, StreamFramer)>,
    place_at: Duration,
}

impl Desk {
    fn open(plan: Plan, room: Arc<Room>, sound: Vec<SocketAddr>, muxed: bool) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wait = Some(Duration::from_millis(4));
        udp.set_read_timeout(wait).unwrap();
        let mut tokens = TokenSource::new(entropy::bytes());
        Self {
            endpoint: Endpoint::new(EndpointConfig::default(), tokens.fork()),
            plan,
            room,
            muxed,
            udp,
            sound,
            tokens,
            dialogs: Vec::new(),
            numbers: HashMap::new(),
            streams: HashMap::new(),
            place_at: Duration::ZERO,
        }
    }

    fn run(mut self, orders: &mpsc::Receiver<usize>) {
        while !self.room.over.load(Ordering::Acquire) {
            let now = self.room.now();
            if self.dialogs.len() < self.plan.udp + self.plan.tcp && now >= self.place_at {
                self.place_at = now + PACE;
                self.place();
            }
            while let Ok(number) = orders.try_recv() {
                let hang_up = DialogInput::Hangup { reason: None };
                self.input(number, hang_up);
            }
            self.receive();
            self.timers();
            self.settle();
        }
    }

    fn place(&mut self) {
        let number = self.dialogs.len();
        let flow = if number < self.plan.udp {
            self.flow(Transport::Udp, self.udp.local_addr().unwrap(), 0)
        } else {
            self.connect(number as u64 + 1)
        };
        let name = self.room.callers()[number].name.clone();
        let host = flow.local.ip().to_string();
        let from = Uri::sip(Some(&name), &host, None).unwrap();
        let target = format!("sip:{}@{}", self.plan.user, self.plan.server);
        let call = OutboundCall {
            target: Uri::parse(&target.into()).unwrap(),
            from: NameAddr::new(None, &from).unwrap(),
            to: None,
            flow,
            route: Vec::new(),
            media: MediaAddress {
                ip: self.sound[number / GROUP].ip(),
                port: self.sound[number / GROUP].port(),
            },
            delayed_offer: false,
            headers: Vec::new(),
            ring_timeout: Some(Duration::from_secs(60)),
            max_forwards: 70,
        };
        let config = DialogConfig::new(host, flow.local.port(), policy(self.muxed));
        let now = self.room.now();
        let dialog = Dialog::uac(now, config, self.tokens.fork(), &call);
        let id = dialog.id().clone();
        self.endpoint.handle(now, EndpointInput::Adopt(id.clone()));
        self.room.callers()[number].call_id = String::from_utf8_lossy(&id.call_id).into_owned();
        self.numbers.insert(id, number);
        self.dialogs.push(dialog);
    }

    fn flow(&self, transport: Transport, local: SocketAddr, connection: u64) -> Flow {
        Flow {
            transport,
            local,
            remote: self.plan.server,
            connection,
        }
    }

    fn connect(&mut self, connection: u64) -> Flow {
        let stream = TcpStream::connect(self.plan.server).unwrap();
        stream.set_nonblocking(true).unwrap();
        let flow = self.flow(Transport::Tcp, stream.local_addr().unwrap(), connection);
        self.streams
            .insert(connection, (stream, StreamFramer::new()));
        flow
    }

    fn input(&mut self, number: usize, input: DialogInput) {
        let now = self.room.now();
        if let Some(dialog) = self.dialogs.get_mut(number) {
            dialog.handle(now, input);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 65_535];
        for _ in 0..64 {
            let Ok((length, remote)) = self.udp.recv_from(&mut buffer) else {
                break;
            };
            let mut flow = self.flow(Transport::Udp, self.udp.local_addr().unwrap(), 0);
            flow.remote = remote;
            self.take(flow, &buffer[..length]);
        }
        let mut arrived = Vec::new();
        self.streams.retain(|connection, (stream, framer)| {
            let open = match stream.read(&mut buffer) {
                Ok(0) => false,
                Ok(length) => {
                    framer.push(&buffer[..length]);
                    true
                }
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            while let Some(frame) = framer.next_frame() {
                if let Frame::Message(bytes) = frame {
                    arrived.push((*connection, stream.local_addr().unwrap(), bytes));
                }
            }
            open
        });
        for (connection, local, bytes) in arrived {
            let flow = self.flow(Transport::Tcp, local, connection);
            self.take(flow, &bytes);
        }
    }

    fn take(&mut self, flow: Flow, bytes: &[u8]) {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let now = self.room.now();
        self.endpoint
            .handle(now, EndpointInput::Received { flow, bytes });
        while let Some(effect) = self.endpoint.poll_effect() {
            match effect {
                EndpointEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                EndpointEffect::Deliver {
                    dialog_id,
                    flow,
                    message,
                } => {
                    if let Some(number) = self.numbers.get(&dialog_id).copied() {
                        if answers_a_bye(&message) {
                            self.room.callers()[number].farewell = Some(now);
                        }
                        self.input(number, DialogInput::Received { flow, message });
                    }
                }
                EndpointEffect::NewInvite(invite) => {
                    let refusal = Refusal::new(486);
                    let refuse = EndpointInput::Refuse { invite, refusal };
                    self.endpoint.handle(now, refuse);
                }
                EndpointEffect::Register(_)
                | EndpointEffect::Close { .. }
                | EndpointEffect::Alias { .. }
                | EndpointEffect::Dropped { .. } => {}
            }
        }
    }

    fn timers(&mut self) {
        let now = self.room.now();
        for dialog in &mut self.dialogs {
            if dialog.poll_timeout().is_some_and(|at| at <= now) {
                dialog.handle_timeout(now);
            }
        }
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
    }

    fn settle(&mut self) {
        for number in 0..self.dialogs.len() {
            while let Some(effect) = self.dialogs[number].poll_effect() {
                match effect {
                    DialogEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                    DialogEffect::Event(event) => self.event(number, event),
                    DialogEffect::WantTarget => panic!("it has one target"),
                }
            }
        }
    }

    fn send(&mut self, flow: Flow, bytes: &[u8]) {
        match flow.transport {
            Transport::Udp => drop(self.udp.send_to(bytes, flow.remote)),
            Transport::Tls | Transport::Ws | Transport::Wss => panic!("it has none"),
            Transport::Tcp => {
                if let Some((stream, _)) = self.streams.get_mut(&flow.connection) {
                    let _ = stream.write_all(bytes);
                }
            }
        }
    }

    fn event(&mut self, number: usize, event: DialogEvent) {
        let now = self.room.now();
        let mut callers = self.room.callers();
        let caller = &mut callers[number];
        match event {
            DialogEvent::Media(agreed) => caller.media = agreed.remote,
            DialogEvent::Answered => caller.answered = Some(now),
            DialogEvent::Ended(ended) => caller.ended = Some((now, *ended)),
            DialogEvent::Finished => {
                drop(callers);
                let forget = EndpointInput::Forget {
                    dialog_id: self.dialogs[number].id().clone(),
                    finished: self.dialogs[number].finished(),
                };
                self.endpoint.handle(now, forget);
            }
            _ => {}
        }
    }
}

fn answers_a_bye(message: &Message) -> bool {
    match message {
        Message::Response(response) => *response.method() == Method::Bye,
        Message::Request(_) => false,
    }
}

fn policy(rtcp_mux: bool) -> MediaPolicy {
    MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8_000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: Some(101),
        negotiation: Negotiation::Local,
        ptime_ms: 20,
        rtcp_mux,
        srtp: SrtpPolicy::Off,
    }
}
