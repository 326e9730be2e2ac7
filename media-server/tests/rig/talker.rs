//! The sound side of a far end, by hand: an RTP socket with a 20 ms clock of its own. Signalling is
//! somebody else's (SIPp); this one speaks, presses keys, falls silent, and keeps what it hears.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use local_speech::{
    Cancel,
    voices::{SampleRate, SayRequest, Voices, VoicesConfig},
};

/// 20 ms at 8 kHz.
const FRAME: usize = 160;
/// Mean magnitude above which a frame counts as voiced.
const VOICED: i32 = 200;
/// RFC 4733 payload type that the scenarios offer.
const EVENTS: u8 = 101;

/// What it can be told.
enum Deed {
    Say(Vec<i16>),
    Press(String),
    /// Send nothing at all any more, or again.
    Mute(bool),
}

/// A frame that was heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// The source's clock.
    pub ticks: u32,
    /// Whether somebody speaks in it.
    pub voiced: bool,
}

/// See the module.
pub struct Talker {
    pub port: u16,
    deeds: mpsc::Sender<Deed>,
    heard: Arc<Mutex<(Vec<Heard>, Vec<i16>)>>,
}

impl Talker {
    /// Listens at a port of its own. It sends from the first packet on that it gets.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (deeds, todo) = mpsc::channel();
        let heard = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let line = Line::new(socket, heard.clone());
        std::thread::spawn(move || line.run(&todo));
        Self { port, deeds, heard }
    }

    /// The port as SIPp's `-key` wants it.
    pub fn key(&self) -> String {
        self.port.to_string()
    }

    /// Speaks PCM at 8 kHz, after what it says already.
    pub fn say(&self, pcm: Vec<i16>) {
        self.deeds.send(Deed::Say(pcm)).unwrap();
    }

    /// Presses keys (RFC 4733): 100 ms each, 100 ms between, each event's end three times.
    pub fn press(&self, digits: &str) {
        self.deeds.send(Deed::Press(digits.to_owned())).unwrap();
    }

    /// Sends no packet any more.
    pub fn mute(&self) {
        self.deeds.send(Deed::Mute(true)).unwrap();
    }

    /// Sends packets again.
    pub fn unmute(&self) {
        self.deeds.send(Deed::Mute(false)).unwrap();
    }

    /// All it heard.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().0.clone()
    }

    /// What it heard, 8 kHz.
    pub fn sound(&self) -> Vec<i16> {
        self.heard.lock().unwrap().1.clone()
    }

    /// When the last voiced frame came.
    pub fn last_voice(&self) -> Option<Instant> {
        let heard = self.heard();
        heard.iter().rev().find(|h| h.voiced).map(|h| h.at)
    }

    /// Waits until the other side has spoken for so long altogether.
    pub fn hears_speech(&self, time: Duration, limit: Duration) {
        let frames = usize::try_from(time.as_millis() / 20).unwrap();
        let begin = self.heard().len();
        wait(limit, "no speech is heard", || {
            let heard = self.heard();
            heard[begin..].iter().filter(|h| h.voiced).count() >= frames
        });
    }

    /// Waits until the other side, having spoken, has been silent for so long.
    pub fn hears_silence(&self, time: Duration, limit: Duration) {
        wait(limit, "it never falls silent", || {
            self.last_voice().is_some_and(|at| at.elapsed() >= time)
        });
    }
}

/// Asks until it is so.
pub fn wait(limit: Duration, otherwise: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < until, "{otherwise} within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Line {
    socket: UdpSocket,
    heard: Arc<Mutex<(Vec<Heard>, Vec<i16>)>>,
    peer: Option<SocketAddr>,
    sequence: u16,
    ticks: u32,
    /// When the key that is down was pressed.
    began: u32,
    words: VecDeque<i16>,
    keys: VecDeque<[u8; 5]>,
    mute: bool,
}

impl Line {
    fn new(socket: UdpSocket, heard: Arc<Mutex<(Vec<Heard>, Vec<i16>)>>) -> Self {
        Self {
            socket,
            heard,
            peer: None,
            sequence: 7,
            ticks: 160_000,
            began: 0,
            words: VecDeque::new(),
            keys: VecDeque::new(),
            mute: false,
        }
    }

