//! One media leg: both directions of one RTP session, as a machine.
//!
//! The owner feeds it datagrams, calls [`Leg::tick`] once in 20 ms and sends what it returns; after packets, ticks and
//! commands it drains [`Leg::poll_ear`] and [`Leg::poll_event`]. RTP never pauses but on hold: each tick sends exactly one packet.

mod line;
mod source;
mod speak;
mod terms;
mod watch;

pub use line::Negotiated;
pub use source::{Admission, SourceLock};
pub use terms::{
    Command, Digit, EarFrame, Fault, LegConfig, LegEvent, LegEventKind, LegStats, Mode, Tick, Wire,
};
pub use watch::{Silence, Timeouts};

use crate::dtmf::{DtmfReceiver, DtmfSender};
use crate::jitter::{EarPull, Heard, Jitter, Stamp};
use crate::playout::{PauseBy, Playout, Position, Tag};
use crate::resample::Resampler;
use crate::rtcp::{self, Report};
use crate::rtp::{self, Packet};
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
    sending: bool,
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
            sending: true,
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
        if self.sending {
            self.stats.packets_out += 1;
            self.delay_sum_ms += self.jitter.buffered_ms() as u64;
        }
        if keys_before && !self.speaker.is_sending_digits() {
            self.tell(LegEventKind::DigitsSent);
        }
        Tick {
            packet: self.speaker.packet(),
            to: self.source.target().filter(|_| self.sending),
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
            Command::SetSending(sending) => self.set_sending(sending),
            Command::SetTimeouts(timeouts) => self.watch.set(now, timeouts),
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
        if let Some(ReflexAction::Pause { onset_frames }) =
            self.reflex.on_frame(self.now, &gauge, speaking)
        {
            self.tell(LegEventKind::Onset);
            self.speaker.playout.pause(PauseBy::Reflex { onset_frames });
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

    /// Timestamps go on meanwhile (RFC 3550 §5.1): what is heard again begins where the clock is.
    fn set_sending(&mut self, sending: bool) {
        self.sending = sending;
        self.speaker.mark();
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
