//! One media leg: both directions of one RTP session, as a machine.
//!
//! The owner feeds it datagrams, calls [`Leg::tick`] once in 20 ms and sends what it returns; after packets, ticks and
//! commands it drains [`Leg::poll_ear`] and [`Leg::poll_event`]. RTP never pauses: each tick sends exactly one packet.

mod line;
mod source;
mod speak;
mod watch;

pub use line::Negotiated;
pub use source::{Admission, SourceLock};
pub use watch::{Silence, Timeouts};

use crate::dtmf::{Digits, DtmfReceiver, DtmfSender};
use crate::jitter::{EarPull, Heard, Jitter, JitterCounters, Stamp};
use crate::playout::{PauseBy, Playout, PlayoutEvent, Position, Tag};
use crate::resample::Resampler;
use crate::rtcp::{self, Report, ReportBlock};
use crate::rtp::{self, Packet};
use crate::tone::Tone;
use crate::vad::{Gate, Gauge, Reflex, ReflexAction};
use crate::{Frame, Rate};
use line::{Line, PayloadKind};
use speak::Speaker;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use watch::MediaWatch;

/// Events kept until they are read; playout events have a queue of their own, so digits can never crowd them out.
const MAX_EVENTS: usize = 64;
/// Playout inside the machine. The owner tops it up each tick from its own ring.
pub const PLAYOUT_MS: u64 = 400;

/// Where the sound we send comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Silence.
    Mute,
    /// The playout queue.
    Agent,
    /// The caller's own sound, through jitter buffer and codec.
    Echo,
    /// A tone.
    Tone(Tone),
    /// The peer leg's frames, playout mixed in.
    Bridge,
}

/// What a leg is made of.
#[derive(Debug, Clone)]
pub struct LegConfig {
    /// Outcome of offer/answer.
    pub negotiated: Negotiated,
    /// Source of the sound we send.
    pub mode: Mode,
    /// Rate of the recogniser's frames; none switches the tap off.
    pub ears: Option<Rate>,
    /// When missing RTP is reported.
    pub timeouts: Timeouts,
    /// Whether speech onset pauses the playout.
    pub reflex_armed: bool,
}

/// What the far side sees continue, whatever happens to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wire {
    /// Ours, random, for the whole call.
    pub ssrc: u32,
    /// Of the next packet.
    pub seq: u16,
    /// Of the next packet.
    pub timestamp: u32,
    /// Ticks since the call began: the call timeline in units of 20 ms.
    pub tick: u64,
    /// What was being said, so that a new machine goes on counting; default for a new call.
    pub position: Position,
}

/// Orders to a leg.
#[derive(Debug, Clone)]
pub enum Command {
    /// Another source of sound.
    SetMode(Mode),
    /// Recogniser frames on (at a rate) or off.
    Listen(Option<Rate>),
    /// Reflex on or off.
    ArmReflex(bool),
    /// The reflex was right: keep the pause beyond 300 ms.
    ConfirmPause,
    /// Pause the playout.
    Pause,
    /// Go on at the very sample.
    Resume,
    /// Throw away this utterance and all before it.
    CutThrough(Tag),
    /// Send keys.
    SendDigits(Digits),
    /// Offer/answer was done again; the source may change once.
    Renegotiate(Negotiated),
    /// Other limits for missing RTP.
    SetTimeouts(Timeouts),
    /// Panic at the next such step (tests of supervision).
    Fault(Fault),
}

/// Where an injected panic strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// While reading the RTP header.
    PanicInParse,
    /// While decoding a payload.
    PanicInDecode,
    /// While reading the playout queue.
    PanicInPlayout,
}

/// Something happened on the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegEvent {
    /// Monotonic time.
    pub at: Duration,
    /// Call timeline.
    pub tick: u64,
    /// What.
    pub kind: LegEventKind,
}