    /// Until the owner is gone.
    fn run(mut self, todo: &mpsc::Receiver<Deed>) {
        let mut next = Instant::now();
        loop {
            next += Duration::from_millis(20);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            self.listen();
            loop {
                match todo.try_recv() {
                    Ok(deed) => self.take(deed),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            if self.peer.is_some() && !self.mute {
                self.speak();
            }
            self.ticks = self.ticks.wrapping_add(FRAME as u32);
        }
    }

    fn take(&mut self, deed: Deed) {
        match deed {
            Deed::Say(pcm) => self.words.extend(pcm),
            Deed::Press(digits) => self.keys.extend(digits.bytes().flat_map(press)),
            Deed::Mute(mute) => self.mute = mute,
        }
    }

    fn listen(&mut self) {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            self.peer = Some(from);
            if length < 12 || packet[1] & 0x7f != 0 {
                continue;
            }
            let pcm: Vec<i16> = packet[12..length].iter().map(|b| linear(*b)).collect();
            let sum: i32 = pcm.iter().map(|s| i32::from(*s).abs()).sum();
            let ticks = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            let voiced = sum / pcm.len().max(1) as i32 > VOICED;
            let at = Instant::now();
            let mut heard = self.heard.lock().unwrap();
            heard.0.push(Heard { at, ticks, voiced });
            heard.1.extend(pcm);
        }
    }

    fn speak(&mut self) {
        if let Some(key) = self.keys.pop_front() {
            return self.send_key(key);
        }
        let frame: Vec<u8> = (0..FRAME)
            .map(|_| mu_law(self.words.pop_front().unwrap_or(0)))
            .collect();
        self.send(0, false, self.ticks, &frame);
    }

    /// RFC 4733 §2.5.1: all packets of an event carry the time at which it began.
    fn send_key(&mut self, [kind, event, volume, high, low]: [u8; 5]) {
        if kind == PAUSE {
            return self.send(0, false, self.ticks, &[0xff; FRAME]);
        }
        let first = kind == FIRST;
        if first {
            self.began = self.ticks;
        }
        let began = self.began;
        self.send(EVENTS, first, began, &[event, volume, high, low]);
    }

    fn send(&mut self, payload_type: u8, marker: bool, ticks: u32, payload: &[u8]) {
        let second = payload_type | if marker { 0x80 } else { 0 };
        let mut packet = vec![0x80, second];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(ticks.to_be_bytes());
        packet.extend(0x51de_70e5_u32.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        let _ = self.socket.send_to(&packet, self.peer.unwrap());
    }
}

const PAUSE: u8 = 0;
const FIRST: u8 = 1;
const MORE: u8 = 2;

/// One press: five packets with a growing duration, its end three times, a pause of 100 ms.
fn press(digit: u8) -> Vec<[u8; 5]> {
    let event = match digit {
        b'0'..=b'9' => digit - b'0',
        b'*' => 10,
        b'#' => 11,
        b'A'..=b'D' => digit - b'A' + 12,
        _ => panic!("'{}' is no key", char::from(digit)),
    };
    let packet = |frames: u16, end: u8| {
        let [high, low] = (frames * FRAME as u16).to_be_bytes();
        let kind = if frames == 1 { FIRST } else { MORE };
        [kind, event, end | 10, high, low]
    };
    let mut all: Vec<_> = (1..=5).map(|n| packet(n, 0)).collect();
    all.extend([packet(6, 0x80); 3]);
    all.extend([[PAUSE, 0, 0, 0, 0]; 5]);
    all
}

/// ITU-T G.711 µ-law, by the definition.
pub fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let level = i32::from(sample).abs().min(32_635) + 132;
    let exponent = (31 - level.leading_zeros()).saturating_sub(7);
    let mantissa = (level >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

/// The way back.
pub fn linear(code: u8) -> i16 {
    let code = !code;
    let level = (((i32::from(code & 0x0f) << 3) + 132) << ((code >> 4) & 7)) - 132;
    (if code & 0x80 == 0 { level } else { -level }) as i16
}

/// A text spoken by a voice that is not the agent's, 8 kHz.
pub async fn spoken(text: &str) -> Vec<i16> {
    let voices = Voices::start(VoicesConfig::default()).unwrap();
    let name = if voices.has("slt") { "slt" } else { "kal" };
    let request = SayRequest {
        text: text.to_owned(),
        voice: name.to_owned(),
        stretch: 1.0,
        rate: SampleRate::Hz8000,
    };
    let mut sentences = voices.say(request, &Cancel::default()).unwrap();
    let mut pcm = Vec::new();
    while let Some(sentence) = sentences.recv().await {
        pcm.extend_from_slice(&sentence.unwrap().pcm);
    }
    pcm
}

/// The two tones of a key, as an old telephone sends them in the sound.
pub fn tones(digit: char, ms: usize) -> Vec<i16> {
    let (low, high) = match digit {
        '1' => (697.0, 1_209.0),
        '5' => (770.0, 1_336.0),
        '9' => (852.0, 1_477.0),
        _ => panic!("no tones for {digit}"),
    };
    let wave = |hz: f64, n: usize| (n as f64 * hz * std::f64::consts::TAU / 8_000.0).sin();
    let samples = 0..ms * 8;
    samples
        .map(|n| (6_000.0 * (wave(low, n) + wave(high, n))) as i16)
        .collect()
}