/// A key of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit {
    /// 0–9, `*`, `#`, A–D.
    pub key: char,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegEventKind {
    /// Media flows for the first time.
    FirstPacket {
        /// From here.
        source: SocketAddr,
    },
    /// Media now comes from elsewhere, and ours goes there.
    SourceChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// RTP is missing for too long; said once.
    MediaTimeout(Silence),
    /// RTP came after a timeout.
    MediaBack,
    /// A key, once.
    Digit(Digit),
    /// All digits ordered were sent.
    DigitsSent,
    /// Speech onset by the reflex's criterion while it is armed and the agent speaks.
    Onset,
    /// What became of an utterance.
    Playout(PlayoutEvent),
    /// RTCP BYE from the far side.
    RemoteBye,
}

/// 20 ms for the recogniser.
#[derive(Debug, Clone, Copy)]
pub struct EarFrame {
    /// The sound, at the rate asked for.
    pub frame: Frame,
    /// RTP timestamp of its first sample.
    pub rtp_time: u32,
    /// Call timeline: the send tick it would have come before without delay; `call_ms = tick × 20`, never falling.
    pub tick: u64,
    /// False where at least half was filled in (a hole, or the far side is silent).
    pub heard: bool,
    /// The gate's word: maybe speech, or within 300 ms after it. Worth the neural detector's time.
    pub candidate: bool,
    /// Power of the frame.
    pub level_dbov: f32,
    /// The leg's noise floor.
    pub floor_dbov: f32,
}

/// What one tick yields.
#[derive(Debug)]
pub struct Tick<'a> {
    /// The datagram to send.
    pub packet: &'a [u8],
    /// Where to; none while no address is known.
    pub to: Option<SocketAddr>,
    /// The caller on the call timeline.
    pub caller: &'a Frame,
    /// What we sent.
    pub agent: &'a Frame,
    /// The tick's number.
    pub tick: u64,
    /// Playout after this tick.
    pub position: Position,
}

/// Figures of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegStats {
    /// Of the receive buffer.
    pub jitter: JitterCounters,
    /// Sound in the buffer.
    pub buffered_ms: i64,
    /// Delay aimed at.
    pub target_ms: i64,
    /// Mean of the sound in the buffer over all ticks.
    pub mean_delay_ms: u64,
    /// Frames and events that the owner's rings had no room for; counted by the owner.
    pub ring_drops: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Datagrams that are no RTP, or whose payload cannot be decoded.
    pub malformed: u64,
    /// Packets of a payload type that was not negotiated.
    pub foreign_type: u64,
    /// Packets from an address that is not the leg's source.
    pub refused_source: u64,
    /// Samples of silence in the middle of an utterance.
    pub starved_samples: u64,
    /// Samples pushed for utterances already cut.
    pub discarded_samples: u64,
    /// Events dropped because nobody read them.
    pub events_dropped: u64,
    /// What the far side last reported about our stream.
    pub remote_report: Option<ReportBlock>,
}

/// The machine.
pub struct Leg {
    line: Line,
    source: SourceLock,
    jitter: Jitter,
    keys: DtmfReceiver,
    gate: Gate,
    reflex: Reflex,
    ears: Ears,
    speaker: Speaker,
    watch: MediaWatch,
    events: VecDeque<LegEvent>,
    now: Duration,
    caller: Frame,
    pcm: Box<[i16]>,
    fault: FaultSeam,
    stats: LegStats,
    delay_sum_ms: u64,
}

struct Ears {
    wanted: Option<Rate>,
    resampler: Option<Resampler>,
    newest: u64,
}

impl Ears {
    fn new(line: Rate, wanted: Option<Rate>) -> Self {
        let resampler = wanted
            .filter(|rate| *rate != line)
            .and_then(|r| Resampler::new(line.hz(), r.hz()).ok());
        Self {
            wanted,
            resampler,
            newest: 0,
        }
    }
}

#[derive(Debug, Default)]
struct FaultSeam(Option<Fault>);

impl FaultSeam {
    #[allow(
        clippy::panic,
        reason = "this is the seam through which tests of supervision make a leg panic"
    )]
    fn strike(&mut self, here: Fault) {
        if self.0 == Some(here) {
            self.0 = None;
            panic!("injected fault: {here:?}");
        }
    }
}

impl Leg {
    /// A leg that starts sending with the next tick. All its memory is taken here.
    pub fn new(config: LegConfig, wire: Wire, now: Duration) -> Self {
        let LegConfig {
            negotiated,
            mode,
            ears,
            timeouts,
            reflex_armed,
        } = config;
        let line = Line::new(&negotiated);
        let rate = line.rate();
        let playout = Playout::new(rate.samples(PLAYOUT_MS), wire.position);
        Self {
            source: SourceLock::new(negotiated.remote),
            jitter: Jitter::new(rate, line.rtp_clock(), ears.is_some() || reflex_armed),
            keys: DtmfReceiver::default(),
            gate: Gate::default(),
            reflex: Reflex::new(reflex_armed),
            ears: Ears::new(rate, ears),
            speaker: Speaker::new(
                rate,
                mode,
                playout,
                DtmfSender::new(line.ticks_per_frame()),
                wire,
            ),
            watch: MediaWatch::new(now, timeouts),
            events: VecDeque::with_capacity(MAX_EVENTS),
            now,
            caller: Frame::silence(rate),
            pcm: vec![0; rate.samples(crate::codec::MAX_PACKET_MS)].into(),
            fault: FaultSeam::default(),
            stats: LegStats::default(),
            delay_sum_ms: 0,
            line,
        }
    }

    /// A datagram. Whatever is in it, at most a counter moves.
    pub fn on_packet(&mut self, now: Duration, src: SocketAddr, bytes: &[u8]) {
        self.now = now;
        self.fault.strike(Fault::PanicInParse);
        if rtp::is_rtcp(bytes) {
            return self.on_rtcp(src, bytes);
        }
        let Ok(packet) = rtp::parse(bytes) else {
            self.stats.malformed += 1;
            return;
        };
        let Some(kind) = self.line.kind(packet.payload_type) else {
            self.stats.foreign_type += 1;
            return;
        };
        if self.admit(src) {
            self.on_rtp(kind, &packet);
        }
    }

    /// One tick: exactly one packet.
    pub fn tick(&mut self, now: Duration) -> Tick<'_> {
        self.now = now;
        self.expire();
        self.jitter.pull(now, &mut self.caller);
        self.fault.strike(Fault::PanicInPlayout);
        let keys_before = self.speaker.is_sending_digits();
        let tick = self.speaker.tick();
        self.speaker.speak(&self.caller, &mut self.line);
        self.stats.packets_out += 1;
        self.delay_sum_ms += self.jitter.buffered_ms() as u64;
        if keys_before && !self.speaker.is_sending_digits() {
            self.tell(LegEventKind::DigitsSent);
        }
        Tick {
            packet: self.speaker.packet(),
            to: self.source.target(),
            caller: &self.caller,
            agent: self.speaker.frame(),
            tick,
            position: self.speaker.playout.position(),
        }
    }

    /// The next recogniser frame. To be drained after packets and ticks: gate and reflex work here.
    pub fn poll_ear(&mut self, now: Duration) -> Option<EarFrame> {
        self.now = now;
        loop {
            let pull = self.jitter.pull_ear(now)?;
            let gauge = self.gate.judge(pull.heard.frame.level_dbov());
            self.flinch(gauge);
            if let Some(frame) = self.for_ears(&pull.heard) {
                return Some(self.ear_frame(frame, &pull, gauge));
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LegEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let kind = LegEventKind::Playout(self.speaker.playout.poll_event()?);
        Some(LegEvent {
            at: self.now,
            tick: self.speaker.tick(),
            kind,
        })
    }

    /// An order.
    pub fn handle(&mut self, now: Duration, command: Command) {
        self.now = now;
        match command {
            Command::SetMode(mode) => self.speaker.set_mode(mode),
            Command::Listen(wanted) => self.listen(wanted),
            Command::ArmReflex(armed) => self.arm(armed),
            Command::ConfirmPause => self.confirm_pause(),
            Command::Pause => self.pause(),
            Command::Resume => self.resume(),
            Command::CutThrough(tag) => self.cut_through(tag),
            Command::SendDigits(digits) => self.speaker.send_digits(&digits),
            Command::Renegotiate(negotiated) => self.renegotiate(&negotiated),
            Command::SetTimeouts(timeouts) => self.watch.set(timeouts),
            Command::Fault(fault) => self.fault.0 = Some(fault),
        }
    }

    /// Rate of the sound on this line, in which `samples_sent` counts.
    pub const fn rate(&self) -> Rate {
        self.line.rate()
    }

    /// The playout queue, for pushing.
    pub const fn playout(&mut self) -> &mut Playout {
        &mut self.speaker.playout
    }

    /// The peer leg's next frame, in [`Mode::Bridge`].
    pub fn push_bridge(&mut self, frame: &Frame) {
        self.speaker.push_bridge(frame);
    }

    /// Ticks that could not be held: timestamp and call timeline go on without packets.
    pub fn skip_ticks(&mut self, ticks: u64) {
        self.speaker.skip(ticks, self.line.ticks_per_frame());
    }

    /// What must survive this machine.
    pub const fn wire(&self) -> Wire {
        self.speaker.wire()
    }

    /// The utterance under way and its samples sent.
    pub const fn position(&self) -> Position {
        self.speaker.playout.position()
    }

    /// Figures so far.
    pub fn stats(&self) -> LegStats {
        LegStats {
            jitter: self.jitter.counters(),
            buffered_ms: self.jitter.buffered_ms(),
            target_ms: self.jitter.target_ms(),
            mean_delay_ms: self.delay_sum_ms / self.stats.packets_out.max(1),
            starved_samples: self.speaker.playout.starved(),
            discarded_samples: self.speaker.playout.discarded(),
            refused_source: self.source.refused(),
            ..self.stats
        }
    }

    // ── in ──────────────────────────────────────────────────────────────────

    fn admit(&mut self, src: SocketAddr) -> bool {
        match self.source.admit(self.now, src) {
            Admission::Same => {}
            Admission::First => self.tell(LegEventKind::FirstPacket { source: src }),
            Admission::Changed { from } => self.tell(LegEventKind::SourceChanged { from, to: src }),
            Admission::Refused => return false,
        }
        if self.watch.on_packet(self.now) {
            self.tell(LegEventKind::MediaBack);
        }
        true
    }

    fn on_rtp(&mut self, kind: PayloadKind, packet: &Packet<'_>) {
        let stamp = Stamp {
            ssrc: packet.ssrc,
            seq: packet.seq,
            timestamp: packet.timestamp,
        };
        match kind {
            PayloadKind::Audio(index) => self.on_audio(index, stamp, packet.payload),
            PayloadKind::Event => self.on_event(stamp, packet.payload),
            PayloadKind::ComfortNoise => {
                self.jitter.note(self.now, stamp);
            }
        }
    }

    fn on_audio(&mut self, index: usize, stamp: Stamp, payload: &[u8]) {
        self.fault.strike(Fault::PanicInDecode);
        match self.line.decode(index, payload, &mut self.pcm) {
            Ok(samples) => self
                .jitter
                .put(self.now, stamp, self.pcm.get(..samples).unwrap_or(&[])),
            Err(_) => self.stats.malformed += 1,
        }
    }

    fn on_event(&mut self, stamp: Stamp, payload: &[u8]) {
        // A repeated number may still be the first sight of a key, so the receiver judges by itself.
        self.jitter.note(self.now, stamp);
        if let Some(key) = self.keys.on_event(stamp.ssrc, stamp.timestamp, payload) {
            self.tell(LegEventKind::Digit(Digit { key: key.as_char() }));
        }
    }

    fn on_rtcp(&mut self, src: SocketAddr, bytes: &[u8]) {
        if !self.source.is_locked_to(src) {
            return;
        }
        for report in rtcp::parse(bytes) {
            match report {
                Ok(Report::Sender { block, .. } | Report::Receiver { block, .. }) => {
                    self.stats.remote_report = block.or(self.stats.remote_report);
                }
                Ok(Report::Bye { .. }) => self.tell(LegEventKind::RemoteBye),
                Err(_) => self.stats.malformed += 1,
            }
        }
    }

    fn for_ears(&mut self, heard: &Heard) -> Option<Frame> {
        self.ears.wanted?;
        Some(match &mut self.ears.resampler {
            Some(resampler) => resampler.frame(&heard.frame),
            None => heard.frame,
        })
    }

    fn ear_frame(&mut self, frame: Frame, pull: &EarPull, gauge: Gauge) -> EarFrame {
        let tick = self
            .speaker
            .tick()
            .saturating_sub(pull.age_frames)
            .max(self.ears.newest);
        self.ears.newest = tick;
        let Gauge {
            level_dbov,
            floor_dbov,
            candidate,
            ..
        } = gauge;
        let (rtp_time, heard) = (pull.rtp_time, pull.heard.heard);
        EarFrame {
            frame,
            rtp_time,
            tick,
            heard,
            candidate,
            level_dbov,
            floor_dbov,
        }
    }

    // ── reflex and orders ───────────────────────────────────────────────────

    fn flinch(&mut self, gauge: Gauge) {
        let speaking = self.speaker.playout.speaking();
        if self.reflex.on_frame(self.now, gauge.loud, speaking) == Some(ReflexAction::Pause) {
            self.tell(LegEventKind::Onset);
            self.speaker.playout.pause(PauseBy::Reflex);
        }
    }

    fn expire(&mut self) {
        if self.reflex.handle_timeout(self.now) == Some(ReflexAction::Resume) {
            self.speaker.playout.resume();
        }
        if let Some(silence) = self.watch.handle_timeout(self.now) {
            self.tell(LegEventKind::MediaTimeout(silence));
        }
    }

    fn listen(&mut self, wanted: Option<Rate>) {
        self.ears = Ears::new(self.line.rate(), wanted);
        self.jitter.tap(wanted.is_some() || self.reflex.is_armed());
    }

    fn arm(&mut self, armed: bool) {
        self.reflex.arm(armed);
        self.jitter.tap(armed || self.ears.wanted.is_some());
    }

    fn confirm_pause(&mut self) {
        if self.reflex.confirm() {
            self.speaker.playout.pause(PauseBy::Owner);
        }
    }

    fn pause(&mut self) {
        self.reflex.hold();
        self.speaker.playout.pause(PauseBy::Owner);
    }

    fn resume(&mut self) {
        self.reflex.release();
        self.speaker.playout.resume();
    }

    fn cut_through(&mut self, tag: Tag) {
        self.reflex.release();
        self.speaker.playout.cut_through(tag);
    }

    /// RFC 3264 §8: another codec, other types, another address.
    fn renegotiate(&mut self, negotiated: &Negotiated) {
        let line = Line::new(negotiated);
        if line.rate() != self.line.rate() || line.rtp_clock() != self.line.rtp_clock() {
            self.rebuild(&line);
        }
        self.line = line;
        self.source.renegotiate(negotiated.remote);
        self.speaker.mark();
    }

    /// A codec of another rate: what is buffered at the old one is given up.
    fn rebuild(&mut self, line: &Line) {
        let rate = line.rate();
        self.jitter = Jitter::new(
            rate,
            line.rtp_clock(),
            self.ears.wanted.is_some() || self.reflex.is_armed(),
        );
        self.ears = Ears::new(rate, self.ears.wanted);
        self.caller = Frame::silence(rate);
        self.pcm = vec![0; rate.samples(crate::codec::MAX_PACKET_MS)].into();
        self.speaker.rebuild(rate, line.ticks_per_frame());
    }

    fn tell(&mut self, kind: LegEventKind) {
        if self.events.len() >= MAX_EVENTS {
            self.stats.events_dropped += 1;
            return;
        }
        self.events.push_back(LegEvent {
            at: self.now,
            tick: self.speaker.tick(),
            kind,
        });
    }
}
